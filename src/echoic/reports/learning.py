"""Learning curves as they are drawn on screen and on paper: scale, middle and spread."""

import dataclasses
import math

import numpy as np

from echoic.core.training_record import MemberRecord, TrainingRecord
from echoic.reports.style import printable, significant, typographic
from echoic.reports.thinning import evenly

# A loss that falls by more than this factor is drawn on a logarithmic axis.
_FALLS_FAR = 10.0
_MOST_POINTS = 400
# Seeds of which each can be told from the others; of more, the middle and the spread are drawn.
_FEW = 3

KINDS = ("validation", "training")

QUANTITIES = {
    "loss": (
        "loss",
        "The loss on sequences held back (validation), solid, and while training, dotted.",
    ),
    "accuracy": ("accuracy", "The share of targets that are met, on sequences held back."),
}


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve: steps and values without what is unknown. ``kind`` is validation or training."""

    member: int
    name: str
    kind: str
    steps: np.ndarray
    value: np.ndarray


@dataclasses.dataclass(frozen=True)
class Spread:
    """The middle of all seeds at each step, and the range that they cover."""

    steps: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


def quantities(record: TrainingRecord) -> list[str]:
    """What there is to draw: the loss, and the accuracy of a classification."""
    known = any(np.isfinite(member.accuracy).any() for member in record.members)
    return ["loss", "accuracy"] if known else ["loss"]


def lines(record: TrainingRecord, quantity: str) -> list[Line]:
    """Every curve of every seed that holds a number."""
    found = []
    for i, member in enumerate(record.members):
        for kind, values in _values(member, quantity):
            known = np.flatnonzero(np.isfinite(values))
            if len(known):
                known = known[evenly(len(known), _MOST_POINTS)]
                name = printable(member.name)
                found.append(Line(i, name, kind, member.steps[known], values[known]))
    return found


def _values(member: MemberRecord, quantity: str) -> list[tuple[str, np.ndarray]]:
    if quantity == "accuracy":
        return [("validation", member.accuracy)]
    return [("validation", member.validation_loss), ("training", member.train_loss)]


def spread(record: TrainingRecord, quantity: str, kind: str = "validation") -> Spread | None:
    """Median and range over seeds, where there are more than can be told apart; else None.

    At steps that some seed has no number for, the others count.
    """
    curves = [line for line in lines(record, quantity) if line.kind == kind]
    if len(curves) <= _FEW:
        return None
    steps = np.unique(np.concatenate([line.steps for line in curves]))
    table = np.full((len(curves), len(steps)), np.nan)
    for row, line in zip(table, curves, strict=True):
        row[np.searchsorted(steps, line.steps)] = line.value
    return Spread(steps, np.nanmedian(table, 0), np.nanmin(table, 0), np.nanmax(table, 0))


def is_logarithmic(record: TrainingRecord, quantity: str) -> bool:
    """Whether the vertical axis is: a loss that falls far shows its end on no other."""
    values = [line.value for line in lines(record, quantity)]
    if quantity != "loss" or not values:
        return False
    every = np.concatenate(values)
    return bool(every.min() > 0 and every.max() > _FALLS_FAR * every.min())


def value_range(record: TrainingRecord, quantity: str) -> tuple[float, float]:
    """The part of the vertical axis that is worth seeing: the curves and chance."""
    if quantity == "accuracy":
        return 0.0, 1.0
    curves = lines(record, quantity)
    if not curves:
        return 0.0, 1.0
    values = np.concatenate([line.value for line in curves])
    low, high = float(values.min()), _top(curves, record.chance)
    if math.isfinite(record.chance):
        high = max(high, record.chance)
        low = min(low, record.chance)
    if is_logarithmic(record, quantity):
        return max(low, 1e-12 * high) / 1.3, 1.3 * high
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    # From zero, where the curves come near it.
    return (0.0 if 0 <= low < 0.5 * high else low - room), high + room


def _top(curves: list[Line], chance: float) -> float:
    """The largest value, but for one that ran away: it must not flatten all others."""
    firsts = [float(line.value[0]) for line in curves]
    most = float(max(line.value.max() for line in curves))
    usual = max(firsts + ([chance] if math.isfinite(chance) else []))
    return min(most, 3 * usual) if usual > 0 else most


def axis_label(record: TrainingRecord, quantity: str) -> str:
    """What is drawn, with its unit."""
    return f"loss ({printable(record.unit)})" if quantity == "loss" else QUANTITIES[quantity][0]


def chance_line(record: TrainingRecord, quantity: str) -> tuple[float, str] | None:
    """Where chance is drawn, and its label."""
    if quantity != "loss" or not math.isfinite(record.chance):
        return None
    return record.chance, f"chance {typographic(significant(record.chance))}"


def last_step(record: TrainingRecord) -> int:
    """How long the longest member trained."""
    ends = [int(member.steps[-1]) for member in record.members if len(member.steps)]
    return max(ends, default=1)
