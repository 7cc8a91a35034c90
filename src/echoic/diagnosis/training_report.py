"""The report of a training run: what was learned, what that asks of memory, and what there is."""

import dataclasses
import datetime
import time
from typing import Any

import jax
import jax.random as jr
import numpy as np

from echoic.core.checks import at_least
from echoic.core.horizon import DEMAND_SHARE, Thresholds
from echoic.core.loss import UNITS, TargetLoss, at_last_step
from echoic.core.records import NetworkRecord, ReportRecord
from echoic.core.task import Batch
from echoic.diagnosis.assemble import Progress, machine, versions
from echoic.diagnosis.citations import CITATIONS, TRAINING_CITATIONS
from echoic.diagnosis.demands import Demanded, demanded, need_of, stated_need
from echoic.diagnosis.learned import has_learned, training_record, verdict_of
from echoic.diagnosis.report import Report
from echoic.diagnosis.task_memory import Remembered, bare, remembered, unseen
from echoic.diagnosis.task_sequences import held_out

BEFORE, AFTER = "before training", "after training"

_ROWS, _STEPS = 64, 20_000
# A readout of so many symbols takes as long as the network: fewer sequences then.
_MANY_OUTPUTS, _FEW_ROWS = 1_000, 16
# Of a text so many steps are joined: a network may remember more than a segment.
_STREAM_STEPS = 200
# What of a run's configuration tells how it was trained; the rest is kept with the run.
_TOLD = ("steps", "batch", "seeds", "optimiser", "loss", "patience", "target_loss")


def training_report(
    run: Any,
    task: Any = None,
    *,
    key: jax.Array,
    initial: Any = None,
    member: int = 0,
    loss: str | TargetLoss | None = None,
    horizon: int | None = None,
    demand: bool = True,
    memory: bool = True,
    thorough: bool = False,
    thresholds: Thresholds | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Report:
    """How networks learned, what their task asks of memory, and their memory before and after.

    **Definition.** On sequences of the task that nobody trained on: context ablation and
    task-gradient reach of one member before and after training, and a checkup of both (gain, linear
    recall, exponents) under the task's own input, as the network sees it: one-hot symbols, numbers
    unscaled. *The task needs lag X*: X is what the task states as its ``lag``; else the last lag
    that its perfect solver uses, by context ablation; else the last lag from which on the trained
    network uses its context, which is a lower bound, unless its test loss is within 5 % of chance.
    *The network reaches Y*: the last lag that its gradient reach and its linear recall both reach,
    or that its loss is seen to use, whichever is larger.

    **Arguments**

    - ``run``: what [`train`][echoic.train] returned; ``task``: what it was trained on, where the
      run does not hold it.
    - ``initial``: the member's network before training, where the run does not hold it; without
      one only the trained network is shown.
    - ``member``: whose memory is measured.
    - ``loss``: needed where the run was trained with a function of one's own.
    - ``horizon``: the lag at which gain and recall are judged; by default X, or half of a sequence.
    - ``demand``: False leaves out what the loss looks back at, ``memory``: False the checkup, which
      takes most of the time; without both the report is ready at once.
    - ``thorough``: four times the sequences, and all that a checkup measures.
    - ``progress``: whom to tell what is being measured.

    **Returns** a [`Report`][echoic.Report]; print it, save it, or read its ``record``.

    **Raises** ValueError for arguments that do not fit the run.

    **Misleads.** A network that has not learned its task uses little context, whatever the task
    needs: see what says so beside X. What a linear readout recalls is a lower bound, too: gated
    networks may keep what it does not see.

    **Cost.** Half a minute for 64 units on two cores, nearly all of it compilation.
    """
    started = time.perf_counter()
    member = at_least("member", member, 0, len(run.networks) - 1)
    task = getattr(run, "task", None) if task is None else task
    if task is None:
        raise ValueError("the run does not hold its task: pass task=...")
    loss = _loss_of(run, loss)
    thresholds, progress = thresholds or Thresholds(), progress or Progress()
    networks = _networks(run, initial, member)
    data_key, demand_key, memory_key = jr.split(key, 3)
    marks = () if horizon is None else (at_least("horizon", horizon, 1),)
    asked = Demanded({name: () for name in networks}, need_of(stated_need(task)))
    if demand:
        asked = demanded(
            task,
            _sequences(task, thorough, key=data_key),
            networks,
            loss,
            marks=marks,
            thresholds=thresholds,
            progress=progress,
            key=demand_key,
        )
    learned = has_learned(float(run.test_loss[member]), float(run.chance))
    need = asked.need
    if need is not None and not (need.exact or learned):
        need = None
    if horizon is None:
        horizon = _middle(task, key=data_key) if need is None else max(1, need.lag)
    found = Remembered({}, unseen(task))
    if memory:
        found = remembered(
            task,
            networks,
            horizon,
            thorough=thorough,
            thresholds=thresholds,
            progress=progress,
            key=memory_key,
        )
    records = tuple(
        _with_curves(found.networks.get(name) or bare(name, network), asked.curves[name])
        for name, network in networks.items()
    )
    training = training_record(
        run,
        task,
        loss if isinstance(loss, str) else str(run.config["loss"]),
        shown=member,
        need=need,
        learned=learned,
        after=records[-1],
        thresholds=thresholds,
    )
    return Report(
        ReportRecord(
            horizon=found.horizon or horizon,
            max_lag=max((int(c.lags[-1]) for n in records for c in n.curves), default=1),
            verdict=verdict_of(training),
            networks=tuple(record for record in records if record.curves),
            signal=found.signal,
            thresholds={**dataclasses.asdict(thresholds), "demand": DEMAND_SHARE},
            settings={
                "seed": np.asarray(jr.key_data(key)).tolist(),
                **{name: run.config[name] for name in _TOLD if run.config.get(name) is not None},
                "precision": "float64 of memory, that of the network of demands",
            },
            versions=versions(),
            machine=machine(),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            command=command,
            seconds=time.perf_counter() - started,
            citations=CITATIONS | TRAINING_CITATIONS,
            warnings=found.notes,
            training=training,
        )
    )


def _middle(task: Any, *, key: jax.Array) -> int:
    """Half of a sequence: the lag to look at where none is known."""
    return max(1, held_out(task, 1, key=key, length=_STREAM_STEPS).inputs.shape[1] // 2)


def _sequences(task: Any, thorough: bool, *, key: jax.Array) -> Batch:
    """Sequences to replace inputs of; more of them where each has a single target."""
    few = held_out(task, 2, key=key, length=_STREAM_STEPS)
    rows = _FEW_ROWS if getattr(task, "output_size", 1) > _MANY_OUTPUTS else _ROWS
    if at_last_step(few.targets):
        rows = max(rows, min(8 * rows, _STEPS // few.inputs.shape[1]))
    return held_out(task, 4 * rows if thorough else rows, key=key, length=_STREAM_STEPS)


def _loss_of(run: Any, loss: str | TargetLoss | None) -> str | TargetLoss:
    if loss is not None:
        return loss
    named = run.config["loss"]
    if named not in UNITS:
        raise ValueError(f"the run was trained with a loss of its own, {named}: pass loss=...")
    return named


def _networks(run: Any, initial: Any, member: int) -> dict[str, Any]:
    """The member's networks by name, the trained one last."""
    known = getattr(run, "initial", None)
    if initial is None and known is not None:
        initial = known[member]
    after = {AFTER: run.networks[member]}
    return after if initial is None else {BEFORE: initial} | after


def _with_curves(record: NetworkRecord, curves: tuple) -> NetworkRecord:
    return dataclasses.replace(record, curves=(*record.curves, *curves))
