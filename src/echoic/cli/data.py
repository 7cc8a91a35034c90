"""``echoic data``: which data sets there are, where they lie, whether they are intact."""

import json as json_
import pathlib
import re
from collections.abc import Callable
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="data", help="List, describe, check and download data sets.")

Flag = Annotated[bool, Parameter(negative="")]
Folder = pathlib.Path | None


@app.command(name="list")
def list_(*, data_dir: Folder = None, json: Flag = False) -> int:
    """List the data sets that echoic knows, and which of them are on this machine.

    Parameters
    ----------
    data_dir
        A folder to look in first; then $ECHOIC_DATA, the user's cache, the package.
    json
        Print JSON.
    """
    from echoic.data import REGISTRY

    described = [_described(name, data_dir) for name in REGISTRY]
    return _show(described, json, _list_table)


@app.command
def info(name: str, *, data_dir: Folder = None, json: Flag = False) -> int:
    """Describe a data set: content, files, checksums, licence, citation.

    Parameters
    ----------
    name
        A data set, such as ecg.
    data_dir
        A folder to look in first; then $ECHOIC_DATA, the user's cache, the package.
    json
        Print JSON.
    """
    return _show(_described(name, data_dir), json, _info_table)


@app.command
def verify(name: str | None = None, *, data_dir: Folder = None, json: Flag = False) -> int:
    """Compare the files with their checksums. The exit code is 1 if one differs.

    Parameters
    ----------
    name
        A data set, which must then be on this machine; by default all that are.
    data_dir
        A folder to look in first; then $ECHOIC_DATA, the user's cache, the package.
    json
        Print JSON.
    """
    from echoic.data import REGISTRY
    from echoic.data.registry import entry, locate
    from echoic.data.registry import verify as compare

    if name is not None:
        locate(entry(name), data_dir)
    results = [
        {
            "name": known,
            "file": found.file.name,
            "path": str(found.path),
            "expected": found.file.checksum,
            "intact": found.intact,
        }
        for known in ([name] if name else REGISTRY)
        for found in compare(known, data_dir)
        if found.path is not None
    ]
    _show(results, json, _verify_table)
    wrong = [result for result in results if not result["intact"]]
    for result in wrong:
        message = f"echoic: {result['path']} is damaged or another version: its checksum differs"
        _print(f"{message} from {result['expected']}.", stderr=True)
    return 1 if wrong else 0


@app.command
def fetch(name: str, *, data_dir: Folder = None, url: str | None = None, json: Flag = False) -> int:
    """Download a data set that has a public address, and check it.

    Parameters
    ----------
    name
        A data set, such as mnist_train; `echoic data list` shows which can be had.
    data_dir
        Where to put it; by default the user's cache.
    url
        The address of a mirror; file names are appended to it.
    json
        Print JSON.
    """
    from echoic import data

    paths = data.fetch(name, folder=data_dir, url=url)
    return _show([str(path) for path in paths], json, "\n".join)


def _described(name: str, data_dir: Folder) -> dict[str, Any]:
    from echoic.data import DataNotFoundError
    from echoic.data.registry import entry, folders, locate

    folders(data_dir)
    known = entry(name)
    try:
        paths = [str(path) for _, path in locate(known, data_dir)]
    except DataNotFoundError:
        paths = []
    return {
        "name": known.name,
        "here": bool(paths),
        "downloadable": bool(known.downloads),
        "description": known.description,
        "sampling": known.sampling,
        "licence": known.licence,
        "citation": known.citation,
        "files": [
            {"name": file.name, "bytes": file.size, "checksum": file.checksum, "url": file.url}
            for files in known.alternatives
            for file in files
        ],
        "paths": paths,
    }


def _show(content: Any, json: bool, draw: Callable[[Any], Any]) -> int:
    if json:
        print(json_.dumps(content, indent=2, ensure_ascii=False))  # noqa: T201
        return 0
    _print(draw(content))
    return 0


def _print(content: Any, stderr: bool = False) -> None:
    from rich.console import Console

    # A path or a checksum broken over two lines cannot be copied; a table must fit the window.
    whole = isinstance(content, str)
    Console(highlight=False, stderr=stderr).print(content, markup=False, soft_wrap=whole)


def _list_table(described: list[dict[str, Any]]) -> Any:
    table = _table("name", "here", "content", "licence")
    for known in described:
        here = "yes" if known["here"] else "download" if known["downloadable"] else "no"
        title = re.split(r"[:;.] ", known["description"].rstrip("."))[0]
        table.add_row(*map(_plain, (known["name"], here, title, known["licence"])))
    return table


def _info_table(known: dict[str, Any]) -> Any:
    table = _table(header=False)
    for title in ("name", "description", "sampling", "licence", "citation"):
        if known[title]:
            table.add_row(title, _plain(known[title]))
    for file in known["files"]:
        table.add_row("file", _plain(f"{file['name']}, {file['bytes']:,} bytes"))
        table.add_row("", _plain(file["checksum"]))
        if file["url"]:
            table.add_row("", _plain(file["url"]))
    missing = (
        f"not on this machine; get it by `echoic data fetch {known['name']}`"
        if known["downloadable"]
        else "not on this machine; point --data-dir or $ECHOIC_DATA to a folder that holds it"
    )
    table.add_row("found at", _plain("\n".join(known["paths"]) or missing))
    return table


def _verify_table(results: list[dict[str, Any]]) -> Any:
    table = _table("name", "file", "verdict")
    for result in results:
        verdict = "intact" if result["intact"] else "damaged"
        table.add_row(*map(_plain, (result["name"], result["file"], verdict)))
    return table


def _table(*columns: str, header: bool = True) -> Any:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(*columns, box=SIMPLE if header else None, show_header=header, pad_edge=False)
    if not header:
        table.add_column(no_wrap=True, style="bold")
        table.add_column(overflow="fold")
    return table


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text, overflow="fold")
