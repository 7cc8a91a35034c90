"""Non-normality that training brings about (Orhan & Pitkow 2020), on addition over 40 steps."""

import math
from functools import partial
from typing import Any

import jax
import numpy as np
import scipy.stats

import echoic
from benchmarks.learning.table import Experiment, Results
from echoic import cells, init, tasks
from echoic.training import Optimiser

UNITS = 60


def trained(recurrent: Any, rate: float, seeds: int = 20) -> dict:
    """Henrici index after training, and the weight ahead minus behind in order of peak times."""
    task = tasks.Adding(40)

    def build(key):
        return cells.Elman(
            2,
            UNITS,
            activation="relu",
            recurrent=recurrent,
            input=init.normal(0.9 / math.sqrt(UNITS)),
            bias=init.zeros(),
            key=key,
        )

    run = echoic.train(
        build,
        task,
        steps=5000,
        batch=20,
        seeds=seeds,
        every=100,
        optimiser=Optimiser("rmsprop", learning_rate=rate, clip=10.0),
        key=jax.random.key(0),
    )
    indices, leans = [], []
    for network in run.last:
        with jax.enable_x64(True):
            cell = echoic.core.cell.cast(network.cells[0], "float64")
            indices.append(float(echoic.henrici_departure(cell.recurrent).value))
            leans.append(forward_minus_backward(cell))
    last = [run.history.curve("train_loss", m)[1][-1] for m in range(seeds)]
    return {"loss over chance": np.array(last) * 6, "henrici": indices, "ahead minus behind": leans}


def forward_minus_backward(cell: Any) -> float:
    """Mean weight from earlier to later peaking units, 1 to 5 places apart, less the reverse."""
    found = echoic.chain_motif(cell, key=jax.random.key(1))
    offsets, profile = np.asarray(found.details["order_difference"]), np.asarray(found.value)
    ahead = profile[(offsets >= 1) & (offsets <= 5)].mean()
    behind = profile[(offsets <= -1) & (offsets >= -5)].mean()
    return float(ahead - behind)


def verdicts(results: Results) -> dict[str, bool | None]:
    """Departure from normality in each successful network; more weight ahead, by a sign test."""
    said: dict[str, bool | None] = {}
    for name, result in results.items():
        good = np.array(result["loss over chance"]) < 0.5
        indices = np.array(result["henrici"])[good]
        leans = np.array(result["ahead minus behind"])[good]
        said[f"{name}: {good.sum()} of {good.size} successful"] = None
        said[f"{name}: Henrici index above 1 in each"] = bool(good.any() and np.all(indices > 1))
        ahead = int(np.sum(leans > 0))
        if not good.any():
            continue
        p = scipy.stats.binomtest(ahead, len(leans), alternative="greater").pvalue
        sentence = f"{name}: more weight ahead in {ahead} of {len(leans)}, p = {p:.3f}"
        said[sentence] = p < 0.05 if name == "orthogonal" else None
    return said


EXPERIMENTS = {
    "induced_nonnormality": Experiment(
        "training makes normal matrices non-normal, with a hidden chain",
        {
            "orthogonal": partial(trained, init.orthogonal(1.0), 3e-4),
            "identity": partial(trained, init.identity(1.0), 3e-4),
        },
        verdicts,
    ),
}
