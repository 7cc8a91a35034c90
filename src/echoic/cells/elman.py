"""The plain recurrent network of Elman (1990)."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.cells.weights import Initialiser, affine, draw, present_law, record, sizes, start
from echoic.core.cell import Law, LinearForm, PointwiseCell
from echoic.core.checks import one_of
from echoic.init.dense import uniform

Activation = Literal["tanh", "relu", "elu", "modrelu", "identity"]

_FUNCTIONS = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "identity": lambda u: u,
}


class Elman(PointwiseCell):
    """The plain recurrent network: ``h' = f(W h + V x + b)``, ``h_0 = 0``.

    With ``activation="modrelu"`` the bias is the threshold inside the activation instead:
    ``h' = sign(u) relu(|u| + b)``, ``u = W h + V x`` (Helfrich, Willmott & Ye 2018).

    The defaults are those of ``torch.nn.RNN``; its two biases act as their sum, which is the one
    bias here, so a gradient step on both of them moves the sum twice as far.

    **Arguments**
    - `input_size`, `hidden_size`: m and n.
    - `activation`: the function f, by name.
    - `recurrent`, `input`, `bias`: initialisers of W (n, n), V (n, m) and b (n,).
    - `key`: a JAX random key.
    - `dtype`: of the weights and the state.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic import init
    >>> cell = Elman(1, 3, recurrent=init.chain(1.0), input=init.source(1.0),
    ...              bias=init.zeros(), activation="identity", key=jax.random.key(0))
    >>> h = cell.step(cell.initial_state(), jnp.ones(1))
    >>> cell.step(h, jnp.zeros(1)).tolist()
    [0.0, 1.0, 0.0]
    """

    recurrent: Float[Array, "n n"]
    input: Float[Array, "n m"]
    bias: Float[Array, "n"]
    law: Law | None
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: str = "tanh",
        recurrent: Initialiser = uniform(),
        input: Initialiser = uniform(),
        bias: Initialiser = uniform(terms=2),
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        m, n = sizes(input_size, hidden_size)
        recurrent_key, input_key, bias_key = jr.split(key, 3)
        self.input_size, self.hidden_size = m, n
        self.activation = one_of("activation", activation, [*_FUNCTIONS, "modrelu"])  # pyright: ignore
        self.recurrent = draw("recurrent", recurrent, recurrent_key, (n, n), dtype)
        self.input = draw("input", input, input_key, (n, m), dtype)
        self.bias = draw("bias", bias, bias_key, (n,), dtype)
        laws = record(activation=activation, recurrent=recurrent, input=input, bias=bias)
        self.law = Law.of("Elman", laws, (self.recurrent, self.input, self.bias))

    def initial_state(self) -> Float[Array, "n"]:
        """Zeros."""
        return start(self, self.recurrent.dtype)

    def read(self, state: Float[Array, "n"]) -> Float[Array, "n"]:
        """The state itself."""
        return state

    def project(self, xs: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """``V x + b``, without b for modReLU."""
        if self.activation == "modrelu":
            return xs @ self.input.T
        return affine(self.input, self.bias, xs)

    def combine(
        self, state: Float[Array, "n"], drive: Float[Array, "n"], product: Float[Array, "n"]
    ) -> Float[Array, "n"]:
        """``f(drive + product)``."""
        u = drive + product
        if self.activation == "modrelu":
            return jnp.sign(u) * jax.nn.relu(jnp.abs(u) + self.bias)
        return _FUNCTIONS[self.activation](u)

    def linear_form(self) -> LinearForm | None:
        """W, V and b if the activation is the identity."""
        if self.activation != "identity":
            return None
        return LinearForm(self.recurrent, self.input, self.bias)

    def recurrent_blocks(self) -> dict[str, Float[Array, "n n"]]:
        """W, as ``recurrent``."""
        return {"recurrent": self.recurrent}

    def hyperparameters(self) -> Law | None:
        """The law of the weights, if they are still those that it drew."""
        return present_law(self.law, (self.recurrent, self.input, self.bias))
