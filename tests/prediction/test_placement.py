"""The axes of a phase diagram."""

import numpy as np
import pytest

from echoic.prediction.placement import _axis


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("marks", [[], [0.86], [0.86, 0.87], [0.5, 0.5], [0.2, 2.0], [7.0, 0.05]])
def test_the_marks_are_points_of_the_axis_which_stays_in_order(marks, logarithmic):
    axis = _axis("sigma", (0.2, 2.0), logarithmic, marks)
    assert len(axis.values) == 11
    assert (np.diff(axis.values) > 0).all()
    for mark in marks:
        assert np.isclose(axis.values, mark, rtol=1e-12).any()
        assert axis.values[0] < mark < axis.values[-1]
    assert axis.values[0] <= 0.2 * (1 + 1e-12)
    assert axis.values[-1] >= 2.0 * (1 - 1e-12)
