"""What to change: the networks that are set beside one that misses its horizon."""

from collections.abc import Iterator

import jax

from echoic import cells
from echoic.core.cell import AbstractCell
from echoic.core.records import NetworkRecord
from echoic.data.signal import Signal
from echoic.diagnosis.assemble import Job, candidate_job, prescribed_job
from echoic.diagnosis.candidates import select
from echoic.diagnosis.plan import Plan
from echoic.diagnosis.verdict import reached
from echoic.prescription.design import chosen
from echoic.prescription.prescription import Wanted
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


def remembers(network: NetworkRecord, horizon: int) -> bool:
    """Whether gradient and signal both reach the horizon."""
    return min(reached(network, horizon)) >= horizon


def family_of(cell: AbstractCell) -> str:
    """The kind of cell: that of its last layer for a stack."""
    kinds = cell.cells if isinstance(cell, cells.Network) else (cell,)
    return type(kinds[-1]).__name__


def advised(cell: AbstractCell, signal: Signal, plan: Plan, *, key: jax.Array) -> Iterator[Job]:
    """Networks to measure beside one that misses its horizon, the nearest first.

    The best prescription for its own family, for its last layer if it is a stack. Then, since that
    promises the gradient alone, the residual network whose time constants and angles are spread so
    far that the signal is heard as well.
    """
    size = cell.hidden_size
    wanted = Wanted(InputStatistics(signal), plan.horizon, size, plan.thresholds)
    family = _FAMILIES.get(family_of(cell))
    own = ranked(solve(wanted) for solve in chosen(family)) if family else []
    for prescription in own[:1]:
        if prescription.feasible:
            yield prescribed_job(prescription, key=key)
    (spread,) = select(["residual"], ["heterogeneous"])
    yield candidate_job(spread, cell.input_size, size, plan.horizon, "units", key=key)
