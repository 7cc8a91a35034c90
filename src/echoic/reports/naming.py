"""Names at the ends of the curves, for figures on paper."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import BboxBase

from echoic.core.records import Curve
from echoic.reports.choosing import Shown
from echoic.reports.labels import Box, place
from echoic.reports.scales import drawn_line
from echoic.reports.style import ON_LIGHT, shortened_apart


def label_ends(
    drawing: Figure,
    axes: Axes,
    horizon: int,
    lines: Sequence[Shown],
    foot: float | None,
    level: float | None,
) -> None:
    """Write the names of the coloured curves where there is room, near their ends.

    ``foot`` is the foot of a logarithmic axis, None of a linear one; ``level`` the threshold.
    """
    low, high = axes.get_ylim()
    ends = [(line, _visible_tail(line.curve, foot, (low, high), level)) for line in lines]
    ends = [(line, tail) for line, tail in ends if line.name and len(tail)]
    names = shortened_apart([line.name for line, _ in ends], 26)
    tails = [axes.transData.transform(tail) for _, tail in ends]
    texts = [
        axes.text(
            tail[-1, 0], tail[-1, 1], name, color=ON_LIGHT[line.colour or 0], va="bottom", zorder=5
        )
        for name, (line, tail) in zip(names, ends, strict=True)
    ]
    renderer = FigureCanvasAgg(drawing).get_renderer()
    others = [text for text in axes.texts if text not in texts]
    extents = [text.get_window_extent(renderer) for text in texts]
    taken = [_box(text.get_window_extent(renderer)) for text in others]
    area = Box(axes.bbox.x0 + 2, axes.bbox.y0 + 3, axes.bbox.width - 2, axes.bbox.height - 3)
    ink, weight = _ink(axes, horizon, lines, foot, level)
    boxes = place(tails, [(e.width, e.height) for e in extents], area, ink, weight, taken)
    back = axes.transData.inverted()
    for text, box, tail in zip(texts, boxes, tails, strict=True):
        x, y = back.transform((box.left, box.bottom))
        text.set_position((x, y))
        leader = box.leader(tail)
        if math.dist(*leader) > 0.7 * box.height:
            axes.plot(*back.transform(leader).T, color=text.get_color(), lw=0.4, zorder=2)


def _visible_tail(
    curve: Curve,
    foot: float | None,
    limits: tuple[float, float],
    level: float | None,
    share: float = 0.45,
) -> np.ndarray:
    """Points of a curve, shape (q, 2), up to where its label belongs.

    That is where it leaves the picture for good, or falls below its threshold in the information
    panel, where all curves end in the same corner. Empty if nothing is known of the curve.
    """
    low, high = limits
    points = _along(curve, foot)
    if not len(points):
        return points
    bottom = low if foot is not None else 0.05 * points[0, 1] if level is None else level
    inside = np.flatnonzero((points[:, 1] >= bottom) & (points[:, 1] <= high))
    last = int(inside[-1]) if inside.size else 0
    tail = points[int((1 - share) * last) : last + 1]
    return np.c_[tail[:, 0], np.clip(tail[:, 1], low, high)]


def _ink(
    axes: Axes, horizon: int, lines: Sequence[Shown], foot: float | None, level: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """What a label should not cover: points along the curves and guides, coloured ones first."""
    high = axes.get_ylim()[1]
    rows = np.linspace(0, 1, 80)[:, None]
    wall = axes.transAxes.transform(np.c_[rows * 0, rows])
    wall[:, 0] = axes.transData.transform((horizon, high))[0]
    pieces, weights = [wall], [0.5]
    if level is not None:
        pieces.append(
            axes.transData.transform(np.c_[np.geomspace(*axes.get_xlim(), 80), [level] * 80])
        )
        weights.append(0.5)
    for line in lines:
        pieces.append(axes.transData.transform(_along(line.curve, foot)))
        weights.append(0.3 if line.colour is None else 1.0)
    inside = [piece[[axes.bbox.contains(*point) for point in piece]] for piece in pieces]
    return np.concatenate(inside), np.repeat(weights, [len(piece) for piece in inside])


def _along(curve: Curve, foot: float | None, count: int = 160) -> np.ndarray:
    """Points along a curve, close together on the page, steep parts included."""
    x, y = drawn_line(curve, foot)
    known = np.isfinite(y)
    if not known.any():
        return np.zeros((0, 2))
    x, y = x[known], y[known]
    u, v = np.log(x), y if foot is None else np.log(np.maximum(y, foot / 10))
    span = max(float(np.ptp(v)), 1e-12)
    length = np.r_[0, np.cumsum(np.hypot(np.diff(u) / max(np.ptp(u), 1e-12), np.diff(v) / span))]
    places = np.linspace(0, length[-1], count)
    back = np.interp(places, length, v)
    return np.c_[np.exp(np.interp(places, length, u)), back if foot is None else np.exp(back)]


def _box(extent: BboxBase) -> Box:
    return Box(extent.x0, extent.y0, extent.width, extent.height)
