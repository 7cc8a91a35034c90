"""Refusals name what came and what goes."""

import jax.numpy as jnp
import numpy as np
import pytest

from echoic.core.checks import (
    at_least,
    channels_of,
    not_negative,
    one_of,
    refuse_if_larger,
    sequences,
)


def test_one_of_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"unknown cell .lsmt.\. Did you mean .lstm."):
        one_of("cell", "lsmt", ["gru", "lstm"])


@pytest.mark.parametrize("value", [0, 11, 2.0, True, "3"])
def test_at_least_states_the_range(value):
    with pytest.raises(ValueError, match=r"lag must .* 1\.\.10"):
        at_least("lag", value, 1, 10)


def test_integers_of_numpy_are_integers():
    assert at_least("lag", np.int64(3), 1) == 3


@pytest.mark.parametrize(
    ("shape", "full"), [((5,), (1, 5, 1)), ((5, 1), (1, 5, 1)), ((2, 5, 1),) * 2]
)
def test_sequences_become_a_batch(shape, full):
    assert sequences(np.zeros(shape), 1, jnp.float32).shape == full


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((5, 3)), r"takes 1 input channel\(s\), the inputs have 3"),
        (np.zeros((0, 1)), "empty"),
        (np.zeros((1, 2, 3, 1)), r"got \(1, 2, 3, 1\)"),
        (np.zeros(4) * 1j, "complex128"),
        ([np.zeros(3), np.zeros(4)], "equal shapes"),
    ],
)
def test_wrong_sequences(inputs, message):
    with pytest.raises(ValueError, match=message):
        sequences(inputs, 1, jnp.float32)


def test_work_that_does_not_fit_is_refused_with_its_size():
    with pytest.raises(MemoryError, match=r"would take 80.0 GB of memory, more than .* 8.0 GB"):
        refuse_if_larger("the spectrum of 100,000 units", 8e10)


@pytest.mark.parametrize(
    ("inputs", "channels", "batch"),
    [
        (np.zeros(5), 1, (1, 5, 1)),
        ([0.0, 1.0, 2.0], 1, (1, 3, 1)),
        (np.zeros((5, 3)), 3, (1, 5, 3)),
        ([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], 2, (1, 3, 2)),
        ([np.zeros(5), np.ones(5)], 1, (2, 5, 1)),
        ([jnp.zeros(5), jnp.ones(5)], 1, (2, 5, 1)),
        ([np.zeros((5, 3)), np.ones((5, 3))], 3, (2, 5, 3)),
        (np.zeros((2, 5, 3)), 3, (2, 5, 3)),
    ],
)
def test_a_list_of_arrays_is_a_batch_of_sequences(inputs, channels, batch):
    """Read as steps, two series of 400 samples would be two steps of 400 channels."""
    assert channels_of(inputs) == channels
    assert sequences(inputs, channels, jnp.float32).shape == batch


def test_no_inputs_have_no_channels():
    assert channels_of(None) == 0


def test_negative_variances_are_refused_nan_is_not():
    not_negative("variance", [0.0, float("nan")])
    with pytest.raises(ValueError, match="variance must be at least 0, got -2"):
        not_negative("variance", [1.0, -2.0])
