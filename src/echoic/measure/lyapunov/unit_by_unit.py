"""The Jacobian of a pointwise cell as one matrix, however many gates it has."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from echoic.core.cell import PointwiseCell, State, flatten_state


@eqx.filter_jit
def acts_unit_by_unit(cell: PointwiseCell, state: State, x: Any) -> Bool[Array, ""]:
    """Whether unit i of each part of the state depends on the i-th product of each gate alone.

    A `PointwiseCell` should; one that mixes its products (a normalisation, say) is found out.
    """
    vector, _ = flatten_state(state)
    _, push_product, _, _ = _parts(cell, state, x)
    slopes = _slopes(cell, push_product, vector)
    gates, n = cell.recurrent.shape[0] // cell.hidden_size, cell.hidden_size
    probe = jnp.sin(jnp.arange(1, gates * n + 1, dtype=vector.dtype) ** 2)
    expected = jnp.sum(slopes * probe.reshape(gates, 1, n), axis=0).reshape(-1)
    got = push_product(probe)
    scale = jnp.max(jnp.abs(got)) + jnp.max(jnp.abs(slopes))
    return jnp.max(jnp.abs(got - expected)) <= 100 * jnp.finfo(vector.dtype).eps * scale


def _parts(cell: PointwiseCell, state: State, x: Any):
    """A pointwise step: what the product, the old state and the readout contribute to it."""
    vector, restore = flatten_state(state)
    drive = cell.project(x)
    read, push_read = jax.linearize(lambda v: cell.read(restore(v)), vector)

    def combine(vector, product):
        new = cell.combine(restore(vector), drive, product)
        return flatten_state(new)[0], new

    product = cell.recurrent @ read
    _, push, new = jax.linearize(combine, vector, product, has_aux=True)
    nothing, none = jnp.zeros_like(vector), jnp.zeros_like(product)
    return new, lambda p: push(nothing, p), lambda v: push(v, none), push_read


def _slopes(cell: PointwiseCell, push_product, vector) -> Float[Array, "gates parts n"]:
    """The derivative of each part of the state in the product of each gate, unit by unit."""
    n = cell.hidden_size
    gates = cell.recurrent.shape[0] // n
    one_gate = jnp.repeat(jnp.eye(gates, dtype=vector.dtype), n, axis=1)
    return jax.vmap(push_product)(one_gate).reshape(gates, -1, n)


def linearise_unit_by_unit(
    cell: PointwiseCell, state: State, x: Any
) -> tuple[State, Callable[[Float[Array, "n k"]], Float[Array, "n k"]]]:
    """The next state and ``F -> J F``, by one matrix ``sum_g diag(slope_g) W_g`` for all gates.

    As many columns as units are cheaper to push through the sum of the gates' matrices than
    through each of them.
    """
    new, push_product, push_state, push_read = _parts(cell, state, x)
    vector, n = flatten_state(state)[0], cell.hidden_size
    push_state, known = jax.closure_convert(push_state, vector)
    # Without the barriers XLA computes each gate anew for every entry of a matrix.
    slopes, known = jax.lax.optimization_barrier((_slopes(cell, push_product, vector), known))
    gates, parts, _ = slopes.shape
    weights = cell.recurrent.reshape(gates, n, n)
    matrix = jnp.concatenate(
        [
            sum(slopes[gate, part][:, None] * weights[gate] for gate in range(gates))
            for part in range(parts)
        ]
    )
    matrix = jax.lax.optimization_barrier(matrix)

    def push_all(frame):
        seen = jax.vmap(push_read, in_axes=1, out_axes=1)(frame)
        direct = jax.vmap(lambda v: push_state(v, *known), in_axes=1, out_axes=1)(frame)
        return matrix @ seen + jax.lax.optimization_barrier(direct)

    return new, push_all
