"""What theory says about a network before it is measured, for the families it covers so far.

A prediction speaks of the law that the weights were drawn from and never of the measured run; but
for the noise variance, which is a setting of the Fisher memory. For weights that nobody drew from
a known law there is none. The residual network is the exception: its bounds hold for any weights.
"""

import dataclasses
from typing import Any

import numpy as np

from echoic import cells, init, theory
from echoic.core.cell import AbstractCell
from echoic.core.records import QUANTITIES, Curve


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Predicted curves and exponents; empty where no theory applies."""

    curves: tuple[Curve, ...] = ()
    exponents: np.ndarray | None = None
    exponent_bounds: tuple[float, float] | None = None


def predict(cell: AbstractCell, lags: np.ndarray, *, noise_variance: float) -> Prediction:
    """The predictions for ``cell`` at the lags 0, 1, 2, ...

    ``noise_variance`` is that of the state noise which the Fisher memory is asked under.
    """
    if isinstance(cell, cells.Residual) and cell.path == "linear":
        return _residual(cell, lags)
    law = cell.hyperparameters()
    if law is None:
        return Prediction()
    drawn = dict(law.parameters)
    if isinstance(cell, cells.LinearRNN):
        return _linear(cell, drawn, lags)
    if isinstance(cell, cells.Elman) and cell.activation in ("tanh", "identity", "relu", "elu"):
        return _delay_line(cell, drawn, lags, noise_variance)
    return Prediction()


def _residual(cell: cells.Residual, lags: np.ndarray) -> Prediction:
    residual = np.asarray(cell.residual_eigenvalues())
    strength = theory.coupling_strength(float(cell.coupling), np.asarray(cell.recurrent))
    ratio = theory.coupling_ratio(residual, strength)
    note = f"The coupling is {ratio:.2g} of the residual's own decay; the prediction needs << 1."
    low, high = theory.gain_bounds(residual, strength, int(lags[-1]))
    source = "Residual spectrum and its bound (Dubinin & Effenberger 2024; bound derived here)"

    def curve(origin: Any, value: np.ndarray) -> Curve:
        return _curve("gradient_reach", origin, lags, value, source, note)

    with np.errstate(under="ignore"):
        typical = np.sqrt(np.mean(np.abs(residual[:, None]) ** (2 * lags), axis=0))
    return Prediction(
        curves=(curve("predicted", typical), curve("bound", low), curve("bound", high)),
        exponents=theory.predicted_exponents(residual),
        exponent_bounds=theory.exponent_bounds(residual, strength),
    )


def _linear(cell: cells.LinearRNN, drawn: dict[str, Any], lags: np.ndarray) -> Prediction:
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
    return Prediction((_curve("learning_speed", "predicted", lags, speed, source, note),))


def _delay_line(
    cell: cells.Elman, drawn: dict[str, Any], lags: np.ndarray, noise_variance: float
) -> Prediction:
    """Linear theory of a delay line: what a tanh network does while its signal is small."""
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
                _curve("gradient_reach", "predicted", lags, reach, source, note),
                _curve("fisher_memory", "predicted", lags, memory, source, note),
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
            (_curve("fisher_memory", "predicted", lags, memory, source, note),), exponents
        )
    return Prediction()


def _curve(
    quantity: str, origin: Any, lags: np.ndarray, value: np.ndarray, source: str, note: str
) -> Curve:
    return Curve(
        quantity=quantity,
        panel=QUANTITIES[quantity].panel,
        origin=origin,
        lags=lags,
        value=value,
        notes=(note,),
        source=source,
    )
