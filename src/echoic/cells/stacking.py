"""What may be put inside what, and on top of it."""

from collections.abc import Sequence
from typing import Any, TypeVar

from echoic.cells.readout import Readout
from echoic.core.cell import AbstractCell, State
from echoic.core.model import AbstractModel

R = TypeVar("R")


def refuse_what_is_no_layer(cell: Any) -> None:
    """Refuse what is no cell, and a network whose readout or dropout would be ignored inside."""
    if not isinstance(cell, AbstractCell):
        raise ValueError(f"cells must be AbstractCells, got {cell!r:.200}.")
    for name in ("readout", "dropout") if isinstance(cell, AbstractModel) else ():
        if getattr(cell, name, None):
            raise ValueError(
                f"a {type(cell).__name__} inside another network cannot have a {name} of its own:"
                f" give it to the outer one."
            )


def refuse_other_inputs(name: str, cell: AbstractCell, width: int, below: str) -> None:
    """Refuse a cell that does not take as many inputs as there are ``below`` it."""
    if cell.input_size != width:
        raise ValueError(f"{name} takes {cell.input_size} inputs, but {below}: they must be equal.")


def refuse_other_width(readout: Readout | None, width: int, below: str) -> None:
    """Refuse a readout that does not take as many numbers as there are ``below`` it."""
    if readout is not None and readout.weight.shape[-1] != width:
        raise ValueError(
            f"the readout takes {readout.weight.shape[-1]} numbers, but {below}: they must be"
            " equal."
        )


def states_of(state: State, nothing: Any, layers: int) -> Sequence[State]:
    """The states of the layers; ``nothing`` for each where none is given."""
    if state is None:
        return (nothing,) * layers
    if not isinstance(state, tuple | list) or len(state) != layers:
        raise ValueError(
            f"state must be a tuple of {layers}, one part a layer, got {state!r:.200}."
        )
    return state


def required(readout: R | None, call: str) -> R:
    """The readout, or an error that says how to get one."""
    if readout is None:
        raise ValueError(f"this network has no readout: build it as {call}.")
    return readout
