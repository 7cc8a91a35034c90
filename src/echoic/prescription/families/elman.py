"""Elman networks ``h' = tanh(W h + V x)`` that act by their slopes at the origin.

The input is kept so small that tanh stays linear; how small is part of the prescription. The
Jacobian is then W times the mean slope, whatever the input, and coherent and gradient reach are
one. A larger input saturates the units, and the memory is lost.
"""

import math

import numpy as np
from scipy.special import ive

from echoic import init
from echoic.prescription.families.gaussian_matrices import answer, explanation
from echoic.prescription.families.small_signal import input_law, largest_gain, mean_slope
from echoic.prescription.prescription import Prescription, Wanted, prescribe
from echoic.prescription.recipe import Recipe

FAMILY = "elman"
COUPLING_SHARE = 0.1  # of the gap 1 - decay, for the norm of the coupled part


def orthogonal(wanted: Wanted) -> Prescription:
    """``W = g Q``: every direction decays alike, so that ``G(k) = (g E tanh')^k``."""
    decay, statistics = wanted.decay, wanted.statistics
    spread = statistics.energy / (1 - decay**2)
    # Directions of one vector under powers of a random Q are independent, so that the units hold
    # what a white input would leave; but the mode that the input hits best may stand out.
    energy = spread + statistics.resonant_energy(decay) / wanted.hidden_size
    gain = largest_gain(wanted, energy)
    slope = mean_slope(gain**2 * spread)
    return _elman(
        wanted,
        name="Elman, orthogonal",
        recurrent=init.orthogonal(_digits(decay / slope)),
        gain=gain,
        value=decay**wanted.lags,
        paper="Chen, Pennington & Schoenholz 2018",
        why=f"An orthogonal matrix of gain {decay / slope:.6g} shrinks everything by {decay:.6g}"
        " a step",
    )


def identity(wanted: Wanted) -> Prescription:
    """``W = g I``: each unit is a leaky integrator of its own input."""
    decay = wanted.decay
    energy = wanted.statistics.leaky_energy(decay)
    gain = largest_gain(wanted, energy)
    slope = mean_slope(gain**2 * energy)
    return _elman(
        wanted,
        name="Elman, identity",
        recurrent=init.identity(_digits(decay / slope)),
        gain=gain,
        value=decay**wanted.lags,
        paper="Le, Jaitly & Hinton 2015",
        why=f"Each unit is a leaky integrator that keeps {decay:.6g} of itself a step",
    )


def weakly_coupled(wanted: Wanted) -> Prescription:
    """``W = g I + c G``: a residual path inside an Elman network, with weak random coupling."""
    decay, lags = wanted.decay, wanted.lags
    energy = wanted.statistics.leaky_energy(decay)
    gain = largest_gain(wanted, energy)
    slope = mean_slope(gain**2 * energy)
    # The norm of a square Gaussian matrix is twice its spread.
    coupling = _digits(COUPLING_SHARE * (1 - decay) / 2, 4)
    # E ||(d I + c G)^k||^2 / n = sum_j (k over j)^2 d^2(k-j) c^2j, which is a Bessel function
    # of 2 k c / d for c much smaller than d.
    x = 2 * lags * coupling / decay
    value = decay**lags * np.sqrt(ive(0, x) * np.exp(x))
    return _elman(
        wanted,
        name="Elman, weakly coupled",
        recurrent=init.weakly_coupled(init.identity(_digits(decay / slope)), coupling),
        gain=gain,
        value=value,
        paper="Dubinin & Effenberger 2024 (a reconstruction)",
        why=f"A diagonal of {decay / slope:.6g} carries the memory, the coupling is a tenth of what"
        " would disturb it",
    )


def gaussian(wanted: Wanted) -> Prescription:
    """Independent Gaussian entries: the memory runs through one random matrix, k times."""
    solved = answer(wanted)
    found = solved.found
    energy = wanted.statistics.energy / (1 - min(math.exp(2 * found.log_sigma), 0.98))
    # Slow inputs meet modes near 1: half of what a white input would be allowed.
    gain = largest_gain(wanted, 2 * energy)
    sigma = _digits(math.exp(found.log_sigma) / mean_slope(gain**2 * energy))
    if solved.feasible:
        why = (
            f"Gaussian weights of spread {sigma:.5g}; {solved.share:.0%} of draws keep to the"
            " horizon"
        )
    else:
        why = explanation(wanted, solved)
    return _elman(
        wanted,
        name="Elman, Gaussian",
        recurrent=init.gaussian(sigma),
        gain=gain,
        value=np.exp(found.typical),
        paper="Chen, Pennington & Schoenholz 2018",
        why=why,
        feasible=solved.feasible,
        correction="finite width: powers of sampled Gaussian matrices",
    )


def _elman(
    wanted: Wanted,
    *,
    name: str,
    recurrent: object,
    gain: float,
    value: np.ndarray,
    paper: str,
    why: str,
    feasible: bool = True,
    correction: str = "tied weights: derived for small signals",
) -> Prescription:
    law = input_law(gain)
    reason = f"{why}; input weights above {law.std:.3g} would saturate the units and end it."
    recipe = Recipe("Elman", {"recurrent": recurrent, "input": law, "bias": init.zeros()})
    return prescribe(
        wanted,
        family=FAMILY,
        name=name,
        recipe=recipe,
        target="coherent_reach",
        value=value,
        gradient=value,
        paper=paper,
        reason=reason,
        correction=correction,
        feasible=feasible,
    )


def _digits(value: float, digits: int = 9) -> float:
    return float(f"{value:.{digits}g}")
