"""The data sets that echoic knows by name: their files, checksums, licences and citations.

A file is looked for in the folder that the caller names, in ``$ECHOIC_DATA``, in the user's cache
and in the package itself, in this order. Only the electrocardiogram travels with the package.
"""

import dataclasses
import difflib
import hashlib
import os
from pathlib import Path

from echoic.data.catalogue import ELSEWHERE, REGISTRY, Entry, File
from echoic.data.series import DataError, DataNotFoundError

BUNDLED = Path(__file__).parent / "files"


@dataclasses.dataclass(frozen=True)
class Found:
    """Where a file lies, and whether its bytes are the expected ones (None: not there)."""

    file: File
    path: Path | None
    intact: bool | None


def entry(name: str) -> Entry:
    """What is known about a named data set, or an error that names the nearest one."""
    if name in REGISTRY:
        return REGISTRY[name]
    if name in ELSEWHERE:
        raise DataNotFoundError(f"echoic has no copy of {name!r}: {ELSEWHERE[name]}.")
    near = difflib.get_close_matches(name, REGISTRY, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise DataNotFoundError(f"no data set {name!r}.{hint} Known: {', '.join(REGISTRY)}.")


def cache_folder() -> Path:
    """Where downloads are kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("echoic")) / "data"


def folders(data_dir: str | Path | None = None) -> list[Path]:
    """The folders that are searched, first one first."""
    chosen = [data_dir, os.environ.get("ECHOIC_DATA") or None]
    for folder in chosen[:1]:
        if folder is not None and not Path(folder).is_dir():
            raise DataNotFoundError(f"data_dir: there is no folder {str(folder)!r}.")
    return [*(Path(folder) for folder in chosen if folder is not None), cache_folder(), BUNDLED]


def locate(known: Entry, data_dir: str | Path | None = None) -> list[tuple[File, Path]]:
    """The files of a data set and where they lie; an error says how to get them."""
    places = folders(data_dir)
    for files in known.alternatives:
        paths = [_first(places, file.name) for file in files]
        if all(path is not None for path in paths):
            return [(file, path) for file, path in zip(files, paths, strict=True) if path]
    needed = " and ".join(file.name for file in known.files)
    searched = ", ".join(str(place) for place in places[:-1])
    how = (
        f"Download it by `echoic data fetch {known.name}`"
        if known.downloads
        else "It has no public address that echoic could download from: put the file"
        f"{'s' if len(known.files) > 1 else ''} into a folder"
    )
    raise DataNotFoundError(
        f"the data set {known.name!r} ({needed}) is not on this machine; searched {searched}."
        f" {how}, or name the folder by data_dir= (--data-dir) or $ECHOIC_DATA."
    )


def _first(places: list[Path], name: str) -> Path | None:
    return next((place / name for place in places if (place / name).is_file()), None)


def digest(path: Path, kind: str = "sha256") -> str:
    """The checksum of a file as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def intact(file: File, path: Path) -> bool:
    """Whether the bytes at ``path`` are the expected ones."""
    kind, _, expected = file.checksum.partition(":")
    return path.stat().st_size == file.size and digest(path, kind) == expected


def verify(name: str, data_dir: str | Path | None = None) -> list[Found]:
    """Compare the files of a data set with their checksums; a missing one has no path."""
    known = entry(name)
    folders(data_dir)
    try:
        located = locate(known, data_dir)
    except DataNotFoundError:
        return [Found(file, None, None) for file in known.files]
    return [Found(file, path, intact(file, path)) for file, path in located]


def require_intact(known: Entry, data_dir: str | Path | None = None) -> list[Path]:
    """The paths of a data set's files, after their checksums have been compared."""
    located = locate(known, data_dir)
    for file, path in located:
        if not intact(file, path):
            raise DataError(
                f"{path} is not the file that {known.name!r} needs: its size or checksum differs"
                f" ({path.stat().st_size} bytes, expected {file.size}; {file.checksum}). Damaged,"
                " or another version."
            )
    return [path for _, path in located]
