"""The report in the terminal: verdict, table, sparklines, warnings, in the page's order."""

import dataclasses
import io
import os
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group
from rich.table import Table
from rich.text import Text

from echoic.core.records import ReportRecord
from echoic.reports import findings, training_text
from echoic.reports.columns import Column, columns
from echoic.reports.phase import phase_sentence, placed
from echoic.reports.prescriptions import in_terminal
from echoic.reports.sparklines import SPARKS, sparklines
from echoic.reports.style import (
    ASCII_MARKS,
    MARKS,
    aligned,
    is_decimal,
    plainly,
    printable,
    shortened,
    shortened_apart,
)

# What a narrow terminal keeps longest. The order on the screen is that of `columns`.
_IMPORTANCE = (
    "name",
    "horizon_gradient_reach",
    "regime",
    "horizon_linear_recall",
    "horizon_context_ablation",
    "horizon_task_gradient_reach",
    "gain",
    "exponent",
    "recall",
    "noise",
    "horizon_coherent_reach",
    "horizon_fisher_memory",
    "horizon_input_reach",
    "parameters",
    "seconds",
    "horizon_learning_speed",
)
_NARROW = 100
_SHORTEST_NAME, _LONGEST_NAME = 16, 44
_REGIME_STYLES = {"fading": "blue", "edge": "green", "rugged": "red"}


def render(
    record: ReportRecord,
    console: Console | None = None,
    width: int | None = None,
    *,
    location: str | os.PathLike[str] | None = None,
) -> None:
    """Print the report.

    **Arguments**

    - ``console``: where to print; standard output by default. ``NO_COLOR`` and pipes are honoured
      by rich: what is not a terminal gets plain text.
    - ``width``: columns to use; those of the terminal by default.
    - ``location``: where the full report lies, printed last.
    """
    console = Console() if console is None else console
    console.print(renderable(record, location=location), width=width, soft_wrap=False)


def to_text(record: ReportRecord, width: int = 80) -> str:
    """The report as plain text without control codes."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, force_terminal=False)
    console.print(renderable(record))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def renderable(
    record: ReportRecord, *, location: str | os.PathLike[str] | None = None
) -> "TerminalReport":
    """The report as something that rich can print, in whatever width it is given."""
    return TerminalReport(record, location)


class TerminalReport:
    """A report for rich; see [`render`][echoic.reports.render]."""

    def __init__(self, record: ReportRecord, location: str | os.PathLike[str] | None = None):
        self.record = record
        self.location = location

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[Text | Table | Group]:
        width = options.max_width
        plain = not _draws(options.encoding)
        record = _in_ascii(self.record) if plain else self.record
        # A measure of 72 letters reads well; a wide terminal does not stretch it.
        yield from Text(printable(record.verdict), "bold").wrap(console, min(72, width))
        yield Text("")
        if record.training is not None:
            yield from training_text.in_terminal(record.training, console, width, plain)
        if record.prescriptions:
            yield from in_terminal(record, console, width, plain)
        if record.networks:
            yield _table(record, width, plain)
            yield from _footnotes(record, width, plain)
            yield Text("")
            if not record.prescriptions:
                yield sparklines(record, width, plain)
        yield from findings.in_terminal(record, console, width, plain)
        yield from _phase(record, console, width, plain)
        yield from _warnings(record, console, width, plain)
        if self.location is not None:
            yield Text(f"Report: {printable(os.fspath(self.location))}", overflow="fold")


def _draws(encoding: str) -> bool:
    """Whether the terminal's encoding has the marks and blocks."""
    try:
        ("".join(MARKS.values()) + SPARKS + "±").encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _in_ascii(record: ReportRecord) -> ReportRecord:
    """The record's words in letters that every terminal has."""

    def plain(text: str) -> str:
        return printable(text).replace("…", "~").encode("ascii", "replace").decode()

    networks = tuple(
        dataclasses.replace(n, name=plain(n.name), warnings=tuple(map(plain, n.warnings)))
        for n in record.networks
    )
    return dataclasses.replace(
        record,
        networks=networks,
        verdict=plain(record.verdict),
        warnings=tuple(map(plain, record.warnings)),
    )


def _short(text: str, most: int, plain: bool) -> str:
    return plainly(shortened(text, most), plain)


def _layout(
    record: ReportRecord, width: int, plain: bool
) -> tuple[list[Column], dict[str, list[str]], int]:
    """The columns that fit, all columns' texts, and the width of the names."""
    every = columns(record)
    texts = {column.key: _texts(column, plain, width < _NARROW) for column in every}
    chosen, name_width = _fitting(every, texts, width)
    return chosen, texts, name_width


def _footnotes(record: ReportRecord, width: int, plain: bool) -> Iterator[Text]:
    """What the signs in the table mean, if they are in it."""
    chosen, texts, _ = _layout(record, width, plain)
    cells = [text for column in chosen if column.numeric for text in texts[column.key]]
    if any("(" in text for text in cells):
        yield Text("(4): the standard error, in units of the last digit.", style="dim")
    if any("*" in text for text in cells):
        note = "*: summed over the time of the run, which may not suffice for all of it."
        yield Text(note, style="dim")


def _table(record: ReportRecord, width: int, plain: bool) -> Table:
    chosen, texts, name_width = _layout(record, width, plain)
    names = shortened_apart([network.name for network in record.networks], name_width)
    table = Table(box=None, padding=(0, _gap(width), 0, 0), pad_edge=False, header_style="dim")
    for column in chosen:
        if column.key == "name":
            table.add_column(Text("\nnetwork"), width=name_width, no_wrap=True, overflow="ellipsis")
        else:
            table.add_column(
                Text("\n".join(column.heading)),
                justify="right" if column.numeric else "left",
                no_wrap=True,
            )
    for i, network in enumerate(record.networks):
        cells = []
        for column in chosen:
            text = texts[column.key][i]
            style = _REGIME_STYLES.get(network.regime or "", "") if column.key == "regime" else ""
            if column.key == "name":
                text = plainly(names[i], plain)
            cells.append(Text(text, style=style))
        table.add_row(*cells)
    return table


def _gap(width: int) -> int:
    return 1 if width < _NARROW else 2


def _texts(column: Column, plain: bool, short: bool) -> list[str]:
    """A column's cells as they are printed, decimal points in line.

    ``short`` writes -0.0123(4) for -0.0123 ± 0.0004.
    """
    if column.key == "name":
        return [cell.text for cell in column.cells]
    if column.key == "regime":
        return [_ascii_marks(cell.text) if plain else cell.text for cell in column.cells]
    values = aligned([cell.text for cell in column.cells])
    errors = [cell.error for cell in column.cells]
    if not any(errors):
        return values
    if short:
        brackets = [f"({text.replace('.', '').lstrip('0')})" if text else "" for text in errors]
        widest = max(map(len, brackets))
        return [
            value + bracket.ljust(widest) if bracket or is_decimal(value.strip()) else value
            for value, bracket in zip(values, brackets, strict=True)
        ]
    sign = " +- " if plain else " ± "
    spread = aligned(errors)
    widest = max(map(len, spread))
    return [
        value + (f"{sign}{text.ljust(widest)}" if error else " " * (len(sign) + widest))
        for value, error, text in zip(values, errors, spread, strict=True)
    ]


def _ascii_marks(text: str) -> str:
    for regime, mark in MARKS.items():
        text = text.replace(mark, ASCII_MARKS[regime])
    return text


def _fitting(
    every: tuple[Column, ...], texts: dict[str, list[str]], width: int
) -> tuple[list[Column], int]:
    """The columns that fit, by importance, and what is left for the names."""
    gap = _gap(width)
    longest = max(len(name) for name in texts["name"])
    shortest = min(longest, max(_SHORTEST_NAME, width // 4 - 3), _LONGEST_NAME)
    left = width - max(shortest, len("network"))
    kept = {"name"}
    by_key = {column.key: column for column in every}
    for key in _IMPORTANCE:
        if key == "name" or key not in by_key:
            continue
        needed = gap + max(map(len, (*texts[key], *by_key[key].heading)))
        if needed <= left:
            kept.add(key)
            left -= needed
    names = min(max(longest, len("network")), max(shortest, len("network")) + left, _LONGEST_NAME)
    return [column for column in every if column.key in kept], names


def _phase(record: ReportRecord, console: Console, width: int, plain: bool) -> Iterator[Text]:
    """The phase diagram in a sentence."""
    network = placed(record)
    if network is None or network.phase_map is None:
        return
    sentence = phase_sentence(network.phase_map)
    if plain:
        sentence = sentence.encode("ascii", "replace").decode()
    yield from Text(sentence).wrap(console, min(72, width))
    yield Text("")


def _warnings(record: ReportRecord, console: Console, width: int, plain: bool) -> Iterator[Text]:
    lines = [printable(text) for text in record.warnings]
    for network in record.networks:
        lines += [
            f"{_short(network.name, 40, plain)}: {printable(text)}" for text in network.warnings
        ]
    if not lines:
        return
    yield Text("Warnings", style="bold")
    for line in dict.fromkeys(lines):
        for i, part in enumerate(Text(line).wrap(console, min(72, width) - 2)):
            yield Text("  " if i else "- ") + part
    yield Text("")
