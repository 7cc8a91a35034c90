"""What theory says about a network before it is measured.

A prediction speaks of the law that the weights were drawn from and of the input, never of the
measured run; but for the noise variance, which is a setting of the Fisher memory. Weights that
nobody drew from a known law are asked whether they pass for random ones; if not, no theory applies.
The bounds of residual networks hold for any weights.
"""

import jax
import jax.random as jr
import numpy as np

from echoic import cells
from echoic.core.cell import AbstractCell
from echoic.prediction.closed import delay_line, learning_speed, residual
from echoic.prediction.prediction import Prediction, curve
from echoic.prediction.unit import POPULATIONS, unit_of
from echoic.theory import tied

_WINDOWS = 8
_SOURCE = (
    "Dynamical mean-field theory of tied weights (after Sompolinsky, Crisanti & Sommers 1988;"
    " Chen, Pennington & Schoenholz 2018), along the input itself"
)


def closed_form(cell: AbstractCell, lags: np.ndarray, *, noise_variance: float) -> Prediction:
    """What follows from the hyperparameters alone, at the lags 0, 1, 2, ...

    ``noise_variance`` is that of the state noise which the Fisher memory is asked under.
    """
    if isinstance(cell, cells.Residual) and cell.path == "linear":
        return residual(cell, lags)
    law = cell.hyperparameters()
    if law is None:
        return Prediction()
    drawn = dict(law.parameters)
    if isinstance(cell, cells.LinearRNN):
        return learning_speed(cell, drawn, lags)
    if isinstance(cell, cells.Elman) and cell.activation in ("tanh", "identity", "relu", "elu"):
        return delay_line(cell, drawn, lags, noise_variance)
    return Prediction()


def wide_limit(
    cell: AbstractCell, lags: np.ndarray, *, values: np.ndarray, burn_in: int
) -> Prediction:
    """Gradient and coherent reach of the law at infinite width, along the input.

    **Arguments:** ``values``: the prepared input, shape (b, t, m), whose windows drive the theory
    as they drive the network; ``burn_in``: steps before lag 0.

    The curves end (NaN) where a network of this size no longer follows the limit.
    """
    max_lag, size = int(lags[-1]), cell.hidden_size
    windows = tied.windows_of(values, number=_WINDOWS, max_lag=max_lag, burn_in=burn_in)
    with jax.enable_x64(True):
        try:
            known = unit_of(cell)
        except tied.NoTheory:
            return Prediction()
        found = tied.reach(
            known.unit,
            windows,
            max_lag=max_lag,
            burn_in=burn_in,
            key=jr.key(0),
            populations=POPULATIONS,
            with_input=False,
        )
    trusted = found.trusted_lag(size)
    note = (
        f"Limit of many units. With {size} it is drawn up to lag {trusted}: gradients beyond have"
        " passed so often through one matrix that its own draw decides."
        if trusted < max_lag
        else "Limit of many units, which this network follows at all lags shown."
    )

    def drawn(quantity: str, value: np.ndarray, error: np.ndarray):
        seen = np.where(lags <= trusted, np.asarray(value, float), np.nan)
        return curve(quantity, "predicted", lags, seen, _SOURCE, known.note, note)

    return Prediction(
        (
            drawn("gradient_reach", found.gradient_reach, found.gradient_reach_error),
            drawn("coherent_reach", found.coherent_reach, found.coherent_reach_error),
        )
    )
