"""Linear networks ``h' = W h + F x``: their gradient does not know of the input at all."""

import math

import numpy as np

from echoic import init, theory
from echoic.prescription.families.gaussian_matrices import (
    reachable_lag,
    typical_powers,
    worst_spread,
)
from echoic.prescription.prescription import Prescription, Wanted, prescribe
from echoic.prescription.recipe import Recipe

FAMILY = "linear"
PAPER = "Emami et al. 2021"


def orthogonal(wanted: Wanted) -> Prescription:
    """``W = g Q``: ``G(k) = g^k`` exactly, in every draw."""
    gain = float(f"{wanted.decay:.9g}")
    recipe = Recipe(
        "LinearRNN", {"parametrisation": "standard", "recurrent": init.orthogonal(gain)}
    )
    return _linear(
        wanted,
        "linear, orthogonal",
        recipe,
        gain**wanted.lags,
        f"An orthogonal matrix of gain {gain:.6g} shrinks every direction alike, in every draw.",
        "none needed: exact at every width",
    )


def gaussian(wanted: Wanted) -> Prescription:
    """Gaussian W: the variance that brings the typical gain to the threshold at the horizon."""
    size, horizon, lags = wanted.hidden_size, wanted.horizon, wanted.lags
    threshold = wanted.thresholds.gain
    _, spread = typical_powers(size, horizon)
    feasible = bool(spread[horizon] <= worst_spread(threshold))
    reach = horizon if feasible else reachable_lag(size, horizon, threshold)
    typical, _ = typical_powers(size, int(lags[-1]))
    scatter = -spread[horizon] / math.log(threshold)
    log_decay = (math.log(threshold) - typical[reach]) / (reach + 0.5)
    sigma = float(f"{math.exp(log_decay):.9g}")
    speed = theory.learning_speed(sigma**2, horizon)[horizon]
    if feasible:
        reason = (
            f"A transition variance of {sigma**2:.5g}; lag {horizon} is learnt at {speed:.2g} of"
            f" the speed of lag 0, and one draw differs from another by {scatter:.0%}"
            " in its horizon."
        )
    else:
        reason = (
            f"One draw of {size} Gaussian units differs from another by a factor"
            f" e^{spread[horizon]:.2g} in its gain at lag {horizon}, so that no transition variance"
            f" sets the horizon; {reach} steps are within reach of nine draws in ten. Orthogonal"
            " weights do not scatter. This is the network for those steps."
        )
    return _linear(
        wanted,
        "linear, Gaussian",
        Recipe("LinearRNN", {"parametrisation": "standard", "recurrent": init.gaussian(sigma)}),
        np.exp(log_decay * lags + typical),
        reason,
        "finite width: powers of sampled Gaussian matrices",
        feasible,
    )


def _linear(
    wanted: Wanted,
    name: str,
    recipe: Recipe,
    value: np.ndarray,
    reason: str,
    correction: str,
    feasible: bool = True,
) -> Prescription:
    return prescribe(
        wanted,
        family=FAMILY,
        name=name,
        recipe=recipe,
        target="gradient_reach",
        value=value,
        gradient=value,
        paper=PAPER,
        reason=reason,
        correction=correction,
        feasible=feasible,
    )
