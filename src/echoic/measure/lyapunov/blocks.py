"""Consecutive runs of `lyapunov_spectrum` as one, and whether they were long enough."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from echoic.core.checks import is_traced
from echoic.core.estimate import Estimate, Settings, Status

# Errors come from this many to twice as many blocks, each as long as the run allows: short blocks
# are correlated, and make the error look smaller than it is.
_BLOCKS = 20
_BY_BLOCKS = Status.NOT_CONVERGED | Status.SHORT_SERIES


class Blocks(NamedTuple):
    """Growth rates (b, blocks, k) by block, in the order of the frame, and the blocks' steps."""

    rates: np.ndarray
    steps: np.ndarray

    def means(self) -> np.ndarray:
        """Over the whole run, shape (b, k)."""
        return np.sum(self.rates * self._weights()[None, :, None], axis=1)

    def sorted(self) -> "Blocks":
        """Each sequence by itself, the largest exponent of the whole run first."""
        order = np.argsort(-self.means(), axis=1)
        return Blocks(np.take_along_axis(self.rates, order[:, None, :], axis=2), self.steps)

    def merged(self) -> "Blocks":
        """Neighbours joined until fewer than twice `_BLOCKS` are left."""
        count = len(self.steps)
        if count < 2 * _BLOCKS:
            return self
        cuts = np.arange(0, count, count // _BLOCKS)
        # A stump at the end would count as a block: it joins the last whole one.
        cuts = cuts[: count // (count // _BLOCKS)]
        steps = np.add.reduceat(self.steps, cuts)
        sums = np.add.reduceat(self.rates * self.steps[None, :, None], cuts, axis=1)
        return Blocks(sums / steps[None, :, None], steps)

    def errors(self) -> np.ndarray:
        """One standard error (k,), and not less than the scatter of the sequences says."""
        batch, count = self.rates.shape[:2]
        means, weights = self.means(), self._weights()
        mean = np.mean(means, axis=0)
        with np.errstate(invalid="ignore"):
            square = np.sum(((self.rates - mean) * weights[None, :, None]) ** 2, axis=(0, 1))
            error = np.sqrt(square / batch**2 * batch * count / (batch * count - 1))
            if batch > 1:
                error = np.maximum(error, np.std(means, axis=0, ddof=1) / batch**0.5)
        return np.where(np.any(np.isinf(means), axis=0), np.nan, error)

    def _weights(self) -> np.ndarray:
        return self.steps / np.sum(self.steps)


def blocks_of(run: Estimate) -> Blocks:
    """The blocks of a result of `lyapunov_spectrum`."""
    if not {"growth", "block_steps"} <= run.details.keys():
        raise ValueError("a result of lyapunov_spectrum is wanted, with its growth in details.")
    if is_traced(run):
        raise ValueError("the blocks of a run cannot be traced: use them outside jit and vmap.")
    rates = np.asarray(run.details["growth"], np.float64)
    return Blocks(rates, np.asarray(run.details["block_steps"], np.int64))


def join_runs(*runs: Estimate) -> Estimate:
    """Consecutive runs of `lyapunov_spectrum`, each resumed from the one before, as one run.

    **Definition.** Exponents are ``sum_j s_j r_j / sum_j s_j`` over all blocks j with growth rates
    ``r_j`` and ``s_j`` steps, direction by direction of the common frame, in nats per step; to
    rounding what one run without a break would have given.

    **Arguments:** the runs, oldest first: ``second = lyapunov_spectrum(..., resume=first)``. A
    joined run may be resumed and joined again.

    **Returns:** an `Estimate` as `lyapunov_spectrum` gives it. Blocks are merged until 20 to 39 are
    left, for ``history`` and for the standard error.

    **Raises:** ValueError if a run is not one of `lyapunov_spectrum`, or of another shape.

    **When it misleads:** whether one run went on from the other cannot be told from their results.

    **Cost:** none worth mentioning.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> from echoic import lyapunov_spectrum
        >>> key, halve = jax.random.key(0), lambda h, _: 0.5 * h
        >>> first = lyapunov_spectrum(halve, state=jnp.ones(1), steps=40, key=key)
        >>> second = lyapunov_spectrum(halve, state=jnp.ones(1), steps=40, key=key, resume=first)
        >>> both = join_runs(first, second)
        >>> both.settings["steps"], bool(abs(both.value[0] + jnp.log(2)) < 1e-5)
        (80, True)

        ```
    """
    if not runs:
        raise ValueError("runs must hold at least one result of lyapunov_spectrum, got none.")
    parts = [blocks_of(run) for run in runs]
    shapes = {(part.rates.shape[0], part.rates.shape[2]) for part in parts}
    if len(shapes) > 1:
        raise ValueError(
            "runs must agree in their numbers of sequences and exponents, got "
            + ", ".join(str(shape) for shape in sorted(shapes))
        )
    whole = Blocks(
        np.concatenate([part.rates for part in parts], axis=1),
        np.concatenate([part.steps for part in parts]),
    )
    merged = whole.merged().sorted()
    dtype = runs[0].value.dtype
    steps = np.array([run.settings["steps"] for run in runs])
    details = {
        "history": np.mean(merged.rates, axis=0).astype(dtype),
        "growth": whole.rates.astype(dtype),
        "block_steps": whole.steps.astype(np.int32),
        "spread": max(np.asarray(run.details["spread"]) for run in runs),
        "final_state": runs[-1].details["final_state"],
        "final_frame": runs[-1].details["final_frame"],
    }
    if all("residual" in run.details for run in runs):
        each = np.array([run.details["residual"] for run in runs])
        residual = (np.sum(each * steps) / np.sum(steps)).astype(dtype)
        details |= {"residual": residual, "residual_total": residual * steps.sum().astype(dtype)}
    status = Status.OK
    for run in runs:
        status |= run.statuses & ~_BY_BLOCKS
    if np.any(drift_in_errors(merged) > 6):
        status |= Status.NOT_CONVERGED
    if np.sum(steps) < 5 * len(merged.steps):
        status |= Status.SHORT_SERIES
    settings = dict(runs[0].settings) | {"steps": int(np.sum(steps)), "runs": _count(runs)}
    value = np.mean(merged.means(), axis=0).astype(dtype)
    details = {name: jnp.asarray(array) for name, array in details.items()}
    error = merged.errors().astype(dtype)
    return Estimate(value, error, int(status), Settings(**settings), details)


def _count(runs: tuple[Estimate, ...]) -> int:
    """How many runs without a break these are."""
    return sum(run.settings.get("runs", 1) for run in runs)


def drift_in_errors(blocks: Blocks) -> np.ndarray:
    """By how many standard errors the halves of a run differ, (k,); less than 1e-4 nats do not
    matter to anyone, and count as none.
    """
    history, half = np.mean(blocks.rates, axis=0), len(blocks.steps) // 2
    if half < 2:
        return np.zeros(history.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        first, second = history[:half], history[half:]
        drift = np.abs(first.mean(axis=0) - second.mean(axis=0))
        variance = sum(part.var(axis=0, ddof=1) / len(part) for part in (first, second))
        found = np.where(drift > 1e-4, drift / np.sqrt(variance), 0.0)
    found = np.nan_to_num(found, nan=0.0, posinf=np.inf)  # of exponents of -inf
    return np.where(np.isnan(history).any(axis=0), np.nan, found)


class Convergence(NamedTuple):
    """What `lyapunov_convergence` says of a run.

    ``running``: averages up to the end of each block, shape (blocks, k); ``steps``: those ends,
    shape (blocks,); ``drift``: by how many standard errors the halves of the run differ, (k,);
    ``correlation`` of neighbouring blocks, (k,): well above 0, errors are too small; both are NaN
    where a block is;
    ``steps_needed`` for the wanted error, (k,), NaN without one; ``converged``; ``sentence``.
    """

    running: np.ndarray
    steps: np.ndarray
    drift: np.ndarray
    correlation: np.ndarray
    steps_needed: np.ndarray
    converged: bool
    sentence: str


def lyapunov_convergence(found: Estimate, tolerance: float | None = None) -> Convergence:
    """Whether a run of `lyapunov_spectrum` was long enough, and how long it should have been.

    **Definition.** A run has converged if its halves differ by no more than 6 standard errors of
    the difference (or by less than 1e-4 nats), if the correlation of neighbouring blocks lies below
    0.8 or within its own noise, and if the standard error of ``lambda_1`` is at most ``tolerance``.
    Errors fall like ``1/sqrt(T)``: ``steps_needed = T (standard error / tolerance)^2``.

    **Arguments**

    - ``found``: a result of `lyapunov_spectrum`, `join_runs` or `lyapunov_until`.
    - ``tolerance``: the wanted standard error of the largest exponent, in nats per step.

    **Returns:** a `Convergence`, averaged over the batch.

    **Raises:** ValueError for another result, under tracing, and for a tolerance of 0 or less.

    **When it misleads:** a run in a long transient looks settled; only another start tells.

    **Cost:** none worth mentioning.

    **References:** Flyvbjerg & Petersen 1989 for errors from blocks.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> from echoic import lyapunov_spectrum
        >>> halve = lambda h, _: 0.5 * h
        >>> found = lyapunov_spectrum(halve, state=jnp.ones(1), steps=200, key=jax.random.key(0))
        >>> lyapunov_convergence(found, 1e-3).converged
        True

        ```
    """
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"tolerance must be a positive number, got {tolerance!r}.")
    blocks = blocks_of(found).merged().sorted()
    history, ends = np.mean(blocks.rates, axis=0), np.cumsum(blocks.steps)
    running = np.cumsum(history * blocks.steps[:, None], axis=0) / ends[:, None]
    drift, correlation, errors = drift_in_errors(blocks), _neighbours(history), blocks.errors()
    # Below rounding there is nothing left to converge.
    floor = 10 * float(jnp.finfo(found.value.dtype).eps)
    tied = np.any((correlation > 0.8) & (errors > floor)) and len(ends) >= _BLOCKS
    wanted = np.nan if tolerance is None else ends[-1] * (errors / tolerance) ** 2
    steps_needed = np.broadcast_to(np.ceil(wanted), errors.shape)
    if np.any(np.isnan(history)):
        converged, sentence = False, "The trajectory left the finite numbers."
    elif np.any(drift > 6):
        converged, sentence = False, "The halves of the run differ: a transient, or too short."
    elif tied:
        converged, sentence = False, "Neighbouring blocks agree too well: the error is too small."
    elif tolerance is not None and errors[0] > tolerance:
        needed = int(steps_needed[0])
        sentence = f"The error of the largest exponent is {errors[0]:.2g}: run {needed} steps."
        converged = False
    else:
        converged, sentence = True, f"Settled after {ends[-1]} steps."
    return Convergence(running, ends, drift, correlation, steps_needed, converged, sentence)


def _neighbours(history: np.ndarray) -> np.ndarray:
    """The correlation of neighbouring blocks, (k,); 0 where nothing varies, NaN of NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = history - history.mean(axis=0)
        found = np.sum(gap[1:] * gap[:-1], axis=0) / np.sum(gap**2, axis=0)
    return np.where(np.isnan(history).any(axis=0), np.nan, np.nan_to_num(found))
