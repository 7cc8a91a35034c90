"""Linear networks ``h' = W h + F x``: their gradient does not know of the input at all."""

import math

import numpy as np

from echoic import init, theory
from echoic.prescription.families.gaussian_matrices import answer, explanation
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
    solved = answer(wanted)
    found = solved.found
    sigma = float(f"{math.exp(found.log_sigma):.9g}")
    if solved.feasible:
        speed = theory.learning_speed(sigma**2, wanted.horizon)[-1]
        reason = (
            f"A transition variance of {sigma**2:.5g}: {solved.share:.0%} of draws keep to the"
            f" horizon, and lag {wanted.horizon} is learnt at {speed:.2g} of the speed of lag 0."
        )
    else:
        reason = explanation(wanted, solved) + "."
    return _linear(
        wanted,
        "linear, Gaussian",
        Recipe("LinearRNN", {"parametrisation": "standard", "recurrent": init.gaussian(sigma)}),
        np.exp(found.typical),
        reason,
        "finite width: powers of sampled Gaussian matrices",
        solved.feasible,
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
