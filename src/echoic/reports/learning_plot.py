"""Learning curves on paper."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from echoic.core.training_record import TrainingRecord
from echoic.reports.labels import Box, place
from echoic.reports.learning import (
    axis_label,
    chance_line,
    is_logarithmic,
    last_step,
    lines,
    spread,
    value_range,
)
from echoic.reports.style import GREY_ON_LIGHT, ON_LIGHT, shortened


class _Named(NamedTuple):
    name: str
    colour: str
    steps: np.ndarray
    value: np.ndarray


def draw_learning(drawing: Figure, axes: Axes, record: TrainingRecord, quantity: str) -> None:
    """Loss or accuracy over the updates.

    A few seeds each in a colour, validation solid and training dotted; of more the median in the
    range that they cover, each of them thin and grey.
    """
    axes.set_xlim(0, last_step(record))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("updates")
    axes.set_ylabel(axis_label(record, quantity))
    if is_logarithmic(record, quantity):
        axes.set_yscale("log")
    axes.set_ylim(*value_range(record, quantity))
    many = spread(record, quantity) is not None
    named = _many(axes, record, quantity) if many else _few(axes, record, quantity)
    _chance(axes, record, quantity)
    _names(drawing, axes, named)


def _few(axes: Axes, record: TrainingRecord, quantity: str) -> list[_Named]:
    found = lines(record, quantity)
    alone = len({line.member for line in found}) == 1
    named = []
    for line in found:
        main = line.kind == "validation"
        colour = ON_LIGHT[line.member % len(ON_LIGHT)]
        style = {"lw": 1.2, "ls": "-", "zorder": 3} if main else {"lw": 0.8, "ls": ":", "zorder": 2}
        marker = "o" if len(line.steps) == 1 else None
        axes.plot(line.steps, line.value, color=colour, marker=marker, ms=3, **style)
        if main or alone:
            named.append(_Named(line.kind if alone else line.name, colour, line.steps, line.value))
    return named


def _many(axes: Axes, record: TrainingRecord, quantity: str) -> list[_Named]:
    colour, named = ON_LIGHT[0], []
    for line in lines(record, quantity):
        if line.kind == "validation":
            axes.plot(line.steps, line.value, color=GREY_ON_LIGHT, lw=0.4, zorder=1)
    for kind, style in (("validation", "-"), ("training", ":")):
        found = spread(record, quantity, kind)
        if found is None:
            continue
        if kind == "validation":
            axes.fill_between(
                found.steps, found.low, found.high, color=colour, alpha=0.2, lw=0, zorder=2
            )
        axes.plot(found.steps, found.middle, color=colour, lw=1.2, ls=style, zorder=3)
        named.append(_Named(kind, colour, found.steps, found.middle))
    return named


def _chance(axes: Axes, record: TrainingRecord, quantity: str) -> None:
    chance = chance_line(record, quantity)
    if chance is None:
        return
    axes.axhline(chance[0], color="0.45", lw=0.4, zorder=2)
    axes.annotate(
        chance[1],
        (1.0, chance[0]),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 1.5),
        textcoords="offset points",
        color="0.35",
        ha="right",
        va="bottom",
    )


def _names(drawing: Figure, axes: Axes, named: list[_Named]) -> None:
    """Names where there is room, near the ends of the curves."""
    renderer = FigureCanvasAgg(drawing).get_renderer()
    taken = [_box(text.get_window_extent(renderer)) for text in axes.texts]
    paths = [_along(axes, one) for one in named]
    kept = [(one, path) for one, path in zip(named, paths, strict=True) if len(path)]
    texts = [
        axes.text(0, 0, shortened(one.name, 26), color=one.colour, va="bottom", zorder=5)
        for one, _ in kept
    ]
    extents = [text.get_window_extent(renderer) for text in texts]
    area = Box(axes.bbox.x0 + 2, axes.bbox.y0 + 3, axes.bbox.width - 2, axes.bbox.height - 3)
    ink = np.concatenate([np.zeros((0, 2)), *paths])
    tails = [path[len(path) // 2 :] for _, path in kept]
    sizes = [(extent.width, extent.height) for extent in extents]
    boxes = place(tails, sizes, area, ink, np.ones(len(ink)), taken)
    back = axes.transAxes.inverted()
    for text, box in zip(texts, boxes, strict=True):
        text.set_transform(axes.transAxes)
        text.set_position(tuple(back.transform((box.left, box.bottom))))


def _along(axes: Axes, one: _Named) -> np.ndarray:
    """Points along the part of a curve that is in the picture, in pixels."""
    low, high = axes.get_ylim()
    inside = (one.value >= low) & (one.value <= high)
    if not inside.any():
        return np.zeros((0, 2))
    corners = axes.transData.transform(np.c_[one.steps, np.clip(one.value, low, high)])
    length = np.r_[0, np.cumsum(np.hypot(*np.diff(corners, axis=0).T))]
    # Close together on the page, steep parts included.
    places = np.linspace(0, length[-1], max(2, int(length[-1] / 3)))
    return np.c_[np.interp(places, length, corners[:, 0]), np.interp(places, length, corners[:, 1])]


def _box(extent) -> Box:
    return Box(extent.x0, extent.y0, extent.width, extent.height)
