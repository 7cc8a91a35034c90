"""A run in progress: intervals of training that end with an examination, kept on disk."""

import dataclasses
import time
from typing import Any, Literal, NamedTuple

import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray

from echoic.core.task import Batch
from echoic.training.checkpoint import Checkpoint
from echoic.training.diagnostics import Diagnostics, diagnose
from echoic.training.ensemble import Engine
from echoic.training.events import Advanced, Ended, Event, Examined, Observer, Saved
from echoic.training.folder import RunFolder
from echoic.training.held_back import Judges
from echoic.training.history import History

# How often the table is written between two checkpoints.
_SECONDS_BETWEEN_TABLES = 5.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a member ended: ``finished``, ``stopped`` (early) or ``diverged``, when, and why."""

    kind: Literal["finished", "stopped", "diverged"]
    step: int
    sentence: str


class Rules(NamedTuple):
    """When to examine, to stop, to diagnose and to write."""

    steps: int
    every: int
    patience: int | None
    target_loss: float | None
    diagnostics: Diagnostics | None
    checkpoint_seconds: float


class Session:
    """Engine, judges and the books that are kept of them."""

    def __init__(
        self,
        engine: Engine,
        judges: Judges,
        example: Batch,
        rules: Rules,
        observers: tuple[Observer, ...],
        folder: RunFolder | None,
        key: PRNGKeyArray,
    ):
        self.engine = engine
        self.judges = judges
        self.example = example
        self.rules = rules
        self.observers = observers
        self.folder = folder
        self.key = key
        self.rows: list[dict[str, Any]] = []
        self.outcomes: dict[int, Outcome] = {}
        self.examined = self.diagnosed = 0
        self._seconds_before = 0.0
        self._started = self._last_checkpoint = time.perf_counter()
        self._last_table = 0.0

    @property
    def seconds(self) -> float:
        """How long the run has taken, that of interrupted ones included."""
        return self._seconds_before + time.perf_counter() - self._started

    @property
    def step(self) -> int:
        """That of the slowest member that still trains; of the fastest, where none does."""
        steps = [group.step for group in self.engine.groups if group.active.any()]
        return min(steps) if steps else max(group.step for group in self.engine.groups)

    def tell(self, event: Event) -> None:
        """Pass an event on to all observers."""
        for observer in self.observers:
            observer(event)

    def run(self) -> None:
        """Train to the end."""
        every = self.rules.every
        while self.engine.active.any():
            boundary = min((self.examined // every + 1) * every, self.rules.steps)
            while not self._advance(boundary):
                self.checkpoint()
            self._examine(boundary)
            self._retire(boundary)
            if self._is_due() and self.engine.active.any():
                self.checkpoint()
        self.checkpoint()

    def _advance(self, boundary: int) -> bool:
        try:
            return self.engine.advance(boundary, self._pause)
        except KeyboardInterrupt as interrupt:
            # All calls have come back, so that the books are right.
            if self.folder is not None:
                self.checkpoint()
                interrupt.add_note(
                    f"Training was interrupted at step {self.step}; resume=True goes on from there."
                )
            raise

    def _is_due(self) -> bool:
        since = time.perf_counter() - self._last_checkpoint
        return self.folder is not None and since >= self.rules.checkpoint_seconds

    def _pause(self) -> bool:
        done = sum(
            len(group.members) * (group.step if group.active.any() else self.rules.steps)
            for group in self.engine.groups
        )
        share = done / (self.rules.steps * self.engine.num_members)
        self.tell(Advanced(self.step, share, self.seconds))
        return self._is_due()

    # --- examination ------------------------------------------------------------------------------

    def _examine(self, step: int) -> None:
        loss, accuracy = self.engine.examine(self.judges.validation)
        sums = self.engine.take_sums()
        extra = self._diagnose(step)
        seconds, rows = self.seconds, []
        for member in np.flatnonzero(self.engine.active).tolist():
            made = sums.updates[member]
            rows.append(
                {
                    "step": step,
                    "member": member,
                    "train_loss": sums.loss[member] / made if made else np.nan,
                    "validation_loss": loss[member],
                    "accuracy": accuracy[member],
                    "gradient_norm": sums.norm[member] / made if made else np.nan,
                    "largest_gradient_norm": sums.largest_norm[member] if made else np.nan,
                    "seconds": seconds,
                    **extra.get(member, {}),
                }
            )
        self.rows += rows
        self.examined = step
        self.tell(Examined(step, tuple(rows)))
        if self.folder and self.seconds - self._last_table >= _SECONDS_BETWEEN_TABLES:
            self.folder.write_table(History.of(self.rows))
            self._last_table = self.seconds

    def _diagnose(self, step: int) -> dict[int, dict[str, float]]:
        wanted = self.rules.diagnostics
        if wanted is None or step - self.diagnosed < wanted.every:
            return {}
        self.diagnosed = step
        models = self.engine.models(best=False)
        return {
            member: diagnose(
                models[member],
                self.example,
                self.engine.recipe.loss,
                wanted,
                key=jr.fold_in(self.key, step),
            )
            for member in np.flatnonzero(self.engine.active).tolist()
        }

    def _retire(self, step: int) -> None:
        diverged = self.engine.diverged
        best_loss, best_step = self.engine.best
        for member in np.flatnonzero(self.engine.active).tolist():
            outcome = self._outcome(
                step, int(diverged[member]), float(best_loss[member]), int(best_step[member])
            )
            if outcome is not None:
                self.outcomes[member] = outcome
                self.engine.retire(member)
                self.tell(Ended(member, outcome.step, outcome.sentence))

    def _outcome(self, step, diverged, best_loss, best_step) -> Outcome | None:
        rules = self.rules
        if diverged >= 0:
            return Outcome(
                "diverged",
                diverged,
                f"diverged: the loss, the gradient or the update of step {diverged} (counted from"
                " 0) was not finite; the last weights are those before it",
            )
        if rules.target_loss is not None and best_loss <= rules.target_loss:
            return Outcome(
                "stopped",
                step,
                f"stopped at step {step}: the validation loss {best_loss:.4g} has reached the"
                f" target {rules.target_loss:g}",
            )
        if rules.patience is not None and step - best_step >= rules.patience and step < rules.steps:
            return Outcome(
                "stopped",
                step,
                f"stopped at step {step}: no better validation loss than {best_loss:.4g} since step"
                f" {best_step}",
            )
        if step >= rules.steps:
            return Outcome("finished", step, f"finished after {step} steps")
        return None

    # --- on disk ----------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Write down everything that is needed to go on, if there is a folder."""
        if self.folder is None:
            return
        header = {
            "seconds": self.seconds,
            "examined": self.examined,
            "diagnosed": self.diagnosed,
            "outcomes": {str(i): dataclasses.asdict(o) for i, o in self.outcomes.items()},
        }
        stored = Checkpoint(self.engine.stored(), History.of(self.rows).columns, header)
        models = self.engine.models(best=True)
        path = self.folder.write(self.step, stored, models, *self.engine.best)
        self._last_checkpoint = time.perf_counter()
        self._last_table = self.seconds
        self.tell(Saved(self.step, path))

    def resume(self) -> bool:
        """Go on from the newest checkpoint; whether there was one."""
        assert self.folder is not None
        found = self.folder.newest(self.engine.stored())
        if found is None:
            return False
        self.engine.restore(found.arrays)
        self.rows = History(found.table).rows()
        self.examined, self.diagnosed = found.header["examined"], found.header["diagnosed"]
        self._seconds_before = found.header["seconds"]
        self.outcomes = {
            int(member): Outcome(**fields) for member, fields in found.header["outcomes"].items()
        }
        for member, outcome in list(self.outcomes.items()):
            # It had come to its end, which has been put off since.
            if outcome.kind == "finished" and outcome.step < self.rules.steps:
                del self.outcomes[member]
                self.engine.reinstate(member)
        return True
