"""Weakly coupled residual networks ``x' = R x + c tanh(W x + V s)``: the residual sets the memory.

The coupled part moves every gain by at most ``c |W|_2`` a step, whatever the input; it is held to a
tenth of the gap ``1 - |lambda|``.
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import exp1

from echoic import init
from echoic.prescription.families.small_signal import input_law, largest_gain
from echoic.prescription.prescription import Prescription, Wanted, prescribe
from echoic.prescription.recipe import Recipe

FAMILY = "residual"
PAPER = "Dubinin & Effenberger 2024 (a reconstruction)"
COUPLING, SHARE = 0.1, 0.1
SPREAD_OF_TIMES = 16.0  # the longest time constant of the heterogeneous family by the shortest
CORRECTION = "tied weights: derived bound of the coupling"


def one_time_constant(wanted: Wanted) -> Prescription:
    """``R = lambda I``, lambda to the horizon the threshold."""
    decay = _digits(wanted.decay)
    return _residual(
        wanted,
        "residual, one time constant",
        init.identity(decay),
        decay,
        decay**wanted.lags,
        f"Every unit keeps {decay:.6g} of itself a step, a time constant of"
        f" {-1 / math.log(decay):.4g} steps.",
    )


def rotation(wanted: Wanted) -> Prescription:
    """``R = lambda`` times rotations by the period of the signal's strongest rhythm."""
    decay = _digits(wanted.decay)
    if wanted.statistics.signal.white:
        period, rhythm = _digits(max(wanted.horizon / 4, 4.0), 4), "a quarter of the horizon"
    else:
        period = _digits(wanted.statistics.dominant_period(2.0 * wanted.horizon), 4)
        rhythm = "the signal's strongest rhythm"
    return _residual(
        wanted,
        "residual, rotation",
        init.rotation(decay, period=period),
        decay,
        decay**wanted.lags,
        f"Pairs of units ring with a period of {period:.4g} steps, {rhythm}, and keep {decay:.6g}"
        " a step.",
        even=True,
    )


def heterogeneous(wanted: Wanted) -> Prescription:
    """Time constants spread over a range, angles too; the range is solved for."""
    horizon, lags = wanted.horizon, wanted.lags

    def excess(log_tau: float) -> float:
        return float(_mean_power(math.exp(log_tau), horizon + 0.5)) - wanted.thresholds.gain**2

    low, high = math.log(horizon / 10), math.log(horizon * 30)
    tau = math.exp(float(brentq(excess, low, high)))  # pyright: ignore[reportArgumentType]
    longest, shortest = _digits(tau, 5), _digits(tau / SPREAD_OF_TIMES, 5)
    value = np.sqrt(_mean_power(longest, lags))
    return _residual(
        wanted,
        "residual, heterogeneous",
        init.heterogeneous(tau_max=longest, tau_min=shortest),
        math.exp(-1 / longest),
        value,
        f"Time constants from {shortest:.4g} to {longest:.4g} steps and all angles: the slow units"
        " carry the far end, the quick ones the near.",
        even=True,
    )


def tanh_path(wanted: Wanted) -> Prescription:
    """``x' = tanh(lambda x) + c tanh(...)``: the residual path saturates if the state is large."""
    decay = _digits(wanted.decay)
    energy = COUPLING**2 * wanted.statistics.leaky_energy(decay)
    gain = largest_gain(wanted, energy)
    return _residual(
        wanted,
        "residual, tanh path",
        init.identity(decay),
        decay,
        decay**wanted.lags,
        f"Every unit keeps {decay:.6g} of itself a step while it is small; input weights above"
        f" {gain:.3g} would saturate the path.",
        path="tanh",
        gain=gain,
    )


def _mean_power(longest: float, lags: float | np.ndarray) -> np.ndarray:
    """``E exp(-2 k / tau)``, tau log-uniform up to ``longest``: a difference of integrals E_1."""
    lags = np.asarray(lags, float)
    near, far = 2 * lags / longest, 2 * lags * SPREAD_OF_TIMES / longest
    with np.errstate(invalid="ignore"):
        mean = (exp1(near) - exp1(far)) / math.log(SPREAD_OF_TIMES)
    return np.where(lags == 0, 1.0, mean)


def _residual(
    wanted: Wanted,
    name: str,
    residual: object,
    slowest: float,
    value: np.ndarray,
    reason: str,
    *,
    path: str = "linear",
    gain: float | None = None,
    even: bool = False,
) -> Prescription:
    sigma = _digits(SHARE * (1 - slowest) / (2 * COUPLING), 4)
    if gain is None:
        gain = 1 / math.sqrt(wanted.statistics.energy)
    arguments = {
        "residual": residual,
        "coupling": COUPLING,
        "recurrent": init.gaussian(sigma),
        "input": input_law(gain),
        "bias": init.zeros(),
    }
    if path != "linear":
        arguments["path"] = path
    size = max(2, wanted.hidden_size // 2 * 2) if even else wanted.hidden_size
    return prescribe(
        wanted,
        family=FAMILY,
        name=name,
        recipe=Recipe("Residual", arguments),
        target="gradient_reach",
        value=value,
        gradient=value,
        paper=PAPER,
        reason=reason,
        correction=CORRECTION,
        hidden_size=size,
    )


def _digits(value: float, digits: int = 9) -> float:
    return float(f"{value:.{digits}g}")
