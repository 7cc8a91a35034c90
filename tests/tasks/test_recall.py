"""Delayed recall and n-back, by hand and by loop; and the ways to get them wrong."""

import numpy as np
import pytest

from echoic.tasks import DelayedRecall, NBack


def test_the_value_stands_first_and_the_rest_is_noise(sampled):
    batch = sampled(DelayedRecall(7, noise=2.0))
    signal, marker = batch.inputs[:, :, 0], batch.inputs[:, :, 1]
    assert batch.inputs.shape == (4000, 8, 2)
    assert (signal[:, 0] == batch.targets[:, 0]).all()
    assert (marker == (np.arange(8) == 0)).all()
    assert np.abs(signal[:, 0]).max() <= 1
    assert signal[:, 1:].std() == pytest.approx(2.0, abs=4 * 2.0 / (2 * 7 * 4000) ** 0.5)
    # No later step, and no average of them, tells the value.
    told = np.corrcoef(np.c_[signal, signal[:, 1:].mean(1)].T)[0, 1:]
    assert np.abs(told).max() < 4 / 4000**0.5


def follows(batch, lag, answer):
    """Whether answers are those of ``lag`` steps ago, where they have weight."""
    for symbols, answers, weights in zip(*batch, strict=True):
        for step, (now, said, weight) in enumerate(zip(symbols, answers, weights, strict=True)):
            if weight != (step >= lag):
                return False
            before = symbols[step - lag]
            if weight and said != (before if answer == "symbol" else before == now):
                return False
    return True


@pytest.mark.parametrize("answer", ["symbol", "match"])
def test_n_back_and_its_wrong_twins(sampled, answer):
    task = NBack(3, length=9, num_symbols=5, answer=answer)
    batch = sampled(task)
    batch = type(batch)(*(part[:200] for part in batch))
    assert follows(batch, 3, answer)
    assert not follows(batch, 2, answer)
    assert not follows(batch, 4, answer)
    late = batch._replace(targets=np.roll(batch.targets, 1, axis=1))
    ahead = batch._replace(inputs=batch.inputs[:, ::-1])
    everywhere = batch._replace(weights=np.ones_like(batch.weights))
    for twin in (late, ahead, everywhere):
        assert not follows(twin, 3, answer)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lag": 9, "length": 9}, "length must lie in 10"),
        ({"answer": "both"}, "unknown answer 'both'"),
        ({"num_symbols": 1}, "num_symbols must lie in 2"),
    ],
)
def test_wrong_n_back(wrong, message):
    with pytest.raises(ValueError, match=message):
        NBack(**wrong)


def test_wrong_recall():
    with pytest.raises(ValueError, match="noise must lie in"):
        DelayedRecall(3, noise=-1.0)
    with pytest.raises(ValueError, match="delay must lie in 1"):
        DelayedRecall(0)
