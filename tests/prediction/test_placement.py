"""The axes of a phase diagram."""

import numpy as np
import pytest

from echoic.prediction.placement import _axis


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("marks", [[], [0.86], [0.86, 0.87], [0.5, 0.5], [0.2, 2.0], [7.0, 0.05]])
def test_the_marks_are_points_of_the_axis_which_stays_in_order(marks, logarithmic):
    """Near criticality the horizon changes so fast that it cannot be read between two points."""
    usual = np.array([0.2, 0.5, 1.0, 2.0])
    axis = _axis("sigma", usual, logarithmic, marks)
    assert (np.diff(axis.values) > 0).all()
    assert set(usual) | set(marks) <= set(axis.values)
    beyond = [mark for mark in marks if not 0.2 <= mark <= 2.0]
    assert len(axis.values) == len({*usual, *marks}) + len(beyond)  # room for their signs
    assert all(axis.values[0] < mark < axis.values[-1] for mark in beyond)
