"""Gaussian averages: reference values, closed forms, derivatives at the edges, and wrong rules."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf, expit

from echoic.theory.gaussian import Rule, derivative, expectation, hermite_series, pair_expectation

pytestmark = pytest.mark.usefixtures("x64")


def sigmoid(e):
    return jax.nn.sigmoid(e)


def close(e):
    return jax.nn.sigmoid(-e)


def slope(e):
    return derivative(sigmoid)(e)


def tanh_slope(e):
    return derivative(jnp.tanh)(e)


def power(function, exponent):
    return lambda e: function(e) ** exponent


# E[f(N(mean, variance))], to six figures.
ONE = [
    (power(sigmoid, 2), 0, 16, 0.408815),
    (power(close, 2), 0, 16, 0.408815),
    (power(slope, 2), 0, 16, 0.015997),
    (power(slope, 4), 0, 16, 0.000700),
    (lambda e: (sigmoid(e) * slope(e)) ** 2, 0, 16, 0.004753),
    (sigmoid, 2, 16, 0.676172),
    (power(sigmoid, 2), 2, 16, 0.594090),
    (power(close, 2), 2, 16, 0.241745),
    (power(slope, 2), 2, 16, 0.014247),
    (power(jnp.tanh, 2), 0, 1, 0.394294),
    (power(tanh_slope, 2), 0, 1, 0.464403),
]
PAIR = [
    (sigmoid, 16, 0.318660),
    (slope, 16, 0.009168),
    (jnp.tanh, 1, 0.186324),
    (tanh_slope, 1, 0.384747),
]
# numpy, jax, largest variance, relative error: functions whose averages adaptive quadrature knows
STEEP = [
    (lambda e: np.tanh(e) ** 2, power(jnp.tanh, 2), 50),
    (lambda e: np.cosh(e) ** -4.0, power(tanh_slope, 2), 50),
    (lambda e: (expit(e) * expit(-e)) ** 2, power(slope, 2), 200),
    (lambda e: expit(-e) ** 2, power(close, 2), 200),
]


def hermite(function, mean, variance, nodes=64):
    """Gauss-Hermite quadrature: the rule that must not be used at large variance."""
    x, w = np.polynomial.hermite.hermgauss(nodes)
    return float(np.sum(w * function(mean + math.sqrt(2 * variance) * x)) / math.sqrt(math.pi))


@functools.cache
def exact(which, mean, variance):
    function, deviation = STEEP[which][0], math.sqrt(variance)

    def integrand(z):
        return function(mean + deviation * z) * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    options = {"epsabs": 0, "epsrel": 1e-12, "limit": 400}
    middle = -mean / deviation
    return sum(
        quad(integrand, low, high, **options)[0]
        for low, high in ((-12, middle), (middle, middle + 1), (middle + 1, 12))
    )


def errors(rule):
    """The largest relative error of an averaging rule over all steep functions."""
    return max(
        abs(float(rule(which, mean, q)) / exact(which, mean, q) - 1)
        for which, (_, _, largest) in enumerate(STEEP)
        for mean in (0.0, 2.0)
        for q in (0.3, float(largest))
    )


def test_reference_values():
    averages = jax.jit(lambda: [expectation(f, float(m), float(q)) for f, m, q, _ in ONE])()
    assert np.array(averages) == pytest.approx(np.array([value for *_, value in ONE]), abs=6e-7)


@pytest.mark.parametrize("rule", [Rule(), Rule(50.0, 256)], ids=["trapezoid", "series"])
def test_reference_values_of_pairs(rule):
    @jax.jit
    def averages():
        return [pair_expectation(f, f, 0.0, float(q), float(q), q / 2, rule) for f, q, _ in PAIR]

    assert np.array(averages()) == pytest.approx(np.array([v for *_, v in PAIR]), abs=6e-7)


def test_large_variances_keep_ten_digits():
    @functools.cache
    def rule(which):
        return jax.jit(lambda mean, q: expectation(STEEP[which][1], mean, q))

    assert errors(lambda which, mean, q: rule(which)(mean, q)) < 1e-10


def test_gauss_hermite_is_refused():
    """By the same figure: it loses half of the value."""
    assert errors(lambda which, mean, q: hermite(STEEP[which][0], mean, q)) > 0.1


def arcsine(a, b, ab):
    """``E[erf erf]``, for means of zero."""
    return 2 / math.pi * np.arcsin(2 * ab / np.sqrt((1 + 2 * a) * (1 + 2 * b)))


CORRELATIONS = np.array([-1.0, -0.999, -0.7, 0.0, 0.3, 0.9, 0.99, 0.9999, 1.0])


@pytest.mark.parametrize("rule", [Rule(), Rule(50.0, 512)], ids=["trapezoid", "series"])
@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.2, 3.0), (8.0, 8.0)])
def test_pairs_agree_with_a_closed_form(a, b, rule):
    ab = math.sqrt(a * b) * CORRELATIONS
    found = pair_expectation(jax.scipy.special.erf, jax.scipy.special.erf, 0.0, a, b, ab, rule)
    assert found == pytest.approx(arcsine(a, b, ab), abs=1e-10)


def test_the_series_matches_value_and_slope_at_equal_variables():
    """Where so few terms are far from enough: the rest is put in."""

    @jax.jit
    def both():
        series = hermite_series(jnp.tanh, jnp.tanh, 0.3, 20.0, 20.0, Rule(50.0, 32))
        one = jnp.ones(())
        square = expectation(power(jnp.tanh, 2), 0.3, 20.0)
        slope_square = expectation(power(tanh_slope, 2), 0.3, 20.0)
        found = series.value(one), series.slope(one) / 20, jnp.sum(series.coefficients)
        return found, (square, slope_square)

    (value, slope, without_rest), (square, slope_square) = both()
    assert value == pytest.approx(float(square), abs=1e-12)
    assert slope == pytest.approx(float(slope_square), abs=1e-12)
    assert abs(without_rest - square) > 1e-3


def unclipped(a, b, ab):
    """The average of ``erf erf`` with a correlation that is taken as it comes."""
    z, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / w.sum()
    c = ab / math.sqrt(a * b)
    with np.errstate(invalid="ignore"):
        other = math.sqrt(b) * (c * z[:, None] + np.sqrt(1 - c**2) * z[None, :])
    return float(w @ (erf(math.sqrt(a) * z)[:, None] * erf(other)) @ w)


def test_correlations_that_rounding_carried_beyond_one_are_clipped():
    beyond = 1.0 + 4e-16
    wrong = unclipped(1.0, 1.0, beyond)
    found = pair_expectation(jax.scipy.special.erf, jax.scipy.special.erf, 0.0, 1.0, 1.0, beyond)
    assert found == pytest.approx(arcsine(1.0, 1.0, 1.0), abs=1e-10)
    assert wrong != pytest.approx(arcsine(1.0, 1.0, 1.0), abs=1e-10)  # NaN
    assert unclipped(1.0, 1.0, 0.5) == pytest.approx(arcsine(1.0, 1.0, 0.5), abs=1e-10)


def test_derivatives_at_zero_variance():
    """``E[f']`` and ``E[f''] / 2``: 2 tanh tanh' and tanh'^2 - ... at a point."""
    square = power(jnp.tanh, 2)
    d_mean, d_variance = jax.grad(lambda m, q: expectation(square, m, q), (0, 1))(0.5, 0.0)
    t = math.tanh(0.5)
    assert d_mean == pytest.approx(2 * t * (1 - t**2), abs=1e-12)
    assert d_variance == pytest.approx((1 - t**2) * (1 - 3 * t**2), abs=1e-12)


@pytest.mark.parametrize("rule", [Rule(8.0), Rule(8.0, 128)], ids=["trapezoid", "series"])
def test_derivatives_of_pairs(rule):
    """Those of the arcsine, also where both variables are one."""
    f = jax.scipy.special.erf
    a, b, ab = np.array([1.0] * 3), np.array([2.0] * 3), math.sqrt(2) * np.array([-1, 0.4, 1])
    gradient = jax.jit(
        jax.grad(lambda *q: jnp.sum(pair_expectation(f, f, 0.0, *q, rule)), (0, 1, 2))
    )
    found = gradient(a, b, ab)
    total = (1 + 2 * a) * (1 + 2 * b)
    outer = 2 / math.pi / np.sqrt(1 - 4 * ab**2 / total)
    wanted = [
        outer * 2 * ab * -1 / (1 + 2 * a) / np.sqrt(total),
        outer * 2 * ab * -1 / (1 + 2 * b) / np.sqrt(total),
        outer * 2 / np.sqrt(total),
    ]
    assert np.array(found) == pytest.approx(np.array(wanted), abs=1e-9)


def test_no_variance_at_all():
    assert pair_expectation(jnp.tanh, jnp.tanh, 0.5, 0.0, 1.0, 0.0) == pytest.approx(
        math.tanh(0.5) * float(expectation(jnp.tanh, 0.5, 1.0)), abs=1e-12
    )


def test_grids_and_gaps():
    mean, variance = jnp.array([[0.0], [1.0]]), jnp.array([[0.5, jnp.nan, 2.0]])
    found = jax.jit(lambda m, q: expectation(jnp.tanh, m, q))(mean, variance)
    assert found.shape == (2, 3)
    assert np.isnan(found).tolist() == [[False, True, False]] * 2
    alone = jax.jit(lambda: expectation(jnp.tanh, 1.0, 2.0))()
    assert found[1, 2] == pytest.approx(float(alone), abs=1e-14)
    covariance = jnp.array([0.5, jnp.nan])
    pair = jax.jit(lambda ab: pair_expectation(jnp.tanh, jnp.tanh, 0.0, 1.0, 1.0, ab))(covariance)
    assert np.isnan(pair).tolist() == [False, True]


@pytest.mark.parametrize("rule", [Rule(), Rule(50.0, 64)], ids=["trapezoid", "series"])
def test_single_precision_keeps_its_type(rule):
    q = jnp.asarray(16.0, jnp.float32)
    pair = jax.jit(lambda q: pair_expectation(sigmoid, sigmoid, 0 * q, q, q, q / 2, rule))
    assert pair(q).dtype == jnp.float32
    assert pair(q) == pytest.approx(0.318660, abs=2e-6)


@pytest.mark.parametrize("bad", [{"largest_variance": 0.0}, {"terms": -1}])
def test_rules_that_are_none(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Rule(**bad)
