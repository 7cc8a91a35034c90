"""The memory of one network under the user's signal."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from echoic.cells import Bidirectional, Network
from echoic.core.cell import AbstractCell, State, Step, as_cell, cast
from echoic.core.horizon import Thresholds
from echoic.core.model import AbstractModel
from echoic.core.records import NetworkRecord
from echoic.diagnosis.advice import advised, family_of, remembers
from echoic.diagnosis.assemble import Job, Progress, assemble, prepared
from echoic.diagnosis.everything.report import with_findings
from echoic.diagnosis.plan import Plan
from echoic.diagnosis.report import Report
from echoic.prediction import phase_map
from echoic.theory.tied import NoTheory

_BACKWARD = "Reads the sequence from its end: a lag counts steps into the future."
_WHOLE = "Its layers stand beside it, each measured under what it sees inside the network."


def checkup(
    cell: AbstractCell | AbstractModel | Step,
    inputs: Any,
    *,
    horizon: int,
    key: jax.Array,
    name: str = "network",
    state: State = None,
    scale: str | None = "standardise",
    max_lag: int | None = None,
    thresholds: Thresholds | None = None,
    thorough: bool = False,
    advise: bool = True,
    everything: bool = False,
    command: str = "",
    progress: Progress | None = None,
    known: Mapping[str, NetworkRecord] | None = None,
) -> Report:
    """How far back ``cell`` remembers under ``inputs``, measured and predicted, and why.

    **Definition.** Two panels over the lag k, never to be mixed. *Gain*: gradient, input and
    coherent reach with the Lyapunov asymptote. *Information*: linear recall of a white probe and
    Fisher memory. Each has a horizon: the last lag at which the curve minus two standard errors
    stands at its threshold. The regime at ``horizon`` comes from the gradient reach there: below
    e^-3 fading, above e^3 rugged, between them edge. All is measured in float64.

    **Arguments**

    - ``cell``: a cell, or a function ``step(state, x) -> state`` with its initial ``state``. A
      stack of several layers is measured as a whole and layer by layer, each under what it truly
      sees; a bidirectional one, which has no memory as a whole, cell by cell.
    - ``inputs``: an array (t,), (t, m) or (b, t, m), a list of sequences, or a data series.
    - ``horizon``: the number of steps that the task asks for.
    - ``scale``: "standardise" (default) or None. One-hot input is left alone.
    - ``max_lag``: the largest lag measured; by default eight horizons, at most 2,000.
    - ``thorough``: nine times the samples, for a third of the error where the signal is long
      enough.
    - ``advise``: place the network on the phase diagram of its family and, if it misses the
      horizon, measure the nearest ones that reach it beside it.
    - ``everything``: ask all other measures as well; what they find stands in the record's
      ``findings``, or why they were not asked. Some minutes.
    - ``known``: records of networks that need not be examined again.

    **Returns** a [`Report`][echoic.diagnosis.report.Report]; print it, save it, or read its
    ``record``.

    **Raises** ``ValueError`` for input that cannot be measured, in one sentence.

    **When it misleads.** It speaks of the network as it is: what training will make of it is
    another matter. A curve that ends at the largest lag measured is a lower bound (``>=``).

    **Cost.** About 40,000 steps of the network and, up to 320 states, a full Lyapunov spectrum
    of 2,000 steps.
    """
    refuse_what_is_no_cell(cell)
    signal, plan = prepared(
        inputs,
        horizon=horizon,
        scale=scale,
        max_lag=max_lag,
        thresholds=thresholds,
        thorough=thorough,
    )
    if isinstance(cell, Bidirectional):
        refuse_other_channels(cell, signal.values.shape[2], signal.record.channels)
        wrapped = None
        jobs = _parts(cell, name, signal.values)
    else:
        wrapped = as_cell(cell, state, signal.values.shape[2])
        refuse_other_channels(wrapped, signal.values.shape[2], signal.record.channels)
        _refuse_other_states(wrapped)
        jobs = [Job(name, wrapped, family=family_of(wrapped))]
        if isinstance(wrapped, Network) and len(wrapped.cells) > 1:
            whole = dataclasses.replace(jobs[0], note=_WHOLE)
            jobs = [whole, *_parts(wrapped, name, signal.values)]

    def report(jobs: list[Job], known: Mapping[str, NetworkRecord]) -> Report:
        if progress is not None:
            progress.begins(len(jobs))
        return assemble(
            jobs, signal, plan, key=key, command=command, progress=progress, known=known
        )

    found = report(jobs, known or {})
    if everything:
        found = with_findings(found, jobs[0], signal.values, plan, key=key, progress=progress)
    if wrapped is None or not advise:
        return found
    missed = not remembers(_named(found, name), plan.horizon)
    nearest = None
    for job in advised(wrapped, signal, plan, key=key) if missed else ():
        jobs.append(job)
        nearest = nearest or job
        found = report(jobs, {record.name: record for record in found.networks})
        if remembers(_named(found, job.name), plan.horizon):
            break
    return _placed(found, jobs[0], nearest, signal.values, plan)


def _named(report: Report, name: str) -> NetworkRecord:
    return next(network for network in report.networks if network.name == name)


def _placed(
    report: Report, own: Job, nearest: Job | None, values: np.ndarray, plan: Plan
) -> Report:
    """The report with the user's network on the phase diagram of its family, where it has one."""
    towards = nearest if nearest and type(nearest.cell) is type(own.cell) else None
    try:
        place = phase_map(
            own.cell,
            values,
            horizon=plan.horizon,
            thresholds=plan.thresholds,
            towards=towards and towards.cell,
            towards_name=towards.name if towards else "",
        )
        note = ()
    except NoTheory as reason:
        place, note = None, (f"No phase diagram: {reason}",)
    networks = tuple(
        dataclasses.replace(n, phase_map=place, warnings=(*n.warnings, *note))
        if n.name == own.name
        else n
        for n in report.networks
    )
    return Report(dataclasses.replace(report.record, networks=networks))


def _parts(network: Network | Bidirectional, name: str, values: np.ndarray) -> list[Job]:
    """One job a cell of a deep network, each under the sequence that it truly sees.

    A lag of a backward cell counts steps into the future.
    """
    with jax.enable_x64(True):
        seen = cast(network, jnp.float64).seen_inputs(jnp.asarray(values))
        return [
            Job(
                f"{name}, {part.name}",
                part.cell,
                family=family_of(part.cell),
                values=np.asarray(sequence),
                note=_BACKWARD if part.direction == "backward" else "",
            )
            for part, sequence in zip(network.parts, seen, strict=True)
        ]


def refuse_other_channels(
    cell: AbstractCell | Bidirectional, channels: int, names: tuple[str, ...]
) -> None:
    """Refuse a signal whose channels are not those that the network was built for."""
    if cell.input_size != channels:
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise ValueError(
            f"the network takes {cell.input_size} input channel(s), the data has {channels}"
            f" ({shown}): choose the columns that it was trained on."
        )


def refuse_what_is_no_cell(cell: Any) -> None:
    """Refuse what newcomers pass for a network: its class, or a module of PyTorch."""
    if isinstance(cell, type):
        raise ValueError(f"cell is the class {cell.__name__}: pass a network built from it.")
    if hasattr(cell, "state_dict") or isinstance(cell, Mapping):
        raise ValueError(
            f"cell is a {type(cell).__name__} of PyTorch: write its state_dict() with"
            " safetensors.torch.save_file, and read the file with echoic.load."
        )


def _refuse_other_states(cell: AbstractCell) -> None:
    """Refuse a step function that cannot be run, or whose state changes its shape."""
    with jax.enable_x64(True):
        cell = cast(cell, jnp.float64)
        state = cell.initial_state()
        if not any(eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(state)):
            raise ValueError(
                f"the state must hold arrays of floating-point numbers, got {state!r:.200}."
            )
        x = jax.ShapeDtypeStruct((cell.input_size,), jnp.float64)
        try:
            after = jax.eval_shape(cell.step, state, x)
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            first_line = str(error).partition("\n")[0]
            raise ValueError(
                f"step(state, x) fails for a state of shape {_shapes(state)} and an x of shape"
                f" {x.shape}: {first_line}"
            ) from error
    if _shapes(after) != _shapes(state):
        raise ValueError(
            "step(state, x) must return a state like the one that it takes: it takes shape"
            f" {_shapes(state)} and returns {_shapes(after)}."
        )


def _shapes(state: Any) -> Any:
    return jax.tree.map(jnp.shape, state)
