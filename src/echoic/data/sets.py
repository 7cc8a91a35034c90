"""How each named data set becomes a series: one small function a format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from echoic.data.catalogue import Entry
from echoic.data.registry import digest
from echoic.data.series import DataError, Series
from echoic.data.text import characters, decode, read_bytes, single_bytes


def read(known: Entry, paths: list[Path], column: str | None) -> Series:
    """The series of a named data set from its files."""
    reader = READERS[known.reader]
    found = reader(paths, column)
    return Series(
        name=known.name,
        source=str(paths[0]),
        sha256=digest(paths[0]),
        sampling=known.sampling,
        licence=known.licence,
        citation=known.citation,
        description=known.description,
        **found,
    )


def _ecg(paths: list[Path], column: str | None) -> dict[str, Any]:
    return _channels({"ecg_mV": _archive(paths[0])["ecg_mV"]}, column, "ecg_mV")


def _laser(paths: list[Path], column: str | None) -> dict[str, Any]:
    values = np.load(paths[0], allow_pickle=False)
    return _channels({"intensity": values[:, 0]}, column, "intensity")


def _silverbox(paths: list[Path], column: str | None) -> dict[str, Any]:
    return _channels(_archive(paths[0]), column, "u")


def _grasshopper(paths: list[Path], column: str | None) -> dict[str, Any]:
    stored = _archive(paths[0])
    step = stored["t_us"][1] - stored["t_us"][0]
    channels = {name: stored[name] for name in ("stim1", "stim2")}
    for run in ("1", "2"):
        bins = (stored[f"spikes{run}_us"] // step).astype(np.int64)
        channels[f"spikes{run}"] = np.bincount(bins, minlength=len(stored["t_us"]))
    return _channels(channels, column, "stim1")


def _spoken_digits(paths: list[Path], column: str | None) -> dict[str, Any]:
    stored = _archive(paths[0])
    _no_columns(column)
    # The int16 range, so that the scale is the recording's and not each sequence's own.
    sound = stored["samples"][:, None] / 32768.0
    cuts = np.cumsum(stored["lengths"])[:-1]
    samples = tuple(np.split(sound, cuts))
    return {"samples": samples, "channels": ("sound",), "labels": stored["digit"]}


def _japanese_vowels(paths: list[Path], column: str | None) -> dict[str, Any]:
    stored = _archive(paths[0])
    _no_columns(column)
    samples = tuple(
        utterance[:length].astype(np.float64)
        for part in ("train", "test")
        for utterance, length in zip(stored[f"x_{part}"], stored[f"len_{part}"], strict=True)
    )
    return {
        "samples": samples,
        "channels": tuple(f"cepstrum {number}" for number in range(1, 13)),
        "labels": np.concatenate([stored["y_train"], stored["y_test"]]),
    }


def _images(paths: list[Path], column: str | None) -> dict[str, Any]:
    if len(paths) == 2:
        return _idx(paths, column)
    stored = _archive(paths[0])
    return _pixels(stored["images"], stored["labels"], column)


def _idx(paths: list[Path], column: str | None) -> dict[str, Any]:
    images, labels = (_read_idx(path) for path in paths)
    return _pixels(images, labels, column)


def _pixels(images: np.ndarray, labels: np.ndarray, column: str | None) -> dict[str, Any]:
    _no_columns(column)
    pixels = images.reshape(len(images), -1, 1) / 255.0
    return {"samples": pixels, "channels": ("pixel",), "labels": labels}


def _read_idx(path: Path) -> np.ndarray:
    """The format of the MNIST files: two zero bytes, type, rank, big-endian sizes, the bytes."""
    content = read_bytes(path)
    rank = content[3] if len(content) > 3 else 0
    shape = tuple(np.frombuffer(content, ">u4", rank, 4)) if len(content) >= 4 + 4 * rank else ()
    if content[:3] != b"\0\0\x08" or len(content) != 4 + 4 * rank + int(np.prod(shape)):
        raise DataError(f"{path} is not an IDX file of bytes.")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def _text(paths: list[Path], column: str | None) -> dict[str, Any]:
    content = read_bytes(paths[0])
    if column == "bytes":
        samples, vocabulary = single_bytes(content)
    elif column in (None, "characters"):
        samples, vocabulary = characters(decode(content, paths[0]), paths[0])
    else:
        raise DataError(f"a text has the columns 'characters' and 'bytes', got {column!r}.")
    return {"samples": samples, "channels": vocabulary, "one_hot": True}


def _bytes_text(paths: list[Path], column: str | None) -> dict[str, Any]:
    return _text(paths, "bytes" if column is None else column)


READERS: dict[str, Callable[[list[Path], str | None], dict[str, Any]]] = {
    "ecg": _ecg,
    "laser": _laser,
    "silverbox": _silverbox,
    "grasshopper": _grasshopper,
    "spoken_digits": _spoken_digits,
    "japanese_vowels": _japanese_vowels,
    "images": _images,
    "idx": _idx,
    "text": _text,
    "bytes_text": _bytes_text,
}


def _archive(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _channels(
    stored: dict[str, np.ndarray], column: str | None, default: str | None
) -> dict[str, Any]:
    chosen = [part.strip() for part in (column or default or "").split(",")]
    for name in chosen:
        if name not in stored:
            raise DataError(f"no column {name!r}; there are: {', '.join(stored)}.")
    values = np.stack([stored[name].astype(np.float64) for name in chosen], axis=1)
    return {"samples": values, "channels": tuple(chosen)}


def _no_columns(column: str | None) -> None:
    if column is not None:
        raise DataError(
            f"this set has sequences, not columns (got column={column!r}); one of them is NAME:17."
        )
