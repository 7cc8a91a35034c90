"""Long short-term memory, with and without peepholes.

Three cells of this name exist. In the usual one the gates see the output h. With the peepholes of
Gers et al. they also see the cell state c, each unit its own. In the mean-field literature they see
c through full matrices and h not at all.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.cells.weights import (
    GateInitialiser,
    affine,
    blocks,
    draw_biases,
    draw_stack,
    per_gate,
    present_law,
    record,
    sizes,
    start,
)
from echoic.core.cell import Law, PointwiseCell
from echoic.init.dense import uniform
from echoic.init.gates import Role

GATES: tuple[str, ...] = ("i", "f", "g", "o")
PEEPHOLES: tuple[str, ...] = ("i", "f", "o")
ROLES: dict[str, Role] = {"i": "write", "f": "keep", "g": "other", "o": "other"}


class LSTMState(NamedTuple):
    """The output h and the cell state c."""

    h: Float[Array, "n"]
    c: Float[Array, "n"]


class _Drawn(NamedTuple):
    recurrent: Array
    input: Array
    bias: Array
    laws: dict[str, Any]


def _draw(
    recurrent: GateInitialiser,
    input: GateInitialiser,
    bias: Any,
    m: int,
    n: int,
    key: PRNGKeyArray,
    dtype: Any,
) -> _Drawn:
    """The three stacks that all LSTMs have, and the record of their laws."""
    recurrent_key, input_key, bias_key = jr.split(key, 3)
    weight_default = dict.fromkeys(GATES, uniform())
    bias_default = dict.fromkeys(GATES, uniform(terms=2))
    recurrent = per_gate("recurrent", recurrent, GATES, weight_default)
    input = per_gate("input", input, GATES, weight_default)
    biases, bias_laws = draw_biases(bias, ROLES, bias_default, bias_key, n, dtype)
    return _Drawn(
        draw_stack("recurrent", recurrent, recurrent_key, (n, n), dtype),
        draw_stack("input", input, input_key, (n, m), dtype),
        biases,
        record(recurrent=recurrent, input=input, bias=bias_laws),
    )


def _zero_state(cell: PointwiseCell) -> LSTMState:
    zero = start(cell, cell.recurrent.dtype)
    return LSTMState(zero, zero)


class LSTM(PointwiseCell):
    """Long short-term memory, equal to ``torch.nn.LSTM``.

    **Definition.** ``i, f, o = sigmoid(W h + V x + b)``, ``g = tanh(W h + V x + b)`` with blocks in
    the order i, f, g, o; ``c' = f c + i g``, ``h' = o tanh(c')``. State (h, c), 2n numbers.
    PyTorch's two biases act as their sum, which is the one bias here.

    **Arguments**
    - `input_size`, `hidden_size`: m and n.
    - `recurrent`, `input`: an initialiser for all gates, each drawn by itself, or a mapping from
      gate to initialiser, e.g. ``{"g": init.chain(1.02)}``; gates left out keep the default.
    - `bias`: the same, or ``init.forget(value)`` or ``init.chrono(horizon)``.
    - `key`: a JAX random key.

    **Reference.** Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins (2000).

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic import init
    >>> cell = LSTM(1, 2, bias=init.forget(50.0), recurrent=init.zeros(), input=init.zeros(),
    ...             key=jax.random.key(0))
    >>> cell.step(LSTMState(jnp.zeros(2), jnp.ones(2)), jnp.ones(1)).c.tolist()
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
        bias: Any = uniform(terms=2),
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        m, n = sizes(input_size, hidden_size)
        self.input_size, self.hidden_size = m, n
        drawn = _draw(recurrent, input, bias, m, n, key, dtype)
        self.recurrent, self.input, self.bias, laws = drawn
        self.law = Law.of("LSTM", laws, drawn[:3])

    def initial_state(self) -> LSTMState:
        """Zeros."""
        return _zero_state(self)

    def read(self, state: LSTMState) -> Float[Array, "n"]:
        """The output h."""
        return state.h

    def project(self, xs: Float[Array, "*batch m"]) -> Float[Array, "*batch r"]:
        """``V x + b`` for all gates."""
        return affine(self.input, self.bias, xs)

    def combine(
        self, state: LSTMState, drive: Float[Array, "r"], product: Float[Array, "r"]
    ) -> LSTMState:
        """The gates, then the cell state, then the output."""
        i, f, g, o = jnp.split(drive + product, 4)
        c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return LSTMState(jax.nn.sigmoid(o) * jnp.tanh(c), c)

    def recurrent_blocks(self) -> dict[str, Float[Array, "n n"]]:
        """W by gate: ``i``, ``f``, ``g``, ``o``."""
        return blocks(self.recurrent, GATES)

    def hyperparameters(self) -> Law | None:
        """The law of the weights, if they are still those that it drew."""
        return present_law(self.law, (self.recurrent, self.input, self.bias))


class PeepholeLSTM(PointwiseCell):
    """An LSTM whose gates also see their own cell state (Gers, Schraudolph & Schmidhuber 2002).

    **Definition.** As [`LSTM`][echoic.cells.LSTM], with ``p_i c`` and ``p_f c`` (elementwise) added
    inside the input and forget gates and ``p_o c'`` inside the output gate, which thus sees the new
    cell state. `peephole` holds p_i, p_f, p_o, one after the other.

    **Arguments** as for ``LSTM``, and `peephole`: an initialiser of vectors (n,), for all three or
    by gate ``i``, ``f``, ``o``.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic import init
    >>> with_, without = (cls(1, 2, key=jax.random.key(0), **options) for cls, options in
    ...                   [(PeepholeLSTM, {"peephole": init.zeros()}), (LSTM, {})])
    >>> with_.peephole.shape == (6,) and with_.recurrent.shape == without.recurrent.shape
    True
    """

    recurrent: Float[Array, "r n"]
    input: Float[Array, "r m"]
    bias: Float[Array, "r"]
    peephole: Float[Array, "p"]
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
        bias: Any = uniform(terms=2),
        peephole: GateInitialiser = uniform(),
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        m, n = sizes(input_size, hidden_size)
        self.input_size, self.hidden_size = m, n
        weights_key, peephole_key = jr.split(key)
        drawn = _draw(recurrent, input, bias, m, n, weights_key, dtype)
        self.recurrent, self.input, self.bias, laws = drawn
        peepholes = per_gate("peephole", peephole, PEEPHOLES, dict.fromkeys(PEEPHOLES, uniform()))
        self.peephole = draw_stack("peephole", peepholes, peephole_key, (n,), dtype)
        laws = laws | record(peephole=peepholes)
        self.law = Law.of("PeepholeLSTM", laws, (*drawn[:3], self.peephole))

    def initial_state(self) -> LSTMState:
        """Zeros."""
        return _zero_state(self)

    def read(self, state: LSTMState) -> Float[Array, "n"]:
        """The output h."""
        return state.h

    def project(self, xs: Float[Array, "*batch m"]) -> Float[Array, "*batch r"]:
        """``V x + b`` for all gates."""
        return affine(self.input, self.bias, xs)

    def combine(
        self, state: LSTMState, drive: Float[Array, "r"], product: Float[Array, "r"]
    ) -> LSTMState:
        """The gates, the cell state, then the output gate, which sees the new cell state."""
        i, f, g, o = jnp.split(drive + product, 4)
        peek_i, peek_f, peek_o = jnp.split(self.peephole, 3)
        keep, write = jax.nn.sigmoid(f + peek_f * state.c), jax.nn.sigmoid(i + peek_i * state.c)
        c = keep * state.c + write * jnp.tanh(g)
        return LSTMState(jax.nn.sigmoid(o + peek_o * c) * jnp.tanh(c), c)

    def recurrent_blocks(self) -> dict[str, Float[Array, "n n"]]:
        """W by gate: ``i``, ``f``, ``g``, ``o``."""
        return blocks(self.recurrent, GATES)

    def hyperparameters(self) -> Law | None:
        """The law of the weights, if they are still those that it drew."""
        return present_law(self.law, (self.recurrent, self.input, self.bias, self.peephole))


class FullPeepholeLSTM(PointwiseCell):
    """The LSTM of the mean-field literature: gates see the cell state c through full matrices.

    **Definition.** ``i, f, o = sigmoid(W c + V x + b)``, ``g = tanh(W c + V x + b)``;
    ``c' = f c + i g``, ``h' = o tanh(c')``. Here `read` gives c, which W multiplies, and `output`
    gives h, which a readout sees.

    **Misleads.** h feeds nothing back; it is carried for the readout only. Over the full state
    (h, c) n of the 2n Lyapunov exponents are therefore -inf.

    **Arguments** as for ``LSTM``.

    **Reference.** Gilboa et al. (2019).

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> cell = FullPeepholeLSTM(1, 2, key=jax.random.key(0))
    >>> a = cell.step(LSTMState(jnp.zeros(2), jnp.ones(2)), jnp.ones(1))
    >>> b = cell.step(LSTMState(jnp.ones(2), jnp.ones(2)), jnp.ones(1))
    >>> bool((a.c == b.c).all() and (a.h == b.h).all())
    True
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
        bias: Any = uniform(terms=2),
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        m, n = sizes(input_size, hidden_size)
        self.input_size, self.hidden_size = m, n
        drawn = _draw(recurrent, input, bias, m, n, key, dtype)
        self.recurrent, self.input, self.bias, laws = drawn
        self.law = Law.of("FullPeepholeLSTM", laws, drawn[:3])

    def initial_state(self) -> LSTMState:
        """Zeros."""
        return _zero_state(self)

    def read(self, state: LSTMState) -> Float[Array, "n"]:
        """The cell state c, which W multiplies."""
        return state.c

    def output(self, state: LSTMState) -> Float[Array, "n"]:
        """The output h, which a readout sees."""
        return state.h

    def project(self, xs: Float[Array, "*batch m"]) -> Float[Array, "*batch r"]:
        """``V x + b`` for all gates."""
        return affine(self.input, self.bias, xs)

    def combine(
        self, state: LSTMState, drive: Float[Array, "r"], product: Float[Array, "r"]
    ) -> LSTMState:
        """The gates, then the cell state, then the output."""
        i, f, g, o = jnp.split(drive + product, 4)
        c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return LSTMState(jax.nn.sigmoid(o) * jnp.tanh(c), c)

    def recurrent_blocks(self) -> dict[str, Float[Array, "n n"]]:
        """W by gate: ``i``, ``f``, ``g``, ``o``."""
        return blocks(self.recurrent, GATES)

    def hyperparameters(self) -> Law | None:
        """The law of the weights, if they are still those that it drew."""
        return present_law(self.law, (self.recurrent, self.input, self.bias))
