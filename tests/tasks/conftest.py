"""Costs in NumPy, of predictions and of the best constant; samples that are drawn once."""

import os
from pathlib import Path

import equinox as eqx
import jax
import jax.tree_util as jtu
import numpy as np
import pytest


def losses(predictions, batch, loss):
    """The loss of every target, (b,) or (b, t)."""
    predictions, targets = np.asarray(predictions, float), np.asarray(batch.targets)
    if loss == "mean_squared_error":
        return ((predictions - targets) ** 2).mean(-1)
    assert loss == "cross_entropy"
    largest = predictions.max(-1, keepdims=True)
    norm = largest[..., 0] + np.log(np.exp(predictions - largest).sum(-1))
    return norm - np.take_along_axis(predictions, targets[..., None], -1)[..., 0]


def cost(predictions, batch, loss):
    """The weighted mean, and its standard error over sequences."""
    found = losses(predictions, batch, loss)
    if found.ndim == 1:
        return found.mean(), found.std() / len(found) ** 0.5
    weights = np.ones_like(found) if batch.weights is None else np.asarray(batch.weights, float)
    assert weights.shape == found.shape
    rows = (weights * found).sum(1) / weights.sum(1)
    return rows.mean(), rows.std() / len(rows) ** 0.5


def constant_cost(batch, loss):
    """What the best prediction costs that knows the step and nothing else, on these samples."""
    targets = np.asarray(batch.targets)
    if loss == "mean_squared_error":
        predictions = np.broadcast_to(targets.mean(0), targets.shape)
    else:
        classes = np.arange(targets.max() + 1)
        shares = (targets[..., None] == classes).mean(0)
        logs = np.log(np.maximum(shares, 1e-300))
        predictions = np.broadcast_to(logs, (*targets.shape, len(classes)))
    return cost(predictions, batch, loss)


@pytest.fixture(scope="session")
def measured():
    """The functions of this file."""

    class Measured:
        pass

    Measured.cost, Measured.constant_cost = staticmethod(cost), staticmethod(constant_cost)
    return Measured


@pytest.fixture(scope="session")
def sampled():
    """``sampled(task, size, seed)``: a compiled batch, in NumPy."""
    sample = eqx.filter_jit(lambda task, key, size: task.sample(key, size))

    def draw(task, size=4000, seed=0):
        # Programs with this generator compile five times faster than with the usual one.
        return jtu.tree_map(np.asarray, sample(task, jax.random.key(seed, impl="rbg"), size))

    return draw


@pytest.fixture(scope="session")
def data_dir():
    """The folder of real data, or a skip that says why."""
    folder = os.environ.get("ECHOIC_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no real data: $ECHOIC_DATA names no folder")
    return folder
