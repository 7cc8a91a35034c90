"""Where runs under a constant input begin: the input, and many initial states."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, flatten_state
from echoic.core.checks import at_least, refuse_if_larger


def constant_input(input: Any, input_size: int, dtype: Any) -> Float[Array, "m"]:
    """One input vector, the same at every step; zeros for None, a number for one channel."""
    if input is None:
        return jnp.zeros(input_size, dtype)
    array = jnp.atleast_1d(jnp.asarray(input))
    if jnp.issubdtype(array.dtype, jnp.complexfloating) or array.dtype == bool:
        raise ValueError(f"input must be real numbers, got dtype {array.dtype}.")
    if array.shape != (input_size,):
        raise ValueError(
            f"input must be one constant vector of shape ({input_size},), got shape"
            f" {np.shape(input)}. Call once for each input."
        )
    return array.astype(dtype)


def starting_states(
    cell: AbstractCell, starts: Any, *, key: PRNGKeyArray | None, spread: float
) -> State:
    """Initial states with a leading axis: given ones, or so many random ones.

    A number draws that many from a normal distribution of standard deviation ``spread`` around
    the cell's initial state; None is that state alone.

    **Raises** ValueError for starts that do not fit, MemoryError for drawn ones above 8 GB.
    """
    own = cell.initial_state()
    if starts is None:
        return jtu.tree_map(lambda leaf: leaf[None], own)
    if isinstance(starts, int | np.integer):
        count = at_least("starts", starts, 1)
        if key is None:
            raise ValueError("random starts need a key: pass key=jax.random.key(...).")
        vector, restore = flatten_state(own)
        refuse_if_larger(f"{count:,} starts", 3.0 * count * vector.nbytes)  # drawn, shifted, flat
        noise = jr.normal(key, (count, vector.size), vector.dtype)
        scale = jnp.asarray(spread, vector.dtype)
        return jax.vmap(restore)(vector[None] + scale * noise)
    return _given(own, starts)


def _given(own: State, starts: Any) -> State:
    """States that the caller brings, checked against the cell's own."""
    wanted = jtu.tree_structure(own)
    if jtu.tree_structure(starts) != wanted:
        raise ValueError(
            f"starts must be a number of states or states with the structure of the cell's"
            f" initial_state(), {wanted}, each leaf with one more leading axis; got"
            f" {jtu.tree_structure(starts)}."
        )
    leaves, like = jtu.tree_leaves(starts), jtu.tree_leaves(own)
    counts = {np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in leaves}
    shapes = [np.shape(leaf)[1:] for leaf in leaves]
    if len(counts) != 1 or 0 in counts or shapes != [leaf.shape for leaf in like]:
        raise ValueError(
            "starts must have leaves of shape "
            + ", ".join(str(("s", *leaf.shape)) for leaf in like)
            + " with one s >= 1, got "
            + ", ".join(str(np.shape(leaf)) for leaf in leaves)
            + "."
        )
    return jtu.tree_map(lambda leaf, other: jnp.asarray(leaf, other.dtype), starts, own)


@eqx.filter_jit
def wander(
    cell: AbstractCell,
    states: State,
    x: Float[Array, "m"],
    steps: Array,
    *,
    key: PRNGKeyArray,
) -> Float[Array, "s n"]:
    """Each state moved on by a random number of steps, ``steps`` at most, flat.

    A fixed point that repels has to be looked for where orbits begin, one that attracts a few of
    the directions where they go. Times whose logarithm is uniform see all of it; a uniform time
    would be past the transient nearly always.
    """
    count = jtu.tree_leaves(states)[0].shape[0]
    longest = jnp.log1p(steps.astype(jnp.float32))
    times = jnp.exp(longest * jr.uniform(key, (count,), jnp.float32)).astype(jnp.int32) - 1

    def body(t, states):
        moved = jax.vmap(lambda state: cell.step(state, x))(states)

        def keep(new, old):
            go = (t < times).reshape((count,) + (1,) * (new.ndim - 1))
            return jnp.where(jnp.broadcast_to(go, new.shape), new, old)

        return jtu.tree_map(keep, moved, states)

    states = jax.lax.fori_loop(0, steps, body, states)
    return jax.vmap(lambda state: flatten_state(state)[0])(states)
