"""Predictions in closed form: residual networks, delay lines, and the learning speed."""

from typing import Any

import numpy as np

from echoic import cells, init, theory
from echoic.prediction.prediction import Prediction, curve

_WEAK = 0.3  # of the residual's own decay: above it the coupled units have a say


def residual(cell: cells.Residual, lags: np.ndarray) -> Prediction:
    """Exponents, gradient reach and their bounds from the residual alone: for any weights.

    The reach is left to the theory of wide networks where the coupling is not weak.
    """
    residual = np.asarray(cell.residual_eigenvalues())
    strength = theory.coupling_strength(float(cell.coupling), np.asarray(cell.recurrent))
    ratio = theory.coupling_ratio(residual, strength)
    note = f"The coupling is {ratio:.2g} of the residual's own decay; the prediction needs << 1."
    low, high = theory.gain_bounds(residual, strength, int(lags[-1]))
    source = "Residual spectrum and its bound (Dubinin & Effenberger 2024; bound derived here)"

    with np.errstate(under="ignore"):
        typical = np.sqrt(np.mean(np.abs(residual[:, None]) ** (2 * lags), axis=0))
    values = [("bound", low), ("bound", high)] + [("predicted", typical)] * (ratio <= _WEAK)
    return Prediction(
        curves=tuple(
            curve("gradient_reach", origin, lags, value, source, note) for origin, value in values
        ),
        exponents=theory.predicted_exponents(residual),
        exponent_bounds=theory.exponent_bounds(residual, strength),
    )


def learning_speed(cell: cells.LinearRNN, drawn: dict[str, Any], lags: np.ndarray) -> Prediction:
    """How fast a linear network learns each lag."""
    recurrent, entrance = drawn["recurrent"], drawn["input"]
    if not (isinstance(recurrent, init.normal) and isinstance(entrance, init.normal)):
        return Prediction()
    units = 1 if cell.parametrisation == "scaled" else cell.hidden_size
    speed = theory.learning_speed(
        units * recurrent.std**2, int(lags[-1]), input_weight_variance=entrance.std**2
    )
    limit = theory.depth_limit(cell.hidden_size)
    note = f"Holds for many more units than lags squared: here up to lag {limit:.0f}."
    source = "Lag weights rho_k of wide linear networks (Emami et al. 2021)"
    return Prediction((curve("learning_speed", "predicted", lags, speed, source, note),))


def delay_line(
    cell: cells.Elman, drawn: dict[str, Any], lags: np.ndarray, noise_variance: float
) -> Prediction:
    """Linear theory of a delay line: what a tanh network does while its signal is small.

    ``noise_variance`` is that of the state noise which the Fisher memory is asked under.
    """
    chain, entrance = drawn["recurrent"], drawn["input"]
    if not isinstance(entrance, init.source) or cell.input_size != 1:
        return Prediction()
    size, max_lag = cell.hidden_size, int(lags[-1])
    note = "Linear theory: it holds while the signal is too small to saturate the units."
    source = "Fisher memory of delay lines (Ganguli et al. 2008; Orhan & Pitkow 2020)"
    power = entrance.gain**2 / noise_variance
    if isinstance(chain, init.chain):
        memory = power * theory.chain_fisher_memory(chain.alpha, size, max_lag)
        reach = theory.chain_gradient_reach(chain.alpha, size, max_lag)
        return Prediction(
            (
                curve("gradient_reach", "predicted", lags, reach, source, note),
                curve("fisher_memory", "predicted", lags, memory, source, note),
            ),
            exponents=np.full(size, -np.inf),
        )
    if isinstance(chain, init.feedback_chain):
        eigenvalues = theory.feedback_chain_eigenvalues(chain.alpha, chain.beta, size)
        with np.errstate(divide="ignore"):
            exponents = np.sort(np.log(np.abs(eigenvalues)))[::-1]
        if np.abs(eigenvalues).max() >= 1:
            return Prediction(exponents=exponents)
        memory = power * theory.feedback_chain_fisher_memory(chain.alpha, chain.beta, size, max_lag)
        return Prediction(
            (curve("fisher_memory", "predicted", lags, memory, source, note),), exponents
        )
    return Prediction()
