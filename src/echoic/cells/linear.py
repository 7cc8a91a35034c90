"""The linear recurrent network, in two parametrisations."""

import math
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.cells.weights import Initialiser, draw, present_law, record, sizes, start
from echoic.core.cell import Law, LinearForm, PointwiseCell
from echoic.core.checks import one_of
from echoic.init.dense import gaussian, normal


class LinearRNN(PointwiseCell):
    """The linear network of the kernel limit: ``h' = n^-1/2 W h + F x``, ``h_0 = 0``, no bias.

    That is ``parametrisation="scaled"`` (Emami et al. 2021), with entries of unit order: the
    transition variance nu_W is ``recurrent=init.normal(nu_W ** 0.5)``. In ``"standard"`` form
    ``h' = W h + F x``. Both are the same functions, but one learning rate on all weights trains
    them differently: the standard form needs lr / n on W to follow the scaled one.

    **Arguments**
    - `input_size`, `hidden_size`: m and n.
    - `parametrisation`: ``"scaled"`` or ``"standard"``.
    - `recurrent`, `input`: initialisers of W (n, n) and F (n, m) as stored; by default the spectral
      radius of the transition is near 0.9 in either form, and F has unit variance.
    - `key`: a JAX random key.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic import init
    >>> cell = LinearRNN(1, 4, recurrent=init.identity(1.0), key=jax.random.key(0))
    >>> cell.linear_form().recurrent[0, 0].item()
    0.5
    """

    recurrent: Float[Array, "n n"]
    input: Float[Array, "n m"]
    law: Law | None
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    parametrisation: Literal["scaled", "standard"] = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        parametrisation: str = "scaled",
        recurrent: Initialiser | None = None,
        input: Initialiser = normal(1.0),
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        m, n = sizes(input_size, hidden_size)
        recurrent_key, input_key = jr.split(key)
        self.input_size, self.hidden_size = m, n
        self.parametrisation = one_of(  # pyright: ignore
            "parametrisation", parametrisation, ["scaled", "standard"]
        )
        if recurrent is None:
            recurrent = normal(0.9) if parametrisation == "scaled" else gaussian(0.9)
        self.recurrent = draw("recurrent", recurrent, recurrent_key, (n, n), dtype)
        self.input = draw("input", input, input_key, (n, m), dtype)
        laws = record(parametrisation=parametrisation, recurrent=recurrent, input=input)
        self.law = Law.of("LinearRNN", laws, (self.recurrent, self.input))

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(self.hidden_size) if self.parametrisation == "scaled" else 1.0

    def initial_state(self) -> Float[Array, "n"]:
        """Zeros."""
        return start(self, self.recurrent.dtype)

    def read(self, state: Float[Array, "n"]) -> Float[Array, "n"]:
        """The state itself."""
        return state

    def project(self, xs: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """``F x``."""
        return xs @ self.input.T

    def combine(
        self, state: Float[Array, "n"], drive: Float[Array, "n"], product: Float[Array, "n"]
    ) -> Float[Array, "n"]:
        """``n^-1/2 product + drive``, without the factor in standard form."""
        return self._scale * product + drive

    def linear_form(self) -> LinearForm:
        """The matrices that act: the factor n^-1/2 is in them."""
        bias = jnp.zeros(self.hidden_size, self.recurrent.dtype)
        return LinearForm(self._scale * self.recurrent, self.input, bias)

    def recurrent_blocks(self) -> dict[str, Float[Array, "n n"]]:
        """The transition matrix that acts, as ``recurrent``."""
        return {"recurrent": self._scale * self.recurrent}

    def hyperparameters(self) -> Law | None:
        """The law of the weights, if they are still those that it drew."""
        return present_law(self.law, (self.recurrent, self.input))
