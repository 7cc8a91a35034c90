"""The plain recurrent network."""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from echoic.theory.gaussian import (
    DEFAULT_RULE,
    Rule,
    correlation,
    derivative,
    expectation,
    hermite_series,
    pair_expectation,
)
from echoic.theory.mean_field.family import AbstractFamily, CosineMap, Gate, Gram, Scalar

Activation = Literal["tanh", "erf", "identity"]


def _identity(e: Array) -> Array:
    return e


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "erf": jax.scipy.special.erf,
    "identity": _identity,
}


class Vanilla(AbstractFamily):
    """``h' = phi(W h + V x + b)``.

    **Definition.** ``Q_ab' = E[phi(u_a) phi(u_b)]`` over Gaussian pre-activations of covariance
    ``q_ab = sigma^2 Q_ab + nu^2 R_ab + rho^2`` and mean mu;
    ``chi = sigma^2 E[phi'(u_a) phi'(u_b)]``.

    **Arguments:** ``gate``: the law of u; ``activation``: ``tanh``, ``erf`` or ``identity`` (a
    linear network).

    **Reference:** Chen, Pennington & Schoenholz (2018), for the theory; the recursion follows
    from the network above.

    ??? example
        ```python
        >>> from echoic.theory import mean_field
        >>> linear = mean_field.Vanilla(mean_field.Gate(0.81, 1.0), activation="identity")
        >>> bool(abs(linear.length_map(2.0, 0.5) - (0.81 * 2.0 + 0.5)) < 1e-5)
        True

        ```
    """

    gate: Gate
    activation: Activation = eqx.field(static=True, default="tanh")
    rule: Rule = eqx.field(static=True, default=DEFAULT_RULE)

    def length_bound(self, power: Scalar) -> Float[Array, "..."]:
        """1 for bounded activations; the fixed point itself, or inf, for the identity."""
        drive = self.gate.covariance(0.0, power) + self.gate.bias_mean**2
        if self.activation == "identity":
            room = 1 - self.gate.recurrent_variance
            return jnp.where(room > 0, drive / jnp.where(room > 0, room, 1), jnp.inf)
        return jnp.ones_like(drive)

    def largest_variance(self, power: Scalar) -> Float[Array, "..."]:
        """A bound on the pre-activation's variance, counted as tanh counts it."""
        return self.gate.covariance(self.length_bound(power), power)

    def length_map(self, length: Scalar, power: Scalar, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``E[phi(u)^2]``."""
        phi = _FUNCTIONS[self.activation]
        variance = self.gate.covariance(length, power)
        return expectation(lambda u: phi(u) ** 2, self.gate.bias_mean, variance, self.rule)

    def covariance_map(self, state: Gram, inputs: Gram, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``E[phi(u_a) phi(u_b)]``."""
        phi = _FUNCTIONS[self.activation]
        u = self.gate.gram(state, inputs)
        return pair_expectation(phi, phi, self.gate.bias_mean, u.aa, u.bb, u.ab, self.rule)

    def chi(self, state: Gram, inputs: Gram, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``sigma^2 E[phi'(u_a) phi'(u_b)]``."""
        slope = derivative(_FUNCTIONS[self.activation])
        u = self.gate.gram(state, inputs)
        shared = pair_expectation(slope, slope, self.gate.bias_mean, u.aa, u.bb, u.ab, self.rule)
        return self.gate.recurrent_variance * shared

    def gain(self, length: Scalar, power: Scalar, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``sigma^2 E[phi'(u)^2]``."""
        slope = derivative(_FUNCTIONS[self.activation])
        variance = self.gate.covariance(length, power)
        square = expectation(lambda u: slope(u) ** 2, self.gate.bias_mean, variance, self.rule)
        return self.gate.recurrent_variance * square

    def cosine_map(
        self, length: Scalar, power: Scalar, cosine: Scalar, mean: Scalar = 0.0
    ) -> CosineMap:
        """The map of cosines, from one Hermite series where the rule has terms."""
        if not self.rule.terms:
            return super().cosine_map(length, power, cosine, mean)
        phi, gate = _FUNCTIONS[self.activation], self.gate
        variance = gate.covariance(length, power)
        series = hermite_series(phi, phi, gate.bias_mean, variance, variance, self.rule)

        def advance(c):
            covariance = gate.covariance(length * c, power * cosine)
            rho = correlation(variance, variance, covariance)
            chi = gate.recurrent_variance * series.slope(rho) / variance
            return series.value(rho) / length, chi

        return advance
