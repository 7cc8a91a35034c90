"""Exponents so large, of either sign, that frames leave the range of numbers in a few steps."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic import init
from echoic.cells import Elman
from echoic.core.estimate import Status

KEY = jr.key(0)


def times(factor):
    return lambda h, _: factor * h


@pytest.mark.slow
def test_strong_contraction_in_single_precision():
    found = echoic.lyapunov_spectrum(
        times(0.2), state=jnp.ones(3), steps=2000, num_exponents=1, key=KEY
    )
    assert float(found.value[0]) == pytest.approx(math.log(0.2), abs=1e-5)
    assert found.statuses == Status.OK
    assert found.settings["orthogonalise_every"] == 64


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1e-25, 0.1, 10.0])
@pytest.mark.parametrize("count", [1, 3])
def test_products_of_one_matrix_in_single_precision(factor, count):
    matrices = np.tile(np.float32(factor) * np.eye(3, dtype=np.float32), (2000, 1, 1))
    found = echoic.lyapunov_from_jacobians(matrices, num_exponents=count, key=KEY)
    np.testing.assert_allclose(found.value, math.log(factor), rtol=1e-5)
    assert found.statuses == (Status.LOW_PRECISION if count == 3 else Status.OK)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1e-6, 1e5])
def test_products_of_one_matrix_in_double_precision(factor, x64):
    found = echoic.lyapunov_from_jacobians(np.tile(factor * np.eye(3), (2000, 1, 1)), key=KEY)
    np.testing.assert_allclose(found.value, math.log(factor), rtol=1e-10)
    assert found.statuses == Status.OK


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_strongly_contracting_network(count):
    """Small signals: nearly the linear network, 0.25 times an orthogonal matrix."""
    cell = Elman(1, 50, recurrent=init.orthogonal(0.25), key=KEY)
    inputs = 0.1 * jr.normal(KEY, (3000, 1))
    found = echoic.lyapunov_spectrum(cell, inputs, num_exponents=count, key=KEY)
    every_step = echoic.lyapunov_spectrum(
        cell, inputs, num_exponents=count, key=KEY, orthogonalise_every=1
    )
    assert found.settings["orthogonalise_every"] > 1
    np.testing.assert_allclose(found.value, every_step.value, atol=1e-4)
    assert np.all(np.abs(np.asarray(found.value) - math.log(0.25)) < 0.02)
    assert found.statuses == Status.OK


@pytest.mark.slow
def test_what_is_made_of_strong_contraction():
    settings = {"state": jnp.ones(3), "key": KEY}
    until = echoic.lyapunov_until(times(0.1), tolerance=1e-3, **settings)
    ensemble = echoic.lyapunov_ensemble([times(0.1)], steps=2000, **settings)
    for found in (until, ensemble):
        np.testing.assert_allclose(found.value, math.log(0.1), atol=1e-5)
    assert until.settings["reached"]
    constants = echoic.mode_time_constants(until)
    np.testing.assert_allclose(constants.value, 1 / math.log(10), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_rate_that_comes_after_the_warm_up(sign):
    """What was found in the warm-up does not fit: the run is repeated."""
    inputs = jnp.concatenate([jnp.zeros(600), jnp.full(1500, 3.0)])
    found = echoic.lyapunov_spectrum(
        lambda h, x: jnp.exp(sign * x[0]) * h, inputs, state=jnp.zeros(2), burn_in=300, key=KEY
    )
    assert found.settings["reruns"] == 1
    np.testing.assert_allclose(found.value, sign * 3 * 1500 / 1800, atol=1e-5)


@pytest.mark.slow
def test_long_intervals_under_jit_and_vmap():
    def exponents(factor):
        return echoic.lyapunov_spectrum(
            times(factor), state=jnp.zeros(2), steps=400, orthogonalise_every=100, key=KEY
        ).value

    factors = jnp.array([0.1, 0.9, 30.0])
    found = jax.jit(jax.vmap(exponents))(factors)
    np.testing.assert_allclose(found, np.log(factors)[:, None] * np.ones(2), atol=1e-5)
    slope = jax.grad(lambda factor: exponents(factor)[0])(0.1)
    assert float(slope) == pytest.approx(10, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_a_direction_that_dies_stays_dead(count):
    """A delay line beside a strong contraction; in single precision, with long intervals."""
    matrix = np.zeros((4, 4), np.float32)
    matrix[0, 0] = 0.2
    matrix[2, 1] = matrix[3, 2] = 1
    found = echoic.lyapunov_spectrum(
        lambda h, _: matrix @ h, state=jnp.ones(4), steps=1000, num_exponents=count, key=KEY
    )
    np.testing.assert_allclose(found.value, [math.log(0.2), *[-np.inf] * 3][:count], atol=1e-5)
    line = echoic.lyapunov_spectrum(
        lambda h, _: matrix[1:, 1:] @ h,
        state=jnp.ones(3),
        steps=1000,
        num_exponents=min(count, 3),
        key=KEY,
    )
    assert bool(jnp.all(line.value == -jnp.inf))
    assert Status.SINGULAR in line.statuses


@pytest.mark.slow
def test_growth_beyond_the_range_within_a_step():
    matrices = np.full((40, 3, 3), 3e38, np.float32)
    found = echoic.lyapunov_from_jacobians(matrices, num_exponents=1, throw=False, key=KEY)
    assert bool(jnp.isnan(found.value[0]))
    assert Status.NOT_FINITE in found.statuses
