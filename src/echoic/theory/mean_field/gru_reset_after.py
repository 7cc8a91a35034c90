"""Mean-field theory of PyTorch's gated recurrent unit, whose reset comes after the product.

Its candidate ``tanh(a + r g)`` has a pre-activation that is not Gaussian, but is so given r: the
recurrent product g, the rest a and the pre-activation of r come from different random matrices.
Averages over it are averages over r (trapezoid rule) of Gaussian ones; nothing is sampled.
"""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from echoic.theory.gaussian import expectation, pair_expectation
from echoic.theory.mean_field.family import (
    DEFAULT_RULE,
    AbstractFamily,
    Gate,
    Gram,
    Rule,
    Scalar,
    number,
)
from echoic.theory.mean_field.gates import (
    drop,
    keep,
    keep_slope,
    moment,
    product,
    refuse_mean,
    shared,
    squash,
    squash_slope,
)
from echoic.theory.mean_field.gru import Written, blend_gain, largest_variance

# Nodes in r's standardised pre-activation: the sigmoid is analytic to pi / deviation, so that a
# step of 0.4 is exact to 1e-10 up to variance 4, and to 1e-5 up to variance 16.
_NODES = np.arange(-15, 16) * 0.4
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.exp(-(_NODES**2) / 2).sum()
_TERMS = 128

_square = product(squash, squash)
_slope_square = product(squash_slope, squash_slope)


def _curvature(u: Array) -> Array:
    """The second derivative of tanh."""
    return -2 * jnp.tanh(u) * squash_slope(u)


def _third(u: Array) -> Array:
    """The third derivative of tanh."""
    return squash_slope(u) * (4 * jnp.tanh(u) ** 2 - 2 * squash_slope(u))


def _itself(u: Array) -> Array:
    return u


class GRU(AbstractFamily):
    """The gated recurrent unit with the reset after the product, as in ``torch.nn.GRU``.

    **Definition.** ``f = sigmoid(u_f)``, ``r = sigmoid(u_r)``, ``h' = f h + (1 - f) tanh(u_n)``
    with ``u_n = V_n x + b_n + r (W_n h + b_h)``. Given r_a and r_b, u_n is Gaussian with covariance
    ``nu_n^2 R_ab + rho_n^2 + r_a r_b (sigma_n^2 Q_ab + rho_h^2)``.

    **Fields:** the gates ``keep`` (f; PyTorch's z), ``reset`` (r) and ``candidate`` (n, whose
    bias must have mean 0); ``inner_bias_variance``, rho_h^2; ``rule`` for the averages (pairs take
    128 terms of the Hermite series if it names none).

    **When it misleads:** as [`ResetBeforeGRU`][]; above variance 16 of u_r.

    **Cost:** 31 times that of a family without the mixture, 31^2 for a pair.

    **Reference:** the theory of Gilboa et al. (2019), arXiv:1901.08987, taken to this form.

    ??? example
        ```python
        >>> from echoic.theory.mean_field.gru import ResetBeforeGRU
        >>> open_reset = Gate(0.0, bias_mean=40.0)            # r = 1: the two forms are the same
        >>> after, before = (kind(Gate(2.0, 0.5, 1.0), open_reset, Gate(3.0, 0.5))
        ...                  for kind in (GRU, ResetBeforeGRU))
        >>> bool(jnp.isclose(after.gain(0.1, 1.0), before.gain(0.1, 1.0), rtol=1e-4))
        True

        ```
    """

    keep: Gate
    reset: Gate
    candidate: Gate
    inner_bias_variance: Float[Array, "..."] = eqx.field(converter=number, default=0.0)
    rule: Rule = eqx.field(static=True, default=DEFAULT_RULE)

    def __check_init__(self):
        refuse_mean("candidate", self.candidate)

    def length_bound(self, power: Scalar) -> Float[Array, "..."]:
        """1: the state is a weighted mean of earlier candidates."""
        return jnp.ones_like(self.keep.covariance(0.0, power))

    def largest_variance(self, power: Scalar) -> Float[Array, "..."]:
        """A bound on the variances, the gates' counted as a quarter."""
        candidate = self.candidate.covariance(1.0, power) + self.inner_bias_variance
        return largest_variance(power, candidate, self.keep, self.reset)

    def length_map(self, length: Scalar, power: Scalar, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """The state's second moment Q one step later."""
        q_f = self.keep.covariance(length, power)
        r, weights = self._resets(length, power)
        outer, inner = self._candidate_variances(length, power)
        written = expectation(_square, 0.0, outer + r**2 * inner, self.rule)
        return moment(self.keep, q_f, self.rule, keep, keep) * length + moment(
            self.keep, q_f, self.rule, drop, drop
        ) * jnp.sum(weights * written, axis=-1)

    def covariance_map(self, state: Gram, inputs: Gram, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """The covariance Q_ab of the states of two copies one step later."""
        f = self.keep.gram(state, inputs)
        written = self._over_resets(state, inputs, self._written)
        kept = shared(self.keep, f, self.rule, keep)
        return kept * state.ab + shared(self.keep, f, self.rule, drop) * written

    def chi(self, state: Gram, inputs: Gram, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``dQ_ab' / dQ_ab`` at fixed Q_aa and Q_bb.

        ``E[ff] + sigma_f^2 E[f'f'] (Q_ab + T_ab) + E[(1-f)(1-f)] k`` with
        ``k = E[tanh' tanh' (sigma_n^2 r r + sigma_r^2 r'r' g g)]``, the averages of g taken by
        parts (Stein).
        """
        f = self.keep.gram(state, inputs)
        slope = self._over_resets(state, inputs, self._slope)
        written = self._over_resets(state, inputs, self._written)
        blend = self.keep.recurrent_variance * shared(self.keep, f, self.rule, keep_slope)
        return (
            shared(self.keep, f, self.rule, keep)
            + blend * (state.ab + written)
            + shared(self.keep, f, self.rule, drop) * slope
        )

    def gain(self, length: Scalar, power: Scalar, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``chi`` of a copy with itself: the mean squared singular value of dh'/dh."""
        return blend_gain(self.keep, length, power, self.rule, self.written(length, power))

    def written(self, length: Scalar, power: Scalar) -> Written:
        """The moments of the candidate tanh(u_n) and of its derivative in the state."""
        r, weights = self._resets(length, power)
        outer, inner = self._candidate_variances(length, power)
        variance = outer + r**2 * inner
        positive = jnp.where(variance > 0, variance, 1.0)
        # Of g given u: the square of the slope of its mean, and its variance.
        tilt, rest = (r * inner / positive) ** 2, inner * outer / positive
        variances = self.candidate.recurrent_variance, self.reset.recurrent_variance
        direct, gated = (jnp.broadcast_to(v, r.shape[:-1])[..., None] for v in variances)
        direct, gated = direct * r**2, gated * (r * (1 - r)) ** 2
        flat = direct + gated * rest

        def average(*factors: Callable) -> Array:
            return expectation(product(*factors), 0.0, variance, self.rule)

        def slope(*factors: Callable) -> Array:
            leading = gated * tilt * average(_itself, _itself, _slope_square, *factors)
            return flat * average(_slope_square, *factors) + leading

        # E[(a + b g^2)^2] with g^2 and g^4 given u.
        constant = direct**2 + 2 * direct * gated * rest + 3 * (gated * rest) ** 2
        quadratic = 2 * gated * tilt * (direct + 3 * gated * rest)
        four = (_slope_square, _slope_square)
        slope_square = constant * average(*four)
        slope_square += quadratic * average(_itself, _itself, *four)
        slope_square += (gated * tilt) ** 2 * average(*(4 * (_itself,)), *four)
        each = (
            average(_square),
            average(_square, _square),
            slope(),
            slope_square,
            slope(_square),
            direct * average(_slope_square),
        )
        square, fourth, mean_slope, mean_slope_square, both, through_candidate = (
            jnp.sum(weights * value, axis=-1) for value in each
        )
        return Written(
            square,
            fourth,
            mean_slope,
            mean_slope_square,
            both,
            (through_candidate, mean_slope - through_candidate),
        )

    def _resets(self, length: Scalar, power: Scalar) -> tuple[Array, Array]:
        """R at the nodes of its pre-activation, on a new last axis, and their weights."""
        variance = self.reset.covariance(length, power)
        variance, mean, *_ = jnp.broadcast_arrays(
            variance, self.reset.bias_mean, self.candidate.covariance(length, power)
        )
        nodes, weights = (jnp.asarray(a, variance.dtype) for a in (_NODES, _WEIGHTS))
        shape = (1,) * variance.ndim + nodes.shape
        deviation = jnp.sqrt(variance)[..., None] * nodes.reshape(shape)
        return keep(mean[..., None] + deviation), weights.reshape(shape)

    def _candidate_variances(self, length: Scalar, power: Scalar) -> tuple[Array, Array]:
        """Those of ``V x + b_n`` and of ``W h + b_h``, with a new last axis."""
        outer = self.candidate.covariance(0.0, power)
        inner = self.candidate.recurrent_variance * length + self.inner_bias_variance
        like = self.candidate.covariance(length, power) + self.reset.covariance(length, power)
        outer, inner, _ = jnp.broadcast_arrays(outer, inner, like)
        return outer[..., None], inner[..., None]

    def _over_resets(self, state: Gram, inputs: Gram, function: Callable) -> Array:
        """The average of ``function(r_a, r_b, r of both)`` over the resets of two copies."""
        pair = self.reset.gram(state, inputs)
        like = self.candidate.covariance(state.ab, inputs.ab)
        mean, aa, bb, ab, _ = (
            a[..., None, None] for a in jnp.broadcast_arrays(self.reset.bias_mean, *pair, like)
        )
        spread = jnp.sqrt(aa * bb)
        # Just within 1, where the derivative of the root below is finite.
        c = ab / jnp.where(spread > 0, spread, 1.0) * (1 - jnp.finfo(aa.dtype).eps ** 0.5)
        nodes, weights = (jnp.asarray(a, aa.dtype) for a in (_NODES, _WEIGHTS))
        shape = (1,) * (aa.ndim - 2)
        z_a, z_b = nodes.reshape(*shape, -1, 1), nodes.reshape(*shape, 1, -1)
        r_a = keep(mean + jnp.sqrt(aa) * z_a)
        r_b = keep(mean + jnp.sqrt(bb) * (c * z_a + jnp.sqrt(jnp.maximum(1 - c**2, 0.0)) * z_b))
        weights = (weights[:, None] * weights[None, :]).reshape(*shape, _NODES.size, _NODES.size)
        return jnp.sum(weights * function(state, inputs, r_a, r_b), axis=(-2, -1))

    def _grams(self, state: Gram, inputs: Gram, r_a: Array, r_b: Array) -> tuple[Gram, Gram]:
        """The covariances of u_n and of ``g = W h + b_h`` at given resets."""
        spread = [
            self._candidate_variances(q, power) for q, power in zip(state, inputs, strict=True)
        ]
        outer, inner = (
            Gram(*(part[..., None] for part in parts)) for parts in zip(*spread, strict=True)
        )
        resets = (r_a**2, r_b**2, r_a * r_b)
        total = Gram(*(o + rr * g for o, rr, g in zip(outer, resets, inner, strict=True)))
        return total, inner

    def _pair(self, first: Callable, second: Callable, gram: Gram) -> Array:
        rule = dataclasses.replace(self.rule, terms=self.rule.terms or _TERMS)
        return pair_expectation(first, second, 0.0, *gram, rule)

    def _written(self, state: Gram, inputs: Gram, r_a: Array, r_b: Array) -> Array:
        return self._pair(squash, squash, self._grams(state, inputs, r_a, r_b)[0])

    def _slope(self, state: Gram, inputs: Gram, r_a: Array, r_b: Array) -> Array:
        """``E[tanh' tanh' (sigma_n^2 r r + sigma_r^2 r'r' g g)]`` at given resets."""
        u, g = self._grams(state, inputs, r_a, r_b)
        flat = self._pair(squash_slope, squash_slope, u)
        # Stein: E[g_a g_b F(u_a, u_b)] from the covariances of g with u and F's second derivatives.
        product_of_g = g.ab * flat
        product_of_g += r_a**2 * g.aa * g.ab * self._pair(_third, squash_slope, u)
        product_of_g += r_b**2 * g.ab * g.bb * self._pair(squash_slope, _third, u)
        crossed = r_a * r_b * (g.aa * g.bb + g.ab**2)
        product_of_g += crossed * self._pair(_curvature, _curvature, u)
        variances = self.candidate.recurrent_variance, self.reset.recurrent_variance
        sigma_n, sigma_r = (
            jnp.broadcast_to(v, flat.shape[:-2])[..., None, None] for v in variances
        )
        through_reset = sigma_r * (r_a * (1 - r_a)) * (r_b * (1 - r_b))
        return sigma_n * r_a * r_b * flat + through_reset * product_of_g
