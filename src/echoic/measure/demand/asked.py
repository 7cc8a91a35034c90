"""At which steps of which sequences a loss is looked at: targets by themselves, not their sum."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.cell import State
from echoic.core.checks import at_least, is_traced
from echoic.core.loss import TargetLoss, at_last_step
from echoic.core.task import Batch


class Asked(NamedTuple):
    """Sequences, and for each of them a few steps at which something is asked.

    **Fields**

    - ``inputs``: (b, t, m), or symbols (b, t); ``state``: the state before them, or None.
    - ``times``: the steps, (b, j); ``targets``: what is asked there, (b, j) or (b, j, p).
    """

    inputs: Float[Array, "b t m"] | Int[Array, "b t"]
    state: State
    times: Int[Array, "b j"]
    targets: Array


def asked(
    batch: Batch, *, earliest: int, times: int, state: State = None, key: PRNGKeyArray
) -> Asked:
    """A few targets of every sequence, none before step ``earliest``.

    A step is drawn as often as its weight says, evenly spread over the steps that have one.
    Sequences without any are left out.

    **Raises** ValueError where shapes do not fit, or no target is late enough, and where the batch
    or the key is traced.
    """
    times = at_least("times", times, 1)
    if is_traced(key):
        raise ValueError("the key that draws target times cannot be traced (jit, vmap, grad).")
    inputs, targets, chances = checked(batch, earliest)
    rows = np.flatnonzero(chances.sum(1) > 0)
    chances = chances[rows]
    times = min(times, int((chances > 0).sum(1).max()))
    with jax.ensure_compile_time_eval():  # a network may be traced; when it is asked is not
        shift = np.asarray(jr.uniform(key, (len(rows), 1)), float)
    chosen = _spread_out(chances, times, shift)
    wanted = targets[rows][:, None] if at_last_step(targets) else targets[rows[:, None], chosen]
    return Asked(
        inputs=inputs[rows],
        state=jtu.tree_map(lambda leaf: jnp.asarray(leaf)[rows], state),
        times=jnp.asarray(chosen, jnp.int32),
        targets=wanted,
    )


def _spread_out(chances: np.ndarray, times: int, shift: np.ndarray) -> np.ndarray:
    """Systematic sampling: every step as often as its chance, none twice if there are enough."""
    share = np.cumsum(chances, axis=1) / chances.sum(1, keepdims=True)
    points = (shift + np.arange(times)) / times
    chosen = (share[:, :, None] <= points[:, None, :]).sum(1)
    # Rounding must not lead beyond the last step that has a chance.
    last = chances.shape[1] - 1 - (chances[:, ::-1] > 0).argmax(1)
    return np.minimum(chosen, last[:, None])


def checked(batch: Batch, earliest: int) -> tuple[Array, Array, Float[np.ndarray, "b t"]]:
    """Inputs and targets that fit, and how much each step counts, nothing before ``earliest``.

    **Raises** ValueError where shapes do not fit, or no target is late enough, and under tracing.
    """
    if is_traced(batch):
        raise ValueError(
            "a batch cannot be traced (jit, vmap, grad): which targets are asked is chosen by its"
            " numbers."
        )
    inputs, targets, weights = jnp.asarray(batch.inputs), jnp.asarray(batch.targets), batch.weights
    symbols = jnp.issubdtype(inputs.dtype, jnp.integer)
    if inputs.ndim != (2 if symbols else 3) or 0 in inputs.shape:
        raise ValueError(
            "inputs must be numbers (b, t, m) or whole numbers (b, t) that stand for symbols, got"
            f" {inputs.dtype} of shape {inputs.shape}."
        )
    shape = inputs.shape[:2]
    fits = targets.shape[:1] if at_last_step(targets) else targets.shape[:2]
    if fits != shape[: len(fits)]:
        raise ValueError(
            f"targets must be as many, and as long, as the inputs {inputs.shape}, got shape"
            f" {targets.shape}."
        )
    if weights is not None and weights.shape != shape:
        raise ValueError(f"weights must have shape {shape}, got {weights.shape}.")
    counts = np.ones(shape) if weights is None else np.array(weights, float)
    if at_last_step(targets):
        counts = np.zeros(shape)
        counts[:, -1] = 1
    counts[:, :earliest] = 0
    if not counts.any():
        raise ValueError(
            f"no target has {earliest} steps before it: lags must be smaller than the step of the"
            f" last target, the sequences have {shape[1]} steps."
        )
    return inputs, targets, counts


def each_loss(
    loss: TargetLoss, predictions: Float[Array, "*targets p"], targets: Array
) -> Float[Array, "*targets"]:
    """One loss for each target; refuses a loss that has summed them up."""
    losses = loss(predictions, targets)
    if jnp.shape(losses) != predictions.shape[:-1]:
        raise ValueError(
            "loss(predictions, targets) must give one loss for each target, shape"
            f" {predictions.shape[:-1]}, got {jnp.shape(losses)}."
        )
    return losses


def name_of(loss: str | TargetLoss) -> str:
    """What a loss is called in the settings of a measurement."""
    return loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
