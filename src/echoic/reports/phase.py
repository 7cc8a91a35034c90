"""What a phase diagram shows and says, the same on screen, on paper and in the terminal."""

import math

import numpy as np

from echoic.core.records import Axis, NetworkRecord, PhaseMap, ReportRecord
from echoic.reports.style import printable, significant

# The fill ends here, as multiples of the horizon wanted: beyond it all is far enough.
_FARTHEST = 30.0


def placed(record: ReportRecord) -> NetworkRecord | None:
    """The network whose place on the phase diagram of its family is known, if there is one."""
    return next((n for n in record.networks if n.phase_map is not None), None)


def heights(diagram: PhaseMap) -> np.ndarray:
    """The natural logarithm of the reach plus 1, for drawing: NaN is left empty, far is cut off."""
    top = _FARTHEST * max(diagram.wanted, 1)
    reach = np.asarray(diagram.reach, float)
    return np.where(np.isnan(reach), np.nan, np.log1p(np.clip(reach, 0.0, top)))


def levels(diagram: PhaseMap) -> list[float]:
    """The reaches between which the fill changes: 1, 3, 10, ... steps."""
    known = heights(diagram)
    known = known[~np.isnan(known)]
    top = math.expm1(float(known.max())) if len(known) else 1.0
    steps = [mantissa * 10.0**power for power in range(8) for mantissa in (1.0, 3.0)]
    return [0.0, *(step for step in steps if step < top), max(1.5, 1.001 * top)]


def reach_at(diagram: PhaseMap, place: tuple[float, float]) -> float:
    """The reach at a place, between the points of the grid; NaN beside what is left empty."""
    z = heights(diagram)
    for axis, at, size in zip(
        (diagram.vertical, diagram.horizontal), place[::-1], z.shape, strict=True
    ):
        grid = _scaled(axis, np.asarray(axis.values, float))
        along = float(np.interp(_one(axis, at), grid, np.arange(size)))
        low = min(int(along), size - 2) if size > 1 else 0
        part = along - low
        # A weight of nothing must not spread the NaN of a neighbour.
        parts = [(1 - part, z[low])] + ([(part, z[low + 1])] if part > 0 else [])
        z = np.sum([weight * row for weight, row in parts if weight > 0], axis=0)
    reach = math.expm1(float(z))
    return math.inf if reach >= 0.999 * _FARTHEST * max(diagram.wanted, 1) else reach


def contour_label(diagram: PhaseMap) -> tuple[float, float] | None:
    """Where the contour of the wanted horizon has most room for its number; None if it has none.

    Crossings are looked for along rows and columns; the one farthest from the marks, the
    arrow between them and the edges is taken.
    """
    x = _scaled(diagram.horizontal, np.asarray(diagram.horizontal.values, float))
    y = _scaled(diagram.vertical, np.asarray(diagram.vertical.values, float))
    z = heights(diagram) - math.log1p(diagram.wanted)
    crossings = [(p, y[row]) for row in range(len(y)) for p in _crossings(x, z[row])]
    crossings += [(x[column], p) for column in range(len(x)) for p in _crossings(y, z[:, column])]
    if not crossings:
        return None
    corner, size = np.array([x[0], y[0]]), np.array([np.ptp(x), np.ptp(y)])
    points = (np.array(crossings) - corner) / size
    marks = [
        (np.array([_one(diagram.horizontal, at[0]), _one(diagram.vertical, at[1])]) - corner) / size
        for at in (diagram.here, diagram.there)
        if at is not None
    ]
    if len(marks) == 2:
        marks += [marks[0] + part * (marks[1] - marks[0]) for part in np.linspace(0.1, 0.9, 9)]
    edge = 2.0 * np.minimum(points, 1 - points).min(1)
    away = [np.hypot(*(points - mark).T) for mark in marks]
    best = int(np.argmax(np.minimum.reduce([edge, *away])))
    return _back(diagram.horizontal, crossings[best][0]), _back(
        diagram.vertical, crossings[best][1]
    )


def phase_sentence(diagram: PhaseMap) -> str:
    """The figure in words: where the network stands, what it reaches there, what the arrow says."""
    parts = []
    if diagram.here is not None:
        parts.append(f"You are here: {_place(diagram, diagram.here)}")
    if diagram.there is not None:
        name = printable(diagram.there_name) or "the prescription"
        start = f"{name} stands at" if diagram.here is None else f"{name}:"
        parts.append(f"{start} {_place(diagram, diagram.there)}")
    parts += _whether_at_all(diagram)
    return "; ".join(parts) + "."


def caption(diagram: PhaseMap) -> str:
    """What to look for."""
    text = (
        f"Look at how far you stand from the bold line: on it {printable(diagram.family)} is"
        f" predicted to reach the {diagram.wanted} steps you asked for."
        if diagram.here is not None
        else f"Look at the bold line: on it {printable(diagram.family)} is predicted to reach the"
        f" {diagram.wanted} steps you asked for, by different settings at different costs."
    )
    text += " The stronger the blue, the farther."
    if np.isnan(diagram.reach).any():
        text += " Grey: rugged, too steep to train, or nothing is predicted."
    if diagram.here is not None and diagram.there is not None:
        text += (
            f" The arrow leads to {printable(diagram.there_name) or 'the nearest prescription'},"
            " which may differ in what is not drawn here as well."
        )
    return text


def _place(diagram: PhaseMap, place: tuple[float, float]) -> str:
    reach = reach_at(diagram, place)
    axes = zip((diagram.horizontal, diagram.vertical), place, strict=True)
    where = ", ".join(f"{printable(a.label).partition(',')[0]} {significant(v)}" for a, v in axes)
    return f"{where} ({_steps(reach, diagram.wanted)})"


def _steps(reach: float, wanted: int) -> str:
    if math.isnan(reach):
        return "rugged, or nothing predicted"
    if math.isinf(reach):
        return f"predicted reach beyond {_FARTHEST * wanted:.0f} steps"
    steps = "step" if reach < 1.5 else "steps"
    return "predicted reach " + ("below 1 step" if reach < 1 else f"about {reach:.0f} {steps}")


def _whether_at_all(diagram: PhaseMap) -> list[str]:
    """Said of a diagram without a contour, or of one without a place."""
    above = np.nan_to_num(diagram.reach, nan=-1.0) >= diagram.wanted
    where = "nowhere" if not above.any() else "everywhere" if above.all() else "in part"
    if where == "in part" and (diagram.here or diagram.there) is not None:
        return []
    place = "in part of" if where == "in part" else f"{where} in"
    return [f"{place} the diagram {diagram.wanted} steps are reached"]


def ticks_of_fill(diagram: PhaseMap) -> list[tuple[float, str]]:
    """Heights and their words for the scale of the fill."""
    return [(math.log1p(level), f"{level:.0f}") for level in levels(diagram)[:-1]]


def _scaled(axis: Axis, values: np.ndarray) -> np.ndarray:
    if not axis.logarithmic:
        return np.asarray(values, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(values), float)


def _one(axis: Axis, value: float) -> float:
    return float(_scaled(axis, np.array(value)))


def _back(axis: Axis, value: float) -> float:
    return math.exp(value) if axis.logarithmic else float(value)


def _crossings(along: np.ndarray, height: np.ndarray) -> list[float]:
    """Where a height passes zero between neighbours that are both known."""
    found = []
    for i in range(len(along) - 1):
        low, high = height[i], height[i + 1]
        if np.isfinite(low) and np.isfinite(high) and (low < 0) != (high < 0):
            found.append(float(along[i] + (along[i + 1] - along[i]) * low / (low - high)))
    return found
