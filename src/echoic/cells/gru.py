"""Gated recurrent units, with the reset after or before the recurrent product."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.cells.weights import (
    GateInitialiser,
    Initialiser,
    affine,
    blocks,
    draw,
    draw_biases,
    draw_stack,
    per_gate,
    present_law,
    record,
    sizes,
    start,
)
from echoic.core.cell import AbstractCell, Law, PointwiseCell
from echoic.init.dense import uniform
from echoic.init.gates import Role

GATES: tuple[str, ...] = ("r", "z", "n")
# In PyTorch's convention z multiplies the old state, and 1 - z writes: no gate of its own does.
ROLES: dict[str, Role] = {"r": "other", "z": "keep", "n": "other"}
# The reset and update gates have two biases in PyTorch, the candidate has one on either side of
# the reset.
_BIAS: dict[str, Initialiser] = {"r": uniform(terms=2), "z": uniform(terms=2), "n": uniform()}


def _draw(
    recurrent: GateInitialiser,
    input: GateInitialiser,
    bias: Any,
    m: int,
    n: int,
    key: PRNGKeyArray,
    dtype: Any,
) -> tuple[Array, Array, Array, dict[str, Any]]:
    """The three stacks that both GRUs have, and the record of their laws."""
    recurrent_key, input_key, bias_key = jr.split(key, 3)
    weight_default = dict.fromkeys(GATES, uniform())
    recurrent = per_gate("recurrent", recurrent, GATES, weight_default)
    input = per_gate("input", input, GATES, weight_default)
    bias = {} if bias is None else bias
    biases, bias_laws = draw_biases(bias, ROLES, _BIAS, bias_key, n, dtype)
    return (
        draw_stack("recurrent", recurrent, recurrent_key, (n, n), dtype),
        draw_stack("input", input, input_key, (n, m), dtype),
        biases,
        record(recurrent=recurrent, input=input, bias=bias_laws),
    )


class GRU(PointwiseCell):
    """The gated recurrent unit with the reset after the product, equal to ``torch.nn.GRU``.

    **Definition.** ``r, z = sigmoid(W h + V x + b)``,
    ``n = tanh(V_n x + b_n + r (W_n h + b_h))``, ``h' = (1 - z) n + z h``; blocks
    in the order r, z, n. z multiplies the old state: a large z keeps. PyTorch's two biases of r and
    of z act as their sums, which are the one bias here; b_h stands inside the reset and stays
    apart, as `candidate_bias`.

    **Arguments**
    - `input_size`, `hidden_size`: m and n.
    - `recurrent`, `input`: an initialiser for all gates, each drawn by itself, or a mapping from
      gate (``r``, ``z``, ``n``) to initialiser; gates left out keep the default.
    - `bias`: the same, or ``init.forget(value)`` or ``init.chrono(horizon)``, which set z's.
    - `candidate_bias`: an initialiser of b_h (n,).
    - `key`: a JAX random key.

    **Reference.** Cho et al. (2014), in the variant of cuDNN and PyTorch.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic import init
    >>> cell = GRU(1, 2, bias=init.forget(50.0), key=jax.random.key(0))
    >>> cell.step(jnp.ones(2), jnp.ones(1)).tolist()
    [1.0, 1.0]
    """

    recurrent: Float[Array, "r n"]
    input: Float[Array, "r m"]
    bias: Float[Array, "r"]
    candidate_bias: Float[Array, "n"]
    law: Law | None
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recurrent: GateInitialiser = uniform(),
        input: GateInitialiser = uniform(),
        bias: Any = None,
        candidate_bias: Initialiser = uniform(),
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        m, n = sizes(input_size, hidden_size)
        self.input_size, self.hidden_size = m, n
        weights_key, candidate_key = jr.split(key)
        self.recurrent, self.input, self.bias, laws = _draw(
            recurrent, input, bias, m, n, weights_key, dtype
        )
        self.candidate_bias = draw("candidate_bias", candidate_bias, candidate_key, (n,), dtype)
        laws = laws | record(candidate_bias=candidate_bias)
        self.law = Law.of("GRU", laws, self._weights())

    def _weights(self) -> tuple[Array, ...]:
        return self.recurrent, self.input, self.bias, self.candidate_bias

    def initial_state(self) -> Float[Array, "n"]:
        """Zeros."""
        return start(self, self.recurrent.dtype)

    def read(self, state: Float[Array, "n"]) -> Float[Array, "n"]:
        """The state itself."""
        return state

    def project(self, xs: Float[Array, "*batch m"]) -> Float[Array, "*batch r"]:
        """``V x + b`` for all gates."""
        return affine(self.input, self.bias, xs)

    def combine(
        self, state: Float[Array, "n"], drive: Float[Array, "r"], product: Float[Array, "r"]
    ) -> Float[Array, "n"]:
        """The gates, the candidate with its recurrent part reset, then the blend."""
        drive_r, drive_z, drive_n = jnp.split(drive, 3)
        product_r, product_z, product_n = jnp.split(product, 3)
        reset = jax.nn.sigmoid(drive_r + product_r)
        keep = jax.nn.sigmoid(drive_z + product_z)
        candidate = jnp.tanh(drive_n + reset * (product_n + self.candidate_bias))
        return (1 - keep) * candidate + keep * state

    def recurrent_blocks(self) -> dict[str, Float[Array, "n n"]]:
        """W by gate: ``r``, ``z``, ``n``."""
        return blocks(self.recurrent, GATES)

    def hyperparameters(self) -> Law | None:
        """The law of the weights, if they are still those that it drew."""
        return present_law(self.law, self._weights())


class ResetBeforeGRU(AbstractCell):
    """The gated recurrent unit with the reset before the product, as in the first paper.

    **Definition.** As [`GRU`][echoic.cells.GRU], but ``n = tanh(W_n (r h) + V_n x + b_n)``. Not
    pointwise in one recurrent product, so it runs on the general path. This is the form of the
    mean-field literature (Gilboa et al. 2019, with z written f).

    **Arguments** as for ``GRU``, without `candidate_bias`.

    **Reference.** Cho et al. (2014).

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic import init
    >>> cell = ResetBeforeGRU(1, 2, bias=init.forget(50.0), key=jax.random.key(0))
    >>> cell.step(jnp.ones(2), jnp.ones(1)).tolist()
    [1.0, 1.0]
    """

    recurrent: Float[Array, "r n"]
    input: Float[Array, "r m"]
    bias: Float[Array, "r"]
    law: Law | None
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recurrent: GateInitialiser = uniform(),
        input: GateInitialiser = uniform(),
        bias: Any = None,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        m, n = sizes(input_size, hidden_size)
        self.input_size, self.hidden_size = m, n
        self.recurrent, self.input, self.bias, laws = _draw(
            recurrent, input, bias, m, n, key, dtype
        )
        self.law = Law.of("ResetBeforeGRU", laws, (self.recurrent, self.input, self.bias))

    def initial_state(self) -> Float[Array, "n"]:
        """Zeros."""
        return start(self, self.recurrent.dtype)

    def read(self, state: Float[Array, "n"]) -> Float[Array, "n"]:
        """The state itself."""
        return state

    def step(self, state: Float[Array, "n"], x: Float[Array, "m"]) -> Float[Array, "n"]:
        """The next state: two recurrent products, the second on the reset state."""
        drive_r, drive_z, drive_n = jnp.split(affine(self.input, self.bias, x), 3)
        gates, candidate = jnp.split(self.recurrent, [2 * self.hidden_size])
        product_r, product_z = jnp.split(gates @ state, 2)
        reset = jax.nn.sigmoid(drive_r + product_r)
        keep = jax.nn.sigmoid(drive_z + product_z)
        new = jnp.tanh(drive_n + candidate @ (reset * state))
        return (1 - keep) * new + keep * state

    def recurrent_blocks(self) -> dict[str, Float[Array, "n n"]]:
        """W by gate: ``r``, ``z``, ``n``."""
        return blocks(self.recurrent, GATES)

    def hyperparameters(self) -> Law | None:
        """The law of the weights, if they are still those that it drew."""
        return present_law(self.law, (self.recurrent, self.input, self.bias))
