"""The report in the user's hands: a record that can show and save itself."""

import dataclasses
import pathlib
from typing import Any

from echoic import reports
from echoic.core.records import NetworkRecord, ReportRecord


@dataclasses.dataclass(frozen=True)
class Report:
    """What a checkup found, best network first.

    Printed it is a table, in a notebook a page. ``record`` holds all of it as plain numbers.
    """

    record: ReportRecord

    @property
    def verdict(self) -> str:
        """The answer in one or two sentences."""
        return self.record.verdict

    @property
    def networks(self) -> tuple[NetworkRecord, ...]:
        """What was found for each network, best first."""
        return self.record.networks

    def save(self, path: str | pathlib.Path) -> pathlib.Path:
        """Write ``.html``, ``.json``, ``.svg`` or ``.pdf``, by the ending; whole or not at all."""
        return reports.save(self.record, path)

    @staticmethod
    def load(path: str | pathlib.Path) -> "Report":
        """Read back a saved ``.json``."""
        return Report(reports.load(path))

    def figure(self, **options: Any):
        """The memory curves as a matplotlib figure for print."""
        return reports.figure(self.record, **options)

    def __str__(self) -> str:
        return reports.to_text(self.record)

    __repr__ = __str__

    def __rich__(self):
        return reports.renderable(self.record)

    def _repr_html_(self) -> str:
        return reports.to_notebook_html(self.record)
