"""What a training run has learned, in numbers and in words."""

import dataclasses
import math
from typing import Any

import numpy as np

from echoic.core.horizon import Thresholds
from echoic.core.loss import UNITS
from echoic.core.records import Horizon, NetworkRecord
from echoic.core.training_record import MemberRecord, TrainingRecord
from echoic.diagnosis.demands import Need

# A loss that lies no further below chance than this share of it shows nothing learned.
_LITTLE = 0.05


def has_learned(loss: float, chance: float) -> bool:
    """Whether a loss lies clearly below chance, or chance is not known."""
    return not chance > 0 or loss < (1 - _LITTLE) * chance


def members_of(run: Any) -> tuple[MemberRecord, ...]:
    """One record for each member of the run."""
    history, found = run.history, []
    numbers = run.config.get("seeds", range(len(run.networks)))
    for i, number in enumerate(numbers):
        own = history.column("member") == i
        found.append(
            MemberRecord(
                name=f"seed {number}",
                steps=history.column("step")[own],
                train_loss=history.column("train_loss")[own],
                validation_loss=history.column("validation_loss")[own],
                accuracy=history.column("accuracy")[own],
                status=run.outcomes[i].sentence,
                best_step=int(run.best_step[i]),
                best_loss=float(run.best_loss[i]),
                test_loss=float(run.test_loss[i]),
                test_accuracy=float(run.test_accuracy[i]),
            )
        )
    return tuple(found)


def training_record(
    run: Any,
    task: Any,
    loss: str,
    *,
    shown: int,
    need: Need | None,
    learned: bool,
    after: NetworkRecord,
    thresholds: Thresholds,
) -> TrainingRecord:
    """The whole, with what the task needs and how far the trained network reaches.

    ``learned``: of the member that is shown, see [`has_learned`][].
    """
    reach = _reach(after, thresholds, learned)
    return TrainingRecord(
        task=str(getattr(task, "name", type(task).__name__)),
        description=str(getattr(task, "description", "")),
        loss=loss,
        unit=UNITS.get(loss, "its own unit"),  # pyright: ignore
        chance=float(run.chance),
        members=members_of(run),
        shown=shown,
        needed=-1 if need is None else need.lag,
        needed_by="" if need is None else need.by,
        reached=reach.lag,
        reached_by=reach.by,
        sentence=_sentence(need, reach, learned),
    )


@dataclasses.dataclass(frozen=True)
class _Reach:
    """How far a network reaches, whether that is a lower bound, and what says so."""

    lag: int
    is_open: bool
    by: str


def _reach(after: NetworkRecord, thresholds: Thresholds, learned: bool) -> _Reach:
    """The lag up to which gradient and signal both arrive, or that the network is seen to use.

    What a network uses it has: it may keep in its own way what a linear readout does not recall.
    One that has not learned the task answers to its input as well, but not to the purpose.
    """
    names = ("context_ablation", "context_ablation_from") if learned else ()
    uses = [_last(after, name) for name in names]
    used = max((one for one in uses if one is not None), key=lambda one: one.last, default=None)
    gradient, recall = _last(after, "gradient_reach"), _last(after, "linear_recall")
    parts = [f"its loss uses inputs {_up_to(used)}" if used else ""]
    if gradient:
        level = f"stands at {thresholds.gain:g} of lag 0 {_up_to(gradient)}"
        parts.append(f"gradient reach {level}")
        parts.append(
            f"linear recall stands at {thresholds.recall:g} {_up_to(recall)}" if recall else ""
        )
    kept = [one for one in (gradient, recall) if one is not None]
    carried = min(kept, key=lambda one: one.last) if gradient else None
    if carried is not None and after.regime == "rugged":
        carried = None
    found = [one for one in (used, carried) if one is not None]
    best = max(found, key=lambda one: one.last, default=None)
    words = ", ".join(part for part in parts if part)
    return _Reach(-1, False, words) if best is None else _Reach(best.last, best.censored, words)


def _last(record: NetworkRecord, quantity: str) -> Horizon | None:
    curve = record.curve(quantity)
    return None if curve is None else curve.horizon


def _up_to(horizon: Horizon) -> str:
    if horizon.last < 0:
        return "at no lag"
    return f"up to lag {horizon.last}" + (", the largest looked at" if horizon.censored else "")


def _sentence(need: Need | None, reach: _Reach, learned: bool) -> str:
    """What is needed and what is there."""
    if need is None:
        parts = ["What the task needs is not known"] if reach.by or not learned else []
    elif need.lag < 0:
        parts = ["No lag of the input makes a difference to the loss"]
    else:
        parts = [f"The task needs lag {need.lag}" + ("" if need.exact else " or more")]
    if not learned:
        parts.append("the network has not learned it")
    if reach.by:
        bound = "at least " if reach.is_open else ""
        lag = "lag " if need is None or need.lag < 0 else ""
        where = f"{bound}{lag}{reach.lag}" if reach.lag >= 0 else "none"
        parts.append(f"{'the network' if learned else 'its memory'} reaches {where}")
    return "; ".join(parts) + ("." if parts else "")


def verdict_of(record: TrainingRecord) -> str:
    """The first thing that the reader is told: how it ended, beside chance, then the memory."""
    losses = np.array([member.test_loss for member in record.members])
    known = losses[np.isfinite(losses)]
    count = len(record.members)
    whose = "" if count == 1 else f", {count} seeds"
    if not len(known):
        first = f"Trained on {record.task}{whose}: no member has a finite test loss."
    else:
        low, high = float(known.min()), float(known.max())
        span = f"{low:.2g}" if f"{low:.2g}" == f"{high:.2g}" else f"{low:.2g} to {high:.2g}"
        unit = record.unit if record.unit == "nats" else f"({record.unit})"
        first = f"Trained on {record.task}{whose}: test loss {span} {unit}"
        if len(known) < count:
            first += f" for {len(known)} of them"
        first += _beside_chance(known, record.chance) + "."
    return f"{first} {record.sentence}".strip()


def _beside_chance(losses: np.ndarray, chance: float) -> str:
    if not math.isfinite(chance):
        return ""
    return f", where chance is {chance:.2g}"
