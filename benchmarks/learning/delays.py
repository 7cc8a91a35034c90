"""Copy and addition with normal and non-normal initialisations (Orhan & Pitkow 2020), reduced."""

import math
from functools import partial
from typing import Any

import jax
import numpy as np

import echoic
from benchmarks.learning.table import Experiment, Results
from echoic import cells, init, tasks
from echoic.training import Optimiser

UNITS = 100
RATES = (1e-4, 3e-4, 8e-4)


def network(kind: str, activation: str, units: int, channels: int) -> Any:
    """An Elman network by the name of its recurrent matrix; input weights as in the paper."""
    recurrent: Any = {
        "chain 1.02": init.chain(1.02),
        "chain 1.0": init.chain(1.0),
        "feedback 0.04": init.feedback_chain(0.99, 0.04),
        "feedback 0.02": init.feedback_chain(0.99, 0.02),
        "orthogonal 1.0": init.orthogonal(1.0),
        "identity 1.0": init.identity(1.0),
        "identity 0.99": init.identity(0.99),
    }[kind]
    entrance = init.source(0.9) if "orthogonal" not in kind and "identity" not in kind else None
    return lambda key: cells.Elman(
        channels,
        units,
        activation=activation,
        recurrent=recurrent,
        input=entrance or init.normal(0.9 / math.sqrt(units)),
        bias=init.zeros(),
        key=key,
    )


def best_of_rates(build: Any, task: Any, steps: int, seeds: int, baseline: float) -> dict[str, Any]:
    """The median final loss over seeds, as a share of the baseline, at the best learning rate.

    The final loss is the mean of the training loss over the last 100 updates, on fresh sequences.
    """
    by_rate = {}
    for rate in RATES:
        run = echoic.train(
            build,
            task,
            steps=steps,
            batch=20,
            seeds=seeds,
            every=100,
            optimiser=Optimiser("rmsprop", learning_rate=rate, clip=10.0),
            key=jax.random.key(0),
        )
        last = [run.history.curve("train_loss", member)[1][-1] for member in range(seeds)]
        by_rate[rate] = np.nan_to_num(np.array(last) / baseline, nan=np.inf)
    rate = min(by_rate, key=lambda rate: np.median(by_rate[rate]))
    return {"median": float(np.median(by_rate[rate])), "rate": rate, "runs": by_rate[rate]}


def copy(kind: str, seeds: int = 5, *, total_length: int = 80, units: int = UNITS) -> dict:
    """Copy with fresh sequences, ELU."""
    task = tasks.Copy(total_length=total_length)
    build = network(kind, "elu", units, task.input_size)
    return best_of_rates(build, task, 1500, seeds, task.chance)


def adding(kind: str, seeds: int = 5) -> dict:
    """Addition of two numbers over 100 steps, ReLU."""
    task = tasks.Adding(100)
    return best_of_rates(
        network(kind, "relu", UNITS, task.input_size), task, 2000, seeds, task.chance
    )


def copy_verdicts(results: Results) -> dict[str, bool | None]:
    """Chain below half of the baseline, normal ones above 0.8 of it."""
    chain = min(results[name]["median"] for name in ("chain 1.02", "chain 1.0"))
    normal = {n: results[n]["median"] for n in ("orthogonal 1.0", "identity 1.0", "identity 0.99")}
    return {
        f"chain {chain:.2f} of the baseline, below 0.5": chain < 0.5,
        **{f"{n}: {m:.2f}, above 0.8": m > 0.8 for n, m in normal.items()},
    }


def ordering(results: Results) -> dict[str, bool | None]:
    """Who wins."""
    ranked = sorted(results, key=lambda name: results[name]["median"])
    return {"order: " + ", ".join(f"{n} {results[n]['median']:.2f}" for n in ranked): None}


COPIED = (
    *("chain 1.02", "chain 1.0", "feedback 0.04", "orthogonal 1.0"),
    *("identity 1.0", "identity 0.99"),
)
ADDED = ("chain 1.02", "feedback 0.02", "orthogonal 1.0", "identity 1.0")

EXPERIMENTS = {
    "copy": Experiment(
        "copy of 10 symbols, 80 steps in all, 100 units: final loss over chance",
        {kind: partial(copy, kind) for kind in COPIED},
        copy_verdicts,
    ),
    "copy_beyond": Experiment(
        "copy with more steps (100) than units (25): final loss over chance",
        {kind: partial(copy, kind, total_length=100, units=25) for kind in COPIED[:4]},
        ordering,
    ),
    "adding": Experiment(
        "addition over 100 steps, 100 units: final loss over chance",
        {kind: partial(adding, kind) for kind in ADDED},
        ordering,
    ),
}
