"""Stretches of the input along which a memory is measured: what comes in, and where they lie."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state, without_law
from echoic.core.checks import at_least, channels_of, is_traced, sequences

SHORTEST_BURN_IN = 100


class Driven(eqx.Module):
    """A cell with its law dropped, the inputs that drive it and the state it starts from.

    ``driven`` is False when the inputs are the zeros that stand for none, or do not vary.
    """

    cell: AbstractCell
    inputs: Float[Array, "b t m"]
    state: State
    driven: bool = eqx.field(static=True)


def prepare(cell: AbstractCell | Step, inputs: Any, state: State, steps: int | None) -> Driven:
    """Check a cell and its inputs. Without inputs, zeros drive it for ``steps`` steps."""
    if inputs is not None and steps is not None:
        raise ValueError("steps goes with inputs=None: given inputs have a length of their own.")
    channels = channels_of(inputs)
    network: AbstractCell = without_law(as_cell(cell, state=state, input_size=channels))
    state = network.initial_state() if state is None else jax.tree.map(jnp.asarray, state)
    dtype = flatten_state(state)[0].dtype
    if inputs is None:
        if steps is None:
            raise ValueError("without inputs the length of the run is not known: pass steps=...")
        inputs = jnp.zeros((1, at_least("steps", steps, 1), network.input_size), dtype)
        return Driven(network, inputs, state, False)
    inputs = sequences(inputs, network.input_size, dtype)
    # All or nothing: whether a gap shows must not depend on where the windows happen to lie.
    inputs = jnp.where(jnp.all(jnp.isfinite(inputs)), inputs, jnp.nan)
    varies = is_traced(inputs) or bool(jnp.any(spread(inputs) != 0))  # NaN counts as varying
    return Driven(network, inputs, state, varies)


def spread(inputs: Float[Array, "b t m"]) -> Float[Array, "m"]:
    """The standard deviation of each channel, over all sequences: exactly 0 of a constant one."""
    # Rounding of a mean would make a constant vary, and squares of small numbers vanish.
    moved = inputs - inputs[:1, :1]
    size = jnp.max(jnp.abs(moved), axis=(0, 1), keepdims=True)
    return size[0, 0] * jnp.std(moved / jnp.where(size > 0, size, 1), axis=(0, 1))


def burn_in_for(burn_in: int | None, max_lag: int, length: int) -> int:
    """The steps run before a measurement, the default chosen and the length checked.

    The default is the largest lag, but no more than a quarter of the series and no less than 100.
    """
    if burn_in is None:
        burn_in = max(SHORTEST_BURN_IN, min(max_lag, length // 4))
    burn_in = at_least("burn_in", burn_in, 0)
    if length < burn_in + max_lag + 1:
        raise ValueError(
            f"max_lag={max_lag} after burn_in={burn_in} needs sequences of at least"
            f" {burn_in + max_lag + 1} steps, got {length}."
            " Give longer inputs, or a smaller max_lag or burn_in."
        )
    return burn_in


class Windows(eqx.Module):
    """Where windows of ``burn_in + span`` steps begin, those of one group in a row.

    Groups count as independent. With one window each, their last ``span`` steps are disjoint.
    Where the series has no room for that, a group holds several windows that overlap, and its
    starting times lie in a stretch of ``span`` steps or more that is its own.
    """

    sequence: Int[Array, "s"]
    first: Int[Array, "s"]
    groups: int = eqx.field(static=True)

    @property
    def size(self) -> int:
        """How many windows there are."""
        return self.sequence.shape[0]


def place(
    inputs: Float[Array, "b t m"], burn_in: int, span: int, starts: int, key: PRNGKeyArray
) -> Windows:
    """Spread ``starts`` windows over all sequences, at random places.

    Random, since evenly spaced windows would all see the same phase of a periodic input.
    """
    batch, length, _ = inputs.shape
    free = length - burn_in - span
    room = 1 + free // span  # windows of one sequence, disjoint after their burn-in
    if batch * room >= starts:
        return Windows(*_disjoint(key, batch, free, span, starts), starts)
    members = min(-(-starts // (batch * room)), 1 + free // room)
    return Windows(*_overlapping(key, batch, free, room, members), batch * room)


@eqx.filter_jit
def _disjoint(key, batch: int, free: int, span: int, starts: int):
    choose, shift = jr.split(key)
    per = -(-starts // batch)
    slack = jr.randint(shift, (batch, per), 0, free - (per - 1) * span + 1, jnp.int32)
    first = jnp.sort(slack, axis=1) + span * jnp.arange(per, dtype=jnp.int32)[None]
    index = jnp.arange(starts, dtype=jnp.int32)
    sequence = jr.permutation(choose, batch).astype(jnp.int32)[index % batch]
    return sequence, first[sequence, index // batch]


@eqx.filter_jit
def _overlapping(key, batch: int, free: int, room: int, members: int):
    cuts = np.linspace(0, free + 1, room + 1).astype(np.int32)
    low, high = (jnp.asarray(edge)[None, :, None] for edge in (cuts[:-1], cuts[1:]))
    first = jr.randint(key, (batch, room, members), low, high, jnp.int32)
    sequence = jnp.broadcast_to(jnp.arange(batch, dtype=jnp.int32)[:, None, None], first.shape)
    return sequence.reshape(-1), first.reshape(-1)
