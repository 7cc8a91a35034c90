"""The folder of a run: its settings, its table, its checkpoints, and the best networks."""

import errno
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, PyTree

from echoic.cells.store import save
from echoic.core.files import write_whole
from echoic.core.model import AbstractModel
from echoic.training.checkpoint import Checkpoint, checkpoints_in, load_newest, save_checkpoint
from echoic.training.config import read_config, refuse_other_config, write_config
from echoic.training.history import History


class TrainingWarning(UserWarning):
    """Something about a run that its user should know and that does not end it."""


class RunFolder:
    """Where a run is kept. Every file in it is whole at any time."""

    def __init__(self, path: pathlib.Path, seeds: Sequence[int], *, keep: int):
        self.path = path
        self.seeds = tuple(seeds)
        self.keep = keep
        self._stored_step = np.full(len(self.seeds), -1)

    @property
    def checkpoints(self) -> pathlib.Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def begin(self, config: dict[str, Any], *, resume: bool) -> None:
        """Make the folder and write the settings.

        **Raises** ValueError where there is a run that is not to be resumed, or was started with
        other settings.
        """
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        then = read_config(self.path)
        if not resume and (then is not None or checkpoints_in(self.checkpoints)):
            raise ValueError(
                f"there is a run in {str(self.path)!r} already: resume=True goes on with it,"
                " another folder begins anew."
            )
        if then is not None:
            refuse_other_config(self.path, then, config)
        write_config(self.path, config)

    def newest(self, template: PyTree) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None if there was none yet."""
        return load_newest(self.checkpoints, template)

    def write(
        self,
        step: int,
        stored: Checkpoint,
        models: Sequence[AbstractModel],
        best_loss: Float[np.ndarray, "s"],
        best_step: Int[np.ndarray, "s"],
    ) -> pathlib.Path:
        """Write a checkpoint, the table, and the best networks where they have changed.

        **Raises** OSError that says that the run has ended, why, and how it goes on.
        """
        try:
            path = save_checkpoint(self.checkpoints, step, stored, keep=self.keep)
            self.write_table(History(stored.table))
            self._write_networks(models, best_loss, best_step)
        except OSError as error:
            raise OSError(
                error.errno or errno.EIO,
                f"training ended at step {step}: {error.strerror or error}. What was written"
                " before is whole: once that is put right, resume=True (--resume) goes on from"
                " the last checkpoint",
            ) from error
        return path

    def write_table(self, history: History) -> None:
        """Write ``metrics.csv``, which is for looking at: checkpoints hold the table as well."""
        write_whole(self.path / "metrics.csv", history.to_csv())

    def _write_networks(self, models, best_loss, best_step) -> None:
        changed = np.flatnonzero(np.isfinite(best_loss) & (best_step != self._stored_step))
        for member in changed.tolist():
            path = self.path / f"seed-{self.seeds[member]}.safetensors"
            remarks = {"step": int(best_step[member]), "validation_loss": float(best_loss[member])}
            try:
                save(models[member], path, metadata=remarks)
            except ValueError as error:
                if (self._stored_step < 0).all():
                    warnings.warn(
                        f"the networks are in the checkpoints only: {error}",
                        TrainingWarning,
                        stacklevel=2,
                    )
            self._stored_step[member] = best_step[member]
