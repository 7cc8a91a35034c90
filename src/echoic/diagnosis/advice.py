"""The nearest built-in network that was made for the wanted horizon, for one that misses it."""

from echoic import cells
from echoic.core.cell import AbstractCell
from echoic.core.records import NetworkRecord
from echoic.diagnosis.candidates import CANDIDATES, Candidate
from echoic.diagnosis.verdict import reached

_NEAREST: dict[str, tuple[str, str]] = {
    "LSTM": ("lstm", "chrono"),
    "PeepholeLSTM": ("lstm", "chrono"),
    "FullPeepholeLSTM": ("lstm", "chrono"),
    "GRU": ("gru", "chrono"),
    "ResetBeforeGRU": ("gru", "chrono"),
    "MinimalRNN": ("minimal_rnn", "chrono"),
}
_OTHERWISE = ("residual", "heterogeneous")


def remembers(network: NetworkRecord, horizon: int) -> bool:
    """Whether gradient and signal both reach the horizon."""
    return min(reached(network, horizon)) >= horizon


def family_of(cell: AbstractCell) -> str:
    """The kind of cell: that of its last layer for a stack."""
    kinds = cell.cells if isinstance(cell, cells.Network) else (cell,)
    return type(kinds[-1]).__name__


def nearest(cell: AbstractCell) -> Candidate:
    """The built-in candidate of the same kind that is drawn for a horizon.

    Kinds that have none, the plain network among them, get the residual one.
    """
    wanted = _NEAREST.get(family_of(cell), _OTHERWISE)
    return next(c for c in CANDIDATES if (c.cell, c.init) == wanted)
