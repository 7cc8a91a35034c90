"""The prescriptions of a design: one row each, the same in the terminal and in the page."""

import dataclasses
import math
from collections.abc import Iterator

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from echoic.core.quantities import QUANTITIES
from echoic.core.records import Curve, Horizon, NetworkRecord, PrescriptionRecord, ReportRecord
from echoic.reports.columns import Cell, Column
from echoic.reports.sparklines import sparkline
from echoic.reports.style import (
    ASCII_MARKS,
    MARKS,
    UNKNOWN,
    aligned,
    horizon_text,
    mathematical,
    plainly,
    printable,
    shortened,
    shortened_apart,
    significant,
)

_SHORT = {
    "gradient_reach": "gradient",
    "coherent_reach": "coherent",
    "fisher_memory": "Fisher",
    "linear_recall": "recall",
}
_IN_TERMINAL = ("name", "predicted", "measured", "promise", "gain", "noise", "regime")
_DRAWN = 3


def prescription_columns(record: ReportRecord) -> tuple[Column, ...]:
    """What to build, what is promised, what was measured, and what it costs."""
    rows = record.prescriptions
    return (
        Column(
            "name",
            ("", "prescription"),
            "What to build, best first: those that were built and measured, in the order of the"
            " measurement, then those that should reach the horizon, then the others.",
            "",
            tuple(Cell(printable(p.name), sort=printable(p.name).casefold()) for p in rows),
        ),
        Column(
            "predicted",
            ("predicted", "horizon"),
            "The last lag at which the predicted curve of the promise stands above its threshold.",
            "steps",
            tuple(_lag(p.curve.horizon) for p in rows),
        ),
        Column(
            "measured",
            ("measured", "horizon"),
            "The same by the measured curve, less two standard errors, of one network drawn as"
            " prescribed. “n/a”: it was not built.",
            "steps",
            tuple(_lag(_measured(record, p)) for p in rows),
        ),
        Column(
            "promise",
            ("", "promise"),
            "The curve whose horizon is prescribed: "
            + " ".join(
                f"{_word(q)}: {QUANTITIES[q].definition}"
                for q in dict.fromkeys(p.curve.quantity for p in rows)
                if q in QUANTITIES
            ),
            "",
            tuple(Cell(_word(p.curve.quantity), sort=_word(p.curve.quantity)) for p in rows),
        ),
        Column(
            "gain",
            ("gain", f"at {record.horizon}"),
            f"Predicted gradient reach at the horizon of {record.horizon} steps, 1 at lag 0.",
            "relative to lag 0",
            tuple(Cell(_gain(p.log_gain), sort=p.log_gain) for p in rows),
        ),
        Column(
            "noise",
            ("noise", "gain"),
            "Predicted variance of the state per unit variance of noise that enters it at every"
            " step: what the memory costs.",
            "variance ratio",
            tuple(Cell(significant(p.noise_gain), sort=p.noise_gain) for p in rows),
        ),
        Column(
            "regime",
            ("", "smoothness"),
            "From the predicted gain at the horizon: edge (◆) is smooth to train on, rugged (▲)"
            " is not, fading (▼) leaves no gradient.",
            "",
            tuple(Cell(_regime(p), sort=p.log_gain) for p in rows),
        ),
        Column(
            "units",
            ("", "units"),
            "Units of the network.",
            "count",
            tuple(Cell(str(p.hidden_size), sort=float(p.hidden_size)) for p in rows),
        ),
    )


def prescription_details(record: ReportRecord) -> list[dict[str, object]]:
    """What is to be said of each prescription in full, for the page."""
    built = {network.name for network in record.networks}
    return [
        {
            "name": printable(p.name),
            "reason": mathematical(printable(p.reason)),
            "facts": [
                (printable(term), printable(text))
                for term, text in (
                    ("rests on", p.correction),
                    ("paper", p.paper),
                    *p.settings.items(),
                )
                if text
            ],
            "feasible": p.feasible,
            "snippets": {} if p.name in built else p.snippets,
        }
        for p in record.prescriptions
    ]


def in_terminal(
    record: ReportRecord, console: Console, width: int, plain: bool
) -> Iterator[Text | Table | Group]:
    """The table, what cannot be had and why, and the promised curves with the measured ones."""
    yield _table(record, width, plain)
    for p in record.prescriptions:
        if not p.feasible:
            sentence = _plain(f"{printable(p.name)}: {printable(p.reason)}", plain)
            for i, part in enumerate(Text(sentence).wrap(console, min(72, width) - 2)):
                yield Text("  " if i else "- ") + part
    yield Text("")
    yield _curves(record, width, plain)


def _table(record: ReportRecord, width: int, plain: bool) -> Table:
    columns = [c for c in prescription_columns(record) if c.key in _IN_TERMINAL]
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    texts = {column.key: _texts(column, plain) for column in columns}
    others = sum(1 + max(map(len, (*texts[c.key], *c.heading))) for c in columns if c.key != "name")
    room = min(44, max(16, width - others))
    texts["name"] = [plainly(t, plain) for t in shortened_apart(texts["name"], room)]
    for column in columns:
        table.add_column(
            Text("\n".join(column.heading)),
            justify="right" if column.numeric else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for i, p in enumerate(record.prescriptions):
        style = "" if p.feasible else "dim"
        table.add_row(*(Text(texts[column.key][i], style=style) for column in columns))
    return table


def _texts(column: Column, plain: bool) -> list[str]:
    texts = [cell.text for cell in column.cells]
    if column.numeric:
        return aligned(texts)
    if plain and column.key == "regime":
        for regime, mark in MARKS.items():
            texts = [text.replace(mark, ASCII_MARKS[regime]) for text in texts]
    return [_plain(text, plain) for text in texts]


def _curves(record: ReportRecord, width: int, plain: bool) -> Group:
    """The promise of the best few over the logarithm of the lag: predicted, then measured."""
    shown = [p for p in record.prescriptions if _network(record, p) is not None][:_DRAWN]
    if not shown:
        return Group()
    names = shortened_apart([p.name for p in shown], 24)
    room = max(len(shortened(name, 24)) for name in names)
    cells = max(8, min(24, (width - room - 4) // 2))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in ("", "predicted", "measured"):
        table.add_column(Text(title), no_wrap=True)
    for p, name in zip(shown, names, strict=True):
        log = p.curve.quantity != "linear_recall"
        line = [plainly(name, plain)]
        network = _network(record, p)
        for origin in ("predicted", "measured"):
            curve = network.curve(p.curve.quantity, origin) if network is not None else None
            line.append("" if curve is None else sparkline(_relative(curve), cells, plain, log))
        table.add_row(*map(Text, line))
    return Group(table, Text(""))


def _relative(curve: Curve) -> Curve:
    """A curve in units of its value at lag 0, as its threshold counts."""
    start = float(curve.value[0]) if len(curve.value) else math.nan
    return dataclasses.replace(curve, value=curve.value / start) if start > 0 else curve


def _network(record: ReportRecord, p: PrescriptionRecord) -> NetworkRecord | None:
    return next((n for n in record.networks if n.name == p.name), None)


def _measured(record: ReportRecord, p: PrescriptionRecord) -> Horizon | None:
    network = _network(record, p)
    curve = None if network is None else network.curve(p.curve.quantity)
    return None if curve is None else curve.horizon


def _lag(horizon: Horizon | None) -> Cell:
    text = horizon_text(horizon)
    if horizon is None:
        return Cell(text)
    return Cell(text, sort=-2.0 if horizon.growing else float(horizon.last))


def _gain(log_gain: float) -> str:
    if math.isnan(log_gain):
        return UNKNOWN
    return significant(math.exp(log_gain)) if log_gain < 700 else "inf"


def _regime(p: PrescriptionRecord) -> str:
    return UNKNOWN if p.regime is None else f"{MARKS[p.regime]} {p.regime}"


def _word(quantity: str) -> str:
    return _SHORT.get(quantity, printable(quantity))


def _plain(text: str, plain: bool) -> str:
    return text.replace("…", "~").encode("ascii", "replace").decode() if plain else text
