"""What a prediction holds."""

import dataclasses
from typing import Any

import numpy as np

from echoic.core.quantities import QUANTITIES
from echoic.core.records import Curve


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Predicted curves and exponents; empty where no theory applies."""

    curves: tuple[Curve, ...] = ()
    exponents: np.ndarray | None = None
    exponent_bounds: tuple[float, float] | None = None

    def beside(self, other: "Prediction") -> "Prediction":
        """Both together; of a curve that both predict, this one's."""
        mine = {(curve.quantity, curve.origin) for curve in self.curves}
        more = tuple(c for c in other.curves if (c.quantity, c.origin) not in mine)
        return Prediction(
            self.curves + more,
            other.exponents if self.exponents is None else self.exponents,
            self.exponent_bounds or other.exponent_bounds,
        )


def curve(
    quantity: str, origin: Any, lags: np.ndarray, value: np.ndarray, source: str, *notes: str
) -> Curve:
    """One predicted curve or bound."""
    return Curve(
        quantity=quantity,
        panel=QUANTITIES[quantity].panel,
        origin=origin,
        lags=lags,
        value=value,
        notes=notes,
        source=source,
    )
