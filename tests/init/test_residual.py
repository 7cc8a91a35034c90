"""Residual paths: their structure against dense matrices, their eigenvalues, their laws."""

import math

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from echoic import init

KEY = jr.key(3)
FAMILIES = [
    init.identity(0.9),
    init.rotation(0.95, period=28),
    init.rotation(0.95, angle=0.4),
    init.heterogeneous_decay(50.0),
    init.uniform_decay(0.5, 0.98),
    init.heterogeneous_rotation(0.95),
    init.heterogeneous(50.0),
]


def sorted_by_angle(values):
    return np.asarray(sorted(np.asarray(values), key=lambda z: (round(z.real, 6), z.imag)))


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_structure_and_matrix_are_one(x64, family):
    spectrum = family.spectrum(KEY, 8, jnp.float64)
    dense = np.asarray(family(KEY, (8, 8), jnp.float64))
    x = np.asarray(jr.normal(KEY, (8,), jnp.float64))
    np.testing.assert_allclose(spectrum.apply(jnp.asarray(x)), dense @ x, atol=1e-14)
    np.testing.assert_allclose(
        sorted_by_angle(spectrum.eigenvalues()),
        sorted_by_angle(np.linalg.eigvals(dense)),
        atol=1e-12,
    )


def test_blocks_rotate_counter_clockwise_and_scale_rows(x64):
    spectrum = init.ResidualSpectrum(jnp.array([0.5, 2.0, 3.0]), jnp.array([math.pi / 6]))
    c, s = math.cos(math.pi / 6), math.sin(math.pi / 6)
    expected = [[0.5 * c, -0.5 * s, 0], [2 * s, 2 * c, 0], [0, 0, 3]]
    np.testing.assert_allclose(spectrum.matrix(), expected, atol=1e-15)
    np.testing.assert_allclose(
        sorted_by_angle(spectrum.eigenvalues()),
        sorted_by_angle(np.linalg.eigvals(np.array(expected))),
        atol=1e-12,
    )


def test_rotation_comes_back_after_its_period(x64):
    R = np.asarray(init.rotation(0.9, period=5)(KEY, (4, 4), jnp.float64))
    np.testing.assert_allclose(np.linalg.matrix_power(R, 5), 0.9**5 * np.eye(4), atol=1e-12)
    assert np.abs(np.linalg.matrix_power(R, 4) / 0.9**4 - np.eye(4)).max() > 0.5


def test_eigenvalues_at_tiny_angles_keep_their_imaginary_part():
    spectrum = init.rotation(0.9, angle=1e-4).spectrum(KEY, 2)
    np.testing.assert_allclose(np.abs(spectrum.eigenvalues().imag), 0.9e-4, rtol=1e-5)


def log_uniform(taus, low, high):
    """Kolmogorov distance to the log-uniform law, 1 per cent level."""
    u = np.sort(np.log(taus / low) / math.log(high / low))
    distance = np.abs(u - (np.arange(len(u)) + 0.5) / len(u)).max()
    assert distance < 1.63 / math.sqrt(len(u))


@pytest.mark.parametrize(
    ("family", "per_unit"), [(init.heterogeneous_decay(50.0), 1), (init.heterogeneous(50.0), 2)]
)
def test_time_constants_are_log_uniform(x64, family, per_unit):
    moduli = np.asarray(family.spectrum(KEY, 1000 * per_unit, jnp.float64).moduli)
    taus = -1 / np.log(moduli[::per_unit])
    log_uniform(taus, 1.0, 50.0)
    with pytest.raises(AssertionError):  # mutant: uniform time constants
        log_uniform(np.linspace(1, 50, 1000), 1.0, 50.0)
    with pytest.raises(AssertionError):  # mutant: uniform moduli
        log_uniform(-1 / np.log(np.linspace(math.exp(-1), math.exp(-1 / 50), 1000)), 1.0, 50.0)


def test_angles_are_spread_and_the_modulus_common(x64):
    spectrum = init.heterogeneous_rotation(0.95).spectrum(KEY, 2000, jnp.float64)
    np.testing.assert_allclose(np.abs(spectrum.eigenvalues()), 0.95, rtol=1e-12)
    assert spectrum.angles.min() >= 0
    assert spectrum.angles.max() <= math.pi
    assert float(spectrum.angles.std()) == pytest.approx(math.pi / math.sqrt(12), rel=0.05)


def test_weak_coupling_adds_a_gaussian_of_unit_gain():
    W = np.asarray(init.weakly_coupled(init.identity(0.9), 0.05)(KEY, (400, 400)), np.float64)
    noise = (W - 0.9 * np.eye(400)) / 0.05
    assert noise.std() * 20 == pytest.approx(1, rel=4 / math.sqrt(2 * 160000))
    bound = 0.05 * 2.1  # a Gaussian of unit gain has norm near 2
    values = np.linalg.svd(W, compute_uv=False)
    assert values.max() < 0.9 + bound
    assert values.min() > 0.9 - bound
