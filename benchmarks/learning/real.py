"""Real data: permuted digits, text, an electronic oscillator, speech; equal budgets."""

import math
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

import echoic
from benchmarks.learning.table import Experiment, Results
from echoic import tasks
from echoic.diagnosis.networks import Kind, build_network
from echoic.training import Optimiser


@lru_cache
def digits() -> tasks.Pixels:
    """The official test images but for 1,000 to train on, 5,000 training images to test on."""
    return tasks.Pixels("mnist", pixels_per_step=4, permutation=0)


def permuted_digits(cell: str, init: str, seeds: int = 3, *, steps: int = 800) -> dict:
    """Accuracy of 128 units after a fixed budget; prescriptions are for all 196 steps."""
    task = digits()
    recipe = Kind(cell, init).recipe(task, 128, 196)
    run = echoic.train(
        lambda key: build_network(recipe, task, hidden_size=128, key=key),
        task,
        steps=steps,
        batch=64,
        seeds=seeds,
        every=steps // 10,
        optimiser=Optimiser(learning_rate=1e-3, clip=1.0),
        key=jax.random.key(0),
    )
    return accuracies(run) | {"set": str(recipe.settings())}


def accuracies(run: Any) -> dict:
    return {
        "validation curve, seed 0": run.history.curve("accuracy", 0)[1],
        "test accuracy": run.test_accuracy,
        "median": float(np.median(run.test_accuracy)),
        "ended": ", ".join(sorted({outcome.kind for outcome in run.outcomes})),
    }


@lru_cache
def shakespeare() -> tasks.Text:
    return tasks.Text("tinyshakespeare", segment_length=100)


def characters(cell: str, units: int, seeds: int = 3, *, steps: int = 1200) -> dict:
    """Bits per character of a one-layer network at equal parameters."""
    task = shakespeare()
    recipe = Kind(cell, "default").recipe(task, units, 100)
    run = echoic.train(
        lambda key: build_network(recipe, task, hidden_size=units, key=key),
        task,
        steps=steps,
        batch=64,
        seeds=seeds,
        every=steps // 10,
        optimiser=Optimiser(learning_rate=3e-3, clip=1.0, schedule="cosine"),
        key=jax.random.key(0),
    )
    bits = run.test_loss / math.log(2)
    return {"units": units, "bits per character": bits, "median": float(np.median(bits))}


def silverbox(cell: str, seeds: int = 3, *, steps: int = 3000, part: str = "multisine") -> dict:
    """Simulation error of 32 units in millivolts."""
    task = tasks.SystemIdentification("silverbox", length=400, burn_in=50, test_part=part)
    recipe = Kind(cell, "default").recipe(task, 32, 100)
    run = echoic.train(
        lambda key: build_network(recipe, task, hidden_size=32, key=key),
        task,
        steps=steps,
        batch=32,
        seeds=seeds,
        every=steps // 10,
        optimiser=Optimiser(learning_rate=5e-3, clip=1.0, schedule="cosine"),
        key=jax.random.key(0),
    )
    millivolts = np.array([1e3 * task.scales[1].rmse(float(loss)) for loss in run.test_loss])
    return {"rmse in mV": millivolts, "median": float(np.median(millivolts))}


@lru_cache
def spoken() -> tasks.SpokenDigits:
    return tasks.SpokenDigits(decimation=16, length=400)


def speech(cell: str, init: str, seeds: int = 3, *, steps: int = 3000) -> dict:
    """Accuracy on takes 0 to 4 of raw waveforms at 500 Hz, their last 400 samples."""
    task = spoken()
    recipe = Kind(cell, init).recipe(task, 64, 200)
    run = echoic.train(
        lambda key: build_network(recipe, task, hidden_size=64, key=key),
        task,
        steps=steps,
        batch=64,
        seeds=seeds,
        every=steps // 10,
        optimiser=Optimiser(learning_rate=2e-3, clip=1.0, schedule="cosine"),
        key=jax.random.key(0),
    )
    return accuracies(run)


def ranking(results: Results, *, errors: bool = False) -> dict[str, bool | None]:
    """The best first, by the median: of accuracies, or of ``errors``."""
    ranked = sorted(results, key=lambda name: results[name]["median"], reverse=not errors)
    return {"best first: " + ", ".join(f"{n} {results[n]['median']:.4g}" for n in ranked): None}


DIGIT_NETS = (
    ("elman", "default"),
    ("elman", "design/orthogonal"),
    ("elman", "design/identity"),
    ("elman", "design/weakly_coupled"),
    ("residual", "design/heterogeneous"),
    ("residual", "design/rotation"),
    ("lstm", "default"),
    ("lstm", "design/chrono"),
)
# The most units with which cell and readout have 60,000 parameters.
TEXT_NETS = {"elman": 187, "minimal_rnn": 143, "gru": 104, "lstm": 88}
SPOKEN_NETS = (
    ("elman", "default"),
    ("gru", "default"),
    ("lstm", "chrono"),
    ("residual", "heterogeneous"),
)

EXPERIMENTS = {
    "permuted_digits": Experiment(
        "MNIST, 4 pixels a step, one permutation, 128 units, 800 updates of 64"
        " (9,000 images to train on, 5,000 others to test on: not the usual split)",
        {f"{c}, {i}": partial(permuted_digits, c, i) for c, i in DIGIT_NETS},
        ranking,
    ),
    "characters": Experiment(
        "tinyshakespeare, next character, about 60,000 parameters each, 1,200 updates",
        {c: partial(characters, c, n) for c, n in TEXT_NETS.items()},
        partial(ranking, errors=True),
    ),
    "silverbox": Experiment(
        "Silverbox, simulation error on the multisine test, 32 units, 3,000 updates",
        {c: partial(silverbox, c) for c in ("lstm", "gru", "elman")}
        | {"lstm, arrow": partial(silverbox, "lstm", part="arrow")},
        partial(ranking, errors=True),
    ),
    "spoken_digits": Experiment(
        "spoken digits from the raw waveform at 500 Hz, 400 steps, 64 units, 3,000 updates",
        {f"{c}, {i}": partial(speech, c, i) for c, i in SPOKEN_NETS},
        ranking,
    ),
}
