"""Gated networks: a bias sets how long a unit keeps its state, weak weights leave it at that.

With small recurrent and gate input weights the Jacobian is nearly diagonal, the forget gate of each
unit (the update gate, the minimalRNN's only gate), and close to 1: the kind of critical network
that Gilboa et al. 2019 arrive at. The bias follows from the theory of wide networks with tied
weights, solved along windows of the user's own signal.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from echoic import init
from echoic.prescription.prescription import Prescription, Wanted, prescribe
from echoic.prescription.recipe import Recipe
from echoic.theory import tied

Biases = Literal["critical", "chrono"]
WEAK = 0.1  # spread of what recurrent weights and inputs add to a gate
UNITS, POPULATIONS, WINDOWS = 256, 2, 4
CLOSE, ATTEMPTS = 0.005, 8  # of the logarithm of the horizon, and how often it is tried
ROUGH = 0.05  # of the same: what is still called an answer
PAPERS = {
    "critical": "Gilboa et al. 2019; Chen, Pennington & Schoenholz 2018",
    "chrono": "Tallec & Ollivier 2018",
}


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A gated cell: its recipe and the law of its units, given the biases of the keeping gate.

    ``recipe(bias, scale)``: ``scale`` gives input weights that add a variance of 1.
    ``unit(keep, weights)``: biases (M,), and weights (4, M, m) of that scale.
    """

    family: str
    label: str
    gate: str
    recipe: Callable[[Any, float], Recipe]
    unit: Callable[[np.ndarray, np.ndarray], tied.Unit]


def minimal_critical(wanted: Wanted) -> Prescription:
    """MinimalRNN, one bias for all units."""
    return _solve(wanted, _MINIMAL, "critical")


def minimal_chrono(wanted: Wanted) -> Prescription:
    """MinimalRNN, biases spread over the lags."""
    return _solve(wanted, _MINIMAL, "chrono")


def gru_critical(wanted: Wanted) -> Prescription:
    """GRU, one update bias for all units."""
    return _solve(wanted, _GRU, "critical")


def gru_chrono(wanted: Wanted) -> Prescription:
    """GRU, update biases spread over the lags."""
    return _solve(wanted, _GRU, "chrono")


def lstm_critical(wanted: Wanted) -> Prescription:
    """LSTM, one forget bias for all units, the input gate its mirror image."""
    return _solve(wanted, _LSTM, "critical")


def lstm_chrono(wanted: Wanted) -> Prescription:
    """LSTM, forget biases spread over the lags, the input gates their mirror images."""
    return _solve(wanted, _LSTM, "chrono")


def _solve(wanted: Wanted, kind: _Kind, biases: Biases) -> Prescription:
    """The bias whose predicted coherent reach ends at the horizon.

    The horizon grows like ``exp(bias)``, and like the span of chrono biases: each attempt corrects
    the logarithm by what is missing.
    """
    scale = 1 / math.sqrt(wanted.statistics.energy)
    windows, max_lag, burn_in = _windows(wanted)
    rng = np.random.default_rng(wanted.seed)
    weights = scale * rng.standard_normal((4, UNITS, wanted.statistics.input_size))
    strata = rng.permutation((np.arange(UNITS) + 0.5) / UNITS)
    lowest = 0.0 if biases == "chrono" else -math.inf
    log_span, best = math.log(wanted.horizon / 3 + 1), None
    for _ in range(ATTEMPTS):
        log_span = round(log_span, 5)
        curves = tied.reach(
            kind.unit(_keep(biases, log_span, strata), weights),
            windows,
            max_lag=max_lag,
            burn_in=burn_in,
            key=jr.key(wanted.seed),
            populations=POPULATIONS,
            with_input=False,
        )
        end = _end(curves.coherent_reach, wanted.thresholds.gain)
        missing = math.log((wanted.horizon + 0.5) / end)
        if best is None or abs(missing) < abs(best[0]):
            best = missing, log_span, curves
        if abs(missing) < CLOSE or (log_span <= lowest and missing < 0):
            break
        log_span = max(log_span + missing, lowest)
    assert best is not None
    missing, log_span, curves = best
    return _answer(wanted, kind, biases, log_span, missing, curves)


def _keep(biases: Biases, log_span: float, strata: np.ndarray) -> np.ndarray:
    """The keeping gate's biases, (M,): ``log_span``, or ``log U[1, 1 + 2 (exp(log_span) - 1)]``."""
    if biases == "critical":
        return np.full(len(strata), log_span)
    return np.log(1 + 2 * (math.exp(log_span) - 1) * strata)


def _law(biases: Biases, log_span: float) -> Any:
    """The same as an initialiser."""
    if biases == "critical":
        return init.forget(float(f"{log_span:.6g}"))
    return init.chrono(float(f"{2 * math.exp(log_span):.6g}"))


def _windows(wanted: Wanted) -> tuple[np.ndarray, int, int]:
    """Windows of the signal, the lags they allow for and the steps before lag 0."""
    length = wanted.statistics.values.shape[1]
    max_lag = min(int(wanted.lags[-1]), length - 1)
    burn_in = min(max_lag, length - 1 - max_lag)
    windows = tied.windows_of(
        wanted.statistics.values,
        number=WINDOWS,
        max_lag=max_lag,
        burn_in=burn_in,
        seed=wanted.seed,
    )
    return windows, max_lag, burn_in


def _end(curve: np.ndarray, threshold: float) -> float:
    """The lag, with a fraction, at which a curve falls below its threshold; guessed beyond it."""
    with np.errstate(divide="ignore"):
        height = np.log(np.asarray(curve, float) / curve[0]) - math.log(threshold)
    standing = np.flatnonzero(height >= 0)
    last = int(standing[-1]) if standing.size else 0
    if last + 1 < len(curve):
        drop = height[last] - height[last + 1]
        return float(last + (height[last] / drop if np.isfinite(drop) and drop > 0 else 0.5))
    fallen = float(-math.log(threshold) - height[last])
    return last * -math.log(threshold) / max(fallen, 0.1)


def _answer(
    wanted: Wanted,
    kind: _Kind,
    biases: Biases,
    log_span: float,
    missing: float,
    curves: tied.TiedReach,
) -> Prescription:
    law = _law(biases, log_span)
    feasible = abs(missing) < ROUGH or missing < 0
    if biases == "critical":
        why = f"One bias of {law.value:.4g} on the {kind.gate} of every unit, and weak weights"
    else:
        why = f"Biases of the {kind.gate} spread over the lags to {law.horizon:.5g}, weak weights"
    share = float(curves.recurrent_share[min(wanted.horizon, len(curves.hops) - 1)])
    if feasible:
        reason = f"{why}: a share of {share:.1g} of the gradient's power passes recurrent weights."
    else:
        end = (wanted.horizon + 0.5) * math.exp(-missing)
        reason = f"{why}: no bias brings the predicted reach to the horizon, the nearest {end:.0f}."
    return prescribe(
        wanted,
        family=kind.family,
        name=f"{kind.label}, {biases}",
        recipe=kind.recipe(law, 1 / math.sqrt(wanted.statistics.energy)),
        target="coherent_reach",
        value=np.asarray(curves.coherent_reach, float),
        gradient=np.asarray(curves.gradient_reach, float),
        paper=PAPERS[biases],
        reason=reason,
        correction="tied weights: derived, solved along windows of the signal",
        feasible=feasible,
    )


def _normal(scale: float) -> init.normal:
    return init.normal(float(f"{scale:.4g}"))


def _minimal_recipe(bias: Any, scale: float) -> Recipe:
    arguments = {
        "recurrent": init.gaussian(WEAK),
        "input": init.gaussian(WEAK),
        "bias": bias,
        "embedding": _normal(scale),
    }
    return Recipe("MinimalRNN", arguments)


def _minimal_unit(keep: np.ndarray, weights: np.ndarray) -> tied.Unit:
    return tied.Minimal(
        sigma=jnp.array([WEAK, WEAK]),
        bias=jnp.asarray(keep[None], float),
        input=jnp.asarray(weights[:1], float),
        embedding_bias=jnp.zeros(len(keep)),
    )


def _gates_law(gates: str, candidate: str, scale: float) -> dict[str, init.normal]:
    return {g: _normal(scale if g == candidate else WEAK * scale) for g in gates}


def _gru_recipe(bias: Any, scale: float) -> Recipe:
    arguments = {
        "recurrent": init.gaussian(WEAK),
        "input": _gates_law("rzn", "n", scale),
        "bias": bias,
        "candidate_bias": init.zeros(),
    }
    return Recipe("GRU", arguments)


def _gru_unit(keep: np.ndarray, weights: np.ndarray) -> tied.Unit:
    zero = np.zeros(len(keep))
    return tied.GRU(
        sigma=jnp.full(3, WEAK),
        bias=jnp.asarray(np.stack([zero, keep, zero]), float),
        input=jnp.asarray(weights[:3] * np.array([WEAK, WEAK, 1.0])[:, None, None], float),
        candidate_bias=jnp.zeros(len(keep)),
    )


def _lstm_recipe(bias: Any, scale: float) -> Recipe:
    if isinstance(bias, init.forget):
        # The input gate mirrors the forget gate, else the cell state would grow into saturation.
        mirrored, rest = init.constant(-bias.value), init.zeros()
        bias = {"i": mirrored, "f": init.constant(bias.value), "g": rest, "o": rest}
    arguments = {
        "recurrent": init.gaussian(WEAK),
        "input": _gates_law("ifgo", "g", scale),
        "bias": bias,
    }
    return Recipe("LSTM", arguments)


def _lstm_unit(keep: np.ndarray, weights: np.ndarray) -> tied.Unit:
    zero = np.zeros(len(keep))
    spread = np.array([WEAK, WEAK, 1.0, WEAK])[:, None, None]
    return tied.LSTM(
        sigma=jnp.full(4, WEAK),
        bias=jnp.asarray(np.stack([-keep, keep, zero, zero]), float),
        input=jnp.asarray(weights * spread, float),
    )


_MINIMAL = _Kind("minimal_rnn", "minimalRNN", "gate", _minimal_recipe, _minimal_unit)
_GRU = _Kind("gru", "GRU", "update gate", _gru_recipe, _gru_unit)
_LSTM = _Kind("lstm", "LSTM", "forget gate", _lstm_recipe, _lstm_unit)
