"""The copy task by hand and by loop; and the ways to get it wrong."""

import math

import jax
import numpy as np
import pytest

from echoic.tasks import Copy


def follows(batch, delay, count, alphabet):
    """Whether every sequence is one of the copy task, told by a loop over its steps."""
    for row, targets in zip(batch.inputs, batch.targets, strict=True):
        shown = list(row[:count])
        cue = count - 1 + delay
        if len(row) != delay + 2 * count or row[cue] != alphabet + 1:
            return False
        if not all(1 <= symbol <= alphabet for symbol in shown):
            return False
        if any(row[step] for step in range(count, len(row)) if step != cue):
            return False
        if list(targets) != [0] * (cue + 1) + shown:
            return False
    return True


def test_a_sequence_by_hand():
    batch = Copy(delay=3, num_symbols=2, alphabet=8).sample(jax.random.key(5), 1)
    a, b = batch.inputs[0, :2].tolist()
    assert batch.inputs[0].tolist() == [a, b, 0, 0, 9, 0, 0]
    assert batch.targets[0].tolist() == [0, 0, 0, 0, 0, a, b]


def test_both_lengths_of_the_literature():
    # Arjovsky et al.: T is the delay, T + 20 steps; Orhan & Pitkow: T = 500 steps, baseline .04159.
    assert Copy().total_length == 80
    assert Copy(100).total_length == 120
    assert Copy(100).chance == pytest.approx(10 * math.log(8) / 120)
    task = Copy(total_length=500)
    assert (task.delay, task.total_length, task.lag) == (480, 500, 490)
    assert task.chance == pytest.approx(0.04159, abs=1e-5)
    assert (task.input_size, task.output_size) == (10, 9)
    for number in ("480 steps", "500 steps", "490 steps"):
        assert number in task.description


def test_layout_and_its_wrong_twins(sampled):
    batch = sampled(Copy(6, num_symbols=3, alphabet=4))
    assert follows(batch, 6, 3, 4)
    inputs = batch.inputs.copy()
    inputs[:, [8, 9]] = inputs[:, [9, 8]]
    late_cue = batch._replace(inputs=inputs)
    early = batch._replace(targets=np.roll(batch.targets, -1, axis=1))
    backwards = batch.targets.copy()
    backwards[:, -3:] = backwards[:, :-4:-1]
    for twin in (late_cue, early, batch._replace(targets=backwards)):
        assert not follows(twin, 6, 3, 4)
    assert not follows(batch, 5, 3, 4)


def test_symbols_are_uniform_and_independent(sampled):
    symbols = sampled(Copy(6, num_symbols=3, alphabet=4)).inputs[:, :3]
    counts = np.stack([(symbols == kind).sum(0) for kind in range(1, 5)])
    assert np.abs(counts / 4000 - 0.25).max() < 4 * (0.25 * 0.75 / 4000) ** 0.5
    assert np.abs(np.corrcoef(symbols.T) - np.eye(3)).max() < 4 / 4000**0.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"delay": 5, "total_length": 25}, "either delay"),
        ({"total_length": 20}, "total_length must lie in 21"),
        ({"delay": 0}, "delay must lie in 1"),
        ({"delay": 2, "alphabet": 1}, "alphabet must lie in 2"),
    ],
)
def test_wrong_lengths(wrong, message):
    with pytest.raises(ValueError, match=message):
        Copy(**wrong)
