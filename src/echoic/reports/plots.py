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
from echoic.core.quantities import QUANTITIES
from echoic.core.records import Curve, ReportRecord
from echoic.reports.choosing import (
    ALL_GAINS,
    DEFAULT_QUANTITY,
    Shown,
    axis_label,
    choices,
    shown,
)
from echoic.reports.learning import quantities as learned_quantities
from echoic.reports.learning_plot import draw_learning
from echoic.reports.naming import label_ends
from echoic.reports.scales import (
    ZERO_AT,
    abscissa,
    drawn_line,
    ends_at,
    fewer,
    is_logarithmic,
    level_of,
    value_range,
    within,
)
from echoic.reports.style import (
    GREY_ON_LIGHT,
    ON_LIGHT,
    foremost,
)

PANEL_WIDTH_MM, HEIGHT_MM = 85.0, 64.0
_MOST_BESIDE = 2
LEARNING = "learning"
POINTS = 8
# An asymptote for each of many networks would hide what was measured.
_MOST_REFERENCES = 2
LINES = {"measured": "-", "predicted": (0, (4, 2)), "bound": (0, (1, 1.5)), "reference": "-"}


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
    panels: Sequence[str] | None = None,
    quantities: dict[str, str] | None = None,
) -> PaperFigure:
    """The memory curves for a paper, and the learning curves of a training run.

    Measured curves are solid with a band of two standard errors, predicted ones dashed in the same
    colour, bounds dotted, references (the Lyapunov asymptote of one or two networks, memoryless
    recall) thin in that colour. The wanted horizon is a vertical line, thresholds are thin grey
    horizontal ones, what lies below the noise floor is shaded. Where curves start at different
    heights there is no one threshold line: a dot marks each curve's horizon. Lag 0 stands at the
    left edge.

    **Arguments**

    - ``networks``: names of the networks to draw in colour; all of up to five, else the best three
      and the worst. The others are grey.
    - ``panels``: ``"gain"`` and ``"information"``, the default; of a training run, all of which
      are the default, also ``"learning"`` and ``"demand"``. 85 mm each, two beside each other.
    - ``quantities``: which curve a panel shows, such as ``{"gain": "coherent_reach"}`` or
      ``{"learning": "accuracy"}``; gradient reach, linear recall, context that is used and loss by
      default, and for a single network ``"all_gains"``.

    **Returns** a figure that belongs to no window: save it with ``.savefig("name.pdf")``.
    """
    known = _panels_of(record)
    panels = known if panels is None else [checks.one_of("panel", one, known) for one in panels]
    if not panels:
        raise ValueError(f"panels must name at least one of {', '.join(known)}.")
    chosen = _chosen(record, dict(quantities or {}))
    coloured = _coloured(record, networks)
    beside, below = min(len(panels), _MOST_BESIDE), -(-len(panels) // _MOST_BESIDE)
    size = (PANEL_WIDTH_MM * beside / 25.4, HEIGHT_MM * below / 25.4)
    with matplotlib.rc_context(settings()):
        drawing = PaperFigure(figsize=size)
        FigureCanvasAgg(drawing)
        for i, (axes, panel) in enumerate(zip(_axes(drawing, len(panels)), panels, strict=True)):
            if panel == LEARNING and record.training is not None:
                draw_learning(drawing, axes, record.training, chosen[panel])
            else:
                _draw_panel(drawing, axes, record, coloured, panel, chosen[panel])
            if len(panels) > 1:
                letter = "abcdefgh"[i % 8]
                axes.text(0.0, 1.03, letter, transform=axes.transAxes, weight="bold", va="bottom")
    return drawing


def _panels_of(record: ReportRecord) -> list[str]:
    """What there is to draw: memory, and of a training run also what was learned and is asked."""
    if record.training is None:
        return ["gain", "information"]
    return [LEARNING, *(one for one in ("demand", "gain", "information") if choices(record, one))]


def _chosen(record: ReportRecord, wanted: dict[str, str]) -> dict[str, str]:
    first = {
        panel: next(iter(choices(record, panel)), name) for panel, name in DEFAULT_QUANTITY.items()
    }
    first[LEARNING] = "loss"
    for panel, quantity in wanted.items():
        checks.one_of("panel", panel, _panels_of(record))
        if panel == LEARNING:
            learned = [] if record.training is None else learned_quantities(record.training)
            checks.one_of("quantity of the learning panel", quantity, learned)
            continue
        of_panel = [name for name, about in QUANTITIES.items() if about.panel == panel]
        together = [ALL_GAINS] if first[panel] == ALL_GAINS else []
        checks.one_of(f"quantity of the {panel} panel", quantity, of_panel + together)
    return first | wanted


def settings() -> dict[Any, Any]:
    """Matplotlib's settings for a figure on paper, whatever the user's are."""
    installed = set(font_manager.get_font_names())
    face = next((name for name in _FACES if name in installed), "DejaVu Sans")
    return {
        # The second one has the subscripts and Greek letters that the first may lack.
        "font.family": list(dict.fromkeys((face, "DejaVu Sans"))),
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
    below = -(-count // _MOST_BESIDE)
    width, height = PANEL_WIDTH_MM * min(count, _MOST_BESIDE), HEIGHT_MM * below
    left, right, bottom, top = 12.5, 2.5, 10.5, 5.5
    return [
        drawing.add_axes(
            (
                (PANEL_WIDTH_MM * (i % _MOST_BESIDE) + left) / width,
                (HEIGHT_MM * (below - 1 - i // _MOST_BESIDE) + bottom) / height,
                (PANEL_WIDTH_MM - left - right) / width,
                (HEIGHT_MM - bottom - top) / height,
            )
        )
        for i in range(count)
    ]


def _draw_panel(
    drawing: Figure,
    axes: Axes,
    record: ReportRecord,
    coloured: tuple[int, ...],
    panel: str,
    quantity: str,
) -> None:
    _scales(axes, record, panel, quantity)
    foot = axes.get_ylim()[0] if is_logarithmic(panel, quantity) else None
    lines = shown(record, quantity, coloured, panel != "gain" or len(coloured) <= _MOST_REFERENCES)
    level = level_of(record, quantity)
    for line in lines:
        if line.colour is None:
            axes.plot(*drawn_line(line.curve, foot), color=GREY_ON_LIGHT, lw=0.6, zorder=1)
        else:
            _draw_curve(axes, line, foot, level)
    of_interest = [line.curve for line in lines if line.colour is not None]
    floors = [curve for curve in of_interest if curve.floor is not None]
    # Among all gains the coherent reach's floor would hide what can be seen of the others.
    if floors and quantity != ALL_GAINS:
        _shade_floor(axes, floors)
    _guides(axes, record, level)
    label_ends(drawing, axes, record.horizon, lines, foot, level)


def _draw_curve(axes: Axes, line: Shown, foot: float | None, level: float | None) -> None:
    curve, colour = line.curve, ON_LIGHT[line.colour or 0]
    x, y = drawn_line(curve, foot)
    width = {"measured": 1.2, "predicted": 0.9, "bound": 0.9, "reference": 0.5}[curve.origin]
    axes.plot(x, y, color=colour, lw=width, ls=LINES[curve.origin], zorder=3)
    if curve.origin == "measured" and curve.standard_error is not None:
        chosen = fewer(curve)
        spread = 2 * np.asarray(curve.standard_error, float)[chosen]
        low, high = curve.value[chosen] - spread, curve.value[chosen] + spread
        if foot is not None:
            low, high = within(low, foot), within(high, foot)
        axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0, zorder=2)
    end = ends_at(curve, level) if curve.origin == "measured" else None
    if end is not None:
        axes.plot(abscissa(np.array([end])), [curve.at(end)], "o", ms=3, color=colour, zorder=4)


def _shade_floor(axes: Axes, curves: Sequence[Curve]) -> None:
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
    axes.set_ylabel(axis_label(record, quantity))
    low, high = value_range(record, panel, quantity)
    if is_logarithmic(panel, quantity):
        axes.set_yscale("log")
    axes.set_ylim(low, high)


def _guides(axes: Axes, record: ReportRecord, level: float | None) -> None:
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
