"""Residual networks: spectral match, closeness to criticality, heterogeneity (relations only)."""

from functools import partial

import jax
import numpy as np

import echoic
from benchmarks.learning.table import Experiment, Results
from echoic import cells, init, tasks
from echoic.training import Optimiser

UNITS, COUPLING = 32, 0.1


def phase(residual, seeds: int = 5) -> dict:
    """Tell the sign of a wave of 28 steps under noise: final loss, mean of the last 20 updates."""
    return final_loss(residual, tasks.Phase(112, period=28), 200, 1e-2, seeds)


def addition(residual, seeds: int = 5) -> dict:
    """Addition over 30 steps: final loss."""
    return final_loss(residual, tasks.Adding(30), 1500, 5e-3, seeds)


def final_loss(residual, task, steps: int, rate: float, seeds: int) -> dict:
    """Mean training loss over the last 20 updates, by seed; diverged runs count as infinite."""

    def build(key):
        return cells.Residual(
            task.input_size,
            UNITS,
            residual=residual,
            coupling=COUPLING,
            recurrent=init.gaussian(1.0),
            input=init.normal(1.0),
            bias=init.zeros(),
            key=key,
        )

    run = echoic.train(
        build,
        task,
        steps=steps,
        batch=50,
        seeds=seeds,
        every=20,
        optimiser=Optimiser(learning_rate=rate, clip=1.0),
        key=jax.random.key(0),
    )
    losses = [run.history.curve("train_loss", member)[1][-1] for member in range(seeds)]
    sound = [outcome.kind != "diverged" for outcome in run.outcomes]
    losses = np.where(sound, losses, np.inf)
    return {"loss": losses, "median": float(np.median(losses))}


def worst(results: Results, name: str) -> float:
    return max(results[name]["loss"])


def best(results: Results, name: str) -> float:
    return min(results[name]["loss"])


def match(results: Results) -> dict[str, bool | None]:
    """K6 of the notes: a residual that turns with the signal learns it, for every seed."""
    return {
        "period 28 below 0.03 for every seed": worst(results, "period 28") < 0.03,
        "no rotation above 0.2": best(results, "no rotation") > 0.2,
        "period 14 above 0.2": best(results, "period 14") > 0.2,
        "28 below 20 and 56 for every seed": worst(results, "period 28")
        < min(best(results, "period 20"), best(results, "period 56")),
    }


def criticality(results: Results) -> dict[str, bool | None]:
    """K7: near the critical modulus is best."""
    near = max(worst(results, name) for name in ("0.9", "0.98", "1.0"))
    middle = results["1.0"]["median"]
    return {
        "0.9 to 1.0 below 0.03": near < 0.03,
        "1.02 more than twice 1.0 (medians)": results["1.02"]["median"] > 2 * middle,
        "1.1 diverges (above 1)": best(results, "1.1") > 1,
        "0.5 worse than 0.9 (medians)": results["0.5"]["median"] > results["0.9"]["median"],
    }


def supercritical(results: Results) -> dict[str, bool | None]:
    """K8: a supercritical residual hurts addition."""
    others = ("0.8", "0.95", "1.0")
    return {
        "1.1 above 0.8, 0.95 and 1.0 (medians)": all(
            results["1.1"]["median"] > results[name]["median"] for name in others
        ),
        "all medians below chance (0.1667)": all(r["median"] < 1 / 6 for r in results.values()),
    }


PERIODS = (7, 14, 20, 28, 40, 56)
EXPERIMENTS = {
    "spectral_match": Experiment(
        "a rotation tuned to the signal's period learns the phase task",
        {"no rotation": partial(phase, init.identity(1.0))}
        | {f"period {p}": partial(phase, init.rotation(1.0, period=p)) for p in PERIODS},
        match,
    ),
    "criticality": Experiment(
        "moduli near 1 are best, beyond 1 training suffers",
        {
            str(modulus): partial(phase, init.rotation(modulus, period=28))
            for modulus in (0.5, 0.9, 0.98, 1.0, 1.02, 1.1)
        },
        criticality,
    ),
    "supercritical_adding": Experiment(
        "a supercritical residual hurts addition over 30 steps",
        {str(m): partial(addition, init.identity(m)) for m in (0.8, 0.95, 1.0, 1.1)},
        supercritical,
    ),
}
