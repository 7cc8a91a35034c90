"""What one measure says of a network, in words, a number and a small picture."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a drawing; a NaN is a gap."""

    label: str
    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A small picture beside a finding.

    **Fields**

    - ``across``, ``up``: what the axes show, with their units; either may be ``logarithmic``.
    - ``level``: a value of the upward axis that is marked, ``mark`` one of the other.
    - ``caption``: what to look at.
    """

    title: str
    across: str
    up: str
    lines: tuple[Line, ...]
    caption: str
    logarithmic: tuple[bool, bool] = (False, False)
    mark: float | None = None
    level: float | None = None


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one measure says of a network, or why it was not asked.

    **Fields**

    - ``question``: the heading that it belongs to; ``label``: what was measured.
    - ``measures``: the names in ``echoic.measure`` whose answers these are.
    - ``value``, ``standard_error``, ``unit``: the number, NaN where words say it.
    - ``text``: what belongs to the number; ``notes``: doubts, one sentence each.
    - ``left_out``: why there is no answer; empty where there is one.
    """

    question: str
    label: str
    measures: tuple[str, ...]
    value: float = float("nan")
    standard_error: float = float("nan")
    unit: str = ""
    text: str = ""
    notes: tuple[str, ...] = ()
    left_out: str = ""
    drawing: Drawing | None = None
