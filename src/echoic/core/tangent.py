"""A step together with its derivative in the state: what every measurement of memory pushes on."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from echoic.core.cell import AbstractCell, State, flatten_state


def all_finite(state: State, xs: Array) -> Bool[Array, ""]:
    """Whether the state in which a run ended, and its inputs, are finite numbers.

    Derivatives along the run do not tell: those of a linear cell depend on neither.
    """
    return jnp.all(jnp.isfinite(flatten_state(state)[0])) & jnp.all(jnp.isfinite(xs))


def linearise(
    cell: AbstractCell, state: State, x: Any
) -> tuple[State, Callable[[Float[Array, "n"]], Float[Array, "n"]]]:
    """The next state, and the map ``v -> J v`` with J = dh_{t+1}/dh_t over the full state.

    Only the floating numbers of the state are perturbed, in the order of ``flatten_state``.
    Linear in the vector and traceable, so that ``jax.linear_transpose`` gives ``v -> J' v``.
    """
    vector, restore = flatten_state(state)

    def advance(vector):
        new = cell.step(restore(vector), x)
        return flatten_state(new)[0], new

    _, push, new = jax.linearize(advance, vector, has_aux=True)
    return new, push


def push_frame(
    cell: AbstractCell, state: State, x: Any, frame: Float[Array, "n k"]
) -> tuple[State, Float[Array, "n k"]]:
    """The next state, and ``J frame``. Cost: one step and k tangents, O(n^2 k)."""
    new, push = linearise(cell, state, x)
    return new, jax.vmap(push, in_axes=1, out_axes=1)(frame)


def jacobian(cell: AbstractCell, state: State, x: Any) -> tuple[State, Float[Array, "n n"]]:
    """The next state, and the dense Jacobian dh_{t+1}/dh_t over the full state."""
    vector, _ = flatten_state(state)
    return push_frame(cell, state, x, jnp.eye(vector.size, dtype=vector.dtype))


def input_jacobian(cell: AbstractCell, state: State, x: Float[Array, "m"]) -> Float[Array, "n m"]:
    """The dense derivative dh_{t+1}/dx over the full state."""
    return jax.jacfwd(lambda x: flatten_state(cell.step(state, x))[0])(x)
