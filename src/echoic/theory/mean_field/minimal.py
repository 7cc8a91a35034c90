"""The network with one gate and nothing else."""

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


def _keep(e: Array) -> Array:
    return jax.nn.sigmoid(e)


def _take(e: Array) -> Array:
    # Not 1 - sigmoid(e), which has no digits left at large biases.
    return jax.nn.sigmoid(-e)


_slope = derivative(_keep)


class Minimal(AbstractFamily):
    """The minimal gated network: ``u = sigmoid(W h + V x + b)``, ``h' = u h + (1 - u) x``.

    **Definition.** With x the *embedded* input, R its second moment and M what of it stays from
    one time to another (``mean``), ``Q_ab' = Q_ab E[u_a u_b] + R_ab E[(1 - u_a)(1 - u_b)] +
    M (E[u_a (1 - u_b)] + E[(1 - u_a) u_b])`` and
    ``chi = E[u_a u_b] + sigma^2 (Q_ab + R_ab - 2 M) E[u_a' u_b']``, the averages over Gaussian
    pre-activations of covariance ``sigma^2 Q_ab + nu^2 R_ab + rho^2``.

    **Arguments:** ``gate``: the law of the pre-activation.

    **When it misleads:** the terms in M take the state to have forgotten its start, so that it
    holds the input's mean. The theory redraws weights at each step; with fixed weights the
    length Q comes out larger, by half at a bias of 5.

    **Reference:** Chen, Pennington & Schoenholz (2018), for the theory; the recursion follows
    from the network above, its terms in M are ours.

    ??? example
        ```python
        >>> from echoic.theory import mean_field
        >>> shut = mean_field.Minimal(mean_field.Gate(1.0, 1.0, bias_mean=-40.0))
        >>> bool(abs(shut.length_map(3.0, 0.5) - 0.5) < 1e-5)      # forgets all, takes the input
        True

        ```
    """

    gate: Gate
    rule: Rule = eqx.field(static=True, default=DEFAULT_RULE)

    def length_bound(self, power: Scalar) -> Float[Array, "..."]:
        """R: the state is a mean of inputs."""
        return jnp.broadcast_to(
            jnp.asarray(power, self.gate.recurrent_variance.dtype),
            self.gate.covariance(0.0, power).shape,
        )

    def largest_variance(self, power: Scalar) -> Float[Array, "..."]:
        """A bound on the pre-activation's variance, counted as tanh counts it: a quarter."""
        return self.gate.covariance(self.length_bound(power), power) / 4

    def length_map(self, length: Scalar, power: Scalar, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``Q E[u^2] + R E[(1 - u)^2] + 2 M E[u (1 - u)]``."""
        variance = self.gate.covariance(length, power)

        def average(function):
            return expectation(function, self.gate.bias_mean, variance, self.rule)

        new = length * average(lambda e: _keep(e) ** 2) + power * average(lambda e: _take(e) ** 2)
        if isinstance(mean, float) and mean == 0.0:
            return new
        return new + 2 * mean * average(lambda e: _keep(e) * _take(e))

    def covariance_map(self, state: Gram, inputs: Gram, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``Q_ab E[u_a u_b] + R_ab E[(1 - u_a)(1 - u_b)] + M (...)``."""
        u = self.gate.gram(state, inputs)

        def average(f, g):
            return pair_expectation(f, g, self.gate.bias_mean, u.aa, u.bb, u.ab, self.rule)

        new = state.ab * average(_keep, _keep) + inputs.ab * average(_take, _take)
        if isinstance(mean, float) and mean == 0.0:
            return new
        return new + mean * (average(_keep, _take) + average(_take, _keep))

    def chi(self, state: Gram, inputs: Gram, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``E[u_a u_b] + sigma^2 (Q_ab + R_ab - 2 M) E[u_a' u_b']``."""
        u = self.gate.gram(state, inputs)

        def average(f):
            return pair_expectation(f, f, self.gate.bias_mean, u.aa, u.bb, u.ab, self.rule)

        distance = state.ab + inputs.ab - 2 * mean
        return average(_keep) + self.gate.recurrent_variance * distance * average(_slope)

    def gain(self, length: Scalar, power: Scalar, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``E[u^2] + sigma^2 (Q + R - 2 M) E[u'^2]``."""
        variance = self.gate.covariance(length, power)

        def average(f):
            return expectation(lambda e: f(e) ** 2, self.gate.bias_mean, variance, self.rule)

        distance = length + power - 2 * mean
        return average(_keep) + self.gate.recurrent_variance * distance * average(_slope)

    def cosine_map(
        self, length: Scalar, power: Scalar, cosine: Scalar, mean: Scalar = 0.0
    ) -> CosineMap:
        """The map of cosines, from one Hermite series where the rule has terms."""
        if not self.rule.terms:
            return super().cosine_map(length, power, cosine, mean)
        gate = self.gate
        variance = gate.covariance(length, power)
        series = hermite_series(_keep, _keep, gate.bias_mean, variance, variance, self.rule)
        # Of the gate's two halves the fluctuations are opposite: one series serves all products.
        fluctuation = series._replace(coefficients=series.coefficients.at[..., 0].set(0))
        kept = expectation(_keep, gate.bias_mean, variance, self.rule)
        taken = expectation(_take, gate.bias_mean, variance, self.rule)

        def advance(c):
            state, inputs = length * c, power * cosine
            rho = correlation(variance, variance, gate.covariance(state, inputs))
            covariance = fluctuation.value(rho)
            new = state * (kept**2 + covariance) + inputs * (taken**2 + covariance)
            new = new + 2 * mean * (kept * taken - covariance)
            steering = gate.recurrent_variance * (state + inputs - 2 * mean) / variance
            return new / length, kept**2 + covariance + steering * series.slope(rho)

        return advance
