"""Files that are written whole or not at all."""

import contextlib
import errno
import os
import pathlib
import stat
import tempfile


def write_whole(path: str | os.PathLike[str], data: bytes | str) -> pathlib.Path:
    """Write ``data`` to ``path`` so that nobody ever sees half of it.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and take the name
    in one step. Whatever fails on the way, a file that stood there before stands there still.

    **Arguments**

    - ``path``: the file; its folder must exist. A symbolic link is followed, not replaced.
    - ``data``: bytes, or text that is written as UTF-8 with its line ends as they are.

    **Returns** the path that was written.

    **Raises** `OSError` of the kind that came (`PermissionError`, `FileNotFoundError`, ...) whose
    message names the file and says what to do.

    ??? example
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = write_whole(f"{folder}/note.txt", "one")
        ...     written.read_text()
        'one'
    """
    target = pathlib.Path(os.path.realpath(path))
    content = data.encode() if isinstance(data, str) else data
    if target.is_dir():
        raise IsADirectoryError(
            errno.EISDIR, f"cannot write {str(path)!r}: it is a folder. Name a file inside it"
        )
    try:
        _replace(target, content)
    except OSError as error:
        raise type(error)(error.errno, _explain(path, target, error)) from error
    return pathlib.Path(path)


def _replace(target: pathlib.Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:80]}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files that only their owner may read; a report is for others as well.
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(target.parent)


def _mode(target: pathlib.Path) -> int:
    """The permissions of the file that is replaced, else what the user's mask allows."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0o022)
    os.umask(mask)
    return 0o666 & ~mask


def _flush_folder(folder: pathlib.Path) -> None:
    """Make the new name survive a power cut where the system can do it (not on Windows)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _explain(path: str | os.PathLike[str], target: pathlib.Path, error: OSError) -> str:
    reason = {
        errno.ENOENT: f"the folder {str(target.parent)!r} does not exist. Create it first",
        errno.ENOTDIR: f"{str(target.parent)!r} is not a folder",
        errno.EACCES: f"no permission to write in {str(target.parent)!r}",
        errno.EPERM: f"no permission to write in {str(target.parent)!r}",
        errno.EROFS: f"{str(target.parent)!r} is on a read-only disk",
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "your disk quota is used up",
        errno.ENAMETOOLONG: "the name is too long",
    }.get(error.errno or 0, error.strerror or str(error))
    return f"cannot write {str(path)!r}: {reason}. Nothing was changed"
