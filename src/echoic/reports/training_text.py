"""A training run in the terminal: one line a seed, with its learning curve."""

from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from echoic.core.training_record import TrainingRecord
from echoic.reports.columns import Column
from echoic.reports.learning import is_logarithmic, last_step, lines
from echoic.reports.sparklines import drawn
from echoic.reports.style import aligned, plainly, printable, shortened_apart, significant
from echoic.reports.training import member_columns

_MOST_MEMBERS = 8
_CURVE_CELLS = 24


def in_terminal(
    record: TrainingRecord, console: Console, width: int, plain: bool
) -> Iterator[Text | Table]:
    """The seeds, the best first where there are many."""
    if not record.members:
        return
    yield _table(record, width, plain)
    left_out = len(record.members) - len(_shown(record))
    if left_out > 0:
        yield Text(f"The best {_MOST_MEMBERS} of {len(record.members)} seeds.", style="dim")
    for line in (*_scale(record, plain), *_endings(record, plain)):
        yield from Text(line, style="dim").wrap(console, min(72, width))
    yield Text("")


def _table(record: TrainingRecord, width: int, plain: bool) -> Table:
    rows = _shown(record)
    columns = member_columns(record)
    texts = {column.key: _texts(column, rows, plain) for column in columns}
    wide = [column for column in columns if column.key != "status"]
    used = sum(1 + max(map(len, (*texts[c.key], *c.heading))) for c in wide if c.key != "name")
    name_width = min(max(map(len, texts["name"])), max(8, width - used - 10))
    texts["name"] = shortened_apart(texts["name"], name_width)
    cells = min(_CURVE_CELLS, width - used - name_width - 2)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for column in wide:
        justify = "right" if column.numeric else "left"
        table.add_column(
            Text("\n".join(column.heading)), justify=justify, no_wrap=True, overflow="ellipsis"
        )
    curves = _sparks(record, rows, cells, plain) if cells >= 8 else None
    if curves is not None:
        table.add_column(Text("learning\ncurve"), no_wrap=True)
    for i, _ in enumerate(rows):
        line = [Text(plainly(texts[column.key][i], plain)) for column in wide]
        table.add_row(*line, *([] if curves is None else [Text(curves[i])]))
    return table


def _endings(record: TrainingRecord, plain: bool) -> Iterator[str]:
    """How those ended that did not just train to the end."""
    for member in record.members:
        if member.status and not member.status.startswith("finished"):
            yield _letters(f"{member.name}: {member.status}.", plain)


def _shown(record: TrainingRecord) -> list[int]:
    """Which seeds: all of a few in their order, else the best, NaN last."""
    if len(record.members) <= _MOST_MEMBERS:
        return list(range(len(record.members)))
    losses = [member.best_loss for member in record.members]
    return np.argsort(losses)[:_MOST_MEMBERS].tolist()


def _texts(column: Column, rows: list[int], plain: bool) -> list[str]:
    texts = [column.cells[row].text for row in rows]
    return aligned(texts) if column.numeric else [_letters(text, plain) for text in texts]


def _sparks(record: TrainingRecord, rows: list[int], cells: int, plain: bool) -> list[str]:
    """The validation loss over the updates, from the smallest to the largest of them all."""
    low, high = _span(record)
    curves = {line.member: line for line in lines(record, "loss") if line.kind == "validation"}
    at = np.linspace(0, last_step(record), cells + 1)[1:]
    found = []
    for row in rows:
        curve = curves.get(row)
        if curve is None:
            found.append("")
            continue
        value = np.interp(at, curve.steps, curve.value)
        value = np.where(at > 1.0001 * curve.steps[-1], np.nan, value)
        if is_logarithmic(record, "loss"):
            share = np.log(value / low) / (np.log(high / low) or 1.0)
        else:
            share = (value - low) / ((high - low) or 1.0)
        found.append(drawn(share, plain))
    return found


def _span(record: TrainingRecord) -> tuple[float, float]:
    """The smallest and largest validation loss."""
    values = [line.value for line in lines(record, "loss") if line.kind == "validation"]
    every = np.concatenate(values) if values else np.zeros(1)
    return float(every.min()), float(every.max())


def _scale(record: TrainingRecord, plain: bool) -> list[str]:
    """What the heights of the little curves mean."""
    low, high = _span(record)
    kind = "logarithmic, " if is_logarithmic(record, "loss") else ""
    chance = "" if np.isnan(record.chance) else f" Chance: {significant(record.chance)}."
    unit = _letters(record.unit, plain)
    return [
        f"Loss in {unit}; curves {kind}from {significant(low)} to {significant(high)} over"
        f" {last_step(record)} updates.{chance}"
    ]


def _letters(text: str, plain: bool) -> str:
    text = printable(text)
    return text.replace("…", "~").encode("ascii", "replace").decode() if plain else text
