"""Everything that was measured of one network, question by question, in words and numbers."""

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.text import Text

from echoic.core.finding import Finding
from echoic.core.records import NetworkRecord, ReportRecord
from echoic.reports.drawings import svg
from echoic.reports.style import mathematical, printable, typographic, with_error


def examined(record: ReportRecord) -> NetworkRecord | None:
    """The network of which everything was asked, or None."""
    return next((network for network in record.networks if network.findings), None)


def figure_of(finding: Finding, setting: Callable[[str], str] = str) -> str:
    """Its number with error and unit, each number set by ``setting``; empty where words say it."""
    if math.isnan(finding.value):
        return ""
    if float(finding.value).is_integer() and not finding.standard_error > 0:
        text, error = f"{finding.value:.0f}", ""
    else:
        text, error = with_error(finding.value, finding.standard_error)
    error = f" ± {setting(error)}" if error else ""
    return f"{setting(text)}{error} {finding.unit}".strip()


def in_words(finding: Finding) -> str:
    """Number, text and doubts in a row."""
    parts = [part for part in (figure_of(finding), finding.text) if part]
    return ". ".join(["; ".join(parts), *finding.notes]).rstrip(".")


def by_question(network: NetworkRecord) -> list[tuple[str, list[Finding]]]:
    """The findings that were made, under their questions."""
    made = [finding for finding in network.findings if not finding.left_out]
    return [
        (question, list(found))
        for question, found in itertools.groupby(made, key=lambda finding: finding.question)
    ]


def left_out(network: NetworkRecord) -> list[tuple[str, str]]:
    """What was not asked: the labels that share a reason, and the reason."""
    reasons: dict[str, list[str]] = {}
    for finding in network.findings:
        if finding.left_out:
            reasons.setdefault(finding.left_out.rstrip("."), []).append(finding.label)
    return [(", ".join(labels), reason) for reason, labels in reasons.items()]


def in_terminal(record: ReportRecord, console: Console, width: int, plain: bool) -> Iterator[Text]:
    """The findings as lines that hang below their labels."""
    network = examined(record)
    if network is None:
        return

    def lines(text: str, first: str, rest: str) -> Iterator[Text]:
        if plain:
            text = text.replace("±", "+-").encode("ascii", "replace").decode()
        for i, part in enumerate(Text(text).wrap(console, min(88, width) - len(first))):
            yield Text(rest if i else first) + part

    name = printable(network.name)
    if len(record.networks) > 1:
        yield from lines(f"Everything measured of {name}", "", "")
        yield Text("")
    for question, found in by_question(network):
        yield Text(question, style="bold")
        for finding in found:
            yield from lines(f"{finding.label}: {printable(in_words(finding))}", "- ", "  ")
        yield Text("")
    for labels, reason in left_out(network):
        yield from lines(f"Left out: {labels}: {printable(reason)}.", "- ", "  ")
    if left_out(network):
        yield Text("")


@dataclasses.dataclass(frozen=True)
class Section:
    """One question on the page."""

    question: str
    rows: list[tuple[str, str, str, str]]  # label, number, words, names of the measures
    drawings: list[tuple[str, str, str]]  # title, svg, caption


def sections(network: NetworkRecord) -> list[Section]:
    """The findings as the page shows them."""
    return [
        Section(
            question,
            [
                (
                    mathematical(printable(finding.label)),
                    figure_of(finding, typographic),
                    mathematical(printable(_words(finding))),
                    ", ".join(finding.measures),
                )
                for finding in found
            ],
            [
                (
                    mathematical(printable(finding.drawing.title)),
                    svg(finding.drawing),
                    mathematical(printable(finding.drawing.caption)),
                )
                for finding in found
                if finding.drawing is not None
            ],
        )
        for question, found in by_question(network)
    ]


def _words(finding: Finding) -> str:
    """Text and doubts, with true minus signs."""
    text = ". ".join(part.rstrip(".") for part in (finding.text, *finding.notes) if part)
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)
