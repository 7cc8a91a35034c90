"""One network under one signal: every measurement and prediction, gathered into a record."""

import concurrent.futures
import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import threadpoolctl

from echoic.core.cell import AbstractCell, cast
from echoic.core.estimate import Estimate, Status
from echoic.core.records import QUANTITIES, Curve, NetworkRecord, Spectrum
from echoic.diagnosis.effort import (
    FULL_SPECTRUM_STATES,
    LEADING_EXPONENTS,
    Effort,
    fisher_windows,
    settling_steps,
    singular_values_affordable,
)
from echoic.diagnosis.horizon import Thresholds, exponent_says, horizon_of, regime_of
from echoic.diagnosis.predict import predict
from echoic.diagnosis.structure import structure_warnings
from echoic.diagnosis.verdict import network_verdict
from echoic.measure.fisher import fisher_memory
from echoic.measure.jacobian import jacobian_singular_values
from echoic.measure.lyapunov import lyapunov_spectrum
from echoic.measure.reach import reach_curves
from echoic.measure.recall import linear_recall, raw_recall

Notify = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is asked of every network alike."""

    horizon: int
    max_lag: int
    thresholds: Thresholds
    effort: Effort
    whole_period: int | None = None
    white_input: bool = False


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
        xs = jnp.asarray(values)
        settle = settling_steps(plan.horizon, plan.max_lag, xs.shape[1])
        tasks = _tasks(cell, xs, plan, settle, key)
        found = _side_by_side(tasks, notify)
        return _record(
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
    cell: AbstractCell, xs: jax.Array, plan: Plan, settle: int, key: jax.Array
) -> dict[str, Callable[[], Any]]:
    """The measurements, by the name of the stage that they are, the longest first."""
    reach_key, exponent_key, recall_key, raw_key, fisher_key, frame_key = jr.split(key, 6)
    effort, max_lag = plan.effort, plan.max_lag
    recall: dict[str, Any] = {
        "max_lag": max_lag,
        "burn_in": settle,
        "steps": effort.recall_steps,
        "throw": False,
    }
    tasks: dict[str, Callable[[], Any]] = {
        "Lyapunov exponents": lambda: _exponents(cell, xs, plan, settle, exponent_key),
        "linear recall": lambda: linear_recall(cell, xs, key=recall_key, **recall),
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
        "raw recall": lambda: raw_recall(cell, xs, key=raw_key, **recall),
    }
    windows = fisher_windows(xs.shape[0], cell.state_size, max_lag)
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


def _side_by_side(tasks: dict[str, Callable[[], Any]], notify: Notify) -> dict[str, Any]:
    """Run the measurements in two threads.

    Most of a first checkup is compilation, which keeps one core busy: two compile at a time. BLAS
    must not bring threads of its own then: its waiting threads spin, and four of them on two cores
    were seen to take ten times as long as one.
    """

    def run(stage: str) -> Any:
        notify(stage)
        # The precision is a setting of the thread.
        with jax.enable_x64(True):
            return jax.block_until_ready(tasks[stage]())

    one_thread = threadpoolctl.threadpool_limits(1, user_api="blas")
    with one_thread, concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
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


def _record(
    *,
    name: str,
    family: str,
    description: str,
    cell: AbstractCell,
    plan: Plan,
    found: dict[str, Any],
    snippets: dict[str, str],
    seconds: float,
    settle: int,
) -> NetworkRecord:
    horizon = plan.horizon
    fisher, singular = found.get("Fisher memory"), found.get("singular values")
    spectrum: Estimate = found["Lyapunov exponents"]
    measured: dict[str, Estimate] = {
        **found["gain over the lag"],
        "linear_recall": found["linear recall"],
        "raw_recall": found["raw recall"],
    }
    if plan.white_input:
        # A small probe drowns in white input of a hundred times its power, which is itself as good
        # a probe as any: it does not foretell itself.
        measured["linear_recall"] = found["raw recall"]
    if fisher is not None:
        measured["fisher_memory"] = fisher
    prediction = predict(
        cell,
        np.arange(plan.max_lag + 1),
        noise_variance=math.nan if fisher is None else float(fisher.settings["noise_variance"]),
    )
    curves = _measured_curves(measured, plan)
    gradient, recall = curves["gradient_reach"], curves.get("linear_recall")
    log_gain = float(measured["gradient_reach"].details["log_value"][horizon])
    regime = regime_of(log_gain)
    exponents = np.asarray(spectrum.value)
    errors = np.asarray(spectrum.standard_error)
    recall_sum = _sum_above_floor(recall) if recall is not None else math.nan
    asymptote = _asymptote(float(exponents[0]), gradient.lags)
    notes = [*spectrum.statuses.sentences, *structure_warnings(cell)]
    if fisher is None:
        notes.append(
            f"Fisher memory and noise gain were left out: {cell.state_size} numbers of state over"
            f" {plan.max_lag} lags would take very long; echoic.fisher_memory measures them."
        )
    return NetworkRecord(
        name=name,
        family=family,
        description=description,
        hidden_size=cell.hidden_size,
        state_size=cell.state_size,
        num_parameters=cell.num_parameters,
        curves=(*curves.values(), *asymptote, *prediction.curves),
        spectrum=Spectrum(
            exponents=exponents,
            standard_error=errors,
            predicted=prediction.exponents,
            predicted_bounds=prediction.exponent_bounds,
            sum_rule_residual=float(spectrum.details.get("residual", jnp.nan)),
            num_all=cell.state_size,
            notes=spectrum.statuses.sentences,
        ),
        regime=regime,
        log_gain=log_gain,
        lyapunov_times_horizon=exponent_says(float(exponents[0]), float(errors[0]), horizon),
        recall_sum=recall_sum,
        recall_per_unit=recall_sum / cell.hidden_size,
        noise_gain=math.nan if fisher is None else float(fisher.details["noise_gain"]),
        noise_gain_kind=_noise_gain_kind(cell, fisher),
        singular_values=None if singular is None else np.asarray(singular.value),
        verdict=network_verdict(
            horizon,
            regime,
            math.exp(min(log_gain, 700.0)),
            recall.at(horizon) if recall is not None else math.nan,
            gradient.horizon,
            recall.horizon if recall is not None else None,
        ),
        warnings=tuple(dict.fromkeys(notes)),
        seconds=seconds,
        settings={
            "burn_in": settle,
            **{quantity: dict(estimate.settings) for quantity, estimate in measured.items()},
            "lyapunov_spectrum": dict(spectrum.settings),
        },
        snippets=snippets,
    )


def _noise_gain_kind(
    cell: AbstractCell, fisher: Estimate | None
) -> Literal["stationary", "finite-time", "unknown"]:
    if fisher is None:
        return "unknown"
    stationary = cell.linear_form() is not None and Status.UNSTABLE not in fisher.statuses
    return "stationary" if stationary else "finite-time"


def _sum_above_floor(recall: Curve) -> float:
    """Recall summed over the lags from 1 at which it stands above the noise.

    The sum over all lags would add up thousands of small errors of either sign.
    """
    if np.isnan(recall.value).any():
        return math.nan
    floor = 0.0 if recall.floor is None else np.maximum(recall.floor, 0.0)
    heard = np.where(recall.value > floor, recall.value, 0.0)
    return float(heard[1:].sum())


def _measured_curves(measured: dict[str, Estimate], plan: Plan) -> dict[str, Curve]:
    lags = np.arange(plan.max_lag + 1)
    thresholds = plan.thresholds
    curves: dict[str, Curve] = {}
    for quantity, estimate in measured.items():
        gain = QUANTITIES[quantity].panel == "gain"
        value, error = np.asarray(estimate.value), np.asarray(estimate.standard_error)
        floor = estimate.details.get("floor")
        if gain:
            horizon = horizon_of(value, error, thresholds.gain, relative=True, grows=True)
        elif quantity == "fisher_memory":
            horizon = horizon_of(value, error, thresholds.fisher, relative=True)
        elif quantity == "linear_recall":
            horizon = horizon_of(value, error, thresholds.recall, relative=False)
        else:
            horizon = None
        curves[quantity] = Curve(
            quantity=quantity,
            panel=QUANTITIES[quantity].panel,
            origin="measured",
            lags=lags,
            value=value,
            standard_error=error,
            floor=None if floor is None else np.broadcast_to(np.asarray(floor), value.shape),
            horizon=horizon,
            notes=_notes(quantity, estimate, plan),
            source=SOURCES[quantity],
        )
    gradient = measured["gradient_reach"]
    curves["gradient_reach_typical"] = dataclasses.replace(
        curves["gradient_reach"],
        quantity="gradient_reach_typical",
        value=np.asarray(gradient.details["typical"]),
        standard_error=np.asarray(gradient.details["typical_standard_error"]),
        horizon=horizon_of(
            np.asarray(gradient.details["typical"]),
            np.asarray(gradient.details["typical_standard_error"]),
            thresholds.gain,
            relative=True,
            grows=True,
        ),
    )
    raw = measured["raw_recall"]
    curves["memoryless_recall"] = Curve(
        quantity="memoryless_recall",
        panel="information",
        origin="reference",
        lags=lags,
        value=np.asarray(raw.details["memoryless"]),
        source=SOURCES["raw_recall"],
    )
    return curves


def _notes(quantity: str, estimate: Estimate, plan: Plan) -> tuple[str, ...]:
    notes = estimate.statuses.sentences
    if quantity == "linear_recall" and plan.white_input:
        notes += ("The input is white: this is the recall of the input itself, without a probe.",)
    return notes


def _asymptote(exponent: float, lags: np.ndarray) -> tuple[Curve, ...]:
    if not math.isfinite(exponent):
        return ()
    with np.errstate(over="ignore"):
        value = np.exp(exponent * lags)
    return (
        Curve(
            quantity="lyapunov_asymptote",
            panel="gain",
            origin="reference",
            lags=lags,
            value=value,
            source=SOURCES["lyapunov_asymptote"],
        ),
    )


SOURCES = {
    "gradient_reach": "Root-mean-square singular value of the k-step Jacobian"
    " (Pennington, Schoenholz & Ganguli 2017; Chen, Pennington & Schoenholz 2018)",
    "input_reach": "Root-mean-square gain of dh_t/dx_{t-k}",
    "coherent_reach": "Norm of the mean k-step Jacobian over input sequences",
    "linear_recall": "Memory capacity per lag (Jaeger 2001), of a white probe",
    "raw_recall": "Delayed reconstruction of the raw input (Jaeger 2001), memoryless one beside it",
    "fisher_memory": "Fisher memory curve (Ganguli, Huh & Sompolinsky 2008)",
    "lyapunov_asymptote": "Largest Lyapunov exponent (Benettin et al. 1980)",
}
