"""Gradient and curvature against sequence length: rates that are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic.cells import GRU, LSTM, Elman
from echoic.measure.costs.sensitivity import growth_rate


def scalar_map(theta):
    """x' = a x + theta + x^2 / 2, with a in the state."""
    return lambda state, _: jnp.stack([state[1] * state[0] + theta + state[0] ** 2 / 2, state[1]])


def bounded_slope(state):
    """Read against a target so far away that the loss has the same slope all along."""
    return state[:1] + 1e6


@pytest.fixture(scope="module")
def rates():
    """log|V'_N| and log|V''_N| of the scalar map along x = 0, N = 1..1024."""

    def measure(a):
        found = echoic.cost_sensitivity(
            scalar_map, 0.0, state=jnp.array([0.0, a]), readout=bounded_slope, steps=1024
        )
        return np.stack([found.value, found.details["log_curvature"]])

    with jax.enable_x64(True):
        return {a: measure(a) for a in (1.0, 1.1, 0.8, 3.0)}


def test_neutral_map_grows_with_the_first_and_third_power(rates):
    powers = (rates[1.0][:, 511] - rates[1.0][:, 255]) / np.log(2)
    assert powers[0] == pytest.approx(1, abs=0.02)
    assert powers[1] == pytest.approx(3, abs=0.03)
    squares = rates[1.0][0, 511] * 2 - rates[1.0][0, 255] * 2  # wrong: the slope's square alone
    assert squares / np.log(2) != pytest.approx(3, abs=0.03)


@pytest.mark.parametrize("a", [1.1, 3.0])  # the second leaves double precision after 340 steps
def test_expanding_map_grows_with_one_and_two_exponents(rates, a):
    logs = rates[a] + np.log(np.arange(1, 1025))  # the mean takes off log N
    slopes = (logs[:, 1023] - logs[:, 511]) / 512 / np.log(a)
    np.testing.assert_allclose(slopes, [1, 2], atol=1e-3)
    without_log = (rates[a][:, 1023] - rates[a][:, 511]) / 512 / np.log(a)
    assert np.all(np.abs(without_log - [1, 2]) > 1e-3)  # wrong: of the mean


def test_contracting_map_saturates(rates):
    """At 1 / (1 - a) for the slope; the bend sums to 1 / ((1 - a)^2 (1 - a^2) (1 - a)) terms."""
    relative = np.exp(rates[0.8][:, 1023] - rates[0.8][:, 511])
    np.testing.assert_allclose(relative, 1, rtol=0.02)
    assert np.exp(rates[0.8][0, 1023]) == pytest.approx(2e6 * 5, rel=0.01)


@pytest.mark.slow
def test_nan_and_wrong_calls(x64):
    found = echoic.cost_sensitivity(
        scalar_map, np.nan, state=jnp.array([0.0, 1.0]), readout=bounded_slope, steps=1024
    )
    assert np.isnan(found.value).all()
    assert echoic.Status.NOT_FINITE in found.statuses
    with pytest.raises(ValueError, match="needs steps"):
        echoic.cost_sensitivity(scalar_map, 0.0, state=jnp.zeros(2))
    with pytest.raises(ValueError, match="targets must have shape"):
        echoic.cost_sensitivity(scalar_map, 0.0, None, [[1.0]], state=jnp.zeros(2), steps=2)
    with pytest.raises(ValueError, match="at must be"):
        echoic.cost_sensitivity(scalar_map, np.zeros((2, 2)), state=jnp.zeros(2), steps=2)
    with pytest.raises(ValueError, match="must be one sequence"):
        echoic.cost_sensitivity(
            lambda s: Elman(1, 2, key=jr.key(0)), 0.0, np.zeros((2, 3, 1)), np.zeros((3, 2))
        )


@pytest.mark.slow
@pytest.mark.parametrize("family", [Elman, GRU, LSTM])
def test_equals_derivatives_of_the_cost(family, x64):
    """Of the same cost along the same line, by differences of gradients in reverse mode."""
    cell = family(2, 3, key=jr.key(0), dtype=jnp.float64)
    xs, ys = jr.normal(jr.key(1), (9, 2)), jr.normal(jr.key(2), (9, 3))
    path = echoic.line_of_cells(cell, echoic.random_direction(cell, key=jr.key(3)))
    found = echoic.cost_sensitivity(path, jnp.array([0.0, 0.4]), xs, ys)
    for i, s in enumerate((0.0, 0.4)):
        for length in (1, 9):
            cost = echoic.mean_squared_cost(None, xs[:length], ys[:length])
            slope = jax.grad(lambda s, cost=cost: cost(path(s)))
            assert found.details["cost"][i, length - 1] == pytest.approx(float(cost(path(s))))
            own = found.details["slope_sign"] * jnp.exp(found.value)
            assert own[i, length - 1] == pytest.approx(float(slope(s)), rel=1e-9)
            bend = float(slope(s + 1e-5) - slope(s - 1e-5)) / 2e-5
            own = found.details["curvature_sign"] * jnp.exp(found.details["log_curvature"])
            assert own[i, length - 1] == pytest.approx(bend, rel=1e-6)


@pytest.mark.slow
def test_logistic_map_grows_with_its_exponent(x64):
    """At one and two Lyapunov exponents, .419 at theta = 3.77; flat where the map contracts."""

    def targets(theta, steps=200):
        x, series = 0.5, []
        for _ in range(steps):
            x = theta * x * (1 - x)
            series.append([x])
        return np.array(series)

    def measure(at, steps=200):
        return echoic.cost_sensitivity(
            lambda theta: lambda x, _: theta * x * (1 - x),
            at,
            targets=targets(3.78),
            state=jnp.full(1, 0.5),
            steps=steps,
        )

    found = measure(jnp.array([3.77]))
    x, exponent = 0.4, 0.0
    for _ in range(100000):
        exponent += np.log(abs(3.77 * (1 - 2 * x))) / 100000
        x = 3.77 * x * (1 - x)
    assert exponent == pytest.approx(0.419, abs=0.01)
    assert float(growth_rate(found, 20, 200)[0]) == pytest.approx(exponent, rel=0.15)
    assert float(growth_rate(found, 20, 200)[0]) != pytest.approx(exponent / np.log(2), rel=0.15)
    bend = eqx.tree_at(lambda f: f.value, found, found.details["log_curvature"])
    assert float(growth_rate(bend, 20, 200)[0]) == pytest.approx(2 * exponent, rel=0.15)
    assert float(growth_rate(bend, 20, 200)[0]) != pytest.approx(exponent, rel=0.15)
    calm = measure(jnp.linspace(2.2, 2.8, 61)).value.max(axis=0)
    assert float(jnp.exp(calm[199] - calm[49])) == pytest.approx(1, abs=0.1)


def leading_exponent(weight, start, steps=4000, burn_in=400):
    """In NumPy, of h' = tanh(W h): one tangent vector, rescaled at each step."""
    h, tangent, total = np.asarray(start), np.ones(len(start)), 0.0
    for t in range(steps):
        h = np.tanh(weight @ h)
        tangent = (1 - h**2) * (weight @ tangent)
        length = np.linalg.norm(tangent)
        tangent, total = tangent / length, total + np.log(length) * (t >= burn_in)
    return total / (steps - burn_in)


@pytest.mark.slow
@pytest.mark.parametrize(("gain", "exponent"), [(2.0, 0.063), (3.0, 0.195)])
def test_random_tanh_network_grows_with_its_exponent(gain, exponent, x64):
    """8 networks of 32 units: to .03 of listed exponents and of their own.

    Seen: .080 and .184, for exponents of .058 and .198.
    """
    rates, leading = [], []
    for seed in range(8):
        weight = gain * jr.normal(jr.key(seed), (32, 32)) / 32**0.5
        direction = jr.normal(jr.key(100 + seed), (32, 32))
        start = jr.normal(jr.key(200 + seed), (32,))
        rates.append(growth_rate(_tanh_network(weight, direction, start), 100, 400))
        leading.append(leading_exponent(np.asarray(weight), start))
    assert float(np.mean(rates)) == pytest.approx(exponent, abs=0.03)
    assert float(np.mean(rates)) == pytest.approx(np.mean(leading), abs=0.03)
    assert float(np.mean(rates)) != pytest.approx(2 * np.mean(leading), abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_fading_tanh_network_forgets_its_start(seed, x64):
    """The gradient of a mean whose terms vanish falls like 1 / N."""
    weight = 0.5 * jr.normal(jr.key(seed), (32, 32)) / 32**0.5
    direction, start = jr.normal(jr.key(1 + 3 * seed), (32, 32)), jr.normal(jr.key(2), (32,))
    found = _tanh_network(weight, direction, start)
    fallen = float(jnp.exp(found.value[199] - found.value[49]))
    assert fallen * 4 == pytest.approx(1, abs=0.05)
    assert fallen != pytest.approx(1, abs=0.05)  # wrong: the sum, not the mean


def _tanh_network(weight, direction, start):
    cell = Elman(1, 32, key=jr.key(0), dtype=jnp.float64)
    cell = eqx.tree_at(lambda c: (c.recurrent, c.bias), cell, (weight, jnp.zeros(32)))
    zero = eqx.tree_at(
        lambda c: (c.recurrent, c.input, c.bias),
        cell,
        (direction, jnp.zeros((32, 1)), jnp.zeros(32)),
    )
    path = echoic.line_of_cells(cell, zero)
    return echoic.cost_sensitivity(path, 0.0, np.zeros((400, 1)), state=start)


@pytest.mark.slow
def test_chaotic_lstm(x64):
    """Suprema over s: growth in chaos, 1/N before the first attractor, constant in the period."""
    cell, start = chaotic_lstm()
    path = echoic.line_of_cells(cell, cell)
    reference = echoic.rollout(cell, np.zeros((400, 1)), state=start).trajectory

    def suprema(low, high):
        """Over s, of the logarithms of slope and curvature, for each N."""
        at = jnp.linspace(low, high, 101) - 1
        found = echoic.cost_sensitivity(path, at, np.zeros((400, 1)), reference, state=start)
        return [np.asarray(f.max(axis=0)) for f in (found.value, found.details["log_curvature"])]

    def regimes(chaos, fading, periodic):
        return (
            0.15 < (chaos[399] - chaos[24]) / 375 < 0.30
            and np.exp(fading[399] - fading[24]) < 0.1
            and abs(np.exp(periodic[399] - periodic[24]) - 1) < 0.2
        )

    slopes, curvatures = zip(
        *(suprema(*between) for between in ((0.95, 1.05), (0.55, 0.7), (1.6, 1.9))), strict=True
    )
    assert regimes(*slopes)
    assert not regimes(*curvatures)
    assert not regimes(*(one + np.log(np.arange(1, 401)) for one in slopes))  # sums, not means
    assert not regimes(*slopes[::-1])


def chaotic_lstm():
    """Two units without biases, in the order i, f, g, o, and their initial state."""
    gates = [[-1, -4], [-3, -2], [-2, 6], [0, -6], [-1, -6], [6, -9], [4, 1], [-9, -7]]
    cell = LSTM(1, 2, key=jr.key(0), dtype=jnp.float64)
    cell = eqx.tree_at(
        lambda c: (c.recurrent, c.input, c.bias),
        cell,
        (jnp.array(gates, jnp.float64), jnp.zeros((8, 1)), jnp.zeros(8)),
    )
    half = jnp.full(2, 0.5)
    return cell, type(cell.initial_state())(half, half)
