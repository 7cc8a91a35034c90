"""Sampled constants of a cost over a ball."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic.cells import GRU, Elman

KEY = jr.key(3)


def fourth_power(p):
    return jnp.sum(p**2) ** 2


@pytest.mark.slow
def test_nan_gives_nan(x64):
    found = echoic.cost_lipschitz(
        jnp.full(2, np.nan), fourth_power, radius=1.0, samples=3, products=2, key=KEY
    )
    assert np.isnan(found.value)
    assert np.isnan(found.details["smoothness"])
    assert echoic.Status.NOT_FINITE in found.statuses


def test_wrong_calls(x64):
    with pytest.raises(ValueError, match="radius must be above 0"):
        echoic.cost_lipschitz(jnp.zeros(2), fourth_power, radius=-1.0, key=KEY)
    with pytest.raises(ValueError, match="samples must lie"):
        echoic.cost_lipschitz(jnp.zeros(2), fourth_power, radius=1.0, samples=0, key=KEY)


@pytest.mark.slow
@pytest.mark.parametrize("family", [Elman, GRU])
def test_no_chord_is_steeper_and_growth_with_length(family, x64):
    """Mean slopes between nearby points of the ball stay below; the bounds hold at each sample."""
    cell = family(1, 3, key=jr.key(0), dtype=jnp.float64)
    xs, ys = jr.normal(jr.key(1), (10, 1)), jr.normal(jr.key(2), (10, 3))
    cost = echoic.mean_squared_cost(None, xs, ys)
    found = echoic.cost_lipschitz(cell, cost, radius=0.1, samples=20, products=30, key=KEY)
    curvature = echoic.hessian_eigenvalues(cell, cost, key=KEY)
    largest = max(float(curvature.value[0]), -float(curvature.details["smallest"][0]))
    assert float(found.details["curvature"][0]) == pytest.approx(largest, rel=1e-6)
    along = eqx.filter_jit(lambda path, s: cost(path(s)))
    for i in range(5):
        path = echoic.line_of_cells(cell, echoic.random_direction(cell, key=jr.key(10 + i)))
        chord = abs(along(path, 0.1) - along(path, -0.1)) / 0.2
        assert float(chord) <= float(found.value)


@pytest.mark.slow
def test_expanding_maps_are_less_smooth_the_longer_they_run(x64):
    """x' = theta x from 1 with target 0: sup |V'| over theta <= 1.1 is that at 1.1."""
    bounds = {}
    for length in (20, 40):

        def cost(theta, length=length):
            return jnp.mean(theta[0] ** (2 * jnp.arange(1.0, length + 1)))

        found = echoic.cost_lipschitz(
            jnp.ones(1), cost, radius=0.1, samples=300, products=1, key=KEY
        )
        t = np.arange(1, length + 1)
        slope = np.mean(2 * t * 1.1 ** (2 * t - 1))
        bend = np.mean(2 * t * (2 * t - 1) * 1.1 ** (2.0 * t - 2))
        assert slope * 0.9 < float(found.value) <= slope
        assert bend * 0.9 < float(found.details["smoothness"]) <= bend
        bounds[length] = float(found.value)
    assert bounds[40] > 10 * bounds[20]
