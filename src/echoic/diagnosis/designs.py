"""A horizon in, a report out: prescriptions solved, the best ones built and measured."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from echoic.core.cell import AbstractCell
from echoic.core.checks import at_least, refuse_if_larger
from echoic.core.horizon import Thresholds
from echoic.core.quantities import QUANTITIES
from echoic.core.records import Curve, NetworkRecord, PhaseMap, PrescriptionRecord
from echoic.diagnosis.assemble import Job, Progress, assemble, prepared, prescribed_job
from echoic.diagnosis.plan import Plan
from echoic.diagnosis.report import Report
from echoic.prediction import phase_map
from echoic.prescription.design import chosen
from echoic.prescription.families import FAMILIES
from echoic.prescription.prescription import LAGS_BEYOND, Prescription, Wanted
from echoic.prescription.rank import ranked
from echoic.prescription.statistics import InputStatistics
from echoic.theory.tied import NoTheory

MEASURED = 6  # one of each family, when none is named


@dataclasses.dataclass(frozen=True)
class Designed:
    """What came of a design: the report, its best prescription, and the network measured for it."""

    report: Report
    best: Prescription
    network: AbstractCell


def design_report(
    family: str | Iterable[str] | None,
    inputs: Any,
    *,
    horizon: int,
    key: jax.Array,
    hidden_size: int = 128,
    scale: str | None = "standardise",
    thresholds: Thresholds | None = None,
    seed: int = 0,
    measured: int = MEASURED,
    diagram: bool = False,
    command: str = "",
    progress: Progress | None = None,
    known: Mapping[str, NetworkRecord] | None = None,
) -> Designed:
    """[`design`][echoic.design], and the best prescriptions built, measured and compared.

    **Arguments**

    - ``family``, ``horizon``, ``hidden_size``, ``seed``: as in [`design`][echoic.design].
    - ``key``: draws the networks and what is measured on them; the rest as in
      [`checkup`][echoic.checkup].
    - ``measured``: how many to measure: the best of each family first, then the next ones. Where
      none is feasible, the nearest is measured.
    - ``diagram``: draw the predicted horizon around the best of them that theory covers.

    **Returns** a `Designed`. Its ``report`` lists every prescription; those that were measured are
    its networks, and come first, in the order of the measurement.

    **Raises** ``ValueError`` as `design` and `checkup` do.

    **Cost.** That of a quick checkup for each network measured, up to twice the horizon.
    """
    at_least("measured", measured, 1)
    at_least("hidden_size", hidden_size, 2)
    refuse_if_larger(f"a network of {hidden_size:,} units", 8.0 * 4 * hidden_size**2)
    solvers = chosen(family)
    signal, plan = prepared(
        inputs, horizon=horizon, scale=scale, max_lag=None, thresholds=thresholds, thorough=False
    )
    plan = dataclasses.replace(plan, max_lag=min(plan.max_lag, LAGS_BEYOND * plan.horizon))
    progress = progress or Progress()
    wanted = Wanted(
        InputStatistics(signal), plan.horizon, int(hidden_size), plan.thresholds, int(seed)
    )
    solved = []
    for kind, variants in FAMILIES.items():
        for variant, solve in variants.items():
            if solve in solvers:
                progress.stage(f"{kind}/{variant}", "prescription")
                solved.append(solve(wanted))
    solved = ranked(solved)
    trials = _to_measure(solved, measured)
    jobs = {p.name: prescribed_job(p, key=key) for p in trials}
    progress.begins(len(jobs))
    found = assemble(
        list(jobs.values()),
        signal,
        plan,
        key=key,
        command=command,
        progress=progress,
        known=known,
    ).record
    by_name = {p.name: p for p in solved}
    order = [by_name[network.name] for network in found.networks]
    networks = tuple(_promised(n, by_name[n.name]) for n in found.networks)
    if diagram:
        progress.stage(networks[0].name, "phase diagram")
        networks = _mapped(networks, jobs, signal.values, plan)
    everything = order + [p for p in solved if p not in order]
    record = dataclasses.replace(
        found,
        networks=networks,
        prescriptions=tuple(map(_recorded, everything)),
        verdict=design_verdict(networks[0], order[0], everything, plan.horizon),
    )
    return Designed(Report(record), order[0], jobs[order[0].name].cell)


def _to_measure(solved: Sequence[Prescription], number: int) -> list[Prescription]:
    """The best of each family, then the next ones, ``number`` in all."""
    feasible = [p for p in solved if p.feasible]
    if not feasible:
        return list(solved[:1])
    first = {p.family: p for p in reversed(feasible)}
    leaders = [p for p in feasible if first[p.family] is p]
    return (leaders + [p for p in feasible if p not in leaders])[:number]


def _promised(network: NetworkRecord, prescription: Prescription) -> NetworkRecord:
    """The record with the curve that was promised in place of other predictions of it."""
    target = prescription.target
    measured = network.curve(target)
    if measured is None:
        return network
    promised = _in_unit_of(prescription.curve, measured)
    kept = [c for c in network.curves if (c.quantity, c.origin) != (target, "predicted")]
    return dataclasses.replace(network, curves=(*kept, promised))


def _in_unit_of(curve: Curve, measured: Curve) -> Curve:
    """A promise about the Fisher memory is one about its shape: noise sets the unit."""
    if QUANTITIES[curve.quantity].panel == "gain" or not curve.value[0] > 0:
        return curve
    ratio = float(measured.value[0] / curve.value[0])
    note = "Scaled to the measured value at lag 0, whose unit the noise sets."
    return dataclasses.replace(curve, value=ratio * curve.value, notes=(*curve.notes, note))


def _mapped(
    networks: tuple[NetworkRecord, ...], jobs: Mapping[str, Job], values: np.ndarray, plan: Plan
) -> tuple[NetworkRecord, ...]:
    """The networks, the first one that theory covers with the phase diagram around it."""
    reasons = []
    for i, network in enumerate(networks):
        try:
            found = phase_map(
                jobs[network.name].cell, values, horizon=plan.horizon, thresholds=plan.thresholds
            )
        except NoTheory as reason:
            reasons.append(f"{network.name}: {reason}")
            continue
        named = _as_prescription(found, network.name)
        return (*networks[:i], dataclasses.replace(network, phase_map=named), *networks[i + 1 :])
    note = f"No phase diagram. {' '.join(reasons)}"
    first = dataclasses.replace(networks[0], warnings=(*networks[0].warnings, note))
    return (first, *networks[1:])


def _as_prescription(found: PhaseMap, name: str) -> PhaseMap:
    """The diagram with its network shown as what is prescribed, not as the user's."""
    return dataclasses.replace(found, here=None, there=found.here, there_name=name)


def _recorded(p: Prescription) -> PrescriptionRecord:
    return PrescriptionRecord(
        name=p.name,
        family=p.family,
        hidden_size=p.hidden_size,
        feasible=p.feasible,
        reason=p.reason,
        paper=p.paper,
        correction=p.correction,
        curve=p.curve,
        regime=p.regime,
        log_gain=p.log_gain,
        noise_gain=p.noise_gain,
        settings=p.settings,
        snippets=p.snippets(),
    )


def design_verdict(
    network: NetworkRecord, best: Prescription, every: Sequence[Prescription], horizon: int
) -> str:
    """The first thing that the reader is told: what to build, what it was measured to do."""
    reaching = sum(p.feasible for p in every)
    if not reaching:
        return (
            f"Needs {horizon} steps with {best.hidden_size} units. No prescription is predicted to"
            f" reach them: the nearest, {best.name}, ends at {_lag(best.curve)}."
        )
    measured = network.curve(best.target)
    label = QUANTITIES[best.target].label
    seen = "could not be measured" if measured is None else f"measured to {_lag(measured)}"
    first = (
        f"Needs {horizon} steps. {best.name[0].upper()}{best.name[1:]} with {best.hidden_size}"
        f" units: {label} predicted to {_lag(best.curve)}, {seen}"
    )
    recall = network.curve("linear_recall")
    if recall is not None and math.isfinite(recall.at(horizon)):
        first += f"; recall {recall.at(horizon):.2f} at {horizon}"
    others = (
        "" if len(every) == 1 else f" {reaching} of {len(every)} prescriptions should reach it."
    )
    return f"{first}.{others}"


def _lag(curve: Curve) -> str:
    horizon = curve.horizon
    if horizon is None:
        return "no lag"
    if horizon.growing:
        return "growth"
    return f"lag {horizon.last}" + (" or beyond" if horizon.censored else "")
