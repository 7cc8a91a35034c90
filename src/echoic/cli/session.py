"""What a command shows while it works, and the files that it leaves."""

import contextlib
import dataclasses
import os
import pathlib
import shlex
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from echoic.core.files import write_whole

if TYPE_CHECKING:
    from echoic.core.records import NetworkRecord
    from echoic.diagnosis import Report

# A stop, even a kill, loses at most this much work and one network.
_SECONDS_BETWEEN_SAVES = 10.0


class Session:
    """One run of a command that examines networks: its folder, its progress bar, its reports.

    Results go to standard output, progress to standard error. ``name`` is that of the reports.
    """

    def __init__(self, folder: pathlib.Path, *, quiet: bool, name: str = "report"):
        self.name = name
        self.request: dict[str, Any] = {}
        self._so_far: Report | None = None
        self._total = 0
        self._saved = time.monotonic()
        self.folder = writable(folder)
        self.quiet = quiet
        self.command_line = shlex.join(["echoic", *sys.argv[1:]])
        self.out = Console(highlight=False)
        self.errors = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.errors,
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> "Session":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def says(self, what: str) -> None:
        """What is being done at the moment."""
        self._bar.update(self._task, description=printable(what))

    def begins(self, total: int) -> None:
        """How many networks there are to examine."""
        self._total = total
        self._bar.update(self._task, total=total)

    def stage(self, network: str, stage: str) -> None:
        """Which network is being measured, and for what."""
        self.says(f"{network}: {stage}")

    def done(self, record: "NetworkRecord", so_far: "Report") -> None:
        """One network is done: its verdict appears at once, and is kept in case of a stop."""
        self._so_far = so_far
        self._bar.advance(self._task)
        if time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
            self._keep()
        if not self.quiet:
            self._bar.stop()
            sentence = printable(f"{record.name}: {record.verdict}")
            # On a terminal between words; in a file one line a network.
            self.out.print(sentence, markup=False, soft_wrap=not self.out.is_terminal)
            self._bar.start()

    @contextlib.contextmanager
    def notes(self) -> Iterator[None]:
        """Show the warnings that are raised inside as plain sentences."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for warning in caught:
            self.errors.print(printable(f"echoic: {warning.message}"), markup=False)

    def known(self) -> "dict[str, NetworkRecord]":
        """The networks that a stopped run with the same request has examined already."""
        from echoic import diagnosis

        path = self._partial
        if not path.exists():
            raise ValueError(f"there is nothing to resume: {path} does not exist.")
        record = diagnosis.Report.load(path).record
        then = record.settings.get("request", {})
        changed = sorted(name for name in self.request if then.get(name) != self.request[name])
        if changed:
            raise ValueError(
                f"{path} is of a run with other settings ({', '.join(changed)}):"
                " run without --resume to begin anew."
            )
        return {network.name: network for network in record.networks}

    def notices(self, sentence: str) -> None:
        """A last line on standard output, kept from machines."""
        if not self.quiet:
            self.out.print(printable(sentence), markup=False, soft_wrap=True)

    def finished(self, report: "Report", more: Mapping[str, bytes] | None = None) -> int:
        """Write the reports, and ``more`` files by name, and show the table. The exit code."""
        from echoic import reports

        self._bar.stop()
        text = reports.to_json(report.record)
        self.folder.mkdir(parents=True, exist_ok=True)
        report.save(self.folder / f"{self.name}.json")
        page = report.save(self.folder / f"{self.name}.html")
        others = [write_whole(self.folder / name, data) for name, data in (more or {}).items()]
        self._partial.unlink(missing_ok=True)
        if self.quiet:
            sys.stdout.write(text)
        else:
            self.out.print()
            reports.render(report.record, self.out)
            self.out.print()
            self.notices(f"Report: {page}")
            for path in others:
                self.notices(f"Picture: {path}")
        return 0

    def stopped(self) -> int:
        """Ctrl-C: keep what there is, and say how to go on. The exit code."""
        self._bar.stop()
        if self._so_far is None:
            self.errors.print("\nechoic: stopped before the first network was done.", markup=False)
            return 130
        self._keep()
        again = self.command_line + ("" if "--resume" in sys.argv else " --resume")
        done = len(self._so_far.networks)
        self.errors.print(
            f"\nechoic: stopped after {done} of {self._total} networks, which are kept."
            f" Go on with: {again}",
            markup=False,
        )
        return 130

    def _keep(self) -> None:
        from echoic import diagnosis

        if self._so_far is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self._so_far.record
        settings = {**record.settings, "request": self.request}
        diagnosis.Report(dataclasses.replace(record, settings=settings)).save(self._partial)
        self._saved = time.monotonic()

    @property
    def _partial(self) -> pathlib.Path:
        return self.folder / f"{self.name}.partial.json"


def printable(text: str) -> str:
    """Names of files and columns are the world's: nothing in them may steer the terminal."""
    from echoic.reports import style  # needs NumPy, which --help must not wait for

    return style.printable(text)


def writable(folder: pathlib.Path) -> pathlib.Path:
    """The output folder, refused before any work is done if it is no use; made when written."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise ValueError(f"the output folder {folder} cannot be made: {there} is a file.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"the output folder {folder} cannot be written.")
    return folder
