"""Exponents and gains of weakly coupled residual networks, against networks that are run."""

import math

import numpy as np
import pytest

from echoic.theory import (
    coupling_ratio,
    coupling_strength,
    exponent_bounds,
    gain_bounds,
    memory_time_constants,
    predicted_exponents,
    weakly_coupled_exponents,
)

SIZE = 24


def rotations(modulus, angles):
    matrix = np.zeros((2 * len(angles), 2 * len(angles)))
    for index, angle in enumerate(angles):
        block = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        matrix[2 * index : 2 * index + 2, 2 * index : 2 * index + 2] = block
    return modulus * matrix


def run(residual, coupling, seed, steps=400, burn_in=200):
    """Exponents by QR at each step, and the singular values of the last Jacobians' product."""
    rng = np.random.default_rng(seed)
    size = len(residual)
    recurrent = rng.normal(size=(size, size)) / np.sqrt(size)
    drive = rng.normal(size=size)
    state, frame, sums = np.zeros(size), np.linalg.qr(rng.normal(size=(size, size)))[0], 0.0
    product = np.eye(size)
    for time in range(steps + burn_in):
        total = recurrent @ state + drive * rng.uniform()
        jacobian = residual + coupling * (1 - np.tanh(total) ** 2)[:, None] * recurrent
        state = residual @ state + coupling * np.tanh(total)
        frame, upper = np.linalg.qr(jacobian @ frame)
        if time >= burn_in:
            sums += np.log(np.abs(np.diagonal(upper)))
        if time >= steps + burn_in - 30:
            product = jacobian @ product
    strength = coupling_strength(coupling, recurrent)
    return np.sort(sums / steps)[::-1], np.linalg.svd(product, compute_uv=False), strength


@pytest.mark.parametrize("modulus", [0.9, 0.98, 1.02])
@pytest.mark.parametrize("coupling", [0.01, 0.1])
def test_every_exponent_lies_within_the_bounds(modulus, coupling):
    for residual in (modulus * np.eye(SIZE), rotations(modulus, np.linspace(0.1, 3, SIZE // 2))):
        exponents, singular, strength = run(residual, coupling, seed=1)
        low, high = exponent_bounds(residual, strength)
        assert low < exponents[-1]
        assert exponents[0] < high
        reach_low, reach_high = gain_bounds(residual, strength, 30)
        assert reach_low[30] <= singular[-1]
        assert singular[0] <= reach_high[30]
        reach = np.sqrt(np.mean(singular**2))
        assert reach_low[30] <= reach <= reach_high[30]
        # Wrong: without the coupling, and with the spectral radius in place of the norm.
        assert not (math.log(modulus) <= exponents[-1] and exponents[0] <= math.log(modulus))


def test_bounds_of_a_general_residual():
    rng = np.random.default_rng(2)
    residual = 0.4 * np.eye(6) + 0.1 * rng.normal(size=(6, 6))
    values = np.linalg.svd(residual, compute_uv=False)
    low, high = exponent_bounds(residual, 0.05)
    assert low == pytest.approx(math.log(values[-1] - 0.05))
    assert high == pytest.approx(math.log(values[0] + 0.05))
    exponents, _, strength = run(residual, 0.02, seed=3)
    low, high = exponent_bounds(residual, strength)
    assert low < exponents[-1] <= exponents[0] < high
    moduli = np.abs(np.linalg.eigvals(residual))
    assert moduli.min() > values[-1]  # eigenvalues in place of singular values: no bound
    assert moduli.max() < values[0]


def test_bounds_that_say_nothing_say_so():
    assert exponent_bounds([0.5, 0.9], 0.6) == (-math.inf, pytest.approx(math.log(1.5)))
    low, high = gain_bounds([0.5, 0.9], 0.6, 3)
    assert low.tolist() == [1, 0, 0, 0]
    np.testing.assert_allclose(high, 1.5 ** np.arange(4))


def test_weak_coupling_makes_the_prediction_hold():
    """The deviation grows with the coupling until tanh saturates; at .01 it is below .015."""
    residual = 0.9 * np.eye(SIZE)
    deviations = []
    for coupling in (0.01, 0.03, 0.1):
        exponents, _, _ = run(residual, coupling, seed=0)
        deviations.append(np.max(np.abs(exponents - predicted_exponents(residual))))
    assert deviations[0] < 0.015
    assert np.all(np.diff(deviations) > 0)
    assert deviations[-1] > 5 * deviations[0]


@pytest.mark.parametrize("seed", range(3))
def test_spectrum_of_a_heterogeneous_residual(seed):
    moduli = np.random.default_rng(seed).uniform(0.9, 1.0, SIZE)
    exponents, _, _ = run(np.diag(moduli), 0.01, seed)
    predicted = predicted_exponents(moduli)
    assert np.max(np.abs(exponents - predicted)) < 0.015
    assert abs(np.mean(exponents - predicted)) < 0.002
    assert abs(np.mean(exponents - np.log2(moduli))) > 0.01  # bits
    assert np.max(np.abs(exponents - predicted[::-1])) > 0.05  # smallest first


def test_prediction_of_rotations_is_the_modulus():
    residual = rotations(0.95, [0.3, 2.0])
    np.testing.assert_allclose(predicted_exponents(residual), math.log(0.95), atol=1e-12)
    assert predicted_exponents([0.0, 0.5])[1] == -math.inf


def test_time_constants():
    np.testing.assert_allclose(
        memory_time_constants([0.98, 0.9, 1.0]), [math.inf, 49.4983, 9.4912], atol=1e-4
    )
    assert memory_time_constants([0.0, 1.05]).tolist() == [math.inf, 0.0]
    damped = memory_time_constants(rotations(0.98995, [2 * np.pi / 27.9]))
    np.testing.assert_allclose(damped, -1 / math.log(0.98995), rtol=1e-9)


@pytest.mark.parametrize("centre", [0.0, 0.01, 0.5])
def test_weak_coupling_spreads_an_eigenvalue_over_a_disc(centre):
    """Quantiles of |z|, z even in a disc of radius .02, against a million points of it."""
    rng = np.random.default_rng(0)
    points = centre + 0.02 * np.sqrt(rng.uniform(size=10**6)) * np.exp(
        2j * np.pi * rng.uniform(size=10**6)
    )
    ranks = (np.arange(20) + 0.5) / 20
    right = np.log(np.quantile(np.abs(points), ranks))[::-1]
    found = weakly_coupled_exponents(np.full(20, centre), 0.02)
    np.testing.assert_allclose(found, right, atol=1e-2 if centre < 0.1 else 1e-4)
    on_a_line = np.log(np.abs(centre + 0.02 * (2 * ranks - 1)))
    on_a_circle = np.log(np.abs(centre + 0.02 * np.exp(1j * np.pi * ranks)))
    for wrong in (on_a_line, on_a_circle):
        assert np.max(np.abs(np.sort(wrong)[::-1] - found)) > 5 * np.max(np.abs(right - found))


def test_discs_of_several_eigenvalues():
    """Each as wide as its share of the spectrum; matrices, conjugates and edge cases."""
    mixed = weakly_coupled_exponents([0.9] * 25 + [0.5] * 75, 0.04)
    high = weakly_coupled_exponents(np.full(25, 0.9), 0.02)  # .04 sqrt(1/4)
    np.testing.assert_allclose(mixed[:25], high, atol=1e-12)
    np.testing.assert_allclose(
        mixed[25:], weakly_coupled_exponents(np.full(75, 0.5), 0.04 * math.sqrt(0.75)), atol=1e-12
    )
    pair = weakly_coupled_exponents(rotations(0.9, [0.7]), 0.05)
    one = weakly_coupled_exponents([0.9], 0.05 / math.sqrt(2))
    np.testing.assert_allclose(pair, np.repeat(one, 2), atol=1e-12)
    np.testing.assert_allclose(
        weakly_coupled_exponents([0.5, 0.9], 0.0), predicted_exponents([0.5, 0.9]), atol=1e-12
    )
    assert weakly_coupled_exponents([0.0, 0.9], 0.0)[1] == -math.inf
    assert np.isnan(weakly_coupled_exponents([math.nan, 0.9], 0.1)).any()
    # Inside the disc around 0 nothing is special: share r^2 / radius^2.
    np.testing.assert_allclose(
        np.exp(weakly_coupled_exponents(np.zeros(4), 1.0))[::-1] ** 2, [1 / 8, 3 / 8, 5 / 8, 7 / 8]
    )


def test_coupling_ratio():
    assert coupling_ratio([0.9, 0.8], 0.01) == pytest.approx(0.1)
    assert coupling_ratio([1.0], 0.01) == math.inf
    assert coupling_ratio(0.98 * np.eye(3), 0.2) > 1  # .98 with gamma .1 and a norm of 2
    assert coupling_strength(0.1, 2 * np.eye(3)) == pytest.approx(0.2)
    dense = np.ones((3, 3))
    assert coupling_strength(-0.1, dense) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: predicted_exponents(np.ones((2, 3))), "residual must have shape"),
        (lambda: exponent_bounds([0.9], -1.0), "strength must be at least 0"),
        (lambda: exponent_bounds([0.9], math.nan), "strength must be at least 0"),
        (lambda: gain_bounds([0.9], 0.1, -1), "max_lag"),
        (lambda: weakly_coupled_exponents([0.9], -0.1), "coupling must be at least 0"),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
