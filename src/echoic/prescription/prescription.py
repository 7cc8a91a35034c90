"""What to set so that a network reaches a horizon, what it will do, and what it costs."""

import dataclasses

import jax
import numpy as np

from echoic.core.cell import AbstractCell
from echoic.core.horizon import Thresholds, horizon_of, regime_of
from echoic.core.quantities import QUANTITIES
from echoic.core.records import Curve, Regime
from echoic.prescription.recipe import Recipe
from echoic.prescription.statistics import InputStatistics

LAGS_BEYOND = 2  # curves are predicted to this many horizons, so that they are seen to fall


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is asked for: a horizon in steps, a number of units, the input, and what counts.

    ``seed`` draws the windows and populations that some theories sample.
    """

    statistics: InputStatistics
    horizon: int
    hidden_size: int
    thresholds: Thresholds = dataclasses.field(default_factory=Thresholds)
    seed: int = 0

    @property
    def lags(self) -> np.ndarray:
        """The lags at which curves are predicted."""
        return np.arange(LAGS_BEYOND * self.horizon + 1)

    @property
    def decay(self) -> float:
        """The gain per step of an amplitude that falls to the threshold just at the horizon."""
        return self.thresholds.gain ** (1 / (self.horizon + 0.5))


@dataclasses.dataclass(frozen=True)
class Prescription:
    """A network that reaches the horizon, or the nearest that can be had, with the reason.

    **Fields**

    - ``family``, ``name``: such as ``minimal_rnn`` and ``minimalRNN, chrono``.
    - ``recipe``: the cell and the laws of its weights; ``settings`` shows them.
    - ``input_size``, ``hidden_size``: of the network to build.
    - ``horizon``: the steps wanted. ``feasible``: whether they are reached.
    - ``reason``: why this works, or why it cannot be done and what would be reachable.
    - ``paper``: where the idea comes from.
    - ``target``: the curve that carries the promise; ``curve``: what is predicted for it, with its
      horizon.
    - ``log_gain``: natural logarithm of the predicted gradient reach at the horizon: the larger,
      the more rugged the loss. ``regime``: the same in a word.
    - ``noise_gain``: the state's variance per unit of state noise, predicted.
    - ``correction``: what the prediction rests on besides the limit of infinitely many units, and
      whether it was derived or fitted.
    """

    family: str
    name: str
    recipe: Recipe
    input_size: int
    hidden_size: int
    horizon: int
    feasible: bool
    reason: str
    paper: str
    target: str
    curve: Curve
    log_gain: float
    noise_gain: float
    correction: str

    @property
    def settings(self) -> dict[str, str]:
        """What to set, argument by argument."""
        return self.recipe.settings()

    @property
    def regime(self) -> Regime | None:
        """Fading, edge or rugged, at the horizon wanted."""
        return regime_of(self.log_gain)

    @property
    def predicted_horizon(self) -> int:
        """The last lag at which the predicted curve stands above its threshold."""
        return self.curve.horizon.last if self.curve.horizon else -1

    def build(self, key: jax.Array) -> AbstractCell:
        """The network, drawn with ``key``."""
        return self.recipe.build(self.input_size, self.hidden_size, key=key)

    def snippets(self) -> dict[str, str]:
        """The code that builds the network, by framework."""
        return self.recipe.snippets(self.input_size, self.hidden_size)

    def __str__(self) -> str:
        verdict = "reaches" if self.feasible else "cannot reach"
        lines = [
            f"{self.name}: {verdict} {self.horizon} steps with {self.hidden_size} units.",
            f"  {self.reason}",
            f"  predicted: {QUANTITIES[self.target].label} to lag {self.predicted_horizon},"
            f" noise gain {self.noise_gain:.3g}, gradient e^{self.log_gain:.2g} at the horizon",
            *(f"  {name} = {value}" for name, value in self.settings.items()),
        ]
        return "\n".join(lines)


def prescribe(
    wanted: Wanted,
    *,
    family: str,
    name: str,
    recipe: Recipe,
    target: str,
    value: np.ndarray,
    gradient: np.ndarray,
    paper: str,
    reason: str,
    correction: str,
    feasible: bool = True,
    hidden_size: int | None = None,
    notes: tuple[str, ...] = (),
) -> Prescription:
    """A prescription from its predicted curves at the lags of ``wanted``.

    ``value`` is the target's curve (a short signal may end it before the last lag), ``gradient``
    the gradient reach, from which noise gain
    (``sum_k G(k)^2``, since G(k)^2 n is the squared Frobenius norm of dh_t/dh_{t-k}) and smoothness
    follow.
    """
    is_gain = QUANTITIES[target].panel == "gain"
    threshold = wanted.thresholds.gain if is_gain else wanted.thresholds.fisher
    curve = Curve(
        quantity=target,
        panel=QUANTITIES[target].panel,
        origin="predicted",
        lags=wanted.lags[: len(value)],
        value=value,
        horizon=horizon_of(value, None, threshold, relative=True, grows=is_gain),
        notes=notes,
        source=paper,
    )
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_gain = float(np.log(gradient[wanted.horizon]))
        noise_gain = float(np.sum(gradient**2))
    return Prescription(
        family=family,
        name=name,
        recipe=recipe,
        input_size=wanted.statistics.input_size,
        hidden_size=wanted.hidden_size if hidden_size is None else hidden_size,
        horizon=wanted.horizon,
        feasible=feasible,
        reason=reason,
        paper=paper,
        target=target,
        curve=curve,
        log_gain=log_gain,
        noise_gain=noise_gain,
        correction=correction,
    )
