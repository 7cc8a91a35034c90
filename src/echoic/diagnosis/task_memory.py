"""The memory of trained networks under the input of their own task."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from echoic.cells.symbols import as_numbers
from echoic.core.cell import AbstractCell
from echoic.core.horizon import Thresholds
from echoic.core.records import NetworkRecord, SignalRecord
from echoic.data.signal import Signal, is_white, prepare
from echoic.diagnosis.advice import family_of
from echoic.diagnosis.assemble import Progress
from echoic.diagnosis.effort import BRIEF, THOROUGH, largest_lag, settling_steps
from echoic.diagnosis.examine import examine
from echoic.diagnosis.plan import Plan
from echoic.diagnosis.task_sequences import held_out
from echoic.measure.information.recall import FOLDS

# Samples that a readout is fitted on, for each of its outputs.
_SAMPLES_A_UNIT = 20
_MOST_ROWS = 2_000
# One-hot vectors of a large vocabulary fill the memory.
_MOST_NUMBERS = 8_000_000


@dataclasses.dataclass(frozen=True)
class Remembered:
    """Records by name, the signal that drove the networks, and what must be told besides.

    ``horizon`` is the lag that they were judged at, 0 if they were not.
    """

    networks: dict[str, NetworkRecord]
    signal: SignalRecord
    notes: tuple[str, ...] = ()
    horizon: int = 0


def remembered(
    task: Any,
    networks: Mapping[str, Any],
    horizon: int,
    *,
    thorough: bool,
    thresholds: Thresholds,
    progress: Progress,
    key: jax.Array,
) -> Remembered:
    """Examine every network under sequences of the task; a note says why where that fails."""
    data_key, measure_key = jax.random.split(key)
    first = next(iter(networks.values()))
    if not isinstance(first, AbstractCell):
        note = (
            f"No memory curves: a {type(first).__name__} has no state that is carried from step to"
            " step by one rule."
        )
        return Remembered({}, unseen(task), (note,))
    try:
        signal, plan = _prepared(task, first, horizon, thorough, thresholds, key=data_key)
    except ValueError as reason:
        return Remembered({}, unseen(task), (f"No memory curves: {reason}",))
    records = {}
    for name, network in networks.items():
        records[name] = examine(
            name,
            network,
            signal.values,
            plan,
            key=measure_key,
            family=family_of(network),
            notify=lambda stage, name=name: progress.stage(name, stage),
        )
    return Remembered(records, signal.record, signal.warnings, plan.horizon)


def _prepared(
    task: Any, network: Any, horizon: int, thorough: bool, thresholds: Thresholds, *, key: jax.Array
) -> tuple[Signal, Plan]:
    """Sequences as the network sees them, and what is asked of it."""
    some = held_out(task, 2, key=key, length=max(200, 4 * horizon))
    length, channels = some.inputs.shape[1], network.input_size
    horizon = min(horizon, length - 1)
    if horizon < 1:
        raise ValueError(f"sequences of {length} steps are too short to remember anything over.")
    lags = largest_lag(horizon, length)
    free = length - lags - settling_steps(horizon, lags, length)
    rows = max(FOLDS, 32, -(-_SAMPLES_A_UNIT * network.hidden_size // max(1, free)))
    rows = min(rows, _MOST_ROWS, max(1, _MOST_NUMBERS // (length * channels)))
    inputs = held_out(task, rows, key=key, length=length).inputs
    # As the network sees them: whoever scales a trained network's input measures another one.
    values = np.asarray(as_numbers(network, inputs), float)
    signal = prepare(values, horizon=horizon, scale=None, max_lag=lags)
    described = dataclasses.replace(
        signal.record, name=task_name(task), source="sequences that were held back"
    )
    plan = Plan(
        horizon=horizon,
        max_lag=largest_lag(horizon, signal.length),
        thresholds=thresholds,
        effort=THOROUGH if thorough else BRIEF,
        whole_period=signal.period,
        # Symbols drawn afresh are their own best probe, too; those of a text are not.
        white_input=signal.white or (signal.one_hot and is_white(signal.values)),
    )
    return dataclasses.replace(signal, record=described), plan


def task_name(task: Any) -> str:
    """What a task calls itself, or its class."""
    return str(getattr(task, "name", type(task).__name__))


def unseen(task: Any) -> SignalRecord:
    """The record of a signal that no memory was measured under."""
    none = np.zeros(0)
    return SignalRecord(
        name=task_name(task),
        source="sequences that were held back",
        sha256="",
        length=0,
        num_sequences=0,
        channels=(),
        sampling="",
        scaling="",
        mean=none,
        standard_deviation=none,
        autocorrelation=none,
    )


def bare(name: str, network: Any) -> NetworkRecord:
    """The record of a network whose memory was not measured."""
    size = int(network.hidden_size)
    is_cell = isinstance(network, AbstractCell)
    leaves = jax.tree.leaves(network)
    numbers = [leaf.size for leaf in leaves if hasattr(leaf, "dtype") and leaf.dtype.kind == "f"]
    return NetworkRecord(
        name=name,
        family=family_of(network) if is_cell else type(network).__name__,
        description="",
        hidden_size=size,
        state_size=network.state_size if is_cell else size,
        num_parameters=sum(numbers),
        curves=(),
        spectrum=None,
        regime=None,
        log_gain=math.nan,
        lyapunov_times_horizon="unknown",
        recall_sum=math.nan,
        recall_per_unit=math.nan,
        noise_gain=math.nan,
        noise_gain_kind="unknown",
        singular_values=None,
        verdict="",
        warnings=(),
        seconds=math.nan,
        settings={},
    )
