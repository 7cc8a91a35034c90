"""Recall against closed forms, 60-digit arithmetic, and what must be zero."""

import logging

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import mpmath
import numpy as np
import pytest
import scipy.linalg

import echoic
from echoic.core.cell import AbstractCell, LinearForm
from echoic.core.estimate import Status, UntrustedError
from echoic.measure.information import allpass, readout
from echoic.measure.information.allpass import recall_in_finite_time, white_recall
from echoic.measure.information.recall import linear_recall, raw_recall

KEY = jr.key(0)


class Plain(AbstractCell):
    """h' = f(W h + V x)."""

    recurrent: jax.Array
    drive: jax.Array
    linear: bool = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, recurrent, drive, linear=True):
        self.recurrent, self.drive = jnp.asarray(recurrent), jnp.asarray(drive)
        self.hidden_size, self.input_size = self.drive.shape
        self.linear = linear

    def initial_state(self):
        return jnp.zeros(self.hidden_size, self.recurrent.dtype)

    def step(self, state, x):
        total = self.recurrent @ state + self.drive @ x
        return total if self.linear else jnp.tanh(total)

    def read(self, state):
        return state

    def linear_form(self):
        if not self.linear:
            return None
        return LinearForm(self.recurrent, self.drive, jnp.zeros_like(self.recurrent[0]))


def source(size, channels=1):
    return np.eye(size, channels)


def cycle(size, gain):
    """The ring's covariance is diagonal, so its recall can be written down."""
    ring = np.roll(np.eye(size), 1, axis=0) * gain
    lags = np.arange(2 * size + 1)
    return ring, gain ** (2.0 * size * (lags // size)) * (1 - gain ** (2 * size))


def random(size, channels=1, radius=0.9, seed=0):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(size, size))
    matrix *= radius / np.max(np.abs(np.linalg.eigvals(matrix)))
    return matrix, rng.normal(size=(size, channels))


def precise_recall(matrix, drive, max_lag, digits=150):
    """v_k' C^-1 v_k from the covariance, in multiple precision."""
    with mpmath.workdps(digits):
        power, covariance = mpmath.matrix(matrix.tolist()), None
        vectors = mpmath.matrix(drive.tolist())
        covariance = vectors * vectors.T
        for _ in range(14):
            covariance = covariance + power * covariance * power.T
            power = power * power
        inverse = mpmath.inverse(covariance)
        recall = []
        for _ in range(max_lag + 1):
            recall.append(
                float(
                    mpmath.mp.fsum(
                        (vectors.T * inverse * vectors)[c, c] for c in range(vectors.cols)
                    )
                    / vectors.cols
                )
            )
            vectors = mpmath.matrix(matrix.tolist()) * vectors
    return np.array(recall)


# --- the exact path ---------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("size", [20, 50, 400])
def test_cycle(size, gain, x64):
    ring, expected = cycle(size, gain)
    recall = linear_recall(Plain(ring, source(size)), max_lag=2 * size, key=KEY)
    np.testing.assert_allclose(recall.value, expected, atol=1e-12)
    assert recall.settings["method"] == "exact"


def no_eigenvalues(*_):
    raise AssertionError("eigenvalues were computed")


@pytest.mark.parametrize(("size", "gain"), [(100, 0.5), (100, 0.9), (400, 0.9), (400, 0.99)])
def test_cycle_without_eigenvalues(size, gain, monkeypatch, x64):
    ring, expected = cycle(size, gain)
    with monkeypatch.context() as patch:
        patch.setattr(np.linalg, "eigvals", no_eigenvalues)
        value, stable = white_recall(ring, source(size), 2 * size)
    assert stable
    np.testing.assert_allclose(value[:, 0], expected, atol=1e-12)


def test_cycle_by_eigenvalues(monkeypatch):
    ring, expected = cycle(100, 0.99)
    monkeypatch.setattr(allpass, "certified_recall", lambda *_: None)
    np.testing.assert_allclose(white_recall(ring, source(100), 200)[0][:, 0], expected, atol=1e-12)


@pytest.mark.parametrize("size", [100, 400])
@pytest.mark.parametrize("weight", [0.5, 1.0, 1.02, 1.5, -0.9])
def test_delay_line_without_eigenvalues(size, weight, monkeypatch, x64):
    monkeypatch.setattr(np.linalg, "eigvals", no_eigenvalues)
    line = np.diag(np.full(size - 1, weight), -1)
    recall = linear_recall(Plain(line, source(size)), max_lag=2 * size, key=KEY)
    np.testing.assert_allclose(recall.value, np.arange(2 * size + 1) < size, atol=1e-12)


@pytest.mark.parametrize("gain", [1.0, 1.01])
def test_large_cycle_that_is_not_stable(gain, x64):
    ring, _ = cycle(100, gain)
    recall = linear_recall(Plain(ring, source(100)), max_lag=199, key=KEY, throw=False)
    assert Status.UNSTABLE in recall.statuses
    shares = np.array([1, gain**200]) / (1 + gain**200)  # 100 units share 200 steps
    np.testing.assert_allclose(recall.value, np.repeat(shares, 100), atol=1e-12)


def test_exact_recall_compiles_nothing_for_a_new_length(x64, caplog):
    ring, _ = cycle(70, 0.9)
    cell = Plain(ring, source(70))
    linear_recall(cell, max_lag=140, key=KEY)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        linear_recall(cell, max_lag=141, key=KEY)
        assert "Compiling" not in caplog.text
        jnp.zeros(1237)  # what the assertion above is there to catch
    assert "Compiling" in caplog.text


def test_cycle_adds_up_to_nineteen(x64):
    ring, _ = cycle(20, 0.5)
    recall = linear_recall(Plain(ring, source(20)), max_lag=400, key=KEY)
    assert float(recall.value[1:].sum()) == pytest.approx(19.0, abs=1e-9)


@pytest.mark.parametrize("size", [20, 400])
@pytest.mark.parametrize("rotated", [False, True])
def test_delay_line_of_any_weights(size, rotated, x64):
    rng = np.random.default_rng(1)
    line, drive = np.diag(rng.uniform(0.5, 1.5, size - 1), -1), source(size)
    if rotated:
        basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
        line, drive = basis @ line @ basis.T, basis @ drive
    recall = linear_recall(Plain(line, drive), max_lag=size + 5, key=KEY)
    np.testing.assert_allclose(recall.value, np.arange(size + 6) < size, atol=1e-9)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_random_network_against_multiple_precision(channels, x64):
    matrix, drive = random(20, channels)
    recall = linear_recall(Plain(matrix, drive), max_lag=40, key=KEY)
    np.testing.assert_allclose(recall.value, precise_recall(matrix, drive, 40), atol=1e-12)


def test_feedback_chain_whose_eigenvalues_cannot_be_computed(x64):
    matrix = np.diag(np.full(39, 0.99), -1) + np.diag(np.full(39, 0.04), 1)
    recall = linear_recall(Plain(matrix, source(40)), max_lag=50, key=KEY)
    np.testing.assert_allclose(recall.value, precise_recall(matrix, source(40), 50, 80), atol=1e-12)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("size", [100, 200])
def test_sum_is_the_number_of_units_and_recall_never_rises(size, channels, x64):
    matrix, drive = random(size, channels)
    recall = linear_recall(Plain(matrix, drive), max_lag=3000, key=KEY)
    assert float(recall.value.sum()) * channels == pytest.approx(size, abs=1e-8)
    assert float(jnp.max(jnp.diff(recall.value))) <= 0


def test_modes_that_the_input_does_not_reach_hold_nothing(x64):
    scaled_identity = 0.9 * np.eye(12)
    drive = np.random.default_rng(3).normal(size=(12, 2))
    for part in (drive[:, :1], drive):
        recall = linear_recall(Plain(scaled_identity, part), max_lag=30, key=KEY)
        np.testing.assert_allclose(recall.value, 0.19 * 0.81 ** np.arange(31), atol=1e-12)
    chain = np.diag(np.full(9, 1.1), -1)
    late = linear_recall(Plain(chain, np.eye(10)[:, 4:5]), max_lag=9, key=KEY)
    np.testing.assert_allclose(late.value, np.arange(10) < 6, atol=1e-12)


def test_inverting_the_covariance_is_rejected(x64):
    """The textbook formula in double precision fails where the sections hold."""
    matrix, drive = random(20)
    covariance = scipy.linalg.solve_discrete_lyapunov(matrix, drive @ drive.T)
    krylov = [drive[:, 0]]
    for _ in range(40):
        krylov.append(matrix @ krylov[-1])
    naive = np.array([v @ np.linalg.pinv(covariance) @ v for v in krylov])
    assert np.max(np.abs(naive - precise_recall(matrix, drive, 40))) > 1e-4


def test_unstable_network_has_recall_in_finite_time_only(x64):
    ring, _ = cycle(6, 1.0)
    cell = Plain(ring, source(6))
    with pytest.raises(UntrustedError, match="unstable"):
        linear_recall(cell, max_lag=11, key=KEY)
    recall = linear_recall(cell, max_lag=11, key=KEY, throw=False)
    assert Status.UNSTABLE in recall.statuses
    np.testing.assert_allclose(recall.value, 0.5, atol=1e-12)  # 6 units share 12 steps
    hidden = np.diag([0.5, 2.0])  # the mode that grows is never reached
    assert white_recall(hidden, source(2), 3)[1]
    grown = recall_in_finite_time(np.array([[3.0]]), np.ones((1, 1)), 900)[:, 0]
    np.testing.assert_allclose(grown[-3:], (8 / 9) * 9.0 ** -np.arange(2, -1, -1), atol=1e-12)
    assert np.all(np.isfinite(grown))


def test_finite_time_tends_to_the_stationary_recall(x64):
    matrix, drive = random(8, 2)
    stationary, stable = white_recall(matrix, drive, 30)
    assert stable
    np.testing.assert_allclose(
        recall_in_finite_time(matrix, drive, 500)[:31], stationary, atol=1e-10
    )


# --- the sampled path -------------------------------------------------------------------------


def sampled(matrix, drive, max_lag, key=KEY, **options):
    return linear_recall(Plain(matrix, drive), max_lag=max_lag, key=key, exact="never", **options)


def deviations(estimate, expected):
    """In standard errors; where the answer is 0 or 1 the error vanishes with it."""
    return (np.asarray(estimate.value) - expected) / (np.asarray(estimate.standard_error) + 1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_sampled_recall_of_a_random_network(seed, x64):
    matrix, drive = random(20, radius=0.8, seed=seed)
    exact, _ = white_recall(matrix, drive, 60)
    z = deviations(sampled(matrix, drive, 60, jr.key(seed)), exact[:, 0])
    assert np.max(np.abs(z)) < 5.5  # ten blocks: the tails are those of Student's t


@pytest.mark.slow
def test_error_bars_cover(x64):
    """Over many seeds, two standard errors hold the truth as often as t with 9 degrees says."""
    ring, exact = cycle(20, 0.9)
    z = np.array(
        [deviations(sampled(ring, source(20), 40, jr.key(s), steps=2000), exact) for s in range(24)]
    )
    assert 0.85 < np.mean(np.abs(z) < 2) < 0.99  # 0.924 for t with 9 degrees
    assert np.max(np.abs(z.mean(axis=0)) * np.sqrt(24)) < 5.5  # no bias, at no lag


def test_lag_zero_is_the_newest_input(x64):
    line = np.diag(np.ones(4), -1)
    recall = sampled(line, source(5), 8)
    np.testing.assert_allclose(recall.value[:5], 1, atol=1e-9)
    assert float(jnp.max(jnp.abs(recall.value[5:]))) < 0.01
    shifted = np.append(np.asarray(recall.value)[1:], 0.0)  # a lag off by one
    assert np.max(np.abs(shifted - (np.arange(9) < 5))) > 0.9


def test_recall_of_the_probe_under_a_real_input(x64):
    """One leaky unit under white input of variance 1: its share of the probe is 1 %."""
    inputs = np.random.default_rng(0).normal(size=(20, 2200))
    recall = sampled(np.array([[0.5]]), np.ones((1, 1)), 20, inputs=inputs[..., None])
    expected = 0.01 / 1.01 * 0.75 * 0.25 ** np.arange(21)
    np.testing.assert_allclose(recall.value, expected, atol=0.002)
    difference_run = 0.75  # what a run without the input, or a difference of two, would give
    assert abs(difference_run - expected[0]) > 0.5
    amplitude = np.sqrt(expected)  # a correlation instead of its square
    assert np.max(np.abs(np.asarray(recall.value) - amplitude)) > 0.05


@pytest.mark.slow
def test_several_channels_are_pooled(x64):
    """Two separate delay lines of 3 and 6 units; the second probe has four times the power."""
    lines = scipy.linalg.block_diag(np.diag(np.ones(2), -1), np.diag(np.ones(5), -1))
    drive = np.zeros((9, 2))
    drive[0, 0] = drive[3, 1] = 1
    exact, _ = white_recall(lines, drive, 8)
    np.testing.assert_allclose(exact[:, 0], [1, 1, 1, 0, 0, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(exact[:, 1], [1, 1, 1, 1, 1, 1, 0, 0, 0], atol=1e-12)
    inputs = np.random.default_rng(0).normal(size=(10, 1200, 2)) * 1e-9 * np.array([1, 2])
    np.testing.assert_allclose(
        sampled(lines, drive, 8, inputs=inputs, probe=1e4).value,
        [1, 1, 1, 0.8, 0.8, 0.8, 0, 0, 0],
        atol=0.02,
    )


@pytest.mark.slow
def test_one_hot_inputs_with_a_symbol_that_never_comes(x64):
    symbols = np.random.default_rng(0).integers(0, 3, 6000)
    inputs = np.eye(4)[symbols]
    recall = sampled(np.zeros((4, 4)), np.eye(4), 3, inputs=inputs)
    assert np.all(np.isfinite(recall.value))
    # Reading three probes of 0.1 standard deviations from symbol + probe: the noise is the symbol,
    # which has no component along (1, 1, 1).
    np.testing.assert_allclose(recall.value[0], 1 / 3 + 2 / 3 * 0.01 / 1.01, atol=0.02)
    assert float(jnp.max(jnp.abs(recall.value[1:]))) < 0.01


@pytest.mark.slow
def test_memoryless_network_recalls_no_probe(x64):
    inputs = np.sin(0.05 * np.arange(9000)) + np.random.default_rng(0).normal(size=9000)
    cell = Plain(np.zeros((30, 30)), random(30)[1], linear=False)
    recall = linear_recall(cell, inputs, max_lag=50, key=KEY)
    assert float(jnp.max(jnp.abs(recall.value[1:]))) < 0.01
    assert float(recall.details["floor"][0]) < 0.005
    raw = raw_recall(cell, inputs, max_lag=50, key=KEY)
    np.testing.assert_allclose(raw.value, raw.details["memoryless"], atol=0.003)
    assert float(raw.value[10]) > 0.05  # although it remembers nothing


def test_in_sample_fit_is_rejected(x64):
    """On its own data a readout of 60 units finds 60/1000 in pure noise; half held out, none."""
    rng = np.random.default_rng(0)
    features, noise = rng.normal(size=(10, 100, 60)), rng.normal(size=(10, 300, 1))
    found = readout.held_out_recall(readout.moments(features, noise, 200, 0, 10), 1000)
    assert abs(found.value.mean()) < 0.005
    flat = features.reshape(-1, 60)
    target = noise[:, 200:, 0].reshape(-1)
    in_sample = 1 - np.linalg.lstsq(flat, target)[1][0] / np.sum(target**2)
    assert in_sample > 0.03


def test_bias_is_corrected(x64):
    """R^2 = 1/2 from 60 features and 1000 samples: own data says more, new data less."""
    rng = np.random.default_rng(0)
    truth = []
    for _ in range(20):
        features = rng.normal(size=(10, 100, 60))
        target = features @ rng.normal(size=60) / np.sqrt(60) + rng.normal(size=(10, 100))
        sums = readout.moments(features, target[..., None], 0, 0, 10)
        truth.append(readout.held_out_recall(sums, 1000))
    mean = np.mean([t.value[0] for t in truth])
    assert mean == pytest.approx(0.5, abs=0.012)
    held_out_only = 1 - 0.5 * (1 + 60 / 900)
    assert abs(held_out_only - 0.5) > 0.03


def test_correlations_against_direct_sums():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(4, 50, 3)), rng.normal(size=(4, 50 + 7 + 2, 2))
    sums = readout.moments(features, targets, 7, 2, 2)
    whitened, weight = readout.principal(features)
    assert weight.sum() == pytest.approx(3)
    for index, lag in enumerate(range(-2, 8)):
        delayed = targets[:, 7 - lag : 57 - lag]
        delayed = delayed - delayed.mean(axis=(0, 1))
        for fold in range(2):
            part = slice(2 * fold, 2 * fold + 2)
            np.testing.assert_allclose(
                sums.cross[fold][:, index],
                np.einsum("wtp,wtm->pm", whitened[part], delayed[part]),
                atol=1e-10,
            )
            np.testing.assert_allclose(
                sums.power[fold, index], (delayed[part] ** 2).sum(axis=(0, 1)), atol=1e-10
            )


@pytest.mark.slow
def test_raw_recall_of_a_linear_memoryless_network(x64):
    """From h = v x one reads what one reads from x, for one channel the squared autocorrelation."""
    rng = np.random.default_rng(0)
    inputs = np.zeros(40_000)
    for t in range(1, len(inputs)):
        inputs[t] = 0.95 * inputs[t - 1] + rng.normal()
    cell = Plain(np.zeros((4, 4)), np.ones((4, 1)))
    raw = raw_recall(cell, inputs, max_lag=30, key=KEY)
    np.testing.assert_allclose(raw.value, raw.details["memoryless"], atol=1e-9)
    np.testing.assert_allclose(raw.value, raw.details["memoryless_linear"], atol=1e-9)
    expected = 0.95 ** (2.0 * np.arange(31))
    z = (np.asarray(raw.value) - expected) / (np.asarray(raw.standard_error) + 1e-6)
    assert np.max(np.abs(z)) < 5.5
    memory = raw_recall(Plain(np.diag(np.ones(9), -1), source(10)), inputs, max_lag=30, key=KEY)
    np.testing.assert_allclose(memory.value[:10], 1, atol=1e-9)
    assert float(memory.details["memoryless"][9]) < 0.5


def ecg():
    series = np.asarray(echoic.data.load("ecg").values, float).reshape(-1)
    return (series - series.mean()) / series.std()


@pytest.mark.slow
def test_memoryless_network_on_an_electrocardiogram(x64):
    series = ecg()
    cell = Plain(np.zeros((64, 64)), random(64)[1], linear=False)
    recall = linear_recall(cell, series, max_lag=1000, key=KEY)
    assert float(jnp.max(jnp.abs(recall.value[1:]))) < 0.005
    raw = raw_recall(cell, series, max_lag=1000, key=KEY)
    np.testing.assert_allclose(raw.value, raw.details["memoryless"], atol=0.01)
    assert float(raw.value[200]) > 0.1  # a heartbeat predicts its own past


# --- what is refused, and what is passed on ---------------------------------------------------


def test_float32_stays_float32():
    ring, expected = cycle(10, 0.9)
    cell = Plain(ring.astype(np.float32), source(10).astype(np.float32))
    for exact in ("auto", "never"):
        recall = linear_recall(cell, max_lag=20, key=KEY, exact=exact)
        assert recall.value.dtype == recall.standard_error.dtype == jnp.float32
        np.testing.assert_allclose(recall.value, expected, atol=1e-6 if exact == "auto" else 0.03)


@pytest.mark.slow
def test_nan_in_nan_out(x64):
    ring, _ = cycle(5, 0.9)
    inputs = np.random.default_rng(0).normal(size=3000)
    inputs[1500] = np.nan
    recall = sampled(ring, source(5), 9, inputs=inputs, throw=False)
    assert np.all(np.isnan(recall.value))
    assert Status.NOT_FINITE in recall.statuses
    with pytest.raises(UntrustedError, match="throw=False"):
        sampled(ring, source(5), 9, inputs=inputs)
    ring[0, 0] = np.nan
    with pytest.raises(UntrustedError, match="throw=False"):
        linear_recall(Plain(ring, source(5)), max_lag=9, key=KEY)
    recall = linear_recall(Plain(ring, source(5)), max_lag=9, key=KEY, throw=False)
    assert np.all(np.isnan(recall.value))
    assert Status.NOT_FINITE in recall.statuses


def test_deaf_network_lies_below_the_noise(x64):
    rng = np.random.default_rng(0)
    cell = Plain(rng.normal(size=(30, 30)) / 4, np.full((30, 1), 1e-30), linear=False)
    noisy = linear_recall(cell, rng.normal(size=3000), max_lag=9, key=KEY)
    assert np.all(np.isfinite(noisy.value))
    constant = Plain(np.zeros((3, 3)), np.zeros((3, 1)), linear=False)
    recall = linear_recall(constant, rng.normal(size=3000), max_lag=9, key=KEY)
    np.testing.assert_allclose(recall.value, 0, atol=1e-12)
    assert Status.BELOW_NOISE in recall.statuses


def test_short_series_is_named(x64):
    matrix, drive = random(60, radius=0.5)
    recall = sampled(matrix, drive, 5, inputs=np.random.default_rng(0).normal(size=400))
    assert Status.SHORT_SERIES in recall.statuses


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_lag": -1}, "max_lag must lie in 0"),
        ({"max_lag": 5, "probe": 0.0}, "probe must be a positive number"),
        ({"max_lag": 5, "exact": "always", "inputs": np.zeros(900)}, "inputs=None"),
        ({"max_lag": 500, "inputs": np.ones(550)}, "max_lag=500"),
        ({"max_lag": 5, "burn_in": 90, "inputs": np.ones(101)}, "too few for 10 windows"),
    ],
)
def test_wrong_calls(options, message, x64):
    ring, _ = cycle(4, 0.9)
    with pytest.raises(ValueError, match=message):
        linear_recall(Plain(ring, source(4)), key=KEY, **options)


def test_work_that_does_not_fit_is_refused(x64):
    cell = Plain(np.zeros((1000, 1000)), np.ones((1000, 1)), linear=False)
    with pytest.raises(MemoryError, match="GB"):
        linear_recall(cell, np.zeros(1_000_000), max_lag=10_000, steps=980_000, key=KEY)
