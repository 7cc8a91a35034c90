"""What one unit of a network does with the fields that reach it: plain, residual, minimal cells.

Written from the equations alone; nothing here is shared with the cells that are measured. A unit's
quenched numbers (bias, input weights, moduli) are arrays over M units, drawn from their laws.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Activation = Literal["tanh", "relu", "elu", "identity", "modrelu"]


# What reaches the units through a group of recurrent matrices when they show a vector: one row a
# matrix of the group.
Fields = Callable[[int, Float[Array, "n"]], Float[Array, "g n"]]


class Unit(eqx.Module):
    """One family of networks, as the law of its units.

    ``step`` may touch other units through ``fields`` only. ``groups`` says how many recurrent
    matrices each call of ``fields`` goes through; ``sigma`` holds their standard deviations, each
    in units of ``1 / sqrt(n)`` per entry, in the same order.
    """

    groups: ClassVar[tuple[int, ...]]
    state_numbers: ClassVar[int]
    sigma: eqx.AbstractVar[Float[Array, "k"]]
    bias: eqx.AbstractVar[Float[Array, "g n"]]
    input: eqx.AbstractVar[Float[Array, "g n m"]]

    @abc.abstractmethod
    def step(
        self, state: Float[Array, "d n"], x: Float[Array, "m"], fields: Fields
    ) -> Float[Array, "d n"]:
        """The next state of all units."""

    @property
    def memoryless(self) -> bool:
        """Whether a unit's next state depends on its own last one through the fields alone."""
        return False

    @property
    def block(self) -> int:
        """How many neighbouring units push each other directly: 2 where pairs are turned."""
        return 1

    def drive(self, x: Float[Array, "m"]) -> Float[Array, "g n"]:
        """``V x + b``, gate by gate."""
        return self.input @ x + self.bias


class Vanilla(Unit):
    """``h' = f(W h + R h + V x + b)``, R each unit's coupling to itself, None for none.

    ``angles`` turns pairs of units 2j, 2j + 1 before ``self_coupling`` scales them. W is Gaussian,
    or orthogonal of gain sigma: what changes is of order 1/n for any finite number of passes. With
    ``activation="modrelu"`` the bias is the threshold, ``sign(u) relu(|u| + b)``.
    """

    sigma: Float[Array, "1"]
    bias: Float[Array, "1 n"]
    input: Float[Array, "1 n m"]
    self_coupling: Float[Array, "n"] | None = None
    angles: Float[Array, "pairs"] | None = None
    activation: Activation = eqx.field(static=True, default="tanh")

    groups: ClassVar[tuple[int, ...]] = (1,)
    state_numbers: ClassVar[int] = 1

    @property
    def memoryless(self) -> bool:
        """Without self-coupling all memory passes through W."""
        return self.self_coupling is None

    @property
    def block(self) -> int:
        """Two where pairs are turned."""
        return 1 if self.angles is None else 2

    def step(
        self, state: Float[Array, "d n"], x: Float[Array, "m"], fields: Fields
    ) -> Float[Array, "d n"]:
        """One update."""
        (h,) = state
        u = fields(0, h)[0] + self.input[0] @ x
        if self.self_coupling is not None:
            u = u + self.self_coupling * (h if self.angles is None else _turn(self.angles, h))
        if self.activation == "modrelu":
            return (jnp.sign(u) * jax.nn.relu(jnp.abs(u) + self.bias[0]))[None]
        return _FUNCTIONS[self.activation](u + self.bias[0])[None]


_FUNCTIONS: dict[str, Any] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "identity": lambda u: u,
}


class Residual(Unit):
    """``h' = R h + gamma tanh(W h + V x + b)``, R a scale per unit and a turn per pair of units.

    Units 2j and 2j + 1 are turned by ``angles[j]``; None turns none. ``path="tanh"`` saturates the
    residual path, ``tanh(R h)``.
    """

    sigma: Float[Array, "1"]
    bias: Float[Array, "1 n"]
    input: Float[Array, "1 n m"]
    moduli: Float[Array, "n"]
    coupling: Float[Array, ""]
    angles: Float[Array, "pairs"] | None = None
    path: Literal["linear", "tanh"] = eqx.field(static=True, default="linear")

    groups: ClassVar[tuple[int, ...]] = (1,)
    state_numbers: ClassVar[int] = 1

    @property
    def block(self) -> int:
        """Two where pairs are turned."""
        return 1 if self.angles is None else 2

    def step(
        self, state: Float[Array, "d n"], x: Float[Array, "m"], fields: Fields
    ) -> Float[Array, "d n"]:
        """One update."""
        (h,) = state
        carried = self.moduli * (h if self.angles is None else _turn(self.angles, h))
        if self.path == "tanh":
            carried = jnp.tanh(carried)
        kick = jnp.tanh((fields(0, h) + self.drive(x))[0])
        return (carried + self.coupling * kick)[None]


def _turn(angles: Float[Array, "pairs"], h: Float[Array, "n"]) -> Float[Array, "n"]:
    first, second = h.reshape(-1, 2).T
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.stack([cos * first - sin * second, sin * first + cos * second], axis=1).reshape(-1)


class Minimal(Unit):
    """``z = f(W_x x + b_x)``, ``u = sigmoid(W h + V z + b)``, ``h' = u h + (1 - u) z``.

    V is a random n by n matrix too: ``sigma`` holds the deviations of W and of V. ``input`` and
    ``embedding_bias`` belong to the embedding z, ``bias`` to the gate.
    """

    sigma: Float[Array, "2"]
    bias: Float[Array, "1 n"]
    input: Float[Array, "1 n m"]
    embedding_bias: Float[Array, "n"]
    activation: Literal["tanh", "identity"] = eqx.field(static=True, default="tanh")

    groups: ClassVar[tuple[int, ...]] = (1, 1)
    state_numbers: ClassVar[int] = 1

    def step(
        self, state: Float[Array, "d n"], x: Float[Array, "m"], fields: Fields
    ) -> Float[Array, "d n"]:
        """One update."""
        (h,) = state
        z = _FUNCTIONS[self.activation](self.input[0] @ x + self.embedding_bias)
        keep = jax.nn.sigmoid((fields(0, h) + fields(1, z) + self.bias)[0])
        return (keep * h + (1 - keep) * z)[None]
