"""What a model is trained to make small, and what else is said of its predictions."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.blocks import cut, scan
from echoic.core.cell import State
from echoic.core.loss import TargetLoss, at_last_step, target_loss
from echoic.core.model import AbstractModel
from echoic.core.task import Batch

# What the predictions of all steps may take at once, with what is computed from them. Above it they
# are made block by block, and a second time in the backward pass.
_READOUT_BYTES = 32e6


class Totals(NamedTuple):
    """Sums over the steps of each sequence: of the loss, of the hits, of the weights."""

    loss: Float[Array, "*b"]
    correct: Float[Array, "*b"]
    weight: Float[Array, "*b"]


class Metrics(NamedTuple):
    """Weighted means over sequences and steps; the accuracy of a regression is NaN."""

    loss: Float[Array, ""]
    accuracy: Float[Array, ""]


def loss(
    model: AbstractModel, batch: Batch, kind: str | TargetLoss, *, key: PRNGKeyArray | None = None
) -> Float[Array, ""]:
    """The mean loss of a batch.

    **Definition.** ``sum w l / sum w`` over sequences and steps, all w being 1 without weights.

    **Arguments**
    - `kind`: of l. ``"cross_entropy"``, ``-log softmax(y)[target]`` in nats;
      ``"mean_squared_error"``, the mean of ``(y - target)^2`` over the outputs; or one's own
      function of predictions (*targets, p) and targets.
    - `batch`: its targets decide where the model is read: at every step, or at the last one.
    - `key`: for the model's dropout; None leaves nothing out.

    **Raises** ValueError for an unknown kind.

    **Cost** a run of the model, and a readout at each step; the predictions of all steps are never
    held at once where they would take more than 32 MB.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic.cells import Elman, Network, Readout
    >>> keys = jax.random.split(jax.random.key(0))
    >>> model = Network(Elman(1, 3, key=keys[0]), Readout(3, 1, key=keys[1]))
    >>> prediction = model.predict(model.run(jnp.ones((2, 5, 1)), last=True).trajectory)
    >>> float(loss(model, Batch(jnp.ones((2, 5, 1)), prediction + 2), "mean_squared_error"))
    4.0
    """
    return metrics(totals(model, batch, kind, key=key)[0]).loss


def metrics(sums: Totals) -> Metrics:
    """Means from the sums of any number of sequences."""
    weight = jnp.sum(sums.weight)
    return Metrics(jnp.sum(sums.loss) / weight, jnp.sum(sums.correct) / weight)


def totals(
    model: AbstractModel,
    batch: Batch,
    kind: str | TargetLoss,
    *,
    state: State = None,
    key: PRNGKeyArray | None = None,
) -> tuple[Totals, State]:
    """The sums for each sequence, and the state after the last input."""
    last = at_last_step(batch.targets)
    ran = model.run(batch.inputs, state=state, last=last, key=key)
    if last:
        found = _compare(model.predict(ran.trajectory), batch.targets, None, kind)
        return found, ran.final
    length = batch.inputs.shape[1]
    size = _steps_at_once(model, ran.trajectory)
    if size >= length:
        found = _compare(model.predict(ran.trajectory), batch.targets, batch.weights, kind)
        return _over_time(found, axis=1), ran.final
    return _block_by_block(model, ran.trajectory, batch, kind, size), ran.final


def _steps_at_once(model: AbstractModel, outputs: Array) -> int:
    predictions = jax.eval_shape(model.predict, outputs)
    bytes_a_step = predictions.size // outputs.shape[1] * predictions.dtype.itemsize
    return max(1, int(_READOUT_BYTES // bytes_a_step))


def _block_by_block(model, outputs, batch, kind, size):
    """The readout over blocks of steps, with predictions that nobody keeps."""
    steps = jtu.tree_map(lambda a: jnp.swapaxes(a, 0, 1), (outputs, batch.targets, batch.weights))

    @jax.checkpoint
    def block(sums, steps):
        outputs, targets, weights = steps
        found = _over_time(_compare(model.predict(outputs), targets, weights, kind), axis=0)
        return jtu.tree_map(jnp.add, sums, found), None

    nothing = Totals(*[jnp.zeros(outputs.shape[0], outputs.dtype)] * 3)
    return scan(block, nothing, *cut(steps, size))[0]


def _over_time(sums: Totals, axis: int) -> Totals:
    return Totals(*(jnp.sum(part, axis) for part in sums))


def _compare(
    predictions: Float[Array, "*steps p"],
    targets: Array,
    weights: Array | None,
    kind: str | TargetLoss,
) -> Totals:
    loss = target_loss(kind)(predictions, targets)
    if jnp.issubdtype(targets.dtype, jnp.integer):
        correct = (jnp.argmax(predictions, axis=-1) == targets).astype(loss.dtype)
    else:
        correct = jnp.full_like(loss, jnp.nan)
    if weights is None:
        return Totals(loss, correct, jnp.ones_like(loss))
    weights = weights.astype(loss.dtype)
    return Totals(weights * loss, weights * correct, weights)


def bits_per_symbol(loss: Any) -> Any:
    """A cross-entropy in nats as bits.

    **Example**
    >>> round(float(bits_per_symbol(math.log(8))), 12)
    3.0
    """
    return loss / math.log(2)


def perplexity(loss: Any) -> Any:
    """``exp`` of a cross-entropy in nats: among how many equally likely symbols one would guess.

    **Example**
    >>> round(float(perplexity(math.log(8))), 12)
    8.0
    """
    return jnp.exp(loss)
