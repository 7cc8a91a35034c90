"""The memory curves on paper: matplotlib figures, 85 mm a panel, 8 pt, text kept as text."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from echoic.core import checks
from echoic.core.records import QUANTITIES, Curve, ReportRecord
from echoic.reports.labels import Box, place
from echoic.reports.style import (
    GREY_ON_LIGHT,
    ON_LIGHT,
    foremost,
    shortened,
    threshold_of,
)
from echoic.reports.thinning import thinned

PANEL_WIDTH_MM, HEIGHT_MM = 85.0, 64.0
POINTS = 8
DEFAULT_QUANTITY = {"gain": "gradient_reach", "information": "linear_recall"}
LINES = {"measured": "-", "predicted": (0, (4, 2)), "bound": (0, (1, 1.5)), "reference": "-"}

# Where lag 0 stands on the logarithmic axis, and the part of a gain that is worth seeing.
ZERO_AT = 0.5
_POINTS_DRAWN = 300
LOWEST_GAIN, HIGHEST_GAIN = 1e-3, 1e3

_FACES = ("Helvetica", "Arial", "Liberation Sans", "DejaVu Sans")


class PaperFigure(Figure):
    """A matplotlib figure that saves its text as text, whatever the user's settings are."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """As in matplotlib; ``svg`` and ``pdf`` keep text that can be searched and edited."""
        with matplotlib.rc_context(
            {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "echoic"}
        ):
            super().savefig(fname, **options)


def figure(
    record: ReportRecord,
    networks: Sequence[str] | None = None,
    panels: Sequence[str] = ("gain", "information"),
    quantities: dict[str, str] | None = None,
) -> PaperFigure:
    """The memory curves for a paper.

    Measured curves are solid with a band of two standard errors, predicted ones dashed in the same
    colour, bounds dotted. The wanted horizon is a vertical line, thresholds are thin horizontal
    ones, what lies below the noise floor is shaded. Lag 0 stands at the left edge.

    **Arguments**

    - ``networks``: names of the networks to draw in colour; all of up to five, else the best three
      and the worst. The others are grey.
    - ``panels``: ``"gain"``, ``"information"`` or both: 85 mm each.
    - ``quantities``: which curve a panel shows, such as ``{"gain": "coherent_reach"}``; gradient
      reach and linear recall by default.

    **Returns** a figure that belongs to no window: save it with ``.savefig("name.pdf")``.
    """
    panels = [checks.one_of("panel", panel, DEFAULT_QUANTITY) for panel in panels]
    if not panels:
        raise ValueError("panels must name at least one of gain, information.")
    shown = DEFAULT_QUANTITY | dict(quantities or {})
    for panel, quantity in shown.items():
        checks.one_of("panel", panel, DEFAULT_QUANTITY)
        of_panel = [name for name, about in QUANTITIES.items() if about.panel == panel]
        checks.one_of(f"quantity of the {panel} panel", quantity, of_panel)
    coloured = _coloured(record, networks)
    size = (PANEL_WIDTH_MM * len(panels) / 25.4, HEIGHT_MM / 25.4)
    with matplotlib.rc_context(_settings()):
        drawing = PaperFigure(figsize=size)
        FigureCanvasAgg(drawing)
        for i, (axes, panel) in enumerate(zip(_axes(drawing, len(panels)), panels, strict=True)):
            _draw_panel(axes, record, coloured, panel, shown[panel])
            if len(panels) > 1:
                axes.text(0.0, 1.03, "ab"[i], transform=axes.transAxes, weight="bold", va="bottom")
    return drawing


def _settings() -> dict[str, Any]:
    installed = set(font_manager.get_font_names())
    face = next((name for name in _FACES if name in installed), "DejaVu Sans")
    return {
        "font.family": [face],
        "font.size": POINTS,
        "axes.labelsize": POINTS,
        "axes.titlesize": POINTS,
        "xtick.labelsize": POINTS,
        "ytick.labelsize": POINTS,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.minor.width": 0.4,
        "ytick.minor.width": 0.4,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "xtick.minor.size": 1.5,
        "ytick.minor.size": 1.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": True,
        "mathtext.default": "regular",
        "text.usetex": False,
    }


def _coloured(record: ReportRecord, names: Sequence[str] | None) -> tuple[int, ...]:
    if names is None:
        return foremost(record)
    known = [network.name for network in record.networks]
    names = [names] if isinstance(names, str) else list(names)
    if len(names) > len(ON_LIGHT):
        raise ValueError(f"at most {len(ON_LIGHT)} networks can be coloured, got {len(names)}.")
    return tuple(known.index(checks.one_of("network", name, known)) for name in names)


def _axes(drawing: Figure, count: int) -> list[Axes]:
    """Panels with the same margins in millimetres, whatever their number."""
    width, height = PANEL_WIDTH_MM * count, HEIGHT_MM
    left, right, bottom, top = 12.5, 2.5, 10.5, 5.5
    return [
        drawing.add_axes(
            (
                (PANEL_WIDTH_MM * i + left) / width,
                bottom / height,
                (PANEL_WIDTH_MM - left - right) / width,
                (height - bottom - top) / height,
            )
        )
        for i in range(count)
    ]


def _draw_panel(
    axes: Axes, record: ReportRecord, coloured: tuple[int, ...], panel: str, quantity: str
) -> None:
    _scales(axes, record, panel, quantity)
    for i, network in enumerate(record.networks):
        curve = network.curve(quantity)
        if i not in coloured and curve is not None:
            axes.plot(*_line(curve, panel), color=GREY_ON_LIGHT, lw=0.6, zorder=1)
    floors = []
    for i, colour in zip(coloured, ON_LIGHT, strict=False):
        for curve in record.networks[i].curves:
            if curve.quantity == quantity:
                _draw_curve(axes, curve, panel, colour)
                floors += [] if curve.floor is None else [curve]
    if floors:
        _shade_floor(axes, floors, panel)
    _guides(axes, record, panel, quantity)
    _label_ends(axes, record, coloured, panel, quantity)


def abscissa(lags: np.ndarray) -> np.ndarray:
    """Lags on the logarithmic axis: lag 0 stands at the left edge."""
    return np.where(lags == 0, ZERO_AT, lags).astype(float)


def _fewer(curve: Curve) -> np.ndarray:
    """The points worth drawing on paper: a page of 2001 lags a curve would be a slow one."""
    horizon = curve.horizon
    keep = () if horizon is None else (horizon.last, horizon.first_crossing, horizon.peak)
    return thinned(curve.lags, _POINTS_DRAWN, keep)


def _line(curve: Curve, panel: str) -> tuple[np.ndarray, np.ndarray]:
    chosen = _fewer(curve)
    value = np.asarray(curve.value, float)[chosen]
    if panel == "gain":
        # Far outside the axes a logarithm of zero would tear the line: let it fall off instead.
        value = np.where(np.isnan(value), value, np.clip(value, LOWEST_GAIN / 1e3, 1e12))
    return abscissa(curve.lags[chosen]), value


def _draw_curve(axes: Axes, curve: Curve, panel: str, colour: str) -> None:
    x, y = _line(curve, panel)
    width = {"measured": 1.2, "predicted": 0.9, "bound": 0.9, "reference": 0.6}[curve.origin]
    axes.plot(x, y, color=colour, lw=width, ls=LINES[curve.origin], zorder=3)
    if curve.origin == "measured" and curve.standard_error is not None:
        chosen = _fewer(curve)
        spread = 2 * np.asarray(curve.standard_error, float)[chosen]
        low, high = curve.value[chosen] - spread, curve.value[chosen] + spread
        if panel == "gain":
            low, high = (np.clip(edge, LOWEST_GAIN / 1e3, 1e12) for edge in (low, high))
        axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0, zorder=2)


def _shade_floor(axes: Axes, curves: Sequence[Curve], panel: str) -> None:
    """Shade what no coloured curve could show: below the lowest of their floors."""
    shortest = min(len(curve.lags) for curve in curves)
    floor = np.min([np.asarray(curve.floor, float)[:shortest] for curve in curves], axis=0)
    bottom = axes.get_ylim()[0]
    x = abscissa(curves[0].lags[:shortest])
    axes.fill_between(x, bottom, np.maximum(floor, bottom), color="0.9", lw=0, zorder=0)


def _scales(axes: Axes, record: ReportRecord, panel: str, quantity: str) -> None:
    lags = max(record.max_lag, 2)
    axes.set_xscale("log")
    axes.set_xlim(ZERO_AT, lags)
    decades = [10**i for i in range(math.floor(math.log10(lags)) + 1)]
    ticks = [ZERO_AT, *decades]
    axes.set_xticks(ticks, ["0", *(f"{decade:d}" for decade in decades)])
    axes.tick_params(axis="x", which="minor", bottom=True)
    axes.set_xlabel("lag (steps back in time)")
    about = QUANTITIES[quantity]
    axes.set_ylabel(f"{about.label} ({about.unit})" if len(about.unit) < 22 else about.label)
    low, high = value_range(record, panel, quantity)
    if panel == "gain":
        axes.set_yscale("log")
    axes.set_ylim(low, high)


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


def _guides(axes: Axes, record: ReportRecord, panel: str, quantity: str) -> None:
    axes.axvline(record.horizon, color="0.25", lw=0.7, zorder=2)
    axes.annotate(
        f"{record.horizon} steps",
        (record.horizon, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center" if record.horizon < record.max_lag / 3 else "right",
        va="bottom",
    )
    level = threshold_of(record, quantity, panel)
    if level is not None:
        axes.axhline(level, color="0.45", lw=0.4, zorder=2)
        axes.annotate(
            f"{level:g}",
            (0.0, level),
            xycoords=("axes fraction", "data"),
            xytext=(2, 1.5),
            textcoords="offset points",
            color="0.35",
            va="bottom",
        )


def visible_tail(
    curve: Curve, panel: str, low: float, high: float, level: float | None, share: float = 0.45
) -> np.ndarray:
    """Points of a curve, shape (q, 2), up to where its label belongs.

    That is where it leaves the picture for good, or falls below its threshold in the information
    panel, where all curves end in the same corner. Empty if nothing is known of the curve.
    """
    points = _along(curve, panel, low)
    if not len(points):
        return points
    bottom = low if panel == "gain" else max(low, 0.0 if level is None else level)
    inside = np.flatnonzero((points[:, 1] >= bottom) & (points[:, 1] <= high))
    last = int(inside[-1]) if inside.size else 0
    tail = points[int((1 - share) * last) : last + 1]
    return np.c_[tail[:, 0], np.clip(tail[:, 1], low, high)]


def _label_ends(
    axes: Axes, record: ReportRecord, coloured: tuple[int, ...], panel: str, quantity: str
) -> None:
    low, high = axes.get_ylim()
    level = threshold_of(record, quantity, panel)
    texts, tails = [], []
    for i, colour in zip(coloured, ON_LIGHT, strict=False):
        curve = record.networks[i].curve(quantity)
        tail = [] if curve is None else visible_tail(curve, panel, low, high, level)
        if len(tail):
            tails.append(axes.transData.transform(tail))
            name = shortened(record.networks[i].name, 26)
            texts.append(axes.text(*tail[-1], name, color=colour, va="bottom", zorder=5))
    canvas = axes.get_figure(root=True).canvas
    assert isinstance(canvas, FigureCanvasAgg)
    others = [text for text in axes.texts if text not in texts]
    extents = [text.get_window_extent(canvas.get_renderer()) for text in texts]
    taken = [Box(*text.get_window_extent(canvas.get_renderer()).bounds) for text in others]
    area = Box(axes.bbox.x0 + 2, axes.bbox.y0 + 3, axes.bbox.width - 2, axes.bbox.height - 3)
    ink, weight = _ink(axes, record, coloured, panel, quantity)
    boxes = place(tails, [(e.width, e.height) for e in extents], area, ink, weight, taken)
    back = axes.transData.inverted()
    for text, box, tail in zip(texts, boxes, tails, strict=True):
        text.set_position(back.transform((box.left, box.bottom)))
        leader = box.leader(tail)
        if math.dist(*leader) > 0.7 * box.height:
            axes.plot(*back.transform(leader).T, color=text.get_color(), lw=0.4, zorder=2)


def _ink(
    axes: Axes, record: ReportRecord, coloured: tuple[int, ...], panel: str, quantity: str
) -> tuple[np.ndarray, np.ndarray]:
    """What a label should not cover: points along the curves and guides, coloured ones first."""
    low, high = axes.get_ylim()
    level = threshold_of(record, quantity, panel)
    rows = np.linspace(0, 1, 80)[:, None]
    wall = axes.transAxes.transform(np.c_[rows * 0, rows])
    wall[:, 0] = axes.transData.transform((record.horizon, high))[0]
    pieces, weights = [wall], [0.5]
    if level is not None:
        pieces.append(
            axes.transData.transform(np.c_[np.geomspace(*axes.get_xlim(), 80), [level] * 80])
        )
        weights.append(0.5)
    for i, network in enumerate(record.networks):
        for curve in network.curves:
            if curve.quantity == quantity and (i in coloured or curve.origin == "measured"):
                pieces.append(axes.transData.transform(_along(curve, panel, low)))
                weights.append(1.0 if i in coloured else 0.3)
    inside = [piece[[axes.bbox.contains(*point) for point in piece]] for piece in pieces]
    return np.concatenate(inside), np.repeat(weights, [len(piece) for piece in inside])


def _along(curve: Curve, panel: str, low: float, count: int = 160) -> np.ndarray:
    """Points along a curve, close together on the page, steep parts included."""
    x, y = _line(curve, panel)
    known = np.isfinite(y)
    if not known.any():
        return np.zeros((0, 2))
    x, y = x[known], y[known]
    scale = (lambda v: np.log(np.maximum(v, low / 10))) if panel == "gain" else (lambda v: v)
    u, v = np.log(x), scale(y)
    span = max(float(np.ptp(v)), 1e-12)
    length = np.r_[0, np.cumsum(np.hypot(np.diff(u) / max(np.ptp(u), 1e-12), np.diff(v) / span))]
    places = np.linspace(0, length[-1], count)
    back = np.interp(places, length, v)
    return np.c_[np.exp(np.interp(places, length, u)), np.exp(back) if panel == "gain" else back]
