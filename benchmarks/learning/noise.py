"""A prototype, then noise: the timescale of mean-field theory bounds what can be trained."""

from functools import partial

import jax

import echoic
from benchmarks.learning.table import Experiment, Results
from echoic import cells, init, tasks
from echoic.training import Optimiser

UNITS, VARIANCE = 100, 0.46
WEIGHT, INPUT = 6.88, 1.39
# The timescale xi of the theory at S = 0, by bias.
TIMESCALES = {2.0: 1.35, 4.0: 3.92, 5.5: 71.7}
LENGTHS = (5, 10, 20, 40, 80)


def minimal(bias: float, untied: bool, seeds: int = 3) -> dict:
    """Accuracy of a minimalRNN after 120 updates, by the number of noise steps."""

    def cell(key):
        return cells.MinimalRNN(
            UNITS,
            UNITS,
            activation="identity",
            recurrent=init.gaussian(WEIGHT),
            input=init.gaussian(INPUT),
            bias=init.constant(bias),
            embedding=init.orthogonal(1.0),
            key=key,
        )

    found = {}
    for length in LENGTHS:
        task = tasks.DigitThenNoise(length, size=UNITS, variance=VARIANCE)

        def build(key, length=length, task=task):
            if not untied:
                return cell(key)
            cells_key, readout_key = jax.random.split(key)
            readout = cells.Readout(UNITS, task.output_size, key=readout_key)
            return cells.Untied(cell, length + 1, readout=readout, key=cells_key)

        run = echoic.train(
            build,
            task,
            steps=120,
            batch=50,
            seeds=seeds,
            every=60,
            validation_size=500,
            optimiser=Optimiser(learning_rate=1e-3),
            key=jax.random.key(0),
        )
        found[f"T={length}"] = run.test_accuracy
    return found


def verdicts(results: Results) -> dict[str, bool | None]:
    """Trained where T <= 3 xi, not trained where T >= 12 xi; of tied weights it is reported."""
    said: dict[str, bool | None] = {}
    for kind in ("untied", "tied"):
        inside, outside = [], []
        for bias, xi in TIMESCALES.items():
            for length in LENGTHS:
                accuracy = results[f"{kind}, bias {bias}"][f"T={length}"]
                if length <= 3 * xi:
                    inside += accuracy
                if length >= 12 * xi:
                    outside += accuracy
        within = f"{kind}: smallest accuracy at T <= 3 xi {min(inside):.2f}, at least 0.9"
        beyond = f"{kind}: largest accuracy at T >= 12 xi {max(outside):.2f}, at most 0.3"
        said[within] = min(inside) >= 0.9 if kind == "untied" else None
        said[beyond] = max(outside) <= 0.3 if kind == "untied" else None
    return said


EXPERIMENTS = {
    "digit_then_noise": Experiment(
        "the timescale bounds the trainable length",
        {
            f"{kind}, bias {bias}": partial(minimal, bias, kind == "untied")
            for kind in ("untied", "tied")
            for bias in TIMESCALES
        },
        verdicts,
    ),
}
