"""Curves in one line of text each, for the terminal."""

from collections.abc import Sequence

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from echoic.core.records import Curve, NetworkRecord, ReportRecord
from echoic.reports.style import plainly, shortened, shortened_apart

SPARKS, _ASCII_SPARKS = "▁▂▃▄▅▆▇█", "_.,-~=*#"
_DRAWN = 3


def sparklines(record: ReportRecord, width: int, plain: bool) -> Group:
    """One line a network for the best few: gain, recall, demand over the logarithm of the lag."""
    shown = record.networks[:_DRAWN]
    pairs = [("gradient_reach", "gain"), ("linear_recall", "recall"), ("context_ablation", "used")]
    pairs = [
        (quantity, word)
        for quantity, word in pairs
        if any(network.curve(quantity) is not None for network in shown)
    ]
    if not pairs:
        return Group()
    gap, highest = 2, _highest(shown)
    longest = max(len(shortened(n.name, 28)) for n in shown)
    room = max(len("lag (log)"), min(28, longest, width // 4))
    cells = max(8, min(32, (width - room) // len(pairs) - gap))
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(Text(""), width=room, no_wrap=True)
    for _, word in pairs:
        table.add_column(Text(word), width=cells, no_wrap=True)
    names = shortened_apart([network.name for network in shown], room)
    for network, name in zip(shown, names, strict=True):
        line: list[Text] = [Text(plainly(name, plain))]
        for quantity, word in pairs:
            curve = network.curve(quantity)
            if curve is None:
                line.append(Text(""))
            elif word == "used":
                line.append(Text(peaks(curve, record.max_lag, cells, highest, plain)))
            else:
                line.append(Text(sparkline(curve, cells, plain, word == "gain")))
        table.add_row(*line)
    ruler = Text(_ruler(record, cells), style="dim")
    table.add_row(Text("lag (log)", style="dim"), *(ruler for _ in pairs))
    return Group(table, Text(""))


def _places(max_lag: int, cells: int) -> np.ndarray:
    """The lag in each cell: 0 in the first, then 1 to the largest in equal ratios."""
    return np.r_[0, np.round(np.geomspace(1, max(1, max_lag), cells - 1)).astype(int)]


def _ruler(record: ReportRecord, cells: int) -> str:
    """Ticks under a sparkline: 0, the horizon, the largest lag."""
    line = list("0" + " " * (cells - 1))
    end, wanted = str(record.max_lag), str(record.horizon)
    line[cells - len(end) :] = end
    place = int(np.argmin(np.abs(_places(record.max_lag, cells) - record.horizon)))
    if 2 <= place <= cells - len(wanted) - len(end) - 3:
        line[place : place + len(wanted) + 1] = "^" + wanted
    elif 2 <= place < cells - len(end) - 1 and place - len(wanted) > 1:
        line[place - len(wanted) : place + 1] = wanted + "^"
    return "".join(line)


def sparkline(curve: Curve, cells: int = 24, plain: bool = False, logarithmic: bool = False) -> str:
    """A curve in one line of blocks: the first cell is lag 0, the others equal ratios of the lag.

    Gains are drawn on a logarithmic scale from 0.001 to 1, information from 0 to 1. A blank cell is
    unknown (NaN) or beyond the curve; ``plain`` draws with ASCII.
    """
    if not len(curve.lags):
        return " " * cells
    positions = np.searchsorted(curve.lags, _places(int(curve.lags[-1]), cells))
    value = np.asarray(curve.value, float)[np.clip(positions, 0, len(curve.value) - 1)]
    if logarithmic:
        with np.errstate(divide="ignore"):
            value = 1 + np.log10(np.maximum(value, 0)) / 3
    return drawn(value, plain)


def _highest(networks: Sequence[NetworkRecord]) -> float:
    """The largest rise of the loss, which all demands are drawn on the scale of."""
    curves = [network.curve("context_ablation") for network in networks]
    return max((float(np.nanmax(c.value, initial=0)) for c in curves if c is not None), default=0.0)


def peaks(curve: Curve, max_lag: int, cells: int, highest: float, plain: bool = False) -> str:
    """A demand in one line: in each cell the largest value of its lags, as a share of ``highest``.

    A demand may stand at a single lag, which equal ratios would step over. A blank cell holds no
    lag that was looked at.
    """
    if not highest > 0:
        return drawn(np.zeros(cells), plain)
    places = _places(max_lag, cells)
    value = np.full(cells, np.nan)
    cell = np.searchsorted(places, curve.lags, side="right") - 1
    np.fmax.at(value, cell, curve.value / highest)
    # The first few lags take several cells each.
    return drawn(value[np.searchsorted(places, places, side="right") - 1], plain)


def drawn(value: np.ndarray, plain: bool = False) -> str:
    """Shares of the height as blocks; a blank where the value is unknown."""
    blocks = _ASCII_SPARKS if plain else SPARKS
    steps = np.clip(value, 0, 1) * (len(blocks) - 1)
    return "".join(" " if np.isnan(s) else blocks[round(float(s))] for s in steps)
