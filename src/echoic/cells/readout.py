"""Dense readouts: with a matrix of their own, or with that of the embedding."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.cells.weights import Initialiser, affine, draw
from echoic.core.checks import at_least
from echoic.init.dense import uniform, zeros


class Readout(eqx.Module):
    """A dense readout ``y = C h + d``; the default is that of ``torch.nn.Linear``.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic import init
    >>> readout = Readout(3, 1, weight=init.constant(1.0), bias=init.zeros(), key=jax.random.key(0))
    >>> readout(jnp.ones(3)).tolist()
    [3.0]
    """

    weight: Float[Array, "p n"]
    bias: Float[Array, "p"]

    def __init__(
        self,
        hidden_size: int,
        output_size: int,
        *,
        weight: Initialiser | None = None,
        bias: Initialiser | None = None,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        n = at_least("hidden_size", hidden_size, 1)
        p = at_least("output_size", output_size, 1)
        weight_key, bias_key = jr.split(key)
        default = uniform(1 / math.sqrt(n))
        self.weight = draw("weight", weight or default, weight_key, (p, n), dtype)
        self.bias = draw("bias", bias or default, bias_key, (p,), dtype)

    @property
    def output_size(self) -> int:
        """How many numbers are read out."""
        return self.weight.shape[0]

    def __call__(self, outputs: Float[Array, "*batch n"]) -> Float[Array, "*batch p"]:
        """``C h + d`` for any number of leading axes."""
        return affine(self.weight, self.bias, outputs)


class TiedReadout(eqx.Module):
    """A readout whose matrix is that of the embedding: ``y = E h + d``.

    Symbols that are embedded alike are predicted alike, and the larger of a language model's
    matrices is there once. Only the bias is its own; the matrix is handed over at each call, so
    that its gradient comes from both uses. [`Network.predict`][echoic.Network] does that.

    **Arguments**
    - `output_size`: the size of the vocabulary.
    - `bias`: initialiser of d (p,).
    - `key`: a JAX random key.

    **Reference.** Press & Wolf (2017); Inan, Khosravi & Socher (2017).

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic.cells import Embedding
    >>> keys = jax.random.split(jax.random.key(0))
    >>> embedding, readout = Embedding(5, 3, key=keys[0]), TiedReadout(5, key=keys[1])
    >>> own = embedding(jnp.array(2))
    >>> bool(jnp.isclose(readout(own, embedding.weight)[2], own @ own))
    True
    """

    bias: Float[Array, "p"]

    def __init__(
        self,
        output_size: int,
        *,
        bias: Initialiser = zeros(),
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        p = at_least("output_size", output_size, 1)
        self.bias = draw("bias", bias, key, (p,), dtype)

    @property
    def output_size(self) -> int:
        """How many numbers are read out."""
        return self.bias.shape[0]

    def __call__(
        self, outputs: Float[Array, "*batch n"], weight: Float[Array, "p n"]
    ) -> Float[Array, "*batch p"]:
        """``E h + d`` for any number of leading axes."""
        return affine(weight, self.bias, outputs)
