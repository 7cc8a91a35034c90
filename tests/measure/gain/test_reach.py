"""Reaches against closed forms and dense products, and wrong versions that must not pass."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from echoic.core.cell import AbstractCell
from echoic.core.estimate import Status, UntrustedError
from echoic.measure.gain.reach import coherent_reach, gradient_reach, input_reach, reach_curves
from echoic.measure.windows import place

KEY = jr.key(0)


class Plain(AbstractCell):
    """h' = f(W h + V x), f linear or tanh."""

    w: jax.Array
    v: jax.Array
    linear: bool = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, w, v=None, linear=True):
        self.w = jnp.asarray(w)
        self.v = jnp.ones((len(w), 1)) if v is None else jnp.asarray(v)
        self.linear = linear
        self.hidden_size, self.input_size = self.v.shape

    def initial_state(self):
        return jnp.zeros(self.hidden_size, self.w.dtype)

    def step(self, state, x):
        total = self.w @ state + self.v @ x
        return total if self.linear else jnp.tanh(total)

    def read(self, state):
        return state


def rotation(gain, angle=0.7):
    return gain * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


# Closed forms


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.9, 1.0, 1.05])
def test_orthogonal_networks_have_a_power_law_of_their_gain(x64, gain):
    curves = reach_curves(Plain(rotation(gain)), jr.normal(KEY, (500,)), max_lag=40, key=KEY)
    expected = gain ** np.arange(41.0)
    for name in ("gradient_reach", "coherent_reach"):
        np.testing.assert_allclose(curves[name].value, expected, rtol=1e-12)
        np.testing.assert_allclose(curves[name].standard_error, 0, atol=1e-13)
        np.testing.assert_allclose(curves[name].details["log_value"], np.log(expected), atol=1e-12)
    gradient = curves["gradient_reach"]
    np.testing.assert_allclose(gradient.details["typical"], expected, rtol=1e-12)
    assert bool(gradient.statuses & Status.GROWING) is (gain > 1)
    with pytest.raises(AssertionError):  # power instead of amplitude
        np.testing.assert_allclose(gradient.value[1:] ** 2, (expected[1:] + (gain == 1)), rtol=1e-3)


def test_chain_ends_at_its_length(x64):
    n, alpha, lags = 12, 1.1, np.arange(21)
    cell = Plain(alpha * np.eye(n, k=-1), np.eye(n, 1))
    xs = jr.normal(KEY, (400,))
    curves = reach_curves(cell, xs, max_lag=20, key=KEY, exact=True)
    expected = alpha**lags * np.sqrt(np.maximum(n - lags, 0) / n)
    for name in ("gradient_reach", "coherent_reach"):
        np.testing.assert_allclose(curves[name].value, expected, rtol=1e-12)
    gradient = curves["gradient_reach"]
    assert np.all(np.asarray(gradient.value[n:]) == 0)
    assert np.all(np.isneginf(gradient.details["log_value"][n:]))
    assert np.all(np.asarray(gradient.standard_error[n:]) == 0)
    assert gradient.statuses == Status.OK
    spread = float(jnp.std(xs))
    expected = np.where(lags < n, spread * alpha**lags, 0)
    np.testing.assert_allclose(curves["input_reach"].value, expected, rtol=1e-12)
    with pytest.raises(AssertionError):  # lag off by one
        np.testing.assert_allclose(curves["input_reach"].value[1:], expected[:-1], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.8, 1.2])
def test_ten_thousand_lags_neither_underflow_nor_overflow(x64, gain):
    curves = reach_curves(
        Plain(rotation(gain)),
        steps=21_000,
        max_lag=10_000,
        burn_in=10,
        key=KEY,
        starts=2,
        throw=False,
    )
    expected = np.arange(10_001) * math.log(gain)
    for name in ("gradient_reach", "coherent_reach"):
        log_value = np.asarray(curves[name].details["log_value"])
        np.testing.assert_allclose(log_value[1:], expected[1:], rtol=1e-12)
    assert "input_reach" not in curves  # no inputs, no spread


@pytest.mark.slow
def test_columns_of_very_different_growth_do_not_hide_each_other(x64):
    cell = Plain(np.diag([1.0, 1e-3]), np.array([[0.0], [1.0]]))
    xs = jr.normal(KEY, (700,))
    curves = reach_curves(cell, xs, max_lag=500, key=KEY, starts=2, exact=True)
    expected = np.log(float(jnp.std(xs))) + np.arange(501) * math.log(1e-3)
    np.testing.assert_allclose(curves["input_reach"].details["log_value"], expected, rtol=1e-12)


def test_non_normal_matrix_against_dense_powers(x64):
    rng = np.random.default_rng(1)
    w = np.triu(rng.normal(size=(10, 10))) * 0.4
    measured = gradient_reach(Plain(w), jr.normal(KEY, (300,)), max_lag=15, key=KEY, exact=True)
    powers = [np.linalg.matrix_power(w, k) for k in range(16)]
    expected = [np.linalg.norm(power) / math.sqrt(10) for power in powers]
    np.testing.assert_allclose(measured.value, expected, rtol=1e-12)


@pytest.mark.slow
def test_input_channels_count_in_units_of_their_own_spread(x64):
    rng = np.random.default_rng(2)
    w, v = 0.5 * rng.normal(size=(3, 3)), rng.normal(size=(3, 2))
    xs = jr.normal(KEY, (300, 2)) * jnp.array([[2.0, 0.3]]) + 5
    measured = input_reach(Plain(w, v), xs, max_lag=8, key=KEY)
    scaled = v * np.std(np.asarray(xs), axis=0)

    def curve(w, v):
        norms = [np.linalg.norm(np.linalg.matrix_power(w, k) @ v) for k in range(9)]
        return np.array(norms) / math.sqrt(2)

    np.testing.assert_allclose(measured.value, curve(w, scaled), rtol=1e-12)
    np.testing.assert_allclose(measured.standard_error, 0, atol=1e-12)
    for mutant in (curve(w.T, scaled), curve(w, v)):  # transposed Jacobian; no units
        assert np.max(np.abs(mutant / measured.value - 1)) > 0.1


@pytest.mark.slow
def test_many_channels_are_probed(x64):
    rng = np.random.default_rng(3)
    w, v = 0.9 * np.linalg.qr(rng.normal(size=(6, 6)))[0], rng.normal(size=(6, 20))
    xs = jr.normal(KEY, (300, 20))
    whole = input_reach(Plain(w, v), xs, max_lag=6, key=KEY, exact=True)
    scaled = v * np.std(np.asarray(xs), axis=0)
    norms = [np.linalg.norm(np.linalg.matrix_power(w, k) @ scaled) for k in range(7)]
    np.testing.assert_allclose(whole.value, np.array(norms) / math.sqrt(20), rtol=1e-12)
    probed = input_reach(Plain(w, v), xs, max_lag=6, key=KEY)
    gap = np.abs(probed.value - whole.value)
    assert np.all(gap > 0)
    assert np.all(gap < 4 * probed.standard_error)


def test_the_whole_state_counts(x64):
    def step(state, x):
        return {"c": 0.9 * state["c"], "h": 0.5 * state["h"], "n": state["n"] + 1}

    state = {"c": jnp.ones(2), "h": jnp.ones(2), "n": jnp.asarray(0)}
    measured = gradient_reach(step, state=state, steps=300, max_lag=20, key=KEY)
    expected = np.sqrt((0.81 ** np.arange(21) + 0.25 ** np.arange(21)) / 2)
    np.testing.assert_allclose(measured.value, expected, rtol=1e-12)


# Driven networks against dense products


def dense(w, v, inputs, burn_in, max_lag, mutant=None):
    """Jacobians over k steps of tanh networks, shape (windows, lags, n, n), and dh/dx."""
    products, injected = [], []
    for xs in inputs:
        h = np.zeros(len(w))
        for x in xs[: burn_in if mutant != "no burn-in" else 0]:
            h = np.tanh(w @ h + v @ x)
        later = xs[burn_in if mutant != "no burn-in" else 0 :]
        h = np.tanh(w @ h + v @ later[0])
        total, column = np.eye(len(w)), (1 - h**2)[:, None] * v * inputs.std(axis=(0, 1))
        own, ins = [total], [column]
        for x in later[1 : max_lag + 1]:
            h = np.tanh(w @ h + v @ x)
            jacobian = (1 - h**2)[:, None] * w
            total = (jacobian.T if mutant == "transposed" else jacobian) @ total
            own.append(total)
            ins.append(total @ column)
        products.append(own)
        injected.append(ins)
    return np.array(products), np.array(injected)


def root_mean_square(matrices):
    """With its error over windows, and the average of the logarithm."""
    squares = np.sum(matrices**2, axis=(2, 3)) / matrices.shape[3]
    value = np.sqrt(squares.mean(axis=0))
    error = squares.std(axis=0, ddof=1) / math.sqrt(len(squares)) / 2 / value
    return value, error, np.exp(0.5 * np.log(squares).mean(axis=0))


def square_of_average(matrices):
    """Over pairs of different windows, one by one; its jackknife error."""
    number, _, n, _ = matrices.shape

    def mean_over_pairs(kept):
        pairs = [(a, b) for a in kept for b in kept if a != b]
        return np.mean([np.sum(matrices[a] * matrices[b], axis=(1, 2)) for a, b in pairs], 0) / n

    everyone = range(number)
    without = np.array([mean_over_pairs([a for a in everyone if a != out]) for out in everyone])
    variance = (number - 1) / number * np.sum((without - without.mean(axis=0)) ** 2, axis=0)
    return mean_over_pairs(everyone), np.sqrt(variance)


@pytest.fixture(scope="module")
def driven():
    rng = np.random.default_rng(4)
    w, v = rng.normal(size=(5, 5)), 0.7 * rng.normal(size=(5, 2))
    inputs = rng.normal(size=(9, 30 + 6 + 1, 2)) + 0.5
    with jax.enable_x64(True):
        cell = Plain(w, v, linear=False)
        curves = reach_curves(cell, inputs, max_lag=6, burn_in=30, starts=9, key=KEY, exact=True)
    return w, v, inputs, curves


def test_driven_network_against_dense_products(driven):
    w, v, inputs, curves = driven
    products, injected = dense(w, v, inputs, 30, 6)
    for name, matrices in (("gradient_reach", products), ("input_reach", injected)):
        value, error, typical = root_mean_square(matrices)
        np.testing.assert_allclose(curves[name].value, value, rtol=1e-12)
        np.testing.assert_allclose(curves[name].standard_error, error, rtol=1e-10, atol=1e-15)
        np.testing.assert_allclose(curves[name].details["typical"], typical, rtol=1e-12)
    square, error = square_of_average(products)
    coherent = curves["coherent_reach"]
    np.testing.assert_allclose(coherent.details["square"], square, rtol=1e-10)
    np.testing.assert_allclose(coherent.details["floor"], np.sqrt(2 * error), rtol=1e-8, atol=1e-7)
    np.testing.assert_allclose(coherent.value, np.sqrt(np.maximum(square, 0)), rtol=1e-10)


@pytest.mark.parametrize("mutant", ["transposed", "no burn-in"])
def test_wrong_products_are_told_apart(driven, mutant):
    w, v, inputs, curves = driven
    products, injected = dense(w, v, inputs, 30, 6, mutant)
    for name, matrices in (("gradient_reach", products), ("input_reach", injected)):
        wrong = root_mean_square(matrices)[0]
        assert np.max(np.abs(wrong / np.asarray(curves[name].value) - 1)) > 0.01


def test_average_of_norms_is_not_the_norm_of_the_average(driven):
    w, v, inputs, curves = driven
    products, _ = dense(w, v, inputs, 30, 6)
    average_of_norms = np.sqrt(np.sum(products**2, axis=(2, 3)) / 5).mean(axis=0)
    norm_of_average = np.sqrt(np.sum(products.mean(axis=0) ** 2, axis=(1, 2)) / 5)
    for wrong in (average_of_norms, norm_of_average):  # the second one keeps its bias
        assert np.max(np.abs(wrong - np.asarray(curves["coherent_reach"].value))) > 0.05


# Error bars. h' = x h: G(k)^2 = <x^2>^k, coherent <x>^k, typical exp(k <log|x|>).


def multiply(h, x):
    return x * h


def scores(number, measured, expected):
    """Deviations in units of their errors, over repetitions with inputs of their own."""
    with jax.enable_x64(True):
        found = [measured(jr.key(1000 + i)) for i in range(number)]
    return (np.array([value for value, _ in found]) - expected) / np.array([e for _, e in found])


@pytest.mark.slow
def test_errors_from_starting_times_cover_the_truth():
    def measured(key):
        xs = 1 + 0.3 * jr.normal(key, (2000,))
        curve = gradient_reach(multiply, xs, state=jnp.ones(1), max_lag=4, burn_in=9, key=key)
        return float(curve.value[4]) ** 2, 2 * float(curve.value[4] * curve.standard_error[4])

    z = scores(60, measured, 1.09**4)
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.6
    assert abs(np.mean(z)) < 4 / math.sqrt(60) + 0.2  # the sample's skewness


@pytest.mark.slow
def test_coherent_square_is_unbiased_below_the_floor_of_plain_averages():
    curves = []
    with jax.enable_x64(True):
        for i in range(60):
            xs = 0.05 + jnp.sign(jr.normal(jr.key(i), (2000,)))
            curves.append(
                coherent_reach(multiply, xs, state=jnp.ones(1), max_lag=4, burn_in=9, key=jr.key(i))
            )
    squares = np.array([float(np.asarray(curve.details["square"])[3]) for curve in curves])
    error = squares.std(ddof=1) / math.sqrt(60)
    assert abs(squares.mean() - 0.05**6) < 4 * error
    floor = np.mean([float(np.asarray(curve.details["average_floor"])[3]) for curve in curves])
    assert floor == pytest.approx(math.sqrt(1.0025**3 / 32), rel=0.1)
    assert floor**2 > 4 * error  # the bias that was taken out would have been seen
    claimed = np.array([float(np.asarray(curve.details["floor"])[3]) ** 2 / 2 for curve in curves])
    assert 0.5 < claimed.mean() / squares.std(ddof=1) < 2


@pytest.mark.slow
def test_errors_from_probes_cover_the_truth():
    rng = np.random.default_rng(5)
    w = np.triu(rng.normal(size=(32, 32))) * 0.3
    expected = np.linalg.norm(np.linalg.matrix_power(w, 3)) ** 2 / 32

    def measured(key):
        curve = gradient_reach(
            Plain(w), jr.normal(KEY, (300,)), max_lag=4, key=key, starts=8, probes=12
        )
        return float(curve.value[3]) ** 2, 2 * float(curve.value[3] * curve.standard_error[3])

    z = scores(60, measured, expected)
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.6


@pytest.mark.slow
def test_typical_is_the_average_logarithm():
    def measured(key):
        xs = jnp.exp(0.5 * jr.normal(key, (2000,)) - 0.1)
        curve = gradient_reach(multiply, xs, state=jnp.ones(1), max_lag=4, burn_in=9, key=key)
        typical = float(curve.details["typical"][4])
        return math.log(typical), float(curve.details["typical_standard_error"][4]) / typical

    z = scores(60, measured, -0.4)
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.5
    assert abs(np.mean(z)) < 4 / math.sqrt(60)


# Windows, statuses, refusals


@pytest.mark.parametrize(
    ("shape", "starts", "groups"),
    [((1, 500, 1), 6, 6), ((4, 90, 1), 3, 3), ((3, 200, 1), 7, 7), ((2, 130, 1), 20, 6)],
)
def test_windows_lie_inside_and_groups_apart(shape, starts, groups):
    burn_in, span = 20, 31
    windows = place(jnp.zeros(shape), burn_in, span, starts, KEY)
    assert windows.groups == groups
    assert windows.size % groups == 0
    assert windows.size >= starts
    first, sequence = np.asarray(windows.first), np.asarray(windows.sequence)
    assert np.all(first >= 0)
    assert np.all(first + burn_in + span <= shape[1])
    if windows.size == groups:
        apart = np.abs(first[:, None] - first[None]) + 10_000 * (
            sequence[:, None] != sequence[None]
        )
        assert np.all(apart[~np.eye(groups, dtype=bool)] >= span)
        assert len(np.unique(sequence)) == min(starts, shape[0])


def test_too_short_series_are_refused_with_the_numbers():
    cell = Plain(np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32))
    with pytest.raises(ValueError, match=r"max_lag=50 after burn_in=100 .* 151 steps, got 120"):
        gradient_reach(cell, np.zeros(120), max_lag=50, key=KEY)
    with pytest.raises(ValueError, match="constant"):
        input_reach(cell, np.ones(400), max_lag=50, key=KEY)
    with pytest.raises(ValueError, match="pass steps"):
        gradient_reach(cell, max_lag=50, key=KEY)
    with pytest.raises(ValueError, match="steps goes with inputs=None"):
        gradient_reach(cell, np.zeros(400), max_lag=50, key=KEY, steps=4)
    with pytest.raises(ValueError, match="probes must lie in 1"):
        gradient_reach(cell, np.zeros(400), max_lag=50, key=KEY, probes=0)


@pytest.mark.slow
def test_few_windows_are_said_to_be_few(x64):
    cell = Plain(rotation(0.9))
    few = reach_curves(cell, jr.normal(KEY, (160,)), max_lag=40, burn_in=100, key=KEY)
    for curve in few.values():
        assert curve.settings["independent"] == 1
        assert Status.SHORT_SERIES in curve.statuses
        assert np.all(np.isnan(curve.standard_error))
    np.testing.assert_allclose(few["gradient_reach"].value, 0.9 ** np.arange(41), rtol=1e-12)
    assert np.all(np.isnan(few["coherent_reach"].value))  # one window has no average
    many = gradient_reach(cell, jr.normal(KEY, (160,)), max_lag=10, burn_in=100, key=KEY)
    assert many.settings["overlapping"]
    assert many.settings["independent"] == 5


@pytest.mark.slow
def test_not_a_number_stays_one(x64):
    xs = jr.normal(KEY, (400,)).at[150].set(jnp.nan)
    curves = reach_curves(
        Plain(0.9 * np.eye(2), linear=False), xs, max_lag=40, key=KEY, throw=False
    )
    for curve in curves.values():
        assert np.isnan(curve.value[40])
        assert Status.NOT_FINITE in curve.statuses
    with pytest.raises(UntrustedError, match="left the finite numbers"):
        gradient_reach(Plain(0.9 * np.eye(2), linear=False), xs, max_lag=40, key=KEY)


@pytest.mark.slow
def test_what_inputs_scramble_is_below_the_noise(x64):
    signs = jnp.sign(jr.normal(KEY, (3000,)))
    curve = coherent_reach(multiply, signs, state=jnp.ones(1), max_lag=6, key=KEY)
    assert Status.BELOW_NOISE in curve.statuses
    np.testing.assert_allclose(curve.details["average_floor"], 1 / math.sqrt(32), rtol=1e-12)


@pytest.mark.slow
def test_single_precision_is_good_to_four_digits():
    cell = Plain(rotation(0.95).astype(np.float32), np.ones((2, 1), np.float32))
    curve = gradient_reach(cell, np.random.default_rng(0).normal(size=600), max_lag=200, key=KEY)
    assert curve.value.dtype == jnp.float32
    np.testing.assert_allclose(curve.value, 0.95 ** np.arange(201), rtol=1e-4)


@pytest.mark.slow
def test_other_weights_compile_nothing_new():
    traces = []

    class Traced(AbstractCell):
        w: jax.Array
        input_size: int = eqx.field(static=True, default=1)
        hidden_size: int = eqx.field(static=True, default=2)

        def initial_state(self):
            return jnp.zeros(2)

        def step(self, state, x):
            traces.append(1)
            return jnp.tanh(self.w @ state + x)

        def read(self, state):
            return state

    xs = np.random.default_rng(0).normal(size=2000)
    gradient_reach(Traced(jnp.eye(2)), xs, max_lag=10, burn_in=50, key=KEY)
    first = len(traces)
    assert first > 0
    input_reach(Traced(2 * jnp.eye(2)), xs, max_lag=10, burn_in=60, key=jr.key(1))
    assert len(traces) == first
