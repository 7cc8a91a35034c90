"""Which columns of a table drive the network."""

from collections.abc import Sequence
from pathlib import Path

from echoic.data.series import DataError


def select(names: Sequence[str], kinds: Sequence[str], column: str | None, path: Path) -> list[int]:
    """The positions of the chosen columns.

    **Arguments**

    - ``names``: of all columns; ``kinds``: ``number``, ``time`` or ``text`` for each.
    - ``column``: names or positions (from 0), separated by commas. None takes all columns of a
      table of numbers; beside clocks and texts it takes the one column of numbers, if there is
      only one.
    """
    numeric = [index for index, kind in enumerate(kinds) if kind == "number"]
    listed = ", ".join(repr(names[index]) for index in numeric) or "none"
    if column is None:
        others = [
            f"{names[index]!r} ({kind})" for index, kind in enumerate(kinds) if kind != "number"
        ]
        if not numeric:
            raise DataError(f"{path} has no column of numbers: {', '.join(others)}.")
        if others and len(numeric) > 1:
            raise DataError(
                f"{path}: say with column= which columns to take, for it also holds"
                f" {', '.join(others)}. Columns of numbers: {listed}."
            )
        return numeric
    # The whole text first: a name may contain a comma.
    parts = [column] if column in names else [part.strip() for part in column.split(",")]
    chosen = [_position(part, names, path) for part in parts]
    for index in chosen:
        if kinds[index] != "number":
            what = "counts time" if kinds[index] == "time" else "holds text"
            raise DataError(
                f"{path}: column {names[index]!r} {what}. Columns of numbers: {listed}."
            )
    if len(set(chosen)) < len(chosen):
        raise DataError(f"{path}: column={column!r} names a column twice.")
    return chosen


def _position(part: str, names: Sequence[str], path: Path) -> int:
    if part in names:
        if list(names).count(part) > 1:
            raise DataError(f"{path} has several columns {part!r}: choose one by number, from 0.")
        return list(names).index(part)
    if part.isdecimal() and int(part) < len(names):
        return int(part)
    listed = ", ".join(repr(name) for name in names)
    raise DataError(f"{path} has no column {part!r}. Columns: {listed}.")
