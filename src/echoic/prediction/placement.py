"""You are here: a network's place on the phase diagram of its family, under its own input."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from echoic.core.cell import AbstractCell
from echoic.core.horizon import Thresholds, regime_of
from echoic.core.records import Axis, PhaseMap
from echoic.prediction.unit import unit_of
from echoic.theory import tied

_UNITS, _POPULATIONS, _WINDOWS = 64, 2, 3
_PLAIN_UNITS = 1024  # where all memory passes through W: their tangents cost nothing
_BEYOND = 2  # lags are looked at up to so many horizons; farther reaches are guessed from there
_SOURCE = "Dynamical mean-field theory of tied weights, along the input itself"


# Where hyperparameters are looked at. A smooth surface: eleven points draw a contour to some ten
# per cent. Near the edge of a random matrix, at 1, the horizon runs off to infinity within a few
# per cent of the spread.
_DECADES = np.geomspace(1e-4, 1.0, 9)
_EDGE = np.array([0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0, 1.02, 1.05, 1.1, 1.3, 1.6, 2.0])
_STEPS = np.geomspace(3.0, 3000.0, 11)
_SPREADS = np.geomspace(0.01, 3.0, 11)
_BIASES = np.linspace(-2.0, 9.0, 12)


@dataclasses.dataclass(frozen=True)
class _Plane:
    """Two hyperparameters of a family of units: where a unit stands, and how to move it there."""

    labels: tuple[str, str]
    place: Callable[[Any], tuple[float, float]]
    move: Callable[[Any, Any, Any], tied.Unit]
    values: tuple[np.ndarray, np.ndarray]
    logarithmic: tuple[bool, bool]


def phase_map(
    cell: AbstractCell,
    values: np.ndarray,
    *,
    horizon: int,
    thresholds: Thresholds | None = None,
    towards: AbstractCell | None = None,
    towards_name: str = "",
) -> PhaseMap:
    """The predicted horizon around ``cell``: two hyperparameters change, all others are its own.

    **Definition.** At each point the lag at which the predicted coherent reach falls to its
    threshold; NaN where the gradient reach at ``horizon`` is rugged. Gated networks: the spread of
    the recurrent weights against the mean bias of the gate that keeps the state. Plain networks:
    the spread of the recurrent against that of the input weights. Residual networks: the mean time
    constant against the strength of the coupling.

    **Arguments:** ``values``: the prepared input, (b, t, m); ``horizon``: the lag wanted;
    ``towards``: a network of the same family that reaches it, which the arrow points to.

    **Raises:** [`NoTheory`][echoic.theory.tied.NoTheory] where no theory applies to the weights.

    **When it misleads:** the plane is cut through the network's own other hyperparameters; the
    network that the arrow points to may differ in those as well. A small population of units makes
    each value uncertain by some per cent.

    **Cost:** some 150 predictions by a small population: a few to twenty seconds.
    """
    with jax.enable_x64(True):
        known = unit_of(cell, units=_UNITS)
        if known.unit.memoryless:
            known = unit_of(cell, units=_PLAIN_UNITS)
        plane = _plane(known.unit)
        here = plane.place(known.unit)
        there = None if towards is None else plane.place(unit_of(towards, units=_UNITS).unit)
        axes = tuple(
            _axis(label, values, log, [here[i], *([there[i]] if there else [])])
            for i, (label, values, log) in enumerate(
                zip(plane.labels, plane.values, plane.logarithmic, strict=True)
            )
        )
        reach = _reaches(known.unit, plane, axes, values, horizon, thresholds or Thresholds())
    return PhaseMap(
        family=type(cell).__name__,
        horizontal=axes[0],
        vertical=axes[1],
        reach=reach,
        wanted=horizon,
        here=here,
        there=there,
        there_name=towards_name,
        notes=(
            known.note,
            "All other hyperparameters are the network's own.",
            f"Lags are followed to {_BEYOND * horizon}; reaches beyond are extrapolated.",
            "Left empty where the gradient grows more than e^3-fold over the horizon: rugged.",
        ),
        source=_SOURCE,
    )


def _reaches(
    unit: tied.Unit,
    plane: _Plane,
    axes: tuple[Axis, ...],
    values: np.ndarray,
    horizon: int,
    thresholds: Thresholds,
) -> np.ndarray:
    length = values.shape[1]
    max_lag = min(_BEYOND * horizon, (length - 1) * 3 // 4)
    burn_in = min(max(horizon, 50), length - 1 - max_lag)
    windows = tied.windows_of(values, number=_WINDOWS, max_lag=max_lag, burn_in=burn_in)
    reach = np.empty((len(axes[1].values), len(axes[0].values)))
    for row, y in enumerate(axes[1].values):
        for column, x in enumerate(axes[0].values):
            found = tied.reach(
                plane.move(unit, x, y),
                windows,
                max_lag=max_lag,
                burn_in=burn_in,
                key=jr.key(0),
                probes=1,
                populations=_POPULATIONS,
                with_input=False,
            )
            rugged = regime_of(float(found.log_gradient_reach[min(horizon, max_lag)])) == "rugged"
            curve = np.asarray(found.coherent_reach)
            reach[row, column] = np.nan if rugged else falls_at(curve, thresholds.gain)
    return reach


def falls_at(curve: np.ndarray, threshold: float) -> float:
    """The lag, with a fraction, at which a gain falls to ``threshold`` of its start for good.

    Beyond its end it is continued as it fell on average; inf if it did not fall at all.
    """
    if not np.isfinite(curve).all():
        return float("nan")
    with np.errstate(divide="ignore"):
        height = np.log(curve / curve[0]) - np.log(threshold)
    standing = np.flatnonzero(height >= 0)
    last = int(standing[-1])
    if last + 1 < len(curve):
        drop = height[last] - height[last + 1]
        return last + (float(height[last] / drop) if np.isfinite(drop) else 0.5)
    fallen = height[0] - height[last]
    return last * float(height[0] / fallen) if fallen > 0 else float("inf")


def _axis(label: str, values: np.ndarray, log: bool, marks: list[float]) -> Axis:
    """The usual values and the marks, with a little room beyond a mark that lies outside."""
    shown = [mark for mark in marks if mark > 0 or not log]
    low, high = values[0], values[-1]
    room = (high / low) ** 0.05 if log else 0.05 * (high - low)
    below = [mark / room if log else mark - room for mark in shown if mark < low]
    above = [mark * room if log else mark + room for mark in shown if mark > high]
    return Axis(label, np.unique([*values, *shown, *below, *above]), log)


def _plane(unit: tied.Unit) -> _Plane:
    if isinstance(unit, tied.Vanilla):
        return _VANILLA
    if isinstance(unit, tied.Residual):
        return _RESIDUAL
    return _GATED_OF[type(unit)]


def _rms(array: Any) -> float:
    return float(jnp.sqrt(jnp.mean(jnp.square(array))))


def _scaled(array: Any, value: Any) -> Any:
    """An array brought to the root mean square ``value``; all alike where it was zero."""
    size = _rms(array)
    return array * (value / size) if size > 0 else jnp.full_like(array, value)


def _vanilla_place(unit: tied.Vanilla) -> tuple[float, float]:
    return _rms(unit.sigma), _rms(unit.input)


def _vanilla_move(unit: tied.Vanilla, x: Any, y: Any) -> tied.Unit:
    changed = (_scaled(unit.sigma, x), _scaled(unit.input, y))
    return eqx.tree_at(lambda u: (u.sigma, u.input), unit, changed)


_VANILLA = _Plane(
    ("spread of the recurrent weights, sigma sqrt(n)", "spread of the input weights"),
    _vanilla_place,
    _vanilla_move,
    (_EDGE, _DECADES),
    (False, True),
)


def _time_constant(unit: tied.Residual) -> float:
    """Of the mean rate at which units forget."""
    return float(-1 / jnp.mean(jnp.log(unit.moduli)))


def _residual_place(unit: tied.Residual) -> tuple[float, float]:
    return _time_constant(unit), float(unit.coupling * unit.sigma[0])


def _residual_move(unit: tied.Residual, x: Any, y: Any) -> tied.Unit:
    slower = jnp.exp(jnp.log(unit.moduli) * (_time_constant(unit) / x))
    sigma = _scaled(unit.sigma, y / unit.coupling)
    return eqx.tree_at(lambda u: (u.moduli, u.sigma), unit, (slower, sigma))


_RESIDUAL = _Plane(
    ("mean time constant, steps", "strength of the coupling, gamma sigma"),
    _residual_place,
    _residual_move,
    (_STEPS, _DECADES),
    (True, True),
)


def _gated(keep: int, gate: str) -> _Plane:
    def place(unit: Any) -> tuple[float, float]:
        return _rms(unit.sigma), float(jnp.mean(unit.bias[keep]))

    def move(unit: Any, x: Any, y: Any) -> tied.Unit:
        bias = unit.bias.at[keep].add(y - jnp.mean(unit.bias[keep]))
        return eqx.tree_at(lambda u: (u.sigma, u.bias), unit, (_scaled(unit.sigma, x), bias))

    return _Plane(
        ("spread of the recurrent weights, sigma sqrt(n)", f"mean bias of the {gate} gate"),
        place,
        move,
        (_SPREADS, _BIASES),
        (True, False),
    )


_GATED_OF: dict[type, _Plane] = {
    tied.Minimal: _gated(0, "update"),
    tied.GRU: _gated(1, "update"),
    tied.ResetBeforeGRU: _gated(1, "update"),
    tied.LSTM: _gated(1, "forget"),
}
