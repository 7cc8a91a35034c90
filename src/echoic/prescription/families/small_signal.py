"""How small the input must be for a tanh network to act by its slopes at the origin."""

import math

import numpy as np

from echoic.init.dense import normal
from echoic.prescription.prescription import Wanted

# The slopes of tanh may take this much from the logarithm of the gain at the horizon, which is
# log(threshold), about -3: a thirtieth, so a thirtieth of the horizon.
SATURATION = 0.1


def largest_gain(wanted: Wanted, energy: float) -> float:
    """The standard deviation of input weights at which saturation takes [`SATURATION`][].

    **Derivation.** A unit of state variance q has the mean slope ``E tanh' = 1 - q``, to first
    order; over T steps the logarithm of the gain loses ``T q``. With ``q = nu^2 energy``, energy
    the state's second moment per unit variance of the input weights,
    ``nu = sqrt(SATURATION / (T energy))``. No more than 1 is given.
    """
    return min(1.0, math.sqrt(SATURATION / (wanted.horizon * energy)))


def input_law(gain: float) -> normal:
    """Independent normal input weights of that standard deviation, to four digits."""
    return normal(float(f"{gain:.4g}"))


def mean_slope(variance: float) -> float:
    """``E tanh'(z)``, z normal of a small variance."""
    z, weight = np.polynomial.hermite_e.hermegauss(21)
    return float(np.sum(weight * np.cosh(math.sqrt(variance) * z) ** -2.0) / np.sum(weight))
