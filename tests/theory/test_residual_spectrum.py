"""Matching modes to an input's spectrum: against sums written out and integrals in closed form."""

import math

import numpy as np
import pytest
from scipy.linalg import toeplitz

from echoic.theory import (
    Rotation,
    autocovariance,
    best_rotation,
    matched_angles,
    power_spectrum,
    spectral_match,
)


def wave(period, lags, damping=1.0):
    """Autocovariance of a wave, of power 1."""
    k = np.arange(lags)
    return damping**k * np.cos(2 * np.pi * k / period)


def matches_by_definition(values, r, steps):
    """The power of a mode run from rest, from the input's covariance matrix."""
    covariance = toeplitz(np.pad(r, (0, max(0, steps - len(r))))[:steps])
    found = []
    for value in values:
        powers = value ** np.arange(steps)
        found.append((powers @ covariance @ powers.conj()).real / np.sum(np.abs(powers) ** 2))
    return np.array(found) / r[0]


VALUES = np.array([0.9, -0.7, 0.8 * np.exp(0.5j), 0.95 * np.exp(2.0j), 0.0])
AR = 1.7 * 0.8 ** np.arange(60) * np.cos(0.4 * np.arange(60))


def test_match_by_definition():
    found = spectral_match(VALUES, AR)
    right = matches_by_definition(VALUES, AR, 600)
    np.testing.assert_allclose(found, right, atol=1e-10)
    wrong = {
        "not in units of the input": right * AR[0],
        "of the modulus alone": matches_by_definition(np.abs(VALUES), AR, 600),
        "amplitude": np.sqrt(right),
        "lag 0 twice": right + 1,
        "conjugates do not matter, signs do": matches_by_definition(-VALUES, AR, 600),
    }
    for name, values in wrong.items():
        assert np.max(np.abs(found - values)) > 0.05, name
    np.testing.assert_allclose(spectral_match(VALUES.conj(), AR), found, rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 7, 200])
def test_match_within_a_horizon(steps):
    values = np.append(VALUES, [1.0, 1.02 * np.exp(0.3j)])
    found = spectral_match(values, AR, horizon=steps)
    np.testing.assert_allclose(found, matches_by_definition(values, AR, steps), atol=1e-10)
    if steps == 200:
        np.testing.assert_allclose(found[:5], spectral_match(VALUES, AR), rtol=0.02)


def test_match_in_closed_form():
    """White input; AR(1); a sine wave, by the Poisson kernel at both of its frequencies."""
    np.testing.assert_allclose(spectral_match(VALUES, [3.0]), 1.0, rtol=1e-12)
    factor, r = 0.7, 0.7 ** np.arange(200)
    expected = ((1 + VALUES * factor) / (1 - VALUES * factor)).real
    np.testing.assert_allclose(spectral_match(VALUES, r), expected, rtol=1e-12)

    def poisson(rho, angle):
        return (1 - rho**2) / np.abs(1 - rho * np.exp(1j * angle)) ** 2

    theta, omega, rho = 0.9, 1.2, 0.9
    sine = np.cos(omega * np.arange(400))
    both = (poisson(rho, theta - omega) + poisson(rho, theta + omega)) / 2
    assert spectral_match([rho * np.exp(1j * theta)], sine)[0] == pytest.approx(both, rel=1e-9)
    constant = spectral_match([rho], np.ones(600))[0]
    assert constant == pytest.approx((1 + rho) / (1 - rho), rel=1e-9)


def test_match_is_the_power_of_modes_that_are_run():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(40, 3000))
    series = np.zeros_like(noise)
    for t in range(2, 3000):
        series[:, t] = 1.5 * series[:, t - 1] - 0.8 * series[:, t - 2] + noise[:, t]
    series = series[:, 200:]
    r = autocovariance(series[:, :, None], 150)
    values = 0.9 * np.exp(1j * np.array([0.0, 0.57, 1.5]))
    state, power = np.zeros((40, 3), complex), 0.0
    for t in range(series.shape[1]):
        state = values * state + series[:, t, None]
        power = power + np.abs(state) ** 2 * (t >= 200)
    power /= series.shape[1] - 200
    ratio = power * (1 - 0.81) / r[0]
    error = ratio.std(axis=0, ddof=1) / math.sqrt(40)
    gap = np.abs(ratio.mean(axis=0) - spectral_match(values, r))
    assert np.all(gap < 4 * error + 0.02 * ratio.mean(axis=0))
    assert np.argmax(spectral_match(values, r)) == 1


def test_autocovariance_by_definition():
    rng = np.random.default_rng(0)
    series = rng.normal(size=(2, 30, 3)).cumsum(axis=1)
    centred = series - series.mean(axis=(0, 1))
    expected = [
        np.mean(np.sum(centred[:, k:] * centred[:, : 30 - k], axis=1)) / 30 for k in range(20)
    ]
    np.testing.assert_allclose(autocovariance(series, 19), expected, atol=1e-12)
    one = series[0, :, 0]
    by_numpy = np.correlate(one - one.mean(), one - one.mean(), "full")[29:] / 30
    np.testing.assert_allclose(autocovariance(one, 29), by_numpy, atol=1e-12)
    unbiased = by_numpy * 30 / (30 - np.arange(30))
    assert np.max(np.abs(autocovariance(one, 29) - unbiased)) > 0.1
    assert power_spectrum(autocovariance(one, 29), 64).min() >= 0
    assert np.isnan(autocovariance([1.0, math.nan, 2.0], 1)).all()


def test_power_spectrum_in_closed_form():
    size = 128
    delay = np.exp(-2j * np.pi * np.arange(size) / size)
    found = power_spectrum(0.6 ** np.arange(64), size)
    np.testing.assert_allclose(found, 0.64 / np.abs(1 - 0.6 * delay) ** 2, rtol=1e-9)
    assert found.mean() == pytest.approx(1)
    flat = np.ones(30)
    with pytest.raises(ValueError, match="Pass taper=True"):
        power_spectrum(flat, size)
    fejer = np.abs(np.fft.fft(np.ones(30), size)) ** 2 / 30
    np.testing.assert_allclose(power_spectrum(flat, size, taper=True), fejer, atol=1e-9)
    one_sided = np.fft.fft(np.pad(0.6 ** np.arange(64), (0, 64))).real
    assert np.max(np.abs(found - one_sided)) > 0.3


def test_best_rotation_is_the_period_of_the_input():
    """A long wave of period 28; among noise; within a horizon; at a modulus of 1."""
    for period in (8.0, 28.0, 57.5):
        r = wave(period, 3000, 0.999)
        found = best_rotation(r, 0.99)
        assert found.period == pytest.approx(period, rel=2e-3)
        assert found.angle == pytest.approx(2 * math.pi / period, rel=2e-3)
        assert found.match == pytest.approx(
            spectral_match([0.99 * np.exp(1j * found.angle)], r)[0], rel=1e-12
        )
    noisy = 0.125 * wave(28.0, 112)
    noisy[0] += 1
    assert best_rotation(noisy, 1.0, horizon=112).period == pytest.approx(28, rel=0.02)
    angles = np.linspace(0, np.pi, 20_001)
    for modulus in (0.5, 0.9):
        dense = spectral_match(modulus * np.exp(1j * angles), AR)
        found = best_rotation(AR, modulus)
        assert found.match == pytest.approx(dense.max(), abs=1e-7)
        assert found.angle == pytest.approx(angles[dense.argmax()], abs=3e-4)


def test_best_rotation_of_inputs_without_a_period():
    assert best_rotation([2.0], 0.9) == Rotation(0.0, math.inf, 1.0)
    slow = best_rotation(0.9 ** np.arange(200), 0.9)
    assert slow.angle == 0
    assert slow.match == pytest.approx((1 + 0.81) / (1 - 0.81))
    fast = best_rotation((-0.9) ** np.arange(200), 0.9)
    assert fast.period == pytest.approx(2)
    assert math.isnan(best_rotation([1.0, math.nan], 0.9).angle)


def test_matched_angles_are_quantiles_of_the_power():
    """Evenly spread for white input; in closed form for AR(1); of two lines half each."""
    even = (np.arange(6) + 0.5) * np.pi / 6
    np.testing.assert_allclose(matched_angles([4.0], 6), even, rtol=1e-12)
    np.testing.assert_allclose(matched_angles(AR, 6, modulus=0.0), even, rtol=1e-12)
    factor = 0.7
    angles = matched_angles(factor ** np.arange(200), 9)
    share = 2 * np.arctan((1 + factor) / (1 - factor) * np.tan(angles / 2)) / np.pi
    np.testing.assert_allclose(share, (np.arange(9) + 0.5) / 9, atol=1e-5)
    amplitude = np.sqrt(power_spectrum(factor ** np.arange(200), 4096))[:2049].cumsum()
    wrong = np.interp(
        (np.arange(9) + 0.5) / 9, amplitude / amplitude[-1], np.linspace(0, np.pi, 2049)
    )
    assert np.max(np.abs(wrong - angles)) > 0.2
    assert np.max(np.abs(even[:6] - angles[:6])) > 0.2
    two = wave(10.0, 2000, 0.998) + wave(4.0, 2000, 0.998)
    found = matched_angles(two, 8)
    np.testing.assert_allclose(found[:4], 2 * np.pi / 10, atol=0.01)
    np.testing.assert_allclose(found[4:], 2 * np.pi / 4, atol=0.01)
    smoothed = matched_angles(two, 8, modulus=0.9)
    assert smoothed[1] - smoothed[0] > 0.05
    assert np.all(np.diff(smoothed) > 0)
    assert np.isnan(matched_angles([1.0, math.nan], 3)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spectral_match([1.0], [1.0]), "Pass horizon"),
        (lambda: spectral_match([0.5], [0.0, 1.0]), "covariance must have shape"),
        (lambda: spectral_match(np.eye(2), [1.0]), "eigenvalues must have shape"),
        (lambda: spectral_match([0.5], [1.0], horizon=0), "horizon must lie in 1"),
        (lambda: best_rotation([1.0], -0.5), "modulus must be at least 0"),
        (lambda: matched_angles([1.0], 0), "count must lie in 1"),
        (lambda: matched_angles([1.0], 3, modulus=1.5), "modulus must lie in 0..1"),
        (lambda: power_spectrum([1.0, 0.9], 8), "belongs to no input"),
        (lambda: power_spectrum([1.0, 0.5], 2), "size must lie in 3"),
        (lambda: autocovariance(np.zeros((1, 1, 1, 1)), 0), "inputs must have shape"),
        (lambda: autocovariance([1.0, 2.0], 2), "max_lag must lie in 0..1"),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
