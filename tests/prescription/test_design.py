"""Prescriptions: what is asked for, what is answered, and that wrong questions get a sentence."""

import math

import jax
import numpy as np
import pytest
from scipy.optimize import brentq

import echoic
from echoic import init
from echoic.prescription.design import chosen, design
from echoic.prescription.families import FAMILIES
from echoic.prescription.families.gaussian_matrices import reachable, scatter
from echoic.prescription.statistics import input_statistics

NOISE = np.random.default_rng(0).normal(size=3000)


def one_hot(steps=3000, symbols=5):
    drawn = np.random.default_rng(1).choice(symbols, steps, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    return np.eye(symbols)[drawn]


# Statistics


def test_leaky_energy_of_an_autoregressive_signal():
    rng, decay, keep = np.random.default_rng(2), 0.9, 0.7
    xs = np.zeros(200_000)
    for t in range(1, len(xs)):
        xs[t] = keep * xs[t - 1] + rng.normal()
    statistics = input_statistics(xs, horizon=50)
    exact = (1 + decay * keep) / (1 - decay * keep) / (1 - decay**2)
    assert statistics.leaky_energy(decay) == pytest.approx(exact, rel=0.05)
    # Its spectrum peaks at angle zero, where the leaky integrator listens.
    assert statistics.resonant_energy(decay) == pytest.approx(exact, rel=0.05)
    white = 1 / (1 - decay**2)
    assert statistics.leaky_energy(decay) > 3 * white  # the mutant that takes the input for white


def test_a_mean_drives_leaky_integrators():
    xs, decay = one_hot(20_000), 0.98
    statistics = input_statistics(xs, horizon=50)
    p = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    exact = np.sum(p**2) / (1 - decay) ** 2 + np.sum(p * (1 - p)) / (1 - decay**2)
    assert statistics.leaky_energy(decay) == pytest.approx(exact, rel=0.05)
    assert statistics.energy == 1
    assert statistics.shared == pytest.approx(np.sum(p**2), abs=0.02)
    centred = np.sum(p * (1 - p)) / (1 - decay**2)
    assert statistics.leaky_energy(decay) > 5 * centred  # the mutant that drops the mean


def test_the_strongest_rhythm():
    xs = np.sin(2 * np.pi * np.arange(3000) / 28) + 0.3 * NOISE
    assert input_statistics(xs, horizon=50).dominant_period(200.0) == pytest.approx(28, rel=0.02)


# Answers in closed form


def test_gains_fall_to_the_threshold_at_the_horizon():
    for name in ("linear/orthogonal", "residual/one_time_constant", "residual/rotation"):
        (found,) = design(name, NOISE, horizon=40, hidden_size=32)
        assert found.feasible
        assert found.predicted_horizon == 40
        law = found.recipe.arguments.get("residual", found.recipe.arguments["recurrent"])
        gain = getattr(law, "modulus", getattr(law, "gain", None))
        assert 0.05 ** (1 / 40) <= gain < 0.05 ** (1 / 41)
        assert not 0.05 ** (1 / 40) <= gain**2 < 0.05 ** (1 / 41)  # power for amplitude
        exact = np.sum(gain ** (2.0 * np.arange(81)))
        assert found.noise_gain == pytest.approx(exact, rel=1e-9)
        assert found.log_gain == pytest.approx(40 * math.log(gain))


def test_chain_gain_solves_the_closed_form():
    (found,) = design("elman/chain", NOISE, horizon=40, hidden_size=64)
    exact = brentq(lambda a: 1 / np.sum(a ** (-2.0 * np.arange(41.5))) - 0.05, 1.001, 1.2)
    assert found.recipe.arguments["recurrent"].alpha == pytest.approx(exact, rel=2e-4)
    assert found.predicted_horizon == 40


def test_a_chain_that_settles_is_cut_to_length():
    (found,) = design("elman/chain", NOISE, horizon=120, hidden_size=200)
    assert (found.feasible, found.predicted_horizon, found.hidden_size) == (True, 120, 121)


def test_a_chain_ends_where_its_units_end():
    for found in design(["elman/chain", "elman/feedback_chain"], NOISE, horizon=64, hidden_size=40):
        assert not found.feasible
        assert "cannot pass lag" in found.reason
        assert found.predicted_horizon < 64
    (chain,) = design("elman/chain", NOISE, horizon=64, hidden_size=40)
    assert "lag 39" in chain.reason


def test_more_channels_than_units_cannot_enter_a_chain():
    xs = np.eye(40)[np.random.default_rng(0).integers(0, 40, 3000)]
    (found,) = design("elman/chain", xs, horizon=20, hidden_size=32)
    assert not found.feasible
    assert "40 channels" in found.reason


def test_heterogeneous_times_are_solved_in_the_mean_square():
    (found,) = design("residual/heterogeneous", NOISE, horizon=40, hidden_size=32)
    law = found.recipe.arguments["residual"]
    tau = np.exp(np.linspace(math.log(law.tau_min), math.log(law.tau_max), 200_001))
    assert np.sqrt(np.mean(np.exp(-2 * 40.5 / tau))) == pytest.approx(0.05, rel=1e-2)
    assert np.mean(np.exp(-40.5 / tau)) != pytest.approx(0.05, rel=0.2)  # mean instead of rms


def test_saturation_takes_a_thirtieth_of_the_horizon():
    (found,) = design("elman/identity", NOISE, horizon=40, hidden_size=32)
    law, gain = found.recipe.arguments["input"], found.recipe.arguments["recurrent"].gain
    variance = law.std**2 * input_statistics(NOISE, horizon=40).leaky_energy(gain)
    assert 40 * variance == pytest.approx(0.1, rel=0.1)
    assert gain * (1 - variance) == pytest.approx(0.05 ** (1 / 40.5), abs=1e-4)


def test_gaussian_matrices_scatter():
    short, long = (scatter(64, horizon, 100, 0.05) for horizon in (4, 40))
    assert short.share == 1
    assert long.share < 0.8
    # Wide networks: sigma^k. Narrow ones grow on the way, so that sigma must be smaller.
    assert short.log_sigma == pytest.approx(math.log(0.05) / 4.5, abs=0.02)
    assert long.log_sigma < math.log(0.05) / 40.5 - 0.01
    assert short.typical[4] > math.log(0.05) > short.typical[5]
    assert 4 <= reachable(32, 400, 0.05) < reachable(128, 400, 0.05) < 60


@pytest.mark.slow
def test_the_share_of_gaussian_draws_that_keep_to_a_horizon():
    size, horizon = 128, 34
    found = scatter(size, horizon, 60, 0.05)
    rng, last = np.random.default_rng(7), []
    for _ in range(60):
        matrix = rng.normal(size=(size, size)) / math.sqrt(size)
        power, gain = np.eye(size), []
        for _ in range(80):
            gain.append(np.linalg.norm(power) / math.sqrt(size))
            power = math.exp(found.log_sigma) * matrix @ power
        last.append(np.flatnonzero(np.array(gain) >= 0.05)[-1])
    ratio = np.array(last) / horizon
    kept = np.mean((ratio > 1 / 1.5) & (ratio < 1.5))
    assert abs(kept - found.share) < 4 * math.sqrt(0.2 * (1 / 60 + 1 / 48))
    assert np.exp(np.median(np.log(ratio))) == pytest.approx(1, rel=0.15)


def test_gaussian_weights_carry_no_long_horizon():
    for found in design(["elman/gaussian", "linear/gaussian"], NOISE, horizon=300, hidden_size=64):
        assert not found.feasible
        assert "nine draws in ten" in found.reason
        assert found.predicted_horizon < 100


# The face


def test_the_story_of_the_readme():
    better = echoic.design("minimal_rnn", NOISE, horizon=30, hidden_size=16)[0]
    assert better.feasible
    assert better.predicted_horizon == pytest.approx(30, abs=1)
    cell = better.build(jax.random.key(0))
    assert (cell.input_size, cell.hidden_size) == (1, 16)
    assert "echoic.cells.MinimalRNN" in better.snippets()["JAX"]
    assert "reaches 30 steps" in str(better)
    assert better.curve.origin == "predicted"
    assert better.regime == "edge"


def test_what_can_be_done_comes_first():
    names = ["linear", "elman/gaussian", "residual/one_time_constant"]
    found = design(names, NOISE, horizon=300, hidden_size=32)
    assert [p.feasible for p in found] == [True, True, False, False]
    steps = [round(math.log(p.noise_gain)) for p in found if p.feasible]
    assert steps == sorted(steps)


def test_names():
    assert len(chosen(None)) == sum(map(len, FAMILIES.values()))
    assert chosen("RNN") == chosen("elman")
    assert chosen(["minimalRNN", "minimal_rnn/chrono"]) == chosen("minimal_rnn")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"family": "lstn"}, "Did you mean 'lstm'"),
        ({"family": "elman/chian"}, "Did you mean 'chain'"),
        ({"family": "peephole_lstm"}, "no theory here inverts it"),
        ({"family": []}, "empty list"),
        ({"horizon": 0}, "horizon must lie in 1.."),
        ({"horizon": -5}, "horizon must lie in 1.."),
        ({"horizon": 4000}, "not more than the horizon"),
        ({"hidden_size": 1}, "hidden_size must lie in 2.."),
        ({"inputs": np.ones(3000)}, "constant"),
        ({"inputs": np.where(np.arange(3000) == 7, np.nan, NOISE)}, "NaN"),
        ({"inputs": np.zeros((0,))}, "empty"),
        ({"scale": "log"}, "scale must be"),
    ],
)
def test_wrong_questions_get_a_sentence(arguments, sentence):
    call = {"family": "linear", "inputs": NOISE, "horizon": 40} | arguments
    with pytest.raises(ValueError, match=sentence):
        design(call.pop("family"), call.pop("inputs"), **call)


def test_a_horizon_of_one_step():
    for found in design(
        ["linear/orthogonal", "residual", "elman"], NOISE, horizon=1, hidden_size=8
    ):
        assert found.predicted_horizon >= 1
        assert found.feasible or isinstance(found.recipe.arguments["recurrent"], init.gaussian)
