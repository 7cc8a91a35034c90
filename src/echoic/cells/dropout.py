"""Leaving numbers out at random while a network trains."""

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray


def rate(dropout: float) -> float:
    """``dropout`` as a number, checked."""
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ValueError(f"dropout must be a number in [0, 1), got {dropout!r}.")
    return float(dropout)


def dropped(
    xs: Float[Array, "*shape"], dropout: float, key: PRNGKeyArray
) -> Float[Array, "*shape"]:
    """Each number zero with probability ``dropout``, else divided by ``1 - dropout``.

    The expectation is ``xs`` (inverted dropout), so that nothing is left to be done at test time.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> sorted(set(dropped(jnp.ones(50), 0.75, jax.random.key(0)).tolist()))
    [0.0, 4.0]
    """
    kept = jr.bernoulli(key, 1 - dropout, xs.shape)
    return jnp.where(kept, xs / (1 - dropout), 0.0)
