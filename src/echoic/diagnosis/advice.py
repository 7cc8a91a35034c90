"""What to change: prescriptions for a network that misses its horizon."""

from collections.abc import Iterator

from echoic import cells
from echoic.core.cell import AbstractCell
from echoic.core.records import NetworkRecord
from echoic.data.signal import Signal
from echoic.diagnosis.plan import Plan
from echoic.diagnosis.verdict import reached
from echoic.prescription.design import chosen
from echoic.prescription.prescription import Prescription, Wanted
from echoic.prescription.rank import ranked
from echoic.prescription.statistics import InputStatistics

_FAMILIES: dict[str, str] = {
    "Elman": "elman",
    "Residual": "residual",
    "LinearRNN": "linear",
    "MinimalRNN": "minimal_rnn",
    "GRU": "gru",
    "ResetBeforeGRU": "gru",
    "LSTM": "lstm",
    "PeepholeLSTM": "lstm",
    "FullPeepholeLSTM": "lstm",
}
# Gradient and signal both last in it: its time constants and angles are spread.
_OTHERWISE = "residual/heterogeneous"


def remembers(network: NetworkRecord, horizon: int) -> bool:
    """Whether gradient and signal both reach the horizon."""
    return min(reached(network, horizon)) >= horizon


def family_of(cell: AbstractCell) -> str:
    """The kind of cell: that of its last layer for a stack."""
    kinds = cell.cells if isinstance(cell, cells.Network) else (cell,)
    return type(kinds[-1]).__name__


def prescriptions(cell: AbstractCell, signal: Signal, plan: Plan) -> Iterator[Prescription]:
    """The nearest ones first: the best of the same family, then one of another.

    Only what is called feasible. A stack gets prescriptions for its last layer.
    """
    size = cell.hidden_size
    wanted = Wanted(InputStatistics(signal), plan.horizon, size, plan.thresholds)
    own = _FAMILIES.get(family_of(cell))
    for name in (own, _OTHERWISE):
        if name is not None:
            yield from [p for p in ranked(solve(wanted) for solve in chosen(name)) if p.feasible][
                :1
            ]
