"""The adding problem: two markers, one in each half; and the ways to get it wrong."""

import numpy as np
import pytest

from echoic.tasks import Adding


def follows(batch, half):
    """Whether two values are marked, one before and one from step ``half`` on, and summed."""
    values, markers = batch.inputs[:, :, 0], batch.inputs[:, :, 1]
    if not (np.isin(markers, (0, 1)).all() and 0 <= values.min() <= values.max() < 1):
        return False
    if not ((markers[:, :half].sum(1) == 1).all() and (markers[:, half:].sum(1) == 1).all()):
        return False
    sums = [
        sum(value for value, mark in zip(row, marks, strict=True) if mark)
        for row, marks in zip(values, markers, strict=True)
    ]
    return bool(np.allclose(batch.targets[:, 0], sums, atol=1e-6))


def test_layout_and_its_wrong_twins(sampled):
    # The integers below 9 / 2 are 0..4.
    half, batch = 5, sampled(Adding(9))
    assert follows(batch, half)
    swapped = batch._replace(inputs=batch.inputs[:, :, ::-1])
    one_sided = batch.inputs.copy()
    one_sided[:, :, 1] = one_sided[:, ::-1, 1] * (np.arange(9) < half)
    products = batch._replace(targets=batch.targets - 0.5)
    for twin in (swapped, batch._replace(inputs=one_sided), products):
        assert not follows(twin, half)


def test_every_place_of_a_half_is_marked_equally_often(sampled):
    markers = sampled(Adding(9)).inputs[:, :, 1].mean(0)
    wanted = np.repeat([1 / 5, 1 / 4], [5, 4])
    assert np.abs(markers - wanted).max() < 4 * (0.25 * 0.75 / 4000) ** 0.5


def test_wrong_lengths():
    with pytest.raises(ValueError, match="length must lie in 2"):
        Adding(1)
