from .files import load, save
from .html import to_html
from .notebook import to_notebook_html
from .phase_plot import phase_figure
from .plots import figure
from .serialise import from_json, to_json
from .tables import render, renderable, to_text

__all__ = [
    "figure",
    "from_json",
    "load",
    "phase_figure",
    "render",
    "renderable",
    "save",
    "to_html",
    "to_json",
    "to_notebook_html",
    "to_text",
]
