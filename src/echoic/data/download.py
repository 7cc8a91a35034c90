"""Downloading the public originals into the user's cache, each with its checksum."""

from pathlib import Path
from typing import Any

from echoic.data.registry import cache_folder, entry, intact
from echoic.data.series import DataError


class DownloadError(OSError):
    """A file could not be downloaded, or what came is not the expected file."""


def fetch(
    name: str, *, url: str | None = None, folder: str | Path | None = None, timeout: float = 30.0
) -> list[Path]:
    """Download a named data set.

    Files that are there already and intact are left alone. A file appears under its name only when
    it is complete and its checksum is right.

    **Arguments**

    - ``name``: a data set with a public address; ``echoic data list`` shows which.
    - ``url``: the address of a mirror; the file names are appended to it.
    - ``folder``: where to put it; by default the user's cache, where ``load`` looks.
    - ``timeout``: seconds without an answer after which to give up.

    **Returns** the paths of the files.

    **Raises** ``DataError`` for a set without a public address, ``DownloadError`` when the server
    does not answer or sends something else.
    """
    known = entry(name)
    if not known.downloads:
        raise DataError(f"{name!r} has no public address that echoic could download from.")
    target = cache_folder() if folder is None else Path(folder)
    paths = []
    for file in known.downloads:
        path = target / file.name
        address = file.url if url is None else f"{url.rstrip('/')}/{path.name}"
        if not (path.is_file() and intact(file, path)):
            _retrieve(address, file.checksum, path, timeout)
        paths.append(path)
    return paths


def _retrieve(address: str, checksum: str, path: Path, timeout: float) -> None:
    import pooch

    pooch.get_logger().setLevel("ERROR")
    downloader: Any = pooch.HTTPDownloader(timeout=timeout)
    advice = f"Download it by hand and put it at {path}."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(
            address, known_hash=checksum, fname=path.name, path=path.parent, downloader=downloader
        )
    except OSError as error:
        # Everything that requests raises is an OSError, and some of it a ValueError too.
        raise DownloadError(f"could not download {address}: {error}. {advice}") from error
    except ValueError as error:
        # What pooch says when the checksum differs; the temporary file is gone by then.
        raise DownloadError(
            f"what came from {address} is not the expected file: its checksum is not {checksum}."
        ) from error
