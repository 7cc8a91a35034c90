"""Delay lines: what moves on is not mixed, so that noise is all that eats the memory.

Their promise is the Fisher memory of the line under state noise. It falls like ``1 / (k + 1)``
where signals are only passed on, so that beyond ``1 / threshold - 1`` lags each step must amplify;
and it ends where the line ends. Several channels enter at as many units, one after the other.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import brentq

from echoic import init
from echoic.prescription.prescription import Prescription, Wanted, prescribe
from echoic.prescription.recipe import Recipe
from echoic.theory import chain_gradient_reach

PAPER = "Ganguli, Huh & Sompolinsky 2008; Orhan & Pitkow 2020"
BACKWARD = 0.02  # of the feedback chain; Orhan & Pitkow 2020 use .01 to .07
# What the slopes of tanh may take from the logarithm of a signal that runs down the whole line:
# the curve is flat where it crosses its threshold, so that 2 per cent of J are 5 of the horizon.
SATURATION = 0.01
PLATEAU = 1.25  # by the threshold, where the line's end and not its gain sets the horizon
SURE = 0.06  # by how much of itself the curve must change within a factor 1.5 of the horizon
SETTLED = 4  # lengths of the line that the signal is followed for, and 2000 steps
GAINS = (0.1, 1.2)  # within which the forward gain is looked for

Memory = Callable[[float, int], np.ndarray]  # (forward gain, units) -> J over the lags


@dataclasses.dataclass(frozen=True)
class _Found:
    """A line that answers, or the best there is."""

    forward: float
    size: int
    curve: np.ndarray
    how: str
    feasible: bool = True


def chain(wanted: Wanted) -> Prescription:
    """``W = alpha`` below the diagonal, fed at its first units."""
    found = _solve(wanted, lambda alpha, size: _chain_memory(wanted, alpha, size))
    gradient = chain_gradient_reach(found.forward, found.size, int(wanted.lags[-1]))
    law = init.chain(found.forward)
    return _line(wanted, found, "Elman, chain", law, gradient, 0.0)


def feedback_chain(wanted: Wanted) -> Prescription:
    """``W`` with alpha below the diagonal and .02 above it, fed at its first units."""
    found = _solve(wanted, lambda alpha, size: _feedback_memory(wanted, alpha, size))
    gradient = _feedback_gain(found.forward, found.size, int(wanted.lags[-1]))
    law = init.feedback_chain(found.forward, BACKWARD)
    return _line(wanted, found, "Elman, feedback chain", law, gradient, BACKWARD)


def _solve(wanted: Wanted, memory: Memory) -> _Found:
    """The gain that brings the curve to the threshold at the horizon, or the length that does."""
    horizon, level, size = wanted.horizon, wanted.thresholds.fisher, wanted.hidden_size
    channels = wanted.statistics.input_size
    if channels > size:
        how = f"{channels} channels enter at as many units, and there are {size}"
        return _Found(1.0, size, np.zeros(len(wanted.lags)), how, False)
    if size > horizon:
        forward = _gain_for(wanted, memory, horizon + 0.5, level)
        curve = memory(forward, size)
        near, far = np.interp([horizon / 1.5, 1.5 * horizon], wanted.lags, curve) / curve[0]
        if near > level * (1 + SURE) and far < level * (1 - SURE):
            how = f"a forward gain of {forward:.6g} brings the memory to its threshold there"
            return _Found(forward, size, curve, how)
    return _by_length(wanted, memory)


def _by_length(wanted: Wanted, memory: Memory) -> _Found:
    """A line that amplifies enough for its memory to settle, and ends at the horizon."""
    horizon, level, high = wanted.horizon, wanted.thresholds.fisher, wanted.hidden_size
    last = min(horizon, high - wanted.statistics.input_size)  # no channel has reached the end yet
    forward = _gain_for(wanted, memory, float(max(last, 1)), PLATEAU * level)

    def reach(size: int) -> int:
        curve = memory(forward, size)
        return int(np.flatnonzero(curve >= level * curve[0])[-1])

    furthest = reach(high)
    if furthest < horizon:
        how = f"{high} units of a chain cannot pass lag {furthest} untrained: there the line ends"
        return _Found(forward, high, memory(forward, high), how, False)
    low = max(wanted.statistics.input_size, 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reach(middle) >= horizon else (middle + 1, high)
    how = (
        f"at a forward gain of {forward:.6g} the memory settles above its threshold, and a line of"
        f" {high} units ends at the horizon (more would remember longer)"
    )
    return _Found(forward, high, memory(forward, high), how)


def _gain_for(wanted: Wanted, memory: Memory, lag: float, level: float) -> float:
    """The forward gain at which the line of all units holds ``level`` of its memory at ``lag``."""

    def excess(forward: float) -> float:
        curve = memory(forward, wanted.hidden_size)
        share = float(np.interp(lag, wanted.lags, curve) / curve[0])
        # NaN: digits were lost, which happens to large gains only.
        return 1.0 if math.isnan(share) else share - level

    low, high = GAINS
    if excess(low) >= 0:
        return low
    found = brentq(excess, low, high, xtol=1e-7) if excess(high) > 0 else high
    return float(f"{found:.7g}")


def _shares(wanted: Wanted) -> np.ndarray:
    """The variance of each channel, in which its memory counts, as shares of the whole."""
    variance = wanted.statistics.deviation**2
    return variance / variance.sum()


def _chain_memory(wanted: Wanted, alpha: float, size: int) -> np.ndarray:
    """Mean over channels j of ``alpha^2k / sum_{m <= j + k} alpha^2m``: j enters at unit j."""
    lags, rate = wanted.lags, 2 * math.log(alpha)
    log_noise = np.logaddexp.accumulate(rate * np.arange(size))
    curve = np.zeros(len(lags))
    for unit, share in enumerate(_shares(wanted)[:size]):
        there = lags[unit + lags < size]
        curve[there] += share * np.exp(rate * there - log_noise[unit + there])
    return curve


def _feedback_memory(wanted: Wanted, forward: float, size: int) -> np.ndarray:
    """The Fisher memory of a feedback chain, mean over channels; NaN where digits are lost.

    The covariance is added up by doubling, all terms being non-negative, and scaled to unit
    diagonal before it is factored.
    """
    matrix = _feedback_matrix(forward, size)
    power, covariance = matrix, np.eye(size)
    while np.abs(power).max() > 1e-12:
        covariance = covariance + power @ covariance @ power.T
        power = power @ power
    scale = 1 / np.sqrt(np.diagonal(covariance))
    shares = _shares(wanted)[:size]
    curve = np.zeros(len(wanted.lags))
    try:
        root = np.linalg.cholesky(covariance * scale[:, None] * scale)
    except np.linalg.LinAlgError:
        return np.full(len(curve), np.nan)
    signals = np.eye(size)[:, : len(shares)]
    for lag in wanted.lags[: 2 * size]:
        white = solve_triangular(root, signals * scale[:, None], lower=True)
        curve[lag] = np.sum(shares * np.sum(white**2, axis=0))
        signals = matrix @ signals
    return curve


def _feedback_gain(forward: float, size: int, max_lag: int) -> np.ndarray:
    """Gradient reach of a linear feedback chain: ``||W^k||_F / sqrt(n)``."""
    matrix, power = _feedback_matrix(forward, size), np.eye(size)
    gain = np.zeros(max_lag + 1)
    for lag in range(min(max_lag, 3 * size) + 1):
        gain[lag] = np.linalg.norm(power) / math.sqrt(size)
        power = matrix @ power
    return gain


def _feedback_matrix(forward: float, size: int) -> np.ndarray:
    return forward * np.eye(size, k=-1) + BACKWARD * np.eye(size, k=1)


def _squares(wanted: Wanted, forward: float, backward: float, size: int) -> float:
    """``sum_i E h_i^2`` of the linear line at a source of 1, run along the signal's beginning.

    ``E tanh'(h) = 1 - E h^2``: what the slopes take from a signal on its way through all units.
    A beginning that is quieter than the whole is scaled up.
    """
    values = wanted.statistics.values[0]
    steps = min(len(values), SETTLED * size + 2000)
    state, total = np.zeros(size), 0.0
    entering = np.zeros(size)
    channels = min(values.shape[1], size)
    for step in range(steps):
        entering[:channels] = values[step, :channels]
        new = entering.copy()
        new[1:] += forward * state[:-1]
        new[:-1] += backward * state[1:]
        state = new
        total += float(state @ state) * (step >= steps // 2)
    quieter = wanted.statistics.energy / max(float(np.mean(np.sum(values[:steps] ** 2, 1))), 1e-12)
    return max(total / (steps - steps // 2) * max(quieter, 1.0), 1e-12)


def _line(
    wanted: Wanted, found: _Found, name: str, law: object, gradient: np.ndarray, backward: float
) -> Prescription:
    squares = _squares(wanted, found.forward, backward, found.size)
    gain = float(f"{min(0.9, math.sqrt(SATURATION / squares)):.3g}")
    growth = float(np.log(gradient.max()))
    reason = f"In a delay line, {found.how}."
    if growth > 3:
        reason += f" Its gradient grows by e^{growth:.2g} on the way: the loss is rugged."
    reason += f" A source of {gain:.3g} keeps tanh linear to the end."
    recipe = Recipe("Elman", {"recurrent": law, "input": init.source(gain), "bias": init.zeros()})
    return prescribe(
        wanted,
        family="elman",
        name=name,
        recipe=recipe,
        target="fisher_memory",
        value=found.curve,
        gradient=gradient,
        paper=PAPER,
        reason=reason,
        correction="none needed: no weight is random",
        feasible=found.feasible,
        hidden_size=found.size,
    )
