"""What several tasks have in common: certain answers, and draws from a set of sequences."""

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.checks import at_least
from echoic.core.task import Batch

# exp(-50) is far below the rounding of a loss, and no logit overflows.
CERTAIN = 50.0


def certain(classes: Int[Array, "*batch"], num_classes: int) -> Float[Array, "*batch p"]:
    """Logits of somebody who knows."""
    return CERTAIN * jax.nn.one_hot(classes, num_classes, dtype=jnp.float32)


def drawn(data: Batch, key: PRNGKeyArray, batch: int) -> Batch:
    """Sequences of a set, drawn with replacement."""
    total = data.inputs.shape[0]
    at_least("batch", batch, 1, total)
    rows = jr.randint(key, (batch,), 0, total, jnp.int32)
    return jtu.tree_map(lambda part: part[rows], data)
