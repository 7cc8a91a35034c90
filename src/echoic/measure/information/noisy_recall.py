"""Recall of the input from a state that noise has entered, for linear networks exactly."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int

from echoic.core.cell import AbstractCell
from echoic.core.checks import at_least, is_traced, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.information.fisher_spatial import linear_network
from echoic.measure.information.noise import finite_root, stationary_root, whiten


def noisy_recall(
    cell: AbstractCell | Any,
    *,
    max_lag: int,
    noise_variance: float,
    source: Any = None,
    steps: int | None = None,
    throw: bool = True,
) -> Estimate:
    """What the best readout recovers of a white input when the state is noisy; exact.

    **Definition.** ``h' = W h + V x + z`` with white x of unit variance in every channel and white
    Gaussian z of variance eps in every coordinate. ``R^2(k) = b' S^-1 b`` with ``b = W^k v`` and S
    the covariance of h under input and noise together: the share of the variance of ``x_{t-k}``
    that the best linear readout of h_t recovers; for Gaussian x the best of all (minimal mean
    square error ``1 - R^2``). Mean over channels.

    **Arguments:**

    - ``cell``: a cell with a ``linear_form``, or W itself, shape (n, n).
    - ``max_lag``: the largest lag; lag 0 is the newest input.
    - ``noise_variance``: eps, above 0. (Without noise: ``echoic.linear_recall``.)
    - ``source``: V, shape (n,) or (n, m); needed for a matrix, the cell's own by default. Its
      length counts: eps is measured against it.
    - ``steps``: from a state of zero, ``steps`` steps of input and noise; more than ``max_lag``.
      Default: the stationary state, which W must have.
    - ``throw``: raise where it has none, or numbers overflow.

    **Returns:** an `Estimate` over the lags 0 to ``max_lag``, exact. Details: ``total`` (over the
    lags measured, at most n / m), ``lag``. Status UNSTABLE with NaN.

    **Raises:** ValueError for cells that are not linear; UntrustedError, see ``throw``.

    **When the number misleads:** long delay lines differ by orders of magnitude at eps of some
    percent and not at all at eps of 1: state the noise.

    **Cost:** some 15 QR factorisations of (2n, n), then n^2 a lag; n = 1000 takes seconds.
    Precision is lost as ``noise_variance / |v|^2`` nears the rounding error.

    **Reference:** derived here; the decoding experiment is that of Orhan & Pitkow (2020), ICLR.

    ??? example
        A delay line adds one noise each step: ``R^2(k) = 1 / (1 + (k + 1) eps)``.
        ```python
        >>> import numpy as np
        >>> line = np.eye(8, k=-1)
        >>> found = noisy_recall(line, source=np.eye(8)[0], max_lag=8, noise_variance=0.25)
        >>> bool(np.allclose(found.value, [4/5, 4/6, 4/7, 4/8, 4/9, 4/10, 4/11, 4/12, 0]))
        True

        ```
    """
    max_lag = at_least("max_lag", max_lag, 0)
    w, v = linear_network(cell, source)
    if v is None:
        raise ValueError("a matrix does not say where its input enters: pass source=...")
    if not (is_traced(noise_variance) or noise_variance > 0):
        raise ValueError(
            f"noise_variance must be positive, got {noise_variance}; echoic.linear_recall measures"
            " without noise."
        )
    refuse_if_larger("the recall under noise", 16.0 * w.size * w.dtype.itemsize)
    variance = jnp.asarray(noise_variance, w.dtype)
    if steps is None:
        value, flags = _stationary(w, v, variance, max_lag)
    else:
        count = jnp.asarray(at_least("steps", steps, max_lag + 1, 2**30), jnp.int32)
        value, flags = _finite(w, v, variance, max_lag, count)
    settings = Settings(
        max_lag=max_lag,
        exact=True,
        noise="stationary" if steps is None else f"from {steps} steps",
        noise_variance="traced" if is_traced(variance) else float(variance),
    )
    details = {"total": jnp.sum(value), "lag": jnp.arange(value.size)}
    estimate = Estimate(value, None, flags, settings, details)
    return estimate.throw(Status.UNSTABLE, Status.NOT_FINITE) if throw else estimate


def _in_units_of_each_step(w, v, variance):
    """W and V in units of what enters at every step, ``V V' + eps``: then that is white."""
    entering = v @ v.T + variance * jnp.eye(w.shape[0], dtype=w.dtype)
    root = jnp.linalg.cholesky(entering)
    return solve_triangular(root, w @ root, lower=True), solve_triangular(root, v, lower=True)


@eqx.filter_jit
def _stationary(w, v, variance, max_lag: int):
    w, v = _in_units_of_each_step(w, v, variance)
    root, settled = stationary_root(w)
    white = whiten(w, root)
    value = _along_the_lags(lambda now: white.step @ now, white.inverse @ v, max_lag)
    ill = white.defect > float(jnp.finfo(w.dtype).eps) ** 0.4
    return _flagged(value, settled, ill, w, v)


@eqx.filter_jit
def _finite(w, v, variance, max_lag: int, steps: Int[Array, ""]):
    w, v = _in_units_of_each_step(w, v, variance)
    root = finite_root(w, steps)

    def advance(now):
        return solve_triangular(root, w @ (root @ now), lower=True)

    start = solve_triangular(root, v, lower=True)
    value = _along_the_lags(advance, start, max_lag)
    overflown = ~jnp.all(jnp.isfinite(value))
    return _flagged(value, jnp.asarray(True), overflown, w, v)


def _along_the_lags(advance, start: Float[Array, "n m"], max_lag: int) -> Float[Array, "k"]:
    def one(now, _):
        return advance(now), jnp.mean(jnp.sum(now**2, axis=0))

    return jax.lax.scan(one, start, length=max_lag + 1)[1]


def _flagged(value, settled, ill, w, v):
    finite = jnp.all(jnp.isfinite(w)) & jnp.all(jnp.isfinite(v))
    flags = jnp.where(finite & settled & ill, int(Status.ILL_CONDITIONED), 0)
    flags += jnp.where(finite & ~settled, int(Status.UNSTABLE), 0)
    flags += jnp.where(finite, 0, int(Status.NOT_FINITE))
    return jnp.where(settled & finite, value, jnp.nan), flags
