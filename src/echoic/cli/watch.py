"""What a training command shows while it works, and what it leaves on the screen."""

import math
import pathlib
import shlex
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from echoic.cli.session import printable, writable

if TYPE_CHECKING:
    from echoic.diagnosis import Report
    from echoic.training import TrainingRun

# Lines that a run leaves on the screen.
_LINES = 10


class Watch:
    """One training command: its progress bar, a few lines of the table, and its last words.

    Results go to standard output, progress to standard error.
    """

    def __init__(self, folder: pathlib.Path, *, quiet: bool):
        self.folder = writable(folder)
        self.quiet = quiet
        self.command_line = shlex.join(["echoic", *sys.argv[1:]])
        self.out = Console(highlight=False)
        self.errors = Console(stderr=True, highlight=False, soft_wrap=True)
        self.chance = math.nan
        self._steps = 1
        self._shown = 0
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.errors,
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("", total=1.0)

    def __enter__(self) -> "Watch":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def says(self, what: str) -> None:
        """What is being done at the moment."""
        self._bar.update(self._task, description=printable(what))

    def stage(self, network: str, stage: str) -> None:
        """Which network is being measured, and for what."""
        self.says(f"{network}: {stage}")

    def announce(self, task: Any) -> None:
        """What is to be learned, and what knowing nothing costs."""
        self.chance = float(task.chance)
        if not self.quiet:
            self.out.print(printable(getattr(task, "description", task.name)), markup=False)
            self.out.print(f"Chance: loss {self.chance:.4g}.", markup=False)
        self.says("compiling")

    def event(self, event: Any) -> None:
        """An observer of the run."""
        from echoic.training import events

        if isinstance(event, events.Started):
            self._steps = event.steps
            self._shown = event.step * _LINES // event.steps
            if event.step and not self.quiet:
                self.out.print(f"Going on after {event.step} of {event.steps} updates.")
        elif isinstance(event, events.Advanced):
            self._bar.update(self._task, completed=event.share)
        elif isinstance(event, events.Examined) and event.rows:
            self._examined(event.step, event.rows)
        elif isinstance(event, events.Ended):
            self._line(f"seed {event.member}: {event.sentence}")
        elif isinstance(event, events.Finished):
            self._bar.update(self._task, completed=1.0)

    def _examined(self, step: int, rows: Any) -> None:
        loss = _median([row["validation_loss"] for row in rows])
        accuracy = _median([row["accuracy"] for row in rows])
        words = f"loss {loss:.4g}" + ("" if math.isnan(accuracy) else f", accuracy {accuracy:.3f}")
        self.says(f"{words} (chance {self.chance:.4g})")
        if step * _LINES // self._steps > self._shown:
            self._shown = step * _LINES // self._steps
            self._line(f"{step:8d} updates: validation {words}")

    def _line(self, sentence: str) -> None:
        if not self.quiet:
            self._bar.stop()
            self.out.print(printable(sentence), markup=False, soft_wrap=True)
            self._bar.start()

    def stopped(self) -> int:
        """Ctrl-C: say how to go on. The exit code."""
        self._bar.stop()
        again = self.command_line + ("" if "--resume" in sys.argv else " --resume")
        self.errors.print(
            f"\nechoic: stopped; what was learned is kept in {printable(str(self.folder))}."
            f" Go on with: {again}",
            markup=False,
        )
        return 130

    def finished(self, run: "TrainingRun", report: "Report") -> int:
        """Write the pages and show the table. The exit code."""
        from echoic import reports

        self._bar.stop()
        text = reports.to_json(report.record)
        report.save(self.folder / "report.json")
        page = report.save(self.folder / "report.html")
        if self.quiet:
            sys.stdout.write(text)
        else:
            self.out.print()
            reports.render(report.record, self.out)
            self.out.print()
            self.out.print(f"Report: {page}", markup=False, soft_wrap=True)
        # A run in which nothing was learned because nothing stayed finite is no success.
        return 1 if all(outcome.kind == "diverged" for outcome in run.outcomes) else 0


def _median(values: list[float]) -> float:
    known = sorted(value for value in values if not math.isnan(value))
    return known[len(known) // 2] if known else math.nan
