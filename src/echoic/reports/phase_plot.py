"""The phase diagram on paper: the predicted horizon over two hyperparameters, and a place in it."""

import math

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap

from echoic.core.records import Axis, PhaseMap
from echoic.reports.phase import contour_label, heights, levels, ticks_of_fill
from echoic.reports.plots import PANEL_WIDTH_MM, PaperFigure, settings
from echoic.reports.style import FILL_ON_LIGHT, mathematical, printable, shortened

_HEIGHT_MM = 72.0


def phase_figure(diagram: PhaseMap) -> PaperFigure:
    """The phase diagram for a paper, 85 mm wide.

    The fill is the predicted horizon on a logarithmic scale, the bold line the horizon wanted with
    its number. A dot marks the network, an arrow leads to the prescription. Hatched: rugged, or
    nothing is predicted.
    """
    with matplotlib.rc_context({**settings(), "hatch.linewidth": 0.4}):
        drawing = PaperFigure(figsize=(PANEL_WIDTH_MM / 25.4, _HEIGHT_MM / 25.4))
        FigureCanvasAgg(drawing)
        axes = drawing.add_axes((0.16, 0.15, 0.62, 0.76))
        _fill(drawing, axes, diagram)
        _contour(axes, diagram)
        _marks(axes, diagram)
        _scale(axes, diagram.horizontal, "x")
        _scale(axes, diagram.vertical, "y")
        axes.set_title(printable(diagram.family), loc="left")
    return drawing


def _fill(drawing: PaperFigure, axes: Axes, diagram: PhaseMap) -> None:
    axes.patch.set(facecolor="0.92", hatch="////", edgecolor="0.7")
    steps = np.log1p(levels(diagram))
    colours = LinearSegmentedColormap.from_list("reach", FILL_ON_LIGHT)
    z = np.ma.masked_invalid(heights(diagram))
    if z.count():
        filled = axes.contourf(
            np.asarray(diagram.horizontal.values),
            np.asarray(diagram.vertical.values),
            z,
            levels=steps,
            cmap=colours,
            norm=BoundaryNorm(steps, colours.N),
        )
        side = drawing.add_axes((0.81, 0.15, 0.03, 0.76))
        bar = drawing.colorbar(filled, cax=side, spacing="proportional")
        places, words = zip(*ticks_of_fill(diagram), strict=True)
        bar.set_ticks(places, labels=words)
        bar.set_label("predicted horizon (steps)")
        bar.outline.set_linewidth(0.4)


def _contour(axes: Axes, diagram: PhaseMap) -> None:
    place = contour_label(diagram)
    if place is None:
        return
    axes.contour(
        np.asarray(diagram.horizontal.values),
        np.asarray(diagram.vertical.values),
        np.ma.masked_invalid(heights(diagram)),
        levels=[math.log1p(diagram.wanted)],
        colors="k",
        linewidths=1.6,
    )
    _written(axes, place, f"{diagram.wanted} steps", (0.0, 0.0), "center", "center", weight="bold")


def _marks(axes: Axes, diagram: PhaseMap) -> None:
    """Dots for network and prescription, the arrow between them, and their names."""
    here, there = diagram.here, diagram.there
    if here is not None and there is not None:
        axes.annotate(
            "",
            there,
            here,
            arrowprops={"arrowstyle": "-|>", "lw": 1.0, "color": "k", "shrinkA": 4, "shrinkB": 4},
            zorder=5,
        )
    for place, name, face in (
        (here, "you are here", "k"),
        (there, shortened(diagram.there_name, 28), "w"),
    ):
        if place is None:
            continue
        axes.plot(*place, "o", ms=5, mfc=face, mec="k", mew=1.0, zorder=6, clip_on=False)
        right = _share(diagram.horizontal, place[0]) > 0.5
        # Above the upper mark, below the lower one: the arrow runs between them.
        other = there if place is here else here
        up = other is None or place[1] >= other[1]
        if _share(diagram.vertical, place[1]) > 0.92:
            up = False
        _written(
            axes,
            place,
            name,
            (5.0 if right else -5.0, 6.0 if up else -6.0),
            "right" if right else "left",
            "bottom" if up else "top",
        )


def _written(
    axes: Axes,
    place: tuple[float, float],
    text: str,
    offset: tuple[float, float],
    across: str,
    along: str,
    weight: str = "normal",
) -> None:
    axes.annotate(
        text,
        place,
        offset,
        textcoords="offset points",
        ha=across,
        va=along,
        weight=weight,
        zorder=7,
        # A halo would turn the text into paths.
        bbox={"facecolor": "w", "edgecolor": "none", "alpha": 0.85, "pad": 0.8},
    )


def _share(axis: Axis, value: float) -> float:
    """How far along an axis a value lies, between 0 and 1."""
    low, high = float(axis.values[0]), float(axis.values[-1])
    if axis.logarithmic:
        low, high, value = math.log(low), math.log(high), math.log(max(value, low))
    return (value - low) / (high - low)


def _scale(axes: Axes, axis: Axis, which: str) -> None:
    set_scale = axes.set_xscale if which == "x" else axes.set_yscale
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    set_label = axes.set_xlabel if which == "x" else axes.set_ylabel
    set_scale("log" if axis.logarithmic else "linear")
    set_limits(float(axis.values[0]), float(axis.values[-1]))
    set_label(mathematical(printable(axis.label)))
