"""Residual and weakly coupled networks that are run, against theory. Sizes are ours."""

import math

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import torch

import echoic
from echoic import init
from echoic.cells import Elman, LinearRNN, Residual
from echoic.core.cell import LinearForm
from echoic.theory import (
    autocovariance,
    linear_network_recall,
    mode_recall,
    power_spectrum,
    predicted_exponents,
    weakly_coupled_exponents,
)

KEY = jr.key(0)
SIZE, STEPS = 32, 800


class Coupled(echoic.AbstractCell):
    """A residual network with linear units: ``h' = R h + gamma (W h + U x)``."""

    w: jnp.ndarray
    v: jnp.ndarray
    input_size: int = 1
    hidden_size: int = 12

    def initial_state(self):
        return jnp.zeros(len(self.w), self.w.dtype)

    def step(self, state, x):
        return self.w @ state + self.v @ x

    def read(self, state):
        return state

    def linear_form(self):
        return LinearForm(self.w, self.v, jnp.zeros(len(self.w), self.w.dtype))


def linear_units(coupling):
    """R + gamma W and gamma U of a drawn residual network; its eigenvalues without coupling."""
    cell = Residual(
        1,
        12,
        residual=init.heterogeneous_rotation(0.8),
        coupling=coupling,
        recurrent=init.gaussian(1.0),
        input=init.normal(1.0),
        key=jr.key(3),
        dtype=jnp.float64,
    )
    matrix = np.asarray(cell.residual.matrix()) + coupling * np.asarray(cell.recurrent)
    return matrix, coupling * np.asarray(cell.input), np.asarray(cell.residual_eigenvalues())


@pytest.mark.slow
@pytest.mark.parametrize("coupling", [0.001, 0.2])
def test_recall_of_white_input(coupling, x64):
    """Measured without sampling, by another route; close to that of the bare modes if weak."""
    matrix, drive, values = linear_units(coupling)
    measured = echoic.linear_recall(
        Coupled(jnp.asarray(matrix), jnp.asarray(drive)), max_lag=30, key=KEY
    ).value
    predicted = linear_network_recall(matrix, drive, max_lag=30)
    np.testing.assert_allclose(predicted, measured, atol=1e-9)
    bare = mode_recall(values, max_lag=30)
    gap = np.max(np.abs(bare - measured))
    assert gap < 0.001 if coupling < 0.01 else gap > 0.05


@pytest.mark.slow
def test_recall_of_a_probe_in_a_coloured_input(x64):
    """Sampled recall of a probe of .3 in an AR(2) input, and predictions that ignore its colour."""
    matrix, drive, _ = linear_units(0.05)
    rng = np.random.default_rng(0)
    series = np.zeros(30_000)
    noise = rng.normal(size=len(series))
    for t in range(2, len(series)):
        series[t] = 1.6 * series[t - 1] - 0.8 * series[t - 2] + noise[t]
    series = series[500:] / series[500:].std()
    cell = Coupled(jnp.asarray(matrix), jnp.asarray(drive))
    measured = echoic.linear_recall(cell, series, max_lag=20, probe=0.3, key=KEY)
    power = power_spectrum(autocovariance(series, 2000), 4096, taper=True)
    predicted = linear_network_recall(
        matrix, drive, max_lag=20, power=power, probe_power=0.09 * series.var()
    )

    def distance(values):
        return np.max(
            np.abs(values - np.asarray(measured.value))
            / (4 * np.asarray(measured.standard_error) + 0.01)
        )

    assert distance(predicted) < 1
    white = linear_network_recall(matrix, drive, max_lag=20, power=1.0, probe_power=0.09)
    alone = linear_network_recall(matrix, drive, max_lag=20, probe_power=0.09)
    for wrong in (white, alone, np.append(predicted[1:], 0), np.sqrt(predicted)):
        assert distance(wrong) > 2
    by_modulus = mode_recall(np.abs(np.linalg.eigvals(matrix)), max_lag=20, power=power)
    assert distance(by_modulus) > 2


def test_recall_of_a_linear_cell_of_the_library(x64):
    cell = LinearRNN(1, 16, recurrent=init.normal(0.8), key=KEY, dtype=jnp.float64)
    matrix, drive, _ = cell.linear_form()
    predicted = linear_network_recall(np.asarray(matrix), np.asarray(drive), max_lag=40)
    measured = echoic.linear_recall(cell, max_lag=40, key=KEY).value
    np.testing.assert_allclose(predicted, measured, atol=1e-6)
    assert measured.sum() == pytest.approx(16, abs=0.05)


def elman(recurrent, seed):
    return Elman(
        1,
        SIZE,
        recurrent=recurrent,
        input=init.normal(1.0),
        bias=init.zeros(),
        key=jr.key(seed),
        dtype=jnp.float64,
    )


def at_rest(cell, seed, size):
    """Exponents without input, from a state of this size."""
    start = size * jr.normal(jr.key(seed), (cell.hidden_size,), jnp.float64)
    found = echoic.lyapunov_spectrum(
        cell, jnp.zeros((STEPS, 1)), state=start, burn_in=200, key=KEY, throw=False
    )
    return np.asarray(found.value)


def framework_default(seed):
    """The matrix that torch draws for an RNN, in torch."""
    torch.manual_seed(seed)
    weight = torch.nn.RNN(1, SIZE).weight_hh_l0.detach().numpy().astype(float)
    return lambda key, shape, dtype: jnp.asarray(weight, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_weakly_coupled_initialisation_stands_at_the_edge(seed, x64):
    """R = I, coupling .01: all exponents within .1, near 0; the framework's own far from it."""
    found = at_rest(elman(init.weakly_coupled(init.identity(1.0), 0.01), seed), seed, 1.0)
    assert -0.02 < found[0] < 0.01
    assert found[0] - found[-1] < 0.1
    default = at_rest(elman(framework_default(seed), seed), seed, 1.0)
    assert default[0] < -0.3
    assert default[0] - default[-1] > 1


FAMILIES = {
    "scaled": (init.identity(0.95), np.full(SIZE, 0.95)),
    "rotation": (
        init.rotation(0.95, 8.0),
        0.95 * np.exp(0.25j * np.pi * np.tile([1, -1], SIZE // 2)),
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_exponents_at_rest_follow_the_circular_law(family, x64):
    """Elman and residual networks of 32 units: discs of radius .02, and .02 / sqrt 2 for pairs."""
    residual, values = FAMILIES[family]
    coupling = 0.02
    predicted = weakly_coupled_exponents(values, coupling)
    by_elman, by_residual = [], []
    for seed in range(3):
        by_elman.append(at_rest(elman(init.weakly_coupled(residual, coupling), seed), seed, 1e-6))
        cell = Residual(
            1,
            SIZE,
            residual=residual,
            coupling=coupling,
            recurrent=init.gaussian(1.0),
            input=init.normal(1.0),
            bias=init.zeros(),
            key=jr.key(seed),
            dtype=jnp.float64,
        )
        by_residual.append(at_rest(cell, seed, 1e-6))

    def distance(measured, values):
        """Mean over ranks of the gap, in units of the disc's radius."""
        return np.mean(np.abs(np.mean(measured, axis=0) - values)) * 0.95 / coupling

    half = weakly_coupled_exponents(values, coupling / 2)
    twice = weakly_coupled_exponents(values, 2 * coupling)
    for measured in (by_elman, by_residual):
        assert distance(measured, predicted) < 0.08
        for wrong in (predicted_exponents(values), half, twice, -predicted):
            assert distance(measured, wrong) > 0.14


def test_saturation_pushes_exponents_below_the_prediction(x64):
    """Large input weights undo the initialisation, small ones do not, as the docstring warns."""
    inputs = np.random.default_rng(0).uniform(size=(STEPS, 1))
    cell = elman(init.weakly_coupled(init.identity(1.0), 0.01), 0)
    predicted = weakly_coupled_exponents(np.ones(SIZE), 0.01)
    driven = echoic.lyapunov_spectrum(cell, inputs, burn_in=200, key=KEY).value
    quiet = echoic.lyapunov_spectrum(cell, 0.01 * inputs, burn_in=200, key=KEY).value
    assert driven[0] < -0.03
    assert driven[-1] < -1
    assert predicted[0] > quiet[0] > driven[0]
    assert quiet[-1] > -0.15
    assert math.log(1.01) > predicted[0] > 0.006
