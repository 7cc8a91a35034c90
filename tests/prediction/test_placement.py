"""The axes of a phase diagram."""

import numpy as np
import pytest

from echoic.prediction.placement import _axis

USUAL = np.array([0.2, 0.5, 0.9, 1.0, 2.0])


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("marks", [[], [0.86], [0.86, 0.87], [0.5, 0.5], [7.0, 0.05]])
def test_the_marks_are_points_of_the_axis_which_stays_in_order(marks, logarithmic):
    axis = _axis("sigma", USUAL, logarithmic, marks)
    assert (np.diff(axis.values) > 0).all()
    assert set(USUAL) <= set(axis.values)
    for mark in marks:
        assert mark in axis.values
        assert axis.values[0] < mark < axis.values[-1]
