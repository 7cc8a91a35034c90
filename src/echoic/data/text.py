"""Text as a series: one character, or one byte, a step."""

import bz2
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from echoic.data.series import DataError

# A one-hot channel a character: beyond this an embedding is wanted, not one-hot input.
MOST_CHARACTERS = 256


# What the unpackers raise on broken files; a plain OSError without a number comes from bz2.
BROKEN = (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile)


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if it is gzip, bzip2 or a zip archive of one file."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return archive.read(archive.namelist()[0])
        with _open(path) as file:
            return file.read()
    except BROKEN as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(path, error) from error


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that hold something, numbered from 1.

    Blank lines and comments (#) are left out. The file is read as it is needed, never as a whole.
    """
    number = 0
    try:
        with _open(path) as file:
            _refuse_utf16(file, path)
            with io.TextIOWrapper(file, encoding="utf-8-sig") as text:
                for number, line in enumerate(text, 1):
                    if "\0" in line:
                        raise DataError(f"{path} is not a text file: line {number} has zero bytes.")
                    content = line.rstrip("\n")
                    if content.strip() and not content.lstrip().startswith("#"):
                        yield number, content
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(
            f"{path} is not UTF-8 text: byte 0x{byte:02x} after line {number}."
        ) from error
    except BROKEN as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(path, error) from error


def _open(path: Path) -> Any:
    if path.suffix == ".gz":
        return gzip.open(path)
    if path.suffix == ".bz2":
        return bz2.open(path)
    return open(path, "rb")


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged or cut short: {str(error).rstrip('.')}.")


def _refuse_utf16(file: Any, path: Path) -> None:
    if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path} is UTF-16 text: save it as UTF-8.")
    file.seek(0)


def decode(content: bytes, path: Path) -> str:
    """The content as UTF-8 text; an error for binary files and other encodings."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path} is UTF-16 text: save it as UTF-8.")
    zero = content.find(b"\0")
    if zero >= 0:
        raise DataError(f"{path} is not a text file: byte {zero} is zero.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text: byte {error.start} is 0x{content[error.start]:02x}."
        ) from error


def characters(text: str, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The number of each character in the sorted vocabulary, and the vocabulary."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    present = np.flatnonzero(np.bincount(codes)) if len(codes) else codes
    if len(present) > MOST_CHARACTERS:
        raise DataError(
            f"{path} has {len(present)} different characters, one-hot input takes at most"
            f" {MOST_CHARACTERS}: read it byte by byte with column='bytes'."
        )
    return np.searchsorted(present, codes).astype(np.uint8), tuple(map(chr, present))


def single_bytes(content: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """The number of each byte among those that occur, and these as Latin-1 characters."""
    codes = np.frombuffer(content, np.uint8)
    present = np.flatnonzero(np.bincount(codes, minlength=256))
    return np.searchsorted(present, codes).astype(np.uint8), tuple(map(chr, present))
