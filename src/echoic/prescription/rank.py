"""Which prescription comes first."""

import math
from collections.abc import Iterable

from echoic.prescription.prescription import Prescription


def ranked(prescriptions: Iterable[Prescription]) -> list[Prescription]:
    """Best first: what is feasible, then memory at the horizon, noise gain and smoothness.

    Memory counts up to its threshold, in steps of a tenth: all that is asked for is the horizon.
    Noise gain counts in factors of e, smoothness as the distance of the gradient from 1.
    """
    return sorted(prescriptions, key=_order)


def _order(prescription: Prescription) -> tuple[bool, float, float, float]:
    share = prescription.predicted_horizon / prescription.horizon
    noise = prescription.noise_gain
    return (
        not prescription.feasible,
        -round(min(share, 1.0), 1),
        float(round(math.log(noise))) if math.isfinite(noise) and noise > 0 else math.inf,
        abs(prescription.log_gain),
    )
