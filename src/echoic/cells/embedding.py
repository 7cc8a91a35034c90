"""Vectors in place of symbols."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.cells.weights import Initialiser, draw
from echoic.core.checks import at_least
from echoic.init.dense import normal


class Embedding(eqx.Module):
    """One vector a symbol, learned; the default is that of ``torch.nn.Embedding``.

    **Definition.** Symbol i becomes row i of the matrix E (vocabulary, size). Numbers are taken for
    (mixtures of) one-hot vectors and multiplied: ``x E``, which of one-hot vectors is the same.

    **Arguments**
    - `vocabulary`: how many symbols there are, 0..vocabulary-1.
    - `size`: the length of their vectors.
    - `weight`: initialiser of E. With a tied readout the default, unit variance, starts with logits
      of standard deviation |h|; ``init.uniform(0.1)`` is usual there.
    - `key`: a JAX random key.

    A symbol outside the vocabulary becomes NaN.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> embedding = Embedding(5, 3, key=jax.random.key(0))
    >>> symbols = jnp.array([[4, 0]])
    >>> embedding(symbols).shape
    (1, 2, 3)
    >>> bool(jnp.allclose(embedding(symbols), embedding(jax.nn.one_hot(symbols, 5))))
    True
    """

    weight: Float[Array, "v m"]

    def __init__(
        self,
        vocabulary: int,
        size: int,
        *,
        weight: Initialiser = normal(),
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        shape = at_least("vocabulary", vocabulary, 1), at_least("size", size, 1)
        self.weight = draw("weight", weight, key, shape, dtype)

    @property
    def vocabulary(self) -> int:
        """How many symbols there are."""
        return self.weight.shape[0]

    @property
    def size(self) -> int:
        """The length of a symbol's vector."""
        return self.weight.shape[1]

    def __call__(
        self, inputs: Int[Array, "*batch"] | Float[Array, "*batch v"]
    ) -> Float[Array, "*batch m"]:
        """The vectors of symbols, or of one-hot vectors, for any number of leading axes."""
        if jnp.issubdtype(inputs.dtype, jnp.integer):
            return rows(self.weight, inputs)
        return inputs.astype(self.weight.dtype) @ self.weight


def rows(table: Float[Array, "v m"], symbols: Int[Array, "*batch"]) -> Float[Array, "*batch m"]:
    """The symbols' rows of a table, NaN for those that it does not have."""
    # Indexing would take the last row, or count from the end.
    return table.at[symbols].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)


def one_hot(symbols: Int[Array, "*batch"], vocabulary: int, dtype: Any) -> Float[Array, "*batch v"]:
    """One-hot vectors, NaN for symbols outside 0..vocabulary-1."""
    inside = (symbols >= 0) & (symbols < vocabulary)
    hot = jax.nn.one_hot(symbols, vocabulary, dtype=dtype)
    return jnp.where(inside[..., None], hot, jnp.nan)
