"""What one unit does with the fields that reach it: the GRUs and the LSTMs."""

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from echoic.theory.tied.units import Fields, Unit


class GRU(Unit):
    """``n = tanh(V_n x + b_n + r (W_n h + b_h))``, ``h' = (1 - z) n + z h``: reset after.

    Gates in the order r, z, n.
    """

    sigma: Float[Array, "3"]
    bias: Float[Array, "3 n"]
    input: Float[Array, "3 n m"]
    candidate_bias: Float[Array, "n"]

    groups: ClassVar[tuple[int, ...]] = (3,)
    state_numbers: ClassVar[int] = 1

    def step(
        self, state: Float[Array, "d n"], x: Float[Array, "m"], fields: Fields
    ) -> Float[Array, "d n"]:
        """One update."""
        (h,) = state
        field, drive = fields(0, h), self.drive(x)
        reset, keep = jax.nn.sigmoid(field[:2] + drive[:2])
        new = jnp.tanh(drive[2] + reset * (field[2] + self.candidate_bias))
        return ((1 - keep) * new + keep * h)[None]


class ResetBeforeGRU(Unit):
    """``n = tanh(W_n (r h) + V_n x + b_n)``, ``h' = (1 - z) n + z h``. Gates r, z, n.

    A perturbation can pass through two matrices within one step, W_r and then W_n.
    """

    sigma: Float[Array, "3"]
    bias: Float[Array, "3 n"]
    input: Float[Array, "3 n m"]

    groups: ClassVar[tuple[int, ...]] = (2, 1)
    state_numbers: ClassVar[int] = 1

    def step(
        self, state: Float[Array, "d n"], x: Float[Array, "m"], fields: Fields
    ) -> Float[Array, "d n"]:
        """One update."""
        (h,) = state
        drive = self.drive(x)
        reset, keep = jax.nn.sigmoid(fields(0, h) + drive[:2])
        new = jnp.tanh(fields(1, reset * h)[0] + drive[2])
        return ((1 - keep) * new + keep * h)[None]


class LSTM(Unit):
    """``c' = f c + i g``, ``h' = o tanh(c')``, gates in the order i, f, g, o; the state is (h, c).

    ``reads="h"``: the gates see the output. ``reads="c"``: they see the cell state through full
    matrices, as in the mean-field literature. ``peephole`` adds each unit's own cell state to its
    gates i, f and (the new one) o; None for none.
    """

    sigma: Float[Array, "4"]
    bias: Float[Array, "4 n"]
    input: Float[Array, "4 n m"]
    peephole: Float[Array, "3 n"] | None = None
    reads: Literal["h", "c"] = eqx.field(static=True, default="h")

    groups: ClassVar[tuple[int, ...]] = (4,)
    state_numbers: ClassVar[int] = 2

    def step(
        self, state: Float[Array, "d n"], x: Float[Array, "m"], fields: Fields
    ) -> Float[Array, "d n"]:
        """One update."""
        h, c = state
        i, f, g, o = fields(0, h if self.reads == "h" else c) + self.drive(x)
        if self.peephole is not None:
            i, f = i + self.peephole[0] * c, f + self.peephole[1] * c
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        if self.peephole is not None:
            o = o + self.peephole[2] * c
        return jnp.stack([jax.nn.sigmoid(o) * jnp.tanh(c), c])
