"""The minimal gated network of Chen (2017)."""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.cells.weights import Initialiser, affine, draw, present_law, record, sizes, start
from echoic.core.cell import Law, PointwiseCell
from echoic.core.checks import one_of
from echoic.init.dense import uniform, zeros


class MinimalDrive(NamedTuple):
    """What the inputs contribute: the embedded input z, and its part ``V z + b`` in the gate."""

    value: Float[Array, "*batch n"]
    gate: Float[Array, "*batch n"]


class MinimalRNN(PointwiseCell):
    """One gate and nothing else: ``u = sigmoid(W h + V z + b)``, ``h' = u h + (1 - u) z``.

    The input enters through the embedding ``z = tanh(W_x x + b_x)``; with
    ``activation="identity"`` it is ``z = W_x x + b_x``.

    **Arguments**
    - `input_size`, `hidden_size`: m and n.
    - `recurrent`, `input`, `bias`: initialisers of W (n, n), V (n, n) and b (n,) in the gate. A
      positive bias keeps the state longer; ``init.chrono(horizon)`` spreads it.
    - `embedding`, `embedding_bias`: initialisers of W_x (n, m) and b_x (n,).
    - `key`: a JAX random key.

    **Reference.** Chen (2017); the mean-field theory is Chen, Pennington & Schoenholz (2018).

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic import init
    >>> cell = MinimalRNN(1, 3, bias=init.constant(50.0), key=jax.random.key(0))
    >>> bool(jnp.allclose(cell.step(jnp.ones(3), jnp.ones(1)), 1.0))
    True
    """

    recurrent: Float[Array, "n n"]
    input: Float[Array, "n n"]
    bias: Float[Array, "n"]
    embedding: Float[Array, "n m"]
    embedding_bias: Float[Array, "n"]
    law: Law | None
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    activation: Literal["tanh", "identity"] = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: str = "tanh",
        recurrent: Initialiser = uniform(),
        input: Initialiser = uniform(),
        bias: Initialiser = zeros(),
        embedding: Initialiser = uniform(),
        embedding_bias: Initialiser = zeros(),
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        m, n = sizes(input_size, hidden_size)
        keys = jr.split(key, 5)
        self.input_size, self.hidden_size = m, n
        self.activation = one_of("activation", activation, ["tanh", "identity"])  # pyright: ignore
        self.recurrent = draw("recurrent", recurrent, keys[0], (n, n), dtype)
        self.input = draw("input", input, keys[1], (n, n), dtype)
        self.bias = draw("bias", bias, keys[2], (n,), dtype)
        self.embedding = draw("embedding", embedding, keys[3], (n, m), dtype)
        self.embedding_bias = draw("embedding_bias", embedding_bias, keys[4], (n,), dtype)
        laws = record(
            activation=activation,
            recurrent=recurrent,
            input=input,
            bias=bias,
            embedding=embedding,
            embedding_bias=embedding_bias,
        )
        self.law = Law.of("MinimalRNN", laws, self._weights())

    def _weights(self) -> tuple[Array, ...]:
        return self.recurrent, self.input, self.bias, self.embedding, self.embedding_bias

    def initial_state(self) -> Float[Array, "n"]:
        """Zeros."""
        return start(self, self.recurrent.dtype)

    def read(self, state: Float[Array, "n"]) -> Float[Array, "n"]:
        """The state itself."""
        return state

    def project(self, xs: Float[Array, "*batch m"]) -> MinimalDrive:
        """The embedded input z, and ``V z + b``."""
        z = affine(self.embedding, self.embedding_bias, xs)
        if self.activation == "tanh":
            z = jnp.tanh(z)
        return MinimalDrive(z, affine(self.input, self.bias, z))

    def combine(
        self, state: Float[Array, "n"], drive: MinimalDrive, product: Float[Array, "n"]
    ) -> Float[Array, "n"]:
        """``u h + (1 - u) z``."""
        keep = jax.nn.sigmoid(drive.gate + product)
        return keep * state + (1 - keep) * drive.value

    def recurrent_blocks(self) -> dict[str, Float[Array, "n n"]]:
        """The gate's W, as ``u``."""
        return {"u": self.recurrent}

    def hyperparameters(self) -> Law | None:
        """The law of the weights, if they are still those that it drew."""
        return present_law(self.law, self._weights())
