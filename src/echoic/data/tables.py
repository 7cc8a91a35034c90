"""Tables of numbers in text files: delimiter, header and columns found, broken rows named.

The numbers themselves are read by NumPy's own C parser. Only when that fails is the file read
again, slowly, to say where and why.
"""

import csv
import dataclasses
import datetime
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from echoic.data.columns import select
from echoic.data.series import DataError
from echoic.data.text import lines

# On equal terms the earlier one wins: a comma may be a decimal one.
DELIMITERS = (";", "\t", "|", ",", None)
MISSING = {"", "na", "n/a", "nan", "null", "none"}
SAMPLED_ROWS = 200
DECIMAL_POINT = re.compile(r"[+-]?\d+\.\d+([eE][+-]?\d+)?")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of a text file: their names, and their values (t, m)."""

    names: tuple[str, ...]
    values: np.ndarray
    path: Path
    header: bool

    def place(self, row: int) -> str:
        """Where a row (counted from 0) stands in the file."""
        number, _ = next(itertools.islice(lines(self.path), row + self.header, None))
        return f"row {row} (line {number})"


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a table is written. A delimiter of None is any run of spaces or tabs."""

    delimiter: str | None
    decimal_comma: bool
    header: bool
    names: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]


def read_table(path: Path, column: str | None) -> Table:
    """The chosen columns of a CSV file or of a table in a text file."""
    layout = find_layout(path)
    kinds = [_kind(layout, index, path) for index in range(len(layout.names))]
    chosen = select(layout.names, kinds, column, path)
    values = _parse(layout, chosen, path)
    return Table(tuple(layout.names[index] for index in chosen), values, path, layout.header)


def is_table(path: Path) -> bool:
    """Whether a text file holds numbers, not prose: half of its first lines, header aside."""
    first = [line for _, line in itertools.islice(lines(path), SAMPLED_ROWS)]
    body = first[1:] or first
    return bool(body) and 2 * sum(_is_numeric(line) for line in body) >= len(body)


def find_layout(path: Path) -> Layout:
    """Delimiter, decimal comma, header and column names, from the first lines."""
    first = [line for _, line in itertools.islice(lines(path), SAMPLED_ROWS)]
    if not first:
        raise DataError(f"{path} is empty: it has no rows.")
    delimiter = max(DELIMITERS, key=lambda candidate: _agreement(first, candidate))
    rows = [_split(line, delimiter) for line in first]
    commas = delimiter != "," and _decimal_commas(rows[1:] or rows, path)
    numbers = [_number(cell, commas) for cell in rows[0]]
    header = None in numbers
    if header and len(rows) == 1:
        raise DataError(f"{path} is empty: it has a header and no rows.")
    body = rows[1:] if header else rows
    names = rows[0] if header else [str(index) for index in range(len(rows[0]))]
    # Row names, as R writes them, stand under no title.
    if header and all(len(row) == len(names) + 1 for row in body):
        names = ["", *names]
    return Layout(delimiter, commas, header, tuple(names), tuple(map(tuple, body)))


def _decimal_commas(rows: list[list[str]], path: Path) -> bool:
    cells = [cell for row in rows for cell in row]
    commas = [cell for cell in cells if DECIMAL_COMMA.fullmatch(cell)]
    points = [cell for cell in cells if DECIMAL_POINT.fullmatch(cell)]
    if commas and points:
        raise DataError(
            f"{path} writes numbers both as {commas[0]!r} and as {points[0]!r}: is the comma a"
            " decimal one? Write all of them with points."
        )
    return bool(commas)


def _agreement(first: list[str], delimiter: str | None) -> tuple[int, float, int]:
    """How well a delimiter fits: lines that agree on their cells, the share of numbers, cells."""
    rows = [_split(line, delimiter) for line in first]
    counts = [len(row) for row in rows]
    common = max(set(counts), key=counts.count)
    if common == 1:
        return 0, 0.0, 1
    cells = [cell for row in rows[1:] or rows for cell in row]
    numbers = sum(_number(cell, delimiter != ",") is not None for cell in cells)
    return counts.count(common), numbers / max(len(cells), 1), common


def _split(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    if '"' in line:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    return [cell.strip() for cell in line.split(delimiter)]


def _number(cell: str, decimal_comma: bool = False) -> float | None:
    """The number in a cell, NaN for a missing one, None for text."""
    if cell.lower() in MISSING:
        return float("nan")
    try:
        return float(cell.replace(",", ".") if decimal_comma else cell)
    except ValueError:
        return None


def _is_numeric(line: str) -> bool:
    cells = re.split(r"[,;|\s]+", line.strip(" ,;|\t"))
    return all(_number(cell) is not None for cell in cells)


def _kind(layout: Layout, index: int, path: Path) -> str:
    """``number``, ``time`` or ``text``: what a column holds, by its first rows."""
    cells = [row[index] for row in layout.sample if index < len(row)]
    numbers = [_number(cell, layout.decimal_comma) for cell in cells]
    written = [cell for cell, number in zip(cells, numbers, strict=True) if number is None]
    # One misprint among many numbers is an error to be named, not a column of text.
    if written and 10 * len(written) >= len(cells):
        return "time" if all(_is_date(cell) for cell in written) else "text"
    if written or len(layout.names) == 1:
        return "number"
    name = layout.names[index]
    if not counts_time(name, np.array(numbers, float)):
        return "number"
    # It may be a signal that starts with a ramp: look at all of it.
    return "time" if counts_time(name, _parse(layout, [index], path)[:, 0]) else "number"


def counts_time(name: str, values: np.ndarray) -> bool:
    """Whether a column of numbers is a clock or a row number: it rises all the time, and it is
    called so or rises by a constant step.
    """
    if len(values) < 3 or not np.isfinite(values).all():
        return False
    steps = np.diff(values)
    if steps.min() <= 0:
        return False
    words = set(re.split(r"[^a-z]+", name.lower()))
    called = words & {"time", "timestamp", "t", "date", "datetime", "index", "epoch", "unix"}
    return bool(called) or bool(np.ptp(steps) <= 1e-3 * steps.mean())


def _is_date(cell: str) -> bool:
    try:
        datetime.datetime.fromisoformat(cell)
    except ValueError:
        return bool(re.fullmatch(r"\d{1,4}[-/.:]\d{1,2}([-/.:]\d{1,4})?([ T].*)?", cell))
    return True


def _parse(layout: Layout, chosen: list[int], path: Path) -> np.ndarray:
    try:
        return np.loadtxt(
            _even_rows(layout, path),
            delimiter=layout.delimiter,
            usecols=chosen,
            ndmin=2,
            comments=None,
        )
    except DataError:
        raise
    except ValueError:
        return _parse_slowly(layout, chosen, path)


def _even_rows(layout: Layout, path: Path) -> Iterator[str]:
    """The rows with decimal points; stops at the first one that the fast parser cannot read."""
    delimiter, width = layout.delimiter, len(layout.names)
    for _, line in itertools.islice(lines(path), int(layout.header), None):
        cells = len(line.split()) if delimiter is None else line.count(delimiter) + 1
        if cells != width or '"' in line:
            raise ValueError(line)
        yield line.replace(",", ".") if layout.decimal_comma else line


def _parse_slowly(layout: Layout, chosen: list[int], path: Path) -> np.ndarray:
    """The same cell by cell: quoted and missing ones are read, broken rows are named."""
    width = len(layout.names)
    table = []
    for number, line in itertools.islice(lines(path), int(layout.header), None):
        cells = _split(line, layout.delimiter)
        if len(cells) != width:
            raise DataError(
                f"{path}, line {number}: {len(cells)} cell{'s' * (len(cells) != 1)} where the"
                f" first row has {width}."
            )
        row = [_number(cells[index], layout.decimal_comma) for index in chosen]
        if None in row:
            index = chosen[row.index(None)]
            raise DataError(
                f"{path}, line {number}, column {layout.names[index]!r}: {cells[index]!r} is not"
                " a number."
            )
        table.append(row)
    return np.array(table, float)
