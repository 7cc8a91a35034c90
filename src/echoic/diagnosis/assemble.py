"""Networks and a signal in, one report out: what checkup and compare have in common."""

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np

from echoic.core.cell import AbstractCell
from echoic.core.checks import at_least
from echoic.core.horizon import Thresholds
from echoic.core.records import NetworkRecord, ReportRecord
from echoic.data.signal import Signal, is_white, prepare
from echoic.diagnosis.candidates import Candidate, sized
from echoic.diagnosis.citations import CITATIONS
from echoic.diagnosis.effort import QUICK, THOROUGH, largest_lag, settling_steps
from echoic.diagnosis.examine import examine
from echoic.diagnosis.plan import Plan
from echoic.diagnosis.report import Report
from echoic.diagnosis.verdict import overall_verdict, rank_key
from echoic.measure.information.recall import FOLDS
from echoic.prescription.prescription import Prescription


@dataclasses.dataclass(frozen=True)
class Job:
    """One network to examine.

    ``values`` replace the signal where the network sees another; ``note`` is to be read with what
    is found.
    """

    name: str
    cell: AbstractCell
    family: str = ""
    description: str = ""
    snippets: dict[str, str] | None = None
    values: np.ndarray | None = None
    note: str = ""


def candidate_job(
    candidate: Candidate,
    channels: int,
    hidden_size: int,
    horizon: int,
    equal: str,
    *,
    key: jax.Array,
) -> Job:
    """Build a candidate for the signal and the horizon."""
    units = sized(candidate, channels, hidden_size, horizon, equal)
    return Job(
        name=candidate.name,
        cell=candidate.build(channels, units, horizon, key=named_key(key, candidate.name)),
        family=candidate.cell,
        description=candidate.description,
        snippets=candidate.snippets(channels, units, horizon),
    )


def prescribed_job(prescription: Prescription, *, key: jax.Array) -> Job:
    """Build a prescription."""
    return Job(
        name=prescription.name,
        cell=prescription.build(named_key(key, prescription.name)),
        family=prescription.family,
        description=f"prescribed: {prescription.reason}",
        snippets=prescription.snippets(),
    )


@dataclasses.dataclass(frozen=True)
class Progress:
    """Whom to tell how the work goes; the command line draws its bar with it.

    ``stage(network, stage)`` is called when a measurement begins, ``done(record, so_far)`` when a
    network is finished, with the report on all that are finished by then, ``begins(number)`` when
    it is known how many there are, where that takes time to find out.
    """

    stage: Callable[[str, str], None] = lambda network, stage: None
    done: Callable[[NetworkRecord, Report], None] = lambda record, so_far: None
    begins: Callable[[int], None] = lambda number: None


def prepared(
    inputs: Any,
    *,
    horizon: int,
    scale: str | None,
    max_lag: int | None,
    thresholds: Thresholds | None,
    thorough: bool,
) -> tuple[Signal, Plan]:
    """The signal and the plan for it; refuses what cannot be measured before any work is done."""
    horizon = at_least("horizon", horizon, 1)
    if max_lag is not None:
        max_lag = at_least("max_lag", max_lag, horizon)
    signal = prepare(inputs, horizon=horizon, scale=scale, max_lag=max_lag or 8 * horizon)
    plan = Plan(
        horizon=horizon,
        max_lag=largest_lag(horizon, signal.length) if max_lag is None else max_lag,
        thresholds=thresholds or Thresholds(),
        effort=THOROUGH if thorough else QUICK,
        whole_period=signal.period,
        white_input=signal.white,
    )
    if plan.max_lag >= signal.length:
        raise ValueError(
            f"max_lag must be smaller than the {signal.length} steps of the series,"
            f" got {plan.max_lag}."
        )
    settle = settling_steps(horizon, plan.max_lag, signal.length)
    sequences = signal.values.shape[0]
    if (signal.length - plan.max_lag - settle) * sequences < FOLDS:
        raise ValueError(
            f"{sequences} sequence(s) of {signal.length} steps are too short for a horizon of"
            f" {horizon} and lags up to {plan.max_lag}: give longer ones, or a shorter horizon."
        )
    return signal, plan


def assemble(
    jobs: Sequence[Job],
    signal: Signal,
    plan: Plan,
    *,
    key: jax.Array,
    command: str = "",
    progress: Progress | None = None,
    known: Mapping[str, NetworkRecord] | None = None,
) -> Report:
    """Examine every network and put the records in order, best first.

    Networks in ``known`` are taken from there.
    """
    progress = progress or Progress()
    known = known or {}
    started = time.perf_counter()
    records: list[NetworkRecord] = []
    for job in jobs:
        found = known.get(job.name)
        records.append(found or _examine(job, signal, plan, key, progress))
        if found is None:
            seconds = time.perf_counter() - started
            progress.done(records[-1], _report(records, signal, plan, key, command, seconds))
    return _report(records, signal, plan, key, command, time.perf_counter() - started)


def _examine(
    job: Job, signal: Signal, plan: Plan, key: jax.Array, progress: Progress
) -> NetworkRecord:
    values = signal.values
    if job.values is not None:
        values = job.values
        white = plan.white_input and is_white(values)
        plan = dataclasses.replace(plan, white_input=white)
    record = examine(
        job.name,
        job.cell,
        values,
        plan,
        key=named_key(key, job.name),
        family=job.family,
        description=job.description,
        snippets=job.snippets,
        notify=lambda stage: progress.stage(job.name, stage),
    )
    notes = [job.note] if job.note else []
    broken = sum(
        int((~np.isfinite(leaf)).sum())
        for leaf in jax.tree.leaves(job.cell)
        if eqx.is_inexact_array(leaf)
    )
    if broken:
        notes.append(f"Its weights hold {broken:,} values that are NaN or infinite.")
    return dataclasses.replace(record, warnings=(*notes, *record.warnings))


def _report(
    records: Sequence[NetworkRecord],
    signal: Signal,
    plan: Plan,
    key: jax.Array,
    command: str,
    seconds: float,
) -> Report:
    networks = tuple(sorted(records, key=lambda record: rank_key(record, plan.horizon)))
    return Report(
        ReportRecord(
            horizon=plan.horizon,
            max_lag=plan.max_lag,
            verdict=overall_verdict(networks, plan.horizon),
            networks=networks,
            signal=signal.record,
            thresholds=dataclasses.asdict(plan.thresholds),
            settings={
                "seed": np.asarray(jr.key_data(key)).tolist(),
                "effort": dataclasses.asdict(plan.effort),
                "precision": "float64",
            },
            versions=versions(),
            machine=machine(),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            command=command,
            seconds=seconds,
            citations=CITATIONS,
            warnings=signal.warnings,
        )
    )


def named_key(key: jax.Array, name: str) -> jax.Array:
    """The key of one network, the same whichever others are examined beside it."""
    return jr.fold_in(key, zlib.crc32(name.encode()))


def versions() -> dict[str, str]:
    """The versions that a figure depends on."""
    names = ("echoic", "jax", "jaxlib", "numpy", "scipy", "equinox")
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


def machine() -> str:
    """The class of machine, without its name: system, processor, cores, accelerator."""
    devices = {device.device_kind for device in jax.devices()}
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"{where}, {', '.join(sorted(devices))}"
