"""The record of a training run: what was learned, how surely, and what it asks of memory."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class MemberRecord:
    """How one member of a run, a seed say, learned.

    **Fields**

    - ``steps``: at which updates the curves were taken; ``train_loss``, ``validation_loss``,
      ``accuracy``: their values there, shape (k,), NaN where there was none.
    - ``status``: how it ended, in a sentence.
    - ``best_step``: the update with the lowest validation loss, whose network was kept, and
      ``best_loss``, that loss.
    - ``test_loss``, ``test_accuracy``: of that network, on sequences that had no say in anything.
    """

    name: str
    steps: np.ndarray
    train_loss: np.ndarray
    validation_loss: np.ndarray
    accuracy: np.ndarray
    status: str
    best_step: int
    best_loss: float
    test_loss: float
    test_accuracy: float


@dataclasses.dataclass(frozen=True)
class TrainingRecord:
    """A training run.

    **Fields**

    - ``task``: its name, ``description``: what exactly is asked.
    - ``loss``: its name, ``unit``: nats, or squared error.
    - ``chance``: the loss of knowing nothing; NaN if nobody knows.
    - ``members``: one a seed; ``shown``: whose memory the report shows, before and after.
    - ``needed``: the lag that the task needs, -1 if it is not known, and ``needed_by``, what says
      so; ``reached``: how far the trained network reaches, -1 if it is not known, and
      ``reached_by``.
    - ``sentence``: both in words.
    """

    task: str
    description: str
    loss: str
    unit: str
    chance: float
    members: tuple[MemberRecord, ...]
    shown: int = 0
    needed: int = -1
    needed_by: str = ""
    reached: int = -1
    reached_by: str = ""
    sentence: str = ""
