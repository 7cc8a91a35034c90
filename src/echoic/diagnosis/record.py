"""From measurements to a record: curves with their horizons, the regime, the verdict."""

import dataclasses
import math
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from echoic.core.cell import AbstractCell
from echoic.core.estimate import Estimate, Status
from echoic.core.horizon import exponent_says, horizon_of, regime_of
from echoic.core.quantities import QUANTITIES
from echoic.core.records import Curve, NetworkRecord, Spectrum
from echoic.diagnosis.plan import Plan
from echoic.diagnosis.structure import structure_warnings
from echoic.diagnosis.verdict import network_verdict
from echoic.prediction import closed_form


def network_record(
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
    """Gather what was ``found`` for one network, by stage, with what was predicted for it."""
    horizon = plan.horizon
    fisher, singular = found.get("Fisher memory"), found.get("singular values")
    spectrum: Estimate = found["Lyapunov exponents"]
    measured: dict[str, Estimate] = dict(found["gain over the lag"])
    if "linear recall" in found:
        # A small probe drowns in white input of a hundred times its power, which is itself as good
        # a probe as any: it does not foretell itself.
        probe = "raw recall" if plan.white_input else "linear recall"
        measured |= {"linear_recall": found[probe], "raw_recall": found["raw recall"]}
    if fisher is not None:
        measured["fisher_memory"] = fisher
    noise_variance = math.nan if fisher is None else float(fisher.settings["noise_variance"])
    lags = np.arange(plan.max_lag + 1)
    closed = closed_form(cell, lags, noise_variance=noise_variance)
    prediction = closed.beside(found["prediction"]) if "prediction" in found else closed
    curves = _measured_curves(measured, plan)
    gradient, recall = curves["gradient_reach"], curves.get("linear_recall")
    log_gain = float(measured["gradient_reach"].details["log_value"][horizon])
    regime = regime_of(log_gain)
    exponents = np.asarray(spectrum.value)
    errors = np.asarray(spectrum.standard_error)
    recall_sum = _sum_above_floor(recall) if recall is not None else math.nan
    asymptote = _asymptote(float(exponents[0]), gradient.lags)
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
            recall.error_at(horizon) if recall is not None else math.nan,
        ),
        warnings=_warnings(cell, plan, spectrum, fisher, recall),
        seconds=seconds,
        settings={
            "burn_in": settle,
            **{quantity: dict(estimate.settings) for quantity, estimate in measured.items()},
            "lyapunov_spectrum": dict(spectrum.settings),
        },
        snippets=snippets,
    )


def _warnings(
    cell: AbstractCell,
    plan: Plan,
    spectrum: Estimate,
    fisher: Estimate | None,
    recall: Curve | None,
) -> tuple[str, ...]:
    """What the reader must know of this network: doubts, traps in its weights, what is missing."""
    doubts = _doubts(spectrum, plan.horizon).sentences
    notes = [f"Lyapunov exponents: {text}" for text in doubts]
    notes += structure_warnings(cell)
    if fisher is None and plan.effort.extras:
        notes.append(
            f"Fisher memory and noise gain were left out: {cell.state_size} numbers of state over"
            f" {plan.max_lag} lags would take very long; echoic.fisher_memory measures them."
        )
    if recall is None:
        notes.append(
            f"Recall was left out: the series is too short to tell a readout of {cell.hidden_size}"
            " units from chance."
        )
    return tuple(dict.fromkeys(notes))


def _doubts(spectrum: Estimate, horizon: int) -> Status:
    """The flags of a spectrum that matter at the horizon.

    Exponents that lie close together sort themselves out over thousands of steps. As long as the
    largest one drifts by less than a tenth over the horizon, nothing here hangs on it.
    """
    history = np.asarray(spectrum.details["history"])[:, 0]
    half = len(history) // 2
    with np.errstate(invalid="ignore"):
        drift = abs(history[:half].mean() - history[half:].mean())
    settled = drift * horizon < 0.1
    return spectrum.statuses & ~Status.NOT_CONVERGED if settled else spectrum.statuses


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
    if "raw_recall" in measured:
        curves["memoryless_recall"] = Curve(
            quantity="memoryless_recall",
            panel="information",
            origin="reference",
            lags=lags,
            value=np.asarray(measured["raw_recall"].details["memoryless"]),
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
