"""Averages over one and two Gaussian variables: what every mean-field prediction is made of.

The trapezoid rule in the standardised variable: for a function that is analytic in a strip its
error falls like ``exp(-2 pi d / h)``, d the strip's half-width and h the step. Gauss-Hermite
quadrature of 64 nodes is wrong by a tenth for ``sigmoid'^2`` at variance 50; it sees the
Gaussian's width, not that of the gate's slope.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Scalar = Float[Array | np.ndarray, "..."] | float | int
Function = Callable[[Array], Array]

_REACH = 10.0  # nodes to +-10 deviations: (1 - sigmoid)^2 at a large mean lives beyond 2 of them
_LOG_ERROR = 36.0  # tanh'^2 has a pole of fourth order: its error is 1e5 times exp(-36)


@dataclasses.dataclass(frozen=True)
class Rule:
    """How finely Gaussian averages are taken; static, so that it fixes the shapes.

    **Fields**

    - ``largest_variance``: up to which averages are exact to 1e-10 for functions as steep as
      tanh; for the sigmoid, half as steep, up to four times that. Beyond it the error grows
      without a word.
    - ``terms``: of the Hermite series for averages over a pair, 0 for the trapezoid rule in two
      dimensions. The series costs less by a factor of several hundred on grids; its error is
      largest for correlations near 1 (where value and slope are matched) times
      ``exp(-pi sqrt(terms / variance))`` for tanh, the square of that for the sigmoid.
    """

    largest_variance: float = 50.0
    terms: int = 0

    def __post_init__(self):
        if not 0 < self.largest_variance < math.inf:
            raise ValueError(
                f"largest_variance must be positive and finite, got {self.largest_variance}."
            )
        if self.terms < 0:
            raise ValueError(f"terms must be at least 0, got {self.terms}.")

    @property
    def step(self) -> float:
        """The distance between nodes, in standard deviations."""
        strip = math.pi / 2 / math.sqrt(self.largest_variance)
        return min(0.25, 2 * math.pi * strip / _LOG_ERROR)

    @property
    def num_nodes(self) -> int:
        """How many nodes there are in one dimension."""
        return 2 * math.ceil(_REACH / self.step) + 1


DEFAULT_RULE = Rule()


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 3))
def expectation(
    function: Function, mean: Scalar, variance: Scalar, rule: Rule = DEFAULT_RULE
) -> Float[Array, "..."]:
    """The average of a function of one Gaussian variable.

    **Definition.** ``E[f(e)]``, e ~ N(mean, variance), by the trapezoid rule.

    **Arguments:** ``function``: elementwise, closing over no traced value; ``mean`` and
    ``variance`` of any shapes that broadcast.

    **Returns:** the averages. They can be differentiated any number of times, at variance 0 too:
    the derivatives are ``E[f']`` and ``E[f''] / 2``.

    **When it misleads:** a function with kinks (relu) is integrated to about the step squared; a
    variance above ``rule.largest_variance`` silently loses digits.

    **Cost:** ``rule.num_nodes`` evaluations of the function.

    **Reference:** Trefethen & Weideman (2014), SIAM Review 56, on the trapezoid rule.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> half = expectation(jax.nn.sigmoid, 0.0, 16.0)
        >>> bool(abs(half - 0.5) < 1e-6)
        True

        ```
    """
    mean, variance = _arrays(mean, variance)
    z, weight = _nodes(rule, mean.dtype)
    e = mean[..., None] + jnp.sqrt(variance)[..., None] * _last(z, mean)
    return jnp.sum(function(e) * _last(weight, mean), axis=-1)


@expectation.defjvp
def _expectation_jvp(function, rule, primals, tangents):
    mean, variance = _arrays(*primals)
    d_mean, d_variance = tangents
    slope = derivative(function)
    value = expectation(function, mean, variance, rule)
    tangent = expectation(slope, mean, variance, rule) * d_mean
    tangent += 0.5 * expectation(derivative(slope), mean, variance, rule) * d_variance
    return value, tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 6))
def pair_expectation(
    first: Function,
    second: Function,
    mean: Scalar,
    variance_a: Scalar,
    variance_b: Scalar,
    covariance: Scalar,
    rule: Rule = DEFAULT_RULE,
) -> Float[Array, "..."]:
    """The average of a product of functions of two correlated Gaussian variables.

    **Definition.** ``E[f(e_a) g(e_b)]``, both of mean ``mean``, with the given variances and
    covariance. The correlation is clipped to [-1, 1], which rounding would leave.

    **Arguments:** ``first``, ``second``: f and g, elementwise, closing over no traced value; the
    numbers of any shapes that broadcast.

    **Returns:** the averages. They can be differentiated any number of times, at correlations
    +-1 and at variance 0 too: the derivative in the covariance is ``E[f' g']`` (Price), in the
    variances ``E[f'' g] / 2`` and ``E[f g''] / 2``.

    **When it misleads:** as [`expectation`][]; see `Rule` for the Hermite series.

    **Cost:** the square of ``rule.num_nodes`` evaluations, or two times ``rule.num_nodes`` and a
    product with a matrix of ``rule.terms`` columns.

    **Reference:** Price (1958), IRE Transactions on Information Theory 4.

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> product = pair_expectation(jnp.tanh, jnp.tanh, 0.0, 1.0, 1.0, 1.0)
        >>> bool(abs(product - expectation(lambda e: jnp.tanh(e) ** 2, 0.0, 1.0)) < 1e-6)
        True

        ```
    """
    mean, variance_a, variance_b, covariance = _arrays(mean, variance_a, variance_b, covariance)
    c = correlation(variance_a, variance_b, covariance)
    if rule.terms:
        return hermite_series(first, second, mean, variance_a, variance_b, rule).value(c)
    z, weight = _nodes(rule, mean.dtype)
    z_a, z_b = _last(z, mean)[..., :, None], _last(z, mean)[..., None, :]
    mean, variance_a, variance_b, c = (
        x[..., None, None] for x in (mean, variance_a, variance_b, c)
    )
    e_a = mean + jnp.sqrt(variance_a) * z_a
    e_b = mean + jnp.sqrt(variance_b) * (c * z_a + jnp.sqrt(1 - c**2) * z_b)
    weights = _last(weight, c[..., 0, 0])
    inner = jnp.sum(second(e_b) * weights[..., None, :], axis=-1)
    return jnp.sum(first(e_a[..., 0]) * inner * weights, axis=-1)


@pair_expectation.defjvp
def _pair_jvp(first, second, rule, primals, tangents):
    numbers = _arrays(*primals)
    d_mean, d_a, d_b, d_ab = tangents

    def average(f, g):
        return pair_expectation(f, g, *numbers, rule)

    slope_a, slope_b = derivative(first), derivative(second)
    tangent = (average(slope_a, second) + average(first, slope_b)) * d_mean
    tangent += 0.5 * average(derivative(slope_a), second) * d_a
    tangent += 0.5 * average(first, derivative(slope_b)) * d_b
    tangent += average(slope_a, slope_b) * d_ab
    return average(first, second), tangent


def correlation(variance_a: Array, variance_b: Array, covariance: Array) -> Float[Array, "..."]:
    """The correlation, clipped to [-1, 1]; 0 where a variance is 0."""
    scale = jnp.sqrt(variance_a * variance_b)
    safe = jnp.where(scale == 0, jnp.ones_like(scale), scale)
    ratio = jnp.where(scale == 0, jnp.zeros_like(scale), covariance / safe)
    return jnp.clip(ratio, -1, 1)


class HermiteSeries(NamedTuple):
    """``E[f(e_a) g(e_b)]`` as a power series in the correlation c (Mehler).

    What the series leaves out is put in as ``rest c^order``, which makes value and slope right at
    c = 1. For negative c nothing is put in.
    """

    coefficients: Float[Array, "*grid k"]
    rest: Float[Array, "*grid"]
    order: Float[Array, "*grid"]

    def value(self, c: Float[Array, "..."]) -> Float[Array, "..."]:
        """The average at correlation c, in [-1, 1]."""
        return _polynomial(self.coefficients, c) + self.rest * jnp.maximum(c, 0) ** self.order

    def slope(self, c: Float[Array, "..."]) -> Float[Array, "..."]:
        """Its derivative in c: ``sqrt(q_a q_b) E[f' g']``."""
        raised = self.coefficients[..., 1:] * _last(
            jnp.arange(1, self.coefficients.shape[-1], dtype=c.dtype), self.rest
        )
        rest = self.rest * self.order * jnp.maximum(c, 0) ** (self.order - 1)
        return _polynomial(raised, c) + rest


def hermite_series(
    first: Function,
    second: Function,
    mean: Scalar,
    variance_a: Scalar,
    variance_b: Scalar,
    rule: Rule,
) -> HermiteSeries:
    """Prepare [`pair_expectation`][] for many correlations.

    **Definition.** The coefficients are ``E[f h_k] E[g h_k]`` with the normalised Hermite
    polynomials h_k, k below ``rule.terms``.
    """
    mean, variance_a, variance_b = _arrays(mean, variance_a, variance_b)
    z, basis = _basis(rule)
    z, basis = jnp.asarray(z, mean.dtype), jnp.asarray(basis, mean.dtype)

    def samples(function, variance):
        e = mean[..., None] + jnp.sqrt(variance)[..., None] * _last(z, mean)
        return function(e), jnp.matmul(function(e), basis)

    values_a, coefficients_a = samples(first, variance_a)
    values_b, coefficients_b = samples(second, variance_b)
    coefficients = coefficients_a * coefficients_b
    weight = _last(basis[:, 0], mean)
    total = jnp.sum(values_a * values_b * weight, axis=-1)
    spread = jnp.sqrt(variance_a * variance_b)
    slopes = samples(derivative(first), variance_a)[0], samples(derivative(second), variance_b)[0]
    total_slope = spread * jnp.sum(slopes[0] * slopes[1] * weight, axis=-1)
    k = _last(jnp.arange(rule.terms, dtype=mean.dtype), mean)
    rest = total - jnp.sum(coefficients, axis=-1)
    missing = total_slope - jnp.sum(coefficients * k, axis=-1)
    # Where nothing but rounding is left out the order is noise; no left-out term is below `terms`.
    order = missing / jnp.where(rest == 0, jnp.ones_like(rest), rest)
    trusted = (order >= rule.terms) & (order < jnp.inf)
    rest = jnp.where(trusted | jnp.isnan(rest), rest, jnp.zeros_like(rest))
    order = jnp.where(trusted, order, jnp.full_like(order, rule.terms))
    return HermiteSeries(coefficients, rest, order)


def _polynomial(coefficients: Array, c: Array) -> Array:
    """``sum_k a_k c^k`` in two levels: sqrt(k) powers of c, and as many of its sqrt(k)-th."""
    terms = coefficients.shape[-1]
    width = math.isqrt(terms - 1) + 1
    rows = -(-terms // width)
    padding = [(0, 0)] * (coefficients.ndim - 1) + [(0, rows * width - terms)]
    table = jnp.pad(coefficients, padding).reshape(*coefficients.shape[:-1], rows, width)
    low = _powers(c, width + 1)
    high = _powers(low[..., -1], rows)
    inner = jnp.sum(table * low[..., None, :-1], axis=-1)
    return jnp.sum(inner * high, axis=-1)


def _powers(c: Array, number: int) -> Array:
    """1, c, ..., c^(number - 1), on a new last axis."""
    ones = jnp.ones((*c.shape, 1), c.dtype)
    repeated = jnp.broadcast_to(c[..., None], (*c.shape, number - 1))
    return jnp.cumprod(jnp.concatenate([ones, repeated], axis=-1), axis=-1)


def _arrays(*numbers: Scalar) -> tuple[Array, ...]:
    """All as arrays of one shape and floating dtype."""
    dtype = jnp.result_type(*numbers)
    if not jnp.issubdtype(dtype, jnp.inexact):
        dtype = jnp.result_type(float)
    shape = jnp.broadcast_shapes(*(jnp.shape(x) for x in numbers))
    return tuple(jnp.broadcast_to(jnp.asarray(x, dtype), shape) for x in numbers)


def _last(row: Array, like: Array) -> Array:
    """A vector on a new last axis of an array: rank promotion, said aloud."""
    return row.reshape((1,) * like.ndim + row.shape)


def derivative(function: Function) -> Function:
    """The derivative of an elementwise function."""

    def slope(e):
        return jax.jvp(function, (e,), (jnp.ones_like(e),))[1]

    return slope


@functools.lru_cache(maxsize=32)
def _trapezoid(step: float, reach: float) -> tuple[np.ndarray, np.ndarray]:
    count = math.ceil(reach / step)
    z = step * np.arange(-count, count + 1)
    density = np.exp(-(z**2) / 2)
    return z, density / density.sum()


def _nodes(rule: Rule, dtype) -> tuple[Array, Array]:
    z, weight = _trapezoid(rule.step, _REACH)
    return jnp.asarray(z, dtype), jnp.asarray(weight, dtype)


@functools.lru_cache(maxsize=8)
def _basis(rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """Nodes, and weight times normalised Hermite polynomial at each, shape (nodes, terms)."""
    # The polynomials wave sqrt(k) times per 2 pi, and reach further out than their weight.
    step = min(rule.step, 2 * math.pi / (math.sqrt(rule.terms) + 12))
    z, weight = _trapezoid(step, _REACH + 2)
    basis = np.empty((len(z), rule.terms))
    # Half of the weight goes into the recurrence, which would overflow without it.
    basis[:, 0] = np.sqrt(weight)
    if rule.terms > 1:
        basis[:, 1] = z * basis[:, 0]
    for k in range(1, rule.terms - 1):
        basis[:, k + 1] = (z * basis[:, k] - math.sqrt(k) * basis[:, k - 1]) / math.sqrt(k + 1)
    return z, basis * np.sqrt(weight)[:, None]
