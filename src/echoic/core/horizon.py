"""From a curve to how far it reaches, and from a gain to its regime."""

import dataclasses
import math

import numpy as np

from echoic.core.records import Horizon, Regime

# e^-3 and e^3: three amplitude time constants, which is six of the power that mean-field
# theory speaks of, the depth to which deep networks were found to train.
FADING, RUGGED = -3.0, 3.0

# The share of its largest value above which a demand on memory counts. A loss goes with the square
# of an amplitude: a tenth of a signal is worth a hundredth of it.
DEMAND_SHARE = 0.01

# A value so many standard errors from its threshold may stand on either side of it.
_BORDERLINE = 3.0


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """The level at which a curve is said to have ended.

    ``gain`` and ``fisher`` are shares of the curve's value at lag 0, ``recall`` is an R².
    """

    gain: float = 0.05
    recall: float = 0.1
    fisher: float = 0.05

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if not 0 < value < 1:
                raise ValueError(f"threshold {name} must lie between 0 and 1, got {value}.")


def horizon_of(
    value: np.ndarray,
    standard_error: np.ndarray | None,
    threshold: float,
    *,
    relative: bool,
    grows: bool = False,
) -> Horizon | None:
    """How far a curve over the lags 0, 1, 2, ... reaches.

    **Definition.** The last lag at which ``value - 2 standard_error`` stands at or above
    ``threshold``, which counts in units of the value at lag 0 if ``relative``. A curve that has
    not fallen by its end is censored; with ``grows``, one that ends above e^3 times its start has
    no horizon at all. A curve that is NaN from lag 1 on gives None: nothing is known of it.

    An error that is NaN is not known: there the value counts by itself, and the answer says so in
    ``error_known``. None stands for curves that are exact.

    **Example**
    >>> horizon_of(0.5 ** np.arange(9), None, 0.05, relative=True).last
    4
    """
    if np.isnan(value[1:]).all():
        return None
    known, error = True, np.zeros_like(value)
    if standard_error is not None:
        known = not np.isnan(standard_error[~np.isnan(value)]).any()
        error = np.nan_to_num(standard_error)
    level = threshold * (value[0] if relative else 1.0)
    with np.errstate(invalid="ignore"):
        stands = value - 2 * error >= level if level > 0 else np.zeros(len(value), bool)
    last = int(np.flatnonzero(stands)[-1]) if stands.any() else -1
    crossing = None if stands.all() else int(np.flatnonzero(~stands)[0])
    peak = int(np.nanargmax(value)) if np.isfinite(value).any() else 0
    growing = bool(grows and stands[-1] and value[-1] > math.exp(RUGGED) * value[0])
    return Horizon(threshold, last, crossing, peak, bool(stands[-1]), growing, known)


def is_borderline(value: float, standard_error: float, threshold: float) -> bool:
    """Whether a value may stand on either side of its threshold: within three standard errors.

    Also where the error is not known. A NaN stands on neither side.
    """
    if math.isnan(value):
        return False
    return not abs(value - threshold) > _BORDERLINE * standard_error


def demand_horizon(
    lags: np.ndarray,
    value: np.ndarray,
    standard_error: np.ndarray,
    loss: float = 0.0,
    share: float = DEMAND_SHARE,
) -> Horizon | None:
    """How far back a loss looks, from its rise when the input at each lag is replaced.

    **Definition.** The last of the ``lags`` at which ``value - 2 standard_error`` stands at or
    above ``share`` of the largest value, or of the ``loss`` itself where that is larger: a network
    that has learned nothing answers to its input, too, by a little. Unlike a memory, a demand may
    begin late: a task that asks for step 10 alone has its horizon there.
    """
    if np.isnan(value).any():
        return None
    peak = int(np.argmax(value))
    lower = value - 2 * np.nan_to_num(standard_error, nan=np.inf)
    stands = (lower >= share * max(float(value[peak]), loss)) & (lower > 0)
    last = int(lags[np.flatnonzero(stands)[-1]]) if stands.any() else -1
    crossing = None if stands.all() else int(lags[np.flatnonzero(~stands)[0]])
    return Horizon(share, last, crossing, int(lags[peak]), bool(stands[-1]))


def regime_of(log_gain: float) -> Regime | None:
    """Fading, edge or rugged, from log G at the wanted horizon; None when it is NaN."""
    if math.isnan(log_gain):
        return None
    if log_gain < FADING:
        return "fading"
    return "rugged" if log_gain > RUGGED else "edge"


def exponent_says(exponent: float, error: float, horizon: int) -> str:
    """What the largest exponent alone would say: lambda_1 T with its error, or 'undecided'."""
    if math.isnan(exponent):
        return "unknown"
    if math.isinf(exponent):
        return "-inf" if exponent < 0 else "inf"
    spread = error * horizon
    if not spread <= 1:
        return "undecided"
    return f"{exponent * horizon:.2g}" + (f" ± {spread:.1g}" if spread > 0 else "")
