"""What is measured of a network while it trains: can it still carry what the task asks?"""

import dataclasses
from typing import Any

import equinox as eqx
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PRNGKeyArray

from echoic.cells.symbols import are_symbols, as_numbers
from echoic.core.cell import AbstractCell
from echoic.core.checks import at_least
from echoic.core.loss import TargetLoss
from echoic.core.model import AbstractModel
from echoic.core.task import Batch
from echoic.measure.costs.hessian import hessian_eigenvalues
from echoic.measure.gain.reach import gradient_reach
from echoic.measure.lyapunov.spectrum import lyapunov_spectrum
from echoic.training.objective import loss as mean_loss


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """Which measurements are taken of every member while it trains, and how often.

    **Fields**

    - ``every``: at least so many updates apart, on the next line of the history.
    - ``lyapunov_exponent``: the largest one under the validation inputs, in nats per step.
    - ``gradient_reach``: its natural logarithm, at ``lag``: by default the length of the sequences
      less one.
    - ``roughness``: the largest eigenvalue of the Hessian of the loss on validation sequences; a
      step of gradient descent above 2 over it overshoots.
    - ``sequences``: how many validation sequences are used.

    **Misleads.** Sequences of a task are short: exponents are those of the way into the driven
    state, which is what training sees, not those of the limit.

    **Cost** seconds each at first, when they are compiled.
    """

    every: int = 1000
    lyapunov_exponent: bool = True
    gradient_reach: bool = True
    roughness: bool = True
    lag: int | None = None
    sequences: int = 8

    def __post_init__(self):
        at_least("every", self.every, 1)
        at_least("sequences", self.sequences, 1)
        if self.lag is not None:
            at_least("lag", self.lag, 1)


def refuse_what_is_no_cell(model: AbstractModel, wanted: Diagnostics | None) -> None:
    """Exponents and reach are those of a cell, which a bidirectional network is not."""
    if wanted is None or isinstance(model, AbstractCell):
        return
    if wanted.lyapunov_exponent or wanted.gradient_reach:
        raise ValueError(
            f"{type(model).__name__} is no cell: only its roughness can be diagnosed, with"
            " Diagnostics(lyapunov_exponent=False, gradient_reach=False)."
        )


def diagnose(
    model: AbstractModel,
    batch: Batch,
    loss: str | TargetLoss,
    wanted: Diagnostics,
    *,
    key: PRNGKeyArray,
) -> dict[str, float]:
    """The values by column; NaN where the network left the finite numbers."""
    batch = jtu.tree_map(lambda part: part[: wanted.sequences], batch)
    found = {}
    if wanted.roughness:
        estimate = hessian_eigenvalues(
            model, _Cost(batch, loss), key=key, ends="largest", tolerance=1e-3
        )
        found["hessian_eigenvalue"] = float(estimate.value[0])
    if not (wanted.lyapunov_exponent or wanted.gradient_reach):
        return found
    assert isinstance(model, AbstractCell)
    xs = as_numbers(model, batch.inputs) if are_symbols(batch.inputs) else batch.inputs
    if wanted.lyapunov_exponent:
        estimate = lyapunov_spectrum(model, xs, key=key, num_exponents=1, burn_in=0, throw=False)
        found["lyapunov_exponent"] = float(np.ravel(estimate.value)[0])
    if wanted.gradient_reach:
        lag = xs.shape[1] - 1 if wanted.lag is None else min(wanted.lag, xs.shape[1] - 1)
        estimate = gradient_reach(model, xs, max_lag=lag, burn_in=0, key=key, throw=False)
        found["log_gradient_reach"] = float(estimate.details["log_value"][-1])
    return found


class _Cost(eqx.Module):
    """A pytree, so that all members and all steps share one compilation."""

    batch: Batch
    loss: Any = eqx.field(static=True)

    def __call__(self, model: AbstractModel) -> Any:
        return mean_loss(model, self.batch, self.loss)
