"""Orbit diagrams: the logistic map in closed form, and a chaotic LSTM of two units."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic import init
from echoic.cells import GRU, LSTM, Elman, MinimalRNN
from echoic.cells.lstm import LSTMState
from echoic.core.estimate import Status, UntrustedError
from echoic.measure.attractors.periods import Orbit, dominant_frequency, period_of

KEY = jr.key(0)
SIZES = {"samples": 64, "max_period": 16, "exponent_steps": 4000}


def logistic(r):
    return lambda h, _: r * h * (1 - h)


@pytest.mark.slow
def test_periods_and_exponents_of_the_logistic_map(x64):
    """Multipliers 2 - r and 4 + 2r - r^2; ln 2 at r = 4; r = 5 escapes; a doubling is unsettled."""
    values = np.array([0.5, 2.8, 3.2, 3.5, 3.56, 3.83, 4.0, 5.0, 3.0])
    found = echoic.orbit_diagram(
        logistic, values, state=jnp.full(1, 0.4), key=KEY, throw=False, **SIZES
    )
    period = found.details["period"][:, 0]
    np.testing.assert_array_equal(period[:8], [1, 1, 2, 4, 8, 3, 0, -1])
    exponent = np.asarray(found.details["exponent"][:, 0])
    expected = [math.log(0.5), math.log(0.8), math.log(abs(4 + 6.4 - 3.2**2)) / 2]
    np.testing.assert_allclose(exponent[:3], expected, atol=1e-9)
    error = float(found.details["exponent_error"][6, 0])
    assert error < 0.02
    assert exponent[6] == pytest.approx(math.log(2), abs=4 * error + 2e-3)
    kind = found.details["kind"][:, 0]
    np.testing.assert_array_equal(kind[:8], [0, 0, 1, 1, 1, 1, 3, -1])
    assert np.isnan(exponent[7])
    assert Status.NOT_FINITE in found.statuses
    np.testing.assert_allclose(found.value[1, 0, :, 0], 1 - 1 / 2.8, atol=1e-9)
    high, low = ((4.2 + s * math.sqrt(0.2 * 4.2)) / 6.4 for s in (1, -1))
    np.testing.assert_allclose(np.unique(np.round(found.value[2, 0], 9)), [low, high], atol=1e-9)
    # Wrong: the exponent of a whole turn, in bits.
    assert exponent[2] != pytest.approx(2 * expected[2], abs=1e-3)
    assert exponent[2] != pytest.approx(expected[2] / math.log(2), abs=1e-3)


GATES = [[-1, -4], [-3, -2], [-2, 6], [0, -6], [-1, -6], [6, -9], [4, 1], [-9, -7]]
# Fixed point below .7465, period 4 beyond 1.4615, both within .001 and .002.
SCALES = np.array([0.70, 0.7455, 0.7475, 0.80, 0.85, 0.88, 1.0, 1.4595, 1.4635, 1.48])
PERIODS = [1, 1, 3, 3, 6, 12, 0, 0, 4, 4]


def two_units(rows=range(8)):
    cell = LSTM(1, 2, bias=init.zeros(), input=init.zeros(), key=KEY, dtype=jnp.float64)
    weight = jnp.asarray(np.array(GATES, float)[list(rows)])
    return eqx.tree_at(lambda c: c.recurrent, cell, weight)


def diagram(cell):
    half = jnp.full((1, 2), 0.5)
    return echoic.orbit_diagram(
        lambda s: eqx.tree_at(lambda c: c.recurrent, cell, s * cell.recurrent),
        SCALES,
        starts=LSTMState(half, half),
        key=KEY,
        burn_in=6000,
        **SIZES,
    )


@pytest.mark.slow
def test_the_chaotic_lstm_of_two_units(x64):
    """The weights are those of the code of Ribeiro et al. (2020); the periods come from NumPy."""
    found = diagram(two_units())
    np.testing.assert_array_equal(found.details["period"][:, 0], PERIODS)
    exponent = found.details["exponent"][:, 0]
    assert 0.15 <= float(exponent[6]) <= 0.19
    # At rest at h = 0: the exponent is of the linearised step, known to three digits.
    np.testing.assert_allclose(exponent[np.array([0, 3, 9])], [-0.142, -0.449, -0.274], atol=6e-4)
    assert found.details["kind"][6, 0] == Orbit.CHAOTIC
    outputs = np.unique(np.round(found.value[3, 0, :, 0], 3))
    np.testing.assert_allclose(outputs, [-0.058, 0.005, 0.104], atol=1e-9)
    # Wrong: two gates exchanged.
    for rows in ([2, 3, 0, 1, 4, 5, 6, 7], [0, 1, 2, 3, 6, 7, 4, 5]):
        assert diagram(two_units(rows)).details["period"][:, 0].tolist() != PERIODS


@pytest.mark.slow
@pytest.mark.parametrize("family", [MinimalRNN, Elman, LSTM, GRU])
def test_a_training_run(family, x64):
    """A list of cells, the same stacked, and a function that makes them: one answer."""
    cells = [family(2, 3, key=jr.key(i), dtype=jnp.float64) for i in range(2)]
    arguments = {"key": KEY, "input": jnp.array([0.3, -1.0]), "starts": 2, "burn_in": 300}
    sizes = {"samples": 8, "max_period": 2, "exponent_steps": 10}
    found = echoic.orbit_diagram(cells, [100, 200], **arguments, **sizes)
    assert found.value.shape == (2, 2, 8, 3)
    assert found.details["values"].tolist() == [100, 200]
    np.testing.assert_array_equal(found.details["period"], np.ones((2, 2)))
    stacked = eqx.filter_vmap(lambda key: family(2, 3, key=key, dtype=jnp.float64))(
        jnp.stack([jr.key(0), jr.key(1)])
    )
    again = echoic.orbit_diagram(stacked, **arguments, **sizes)
    np.testing.assert_allclose(again.value, found.value, atol=1e-12)
    # Each cell at its own resting point.
    for cell, outputs in zip(cells, found.value, strict=True):
        xs = jnp.broadcast_to(arguments["input"], (300, 2))
        rest = echoic.rollout(cell, xs).trajectory[-1]
        np.testing.assert_allclose(outputs, jnp.broadcast_to(rest, (2, 8, 3)), atol=1e-9)


@pytest.mark.slow
def test_what_coexists_and_what_turns(x64):
    """tanh(g h) from both sides; a rotation on the unit circle is quasiperiodic."""
    starts = jnp.array([[0.3], [-0.3]])
    found = echoic.orbit_diagram(
        lambda g: lambda h, _: jnp.tanh(g * h), jnp.array([0.5, 2.0]), state=jnp.zeros(1),
        starts=starts, key=KEY, **SIZES,
    )  # fmt: skip
    ends = found.value[:, :, -1, 0]
    np.testing.assert_allclose(ends[0], [0, 0], atol=1e-6)
    np.testing.assert_allclose(ends[1, 0], -ends[1, 1], atol=1e-9)
    assert float(ends[1, 0]) == pytest.approx(math.tanh(2 * float(ends[1, 0])))

    def turn(angle):
        c, s = jnp.cos(angle), jnp.sin(angle)
        matrix = jnp.stack([jnp.stack([c, -s]), jnp.stack([s, c])])
        return lambda h, _: (1.1 - 0.1 * (h @ h)) * (matrix @ h)

    angles = jnp.array([1.0, math.pi / 4])
    found = echoic.orbit_diagram(turn, angles, state=jnp.array([0.5, 0.0]), key=KEY, **SIZES)
    assert found.details["period"].tolist() == [[0], [8]]
    assert found.details["kind"].tolist() == [[Orbit.QUASIPERIODIC], [Orbit.CYCLE]]
    np.testing.assert_allclose(found.details["exponent"], 0, atol=1e-6)


def test_a_period_holds_all_along(x64):
    """Not at the last step alone, not its multiple, and not where a number is missing."""
    times = np.arange(40)
    six = np.stack([times % 2, times % 3], axis=1).astype(float)
    late = np.where(times[:, None] < 20, np.sin(times)[:, None], six)
    broken = six.copy()
    broken[5, 1] = np.nan
    cases = {"six": (six, 6), "late": (late, 0), "broken": (broken, -1), "rest": (0 * six, 1)}
    count = jax.jit(lambda states: period_of(states, 12, jnp.asarray(1e-6)))
    for states, period in cases.values():
        assert int(count(jnp.asarray(states))) == period


@pytest.mark.parametrize("frequency", [0.2, 0.7, 2.9])
def test_a_frequency_between_the_lines(frequency):
    """Two lines, the weaker left alone; to 1e-6 for 256 steps, where lines are 0.025 apart."""
    times = np.arange(256)
    series = np.cos(frequency * times + 1) + 0.3 * np.cos(1.6 * times)
    found = dominant_frequency(np.stack([0.1 * series, series], axis=1))
    assert found == pytest.approx(frequency, abs=1e-5)
    assert dominant_frequency(np.full((50, 1), 0.3)) == 0


@pytest.mark.slow
def test_not_a_number_in_not_a_number_out():
    """One bad value spoils its own orbits only."""
    arguments = {"state": jnp.full(1, 0.4), "key": KEY, "samples": 4, "max_period": 2}
    arguments |= {"exponent_steps": 10}
    values = jnp.array([2.8, jnp.nan])
    found = echoic.orbit_diagram(logistic, values, throw=False, **arguments)
    assert np.all(np.isfinite(found.value[0]))
    assert np.all(np.isnan(found.value[1]))
    assert np.isnan(found.details["exponent"][1, 0])
    assert found.details["period"].tolist() == [[1], [-1]]
    assert found.value.dtype == jnp.float32
    with pytest.raises(UntrustedError, match="finite"):
        echoic.orbit_diagram(logistic, values, **arguments)
    under_jit = jax.jit(
        lambda values: echoic.orbit_diagram(logistic, values, **arguments).details["exponent"]
    )
    np.testing.assert_allclose(under_jit(values), found.details["exponent"], atol=1e-6)


def test_wrong_calls():
    with pytest.raises(ValueError, match="needs the values"):
        echoic.orbit_diagram(logistic, state=jnp.ones(1), key=KEY)
    with pytest.raises(ValueError, match=r"max_period must lie in 1\.\.32"):
        echoic.orbit_diagram(
            logistic, jnp.ones(2), state=jnp.ones(1), key=KEY, samples=64, max_period=33
        )
    with pytest.raises(ValueError, match="of one kind"):
        echoic.orbit_diagram([Elman(1, 2, key=KEY), Elman(1, 3, key=KEY)], key=KEY)
    with pytest.raises(ValueError, match="leading axis of 2"):
        echoic.orbit_diagram([Elman(1, 2, key=KEY)] * 2, jnp.ones(3), key=KEY)
    with pytest.raises(ValueError, match="exponent_steps must be 0"):
        echoic.orbit_diagram([Elman(1, 2, key=KEY)], key=KEY, exponent_steps=1)
    with pytest.raises(ValueError, match="list of at least one cell"):
        echoic.orbit_diagram([], key=KEY)
