"""Reading a signal: a data set by its name, or the user's own file."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from echoic.data import registry, sets
from echoic.data.catalogue import REGISTRY
from echoic.data.columns import select
from echoic.data.registry import digest
from echoic.data.series import DataError, DataNotFoundError, Series, checked
from echoic.data.tables import counts_time, is_table, read_table
from echoic.data.text import characters, decode, read_bytes, single_bytes

__all__ = ["DataError", "DataNotFoundError", "Series", "load"]

TABLES = (".csv", ".tsv", ".dat")
PACKED = (".gz", ".bz2")


def load(
    name_or_path: str | Path, *, column: str | int | None = None, data_dir: str | Path | None = None
) -> Series:
    """Read a signal.

    **Arguments**

    - ``name_or_path``: a data set that echoic knows (``"ecg"``; ``echoic data list`` shows all),
      one sequence of a set (``"spoken_digits:17"``), or a file: ``.npy``, ``.npz``, ``.csv``,
      ``.tsv``, ``.dat``, ``.txt`` (numbers, or else prose, read as one-hot characters) or
      ``.parquet``; text files may be packed by gzip or bzip2. A known name goes before a file of
      the same name; write ``./ecg`` for the file.
    - ``column``: which columns of a table or arrays of an archive, by name or number (from 0),
      several separated by commas; for prose ``"characters"`` (the default) or ``"bytes"``.
    - ``data_dir``: where to look first for a named set.

    **Returns** a [`Series`][echoic.data.Series] in float64.

    **Raises** ``DataError`` (a ``ValueError``) for data that cannot drive a network, and
    ``DataNotFoundError`` (a ``FileNotFoundError``) for what is not there. Nothing is filled in,
    wrapped or left out silently.

    **When it misleads.** Rows are taken as equally spaced in time: a clock column is refused as
    input, and its gaps are not looked for.

    Cost: one pass over the file, two or three for text tables; about a second for a million rows.

    ```python
    >>> import echoic.data
    >>> series = echoic.data.load("ecg")
    >>> series.values.shape == (108000, 1) and series.sampling == "360 Hz"
    True

    ```
    """
    text = str(name_or_path)
    chosen = None if column is None else str(column)
    name, _, index = text.partition(":")
    if name in REGISTRY and (not index or re.fullmatch(r"\d+", index)):
        known = registry.entry(name)
        series = sets.read(known, registry.require_intact(known, data_dir), chosen)
        return checked(series.sequence(int(index)) if index else series)
    path = Path(text).expanduser()
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file.")
    if not path.exists():
        if not path.suffix and path.name == text:
            registry.entry(name)
        raise DataNotFoundError(f"there is no file {str(path)!r}, nor a data set of this name.")
    return _from_file(path, chosen)


def _from_file(path: Path, column: str | None) -> Series:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-1] if suffixes else ""
    if kind in PACKED and len(suffixes) > 1:
        kind = suffixes[-2]
        readable = (*TABLES, ".txt")
    else:
        readable = (*READERS, *TABLES, ".txt")
    if kind not in readable:
        raise DataError(
            f"{path}: files of the kind {kind or '(no ending)'!r} are not read. Readable:"
            f" {', '.join(readable)}."
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: it has no bytes.")
    if kind in READERS:
        return READERS[kind](path, column)
    if kind == ".txt" and (column in ("characters", "bytes") or not is_table(path)):
        return _prose(path, column)
    table = read_table(path, column)
    return checked(_series(path, table.values, table.names), table.place)


def _series(path: Path, samples: np.ndarray, channels: tuple[str, ...]) -> Series:
    return Series(samples, channels, name=path.name, source=str(path), sha256=digest(path))


def _prose(path: Path, column: str | None) -> Series:
    content = read_bytes(path)
    if not content.strip():
        raise DataError(f"{path} is empty: it has no characters.")
    if column == "bytes":
        samples, vocabulary = single_bytes(content)
    elif column in (None, "characters"):
        samples, vocabulary = characters(decode(content, path), path)
    else:
        raise DataError(
            f"{path} is prose, not a table: its columns are 'characters' and 'bytes', got"
            f" {column!r}."
        )
    unit = "byte" if column == "bytes" else "character"
    return checked(
        Series(
            samples,
            vocabulary,
            name=path.name,
            source=str(path),
            sha256=digest(path),
            sampling=f"one {unit} a step",
            description=f"One-hot {unit}s, {len(vocabulary)} different ones.",
            one_hot=True,
        )
    )


def _npy(path: Path, column: str | None) -> Series:
    return _from_array(path, _real(_numpy(path), path.name), column)


def _npz(path: Path, column: str | None) -> Series:
    arrays = _numpy(path)
    if not arrays:
        raise DataError(f"{path} is empty: it holds no arrays.")
    listed = ", ".join(f"{name!r} {array.shape}" for name, array in arrays.items())
    if column is None:
        if len(arrays) > 1:
            raise DataError(f"{path}: say with column= which array to take: {listed}.")
        (name,) = arrays
        return _from_array(path, _real(arrays[name], name), None, name)
    names = [column] if column in arrays else [part.strip() for part in column.split(",")]
    for name in names:
        if name not in arrays:
            raise DataError(f"{path} has no array {name!r}. Arrays: {listed}.")
    chosen = [_real(arrays[name], name) for name in names]
    if len(chosen) == 1:
        return _from_array(path, chosen[0], None, names[0])
    if any(array.ndim != 1 or len(array) != len(chosen[0]) for array in chosen):
        raise DataError(
            f"{path}: several arrays become channels only if they are of shape (t,) and equally"
            f" long: {listed}."
        )
    return checked(_series(path, np.stack(chosen, axis=1), tuple(names)))


def _numpy(path: Path) -> Any:
    """What NumPy reads, its many errors told in one voice."""
    try:
        with open(path, "rb") as file:
            stored = np.load(file, allow_pickle=False)
            return dict(stored) if isinstance(stored, np.lib.npyio.NpzFile) else stored
    except Exception as error:
        # The reader of a broken header raises whatever Python's parser does, SyntaxError included.
        if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
            raise
        if str(error).startswith("Object arrays"):
            raise DataError(
                f"{path} holds Python objects (dtype object): store plain numbers; objects are"
                " never loaded, for they could run code."
            ) from error
        raise DataError(f"{path} is damaged, cut short, or not a NumPy file.") from error


def _real(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name!r} has dtype {array.dtype}: a series must be real numbers.")
    return array.astype(np.float64)


def _from_array(
    path: Path, array: np.ndarray, column: str | None, title: str | None = None
) -> Series:
    if array.size == 0:
        raise DataError(f"{path} is empty: it has shape {array.shape}.")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim not in (2, 3):
        raise DataError(f"{path}: a series has shape (t,), (t, m) or (b, t, m), got {array.shape}.")
    width = array.shape[-1]
    names = (title,) if width == 1 and title else tuple(str(index) for index in range(width))
    if column is not None:
        chosen = select(names, ["number"] * width, column, path)
        array, names = array[..., chosen], tuple(names[index] for index in chosen)
    elif width > array.shape[-2] > 1:
        warnings.warn(
            f"{path}: {array.shape[-2]} steps of {width} channels; time comes first, so transpose"
            " the array if it is the other way round.",
            stacklevel=4,
        )
    return checked(_series(path, array, names))


def _parquet(path: Path, column: str | None) -> Series:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DataError(
            f'{path}: reading Parquet files needs pyarrow: pip install "echoic[parquet]".'
        ) from error
    try:
        schema = parquet.read_schema(path)
        kinds = [_arrow_kind(pyarrow, field.type) for field in schema]
        numeric = [name for name, kind in zip(schema.names, kinds, strict=True) if kind == "number"]
        table = parquet.read_table(path, columns=numeric)
    except (pyarrow.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise DataError(f"{path} is damaged, cut short, or not a Parquet file.") from error
    values = {
        name: table[name].to_numpy().astype(np.float64, copy=False) for name in table.column_names
    }
    if len(schema.names) > 1:
        for index, name in enumerate(schema.names):
            if name in values and counts_time(name, values[name]):
                kinds[index] = "time"
    chosen = select(schema.names, kinds, column, path)
    names = tuple(schema.names[index] for index in chosen)
    return checked(_series(path, np.stack([values[name] for name in names], axis=1), names))


def _arrow_kind(pyarrow, type_) -> str:
    types = pyarrow.types
    if types.is_integer(type_) or types.is_floating(type_) or types.is_boolean(type_):
        return "number"
    return "time" if types.is_temporal(type_) else "text"


READERS: dict[str, Callable[[Path, str | None], Series]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".parquet": _parquet,
}
