"""Reports on disk: the ending of the name says how."""

import io
import os
import pathlib

from echoic.core.files import write_whole
from echoic.core.records import ReportRecord
from echoic.reports import serialise

_ENDINGS = (".html", ".json", ".svg", ".pdf")


def save(record: ReportRecord, path: str | os.PathLike[str]) -> pathlib.Path:
    """Write the report to ``path``, whole or not at all, and return the path.

    ``.html`` is the page, ``.json`` the record with every number, ``.svg`` and ``.pdf`` the memory
    curves for print.

    **Raises** ``ValueError`` for another ending, ``OSError`` if the file cannot be written.
    """
    path = pathlib.Path(path)
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        raise ValueError(
            f"the name of a report must end in {', '.join(_ENDINGS)}, got {path.name!r}."
        )
    return write_whole(path, _content(record, ending))


def load(path: str | os.PathLike[str]) -> ReportRecord:
    """Read back a report that was saved as ``.json``.

    **Raises** ``ValueError`` for a file that is damaged, foreign or from a newer version.
    """
    try:
        text = pathlib.Path(path).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)!r} is no echoic report: it is not text.") from error
    try:
        return serialise.from_json(text)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r}: {error}") from error


def _content(record: ReportRecord, ending: str) -> str | bytes:
    # Imported here, so that saving JSON does not load the drawing libraries.
    if ending == ".json":
        return serialise.to_json(record)
    if ending == ".html":
        from echoic.reports.html import to_html

        return to_html(record)
    from echoic.reports.plots import figure

    stream = io.BytesIO()
    # No date: the same report gives the same file.
    dated = {"Date": None} if ending == ".svg" else {"CreationDate": None}
    figure(record).savefig(stream, format=ending[1:], metadata=dated)
    return stream.getvalue()
