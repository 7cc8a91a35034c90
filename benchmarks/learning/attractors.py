"""Sine generator and temporal order: learning that needs attractors (Ribeiro et al. 2020)."""

import math
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import optax

import echoic
from benchmarks.learning.table import Experiment, Results
from echoic import cells, tasks, theory

FREQUENCIES = 5


def clipped(cell: Any) -> Any:
    """The LSTM with its weights brought into the set where contraction is proved."""
    weights = theory.clip_stable_lstm(cell.recurrent, cell.input, cell.bias)
    return eqx.tree_at(lambda c: (c.recurrent, c.input, c.bias), cell, weights)


def contracting(rule: optax.GradientTransformation) -> optax.GradientTransformation:
    """After each update the first cell's weights are clipped."""

    def update(gradient, state, weights=None):
        updates, state = rule.update(gradient, state, weights)
        new = optax.apply_updates(weights, updates)
        new = eqx.tree_at(lambda net: net.cells[0], new, clipped(new.cells[0]))  # pyright: ignore
        return jtu.tree_map(lambda a, b: a - b, new, weights), state

    return optax.GradientTransformation(rule.init, update)


def adam(rate: float, stable: bool, *, summed: int = 1, decay_at: int | None = None) -> Any:
    """Adam under gradients of ``summed`` times the mean loss, of norm 0.25 at most.

    From ``decay_at`` on its rate is a tenth.
    """
    schedule = rate
    if decay_at is not None:
        schedule = optax.piecewise_constant_schedule(rate, {decay_at: 0.1})
    clip = optax.clip_by_global_norm(0.25)
    rule = optax.chain(optax.scale(summed), clip, optax.adam(schedule))
    return contracting(rule) if stable else rule


def trained(task: Any, units: int, steps: int, batch: int, rule: Any, stable: bool, seeds: int):
    """LSTMs, the contracting ones if ``stable``."""

    def build(key):
        cell = cells.LSTM(task.input_size, units, key=key)
        return clipped(cell) if stable else cell

    return echoic.train(
        build,
        task,
        steps=steps,
        batch=batch,
        seeds=seeds,
        every=max(1, steps // 30),
        optimiser=rule,
        key=jax.random.key(0),
    )


def sine(stable: bool, seeds: int = 5, *, steps: int = 3000) -> dict:
    """Loss on the grid, and the orbits that are left after a long run from two states."""
    task = tasks.SineGrid(100, lowest=math.pi / 8, highest=math.pi / 4, num_frequencies=FREQUENCIES)
    rule = adam(1e-2, stable, decay_at=int(0.6 * steps))
    run = trained(task, 32, steps, FREQUENCIES, rule, stable, seeds)
    widths, errors = zip(*(orbits(net, task) for net in run.last), strict=True)
    last = [run.history.curve("train_loss", m)[1][-1] for m in range(seeds)]
    return {"loss": last, "width": np.array(widths), "frequency error": np.array(errors)}


def orbits(network: Any, task: Any) -> tuple[np.ndarray, float]:
    """Smallest and largest width of the outputs' orbits, and how far their frequencies are off."""
    omegas = np.asarray(task.train.inputs[:, 0, 0])
    inputs = jnp.broadcast_to(jnp.asarray(omegas)[:, None, None], (len(omegas), 800, 1))
    widths, errors = [], []
    for seed in (None, 1):
        state = jax.vmap(lambda _: network.initial_state())(inputs[:, 0])
        if seed is not None:
            leaves, tree = jtu.tree_flatten(state)
            keys = jax.random.split(jax.random.key(seed), len(leaves))
            drawn = [jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)]
            state = jtu.tree_unflatten(tree, drawn)
        outputs = network.predict(network.run(inputs, state=state).trajectory)[:, 500:, 0]
        widths.append(np.ptp(outputs, axis=1))
        spectrum = np.abs(np.fft.rfft(outputs - outputs.mean(1, keepdims=True), axis=1))
        found = 2 * np.pi * spectrum.argmax(1) / outputs.shape[1]
        errors.append(np.abs(found - omegas))
    return np.array([np.min(widths), np.max(widths)]), float(np.max(errors))


def order(stable: bool, seeds: int = 5) -> dict:
    """Temporal order over 60 steps, relevant symbols in [5, 10) and [20, 25).

    The loss is summed over a batch, which Adam is not indifferent to: through forty forgetful
    steps the gradients of the signals' weights begin at 1e-11 of the mean, far below its epsilon of
    1e-8, and three seeds of five do not find the rule in 5,000 updates.
    """
    batch = 100
    task = tasks.fixed(
        tasks.TemporalOrder(60, first_start=5, first_stop=10, second_start=20, second_stop=25),
        1000,
        key=jax.random.key(2),
    )
    rule = adam(3e-3, stable, summed=batch)
    run = trained(task, 50, 5000, batch, rule, stable, seeds)
    return {"test accuracy": run.test_accuracy, "best update": run.best_step}


def sine_verdicts(results: Results) -> dict[str, bool | None]:
    """The LSTM makes a limit cycle of every frequency, the contracting one cannot."""
    lstm, stable = (results[name] for name in ("LSTM", "contracting LSTM"))
    widths = np.array(lstm["width"])
    return {
        "LSTM: loss below 0.01 for every seed": max(lstm["loss"]) < 0.01,
        "LSTM: widths in 1.8 .. 2.1": bool(np.all((widths > 1.8) & (widths < 2.1))),
        "LSTM: frequencies within 0.021": max(lstm["frequency error"]) <= 0.021,
        "contracting: loss above 0.45": min(stable["loss"]) > 0.45,
        "contracting: widths below 1e-3": float(np.max(stable["width"])) < 1e-3,
    }


def order_verdicts(results: Results) -> dict[str, bool | None]:
    """The LSTM learns it, the contracting one forgets too fast."""
    return {
        "LSTM: accuracy 1 (0.995)": min(results["LSTM"]["test accuracy"]) > 0.995,
        "contracting: chance (below 0.35)": max(results["contracting LSTM"]["test accuracy"])
        < 0.35,
    }


EXPERIMENTS = {
    "sine": Experiment(
        "a sine of a given frequency needs a limit cycle",
        {"LSTM": partial(sine, False), "contracting LSTM": partial(sine, True)},
        sine_verdicts,
    ),
    "temporal_order": Experiment(
        "four-class temporal order over 60 steps",
        {"LSTM": partial(order, False), "contracting LSTM": partial(order, True)},
        order_verdicts,
    ),
}
