"""Which curves a panel shows for the quantity that is chosen, the same on screen and on paper."""

import dataclasses
from collections.abc import Sequence

from echoic.core.quantities import QUANTITIES
from echoic.core.records import Curve, NetworkRecord, ReportRecord
from echoic.reports.style import mathematical, printable

DEFAULT_QUANTITY: dict[str, str] = {
    "gain": "gradient_reach",
    "information": "linear_recall",
    "demand": "context_ablation",
}

# With one network there is room for all its gains in one panel, each in a colour of its own.
ALL_GAINS = "all_gains"
_ALL_GAINS_DEFINITION = (
    "What is left of a gradient or a perturbation after k steps (gradient reach), the part of it"
    " that points the same way for different inputs (coherent reach), and the gain from the input"
    " to the state (input reach, which has a unit of its own: per standard deviation of the input)."
)
_GAINS = ("gradient_reach", "coherent_reach", "input_reach")

# Reference curves, drawn thin beside the quantity that they help to judge.
_BESIDE = {
    "gradient_reach": "lyapunov_asymptote",
    ALL_GAINS: "lyapunov_asymptote",
    "raw_recall": "memoryless_recall",
    "context_ablation": "solver_ablation",
}

# Demands on memory whose unit is that of the task's loss.
RISES = ("context_ablation", "solver_ablation", "context_ablation_from")

# Units too long for an axis.
_SHORT_UNITS = {"per standard deviation of the input": "per s.d. of the input"}


@dataclasses.dataclass(frozen=True)
class Shown:
    """One line of a panel: ``colour`` numbers the palette, None is grey; ``name`` may be empty."""

    curve: Curve
    network: int
    colour: int | None
    name: str


def members(quantity: str) -> tuple[str, ...]:
    """The quantities of curves that a choice shows."""
    return _GAINS if quantity == ALL_GAINS else (quantity,)


def beside(quantity: str) -> str | None:
    """The quantity of the reference curves that a choice shows as well."""
    return _BESIDE.get(quantity)


def choices(record: ReportRecord, panel: str) -> list[str]:
    """What a panel can show, the default first."""
    found = {
        curve.quantity
        for network in record.networks
        for curve in network.curves
        if curve.panel == panel and curve.origin != "reference"
    }
    order = [DEFAULT_QUANTITY[panel], *QUANTITIES, *sorted(found)]
    names = [name for name in dict.fromkeys(order) if name in found]
    together = panel == "gain" and len(record.networks) == 1 and len(found & set(_GAINS)) > 1
    return [ALL_GAINS, *names] if together else names


def shown(
    record: ReportRecord, quantity: str, coloured: Sequence[int], references: bool = True
) -> list[Shown]:
    """All lines of a panel, grey ones first. ``coloured`` numbers networks, in palette order."""
    together = quantity == ALL_GAINS
    lines = []
    for i, network in enumerate(record.networks):
        slot = list(coloured).index(i) if i in coloured else None
        for curve in network.curves:
            reference = curve.quantity == beside(quantity)
            if curve.quantity not in members(quantity) and not (references and reference):
                continue
            main = is_main(curve, network)
            if slot is None and not main:
                continue
            colour = slot
            if together and slot is not None and not reference:
                colour = members(quantity).index(curve.quantity)
            named = slot is not None and (main or (together and reference))
            name = label(curve.quantity) if together else printable(network.name)
            lines.append(Shown(curve, i, colour, name if named else ""))
    return sorted(lines, key=lambda line: line.colour is not None)


def is_main(curve: Curve, network: NetworkRecord) -> bool:
    """Whether a curve stands for its network: measured, or predicted where none was measured."""
    return curve.origin == "measured" or (
        curve.origin == "predicted" and network.curve(curve.quantity) is None
    )


def label(quantity: str) -> str:
    """The name of a choice for people."""
    if quantity == ALL_GAINS:
        return "all gains"
    about = QUANTITIES.get(quantity)
    return printable(quantity) if about is None else mathematical(about.label)


def axis_label(record: ReportRecord, quantity: str) -> str:
    """The name of a choice with its unit, short enough for an axis."""
    if quantity == ALL_GAINS:
        return "gain"
    if quantity in RISES:
        unit = "" if record.training is None else f" ({printable(record.training.unit)})"
        return f"rise of the loss{unit}"
    about = QUANTITIES.get(quantity)
    unit = "" if about is None else _SHORT_UNITS.get(about.unit, about.unit)
    return f"{label(quantity)} ({unit})" if 0 < len(unit) < 22 else label(quantity)


def definition(quantity: str) -> str:
    """What a choice means."""
    if quantity == ALL_GAINS:
        return _ALL_GAINS_DEFINITION
    about = QUANTITIES.get(quantity)
    return "" if about is None else mathematical(about.definition)
