"""Lyapunov spectra of wide random networks: closed forms, sampled products, and networks run."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import integrate, optimize
from scipy.special import digamma

from echoic import cells, init
from echoic.measure.lyapunov.spectrum import lyapunov_spectrum
from echoic.theory import exponent_at, exponent_spectrum, mean_exponent, preactivation_variance

FRACTIONS = np.array([0.05, 0.2, 0.5, 0.8, 0.95])


def gaussian_mean(function):
    """E f(z) by adaptive quadrature, z standard normal."""
    density = lambda z: function(z) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    return sum(integrate.quad(density, *ends, limit=200)[0] for ends in [(-12, 0), (0, 12)])


def test_triangle_law_of_newman():
    found = exponent_at(FRACTIONS, 2.0, activation="identity")
    np.testing.assert_allclose(found, np.log(2.0) + np.log(1 - FRACTIONS) / 2, atol=1e-10)
    # The exact exponents of finite products go there.
    n, k = 4000, (FRACTIONS * 4000).astype(int)
    exact = (digamma((n - k + 1) / 2) + np.log(2 * 4 / n)) / 2
    found = exponent_at((k - 0.5) / n, 2.0, activation="identity")
    np.testing.assert_allclose(found, exact, atol=2e-3)
    flat = exponent_at(FRACTIONS, 2.0, activation="identity", matrix="orthogonal")
    np.testing.assert_allclose(flat, np.log(2.0), atol=1e-10)


def test_relu_in_closed_form():
    """Half of the units are on: a triangle of half the width."""
    x = np.array([0.0, 0.1, 0.3, 0.49])
    found = exponent_at(x, 1.2, activation="relu", input_power=1.0)
    np.testing.assert_allclose(found, np.log(1.2) + np.log((1 - 2 * x) / 2) / 2, atol=1e-10)
    orthogonal = exponent_at(x, 1.2, activation="relu", matrix="orthogonal")
    np.testing.assert_allclose(orthogonal, found - np.log(1 - x) / 2, atol=1e-10)
    assert exponent_at(0.6, 1.2, activation="relu") == -math.inf
    assert mean_exponent(1.2, activation="relu") == -math.inf
    assert preactivation_variance(1.2, activation="relu", input_power=1.0) == pytest.approx(
        1 / 0.28
    )
    assert preactivation_variance(1.5, activation="relu", input_power=1.0) == math.inf


def test_identity_above_one():
    found = exponent_spectrum(2.0, activation="identity")
    assert found.positive_fraction == pytest.approx(0.75)  # 1 - 1 / gain^2
    # Integral of log 2 + 1/2 log(1 - x) over 0..3/4.
    expected = 0.75 * math.log(2) + (0.25 * math.log(4) - 0.75) / 2
    assert found.entropy_rate == pytest.approx(expected, abs=1e-9)
    assert found.dimension == 1.0  # volumes grow


@pytest.mark.parametrize(("gain", "power"), [(0.8, 0.5), (1.5, 0.0), (3.0, 0.2)])
def test_variance_and_ends_of_the_spectrum_by_quadrature(gain, power):
    q = preactivation_variance(gain, input_power=power)
    root = math.sqrt(q)
    assert q == pytest.approx(gain**2 * gaussian_mean(lambda z: np.tanh(root * z) ** 2) + power)
    slope = lambda z: np.cosh(root * z) ** -2.0  # noqa: E731
    largest = math.log(gain) + math.log(gaussian_mean(lambda z: slope(z) ** 2)) / 2
    mean = math.log(gain) + gaussian_mean(lambda z: np.log(slope(z)))
    found = exponent_spectrum(gain, input_power=power)
    assert found.largest == pytest.approx(largest, abs=1e-9)
    assert found.mean == pytest.approx(mean - 0.5, abs=1e-9)
    assert mean_exponent(gain, input_power=power, matrix="orthogonal") == pytest.approx(mean)
    # Wrong: the volume term left out, the slope not squared, the power forgotten.
    assert abs(found.mean - mean) > 0.1
    assert abs(found.largest - math.log(gain * gaussian_mean(slope))) > 0.01
    if power:
        assert abs(found.largest - exponent_spectrum(gain).largest) > 0.005


def test_s_transform():
    """1/2 log(gain^2 (1 - x) / S(-x)), S by inverting the moment series with other tools."""
    gain, power = 2.0, 0.3
    root = math.sqrt(preactivation_variance(gain, input_power=power))

    def series(z):  # E[z d^2 / (1 - z d^2)]
        return gaussian_mean(lambda s: z / (np.cosh(root * s) ** 4 - z))

    for x in (0.1, 0.4, 0.7):
        z = -math.exp(optimize.brentq(lambda u: series(-math.exp(u)) + x, -10, 40))  # noqa: B023
        s_transform = (1 - x) / -x * z
        for matrix, factor in [("gaussian", 1 - x), ("orthogonal", 1.0)]:
            expected = math.log(gain**2 * factor / s_transform) / 2
            found = exponent_at(x, gain, input_power=power, matrix=matrix)
            assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("matrix", ["gaussian", "orthogonal"])
def test_summary_is_the_spectrum_added_up(matrix):
    found = exponent_spectrum(3.0, matrix=matrix)

    def added(high):
        # Gauss-Legendre in u = sqrt(1 - x), which tames the logarithm at 1.
        nodes, weights = np.polynomial.legendre.leggauss(40)
        low = math.sqrt(1 - high)
        u = low + (1 - low) * (nodes + 1) / 2
        values = exponent_at(1 - u**2, 3.0, matrix=matrix)
        return float((1 - low) / 2 * np.sum(weights * 2 * u * values))

    assert exponent_at(found.positive_fraction, 3.0, matrix=matrix) == pytest.approx(0, abs=1e-7)
    assert added(found.positive_fraction) == pytest.approx(found.entropy_rate, abs=1e-6)
    assert added(found.dimension) == pytest.approx(0, abs=1e-6)
    assert added(1.0) == pytest.approx(found.mean, abs=1e-3)
    assert found.largest == pytest.approx(exponent_at(0.0, 3.0, matrix=matrix))
    assert found.positive_fraction < found.dimension < 1


def test_edge_of_chaos():
    assert exponent_spectrum(1.05985, input_power=0.025**2 * 0.46).largest == pytest.approx(
        0, abs=2e-5
    )
    assert exponent_spectrum(0.9) == pytest.approx(
        (0, math.log(0.9), math.log(0.9) - 0.5, 0, 0, 0), abs=1e-12
    )
    near = preactivation_variance(1 + 1e-9)  # q ~ (gain^2 - 1) / 2
    assert near == pytest.approx(1e-9, rel=1e-3)
    # Input noise suppresses chaos.
    largest = [exponent_spectrum(1.5, input_power=p).largest for p in (0.0, 0.3, 3.0)]
    assert largest[0] > 0 > largest[2]
    assert np.all(np.diff(largest) < 0)


def test_far_gains_stay_finite():
    found = exponent_spectrum(30.0)
    root = math.sqrt(found.variance)
    # Few units are not saturated: the integral of sech^4 is 4/3, times the density at 0.
    density = 1 / (math.sqrt(2 * math.pi) * root)
    assert found.largest == pytest.approx(math.log(900 * 4 / 3 * density) / 2, abs=1e-3)
    typical = math.log(4) - 2 * root * math.sqrt(2 / math.pi)  # log sech^2, E|z| = sqrt(2 / pi)
    assert found.mean == pytest.approx(math.log(30) + typical - 0.5, abs=0.05)
    smallest = exponent_at(np.array([0.999, 1.0]), 10.0, matrix="orthogonal")
    assert np.all(np.isfinite(smallest))
    assert smallest[1] == pytest.approx(math.log(10) - (8 * 91.7051311952887 - math.log(8)) / 2)


def sampled(gain, n, steps, seed, *, orthogonal=False, tied=False, power=0.0):
    """Exponents of one network by QR at each step, weights drawn anew unless tied."""
    rng = np.random.default_rng(seed)

    def draw():
        matrix = rng.normal(size=(n, n))
        if not orthogonal:
            return gain * matrix / math.sqrt(n)
        q, r = np.linalg.qr(matrix)
        return gain * q * np.sign(np.diagonal(r))

    weights, x, sums = draw(), rng.normal(size=n), np.zeros(n)
    frame = np.linalg.qr(rng.normal(size=(n, n)))[0]
    for time in range(steps + 40):
        weights = weights if tied else draw()
        jacobian = weights * (1 - np.tanh(x) ** 2)
        x = weights @ np.tanh(x) + math.sqrt(power) * rng.normal(size=n)
        frame, upper = np.linalg.qr(jacobian @ frame)
        if time >= 40:
            sums += np.log(np.abs(np.diagonal(upper)))
    return sums / steps


def gap(gain, n, steps, seeds, *, largest_rank=0.75, **options):
    """Deviation from theory up to a rank, and its standard error, over seeds."""
    found = np.array([sampled(gain, n, steps, seed, **options) for seed in range(seeds)])
    kept = int(largest_rank * n)
    ranks = (np.arange(n) + 0.5) / n
    matrix = "orthogonal" if options.get("orthogonal") else "gaussian"
    theory = exponent_at(ranks, gain, matrix=matrix, input_power=options.get("power", 0.0))
    deviation = (found.mean(axis=0) - theory)[:kept]
    return deviation, found.std(axis=0, ddof=1)[:kept] / math.sqrt(seeds), theory[:kept]


@pytest.mark.parametrize("orthogonal", [False, True])
def test_untied_products_agree(orthogonal):
    deviation, error, theory = gap(2.0, 32, 150, 6, orthogonal=orthogonal)
    allowed = 4 * error + 4 / 32
    assert np.all(np.abs(deviation) < allowed)
    # Wrong: the other ensemble, log base 2, exponents of the square.
    ranks = (np.arange(len(theory)) + 0.5) / 32
    other = exponent_at(ranks, 2.0, matrix="gaussian" if orthogonal else "orthogonal")
    for wrong in (other, theory / math.log(2), 2 * theory):
        assert np.any(np.abs(deviation + theory - wrong) > allowed)


@pytest.mark.slow
@pytest.mark.parametrize("orthogonal", [False, True])
def test_gap_of_untied_products_shrinks_with_the_width(orthogonal):
    small, small_error, _ = gap(2.0, 16, 2000, 6, orthogonal=orthogonal)
    large, large_error, _ = gap(2.0, 64, 500, 6, orthogonal=orthogonal)
    assert np.all(np.abs(large) < 4 * large_error + 4 / 64)
    assert np.abs(np.mean(large)) < np.abs(np.mean(small)) / 2 + 4 * np.mean(large_error)
    assert np.mean(np.abs(small)) > 4 * np.mean(small_error) / math.sqrt(6)


@pytest.mark.slow
@pytest.mark.parametrize(("gain", "power"), [(1.5, 0.0), (3.0, 0.0), (3.0, 1.0)])
def test_tied_networks_deviate_as_one_over_the_width(gain, power):
    """n = 50: largest exponent .05 below; 200: .01 to .02; ranks up to 3/4: 8/n + 4 s.e."""
    small, _, _ = gap(gain, 50, 400, 8, tied=True, power=power)
    large, error, _ = gap(gain, 200, 400, 4, tied=True, power=power)
    assert np.all(np.abs(large) < 4 * error + 8 / 200)
    assert -0.08 < small[0] < -0.02
    assert small[0] / 1.5 < large[0] < 0


@pytest.mark.slow
@pytest.mark.parametrize("gain", [1.5, 3.0])
def test_tied_orthogonal_networks_are_found_to_agree(gain):
    small, _, _ = gap(gain, 50, 400, 8, tied=True, orthogonal=True)
    large, error, _ = gap(gain, 200, 400, 4, tied=True, orthogonal=True)
    assert np.all(np.abs(large) < 4 * error + 4 / 200)
    assert np.abs(large.mean()) < np.abs(small.mean()) / 2


@pytest.mark.slow
def test_tied_networks_by_the_library_s_own_measure(x64):
    n, gain, power = 200, 2.0, 0.5
    largest, means = [], []
    for seed in range(3):
        cell_key, input_key, frame_key = jr.split(jr.key(seed), 3)
        cell = cells.Elman(
            n,
            n,
            recurrent=init.gaussian(gain),
            input=init.identity(math.sqrt(power)),
            bias=init.zeros(),
            key=cell_key,
            dtype=jnp.float64,
        )
        inputs = jax.random.normal(input_key, (400, n), jnp.float64)
        found = lyapunov_spectrum(cell, inputs, key=frame_key, burn_in=100)
        largest.append(float(found.value[0]))
        means.append(float(found.value.mean()))
    theory = exponent_spectrum(gain, input_power=power)
    error = np.std(largest, ddof=1) / math.sqrt(3)
    assert abs(np.mean(largest) - theory.largest) < 4 * error + 4 / n
    exact = mean_exponent(gain, input_power=power, width=n)
    assert abs(np.mean(means) - exact) < 4 * np.std(means, ddof=1) / math.sqrt(3) + 4 / n
    assert abs(np.mean(largest) - exponent_spectrum(gain).largest) > 8 / n  # the input forgotten


def test_mean_exponent_at_finite_width():
    rng = np.random.default_rng(0)
    volumes = [
        np.linalg.slogdet(rng.normal(size=(8, 8)) / math.sqrt(8))[1] / 8 for _ in range(2000)
    ]
    expected = mean_exponent(1.0, activation="identity", width=8)
    assert abs(np.mean(volumes) - expected) < 4 * np.std(volumes) / math.sqrt(2000)
    assert abs(np.mean(volumes) + 0.5) > 4 * np.std(volumes) / math.sqrt(2000)  # infinite width


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: exponent_at(1.2, 1.0), "fraction must lie in 0..1"),
        (lambda: exponent_at(0.5, -1.0), "gain must be"),
        (lambda: exponent_at(0.5, 1.0, matrix="gausian"), "gaussian"),
        (lambda: exponent_spectrum(1.0, matrix="sparse"), "Valid: gaussian, orthogonal"),
        (lambda: mean_exponent(1.0, activation="sigmoid"), "Valid: tanh, relu, identity"),
        (lambda: mean_exponent(1.0, width=0), "width must lie in 1.."),
        (lambda: preactivation_variance(1.0, input_power=math.nan), "input_power must be"),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert math.isnan(exponent_at(math.nan, 1.0))
