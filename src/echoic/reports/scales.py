"""What the axes of the memory curves span, the same on screen and on paper."""

import numpy as np

from echoic.core.records import Curve, ReportRecord
from echoic.reports.thinning import thinned

DEFAULT_QUANTITY: dict[str, str] = {"gain": "gradient_reach", "information": "linear_recall"}

# Where lag 0 stands on the logarithmic axis, and the part of a gain that is worth seeing.
ZERO_AT = 0.5
LOWEST_GAIN, HIGHEST_GAIN = 1e-3, 1e3

_POINTS_ON_PAPER = 300

# Curves whose threshold counts from zero, not from the value at lag 0.
_ABSOLUTE = ("linear_recall", "raw_recall", "memoryless_recall")


def abscissa(lags: np.ndarray) -> np.ndarray:
    """Lags on the logarithmic axis: lag 0 stands at the left edge."""
    return np.where(lags == 0, ZERO_AT, lags).astype(float)


def fewer(curve: Curve) -> np.ndarray:
    """The points worth drawing on paper: thousands of lags a curve make a slow page."""
    horizon = curve.horizon
    keep = () if horizon is None else (horizon.last, horizon.first_crossing, horizon.peak)
    return thinned(curve.lags, _POINTS_ON_PAPER, keep)


def drawn_line(curve: Curve, panel: str) -> tuple[np.ndarray, np.ndarray]:
    """A curve's points on paper."""
    chosen = fewer(curve)
    value = np.asarray(curve.value, float)[chosen]
    if panel == "gain":
        # Far outside the axes a logarithm of zero would tear the line: let it fall off instead.
        value = np.where(np.isnan(value), value, np.clip(value, LOWEST_GAIN / 1e3, 1e12))
    return abscissa(curve.lags[chosen]), value


def value_range(record: ReportRecord, panel: str, quantity: str) -> tuple[float, float]:
    """The part of the vertical axis that is worth seeing."""
    tops = [
        float(np.max(finite))
        for network in record.networks
        for curve in network.curves
        if curve.quantity == quantity and curve.origin == "measured"
        for finite in [np.asarray(curve.value, float)[np.isfinite(curve.value)]]
        if finite.size
    ]
    top = max(tops, default=1.0)
    if panel == "information":
        return 0.0, 1.0 if top <= 1 else 1.05 * top
    return LOWEST_GAIN, 2.0 if top <= 1.5 else min(2 * top, HIGHEST_GAIN)


def level_of(record: ReportRecord, quantity: str, panel: str) -> float | None:
    """The height at which the threshold is drawn; None where there is no single one.

    The thresholds of gains and Fisher memory are shares of each curve's value at lag 0. They are
    one line only if all curves start within 5 % of each other.
    """
    threshold = _threshold(record, quantity, panel)
    if threshold is None or quantity in _ABSOLUTE:
        return threshold
    curves = [network.curve(quantity) for network in record.networks]
    starts = [float(c.value[0]) for c in curves if c is not None and len(c.value)]
    starts = [start for start in starts if np.isfinite(start)]
    if not starts:
        return threshold if panel == "gain" else None
    if max(starts) - min(starts) > 0.05 * max(starts):
        return None
    return threshold * (max(starts) + min(starts)) / 2


def _threshold(record: ReportRecord, quantity: str, panel: str) -> float | None:
    for network in record.networks:
        curve = network.curve(quantity)
        if curve is not None and curve.horizon is not None:
            return curve.horizon.threshold
    name = {"fisher_memory": "fisher"}.get(quantity, "gain" if panel == "gain" else "recall")
    return record.thresholds.get(quantity, record.thresholds.get(name))
