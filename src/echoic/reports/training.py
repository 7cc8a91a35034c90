"""A training run in words and in a table: the same in the terminal and on the page."""

import math

import numpy as np

from echoic.core.training_record import MemberRecord, TrainingRecord
from echoic.reports.columns import Cell, Column
from echoic.reports.learning import QUANTITIES, lines
from echoic.reports.style import UNKNOWN, printable, significant, typographic

_LOSS_DIGITS, _ACCURACY_DIGITS = 3, 3


def member_columns(record: TrainingRecord) -> list[Column]:
    """One row a seed; columns that nobody has an entry for are left out."""
    unit = printable(record.unit)
    chance = f" Chance is {significant(record.chance, 3)}." if math.isfinite(record.chance) else ""
    every = [
        _column("name", ("", "seed"), "The member of the run.", "", record, _name),
        _column(
            "best_step",
            ("best", "step"),
            "The update with the lowest validation loss: the network that is kept.",
            "updates",
            record,
            lambda m: Cell(
                str(m.best_step) if m.best_step >= 0 else UNKNOWN, sort=float(m.best_step)
            ),
        ),
        _column(
            "validation",
            ("validation", "loss"),
            "The lowest loss on the sequences held back, which chose the network that is kept."
            + chance,
            unit,
            record,
            lambda m: _number(m.best_loss, _LOSS_DIGITS),
        ),
        _column(
            "test",
            ("test", "loss"),
            "The loss of that network on sequences that had no say in anything." + chance,
            unit,
            record,
            lambda m: _number(m.test_loss, _LOSS_DIGITS),
        ),
        _column(
            "accuracy",
            ("test", "accuracy"),
            "The share of targets that it meets there, between 0 and 1.",
            "",
            record,
            lambda m: _number(m.test_accuracy, _ACCURACY_DIGITS),
        ),
        _column("status", ("", "ended"), "How training ended.", "", record, _status),
    ]
    return [
        column
        for column in every
        if column.key in ("name", "status") or any(c.text != UNKNOWN for c in column.cells)
    ]


def _column(key, heading, definition, unit, record: TrainingRecord, cell) -> Column:
    return Column(key, heading, definition, unit, tuple(map(cell, record.members)))


def _name(member: MemberRecord) -> Cell:
    return Cell(printable(member.name), sort=printable(member.name).casefold())


def _status(member: MemberRecord) -> Cell:
    return Cell(printable(member.status) or UNKNOWN, sort=printable(member.status))


def _number(value: float, digits: int) -> Cell:
    small = 1e-6 <= abs(value) < 1e-3
    return Cell(f"{value:.{digits}g}" if small else significant(value, digits), sort=value)


def in_words(record: TrainingRecord, quantity: str) -> str:
    """A learning curve for those who cannot see it."""
    curves = [line for line in lines(record, quantity) if line.kind == "validation"]
    if not curves:
        return "No validation was made while training."
    first = float(np.median([line.value[0] for line in curves]))
    last = float(np.median([line.value[-1] for line in curves]))
    steps = max(int(line.steps[-1]) for line in curves)
    whose = "of the only seed" if len(curves) == 1 else f"of {len(curves)} seeds, in the median"
    chance = ""
    if quantity == "loss" and math.isfinite(record.chance):
        chance = f" Chance is {significant(record.chance)}."
    return typographic(
        f"The validation {QUANTITIES[quantity][0]} {whose} goes from {significant(first)} to"
        f" {significant(last)} in {steps} updates.{chance}"
    )
