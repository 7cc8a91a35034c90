"""The directions of state along which perturbations are still there after k steps."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, flatten_state
from echoic.core.checks import at_least, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.gain.frames import begin_frames, follow_frames
from echoic.measure.windows import Driven, Windows, burn_in_for, place, prepare


def slow_subspace(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    lag: int,
    key: PRNGKeyArray,
    dimensions: int | None = None,
    starts: int = 16,
    burn_in: int | None = None,
    state: State = None,
    steps: int | None = None,
    throw: bool = True,
) -> Estimate:
    """The directions of state whose perturbations are still there after ``lag`` steps.

    **Definition.** With ``J = dh_t/dh_{t-lag}`` over the full state and < > over starting times:
    the leading eigenvectors of ``< J'J >`` are the directions that survive, those of ``< J J' >``
    the directions that they have become. Of a fixed map they are the right and left singular
    vectors of its power. The value is ``sqrt`` of the eigenvalues of ``< J'J >``, the root mean
    square gain of each direction; their squares add up to n times the square of the
    [`gradient_reach`][echoic.gradient_reach].

    **Arguments:** ``lag``: the steps to survive; ``dimensions``: how many directions to return, all
    by default; ``key``: draws the starting times, ``starts`` of them; the others as for
    `gradient_reach`.

    **Returns:** an `Estimate` of the gains, shape (d,), largest first, with the error from starting
    times. Details: ``directions`` (n, d), what survives, in the order of ``flatten_state``;
    ``arrivals`` (n, d), where it is ``lag`` steps later; ``share`` (d,), of all that is carried the
    part in the first directions; ``typical_share`` (d,), that part averaged over single starting
    times, which is lower where each time keeps directions of its own; ``participation``, by
    ``(sum g^2)^2 / sum g^4`` over how many directions it is spread; ``unit_share`` (n,), the part
    on each number of the state; ``log_value``.

    **Raises:** ValueError when a sequence is too short; MemoryError for frames above 8 GB;
    UntrustedError where the trajectory leaves the finite numbers, see ``throw``.

    **When the number misleads:** leading gains of few starting times are fitted to these, and are
    somewhat too large. Directions of equal gain, such as those of a delay line or of a rotation,
    are defined as a whole only. Driven networks keep other directions at other times: compare the
    two shares, and see [`covariant_vectors`][echoic.covariant_vectors] for those of one time.

    **Cost:** ``starts * lag`` products of (n, n) matrices, and two eigenvalue problems.

    **Reference:** Ginelli et al. (2007) for the limit of long lags; averages over inputs are
    our own.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> leak = jnp.array([0.5, 0.9])
        >>> found = slow_subspace(lambda h, x: leak * h, state=jnp.ones(2), steps=200, lag=10,
        ...                       key=jax.random.key(0))
        >>> bool(jnp.allclose(found.value, leak[::-1] ** 10, rtol=1e-4))
        True
        >>> jnp.abs(found.details["directions"][:, 0]).tolist()
        [0.0, 1.0]

        ```
    """
    driven = prepare(cell, inputs, state, steps)
    lag, starts = at_least("lag", lag, 1), at_least("starts", starts, 1)
    length, start = driven.inputs.shape[1], flatten_state(driven.state)[0]
    kept = start.size if dimensions is None else at_least("dimensions", dimensions, 1, start.size)
    burn_in = burn_in_for(burn_in, lag, length)
    windows = place(driven.inputs, burn_in, lag + 1, starts, key)
    refuse_if_larger("the frames", 4.0 * windows.size * start.size**2 * start.dtype.itemsize)
    value, error, flags, details = _subspace(
        driven, windows, jnp.asarray(burn_in, jnp.int32), lag, kept
    )
    settings = Settings(
        lag=lag,
        dimensions=kept,
        burn_in=burn_in,
        starts=windows.size,
        independent=windows.groups,
    )
    estimate = Estimate(value, error, flags, settings, details)
    return estimate.throw(Status.NOT_FINITE) if throw else estimate


@eqx.filter_jit
def _subspace(driven: Driven, windows: Windows, burn_in, lag: int, kept: int):
    size = flatten_state(driven.state)[0].size
    every = jnp.eye(size, dtype=driven.inputs.dtype)
    begun = begin_frames(driven.cell, driven.inputs, driven.state, windows, burn_in, every, None)
    (_, (frames,), (logs,)), _ = follow_frames(
        driven.cell, driven.inputs, begun, windows, burn_in, lag, lambda *_: ()
    )
    shift = jnp.max(logs)
    # Rows of a frame are J e_i: the frame is the transposed Jacobian.
    frames = frames * jnp.exp(logs - shift)[:, None, None]
    gains, directions = _leading(jnp.swapaxes(frames, 1, 2).reshape(-1, size))
    arrivals = _leading(frames.reshape(-1, size))[1]
    powers = gains**2 / windows.size
    each = jnp.sum(jnp.einsum("wip,ij->wjp", frames, directions) ** 2, axis=2)
    groups = jnp.mean(each.reshape(windows.groups, -1, size), axis=1)
    error = jnp.full(size, jnp.nan, frames.dtype)
    if windows.groups > 1:
        error = jnp.std(groups, axis=0, ddof=1) / windows.groups**0.5
    log_value = shift + jnp.log(gains) - math.log(windows.size) / 2
    value = jnp.exp(log_value)
    total = jnp.sum(powers)
    shares = jnp.cumsum(each, axis=1) / jnp.sum(each, axis=1, keepdims=True)
    details = {
        "directions": directions[:, :kept],
        "arrivals": arrivals[:, :kept],
        "share": (jnp.cumsum(powers) / total)[:kept],
        "typical_share": jnp.mean(shares, axis=0)[:kept],
        "participation": total**2 / jnp.sum(powers**2),
        "unit_share": jnp.sum(frames**2, axis=(0, 2)) / windows.size / total,
        "log_value": log_value[:kept],
    }
    lost = jnp.any(~jnp.isfinite(frames)) | jnp.any(jnp.isposinf(log_value))
    flags = jnp.where(lost, int(Status.NOT_FINITE), 0).astype(jnp.int32)
    relative = jnp.where(powers > 0, error / jnp.where(powers > 0, powers, 1) / 2, 0)
    # Gains below the rounding of the largest are not known.
    rounding = jnp.finfo(value.dtype).eps * size**0.5 * value[0]
    rounding = jnp.where(value > size * rounding, 0 * rounding, rounding)
    return value[:kept], (value * relative + rounding)[:kept], flags, details


def _leading(rows: Float[Array, "r n"]) -> tuple[Float[Array, "n"], Float[Array, "n n"]]:
    """Singular values, largest first, and right vectors in columns, their main entry positive.

    Not by the product of the rows with themselves, in which half the digits are lost.
    """
    _, values, vectors = jnp.linalg.svd(jnp.linalg.qr(rows, mode="r"))
    vectors = vectors.T
    main = jnp.take_along_axis(vectors, jnp.argmax(jnp.abs(vectors), axis=0)[None], axis=0)
    return values, vectors * jnp.where(main < 0, -1, 1).astype(rows.dtype)
