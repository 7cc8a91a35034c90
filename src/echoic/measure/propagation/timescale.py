"""From a cosine that settles to the number of steps in which it does."""

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize

from echoic.core.checks import at_least, is_traced
from echoic.core.estimate import Estimate, Settings, Status

_CLEAR = 3.0  # standard errors by which a point of the fit has to stand above nothing
_LEAST_POINTS = 4


def fit_timescale(
    trajectory: Any, limit: float, *, start: int = 0, stop: int | None = None
) -> Estimate:
    """The timescale on which a trajectory approaches its limit.

    **Definition.** ``xi`` of ``C_t - limit ~ exp(-t / xi)``, by least squares, each step weighted
    by its error, over the steps start..stop-1, up to the first at which the fit does not exceed
    three standard errors. Without errors least squares of the logarithm of the distance.

    **Arguments:** ``trajectory``: an `Estimate` of `signal_propagation`, or shape (t,), then
    taken as exact; ``limit``: the fixed point C*.

    **Returns** an `Estimate`, in steps. Its standard error is the jackknife over runs where the
    trajectory has them, else that of the regression. ``details["points"]``: how many steps were
    used. The verdict is its status: BELOW_NOISE with fewer than four such steps, then NaN;
    GROWING, and inf, where the distance does not shrink; NOT_CONVERGED where both halves of the
    fit disagree in rate by more than half of it: no single exponential.

    **Misleads.** A wrong limit bends the curve: give the theory's, or a longer run's.

    **Raises** ValueError where shapes do not fit, and under tracing: how many points are clear of
    noise is asked of the numbers.

    **Cost** none to speak of.

    **Example**
    >>> import numpy as np
    >>> found = fit_timescale(0.5 + 0.3 * np.exp(-np.arange(20) / 7), 0.5)
    >>> round(float(found.value), 3)
    7.0
    """
    if is_traced(trajectory, limit):
        raise ValueError("fit_timescale cannot be traced (jit, vmap, grad): call it outside.")
    is_estimate = isinstance(trajectory, Estimate)
    values = np.asarray(trajectory.value if is_estimate else trajectory, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"trajectory must have shape (t,), got {values.shape}.")
    at_least("start", start, 0, len(values) - 1)
    stop = len(values) if stop is None else at_least("stop", stop, start + 1, len(values))
    errors = np.asarray(trajectory.standard_error) if is_estimate else np.zeros(len(values))
    runs = np.asarray(trajectory.details["runs"]) if is_estimate else values[None]
    settings = Settings(start=start, stop=stop)
    if not np.isfinite(values[start:stop]).all():
        return Estimate(math.nan, math.nan, Status.NOT_FINITE, settings)
    distance = np.abs(values - limit)[start:stop]
    noise = np.nan_to_num(errors[start:stop])
    points = _clear(distance, noise)
    if points >= _LEAST_POINTS:
        # Where the data sink into the noise is chance; where their fit does is less so.
        first = _fit(distance[:points], noise[:points])
        points = _clear(first.at(len(distance)), noise) if first.rate > 0 else points
    details = {"points": np.asarray(points)}
    if points < _LEAST_POINTS:
        return Estimate(math.nan, math.nan, Status.BELOW_NOISE, settings, details)
    distance, noise = distance[:points], noise[:points]
    rate, error = _fit(distance, noise)[1:]
    if not rate > 0:
        return Estimate(math.inf, math.nan, Status.GROWING, settings, details)
    if len(runs) > 1:
        error = _jackknife(runs[:, start : start + points], noise, limit)
    half = points // 2
    early, late = (
        _fit(distance[part], noise[part]).rate for part in (slice(half), slice(half, points))
    )
    bent = points >= 2 * _LEAST_POINTS and abs(early - late) > 0.5 * rate
    status = Status.NOT_CONVERGED if bent else Status.OK
    if len(runs) == 1 and is_estimate:
        status |= Status.SHORT_SERIES
    return Estimate(1 / rate, error / rate**2, status, settings, details)


class _Fit(NamedTuple):
    """``exp(height - rate t)``, and the standard error of the rate from the residuals."""

    height: float
    rate: float
    error: float

    def at(self, length: int) -> np.ndarray:
        """The distances of so many steps."""
        return np.exp(self.height - self.rate * np.arange(length))


def _clear(distance: np.ndarray, noise: np.ndarray) -> int:
    """How many steps stand above the noise."""
    clear = distance > _CLEAR * noise
    return len(clear) if clear.all() else int(np.argmin(clear))


def _fit(distance: np.ndarray, noise: np.ndarray) -> _Fit:
    """Of the distances where they have errors, else of their logarithms.

    Logarithms weighted by what was measured would favour what fluctuated upwards.
    """
    steps = np.arange(len(distance))
    design = np.stack([np.ones(len(steps)), -steps], axis=1)
    logs = np.log(np.maximum(distance, np.finfo(float).tiny))
    start = np.linalg.lstsq(design, logs, rcond=None)[0]
    if not np.all(noise > 0):
        residual, slopes, found = logs - design @ start, design, start
    else:

        def missed(place):
            return (np.exp(design @ place) - distance) / noise

        def slopes_at(place):
            return (np.exp(design @ place) / noise)[:, None] * design

        solver: Any = scipy.optimize.least_squares
        found = solver(missed, start, slopes_at, method="lm").x
        residual, slopes = missed(found), slopes_at(found)
    scatter = residual @ residual / max(1, len(steps) - 2)
    error = math.sqrt(scatter * np.linalg.pinv(slopes.T @ slopes)[1, 1])
    return _Fit(float(found[0]), float(found[1]), error)


def _jackknife(runs: np.ndarray, noise: np.ndarray, limit: float) -> float:
    count = len(runs)
    others = (np.sum(runs, axis=0) - runs) / (count - 1)
    rates = np.array([_fit(np.abs(row - limit), noise).rate for row in others])
    return math.sqrt((count - 1) / count * np.sum((rates - np.mean(rates)) ** 2))
