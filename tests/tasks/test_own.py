"""Sets that are given: checked, cut in three, padded in front; draws of a generator."""

import jax
import numpy as np
import pytest

from echoic.tasks import Adding, Copy, Sequences, SineGrid, fixed, from_arrays

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(30, 8, 2))
CLASSES = np.arange(30) % 3


def test_ones_own_arrays_in_three_parts():
    inputs = np.arange(30.0)[:, None, None] * np.ones((30, 8, 2))
    task = from_arrays(inputs, CLASSES)
    parts = [np.asarray(part.inputs)[:, 0, 0] for part in (task.train, task.validation, task.test)]
    assert [len(part) for part in parts] == [24, 3, 3]
    assert sorted(np.concatenate(parts)) == list(range(30))
    for part, batch in zip(parts, (task.train, task.validation, task.test), strict=True):
        assert np.array_equal(batch.targets, CLASSES[part.astype(int)])
    assert (task.loss, task.input_size, task.output_size) == ("cross_entropy", 2, 3)
    assert (task.train.inputs.dtype, task.train.targets.dtype) == (np.float32, np.int32)


def test_numbers_at_every_step_with_weights(measured):
    targets, weights = RNG.normal(3, 2, (30, 8, 1)), RNG.uniform(size=(30, 8))
    task = from_arrays(INPUTS, targets, weights)
    assert (task.loss, task.output_size) == ("mean_squared_error", 1)
    values, counts = (np.asarray(part, float) for part in task.train[1:])
    mean = (values[..., 0] * counts).sum() / counts.sum()
    wanted = (counts * (values[..., 0] - mean) ** 2).sum() / counts.sum()
    assert task.chance == pytest.approx(wanted, rel=1e-6)
    # Unweighted, or around zero, it would be another number.
    assert abs(values.var() / wanted - 1) > 1e-3
    assert (values**2).mean() > 2 * wanted


def test_classes_at_every_step_with_weights():
    targets, weights = RNG.integers(0, 3, (30, 8)), RNG.uniform(size=(30, 8))
    task = from_arrays(RNG.integers(0, 5, (30, 8)), targets, weights)
    assert (task.input_size, task.output_size) == (5, 3)
    found, counts = (np.asarray(part) for part in task.train[1:])
    shares = np.array([counts[found == kind].sum() for kind in range(3)]) / counts.sum()
    assert task.chance == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-6)


def test_zeros_come_before_the_shorter_sequences():
    lengths = np.arange(30) % 5 + 1
    sequences = [np.full((length, 1), float(length)) for length in lengths]
    task = from_arrays(sequences, CLASSES)
    for row in np.asarray(task.train.inputs)[:, :, 0]:
        length = int(row[-1])
        assert row.tolist() == [0] * (5 - length) + [length] * length


def test_draws_of_a_generator(sampled):
    task = fixed(Adding(6), 20, key=jax.random.key(0, impl="rbg"))
    parts = [np.asarray(part.inputs) for part in (task.train, task.validation, task.test)]
    assert [part.shape for part in parts] == [(20, 6, 2)] * 3
    values = [set(part[:, :, 0].ravel()) for part in parts]
    assert not values[0] & values[1]
    assert not values[0] & values[2]
    again = fixed(Adding(6), 20, key=jax.random.key(0, impl="rbg"))
    assert np.array_equal(again.train.inputs, task.train.inputs)
    assert (task.name, task.chance) == ("adding", 1 / 6)
    assert np.array_equal(task.solve(task.test.inputs), task.test.targets)
    assert "20 sequences" in task.description
    assert "6 steps" in task.description
    with pytest.raises(ValueError, match=r"batch must lie in 1\.\.20, got 21"):
        sampled(task, 21)


def test_a_set_is_not_fixed_twice():
    with pytest.raises(ValueError, match="sine_grid is a fixed set already"):
        fixed(SineGrid(9, num_frequencies=3), 5, key=jax.random.key(0))


NAN = INPUTS.copy()
NAN[3, 5, 1] = np.nan


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((INPUTS, CLASSES[:-1]), "30 inputs and 29 targets"),
        ((INPUTS, np.zeros((30, 7, 1))), "inputs of 8 steps and targets of 7"),
        ((INPUTS, np.zeros((30, 7), int)), "inputs of 8 steps and targets of 7"),
        ((INPUTS, np.zeros((30, 8))), r"write \(b, t, 1\)"),
        ((NAN, CLASSES), r"1 numbers that are NaN or infinite, the first at \(3, 5, 1\)"),
        ((INPUTS, np.full((30, 1), np.inf)), "30 numbers that are NaN or infinite"),
        ((INPUTS[0], CLASSES), r"must be numbers \(b, t, m\)"),
        ((INPUTS, CLASSES - 1), "integers below 0"),
        ((INPUTS.astype(complex), CLASSES), "must be real numbers"),
        ((INPUTS, CLASSES, np.ones((30, 8))), "go with targets at every step"),
        ((INPUTS, np.zeros((30, 8, 1)), -np.ones((30, 8))), "must be 0 or more"),
        ((INPUTS, np.zeros((30, 8, 1)), np.zeros((30, 8))), "not all 0"),
        (([np.ones((2, 1)), np.ones((3, 2))], [0, 1]), "arrays \\(t, m\\) with one m"),
        (([np.ones((2, 1)), np.ones((3, 1))], np.ones((2, 3, 1))), "asked at their last step"),
        ((INPUTS[:2], CLASSES[:2]), "leave none to train on"),
    ],
)
def test_arrays_that_no_network_can_use(arrays, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(*arrays)


def test_parts_of_different_kinds():
    train = (INPUTS, CLASSES)
    with pytest.raises(ValueError, match="targets of the three parts are of different kinds"):
        Sequences(train, train, (INPUTS, np.zeros((30, 8), int)))
    with pytest.raises(ValueError, match="2 channels, 2 channels, 1 channels"):
        Sequences(train, train, (INPUTS[:, :, :1], CLASSES))
    # Other lengths are welcome: a longer test is a common question.
    longer = Sequences(train, train, (np.tile(INPUTS, (1, 2, 1)), CLASSES))
    assert longer.test.inputs.shape == (30, 16, 2)


def test_symbols_of_a_source_keep_its_sizes():
    source = Copy(1, num_symbols=1, alphabet=8)
    task = fixed(source, 1, key=jax.random.key(0))
    assert (task.input_size, task.output_size) == (10, 9)
