"""One network under one signal: every measurement and prediction, gathered into a record."""

import concurrent.futures
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from echoic.core.cell import AbstractCell, cast
from echoic.core.estimate import Estimate
from echoic.core.records import NetworkRecord
from echoic.core.threads import one_blas_thread
from echoic.diagnosis.effort import (
    FULL_SPECTRUM_STATES,
    LEADING_EXPONENTS,
    PREDICTED_HORIZONS,
    fisher_windows,
    readout_possible,
    settling_steps,
    singular_values_affordable,
)
from echoic.diagnosis.plan import Plan
from echoic.diagnosis.record import network_record
from echoic.measure.gain.reach import reach_curves
from echoic.measure.gain.singular_values import jacobian_singular_values
from echoic.measure.information.fisher import fisher_memory
from echoic.measure.information.recall import linear_recall, raw_recall
from echoic.measure.lyapunov.spectrum import lyapunov_spectrum
from echoic.prediction import wide_limit

Notify = Callable[[str], None]


def examine(
    name: str,
    cell: AbstractCell,
    values: np.ndarray,
    plan: Plan,
    *,
    key: jax.Array,
    family: str = "",
    description: str = "",
    snippets: dict[str, str] | None = None,
    notify: Notify = lambda stage: None,
) -> NetworkRecord:
    """Measure ``cell`` under ``values`` (b, t, m), in double precision."""
    started = time.perf_counter()
    with jax.enable_x64(True):
        cell = cast(cell, jnp.float64)
        settle = settling_steps(plan.horizon, plan.max_lag, values.shape[1])
        tasks = _tasks(cell, values, plan, settle, key)
        found = side_by_side(tasks, notify)
        return network_record(
            name=name,
            family=family or type(cell).__name__,
            description=description,
            cell=cell,
            plan=plan,
            found=found,
            snippets=snippets or {},
            seconds=time.perf_counter() - started,
            settle=settle,
        )


def _tasks(
    cell: AbstractCell, values: np.ndarray, plan: Plan, settle: int, key: jax.Array
) -> dict[str, Callable[[], Any]]:
    """The measurements, by the name of the stage that they are, the longest first."""
    reach_key, exponent_key, recall_key, raw_key, fisher_key, frame_key = jr.split(key, 6)
    xs, effort, max_lag = jnp.asarray(values), plan.effort, plan.max_lag
    recall: dict[str, Any] = {
        "max_lag": max_lag,
        "burn_in": settle,
        "steps": effort.recall_steps,
        "throw": False,
    }
    tasks: dict[str, Callable[[], Any]] = {
        "Lyapunov exponents": lambda: _exponents(cell, xs, plan, settle, exponent_key),
        "gain over the lag": lambda: reach_curves(
            cell,
            xs,
            max_lag=max_lag,
            starts=effort.starts,
            probes=effort.probes,
            burn_in=settle,
            # At long lags one direction survives in a linear cell, which few probes hit badly.
            exact=cell.linear_form() is not None and cell.state_size <= FULL_SPECTRUM_STATES,
            key=reach_key,
            throw=False,
        ),
    }
    room = xs.shape[0] * (xs.shape[1] - settle - max_lag)
    if readout_possible(min(effort.recall_steps, room), cell.hidden_size):
        tasks["linear recall"] = lambda: linear_recall(cell, xs, key=recall_key, **recall)
        tasks["raw recall"] = lambda: raw_recall(cell, xs, key=raw_key, **recall)
    if not effort.extras:
        return tasks
    windows = fisher_windows(effort.windows, cell.state_size, max_lag)
    if windows or cell.linear_form() is not None:
        tasks["Fisher memory"] = lambda: fisher_memory(
            cell,
            xs,
            max_lag=max_lag,
            end_times=effort.end_times,
            windows=windows or None,
            burn_in=settle,
            key=fisher_key,
            throw=False,
        )
    lags = np.arange(min(max_lag, PREDICTED_HORIZONS * plan.horizon) + 1)
    tasks["prediction"] = lambda: wide_limit(cell, lags, values=values, burn_in=settle)
    if singular_values_affordable(cell.state_size, plan.horizon):
        tasks["singular values"] = lambda: jacobian_singular_values(
            cell,
            xs[:1, : settle + plan.horizon],
            lag=plan.horizon,
            burn_in=settle,
            key=frame_key,
            throw=False,
        )
    return tasks


def side_by_side(tasks: dict[str, Callable[[], Any]], notify: Notify) -> dict[str, Any]:
    """Run the measurements in two threads.

    Most of a first checkup is compilation, which keeps one core busy: two compile at a time. BLAS
    must not bring threads of its own then.
    """

    def run(stage: str) -> Any:
        notify(stage)
        # The precision is a setting of the thread.
        with jax.enable_x64(True):
            return jax.block_until_ready(tasks[stage]())

    with one_blas_thread(), concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        futures = {stage: pool.submit(run, stage) for stage in tasks}
        try:
            return {stage: future.result() for stage, future in futures.items()}
        finally:
            for future in futures.values():
                future.cancel()


def _exponents(
    cell: AbstractCell, xs: jax.Array, plan: Plan, settle: int, key: jax.Array
) -> Estimate:
    steps = min(plan.effort.exponent_steps, xs.shape[1] - settle)
    if plan.whole_period is not None and steps > plan.whole_period:
        steps = steps // plan.whole_period * plan.whole_period
    size = cell.state_size
    return lyapunov_spectrum(
        cell,
        xs[0, : settle + steps],
        num_exponents=size if size <= FULL_SPECTRUM_STATES else LEADING_EXPONENTS,
        burn_in=settle,
        key=key,
        throw=False,
    )
