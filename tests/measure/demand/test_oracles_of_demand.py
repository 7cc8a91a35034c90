"""Demands of a task whose memory is known: weights of two lags, and a single linear unit."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np

import echoic
from echoic import cells, init
from echoic.core.task import Batch

KEY, LENGTH, LAGS = jr.key(3), 12, 4


def of_context_ablation():
    """Rows of 0 and of 1 take each other's inputs: the square of the weight of the lag."""
    weights = np.array([0.5, 0, 2.0, 0, 0])

    def solver(inputs):
        padded = jnp.pad(inputs, ((0, 0), (2, 0), (0, 0)))
        return weights[0] * padded[:, 2:] + weights[2] * padded[:, :-2]

    inputs = jnp.stack([jnp.zeros((LENGTH, 1)), jnp.ones((LENGTH, 1))])
    batch = Batch(inputs, solver(inputs))
    found = echoic.measure.context_ablation(solver, batch, "mean_squared_error", lags=LAGS, key=KEY)
    right = weights**2
    wrong = {
        "amplitudes": weights,
        "this lag and all before": np.array([weights.sum() ** 2, 4, 4, 0, 0]),
        "a step late": np.append(right[1:], 0),
        "oldest first": right[::-1],
    }
    return found.value, right, wrong, 1e-12


def of_task_gradient_reach():
    """dL/dh_{t-k} = w^k dL/dh_t."""
    cell = cells.LinearRNN(1, 1, recurrent=init.identity(0.8), key=KEY, dtype=jnp.float64)
    network = echoic.Network(cell, cells.Readout(1, 1, key=KEY, dtype=jnp.float64))
    series = np.random.default_rng(0).normal(size=(2, 3, LENGTH, 1))
    batch = Batch(*(jnp.asarray(part) for part in series))
    found = echoic.measure.task_gradient_reach(
        network, batch, "mean_squared_error", max_lag=LAGS, times=2, key=KEY
    )
    right = 0.8 ** np.arange(LAGS + 1)
    wrong = {
        "a power": right**2,
        "of the step before": right * 0.8,
        "of all later targets": np.cumsum(right),
        "undamped": np.ones(LAGS + 1),
    }
    return found.value, right, wrong, 1e-10


ORACLES = {
    "context_ablation": of_context_ablation,
    "task_gradient_reach": of_task_gradient_reach,
}


def test_right_passes_and_wrong_does_not(oracle, assert_oracle, x64):
    assert_oracle(*oracle())
