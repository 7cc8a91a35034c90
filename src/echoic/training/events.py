"""What a run tells those who watch it. An observer is any function of one event."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Started:
    """Training begins, or goes on, at ``step``; ``config`` is all that it was started with."""

    step: int
    steps: int
    num_members: int
    config: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Advanced:
    """A call has come back; ``step`` is that of the slowest member, ``share`` of all the work."""

    step: int
    share: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Examined:
    """New lines of the history, one for each member that still trains."""

    step: int
    rows: tuple[dict[str, Any], ...]


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    step: int
    path: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Ended:
    """A member trains no further, and why."""

    member: int
    step: int
    sentence: str


@dataclasses.dataclass(frozen=True)
class Finished:
    """All is done; the test metrics of each member."""

    test_loss: tuple[float, ...]
    test_accuracy: tuple[float, ...]
    seconds: float


Event = Started | Advanced | Examined | Saved | Ended | Finished
Observer = Callable[[Event], None]
