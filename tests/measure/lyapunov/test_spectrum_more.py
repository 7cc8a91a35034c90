"""Longer runs, many runs, and what is made of them: cases that go beyond the oracles."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic.cells import GRU, LSTM, Elman
from echoic.core.estimate import Estimate, Status, UntrustedError

KEY = jr.key(7)


def run_of(rates, **details):
    """A result of `lyapunov_spectrum` with the given growth (b, blocks, k)."""
    details |= {
        "growth": jnp.asarray(rates),
        "block_steps": jnp.full(rates.shape[1], 50),
        "final_frame": jnp.zeros((rates.shape[0], rates.shape[2], rates.shape[2])),
        "final_state": jnp.zeros((rates.shape[0], 1)),
        "spread": jnp.zeros(()),
    }
    steps = 50 * rates.shape[1]
    settings = echoic.core.estimate.Settings(steps=steps)
    return Estimate(np.mean(rates, axis=(0, 1)), None, 0, settings, details)


def noise(*shape, size=0.01):
    return size * np.random.default_rng(5).normal(size=shape)


# Verdicts.


def test_a_drift_is_told(x64):
    rates = noise(1, 40, 2) + np.where(np.arange(40) < 20, 0.5, 0.1)[None, :, None]
    found = echoic.lyapunov_convergence(run_of(rates))
    assert not found.converged
    assert found.drift[0] > 6
    assert "halves" in found.sentence
    assert Status.NOT_CONVERGED in echoic.join_runs(run_of(rates)).statuses


def test_slow_waves_are_told(x64):
    """A wave over ten blocks: halves agree, blocks do not vary by themselves."""
    wave = 0.1 * np.sin(2 * np.pi * np.arange(30) / 15)
    found = echoic.lyapunov_convergence(run_of(noise(1, 30, 1) + wave[None, :, None]))
    assert not found.converged
    assert found.correlation[0] > 0.8
    assert echoic.lyapunov_convergence(run_of(noise(1, 30, 1))).converged


def test_errors_of_joined_runs_come_from_long_blocks(x64):
    """Random walks in the short blocks: the error from short blocks is far too small (mutant)."""
    rng = np.random.default_rng(6)
    rates, gap = np.zeros((200, 800)), rng.normal(size=(200, 801))
    for t in range(800):
        rates[:, t] = 0.9 * (rates[:, t - 1] if t else 0) + gap[:, t]
    truth = np.std(rates.mean(axis=1))
    found = [float(echoic.join_runs(run_of(row[None, :, None])).standard_error[0]) for row in rates]
    short = np.mean(np.std(rates, axis=1, ddof=1)) / 800**0.5
    assert np.mean(found) == pytest.approx(truth, rel=0.2)
    assert short < 0.5 * truth


def test_directions_stay_themselves_when_runs_are_joined(x64):
    """Two equal exponents: sorting run by run (mutant) finds a difference that is not there."""
    runs = [run_of(noise(1, 20, 2, size=0.1) * sign) for sign in (1, -1)]
    joined = echoic.join_runs(*runs)
    np.testing.assert_allclose(joined.value, 0, atol=1e-15)
    mutant = np.mean([np.sort(np.asarray(run.value))[::-1] for run in runs], axis=0)
    assert mutant[0] - mutant[1] > 1e-3


# Dimension and entropy.


def test_dimension_under_jit_and_vmap(x64):
    spectra = jnp.array([[0.5, 0.0, -1.0], [-0.1, -0.2, jnp.nan], [0.3, 0.1, 0.1]])
    both = jax.jit(jax.vmap(lambda s: echoic.kaplan_yorke_dimension(s, complete=False).value))
    found = both(spectra)
    np.testing.assert_allclose(found, [2.5, np.nan, np.nan])  # the last: three are not enough
    rates = jax.vmap(lambda s: echoic.entropy_rate(s).value)(spectra)
    np.testing.assert_allclose(rates, [0.5, np.nan, 0.5])


def test_too_few_exponents_are_refused(x64):
    with pytest.raises(ValueError, match="not enough"):
        echoic.kaplan_yorke_dimension(np.array([0.5, 0.1]), complete=False)
    with pytest.raises(ValueError, match="not enough"):
        echoic.entropy_rate(np.array([0.5, 0.1]), complete=False)
    assert float(echoic.entropy_rate(np.array([0.5, -0.1]), complete=False).value) == 0.5
    for wrong in (np.zeros((2, 2)), np.array([]), np.array([1, 2])):
        with pytest.raises(ValueError, match="spectrum"):
            echoic.entropy_rate(wrong)


@pytest.mark.slow
def test_parts_of_spectra_are_seen_from_any_result(x64):
    """Three exponents log 1.2, log 1.1, log 0.01 have dimension 2.06; two of them do not tell."""
    factors = jnp.array([1.2, 1.1, 0.01])
    step, settings = (lambda h, _: factors * h), {"state": jnp.zeros(3), "steps": 80, "key": KEY}
    exact = 2 + math.log(1.2 * 1.1) / -math.log(0.01)

    def spectrum(k):
        return echoic.lyapunov_spectrum(step, num_exponents=k, **settings)

    def ensemble(k):
        return echoic.lyapunov_ensemble([step, step], num_exponents=k, **settings)

    def covariant(k):
        return echoic.covariant_vectors(step, num_exponents=k, **settings)

    for measure in (spectrum, ensemble, covariant):
        with pytest.raises(ValueError, match="2 exponents are not enough"):
            echoic.kaplan_yorke_dimension(measure(2))
        with pytest.raises(ValueError, match="1 exponents are not enough"):
            echoic.entropy_rate(measure(1))
        assert float(echoic.kaplan_yorke_dimension(measure(3)).value) == pytest.approx(exact)
        assert float(echoic.entropy_rate(measure(3)).value) == pytest.approx(math.log(1.32))


@pytest.mark.slow
def test_henon_map(x64):
    """Dimension 1.258 (from the published exponents 0.4192, -1.6232), entropy lambda_1; the errors
    are known in closed form, since the exponents add up to log 0.3 exactly."""

    def henon(h, _):
        return jnp.array([1 - 1.4 * h[0] ** 2 + h[1], 0.3 * h[0]])

    found = echoic.lyapunov_until(henon, state=jnp.full(2, 0.1), tolerance=2e-3, key=KEY)
    assert found.settings["reached"]
    assert float(found.standard_error[0]) <= 2e-3
    dimension, entropy = echoic.kaplan_yorke_dimension(found), echoic.entropy_rate(found)
    assert abs(float(dimension.value) - (1 + 0.4192 / 1.6232)) < 4 * float(dimension.standard_error)
    first, second, error = *np.asarray(found.value), float(found.standard_error[0])
    exact = abs(math.log(0.3)) / second**2 * error
    assert float(dimension.standard_error) == pytest.approx(exact, rel=1e-2)
    assert float(entropy.value) == pytest.approx(first)
    assert float(entropy.standard_error) == pytest.approx(error, rel=1e-2)
    again = echoic.lyapunov_until(
        henon, state=jnp.full(2, 0.1), tolerance=1.5e-3, key=KEY, resume=found
    )
    assert again.settings["steps"] > found.settings["steps"]
    assert float(again.standard_error[0]) <= 1.5e-3


@pytest.mark.slow
def test_logistic_map_until_its_error_is_small(x64):
    found = echoic.lyapunov_until(
        lambda h, _: 4 * h * (1 - h), state=jnp.array([0.3]), tolerance=2e-3, chunk=500, key=KEY
    )
    assert abs(float(found.value[0]) - math.log(2)) < 4 * 2e-3
    assert float(echoic.kaplan_yorke_dimension(found).value) == 1


# Runs.


@pytest.mark.slow
@pytest.mark.parametrize("family", [Elman, GRU, LSTM])
def test_resumed_is_uninterrupted(family, x64):
    """A driven run in chunks, broken off and gone on with, is the run in one go."""
    cell, inputs = family(1, 4, key=jr.key(1), dtype=jnp.float64), jr.normal(jr.key(2), (260, 1))
    settings = {"tolerance": 0.0, "chunk": 80, "key": KEY}
    first = echoic.lyapunov_until(cell, inputs[:100], burn_in=20, **settings)
    second = echoic.lyapunov_until(cell, inputs[100:], resume=first, **settings)
    whole = echoic.lyapunov_spectrum(cell, inputs, burn_in=20, key=KEY)
    assert second.settings["steps"] == 240
    np.testing.assert_allclose(second.value, whole.value, atol=1e-8)
    np.testing.assert_allclose(
        second.details["final_state"], whole.details["final_state"], atol=1e-8
    )
    from_the_start = echoic.lyapunov_until(cell, inputs[100:], burn_in=0, **settings)  # mutant
    assert np.max(np.abs(from_the_start.value - whole.value)) > 1e-6


@pytest.mark.slow
def test_chain_and_not_a_number_and_single_precision(x64):
    chain = jnp.asarray(np.diag(np.full(5, 1.02), -1))
    found = echoic.lyapunov_until(
        lambda h, _: chain @ h, state=jnp.ones(6), tolerance=1e-3, chunk=40, key=KEY
    )
    assert bool(jnp.all(found.value == -jnp.inf))
    assert Status.SINGULAR in found.statuses
    assert float(echoic.kaplan_yorke_dimension(found).value) == 0
    assert float(echoic.entropy_rate(found).value) == 0

    grow = {"state": jnp.ones(1), "tolerance": 1e-3, "chunk": 400, "burn_in": 0, "key": KEY}
    with pytest.raises(UntrustedError, match="finite"):
        echoic.lyapunov_until(lambda h, _: 9 * h**2, **grow)
    lost = echoic.lyapunov_until(lambda h, _: 9 * h**2, throw=False, **grow)
    assert bool(jnp.all(jnp.isnan(lost.value)))
    assert np.isnan(float(echoic.kaplan_yorke_dimension(lost).value))
    assert not echoic.lyapunov_convergence(lost).converged

    single = echoic.lyapunov_until(
        lambda h, _: h * jnp.array([0.9, 0.5], jnp.float32),
        state=jnp.ones(2, jnp.float32),
        tolerance=1e-4,
        chunk=40,
        key=KEY,
    )
    assert single.value.dtype == jnp.float32
    np.testing.assert_allclose(single.value, np.log([0.9, 0.5]), atol=1e-5)


@pytest.mark.slow
def test_networks_from_keys_and_not_a_number(x64):
    def network(key):
        return Elman(1, 1, key=key, dtype=jnp.float64)  # one unit: no frame to settle

    inputs = jr.normal(jr.key(2), (2, 100, 1))
    settings = {"key": KEY, "burn_in": 20, "num_exponents": 1}
    found = echoic.lyapunov_ensemble(network, inputs, seeds=3, **settings)
    keys = jr.split(jr.split(KEY)[0], 3)
    alone = [echoic.lyapunov_spectrum(network(k), inputs, **settings).value[0] for k in keys]
    np.testing.assert_allclose(found.value, np.mean(alone), atol=1e-9)
    assert found.details["each"].shape == (3, 2, 1)

    def over_seeds(key):
        return echoic.lyapunov_spectrum(network(key), inputs, **settings).value

    np.testing.assert_allclose(jax.jit(jax.vmap(over_seeds))(keys)[:, 0], alone, atol=1e-9)
    broken = inputs.at[0, 50].set(jnp.nan)
    for measure in (
        lambda **k: echoic.lyapunov_ensemble(network, broken, seeds=1, **k),
        lambda **k: echoic.driven_minus_autonomous(network(KEY), broken, **k),
        lambda **k: echoic.finite_time_exponents(network(KEY), broken[0], window=4, **k),
    ):
        lost = measure(throw=False, **settings)
        assert bool(jnp.all(jnp.isnan(lost.value)))
        assert Status.NOT_FINITE in lost.statuses


@pytest.mark.slow
def test_input_takes_chaos_away(x64):
    """A network that is chaotic at rest; a strong input makes it forget where it began."""
    weight = 2.5 * jr.normal(jr.key(8), (40, 40)) / 40**0.5
    source = 4 * jr.normal(jr.key(9), (40,))

    def step(h, x):
        return jnp.tanh(weight @ h + source * x)

    found = echoic.driven_minus_autonomous(
        step, jr.normal(jr.key(10), (600,)), state=jnp.full(40, 0.1), num_exponents=1, key=KEY
    )
    assert float(found.details["autonomous"][0]) > 0.1
    assert float(found.details["driven"][0]) < -0.1


@pytest.mark.slow
def test_a_resumed_run_keeps_its_number_of_exponents(x64):
    settings = {"state": jnp.ones(3), "steps": 20, "key": KEY}
    step = lambda h, _: jnp.array([0.9, 0.5, 0.1]) * h  # noqa: E731
    first = echoic.lyapunov_spectrum(step, num_exponents=2, **settings)
    for wrong in (1, 3):
        with pytest.raises(ValueError, match=f"num_exponents must be 2.*got {wrong}"):
            echoic.lyapunov_spectrum(step, num_exponents=wrong, resume=first, **settings)
    for right in (None, 2):
        again = echoic.lyapunov_spectrum(step, num_exponents=right, resume=first, **settings)
        assert again.value.shape == (2,)


def test_refusals():
    step, state = (lambda h, _: h), jnp.ones(1)
    with pytest.raises(ValueError, match="tolerance"):
        echoic.lyapunov_until(step, state=state, tolerance=-1.0, key=KEY)
    with pytest.raises(ValueError, match="cannot be traced"):
        jax.jit(lambda s: echoic.lyapunov_until(step, state=s, tolerance=1.0, key=KEY).value)(state)
    with pytest.raises(ValueError, match="lyapunov_spectrum"):
        echoic.join_runs(Estimate(jnp.ones(1)))
    with pytest.raises(ValueError, match="at least one"):
        echoic.join_runs()
    with pytest.raises(ValueError, match="agree"):
        echoic.join_runs(run_of(np.ones((1, 4, 1))), run_of(np.ones((1, 4, 2))))
    with pytest.raises(ValueError, match="seeds"):
        echoic.lyapunov_ensemble(lambda key: step, state=state, key=KEY)
    with pytest.raises(ValueError, match="inputs"):
        echoic.driven_minus_autonomous(step, None, state=state, key=KEY)
    with pytest.raises(ValueError, match="steps"):
        echoic.finite_time_exponents(step, state=state, window=4, key=KEY)
    with pytest.raises(ValueError, match="jacobians"):
        echoic.lyapunov_from_jacobians(np.ones((3, 2)), key=KEY)
