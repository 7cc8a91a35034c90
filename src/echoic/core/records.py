"""Plain records of what was found: what diagnosis writes down and reports show.

They hold numbers and words only (NumPy arrays, no JAX), so that a report can be saved, read back
and drawn again without the network it speaks of. Lags are steps back in time, 0 is the newest
input. Exponents are in nats per step.
"""

import dataclasses
from typing import Any, Literal

import numpy as np

from echoic.core.finding import Finding
from echoic.core.quantities import Panel
from echoic.core.training_record import TrainingRecord

Regime = Literal["fading", "edge", "rugged"]

SCHEMA_VERSION = 3


@dataclasses.dataclass(frozen=True)
class Horizon:
    """How far a curve reaches.

    **Fields**

    - ``last``: the last lag at which the curve minus two standard errors stands at or above
      ``threshold``; -1 if it never does.
    - ``first_crossing``: the first lag at which it stands below; None if it never falls.
    - ``peak``: the lag of the largest value.
    - ``censored``: whether the curve has not fallen by the largest lag measured, so that
      ``last`` is a lower bound and is printed as ``>= last``.
    - ``growing``: whether the curve (a gain) grows without a horizon.
    - ``error_known``: whether its errors are known; where not, ``last`` rests on the values alone.
    """

    threshold: float
    last: int
    first_crossing: int | None
    peak: int
    censored: bool
    growing: bool = False
    error_known: bool = True


@dataclasses.dataclass(frozen=True)
class Curve:
    """One memory curve over the lag.

    **Fields**

    - ``quantity``: its name, such as ``gradient_reach``; a key of ``quantities.QUANTITIES``.
    - ``origin``: ``measured`` (solid), ``predicted`` (dashed), ``bound`` (dotted: an upper or
      lower limit) or ``reference`` (thin: an asymptote, the memoryless curve).
    - ``lags``, ``value``, ``standard_error``: shape (k,). The error is NaN where none is known.
    - ``floor``: below it nothing can be seen; shape (k,) or None.
    - ``horizon``: how far it reaches, or None for curves that have none.
    - ``notes``: sentences on statuses and assumptions.
    - ``source``: the definition's citation, with equation or section.
    """

    quantity: str
    panel: Panel
    origin: Literal["measured", "predicted", "bound", "reference"]
    lags: np.ndarray
    value: np.ndarray
    standard_error: np.ndarray | None = None
    floor: np.ndarray | None = None
    horizon: Horizon | None = None
    notes: tuple[str, ...] = ()
    source: str = ""

    def at(self, lag: int) -> float:
        """The value at ``lag``; NaN outside the curve."""
        return self._at(self.value, lag)

    def error_at(self, lag: int) -> float:
        """The standard error at ``lag``; NaN where none is known."""
        return self._at(self.standard_error, lag)

    def _at(self, values: np.ndarray | None, lag: int) -> float:
        found = np.flatnonzero(self.lags == lag)
        return float(values[found[0]]) if values is not None and len(found) else float("nan")


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Lyapunov exponents in nats per step, largest first, and what was predicted for them."""

    exponents: np.ndarray
    standard_error: np.ndarray
    predicted: np.ndarray | None = None
    predicted_bounds: tuple[float, float] | None = None
    sum_rule_residual: float = float("nan")
    num_all: int = 0
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Axis:
    """One hyperparameter of a phase diagram: what it is called, and where it was evaluated."""

    label: str
    values: np.ndarray
    logarithmic: bool = False


@dataclasses.dataclass(frozen=True)
class PhaseMap:
    """The predicted horizon over two hyperparameters of a family, and where a network stands.

    **Fields**

    - ``reach``: the predicted horizon in steps at each point, shape (vertical, horizontal); inf
      where the gain does not fall, NaN where it is rugged or nothing is predicted.
    - ``wanted``: the horizon asked for, drawn as a contour.
    - ``here``: the network's own place, (horizontal, vertical); None for a bare diagram.
    - ``there``: that of the nearest prescription, which the arrow points to, and its name.
    - ``notes``: what the diagram assumes (input correlation, fixed hyperparameters, moments
      estimated from weights).
    """

    family: str
    horizontal: Axis
    vertical: Axis
    reach: np.ndarray
    wanted: int
    here: tuple[float, float] | None = None
    there: tuple[float, float] | None = None
    there_name: str = ""
    notes: tuple[str, ...] = ()
    source: str = ""


@dataclasses.dataclass(frozen=True)
class NetworkRecord:
    """What was found for one network.

    ``regime`` comes from ``log_gain``, the natural logarithm of the gradient reach at the wanted
    horizon. ``noise_gain`` is the state's variance per unit of state noise. ``recall_sum`` is the
    linear recall added up over the lags from 1 at which it stands above its noise floor;
    ``recall_per_unit`` divides it by the units.
    ``singular_values`` are the natural logarithms of the singular values of dh_t/dh_{t-T} at the
    wanted horizon T, largest first. ``findings`` are there if everything was asked for.
    """

    name: str
    family: str
    description: str
    hidden_size: int
    state_size: int
    num_parameters: int
    curves: tuple[Curve, ...]
    spectrum: Spectrum | None
    regime: Regime | None
    log_gain: float
    lyapunov_times_horizon: str
    recall_sum: float
    recall_per_unit: float
    noise_gain: float
    noise_gain_kind: Literal["stationary", "finite-time", "unknown"]
    singular_values: np.ndarray | None
    verdict: str
    warnings: tuple[str, ...]
    seconds: float
    settings: dict[str, Any]
    snippets: dict[str, str] = dataclasses.field(default_factory=dict)
    phase_map: PhaseMap | None = None
    findings: tuple[Finding, ...] = ()

    def curve(self, quantity: str, origin: str = "measured") -> Curve | None:
        """The curve of that quantity, or None."""
        for curve in self.curves:
            if curve.quantity == quantity and curve.origin == origin:
                return curve
        return None


@dataclasses.dataclass(frozen=True)
class PrescriptionRecord:
    """A network that was prescribed for a horizon, whether it was built and measured or not.

    **Fields**

    - ``name``: that of its [`NetworkRecord`][echoic.core.records.NetworkRecord], if it was built
      and measured; ``settings``, ``snippets``: what to set and the code, by framework.
    - ``feasible``: whether the horizon is reached as far as theory knows; ``reason``: why, or why
      not and what could be had; ``correction``: what the prediction rests on.
    - ``curve``: the predicted curve that carries the promise, with its horizon.
    - ``log_gain``: natural logarithm of the predicted gradient reach at the horizon;
      ``noise_gain``: the state's variance per unit of state noise, predicted.
    """

    name: str
    family: str
    hidden_size: int
    feasible: bool
    reason: str
    paper: str
    correction: str
    curve: Curve
    regime: Regime | None
    log_gain: float
    noise_gain: float
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    snippets: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SignalRecord:
    """The input signal: what it is, how it was scaled, how much it predicts itself."""

    name: str
    source: str
    sha256: str
    length: int
    num_sequences: int
    channels: tuple[str, ...]
    sampling: str
    scaling: str
    mean: np.ndarray
    standard_deviation: np.ndarray
    autocorrelation: np.ndarray
    licence: str = ""
    citation: str = ""


@dataclasses.dataclass(frozen=True)
class ReportRecord:
    """All that a report shows. ``networks`` come best first.

    ``prescriptions`` are those of a design, best first: the measured ones, in the order of
    ``networks``, then the feasible ones, then the others. A checkup has none. ``training`` is that
    of a training run, whose ``networks`` are one network before and after.
    """

    horizon: int
    max_lag: int
    verdict: str
    networks: tuple[NetworkRecord, ...]
    signal: SignalRecord
    thresholds: dict[str, float]
    settings: dict[str, Any]
    versions: dict[str, str]
    machine: str
    created: str
    command: str
    seconds: float
    citations: dict[str, str]
    warnings: tuple[str, ...] = ()
    prescriptions: tuple[PrescriptionRecord, ...] = ()
    training: TrainingRecord | None = None
    schema_version: int = SCHEMA_VERSION
