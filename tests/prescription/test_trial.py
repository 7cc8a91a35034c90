"""Prescriptions built and measured: the promise is kept, and a broken one is told."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from echoic import init
from echoic.prescription.design import design
from echoic.prescription.families import FAMILIES
from echoic.prescription.recipe import Recipe
from echoic.prescription.trial import Trial, trial

NOISE = np.random.default_rng(0).normal(size=2000)
KEY = jax.random.key(0)


def with_argument(prescription, name, value):
    arguments = dict(prescription.recipe.arguments) | {name: value}
    return dataclasses.replace(prescription, recipe=Recipe(prescription.recipe.cell, arguments))


@pytest.mark.slow
def test_an_elman_network_keeps_its_promise_and_a_wrong_one_is_caught():
    (found,) = design("elman/identity", NOISE, horizon=30, hidden_size=32)
    kept = trial(found, NOISE, key=KEY, seeds=2, starts=4)
    assert kept.kept == 1
    assert not kept.disagrees
    assert "disagree" not in str(kept)
    # Power for amplitude: half of the horizon.
    gain = found.recipe.arguments["recurrent"].gain
    halved = trial(
        with_argument(found, "recurrent", init.identity(gain**2)), NOISE, key=KEY, seeds=2, starts=4
    )
    assert halved.kept == 0
    assert halved.disagrees
    assert "disagree beyond the stated error" in str(halved)
    # The input as large as it comes: saturation ends the memory.
    loud = trial(with_argument(found, "input", init.normal(1.0)), NOISE, key=KEY, seeds=2, starts=4)
    assert loud.kept == 0


@pytest.mark.slow
def test_a_gated_network_keeps_its_promise():
    (found,) = design("minimal_rnn/chrono", NOISE, horizon=30, hidden_size=32)
    kept = trial(found, NOISE, key=KEY, seeds=2, starts=4)
    assert kept.kept == 1
    span = found.recipe.arguments["bias"].horizon
    # Chrono biases up to the horizon itself, as one would set them without a theory.
    assert span < 0.6 * 30
    naive = trial(
        with_argument(found, "bias", init.chrono(30.0)), NOISE, key=KEY, seeds=2, starts=4
    )
    assert np.median(naive.ratios) > 1.3


def test_inputs_of_another_size_are_refused():
    (found,) = design("linear/orthogonal", NOISE, horizon=20, hidden_size=16)
    with pytest.raises(ValueError, match="1 input channel"):
        trial(found, np.stack([NOISE, NOISE[::-1]], 1), key=KEY)


def test_what_cannot_be_measured_is_not_judged():
    (found,) = design("elman/identity", NOISE[:90], horizon=80, hidden_size=32)
    curve = dataclasses.replace(found.curve, origin="measured", horizon=None)
    unknown = Trial(found, (curve,))
    assert unknown.disagrees is None
    assert unknown.kept == 0
    assert "too short" in str(unknown)


def text(steps=6000, symbols=12):
    rng = np.random.default_rng(3)
    moves = np.cumsum(rng.dirichlet(np.full(symbols, 0.3), size=symbols), axis=1)
    states = np.zeros(steps, int)
    for t in range(1, steps):
        states[t] = min(np.searchsorted(moves[states[t - 1]], rng.uniform()), symbols - 1)
    return np.eye(symbols)[states]


SLOW = [
    (f"{family}/{variant}", source)
    for family, found in FAMILIES.items()
    for variant in found
    for source in ("white", "text")
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "source"), SLOW)
def test_feasible_prescriptions_are_kept(name, source):
    """Nine networks in ten, over families, signals and draws; here each by itself."""
    inputs = np.random.default_rng(5).normal(size=6000) if source == "white" else text()
    horizon = 20 if "gaussian" in name else 40
    size = 128 if "gaussian" in name else 64
    (found,) = design(name, inputs, horizon=horizon, hidden_size=size)
    assert found.feasible
    kept = trial(found, inputs, key=KEY, seeds=1 if "chain" in name else 3, starts=16)
    assert kept.kept >= 2 / 3
    assert math.exp(abs(kept.discrepancy)) < (1.5 if "gaussian" in name else 1.2)
