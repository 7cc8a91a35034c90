"""The report as one page: self-contained, readable without a network, in the order of a reader."""

import base64
import functools
import hashlib
import importlib.resources
import math
from collections.abc import Iterable, Mapping
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from echoic.core.records import NetworkRecord, PhaseMap, ReportRecord, SignalRecord
from echoic.core.training_record import TrainingRecord
from echoic.reports import findings, learning
from echoic.reports.choosing import choices, definition, label, members
from echoic.reports.columns import Column, columns
from echoic.reports.page_data import island
from echoic.reports.phase import caption, phase_sentence, placed
from echoic.reports.prescriptions import prescription_columns, prescription_details
from echoic.reports.style import (
    aligned,
    horizon_text,
    is_decimal,
    mathematical,
    printable,
    significant,
    source_text,
    typographic,
    unbroken,
    with_error,
)
from echoic.reports.training import in_words, member_columns

_SCRIPTS = ("labels.js", "figures.js", "phase.js", "learning.js", "page.js")


def to_html(record: ReportRecord) -> str:
    """The report as one HTML page that needs nothing else, below 6 MB.

    It loads nothing (a content security policy forbids it to), draws with plotly, follows the
    reader's light or dark setting, prints, and works from the keyboard. Curves of many lags are
    thinned for drawing; ``to_json`` keeps every lag.
    """
    scripts = [_plotly(), "\n".join(map(_template_text, _SCRIPTS))]
    page = (
        environment()
        .get_template("report.html")
        .render(
            record=record,
            style=Markup(_template_text("report.css")),
            scripts=[Markup(script) for script in scripts],
            policy=_policy(scripts),
            island=Markup(island(record)),
            panels=_panels(record, ("gain", "information")),
            training=None if record.training is None else _training(record, record.training),
            table=table(record),
            prescribed=_laid_out(prescription_columns(record)) if record.prescriptions else [],
            details=prescription_details(record),
            stars=any(cell.text.endswith("*") for c in columns(record) for cell in c.cells),
            words=_words(record),
            why=_why(record),
            everything=_everything(record),
            advised=[network for network in record.networks if network.snippets],
            signal=_signal(record.signal),
            settings=_settings(record.settings),
            thresholds=_settings(record.thresholds),
            notes=[_network_notes(network) for network in record.networks],
        )
    )
    # A name with half a surrogate pair (from a file's name) cannot be written as UTF-8.
    return page.encode("utf-8", "replace").decode("utf-8")


def environment() -> jinja2.Environment:
    """Templates of this package, everything escaped."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("echoic.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "printable": printable,
        "typographic": typographic,
        "lines": _lines,
        "unbroken": unbroken,
        "markup": Markup,  # for drawings, which escape what they hold
    }
    return made


def table(record: ReportRecord) -> list[dict[str, Any]]:
    """The table column by column; hidden fillers put the decimal points in line."""
    return _laid_out(columns(record))


def _laid_out(every: Iterable[Column]) -> list[dict[str, Any]]:
    return [
        {
            "key": column.key,
            "heading": [printable(line) for line in column.heading if line],
            "definition": mathematical(column.definition),
            "unit": column.unit,
            "numeric": column.numeric,
            "cells": _numbers(column) if column.numeric else _words_of(column),
        }
        for column in every
    ]


def _words_of(column: Column) -> list[dict[str, Any]]:
    return [{"text": cell.text, "sort": _sort(cell.sort)} for cell in column.cells]


def _numbers(column: Column) -> list[dict[str, Any]]:
    bare = [cell.text.removesuffix("*") for cell in column.cells]
    full = aligned(bare, "0", ".")
    errors = [cell.error for cell in column.cells]
    full_errors = aligned(errors, "0", ".")
    widest = max(full_errors, key=len, default="")
    return [
        {
            "text": typographic(text),
            "filler": padded[len(text) :],
            "star": cell.text.endswith("*"),
            "error": typographic(cell.error),
            "error_filler": ("" if cell.error else widest)
            if not (cell.error and is_decimal(cell.error))
            else padded_error[len(cell.error) :],
            "sort": _sort(cell.sort),
        }
        for cell, text, padded, padded_error in zip(
            column.cells, bare, full, full_errors, strict=True
        )
    ]


def _sort(value: float | str) -> str:
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return ""
    return ("Infinity" if value > 0 else "-Infinity") if math.isinf(value) else repr(float(value))


@functools.cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().replace("\r", "")


def _template_text(name: str) -> str:
    folder = importlib.resources.files("echoic.reports") / "templates"
    return (folder / name).read_text("utf-8")


def _policy(scripts: list[str]) -> str:
    """Only these very scripts run, and nothing is loaded from anywhere."""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline';"
        " img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


_TITLES = {"gain": "Gain", "information": "Information", "demand": "Demand"}


def _panels(record: ReportRecord, shown: Iterable[str]) -> list[dict[str, Any]]:
    return [
        {
            "id": panel,
            "title": title,
            "choices": [
                {"key": name, "label": label(name), "definition": definition(name)}
                for name in choices(record, panel)
            ],
            "alternative": f"{title} over the lag. {_curve_words(record, panel)}",
        }
        for panel, title in ((name, _TITLES[name]) for name in shown)
        if choices(record, panel)
    ]


def _training(record: ReportRecord, training: TrainingRecord) -> dict[str, Any]:
    """How the networks learned, and what the task asks of their memory."""
    quantities = learning.quantities(training)
    return {
        "description": printable(training.description),
        "choices": [
            {"key": name, "label": learning.QUANTITIES[name][0], "definition": definition}
            for name, definition in ((name, learning.QUANTITIES[name][1]) for name in quantities)
        ],
        "alternative": "Learning curves. " + in_words(training, quantities[0]),
        "few": learning.spread(training, quantities[0]) is None,
        "members": len(training.members),
        "table": _laid_out(member_columns(training)),
        "demand": next(iter(_panels(record, ("demand",))), None),
        "sentence": printable(training.sentence),
        "reasons": [printable(text) for text in _reasons(training)],
        "name": printable(training.members[training.shown].name) if training.members else "",
    }


def _reasons(training: TrainingRecord) -> list[str]:
    """Where the two lags of the sentence come from."""
    found = []
    if training.needed_by:
        found.append(f"What it needs: {training.needed_by}.")
    if training.reached_by:
        found.append(f"How far it reaches: {training.reached_by}.")
    return found


def _curve_words(record: ReportRecord, panel: str) -> str:
    """A figure in words: the verdict, then each network's horizon by the first curve."""
    quantity = members(choices(record, panel)[0])[0]
    parts = []
    for network in record.networks:
        curve = network.curve(quantity)
        if curve is not None and curve.horizon is not None:
            parts.append(f"{printable(network.name)}: {horizon_text(curve.horizon)}")
    words = f"Horizon in steps by {label(quantity)}: {'; '.join(parts)}." if parts else ""
    return f"{printable(record.verdict)} {words}".strip()


def _words(record: ReportRecord) -> list[tuple[str, str]]:
    return [(printable(n.name), printable(n.verdict)) for n in record.networks if n.verdict]


def _why(record: ReportRecord) -> dict[str, Any]:
    """Which of the explaining figures there are, and what cannot be drawn in them."""
    lost = []
    for network in record.networks:
        spectrum = network.spectrum
        if spectrum is not None and np.isneginf(spectrum.exponents).any():
            count = int(np.isneginf(spectrum.exponents).sum())
            lost.append(f"{printable(network.name)} has {count} of {len(spectrum.exponents)}")
    found = placed(record)
    return {
        "spectrum": any(
            n.spectrum is not None and np.isfinite(n.spectrum.exponents).any()
            for n in record.networks
        ),
        "singular": any(n.singular_values is not None for n in record.networks),
        "autocorrelation": len(record.signal.autocorrelation) > 1,
        "phase": None if found is None or found.phase_map is None else _phase(found.phase_map),
        "lost": "; ".join(lost),
    }


def _everything(record: ReportRecord) -> dict[str, Any] | None:
    """All that was measured of one network, question by question, and what was left out."""
    network = findings.examined(record)
    if network is None:
        return None
    return {
        "name": printable(network.name),
        "sections": findings.sections(network),
        "left_out": [
            (printable(labels), printable(reason)) for labels, reason in findings.left_out(network)
        ],
    }


def _phase(diagram: PhaseMap) -> dict[str, Any]:
    return {
        "family": printable(diagram.family),
        "words": phase_sentence(diagram),
        "caption": caption(diagram),
        "notes": [printable(note) for note in diagram.notes if note],
        "source": printable(diagram.source),
    }


def _signal(signal: SignalRecord) -> list[tuple[str, str]]:
    channels = [
        f"{printable(name)} ({typographic(significant(float(mean), 3))}"
        f" ± {typographic(significant(float(deviation), 3))})"
        for name, mean, deviation in zip(
            signal.channels[:12], signal.mean, signal.standard_deviation, strict=False
        )
    ]
    if len(signal.channels) > 12:
        channels.append(f"and {len(signal.channels) - 12} more")
    sequences = "" if signal.num_sequences == 1 else f"{signal.num_sequences} sequences of "
    entries = [
        ("Name", signal.name),
        ("Source", source_text(signal.source)),
        ("SHA-256", signal.sha256),
        ("Length", f"{sequences}{signal.length} steps" if signal.length else ""),
        ("Sampling", signal.sampling),
        ("Scaling", signal.scaling),
        ("Channels (mean ± spread)", ", ".join(channels)),
        ("Licence", signal.licence),
        ("Citation", signal.citation),
    ]
    return [(term, printable(text)) for term, text in entries if text]


def _settings(settings: Any) -> list[tuple[str, str]]:
    return [(printable(str(key)), printable(_plainly(value))) for key, value in settings.items()]


def _plainly(value: Any) -> str:
    """A setting without the brackets and quotes of a program."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plainly(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plainly, value))
    return str(value)


def _network_notes(network: NetworkRecord) -> dict[str, Any]:
    curves = [
        (
            f"{label(c.quantity)}, {c.origin}",
            " ".join([*c.notes, f"Source: {c.source}." if c.source else ""]).strip(),
        )
        for c in network.curves
    ]
    facts = [
        ("Family", network.family),
        ("Description", network.description),
        ("Size", f"{network.hidden_size} units, {network.state_size} state variables"),
        ("Exponent × horizon", network.lyapunov_times_horizon),
        ("Recall, all lags", _total(network)),
    ]
    spectrum = network.spectrum
    if spectrum is not None:
        rest = f"sum-rule residual {typographic(significant(spectrum.sum_rule_residual))} nats. "
        facts.append(("Lyapunov spectrum", rest.capitalize() + " ".join(spectrum.notes)))
    return {
        "name": printable(network.name),
        "warnings": [printable(text) for text in network.warnings],
        "facts": [(term, printable(text)) for term, text in facts if text],
        "curves": [(printable(term), printable(text)) for term, text in curves if text],
        "settings": _settings(network.settings),
    }


def _total(network: NetworkRecord) -> str:
    if math.isnan(network.recall_sum):
        return ""
    total = typographic(with_error(network.recall_sum, math.nan)[0])
    return f"{total} steps, {typographic(significant(network.recall_per_unit))} per unit"


def _lines(text: str) -> str:
    """Program text: line ends stay, other control codes go."""
    return "\n".join(printable(line) for line in str(text).expandtabs(4).split("\n"))
