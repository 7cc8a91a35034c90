"""What a task asks of memory, as curves: for the report of a training run."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from echoic.core.cell import AbstractCell
from echoic.core.estimate import Estimate, Status
from echoic.core.horizon import DEMAND_SHARE, Thresholds, demand_horizon, horizon_of
from echoic.core.loss import TargetLoss, at_last_step
from echoic.core.records import Curve
from echoic.core.task import Batch
from echoic.diagnosis.assemble import Progress
from echoic.diagnosis.task_sequences import held_out
from echoic.measure.demand.ablation import context_ablation
from echoic.measure.demand.task_gradient import task_gradient_reach

# Where each lag costs a run: those that are looked at one by one, and about how many in all.
_ALL, _DENSE, _LAGS = 64, 8, 26
# Where it costs nothing, and of a solver that is nothing to run: all lags, up to so many.
_EVERY_LAG = 1_000
_SOLVER_ROWS = 1_000

SOURCES = {
    "context_ablation": "Context replaced by that of another sample (after Khandelwal et al. 2018)",
    "task_gradient_reach": "Gradient of the loss of one target in an earlier state (Pascanu,"
    " Mikolov & Bengio 2013)",
}


@dataclasses.dataclass(frozen=True)
class Need:
    """The lag that a task needs, -1 where none is used, and what says so.

    Not ``exact`` is what a network uses that may not have learned all that there is to learn.
    """

    lag: int
    by: str
    exact: bool = True


@dataclasses.dataclass(frozen=True)
class Demanded:
    """What a task asks of memory: the curves of each network by its name, and the lag needed."""

    curves: dict[str, tuple[Curve, ...]]
    need: Need | None


def demanded(
    task: Any,
    batch: Batch,
    networks: Mapping[str, Any],
    loss: str | TargetLoss,
    *,
    marks: Sequence[int] = (),
    thresholds: Thresholds,
    progress: Progress,
    key: jax.Array,
) -> Demanded:
    """Measure what the loss of every network looks back at; the last network is the trained one.

    ``marks`` are lags that must be among those looked at.
    """
    stated = stated_need(task)
    largest = _largest_lag(batch, stated)
    solve = _solver_of(task, batch)
    solver = None
    if solve is not None:
        progress.stage("perfect solver", "context ablation")
        many = held_out(task, _SOLVER_ROWS, key=key)
        solver = _solvers_demand(solve, many, loss, largest, key=key)
    known = [stated, solver and solver.horizon and solver.horizon.last]
    wanted = [mark for mark in (*known, *marks) if mark is not None]
    lags = _lags(largest, wanted, batch)
    found = {}
    for name, network in networks.items():
        progress.stage(name, "what its loss looks back at")
        found[name] = _demands(network, batch, loss, lags, thresholds=thresholds, key=key)
    trained = list(networks)[-1]
    need = _need(stated, solver, found[trained])
    if solver is not None:
        found[trained] |= _scaled(solver, found[trained])
    return Demanded({name: tuple(curves.values()) for name, curves in found.items()}, need)


def _need(stated: int | None, solver: Curve | None, trained: dict[str, Curve]) -> Need | None:
    if stated is not None:
        return need_of(stated)
    if solver is not None and solver.horizon is not None and solver.horizon.last >= 0:
        return Need(solver.horizon.last, "the last lag that its perfect solver uses")
    horizon = trained["context_ablation_from"].horizon
    if horizon is None:
        return None
    return Need(
        horizon.last, "the last lag from which on the trained network uses its context", False
    )


def need_of(stated: int | None) -> Need | None:
    """What the task itself says of its need."""
    return None if stated is None else Need(stated, "stated by the task")


def _scaled(solver: Curve, curves: dict[str, Curve]) -> dict[str, Curve]:
    """A solver's rise of the loss at the height of the network's.

    A solver that is certain loses without bound where it is misled: only the shape can be compared.
    """
    height, own = float(np.max(curves["context_ablation"].value)), float(np.max(solver.value))
    if not (height > 0 and own > 0):
        return {}
    return {"solver_ablation": dataclasses.replace(solver, value=solver.value * height / own)}


def _largest_lag(batch: Batch, stated: int | None) -> int:
    """The largest lag worth looking at: the sequence before its last target, or most of it.

    Where every step has a target, only those that late are looked at: some must be left.
    """
    length = batch.inputs.shape[1]
    if at_last_step(batch.targets):
        return length - 1
    most = max(1, 3 * length // 4)
    return most if stated is None else min(length - 1, max(most, stated + max(2, stated // 16)))


def _lags(largest: int, marks: Sequence[int], batch: Batch) -> np.ndarray:
    """All lags where they are few, or every step has a target: they then cost no more than some.

    Else the first ones, then equal ratios; each of ``marks`` with its neighbours.
    """
    if largest <= (_ALL if at_last_step(batch.targets) else _EVERY_LAG):
        return np.arange(largest + 1, dtype=np.int32)
    spread = np.geomspace(1, largest, _LAGS).round().astype(int)
    near = np.add.outer(np.array([mark for mark in marks if mark >= 0], int), [-1, 0, 1]).ravel()
    every = np.unique(np.r_[np.arange(_DENSE + 1), spread, near])
    return every[(every >= 0) & (every <= largest)].astype(np.int32)


def stated_need(task: Any) -> int | None:
    """The lag that the task itself tells of."""
    lag = getattr(task, "lag", None)
    return int(lag) if isinstance(lag, int) and not isinstance(lag, bool) and lag > 0 else None


def _solver_of(task: Any, batch: Batch) -> Callable | None:
    """The perfect solver of a task, if it has one."""
    solve = getattr(task, "solve", None)
    return None if solve is None or solve(batch.inputs[:2]) is None else solve


def _solvers_demand(
    solve: Callable, batch: Batch, loss: str | TargetLoss, largest: int, *, key: jax.Array
) -> Curve:
    """The context that a perfect solver uses, at every lag."""
    largest = min(largest, _EVERY_LAG)
    found = context_ablation(solve, batch, loss, lags=largest, key=key, throw=False)
    return dataclasses.replace(
        _curve("solver_ablation", found), origin="reference", standard_error=None
    )


def _demands(
    network: Any,
    batch: Batch,
    loss: str | TargetLoss,
    lags: np.ndarray,
    *,
    thresholds: Thresholds,
    key: jax.Array,
) -> dict[str, Curve]:
    """Context ablation, one lag at a time and all from a lag on, and the task-gradient reach.

    The last is left out for models without a state to differentiate in.
    """
    options: dict[str, Any] = {"key": key, "throw": False}
    found = {
        "context_ablation": context_ablation(network, batch, loss, lags=lags, **options),
        "context_ablation_from": context_ablation(
            network, batch, loss, lags=lags, mode="from", **options
        ),
    }
    if isinstance(network, AbstractCell):
        largest = max(1, int(lags[-1]))
        found["task_gradient_reach"] = task_gradient_reach(
            network, batch, loss, max_lag=largest, **options
        )
    curves = {quantity: _curve(quantity, estimate) for quantity, estimate in found.items()}
    gradient = curves.get("task_gradient_reach")
    if gradient is not None and gradient.standard_error is not None:
        horizon = horizon_of(
            gradient.value, gradient.standard_error, thresholds.gain, relative=True, grows=True
        )
        curves["task_gradient_reach"] = dataclasses.replace(gradient, horizon=horizon)
    return curves


def _curve(quantity: str, estimate: Estimate) -> Curve:
    value, error = np.asarray(estimate.value), np.asarray(estimate.standard_error)
    lags = np.asarray(estimate.details["lag"])
    ablation = quantity != "task_gradient_reach"
    sequences = estimate.settings["sequences"]
    horizon, notes = None, (f"Measured on {sequences} sequences.", *estimate.statuses.sentences)
    if ablation and Status.NOT_FINITE not in estimate.statuses:
        horizon = demand_horizon(lags, value, error, float(estimate.details["loss"]))
        notes += _coarse(value, error, lags > (-1 if horizon is None else horizon.last))
    return Curve(
        quantity=quantity,
        panel="demand",
        origin="measured",
        lags=lags,
        value=value,
        standard_error=error,
        horizon=horizon,
        notes=notes,
        source=SOURCES["context_ablation" if ablation else quantity],
    )


def _coarse(value: np.ndarray, error: np.ndarray, beyond: np.ndarray) -> tuple[str, ...]:
    """A note where the errors beyond the horizon are as wide as what is looked for."""
    if not beyond.any() or 2 * float(np.median(error[beyond])) <= DEMAND_SHARE * value.max():
        return ()
    return (
        "Its errors are as wide as the threshold of its horizon, which chance may have set: more"
        " sequences would tell.",
    )
