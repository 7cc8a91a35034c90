"""What training leaves."""

import dataclasses
import math
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from echoic.core.model import AbstractModel
from echoic.training.history import History
from echoic.training.session import Outcome


@dataclasses.dataclass(frozen=True, repr=False)
class TrainingRun:
    """What training leaves.

    **Fields**

    - ``networks``: of each member that with the lowest validation loss; ``last``: that after the
      last update; ``initial``: that before the first.
    - ``history``: the table of losses, see [`History`][echoic.training.History].
    - ``outcomes``: how each member ended: ``kind`` is ``"finished"``, ``"stopped"`` (early) or
      ``"diverged"``, ``sentence`` says why.
    - ``best_loss``, ``best_step``: the lowest validation loss, and after how many updates.
    - ``test_loss``, ``test_accuracy``: of ``networks``, on sequences that had no say in anything.
    - ``chance``: the loss of the best prediction that ignores the input; NaN where the task does
      not tell.
    - ``config``: all that the run was started with.
    - ``folder``: where it was kept, or None.
    """

    networks: tuple[AbstractModel, ...]
    last: tuple[AbstractModel, ...]
    initial: tuple[AbstractModel, ...]
    history: History
    outcomes: tuple[Outcome, ...]
    best_loss: Float[np.ndarray, "s"]
    best_step: Int[np.ndarray, "s"]
    test_loss: Float[np.ndarray, "s"]
    test_accuracy: Float[np.ndarray, "s"]
    chance: float
    config: dict[str, Any]
    folder: pathlib.Path | None

    def __repr__(self) -> str:
        chance = "" if math.isnan(self.chance) else f" (chance {self.chance:.4g})"
        members = zip(self.config["seeds"], self.test_loss, self.outcomes, strict=True)
        lines = [
            f"  seed {seed}: test loss {loss:.4g}{chance}; {outcome.sentence}"
            for seed, loss, outcome in members
        ]
        where = "" if self.folder is None else f" in {str(self.folder)!r}"
        return "\n".join([f"TrainingRun of {len(lines)} network(s){where}", *lines])

    @property
    def network(self) -> AbstractModel:
        """The best of the first member."""
        return self.networks[0]
