"""Linear networks ``h' = W h + F x``: their gradient does not know of the input at all."""

import math

import numpy as np

from echoic import init, theory
from echoic.prescription.families.gaussian_matrices import (
    ENOUGH,
    explanation,
    reachable,
    scatter,
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
    size, horizon, threshold = wanted.hidden_size, wanted.horizon, wanted.thresholds.gain
    last = int(wanted.lags[-1])
    found = scatter(size, horizon, last, threshold)
    feasible, share, reach = found.share >= ENOUGH, found.share, horizon
    if not feasible:
        reach = reachable(size, horizon, threshold)
        found = scatter(size, reach, last, threshold)
    sigma = float(f"{math.exp(found.log_sigma):.9g}")
    if feasible:
        speed = theory.learning_speed(sigma**2, horizon)[horizon]
        reason = (
            f"A transition variance of {sigma**2:.5g}: {share:.0%} of draws keep to the horizon,"
            f" and lag {horizon} is learnt at {speed:.2g} of the speed of lag 0."
        )
    else:
        reason = explanation(size, horizon, share, reach) + "."
    return _linear(
        wanted,
        "linear, Gaussian",
        Recipe("LinearRNN", {"parametrisation": "standard", "recurrent": init.gaussian(sigma)}),
        np.exp(found.typical),
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
