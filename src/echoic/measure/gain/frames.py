"""One pass that pushes frames of tangents along windows of the input and sums up their lengths.

Squared lengths of unit directions are averaged at every lag, so that nothing of size
(windows, directions, state) is kept. Frames are rescaled at every step and carry the logarithm
of their scale: ten thousand lags neither under- nor overflow.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, flatten_state
from echoic.core.linalg import random_frame
from echoic.core.tangent import linearise
from echoic.measure.windows import Windows


class Spread(NamedTuple):
    """Squared lengths at each lag: ``exp(2 shift) (mean +- sqrt(variance))``, over all windows.

    ``typical`` is half the mean logarithm over windows, with its variance.
    """

    shift: Float[Array, "..."]
    mean: Float[Array, "..."]
    variance: Float[Array, "..."]
    typical: Float[Array, "..."]
    typical_variance: Float[Array, "..."]


class Coherent(NamedTuple):
    """The squared length of the average over windows, ``exp(2 shift) (square +- ...)``."""

    shift: Float[Array, "..."]
    square: Float[Array, "..."]
    variance: Float[Array, "..."]


class Lengths(NamedTuple):
    """What a pass leaves, lags first. ``input`` is None without input directions."""

    gain: Spread
    coherent: Coherent
    input: Spread | None


def directions(key: PRNGKeyArray, size: int, number: int, dtype: Any) -> Float[Array, "p n"]:
    """Orthonormal random directions, one a row; all the axes where ``number`` suffices."""
    if number >= size:
        return jnp.eye(size, dtype=dtype)
    return random_frame(key, size, number, dtype).T


@eqx.filter_jit
def push_frames(
    cell: AbstractCell,
    inputs: Float[Array, "b t m"],
    state: State,
    windows: Windows,
    burn_in: Int[Array, ""],
    state_directions: Float[Array, "p n"],
    input_directions: Float[Array, "q m"] | None,
    max_lag: int,
) -> Lengths:
    """Push directions of the state and of the input of lag 0 through ``max_lag`` steps."""

    def measure(states, frames, logs):
        gain = _spread(frames[0], logs[0], windows.groups, state_directions.shape[1])
        coherent = _coherent(frames[0], logs[0], windows.groups)
        if input_directions is None:
            return Lengths(gain, coherent, None)
        channels = input_directions.shape[1]
        return Lengths(gain, coherent, _spread(frames[1], logs[1], windows.groups, channels))

    begun = begin_frames(cell, inputs, state, windows, burn_in, state_directions, input_directions)
    return follow_frames(cell, inputs, begun, windows, burn_in, max_lag, measure)[1]


def begin_frames(cell, inputs, state, windows, burn_in, state_directions, input_directions):
    """States and frames at lag 0, right after the step that takes the newest input.

    Frames have the axes window, direction, state; either kind of direction may be None.
    """

    def inputs_at(step):
        return inputs[windows.sequence, windows.first + step]

    def inject(state, x):
        _, push = jax.linearize(lambda x: flatten_state(cell.step(state, x))[0], x)
        return jax.vmap(push)(input_directions)

    states = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (windows.size, *leaf.shape)), state)
    step = jax.vmap(cell.step)
    states = jax.lax.fori_loop(0, burn_in, lambda i, now: step(now, inputs_at(i)), states)
    frames = ()
    if state_directions is not None:
        shape = (windows.size, *state_directions.shape)
        frames = (jnp.broadcast_to(state_directions, shape),)
    if input_directions is not None:
        frames = (*frames, jax.vmap(inject)(states, inputs_at(burn_in)))
    return step(states, inputs_at(burn_in)), frames


def follow_frames(
    cell: AbstractCell,
    inputs: Float[Array, "b t m"],
    begun: tuple[State, tuple[Array, ...]],
    windows: Windows,
    burn_in: Int[Array, ""],
    max_lag: int,
    measure: Callable[[State, tuple[Array, ...], tuple[Array, ...]], Any],
) -> tuple[Any, Any]:
    """Push frames from lag 0 on, and apply ``measure(states, frames, logs)`` at every lag.

    A frame is ``exp(log)`` times what it is said to be, one logarithm a window. Returns what there
    is at the last lag, and what was measured, lags first.
    """

    def advance(carry, lag):
        states, frames, logs = carry
        xs = inputs[windows.sequence, windows.first + burn_in + lag]
        pushed = jax.vmap(_push, in_axes=(None, 0, 0, 0))(cell, states, xs, frames)
        # Lag 0 takes no step. A loop that begins at lag 1 would have to compile `measure` twice.
        states, frames = jax.tree.map(
            lambda new, old: jnp.where(lag > 0, new, old), pushed, (states, frames)
        )
        frames, logs = _rescale(frames, logs)
        return (states, frames, logs), measure(states, frames, logs)

    states, frames = begun
    logs = tuple(jnp.zeros(windows.size, frame.dtype) for frame in frames)
    lags = jnp.arange(max_lag + 1, dtype=burn_in.dtype)
    return jax.lax.scan(advance, (states, frames, logs), lags)


def _push(cell, state, x, frames):
    """One step of one window. Tangents are rows: one large product without transposes."""
    state, push = linearise(cell, state, x)
    cut = frames[0].shape[0]
    pushed = jax.vmap(push)(jnp.concatenate(frames))
    # A linear network has a finite Jacobian even where its trajectory is lost.
    lost = jnp.any(jnp.isnan(flatten_state(state)[0]))
    pushed = jnp.where(lost, jnp.nan, pushed)
    return state, (pushed[:cut], pushed[cut:])[: len(frames)]


def _rescale(frames, logs):
    """Frames of unit size, their scale in the logs. Zero stays zero and NaN stays NaN."""
    sizes = [jnp.sqrt(jnp.mean(frame**2, axis=(1, 2))) for frame in frames]
    sizes = [jnp.where(size > 0, size, jnp.ones_like(size)) for size in sizes]
    frames = tuple(f / size[:, None, None] for f, size in zip(frames, sizes, strict=True))
    return frames, tuple(log + jnp.log(size) for log, size in zip(logs, sizes, strict=True))


def _common_scale(squares, logs):
    """The largest scale among the windows that are not zero, and all windows relative to it."""
    logs = jnp.where(jnp.all(squares == 0, axis=1), -jnp.inf, logs)
    shift = jnp.max(logs)
    shift = jnp.where(jnp.isneginf(shift), jnp.zeros_like(shift), shift)
    return shift, jnp.exp(logs - shift)


def _spread(frame, logs, groups: int, size: int) -> Spread:
    """Mean square length, and its error from windows and from directions.

    Windows and directions are crossed: the variances of both margins are added and the
    interaction, which is in both, is taken out of one. Orthonormal directions are drawn without
    replacement, hence the factor (1 - p/size): all of them together leave no error.
    """
    squares = jnp.sum(frame**2, axis=2)
    shift, scale = _common_scale(squares, logs)
    table = jnp.mean((squares * scale[:, None] ** 2).reshape(groups, -1, squares.shape[1]), axis=1)
    mean, by_window, by_direction = table.mean(), table.mean(axis=1), table.mean(axis=0)

    # In logarithms each window has a scale of its own: the smallest counts as much as the largest.
    row = jnp.mean(squares, axis=1)
    relative = squares / jnp.where(row > 0, row, jnp.ones_like(row))[:, None]
    logarithm = 2 * logs + jnp.log(row)
    variance = _variance_of_mean(by_window)
    count = squares.shape[1]
    left_out = 1 - count / size
    if left_out == 0:
        typical_variance = _grouped_variance(logarithm, groups)
        return Spread(shift, mean, variance, jnp.mean(logarithm) / 2, typical_variance / 4)
    # The logarithm of an average over few directions is too small by half its relative variance.
    noise = jax.vmap(_variance_of_mean)(relative) * left_out
    logarithm = logarithm + noise / 2
    typical_variance = _grouped_variance(logarithm, groups)
    typical_variance += _variance_of_mean(jnp.mean(relative, axis=0)) * left_out
    rest = table - by_window[:, None] - by_direction[None, :] + mean
    crossed = jnp.sum(rest**2) / (max(groups - 1, 1) * max(count - 1, 1) * groups * count)
    of_directions = jnp.maximum(_variance_of_mean(by_direction) - crossed, 0 * crossed)
    variance += of_directions * left_out
    return Spread(shift, mean, variance, jnp.mean(logarithm) / 2, typical_variance / 4)


def _coherent(frame, logs, groups: int) -> Coherent:
    """The squared length of the average over windows, from pairs of different groups alone."""
    count, size = frame.shape[1:]
    shift, scale = _common_scale(jnp.sum(frame**2, axis=2), logs)
    parts = jnp.mean((frame * scale[:, None, None]).reshape(groups, -1, count, size), axis=1)
    if groups == 1:
        return Coherent(shift, jnp.full_like(shift, jnp.nan), jnp.full_like(shift, jnp.nan))
    total = jnp.sum(parts, axis=0)
    own = jnp.sum(parts**2, axis=2)
    whole, all_own = jnp.sum(total**2, axis=1), jnp.sum(own, axis=0)
    squares = (whole - all_own) / (groups * (groups - 1))
    if groups == 2:
        return Coherent(shift, jnp.mean(squares), jnp.full_like(shift, jnp.nan))
    shared = jnp.sum(parts * total[None], axis=2)
    without = (whole - all_own)[None] - 2 * (shared - own)
    without = jnp.mean(without, axis=1) / ((groups - 1) * (groups - 2))
    variance = (groups - 1) / groups * jnp.sum((without - jnp.mean(without)) ** 2)
    if count < size:
        variance += _variance_of_mean(squares) * (1 - count / size)
    return Coherent(shift, jnp.mean(squares), variance)


def _grouped_variance(values: Float[Array, "s"], groups: int) -> Float[Array, ""]:
    return _variance_of_mean(jnp.mean(values.reshape(groups, -1), axis=1))


def _variance_of_mean(values: Float[Array, "s"]) -> Float[Array, ""]:
    """The squared standard error of a mean; NaN for a single value, which has none."""
    number = values.shape[0]
    if number == 1:
        return jnp.full((), jnp.nan, values.dtype)
    return jnp.var(values, ddof=1) / number
