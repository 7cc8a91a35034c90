"""Temporal order: classes by a loop over the symbols; and the ways to get them wrong."""

import numpy as np
import pytest

from echoic.tasks import TemporalOrder

TASK = TemporalOrder(12, first_start=1, first_stop=4, second_start=4, second_stop=9)


def follows(batch, first, second):
    """Whether two signals stand where they may, and the class counts them in their order."""
    for row, target in zip(batch.inputs, batch.targets, strict=True):
        places = [step for step, symbol in enumerate(row) if symbol in (0, 1)]
        if len(places) != 2 or places[0] not in first or places[1] not in second:
            return False
        if target != 2 * row[places[0]] + row[places[1]]:
            return False
    return True


def test_layout_and_its_wrong_twins(sampled):
    batch = sampled(TASK)
    first, second = range(1, 4), range(4, 9)
    assert follows(batch, first, second)
    assert set(np.unique(batch.inputs)) == set(range(6))
    swapped = batch._replace(targets=batch.targets // 2 + 2 * (batch.targets % 2))
    backwards = batch._replace(inputs=batch.inputs[:, ::-1])
    shifted = batch._replace(inputs=np.roll(batch.inputs, 1, axis=1))
    for twin in (swapped, backwards, shifted):
        assert not follows(twin, first, second)


def test_every_place_is_used(sampled):
    places = (sampled(TASK).inputs < 2).mean(0)
    wanted = np.repeat([0, 1 / 3, 1 / 5, 0], [1, 3, 5, 3])
    assert np.abs(places - wanted).max() < 4 * (1 / 3 * 2 / 3 / 4000) ** 0.5


def test_the_published_places_are_the_default():
    task = TemporalOrder()
    assert (task.length, task.first, task.second) == (200, (9, 19), (39, 49))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"first_stop": 45}, "first_start < first_stop <= second_start < second_stop"),
        ({"first_start": 19}, "first_start < first_stop <= second_start < second_stop"),
        ({"length": 40}, "must lie in 0..40, got 49"),
    ],
)
def test_wrong_places(wrong, message):
    with pytest.raises(ValueError, match=message):
        TemporalOrder(**wrong)
