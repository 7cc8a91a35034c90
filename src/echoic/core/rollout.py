"""Running a cell over a sequence."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, PyTree

from echoic.core import pointwise
from echoic.core.blocks import cut, divisor_near, join, scan
from echoic.core.cell import AbstractCell, PointwiseCell, State, without_law
from echoic.core.checks import at_least, one_of
from echoic.core.pointwise import Plan, collected

# What a backward pass may store before it begins to compute states twice instead.
_STORED_BYTES = 256e6
# What one array of a block should take: a few of them fit into a cache, and the block is still long
# enough for its products to be efficient.
_BLOCK_BYTES = 2**20


class Rollout(NamedTuple):
    """What a run leaves: the collected trajectory (time behind the batch) and the last state."""

    trajectory: PyTree
    final: State


def rollout(
    cell: AbstractCell,
    inputs: Any,
    *,
    state: State = None,
    collect: str = "outputs",
    segment: int | None = None,
) -> Rollout:
    """Run a cell over one sequence or a batch of them.

    **Definition.** ``s_k = step(s_{k-1}, x_k)`` for k = 1..t; s_0 is not part of the trajectory.

    **Arguments**
    - `inputs`: shape (t,), (t, m) or (b, t, m).
    - `state`: the state before the first input, each leaf with a leading axis b for a batch;
      by default the cell's ``initial_state()``.
    - `collect`: ``"outputs"`` (what a readout sees), ``"states"`` (the whole state) or
      ``"nothing"``. A loss of the last state alone is cheapest with ``"nothing"``.
    - `segment`: gradient checkpointing. The backward pass stores the states at the start of each
      ``segment`` steps and computes the others a second time, so that it needs room for
      ``t / segment + segment`` states. None stores all of them where that takes less than 256 MB,
      else cuts into segments of sqrt(t).

    **Returns** a `Rollout`: `trajectory`, a pytree of arrays (t, ...) or (b, t, ...), None with
    ``"nothing"``; and `final`, the last state, with a leading b for a batch.

    **Raises** ValueError where shapes do not fit, and for what is no cell.

    **Misleads.** Of a pointwise cell there is reverse mode only: ``jax.jvp`` and ``jax.jacfwd`` of
    its rollout raise (those of the gradient do not). Push tangents through ``cell.step`` instead.

    **Cost** O(t b n r) for r rows in the recurrent matrix. For a `PointwiseCell` all inputs are
    projected outside the loop and the gradient of the recurrent matrix is formed by large products.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic.cells import Elman
    >>> cell = Elman(1, 3, key=jax.random.key(0))
    >>> run = rollout(cell, jnp.ones(5))
    >>> again = rollout(cell, jnp.ones(2), state=rollout(cell, jnp.ones(3)).final)
    >>> bool(jnp.allclose(run.final, again.final)), run.trajectory.shape
    (True, (5, 3))
    """
    one_of("collect", collect, ("outputs", "states", "nothing"))
    if segment is not None:
        at_least("segment", segment, 1)
    if not isinstance(cell, AbstractCell):
        raise ValueError(
            f"rollout runs a cell, got {cell!r}. Make one of a step function, and its initial"
            " state, by FunctionCell(step, state, input_size) of echoic.core.cell."
        )
    cell = without_law(cell)
    single = jax.eval_shape(cell.initial_state)
    xs, batched = _batch(inputs, cell.input_size, _dtype(single))
    state = _start(cell, single, state, xs.shape[0], batched=batched)
    plan = _plan(cell, xs.shape[0], xs.shape[1], single, collect, segment)
    trajectory, final = _run(cell, state, xs, plan)
    if batched:
        return Rollout(trajectory, final)
    return Rollout(*jtu.tree_map(lambda leaf: leaf[0], (trajectory, final)))


@eqx.filter_jit
def _run(cell, state, xs: Float[Array, "b t m"], plan: Plan) -> tuple[PyTree, State]:
    final, trajectory = _by_time(cell, state, jnp.swapaxes(xs, 0, 1), plan)
    return jtu.tree_map(lambda leaf: jnp.swapaxes(leaf, 0, 1), trajectory), final


def _by_time(cell, state, xs: Float[Array, "t b m"], plan: Plan) -> tuple[State, PyTree]:
    """The last state, and the trajectory (t, b, ...), the fastest way that the cell allows."""
    if isinstance(cell, PointwiseCell):
        return pointwise.run((cell, state, xs), plan)
    layers = cell.layers()
    # The layers one after the other, unless what lies between them is too long to be stored.
    if len(layers) == 1 or (layers and plan.remember):
        return _run_layers(layers, state, xs, plan)
    return _run_steps(cell, state, xs, plan)


def _run_layers(layers, state, xs, plan):
    wanted = "states" if plan.collect == "states" else "outputs"
    final, trajectories = [], []
    for layer, start in zip(layers[:-1], state[:-1], strict=True):
        last, trajectory = _by_time(layer, start, xs, plan._replace(collect=wanted))
        final.append(last)
        trajectories.append(trajectory)
        xs = jax.vmap(jax.vmap(layer.output))(trajectory) if wanted == "states" else trajectory
    last, trajectory = _by_time(layers[-1], state[-1], xs, plan)
    if plan.collect == "states":
        trajectory = (*trajectories, trajectory)
    return (*final, last), trajectory


def _run_steps(cell, state, xs, plan):
    """Any cell: a scan of its step, checkpointed by block unless the plan remembers."""

    def step(state, x):
        new = jax.vmap(cell.step)(state, x)
        return new, jax.vmap(lambda state: collected(cell, state, plan.collect))(new)

    if plan.remember:
        return jax.lax.scan(step, state, xs)
    block = jax.checkpoint(lambda state, xs: jax.lax.scan(step, state, xs), prevent_cse=False)
    final, *trajectory = scan(block, state, *cut(xs, plan.block))
    return final, join(*trajectory)


def _plan(cell, batch, length, single, collect, segment) -> Plan:
    rows = cell.recurrent.shape[0] if isinstance(cell, PointwiseCell) else 4 * cell.hidden_size
    size = _dtype(single).itemsize * batch
    numbers = sum(math.prod(leaf.shape) for leaf in jtu.tree_leaves(single))
    if segment is None and length * (numbers + rows) * size > _STORED_BYTES:
        segment = math.isqrt(length)
    if segment is None or segment >= length:
        return Plan(collect, divisor_near(length, _BLOCK_BYTES // max(1, rows * size)), True)
    return Plan(collect, segment, False)


def _dtype(state: State) -> np.dtype:
    """That of the state's floating leaves: the precision in which the cell computes."""
    kinds = [
        leaf.dtype for leaf in jtu.tree_leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    return np.dtype(kinds[0]) if kinds else np.dtype(jnp.result_type(float))


def _batch(inputs: Any, input_size: int, dtype: Any) -> tuple[Float[Array, "b t m"], bool]:
    """The inputs with a batch axis, and whether they had one."""
    xs = jnp.asarray(inputs)
    if not (jnp.issubdtype(xs.dtype, jnp.floating) or jnp.issubdtype(xs.dtype, jnp.integer)):
        raise ValueError(f"inputs must be real numbers, got dtype {xs.dtype}.")
    if xs.ndim not in (1, 2, 3):
        raise ValueError(f"inputs must have shape (t,), (t, m) or (b, t, m), got {xs.shape}.")
    channels = 1 if xs.ndim == 1 else xs.shape[-1]
    # A bare step function that reads no input takes any: they count its steps.
    if channels != input_size and input_size > 0:
        raise ValueError(
            f"the cell takes {input_size} input channel(s), the inputs have {channels}:"
            f" got shape {xs.shape}."
        )
    if 0 in xs.shape[: 1 if xs.ndim == 1 else -1]:
        raise ValueError(f"inputs are empty: got shape {xs.shape}.")
    batched = xs.ndim == 3
    shape = xs.shape if batched else (1, xs.shape[0], channels)
    return xs.astype(dtype).reshape(shape), batched


def _start(cell, single: State, state: State, batch: int, *, batched: bool) -> State:
    """The state before the first input, with a batch axis."""
    if state is None:
        return jtu.tree_map(
            lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), cell.initial_state()
        )
    wanted = jtu.tree_map(lambda leaf: ((batch,) if batched else ()) + leaf.shape, single)
    if jtu.tree_structure(state) != jtu.tree_structure(single):
        raise ValueError(
            f"state must have the structure of the cell's initial_state(),"
            f" {jtu.tree_structure(single)}, got {jtu.tree_structure(state)}."
        )
    got = jtu.tree_map(np.shape, state)
    if got != wanted:
        raise ValueError(
            f"state must have shape {wanted}"
            + (", one state for each sequence of the batch" if batched else "")
            + f", got {got}."
        )
    state = jtu.tree_map(lambda leaf, like: jnp.asarray(leaf, like.dtype), state, single)
    return state if batched else jtu.tree_map(lambda leaf: leaf[None], state)
