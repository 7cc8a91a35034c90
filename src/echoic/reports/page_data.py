"""What the page's script draws from: the record's curves, thinned and rounded, as plain JSON."""

import json
from typing import Any

import numpy as np

from echoic.core.records import Axis, Curve, NetworkRecord, PhaseMap, ReportRecord
from echoic.core.training_record import TrainingRecord
from echoic.reports import learning
from echoic.reports.choosing import (
    DEFAULT_QUANTITY,
    axis_label,
    beside,
    choices,
    is_main,
    label,
    members,
)
from echoic.reports.phase import contour_label, heights, levels, placed, ticks_of_fill
from echoic.reports.scales import ends_at, is_logarithmic, level_of, value_range
from echoic.reports.serialise import plain_numbers
from echoic.reports.style import (
    FILL_ON_DARK,
    FILL_ON_LIGHT,
    GREY_ON_DARK,
    GREY_ON_LIGHT,
    ON_DARK,
    ON_LIGHT,
    foremost,
    mathematical,
    printable,
    shortened,
)
from echoic.reports.thinning import thinned

# The page may weigh 6 MB and plotly takes 4.8 of them. A number takes about 8 bytes.
_MOST_NUMBERS = 90_000
_FEWEST_POINTS = 40


def page_data(record: ReportRecord) -> dict[str, Any]:
    """Everything that is drawn, as plain values."""
    lags: list[list[int]] = []
    most = _points_each(record)
    found = placed(record)
    return {
        "horizon": record.horizon,
        "max_lag": record.max_lag,
        "coloured": list(foremost(record)),
        "light": {"curves": ON_LIGHT, "grey": GREY_ON_LIGHT, "fill": FILL_ON_LIGHT},
        "dark": {"curves": ON_DARK, "grey": GREY_ON_DARK, "fill": FILL_ON_DARK},
        "quantities": _quantities(record),
        "labels": {
            curve.quantity: label(curve.quantity)
            for network in record.networks
            for curve in network.curves
        },
        "networks": [_network(network, most, lags, record.horizon) for network in record.networks],
        "autocorrelation": _series(record.signal.autocorrelation, most, record.horizon),
        "phase": None if found is None or found.phase_map is None else _phase(found.phase_map),
        "learning": None if record.training is None else _learning(record.training),
        "lags": lags,
    }


def _learning(record: TrainingRecord) -> dict[str, Any]:
    """Learning curves by what they show: loss, accuracy."""
    return {
        quantity: {
            "axis": learning.axis_label(record, quantity),
            "logarithmic": learning.is_logarithmic(record, quantity),
            "range": plain_numbers(learning.value_range(record, quantity), 4),
            "last": learning.last_step(record),
            "chance": learning.chance_line(record, quantity),
            "lines": [
                {
                    "member": line.member,
                    "name": line.name,
                    "kind": line.kind,
                    "steps": line.steps.tolist(),
                    "value": plain_numbers(line.value, 4),
                }
                for line in learning.lines(record, quantity)
            ],
            "spread": {
                kind: _spread(learning.spread(record, quantity, kind)) for kind in learning.KINDS
            },
        }
        for quantity in learning.quantities(record)
    }


def _spread(found: learning.Spread | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "steps": found.steps.tolist(),
        **{name: plain_numbers(getattr(found, name), 4) for name in ("middle", "low", "high")},
    }


def _phase(diagram: PhaseMap) -> dict[str, Any]:
    label = contour_label(diagram)
    return {
        "x": _axis(diagram.horizontal),
        "y": _axis(diagram.vertical),
        "reach": [plain_numbers(row, 3) for row in np.asarray(diagram.reach, float)],
        "height": [plain_numbers(row, 4) for row in heights(diagram)],
        "levels": plain_numbers(np.log1p(levels(diagram)), 6),
        "ticks": [[round(place, 4), word] for place, word in ticks_of_fill(diagram)],
        "wanted": diagram.wanted,
        "line": float(np.log1p(diagram.wanted)),
        "label": None if label is None else plain_numbers(label, 5),
        "here": None if diagram.here is None else plain_numbers(diagram.here, 5),
        "there": None if diagram.there is None else plain_numbers(diagram.there, 5),
        "name": shortened(diagram.there_name, 28),
    }


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "label": mathematical(printable(axis.label)),
        "values": plain_numbers(axis.values, 5),
        "logarithmic": axis.logarithmic,
    }


def island(record: ReportRecord) -> str:
    """The data as text that may stand inside a ``script`` element, whatever the names in it."""
    text = json.dumps(page_data(record), allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _points_each(record: ReportRecord) -> int:
    curves = [curve for network in record.networks for curve in network.curves]
    rows = sum(
        1 + (curve.standard_error is not None) + (curve.floor is not None) for curve in curves
    )
    rows += sum(4 for _ in record.networks)
    return max(_FEWEST_POINTS, _MOST_NUMBERS // max(1, rows))


def _quantities(record: ReportRecord) -> dict[str, Any]:
    found = {}
    for panel in DEFAULT_QUANTITY:
        for name in choices(record, panel):
            level = level_of(record, name)
            found[name] = {
                "axis": axis_label(record, name),
                "members": members(name),
                "beside": beside(name),
                "logarithmic": is_logarithmic(panel, name),
                "threshold": _rounded(level),
                "range": plain_numbers(value_range(record, panel, name)),
                "ends": _ends(record, name, level),
            }
    return found


def _ends(record: ReportRecord, choice: str, level: float | None) -> list[list[Any]]:
    """Network, quantity and lag of the marks on curves whose threshold is not the line drawn."""
    ends = []
    for i, network in enumerate(record.networks):
        for curve in network.curves:
            if curve.quantity in members(choice) and is_main(curve, network):
                lag = ends_at(curve, level)
                ends += [] if lag is None else [[i, curve.quantity, lag]]
    return ends


def _rounded(level: float | None) -> float | None:
    return None if level is None else float(f"{level:.3g}")


def _network(
    network: NetworkRecord, most: int, lags: list[list[int]], wanted: int
) -> dict[str, Any]:
    spectrum = network.spectrum
    return {
        "name": printable(network.name),
        "curves": [
            {**_curve(curve, most, lags, wanted), "main": is_main(curve, network)}
            for curve in network.curves
        ],
        "exponents": None if spectrum is None else _series(spectrum.exponents, most),
        "predicted": None
        if spectrum is None or spectrum.predicted is None
        else _series(spectrum.predicted, most),
        "num_exponents": 0 if spectrum is None else spectrum.num_all,
        "singular_values": None
        if network.singular_values is None
        else _series(network.singular_values, most),
    }


def _curve(curve: Curve, most: int, lags: list[list[int]], wanted: int) -> dict[str, Any]:
    horizon = curve.horizon
    keep = () if horizon is None else (horizon.last, horizon.first_crossing, horizon.peak)
    # The reader points at the lag that she asked for: it must be there, not a neighbour.
    chosen = thinned(curve.lags, most, (wanted, *keep))
    own = [int(lag) for lag in curve.lags[chosen]]
    if own not in lags:
        lags.append(own)
    return {
        "quantity": curve.quantity,
        "origin": curve.origin,
        "lags": lags.index(own),
        "value": plain_numbers(np.asarray(curve.value)[chosen], 4),
        "error": _part(curve.standard_error, chosen, 2),
        "floor": _part(curve.floor, chosen, 3),
    }


def _part(values: np.ndarray | None, chosen: np.ndarray, digits: int) -> list[Any] | None:
    return None if values is None else plain_numbers(np.asarray(values)[chosen], digits)


def _series(values: np.ndarray, most: int, wanted: int | None = None) -> dict[str, Any]:
    """Numbered values, from 0: an order or a lag, and how many there are in all."""
    chosen = thinned(np.arange(len(values)), most, (wanted,))
    return {
        "index": chosen.tolist(),
        "value": plain_numbers(np.asarray(values)[chosen], 4),
        "count": len(values),
    }
