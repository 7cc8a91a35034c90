"""What does not fit together is refused before anything compiles."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from echoic.core.loss import TargetLoss, at_last_step
from echoic.core.model import AbstractModel
from echoic.core.task import Batch
from echoic.training.stream import AbstractSource


def refuse_other_sizes(model: AbstractModel, task: Any) -> None:
    """Model and task must have as many inputs, and outputs, as each other."""
    if model.input_size != task.input_size:
        raise ValueError(
            f"the model takes {model.input_size} input(s), the task gives {task.input_size}: build"
            f" the cell with input_size={task.input_size}."
        )
    outputs = getattr(model.readout, "output_size", task.output_size)
    if outputs != task.output_size:
        raise ValueError(
            f"the readout has {outputs} output(s), the task wants {task.output_size}: they must be"
            " equal."
        )


def refuse_numbers_for_an_embedding(model: AbstractModel, batch: Batch) -> None:
    """An embedding looks symbols up."""
    if getattr(model, "embedding", None) is None:
        return
    if not jnp.issubdtype(batch.inputs.dtype, jnp.integer):
        raise ValueError("an embedding reads symbols, but the inputs of this task are numbers.")


def refuse_what_carries_no_state(model: AbstractModel, source: AbstractSource) -> None:
    """A stream wants a network that can go on where it stopped."""
    if source.carries and not hasattr(model, "initial_state"):
        raise ValueError(
            f"the state is carried from segment to segment, but {type(model).__name__} has none"
            " that could be: train a causal network on this task."
        )


def refuse_bad_batch(name: str, batch: Batch, task: Any, loss: str | TargetLoss) -> None:
    """Shapes, lengths, ranges and finiteness of sequences; ``name`` says whose they are."""
    inputs, targets, weights = batch
    symbols = jnp.issubdtype(inputs.dtype, jnp.integer)
    classes = jnp.issubdtype(targets.dtype, jnp.integer)
    if inputs.ndim != (2 if symbols else 3):
        raise ValueError(
            f"inputs of the {name} must be numbers (b, t, m) or integer symbols (b, t), got"
            f" {inputs.dtype} {inputs.shape}."
        )
    if not symbols and inputs.shape[2] != task.input_size:
        raise ValueError(
            f"inputs of the {name} have {inputs.shape[2]} channel(s), but the task's input_size is"
            f" {task.input_size}."
        )
    if classes == (loss == "mean_squared_error") and not callable(loss):
        raise ValueError(
            f"targets of the {name} are {targets.dtype}: {loss} wants"
            f" {'integer classes' if loss == 'cross_entropy' else 'real numbers'}."
        )
    _refuse_bad_shapes(name, batch, task.output_size)
    _refuse_bad_numbers(f"inputs of the {name}", inputs, task.input_size)
    _refuse_bad_numbers(f"targets of the {name}", targets, task.output_size)
    if weights is not None:
        _refuse_bad_weights(name, np.asarray(weights))


def _refuse_bad_shapes(name: str, batch: Batch, output_size: int) -> None:
    inputs, targets, weights = batch
    rows, length = inputs.shape[:2]
    if rows == 0 or length == 0:
        raise ValueError(f"the {name} is empty: its inputs have shape {inputs.shape}.")
    outputs = () if jnp.issubdtype(targets.dtype, jnp.integer) else (output_size,)
    last, every = (rows, *outputs), (rows, length, *outputs)
    if targets.shape not in (last, every):
        raise ValueError(
            f"targets of the {name} must have shape {every}, as long as the inputs, or {last} for"
            f" the last step alone, got {targets.shape}."
        )
    if weights is None:
        return
    if at_last_step(targets):
        raise ValueError(f"weights of the {name} are for targets at every step, not at the last.")
    if weights.shape != (rows, length):
        raise ValueError(
            f"weights of the {name} must have shape {(rows, length)}, got {weights.shape}."
        )


def _refuse_bad_numbers(what: str, array: Any, size: int) -> None:
    values = np.asarray(array)
    if np.issubdtype(values.dtype, np.integer):
        if values.min() < 0 or values.max() >= size:
            raise ValueError(
                f"{what} must lie in 0..{size - 1}, got {values.min()}..{values.max()}."
            )
        return
    bad = ~np.isfinite(values)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{what} must be finite: {int(bad.sum())} of {values.size} numbers are not, the first"
            f" at {place}."
        )


def _refuse_bad_weights(name: str, weights: np.ndarray) -> None:
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"weights of the {name} must be finite and at least 0.")
    if not weights.any():
        raise ValueError(f"weights of the {name} are all 0: nothing is asked.")
