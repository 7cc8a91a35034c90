"""What theory says about a network before it is measured, for the families it covers so far.

A prediction speaks of the law that the weights were drawn from, never of the measured run. For
weights that nobody drew from a known law there is none.
"""

import dataclasses

import numpy as np

from echoic import cells, init
from echoic.core.cell import AbstractCell
from echoic.core.records import Curve


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Predicted curves and exponents; empty where no theory applies."""

    curves: tuple[Curve, ...] = ()
    exponents: np.ndarray | None = None
    exponent_bounds: tuple[float, float] | None = None


def predict(cell: AbstractCell, lags: np.ndarray) -> Prediction:
    """The predictions for ``cell`` at ``lags``."""
    return Prediction()
