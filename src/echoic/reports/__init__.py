"""Reports: records shown in the terminal, in the browser, in a notebook and on paper.

Nothing is computed here. The drawing libraries are loaded when a page or a figure is asked for.
"""

import importlib
from typing import Any

_HOMES = {
    "to_json": "serialise",
    "from_json": "serialise",
    "render": "tables",
    "renderable": "tables",
    "to_text": "tables",
    "figure": "plots",
    "phase_figure": "phase_plot",
    "to_html": "html",
    "to_notebook_html": "notebook",
    "save": "files",
    "load": "files",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"echoic.reports.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'echoic.reports' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
