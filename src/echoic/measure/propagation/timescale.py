"""From a cosine that settles to the number of steps in which it does."""

import math
from typing import Any

import numpy as np

from echoic.core.checks import at_least, is_traced
from echoic.core.estimate import Estimate, Settings, Status

_CLEAR = 3.0  # standard errors by which a point of the fit has to stand above nothing
_LEAST_POINTS = 4


def fit_timescale(
    trajectory: Any, limit: float, *, start: int = 0, stop: int | None = None
) -> Estimate:
    """The timescale on which a trajectory approaches its limit.

    **Definition.** ``xi`` of ``|C_t - limit| ~ exp(-t / xi)``: minus the inverse slope of the
    logarithm, by least squares, weighted by
    the errors, over the steps start..stop-1, up to the first whose distance does
    not exceed three standard errors.

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
    clear = distance > _CLEAR * np.nan_to_num(errors[start:stop])
    points = len(clear) if clear.all() else int(np.argmin(clear))
    details = {"points": np.asarray(points)}
    if points < _LEAST_POINTS:
        return Estimate(math.nan, math.nan, Status.BELOW_NOISE, settings, details)
    noise = np.nan_to_num(errors[start : start + points])
    rate, error = _rate(distance[:points], noise)
    if not rate > 0:
        return Estimate(math.inf, math.nan, Status.GROWING, settings, details)
    if len(runs) > 1:
        error = _jackknife(runs[:, start : start + points], noise, limit)
    half = points // 2
    early, late = (
        _rate(distance[part], noise[part])[0] for part in (slice(half), slice(half, points))
    )
    bent = points >= 2 * _LEAST_POINTS and abs(early - late) > 0.5 * rate
    status = Status.NOT_CONVERGED if bent else Status.OK
    if len(runs) == 1 and is_estimate:
        status |= Status.SHORT_SERIES
    return Estimate(1 / rate, error / rate**2, status, settings, details)


def _rate(distance: np.ndarray, noise: np.ndarray) -> tuple[float, float]:
    """Minus the slope of the logarithm, and its standard error from the residuals.

    Each point counts with the inverse square of its logarithm's error; all alike without noise.
    """
    noisy = bool(np.all(noise > 0))
    weight = (distance / noise) ** 2 if noisy else np.ones(len(distance))
    weight = weight / np.mean(weight)
    logs = np.log(distance)
    steps = np.arange(len(distance)) - np.average(np.arange(len(distance)), weights=weight)
    spread = np.sum(weight * steps**2)
    slope = float(np.sum(weight * steps * logs) / spread)
    residual = np.sqrt(weight) * (logs - np.average(logs, weights=weight) - slope * steps)
    freedom = max(1, len(distance) - 2)
    return -slope, math.sqrt(np.sum(residual**2) / freedom / spread)


def _jackknife(runs: np.ndarray, noise: np.ndarray, limit: float) -> float:
    count = len(runs)
    others = (np.sum(runs, axis=0) - runs) / (count - 1)
    rates = np.array([_rate(np.abs(row - limit), noise)[0] for row in others])
    return math.sqrt((count - 1) / count * np.sum((rates - np.mean(rates)) ** 2))
