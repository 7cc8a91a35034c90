"""What the axes of the memory curves span, the same on screen and on paper."""

from collections.abc import Iterator

import numpy as np

from echoic.core.records import Curve, Horizon, ReportRecord
from echoic.reports.choosing import RISES, is_main, members
from echoic.reports.thinning import thinned

# Where lag 0 stands on the logarithmic axis, and the part of a gain that is worth seeing.
ZERO_AT = 0.5
LOWEST_GAIN, HIGHEST_GAIN = 1e-3, 1e3

_POINTS_ON_PAPER = 300
_MOST_DECADES = 6

# Curves whose threshold counts from zero, not from the value at lag 0.
_ABSOLUTE = ("linear_recall", "raw_recall", "memoryless_recall")
# Curves that do not start near 1: the axis follows their values.
_OWN_UNIT = ("input_reach", "fisher_memory")


def abscissa(lags: np.ndarray) -> np.ndarray:
    """Lags on the logarithmic axis: lag 0 stands at the left edge."""
    return np.where(lags == 0, ZERO_AT, lags).astype(float)


def fewer(curve: Curve) -> np.ndarray:
    """The points worth drawing on paper: thousands of lags a curve make a slow page."""
    horizon = curve.horizon
    keep = () if horizon is None else (horizon.last, horizon.first_crossing, horizon.peak)
    return thinned(curve.lags, _POINTS_ON_PAPER, keep)


def drawn_line(curve: Curve, low: float | None) -> tuple[np.ndarray, np.ndarray]:
    """A curve's points on paper; ``low`` is the foot of a logarithmic axis, None of a linear one.

    Far outside the axes a logarithm of zero would tear the line: let it fall off instead.
    """
    chosen = fewer(curve)
    value = np.asarray(curve.value, float)[chosen]
    return abscissa(curve.lags[chosen]), value if low is None else within(value, low)


def within(value: np.ndarray, low: float) -> np.ndarray:
    """``value`` kept where a logarithmic axis from ``low`` can draw it; NaN stays."""
    return np.where(np.isnan(value), value, np.clip(value, low / 1e3, 1e12))


def is_logarithmic(panel: str, quantity: str) -> bool:
    """Whether the vertical axis is; Fisher memories of different networks differ by decades."""
    return panel == "gain" or quantity in ("fisher_memory", "task_gradient_reach")


def value_range(record: ReportRecord, panel: str, quantity: str) -> tuple[float, float]:
    """The part of the vertical axis that is worth seeing."""
    ranges = [_range(record, panel, one) for one in members(quantity)]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _range(record: ReportRecord, panel: str, quantity: str) -> tuple[float, float]:
    values = [np.asarray(curve.value, float) for curve in _curves(record, quantity)]
    top = max((float(v[np.isfinite(v)].max()) for v in values if np.isfinite(v).any()), default=1.0)
    if quantity in RISES:
        # The bands, too, unless they are much higher than what they belong to.
        bands = [_upper(curve) for curve in _curves(record, quantity)]
        top = min(max([top, *bands]), 1.5 * top)
        lowest = min(
            (float(v[np.isfinite(v)].min()) for v in values if np.isfinite(v).any()), default=0
        )
        return min(0.0, 1.1 * lowest), 1.08 * top if top > 0 else 1.0
    if not is_logarithmic(panel, quantity):
        return 0.0, 1.0 if top <= 1 else 1.05 * top
    if quantity not in _OWN_UNIT or not 0 < top < np.inf:
        return LOWEST_GAIN, 2.0 if top <= 1.5 else min(2 * top, HIGHEST_GAIN)
    starts = [float(v[0]) for v in values if len(v) and np.isfinite(v[0]) and v[0] > 0]
    largest, smallest = max(starts, default=top), min(starts, default=top)
    high = min(2 * top, HIGHEST_GAIN * largest)
    # Deep enough for the lowest threshold, a twentieth of the smallest start.
    low = min(LOWEST_GAIN * largest, 0.02 * smallest)
    return max(low, high / 10**_MOST_DECADES), high


def _upper(curve: Curve) -> float:
    """The top of a curve's band."""
    if curve.standard_error is None:
        return -np.inf
    upper = curve.value + 2 * curve.standard_error
    return float(upper[np.isfinite(upper)].max(initial=-np.inf))


def _curves(record: ReportRecord, quantity: str) -> Iterator[Curve]:
    for network in record.networks:
        for curve in network.curves:
            if curve.quantity == quantity and is_main(curve, network):
                yield curve


def level_of(record: ReportRecord, quantity: str) -> float | None:
    """The height at which the threshold is drawn; None where there is no single one.

    The thresholds of gains and Fisher memory are shares of each curve's value at lag 0. They are
    one line only if all curves start within 5 % of each other. That of a rising loss is a share of
    its largest value, or of the loss itself.
    """
    quantity = members(quantity)[0]
    if quantity in RISES:
        return None
    threshold = _threshold(record, quantity)
    if threshold is None or quantity in _ABSOLUTE:
        return threshold
    starts = [float(c.value[0]) for c in _curves(record, quantity) if len(c.value)]
    starts = [start for start in starts if np.isfinite(start)]
    if not starts:
        return None
    if max(starts) - min(starts) > 0.05 * max(starts):
        return None
    return threshold * (max(starts) + min(starts)) / 2


def own_level(curve: Curve) -> float | None:
    """The value that a curve's horizon asks for."""
    if curve.horizon is None or not len(curve.value):
        return None
    start = 1.0 if curve.quantity in _ABSOLUTE else float(curve.value[0])
    return curve.horizon.threshold * start


def ends_at(curve: Curve, level: float | None) -> int | None:
    """The lag to be marked on a curve whose threshold is not the line at ``level``; else None."""
    own = own_level(curve)
    if own is None or curve.horizon is None or not _has_end(curve.horizon):
        return None
    if level is not None and abs(own - level) <= 0.05 * abs(level):
        return None
    return curve.horizon.last


def _has_end(horizon: Horizon) -> bool:
    return horizon.last >= 0 and not (horizon.censored or horizon.growing)


def _threshold(record: ReportRecord, quantity: str) -> float | None:
    """What the horizons of that quantity ask for; what has no horizon has no threshold."""
    for network in record.networks:
        curve = network.curve(quantity)
        if curve is not None and curve.horizon is not None:
            return curve.horizon.threshold
    return None
