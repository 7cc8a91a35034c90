"""The network that is asked, and what an answer looks like."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.random as jr
import numpy as np

from echoic.core.cell import AbstractCell
from echoic.core.estimate import Estimate, Status
from echoic.core.finding import Finding
from echoic.core.records import NetworkRecord
from echoic.diagnosis.plan import Plan

# What half a minute of one core can do, in floating-point operations.
MOST_OPERATIONS = 2e11


@dataclasses.dataclass(frozen=True)
class Subject:
    """One network in double precision, its inputs (b, t, m), and what is known of it already."""

    cell: AbstractCell
    inputs: jax.Array
    plan: Plan
    settle: int
    record: NetworkRecord
    key: jax.Array

    @property
    def size(self) -> int:
        """How many numbers the state holds."""
        return self.cell.state_size

    @property
    def room(self) -> int:
        """Steps of each sequence that are left when the network has settled."""
        return self.inputs.shape[1] - self.settle

    def stretch(self, steps: int) -> jax.Array:
        """The first sequence: steps to settle, then as many of the wanted ones as there are."""
        return self.inputs[0, : self.settle + min(steps, self.room)]

    def key_for(self, number: int) -> jax.Array:
        """A key of its own for each question."""
        return jr.fold_in(self.key, number)

    def starts(self, steps: int, most: int = 16) -> int:
        """How many starting times are affordable, all directions pushed for so many steps each.

        0 for none. To push one direction takes every weight once.
        """
        one = 2.0 * max(self.cell.num_parameters, 1) * self.size * max(steps, 1)
        return int(min(most, MOST_OPERATIONS // one))


@dataclasses.dataclass(frozen=True)
class Asked:
    """A question to a subject: who answers, how it is asked, or why it is not."""

    question: str
    label: str
    measures: tuple[str, ...]
    ask: Callable[[], Finding | Sequence[Finding]]
    refusal: str = ""

    def answer(self) -> tuple[Finding, ...]:
        """The findings. A measure that refuses says why, and that is the answer."""
        if self.refusal:
            return (self._left_out(self.refusal),)
        try:
            found = self.ask()
        except (ValueError, MemoryError) as error:
            return (self._left_out(str(error).partition("\n")[0]),)
        return (found,) if isinstance(found, Finding) else tuple(found)

    def _left_out(self, reason: str) -> Finding:
        return Finding(self.question, self.label, self.measures, left_out=reason)


def doubts(estimate: Estimate) -> tuple[str, ...]:
    """The sentences of flags that say more than that a value is small or grows."""
    return (estimate.statuses & ~(Status.GROWING | Status.BELOW_NOISE)).sentences


def number(value: Any, digits: int = 3) -> str:
    """A number inside a sentence."""
    value = float(value)
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else "infinitely many" if value > 0 else "-inf"
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+0" in text and abs(value) < 1e6 else text


def percent(share: Any) -> str:
    """A share inside a sentence."""
    share = float(share)
    if math.isnan(share):
        return "an unknown part"
    if 0 < share < 0.0005:
        return "less than 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def counted(count: int, word: str, plural: str = "") -> str:
    """A count with its noun."""
    return f"{count} {word if count == 1 else plural or word + 's'}"


def spread_of(values: Any) -> np.ndarray:
    """Values from the largest to the smallest, NaN left out."""
    flat = np.asarray(values, float).ravel()
    return np.sort(flat[~np.isnan(flat)])[::-1]


def shares(count: int) -> np.ndarray:
    """Where ``count`` values in order stand between 0 and 1."""
    return (np.arange(count) + 1) / max(count, 1)
