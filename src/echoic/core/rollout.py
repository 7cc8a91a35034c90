"""Running a cell over a sequence."""

from typing import Any, Literal, NamedTuple

import jax
from jaxtyping import Array, PyTree

from echoic.core.cell import AbstractCell, State


class Rollout(NamedTuple):
    """What a run leaves: the collected trajectory (time behind the batch) and the last state."""

    trajectory: PyTree
    final: State


def rollout(
    cell: AbstractCell,
    inputs: Array,
    *,
    state: State = None,
    collect: Literal["outputs", "states", "nothing"] = "outputs",
    segment: int | None = None,
) -> Rollout:
    """Run ``cell`` over ``inputs`` of shape (t,), (t, m) or (b, t, m)."""
    if inputs.ndim == 1:
        inputs = inputs[:, None]
    if inputs.ndim == 3:
        batched = jax.vmap(
            lambda xs, s: rollout(cell, xs, state=s, collect=collect, segment=segment),
            in_axes=(0, None if state is None else 0),
        )
        return batched(inputs, state)

    def advance(state: State, x: Any) -> tuple[State, Any]:
        new = cell.step(state, x)
        kept = {"outputs": cell.output, "states": lambda s: s, "nothing": lambda s: None}[collect]
        return new, kept(new)

    final, trajectory = jax.lax.scan(
        advance, cell.initial_state() if state is None else state, inputs
    )
    return Rollout(trajectory, final)
