"""The loss of single targets: what training averages, and what measures of demand take apart."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from echoic.core.checks import one_of
from echoic.core.task import Loss

# From predictions (*targets, p) and targets to one loss for each target.
TargetLoss = Callable[[Array, Array], Array]

UNITS: dict[Loss, str] = {"cross_entropy": "nats", "mean_squared_error": "squared error"}


def cross_entropy(
    logits: Float[Array, "*targets p"], classes: Int[Array, "*targets"]
) -> Float[Array, "*targets"]:
    """``-log softmax(logits)[class]`` of every target, in nats.

    **Example**
    >>> import jax.numpy as jnp
    >>> bool(jnp.allclose(cross_entropy(jnp.zeros((2, 8)), jnp.array([0, 5])), jnp.log(8.0)))
    True
    """
    chances = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(chances, classes[..., None], axis=-1)[..., 0]


def squared_error(
    predictions: Float[Array, "*targets p"], targets: Float[Array, "*targets p"]
) -> Float[Array, "*targets"]:
    """``mean over p of (prediction - target)^2`` of every target.

    **Example**
    >>> import jax.numpy as jnp
    >>> squared_error(jnp.zeros((1, 2)), jnp.array([[1.0, 3.0]])).tolist()
    [5.0]
    """
    return jnp.mean((predictions - targets.astype(predictions.dtype)) ** 2, axis=-1)


def target_loss(loss: str | TargetLoss) -> TargetLoss:
    """The loss of single targets by its name, or one's own as it is.

    One's own is ``loss(predictions, targets)`` with predictions (*targets, p); it gives one loss
    for each target, shape (*targets).

    **Raises** ValueError for an unknown name.
    """
    if callable(loss):
        return loss
    known: dict[str, Any] = {
        "cross_entropy": cross_entropy,
        "mean_squared_error": squared_error,
    }
    return known[one_of("loss", loss, known)]


def at_last_step(targets: Array) -> bool:
    """Whether a batch asks for the last step only: classes (b,), or numbers (b, p)."""
    return targets.ndim == (1 if jnp.issubdtype(targets.dtype, jnp.integer) else 2)
