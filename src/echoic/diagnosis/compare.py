"""Several networks under one signal: which remembers far enough, and which does it best."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.random as jr

from echoic.core.cell import AbstractCell
from echoic.core.checks import at_least, refuse_if_larger
from echoic.core.horizon import Thresholds
from echoic.core.records import NetworkRecord
from echoic.diagnosis.assemble import Job, Progress, assemble, candidate_job, prepared
from echoic.diagnosis.candidates import CANDIDATES, Candidate
from echoic.diagnosis.checkup import refuse_other_channels
from echoic.diagnosis.everything.report import with_findings
from echoic.diagnosis.report import Report


def compare(
    candidates: Mapping[str, AbstractCell] | Iterable[Candidate] | None,
    inputs: Any,
    *,
    horizon: int,
    key: jax.Array,
    hidden_size: int = 128,
    equal: str = "units",
    scale: str | None = "standardise",
    max_lag: int | None = None,
    thresholds: Thresholds | None = None,
    thorough: bool = False,
    everything: bool = False,
    command: str = "",
    progress: Progress | None = None,
    known: Mapping[str, NetworkRecord] | None = None,
) -> Report:
    """A [`checkup`][echoic.checkup] of several networks under the same signal, best first.

    **Arguments**

    - ``candidates``: networks by name; or [`Candidate`][echoic.diagnosis.candidates.Candidate]s
      that are built here for the signal and the horizon; None takes all built-in ones.
    - ``hidden_size``, ``equal``: the size of built-in candidates. With ``equal="units"`` all have
      ``hidden_size`` units; with ``"state"`` or ``"parameters"`` as many units as give them the
      state or the parameters of an Elman network of that size.
    - ``everything``: ask all other measures as well, of the network that comes out best.
    - the rest as in [`checkup`][echoic.checkup].

    **Order.** By the smaller of gradient and recall horizon, up to the wanted one; then by the
    recall there. A rugged network's gradient counts for nothing.
    """
    at_least("hidden_size", hidden_size, 1)
    refuse_if_larger(f"a network of {hidden_size:,} units", 8.0 * 4 * hidden_size**2)
    signal, plan = prepared(
        inputs,
        horizon=horizon,
        scale=scale,
        max_lag=max_lag,
        thresholds=thresholds,
        thorough=thorough,
    )
    channels = signal.values.shape[2]
    build_key, measure_key = jr.split(key)
    if isinstance(candidates, Mapping):
        for name, cell in candidates.items():
            refuse_other_than_cells(name, cell)
            refuse_other_channels(cell, channels, signal.record.channels)
        jobs = [Job(str(name), cell) for name, cell in candidates.items()]
    else:
        chosen = CANDIDATES if candidates is None else tuple(built_in(candidates))
        jobs = [
            candidate_job(candidate, channels, hidden_size, plan.horizon, equal, key=build_key)
            for candidate in chosen
        ]
    if not jobs:
        raise ValueError("there is no network to compare: candidates is empty.")
    report = assemble(
        jobs, signal, plan, key=measure_key, command=command, progress=progress, known=known
    )
    if not everything:
        return report
    best = next(job for job in jobs if job.name == report.networks[0].name)
    return with_findings(report, best, signal.values, plan, key=measure_key, progress=progress)


def refuse_other_than_cells(name: Any, cell: Any) -> None:
    """Refuse a network to compare that only `checkup` takes, or none does."""
    if not isinstance(cell, AbstractCell):
        raise ValueError(
            f"candidate {name!r} must be a cell, got a {type(cell).__name__};"
            " echoic.checkup takes step functions and bidirectional networks."
        )


def built_in(given: Any) -> Iterable[Candidate]:
    """The candidates to build, refused unless they are such."""
    for candidate in given if isinstance(given, Iterable) else (given,):
        if not isinstance(candidate, Candidate):
            raise ValueError(
                "candidates must be a dict of cells by name, such as"
                f' {{"mine": cell}}, or Candidates; got a {type(candidate).__name__}.'
            )
        yield candidate
