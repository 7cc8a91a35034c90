"""Attractors and their basins, where both are known."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.optimize

import echoic
from echoic.cells import LSTM
from echoic.core.estimate import Status, UntrustedError
from echoic.measure.attractors.basins import attractors_of
from echoic.measure.attractors.periods import Orbit

KEY = jr.key(0)
SIZES = {"samples": 64, "max_period": 16, "exponent_steps": 200}


def test_a_tilted_double_well(x64):
    """tanh(2 h + x) rises, so that its unstable point parts the basins; starts as they are."""
    x = 0.2
    starts = 0.6 * jr.normal(KEY, (300, 1))
    found = echoic.basin_fractions(
        lambda h, x: jnp.tanh(2 * h + x), x, state=jnp.zeros(1), starts=starts, key=KEY, **SIZES
    )
    edge, low, high = (
        scipy.optimize.brentq(lambda h: math.tanh(2 * h + x) - h, *between)
        for between in ((-0.5, 0), (-1, -0.5), (0.5, 1))
    )
    above = np.mean(np.asarray(starts) > edge)
    np.testing.assert_allclose(found.value, [above, 1 - above], atol=1e-12)
    np.testing.assert_allclose(found.details["point"][:, 0], [high, low], atol=1e-9)
    labels = np.where(np.asarray(starts)[:, 0] > edge, 0, 1)
    np.testing.assert_array_equal(found.details["attractor"], labels)
    slopes = 2 * (1 - np.array([high, low]) ** 2)
    np.testing.assert_allclose(found.details["multipliers"][:, 0], slopes, atol=1e-9)
    np.testing.assert_allclose(found.details["exponent"], np.log(slopes), atol=1e-9)
    # Wrong: parted at zero, or evenly.
    for wrong in (np.mean(np.asarray(starts) > 0), 0.5):
        assert abs(float(found.value[0]) - wrong) > 0.02
    k = np.round(300 * np.asarray(found.value))
    p = (k + 1) / 302
    np.testing.assert_allclose(found.standard_error, np.sqrt(p * (1 - p) / 303), atol=1e-12)


@pytest.mark.slow
def test_errors_are_those_of_counts(x64):
    """Four equal quadrants, ten draws: the spread of the fractions is the one that is stated."""
    draws = [
        echoic.basin_fractions(
            quadrants, state=jnp.zeros(2), starts=50, key=jr.key(i), throw=False, **SIZES
        )
        for i in range(10)
    ]
    fractions = np.array([
        [np.mean(np.all(np.sign(d.details["point"][d.details["attractor"]]) == s, axis=1))
         for s in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        for d in draws
    ])  # fmt: skip
    stated = np.mean([float(jnp.mean(d.standard_error)) for d in draws])
    assert np.std(fractions - 0.25) == pytest.approx(stated, rel=0.3)


def quadrants(h, _):
    return jnp.tanh(1.5 * h)


@pytest.mark.slow
def test_a_limit_cycle(x64):
    """r' = r (1 + a (1 - r^2)) and a turn by 0.7: exponents 0 and log(1 - 2a), frequency 0.7."""
    angle, a = 0.7, 0.1
    c, s = math.cos(angle), math.sin(angle)
    matrix = jnp.array([[c, -s], [s, c]])
    found = echoic.basin_fractions(
        lambda h, _: (1 + a * (1 - h @ h)) * (matrix @ h),
        state=jnp.zeros(2),
        key=KEY,
        starts=8,
        spread=0.5,
        samples=256,
        max_period=16,
        exponent_steps=200,
    )
    assert found.value.tolist() == [1.0]
    assert found.details["kind"].tolist() == [Orbit.QUASIPERIODIC]
    assert float(found.details["exponent"][0]) == pytest.approx(0, abs=1e-6)
    assert float(found.details["frequency"][0]) == pytest.approx(angle, abs=1e-6)
    assert float(jnp.linalg.norm(found.details["point"])) == pytest.approx(1)
    assert np.all(np.isnan(found.details["multipliers"]))


@pytest.mark.slow
@pytest.mark.parametrize("a", [2.5, 2.9])
def test_two_chaotic_attractors_and_one(a, x64):
    """a h - h^3: mirror images for a below 3 sqrt(3) / 2, one attractor above."""
    found = echoic.basin_fractions(
        lambda h, _: a * h - h**3, state=jnp.zeros(1), key=KEY, starts=24, spread=0.3,
        samples=256, max_period=16, exponent_steps=200,
    )  # fmt: skip
    assert len(found.value) == (2 if a < 1.5 * math.sqrt(3) else 1)
    assert set(found.details["kind"].tolist()) == {Orbit.CHAOTIC}


def test_orbits_that_are_one_cycle():
    """At other phases one; another of the same period, another; -1 is no attractor."""
    times = np.arange(12)[:, None]
    one, other = np.cos(np.pi * times / 2), 2 + np.cos(np.pi * times / 2)
    states = np.stack([one, np.roll(one, 1), other, one, one + 1e-3])
    labels, firsts = attractors_of(states, np.array([4, 4, 4, -1, 4]), 1e-4)
    assert labels.tolist() == [0, 0, 1, -1, 2]
    assert firsts == [0, 2, 4]


@pytest.mark.slow
def test_a_cycle_and_those_that_escape(x64):
    """The logistic map at 3.2: period 2; starts outside of [0, 1] escape."""
    starts = jnp.array([[0.3], [0.7], [1.5], [-0.2], [0.9]])
    found = echoic.basin_fractions(
        lambda h, _: 3.2 * h * (1 - h), state=jnp.zeros(1), starts=starts, key=KEY,
        throw=False, **SIZES,
    )  # fmt: skip
    assert found.value.tolist() == [0.6]
    assert int(found.details["escaped"]) == 2
    assert found.details["attractor"].tolist() == [0, 0, -1, -1, 0]
    assert Status.NOT_FINITE in found.statuses
    assert float(found.details["multipliers"][0, 0].real) == pytest.approx(4 + 6.4 - 3.2**2)
    assert found.details["period"].tolist() == [2]
    assert float(found.details["frequency"][0]) == pytest.approx(math.pi, abs=1e-3)


@pytest.mark.slow
def test_states_of_several_parts(x64):
    """A forgetful LSTM has one attractor, which is the fixed point that the search finds."""
    cell = LSTM(1, 3, key=KEY, dtype=jnp.float64)
    found = echoic.basin_fractions(cell, 0.5, key=KEY, starts=5, **SIZES)
    assert found.value.tolist() == [1.0]
    point = echoic.fixed_points(cell, 0.5, key=KEY, starts=5)
    np.testing.assert_allclose(found.details["point"], point.value, atol=1e-9)
    gaps = found.details["multipliers"] - point.details["multipliers"]
    np.testing.assert_allclose(jnp.abs(gaps), 0, atol=1e-8)


@pytest.mark.slow
def test_not_a_number_in_not_a_number_out():
    arguments = {"state": jnp.zeros(2), "key": KEY, "starts": 3, **SIZES}
    found = echoic.basin_fractions(lambda h, _: h * jnp.nan, throw=False, **arguments)
    assert np.all(np.isnan(found.value))
    assert Status.NOT_FINITE in found.statuses
    with pytest.raises(UntrustedError, match="finite"):
        echoic.basin_fractions(lambda h, _: h * jnp.nan, **arguments)


def test_wrong_calls():
    with pytest.raises(ValueError, match="cannot be traced"):
        jax.jit(lambda x: echoic.basin_fractions(LSTM(1, 2, key=KEY), x, key=KEY).value)(0.5)
    with pytest.raises(ValueError, match=r"max_period must lie in 1\.\.8"):
        echoic.basin_fractions(LSTM(1, 2, key=KEY), key=KEY, samples=16)
    with pytest.raises(ValueError, match="starts must lie in 1"):
        echoic.basin_fractions(LSTM(1, 2, key=KEY), key=KEY, starts=0)
