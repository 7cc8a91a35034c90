"""A prescription put to the test: built, measured, and set beside what was promised."""

import dataclasses
import math
from typing import Any

import jax
import jax.random as jr
import numpy as np

from echoic.core.cell import cast
from echoic.core.checks import at_least
from echoic.core.horizon import Thresholds, horizon_of
from echoic.core.quantities import QUANTITIES
from echoic.core.records import Curve, Horizon
from echoic.measure.gain.reach import reach_curves
from echoic.measure.information.fisher import fisher_memory
from echoic.prescription.prescription import Prescription
from echoic.prescription.statistics import InputStatistics, input_statistics

PROMISE = 1.5  # the factor within which a measured horizon must lie of the wanted one
STATED_ERROR = 0.1  # of the logarithm of a predicted horizon, besides what draws differ by
BEYOND = 1.6  # how far is measured, in horizons: just past what would break the promise


@dataclasses.dataclass(frozen=True)
class Trial:
    """What was measured on networks built from a prescription, one a seed.

    **Fields**

    - ``prescription``: with the predicted curve. ``measured``: one curve a network.
    """

    prescription: Prescription
    measured: tuple[Curve, ...]

    @property
    def horizons(self) -> tuple[Horizon | None, ...]:
        """How far each network reaches."""
        return tuple(curve.horizon for curve in self.measured)

    @property
    def ratios(self) -> np.ndarray:
        """Measured by wanted horizon, one a network; 0 where nothing is left at lag 1, or NaN."""
        return np.array(
            [
                math.nan if h is None else max(h.last, 0) / self.prescription.horizon
                for h in self.horizons
            ]
        )

    @property
    def kept(self) -> float:
        """The share of networks whose horizon lies within a factor 1.5 of the wanted one.

        The wanted lag itself may differ by one step from the measured, which counts for very short
        horizons.
        """
        wanted = self.prescription.horizon
        last = np.array([math.nan if h is None else h.last for h in self.horizons])
        with np.errstate(invalid="ignore"):
            inside = (last >= wanted / PROMISE - 1) & (last <= wanted * PROMISE + 1)
        return float(np.mean(inside))

    @property
    def discrepancy(self) -> float:
        """Mean logarithm of the measured by the predicted horizon."""
        predicted = max(self.prescription.predicted_horizon, 1)
        wanted = self.prescription.horizon
        with np.errstate(divide="ignore"):
            return float(np.mean(np.log(self.ratios * wanted / predicted)))

    @property
    def disagrees(self) -> bool | None:
        """Whether prediction and measurement differ by more than the stated error.

        That is a tenth of the horizon and two standard errors of the mean over networks. None
        where a horizon could not be measured.
        """
        if None in self.horizons:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(self.ratios)
            spread = float(np.std(logs, ddof=1)) if len(logs) > 1 else 0.0
        return not abs(self.discrepancy) <= STATED_ERROR + 2 * spread / math.sqrt(len(logs))

    def __str__(self) -> str:
        p = self.prescription
        found = ", ".join("unknown" if h is None else _shown(h) for h in self.horizons)
        text = (
            f"{p.name}: wanted {p.horizon}, predicted {p.predicted_horizon}, measured {found}"
            f" ({QUANTITIES[p.target].label})."
        )
        if self.disagrees is None:
            text += " Not measured: the series is too short for independent windows of that length."
        if self.disagrees:
            text += " Prediction and measurement disagree beyond the stated error."
        return text


def trial(
    prescription: Prescription,
    inputs: Any,
    *,
    key: jax.Array,
    seeds: int = 5,
    starts: int = 32,
    probes: int = 8,
    thresholds: Thresholds | None = None,
    scale: str | None = "standardise",
) -> Trial:
    """Build a prescription, measure the curve that it promises, and compare.

    **Definition.** For each of ``seeds`` networks the target curve is measured up to 1.6 horizons,
    as far as the inputs allow, and its horizon read off as in a checkup.

    **Arguments:**

    - ``prescription``: from [`design`][echoic.design].
    - ``inputs``, ``scale``, ``thresholds``: those it was designed for.
    - ``key``: draws networks, windows and probes.
    - ``seeds``: networks; delay lines, of which no weight is random, differ in their windows only.
      ``starts``, ``probes``: as in
      [`coherent_reach`][echoic.coherent_reach].

    **Returns:** a `Trial`.

    **Raises:** ValueError for inputs that cannot be measured or have another number of channels.

    **When it misleads:** a coherent reach below ``G / sqrt(starts)`` is lost in its own error,
    which shortens the measured horizon of networks whose gradient depends on the input.

    **Cost:** that of a gradient reach, or of a Fisher memory, for each network.

    ??? example
        ```python
        >>> import jax, numpy as np, echoic
        >>> xs = np.random.default_rng(0).normal(size=800)
        >>> best = echoic.design("linear/orthogonal", xs, horizon=20, hidden_size=16)[0]
        >>> trial(best, xs, key=jax.random.key(0), seeds=1, starts=4).kept
        1.0

        ```
    """
    seeds = at_least("seeds", seeds, 1)
    statistics = input_statistics(inputs, horizon=prescription.horizon, scale=scale)
    if statistics.input_size != prescription.input_size:
        raise ValueError(
            f"the prescription is for {prescription.input_size} input channel(s), the inputs have"
            f" {statistics.input_size}."
        )
    limits = thresholds or Thresholds()
    curves = []
    for network_key in jr.split(key, seeds):
        build_key, measure_key = jr.split(network_key)
        if prescription.target == "fisher_memory":
            curve = _fisher(prescription, statistics, limits, build_key, measure_key)
        else:
            curve = _gain(prescription, statistics, limits, build_key, measure_key, starts, probes)
        curves.append(curve)
    return Trial(prescription, tuple(curves))


def _gain(
    prescription: Prescription,
    statistics: InputStatistics,
    limits: Thresholds,
    build_key: jax.Array,
    key: jax.Array,
    starts: int,
    probes: int,
) -> Curve:
    max_lag, burn_in = _extent(prescription, statistics)
    found = reach_curves(
        prescription.build(build_key),
        np.asarray(statistics.values, np.float32),
        max_lag=max_lag,
        burn_in=burn_in,
        starts=starts,
        probes=probes,
        key=key,
        throw=False,
    )[prescription.target]
    return _measured(prescription.target, found, limits.gain, grows=True)


def _fisher(
    prescription: Prescription,
    statistics: InputStatistics,
    limits: Thresholds,
    build_key: jax.Array,
    key: jax.Array,
) -> Curve:
    max_lag, burn_in = _extent(prescription, statistics)
    # Growing lines lose their digits in single precision.
    with jax.enable_x64(True):
        found = fisher_memory(
            cast(prescription.build(build_key), np.float64),
            statistics.values,
            max_lag=max_lag,
            burn_in=burn_in,
            windows=1,
            end_times=8,
            key=key,
            throw=False,
        )
        return _measured(prescription.target, found, limits.fisher, grows=False)


def _extent(prescription: Prescription, statistics: InputStatistics) -> tuple[int, int]:
    """Lags and burn-in, as far as the series allows for them."""
    length = statistics.values.shape[1]
    max_lag = min(math.ceil(BEYOND * prescription.horizon) + 4, length - 1)
    return max_lag, min(max(max_lag, 100), (length - 1 - max_lag))


def _measured(target: str, found: Any, threshold: float, *, grows: bool) -> Curve:
    value, error = np.asarray(found.value), np.asarray(found.standard_error)
    return Curve(
        quantity=target,
        panel=QUANTITIES[target].panel,
        origin="measured",
        lags=np.arange(len(value)),
        value=value,
        standard_error=error,
        horizon=horizon_of(value, error, threshold, relative=True, grows=grows),
        notes=found.statuses.sentences,
    )


def _shown(horizon: Horizon) -> str:
    return f">= {horizon.last}" if horizon.censored else str(horizon.last)
