"""Losses of whole batches against NumPy, and the same when predictions are made in blocks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from echoic.cells import Readout
from echoic.core.model import AbstractModel
from echoic.core.rollout import Rollout
from echoic.core.task import Batch
from echoic.training import objective
from echoic.training.objective import bits_per_symbol, loss, metrics, perplexity, totals

ROWS, LENGTH, CLASSES = 3, 7, 5


class Passing(AbstractModel):
    """A model whose outputs are its inputs: what is tested comes after them."""

    readout: Readout
    input_size: int = 2
    hidden_size: int = 2

    def run(self, inputs, *, state=None, last=False, key=None):
        return Rollout(inputs[:, -1] if last else inputs, state)

    def predict(self, outputs):
        return self.readout(outputs)


@pytest.fixture(scope="module")
def model():
    return Passing(Readout(2, CLASSES, key=jax.random.key(0)))


@pytest.fixture(scope="module")
def batch():
    keys = jax.random.split(jax.random.key(1), 3)
    return Batch(
        jax.random.normal(keys[0], (ROWS, LENGTH, 2)),
        jax.random.randint(keys[1], (ROWS, LENGTH), 0, CLASSES),
        jax.random.uniform(keys[2], (ROWS, LENGTH)),
    )


@pytest.fixture(scope="module")
def by_hand(model, batch):
    """Cross-entropies (b, t) and hits, in NumPy."""
    logits = np.asarray(model.predict(model.run(batch.inputs).trajectory), np.float64)
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    chosen = np.take_along_axis(chances, np.asarray(batch.targets)[..., None], -1)[..., 0]
    return -np.log(chosen), logits.argmax(-1) == np.asarray(batch.targets)


def test_the_loss_is_the_mean_over_weights(model, batch, by_hand):
    each, weights = by_hand[0], np.asarray(batch.weights)
    found = float(loss(model, batch, "cross_entropy"))
    assert found == pytest.approx((weights * each).sum() / weights.sum(), abs=1e-6)
    # Wrong twins: dividing by the number of steps; averaging the sequences' own means; no weights.
    twins = [
        (weights * each).mean(),
        ((weights * each).sum(1) / weights.sum(1)).mean(),
        each.mean(),
    ]
    assert min(abs(found - twin) for twin in twins) > 1e-3


def test_without_weights_all_count_alike(model, batch, by_hand):
    bare = batch._replace(weights=None)
    assert float(loss(model, bare, "cross_entropy")) == pytest.approx(by_hand[0].mean(), abs=1e-6)
    found = metrics(totals(model, bare, "cross_entropy")[0])
    assert float(found.accuracy) == pytest.approx(by_hand[1].mean(), abs=1e-6)


def test_targets_of_the_last_step_read_the_last_output(model, batch, by_hand):
    last = Batch(batch.inputs, batch.targets[:, -1])
    found = float(loss(model, last, "cross_entropy"))
    assert found == pytest.approx(by_hand[0][:, -1].mean(), abs=1e-6)
    assert abs(found - by_hand[0].mean()) > 1e-3


def test_squared_errors_are_means_over_outputs(model, batch):
    predictions = model.predict(model.run(batch.inputs).trajectory)
    off = Batch(batch.inputs, predictions + jnp.array([[[1.0, 0, 0, 0, 2.0]]]))
    assert float(loss(model, off, "mean_squared_error")) == pytest.approx(1.0, abs=1e-6)
    last = Batch(batch.inputs, predictions[:, -1] + 3)
    assert float(loss(model, last, "mean_squared_error")) == pytest.approx(9.0, abs=1e-5)
    assert np.isnan(metrics(totals(model, off, "mean_squared_error")[0]).accuracy)


def test_a_loss_of_ones_own(model, batch):
    predictions = model.predict(model.run(batch.inputs).trajectory)
    off = Batch(batch.inputs, predictions + 2)

    def absolute(predictions, targets):
        return jnp.sum(jnp.abs(predictions - targets), -1)

    assert float(loss(model, off, absolute)) == pytest.approx(2 * CLASSES, abs=1e-5)


def test_an_unknown_loss_is_refused(model, batch):
    with pytest.raises(ValueError, match=r"unknown loss 'cross_entropi'\. Did you mean"):
        loss(model, batch, "cross_entropi")


@pytest.mark.slow
def test_blocks_of_predictions_give_the_same(model, batch, monkeypatch):
    def value_and_slopes():
        # A new function each time: nothing that was compiled with another size is used again.
        return eqx.filter_value_and_grad(lambda m: loss(m, batch, "cross_entropy"))(model)

    whole = value_and_slopes()
    monkeypatch.setattr(objective, "_READOUT_BYTES", 3 * 4 * ROWS * CLASSES)
    in_blocks = value_and_slopes()
    assert float(in_blocks[0]) == pytest.approx(float(whole[0]), rel=1e-6)
    slopes = [jax.tree.leaves(eqx.filter(found[1], eqx.is_array)) for found in (whole, in_blocks)]
    for one, other in zip(*slopes, strict=True):
        assert np.abs(np.asarray(one - other)).max() < 1e-6


def test_bits_and_perplexity():
    assert float(bits_per_symbol(np.log(32))) == pytest.approx(5)
    assert float(perplexity(jnp.log(32.0))) == pytest.approx(32, rel=1e-5)
