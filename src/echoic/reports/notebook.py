"""The report inside a notebook: small, without scripts, safe to show anywhere."""

import base64
import io

from markupsafe import Markup

from echoic.core.records import ReportRecord
from echoic.reports.html import environment, table
from echoic.reports.plots import figure
from echoic.reports.style import printable

_SHOWN = (
    "name",
    "horizon_gradient_reach",
    "horizon_linear_recall",
    "gain",
    "recall",
    "exponent",
    "regime",
    "noise",
)


def to_notebook_html(record: ReportRecord) -> str:
    """Verdict, memory curves and table as HTML for a notebook's output cell.

    The figure is a picture (SVG in an ``img``), which no front end lets run anything.
    """
    picture = ""
    if record.networks:
        stream = io.BytesIO()
        figure(record).savefig(stream, format="svg", metadata={"Date": None})
        picture = base64.b64encode(stream.getvalue()).decode()
    warnings = [printable(text) for text in record.warnings]
    return (
        environment()
        .get_template("notebook.html")
        .render(
            verdict=printable(record.verdict),
            picture=Markup(picture),
            table=[column for column in table(record) if column["key"] in _SHOWN],
            count=len(record.networks),
            warnings=warnings,
        )
    )
