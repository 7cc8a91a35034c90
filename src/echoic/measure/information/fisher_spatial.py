"""Fisher memory by the direction of the input: how much there is, and how much of it is in use."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int

from echoic.core.cell import AbstractCell, without_law
from echoic.core.checks import at_least, is_traced, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.information.noise import finite_root, stationary_root, whiten


class LinearNetwork(NamedTuple):
    """The matrices W (n, n) and V (n, m) of a linear network."""

    recurrent: Float[Array, "n n"]
    source: Float[Array, "n m"] | None


def linear_network(cell: Any, source: Any) -> LinearNetwork:
    """The matrices of a cell with a ``linear_form``, or a matrix W with its ``source``."""
    if isinstance(cell, AbstractCell):
        form = without_law(cell).linear_form()
        if form is None:
            raise ValueError(f"only linear cells have these, got a {type(cell).__name__}.")
        w, v = form.recurrent, form.input if source is None else source
    elif callable(cell):
        raise ValueError("a bare step function does not show its matrices: pass W, shape (n, n).")
    else:
        w, v = jnp.asarray(cell), source
        if not jnp.issubdtype(w.dtype, jnp.floating):
            w = w.astype(jnp.result_type(float))
    if w.ndim != 2 or w.shape[0] != w.shape[1]:
        raise ValueError(f"a recurrent matrix must have shape (n, n), got {w.shape}.")
    if v is None:
        return LinearNetwork(w, None)
    v = jnp.asarray(v, w.dtype)
    v = v[:, None] if v.ndim == 1 else v
    if v.ndim != 2 or v.shape[0] != w.shape[0]:
        raise ValueError(
            f"source must have shape (n,) or (n, m) with n = {w.shape[0]}, got {v.shape}."
        )
    if not is_traced(v) and not bool(jnp.any(v != 0)):
        raise ValueError("source must not be zero.")
    return LinearNetwork(w, v)


def fisher_memory_matrix(
    cell: AbstractCell | Any, *, steps: int | None = None, throw: bool = True
) -> Estimate:
    """The total Fisher memory of a linear network for every direction of its input.

    **Definition.** ``M = sum_k W'^k C^-1 W^k`` with ``C = sum_k W^k W'^k``: the J(k) of an input
    along v, noise variance 1, add up to ``v' M v``. The trace of M is n for every stable W, so that
    the mean over random unit v is 1: being non-normal moves memory between directions. M is the
    identity for normal W; its leading eigenvector is the best direction.

    **Arguments:** a ``cell`` with a ``linear_form``, or W itself, shape (n, n); ``steps``: both
    sums over k < steps, noise and memory from so many steps on, for which W need not be stable; the
    trace is n and M the identity for normal W then too. ``throw``: raise where W is unstable,
    or not finite.

    **Returns:** an `Estimate`, shape (n, n), exact; NaN with status UNSTABLE. ILL_CONDITIONED where
    the trace misses n by more than a rounding error may.

    **Raises:** ValueError for cells that are not linear; UntrustedError, see ``throw``.

    **Cost:** about 25 QR factorisations of (2n, n); n = 1000 takes seconds.

    **Reference:** Ganguli, Huh & Sompolinsky (2008), PNAS, for J(k); the rest is derived here.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp, echoic
        >>> cell = echoic.cells.LinearRNN(1, 5, key=jax.random.key(0))
        >>> bool(jnp.isclose(jnp.trace(fisher_memory_matrix(cell).value), 5, rtol=1e-2))
        True

        ```
    """
    w, _ = linear_network(cell, None)
    value, flags, settings = _solved(w, steps)
    estimate = Estimate(value, None, flags, Settings(exact=True, noise_variance=1.0, **settings))
    return estimate.throw(Status.UNSTABLE, Status.NOT_FINITE) if throw else estimate


def fisher_capacity(
    cell: AbstractCell | Any, *, source: Any = None, steps: int | None = None, throw: bool = True
) -> Estimate:
    """The total Fisher memory of a linear network, beside the most that its size would allow.

    **Definition.** ``J_tot = sum_k J(k) = v' M v`` for an input along v, taken to unit length, and
    state noise of variance 1; M from [`fisher_memory_matrix`][echoic.fisher_memory_matrix]. Several
    channels: ``trace(V' M V) / trace(V' V)``, their mean by power. 1 for every normal W, n at the
    most for any.

    **Arguments:**

    - ``cell``: a cell with a ``linear_form``, or W itself, shape (n, n).
    - ``source``: V, shape (n,) or (n, m); needed for a matrix, the cell's own by default.
    - ``steps``: memory and noise of so many steps only, for which W need not be stable.
    - ``throw``: raise where a stationary state is asked of an unstable W, or W is not finite.

    **Returns:** an `Estimate`, a number, exact. Details: ``share`` (of the bound n), ``best`` (that
    of the best direction) and ``best_share``, ``best_direction`` (n,), of unit length, its largest
    component positive, ``channels`` (m,), each channel alone, ``matrix``, M.

    **Raises:** ValueError for cells that are not linear, or a matrix without source;
    UntrustedError, see ``throw``.

    **When the number misleads:** units are the papers': unit input variance along a unit vector.
    ``echoic.fisher_memory`` counts the input as the cell's weights scale it.

    **Cost:** about 25 QR factorisations of (2n, n); n = 1000 takes seconds.

    **Reference:** Ganguli, Huh & Sompolinsky (2008), PNAS; Orhan & Pitkow (2020), ICLR, eqs. 2-4;
    the matrix form is derived here.

    ??? example
        A delay line that is fed at its source, and at its end.
        ```python
        >>> import numpy as np
        >>> line = 1.1 * np.eye(20, k=-1)
        >>> first, last = (fisher_capacity(line, source=np.eye(20)[i]) for i in (0, 19))
        >>> bool(first.value > 5), bool(last.value < 1)
        (True, True)
        >>> int(abs(first.details["best_direction"]).argmax())
        0

        ```
    """
    w, v = linear_network(cell, source)
    if v is None:
        raise ValueError("a matrix does not say where its input enters: pass source=...")
    matrix, flags, settings = _solved(w, steps)
    value, details = _shared_out(matrix, v)
    estimate = Estimate(
        value, None, flags, Settings(exact=True, noise_variance=1.0, **settings), details
    )
    return estimate.throw(Status.UNSTABLE, Status.NOT_FINITE) if throw else estimate


def _solved(w: Float[Array, "n n"], steps: int | None):
    """M, the flags and the settings that tell which."""
    refuse_if_larger("the Fisher memory matrix", 16.0 * w.size * w.dtype.itemsize)
    if steps is None:
        return *_stationary_matrix(w), {"noise": "stationary"}
    count = jnp.asarray(at_least("steps", steps, 1, 2**30), jnp.int32)
    return *_finite_matrix(w, count), {"noise": f"from {steps} steps"}


@eqx.filter_jit
def _stationary_matrix(w):
    root, settled = stationary_root(w)
    white = whiten(w, root)
    later, also = stationary_root(white.step.T)
    half = later.T @ white.inverse
    return _checked(half.T @ half, settled & also, w)


@eqx.filter_jit
def _finite_matrix(w, steps: Int[Array, ""]):
    root = finite_root(w, steps)
    # In units of the noise; what was an amplification there is none here.
    white = solve_triangular(root, w @ root, lower=True)
    half = finite_root(white.T, steps).T @ solve_triangular(
        root, jnp.eye(w.shape[0], dtype=w.dtype), lower=True
    )
    return _checked(half.T @ half, jnp.asarray(True), w)


def _checked(matrix, settled, w):
    """M or NaN, and its flags: the trace tells what rounding has done."""
    size = w.shape[0]
    finite = jnp.all(jnp.isfinite(w))
    missed = jnp.abs(jnp.trace(matrix) - size) > size * float(jnp.finfo(w.dtype).eps) ** 0.4
    lost = ~jnp.all(jnp.isfinite(matrix))
    flags = jnp.where(finite & settled & (missed | lost), int(Status.ILL_CONDITIONED), 0)
    flags += jnp.where(finite & ~settled, int(Status.UNSTABLE), 0)
    flags += jnp.where(finite, 0, int(Status.NOT_FINITE))
    return jnp.where(settled & finite, matrix, jnp.nan), flags


@eqx.filter_jit
def _shared_out(matrix, source):
    size = matrix.shape[0]
    power = jnp.sum(source**2, axis=0)
    channels = jnp.sum(source * (matrix @ source), axis=0)
    value = jnp.sum(channels) / jnp.sum(power)
    levels, directions = jnp.linalg.eigh(matrix)
    best, direction = levels[-1], directions[:, -1]
    direction = direction * jnp.sign(direction[jnp.argmax(jnp.abs(direction))])
    details = {
        "share": value / size,
        "best": best,
        "best_share": best / size,
        "best_direction": direction,
        "channels": channels / jnp.where(power > 0, power, jnp.nan),
        "matrix": matrix,
    }
    return value, details
