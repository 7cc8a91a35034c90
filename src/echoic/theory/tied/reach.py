"""The reach of an infinitely wide network with tied weights, along the user's own input."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from echoic.core.checks import at_least, not_negative, sequences
from echoic.theory.tied.population import Draws, Grams, solve
from echoic.theory.tied.units import Unit

_LARGEST_LOOP_ERROR = 0.1


@dataclasses.dataclass(frozen=True)
class TiedReach:
    """Predicted curves over the lags 0 to ``max_lag``; amplitudes, 1 at lag 0.

    ``recurrent_share`` is the share of the squared gradient reach that passed through a recurrent
    matrix at least once, ``hops`` how often it did on average. ``second_moment`` is the mean square
    of a state number. Standard errors are those of the solution by a finite population on these
    windows; ``population`` is the units of one (infinite where nothing is lost by a finite one).
    """

    gradient_reach: Float[np.ndarray, "k"]
    gradient_reach_error: Float[np.ndarray, "k"]
    log_gradient_reach: Float[np.ndarray, "k"]
    coherent_reach: Float[np.ndarray, "k"]
    coherent_reach_error: Float[np.ndarray, "k"]
    input_reach_per_unit: Float[np.ndarray, "k"] | None
    recurrent_share: Float[np.ndarray, "k"]
    hops: Float[np.ndarray, "k"]
    second_moment: float
    relative_spread: Float[np.ndarray, "k"]
    input_reach_per_unit_error: Float[np.ndarray, "k"] | None
    population: float

    def input_reach(self, width: int) -> Float[np.ndarray, "k"]:
        """The input reach of a network of ``width`` units: a length, so it grows with the root."""
        if self.input_reach_per_unit is None:
            raise ValueError("there is no input reach: the inputs do not vary, or it was left out.")
        return math.sqrt(at_least("width", width, 1)) * self.input_reach_per_unit

    def input_reach_error(self, width: int) -> Float[np.ndarray, "k"]:
        """The standard error of [`input_reach`][]."""
        if self.input_reach_per_unit_error is None:
            raise ValueError("there is no input reach: the inputs do not vary, or it was left out.")
        return math.sqrt(at_least("width", width, 1)) * self.input_reach_per_unit_error

    def network_error(self, width: int) -> Float[np.ndarray, "k"]:
        """How far one network of ``width`` units strays from the mean: one standard deviation.

        From the spread of the squared response over units, as if they were independent.
        """
        return self.gradient_reach * self.relative_spread / math.sqrt(at_least("width", width, 1))

    def trusted_lag(self, width: int) -> int:
        """The last lag up to which a network of ``width`` units follows infinite width.

        Gradients that pass L times through one matrix come back to units they were on. For Gaussian
        W their mean square is then too large by about ``L^4 / 11 n^2``, as sampled powers of W show
        (n = 32 to 128, up to L = sqrt(n)). The lag where this reaches 0.1, with L the mean number
        of passes of what passed at all; n is the width, or the population's where it is smaller.
        """
        size = min(at_least("width", width, 1), self.population)
        passes = self.hops / np.where(self.recurrent_share > 0, self.recurrent_share, 1)
        excess = self.recurrent_share * passes**4 / (11 * size**2)
        beyond = np.flatnonzero(~(excess <= _LARGEST_LOOP_ERROR))
        return int(beyond[0]) - 1 if beyond.size else excess.size - 1


def reach(
    unit: Unit,
    windows: Any,
    *,
    max_lag: int,
    burn_in: int,
    key: PRNGKeyArray,
    probes: int = 2,
    populations: int = 4,
    input_spread: Any = None,
    with_input: bool = True,
) -> TiedReach:
    """The gradient, coherent and input reach that the law of a network's weights implies.

    **Definition.** The limit n -> infinity of ``G(k) = sqrt(< ||dh_t/dh_{t-k}||_F^2 / n >)`` and of
    ``||< dh_t/dh_{t-k} >||_F / sqrt(n)``, n the size of the full state, for weights that are drawn
    once and kept (tied). The averages run over replicas: the same network on the different windows.

    **Arguments:**

    - ``unit``: the law of the units, e.g. [`LSTM`][echoic.theory.tied.LSTM]; its M samples of
      quenched numbers are dealt out to ``populations`` of M / populations units each.
    - ``windows``: shape (b, t, m) with ``t >= burn_in + max_lag + 1``, independent stretches of the
      input (see [`windows_of`][echoic.theory.tied.windows_of]). The coherent reach needs b > 1.
    - ``max_lag``, ``burn_in``: lags to predict, and steps from the zero state to lag 0.
    - ``key``: draws the random mixtures.
    - ``probes``: random signs, for the part that passes through W.
    - ``input_spread``: shape (m,), the standard deviation of each channel that the input reach is
      in units of; default: that over the windows, not over the whole series.
    - ``with_input``: whether to predict the input reach as well.

    **Returns:** a `TiedReach`. NaN in the windows makes NaN.

    **Raises:** ValueError for windows that are too short, or units that cannot be dealt out.

    **When the number misleads:** beyond ``trusted_lag(n)`` for a network of n units, and where its
    own draw strays from the mean by ``network_error(n)``. A population of M units is itself exact
    to order 1/M only: more units cost M^2.

    **Cost:** ``populations * (M / populations)^2`` times gates, replicas, ``1 + probes`` and steps;
    a second or so for an LSTM of 4 x 128 units, 4 windows of 2000 steps. Other numbers for the
    hyperparameters compile nothing.

    ??? example
        ```python
        >>> import jax.numpy as jnp, jax.random as jr
        >>> from echoic.theory.tied import Vanilla
        >>> unit = Vanilla(sigma=jnp.array([0.9]), bias=jnp.zeros((1, 64)),
        ...                input=jnp.ones((1, 64, 1)), activation="identity")
        >>> curve = reach(unit, jr.normal(jr.key(0), (2, 40, 1)), max_lag=20, burn_in=10,
        ...               key=jr.key(1), with_input=False)
        >>> bool(jnp.allclose(curve.gradient_reach, 0.9 ** jnp.arange(21.0), rtol=1e-4))
        True

        ```
    """
    max_lag, burn_in = at_least("max_lag", max_lag, 1), at_least("burn_in", burn_in, 0)
    probes, populations = at_least("probes", probes, 1), at_least("populations", populations, 1)
    unit = _same_dtype(unit)
    not_negative("sigma", unit.sigma)
    size, channels = unit.bias.shape[1], unit.input.shape[2]
    if size % (populations * unit.block):
        raise ValueError(
            f"the number of units must be a multiple of populations * {unit.block} ="
            f" {populations * unit.block}, got {size}."
        )
    series = sequences(windows, channels, unit.bias.dtype)
    if series.shape[1] < burn_in + max_lag + 1:
        raise ValueError(
            f"max_lag={max_lag} after burn_in={burn_in} needs windows of at least"
            f" {burn_in + max_lag + 1} steps, got {series.shape[1]}."
        )
    series = series[:, : burn_in + max_lag + 1]
    series = jnp.where(jnp.all(jnp.isfinite(series)), series, jnp.nan)
    rng = np.random.default_rng(np.asarray(jr.key_data(key)).ravel())
    spread = np.std(np.asarray(series), axis=(0, 1)) if input_spread is None else input_spread
    directions = None
    if with_input and np.any(np.asarray(spread) != 0):
        directions = jnp.asarray(_directions(rng, np.asarray(spread), probes), series.dtype)
    shape = (populations, len(unit.sigma), size // populations, size // populations)
    signs = (populations, probes, unit.state_numbers, size // populations)
    draws = Draws(
        jnp.asarray(rng.standard_normal(shape), series.dtype),
        jnp.asarray(rng.choice([-1.0, 1.0], signs), series.dtype),
    )
    grams, square = solve(unit, series, directions, draws, burn_in=burn_in)
    return _curves(
        jax.tree.map(np.asarray, grams), np.asarray(square), size // populations, unit.memoryless
    )


def windows_of(
    inputs: Any, *, number: int, max_lag: int, burn_in: int, seed: int = 0
) -> np.ndarray:
    """``number`` stretches of ``burn_in + max_lag + 1`` steps at random places of the inputs.

    ``inputs`` has shape (t,), (t, m) or (b, t, m); the answer (number, steps, m). Stretches may
    overlap.

    **Example**
    >>> windows_of(np.arange(50.0), number=3, max_lag=5, burn_in=4).shape
    (3, 10, 1)
    """
    series = np.asarray(inputs)
    series = series[:, None] if series.ndim == 1 else series
    series = series[None] if series.ndim == 2 else series
    span = at_least("max_lag", max_lag, 1) + at_least("burn_in", burn_in, 0) + 1
    if series.ndim != 3 or series.shape[1] < span:
        raise ValueError(
            f"inputs must have shape (t,), (t, m) or (b, t, m) with at least {span} steps, got"
            f" {np.shape(inputs)}."
        )
    rng = np.random.default_rng(seed)
    free = series.shape[1] - span
    # One place in each of equal parts: independent stretches where there is room.
    per = -(-number // series.shape[0])
    cuts = np.linspace(0, free + 1, per + 1)
    first = np.floor(rng.uniform(cuts[:-1], cuts[1:], (series.shape[0], per))).astype(int)
    places = [(b, f) for f_row in first.T for b, f in enumerate(f_row)][:number]
    return np.stack([series[b, f : f + span] for b, f in places])


def _same_dtype(unit: Unit) -> Unit:
    dtype = unit.bias.dtype
    return jax.tree.map(lambda a: a.astype(dtype) if eqx.is_inexact_array(a) else a, unit)


def _directions(rng: np.random.Generator, spread: np.ndarray, probes: int) -> np.ndarray:
    """Channels one by one where the probes suffice, else random signs over all of them."""
    if spread.size <= probes:
        return np.diag(spread)
    return rng.choice([-1.0, 1.0], (probes, spread.size)) * spread / spread.size**0.5


def _curves(grams: Grams, square: np.ndarray, units: int, memoryless: bool) -> TiedReach:
    total = grams.direct + grams.passed
    populations = total.shape[0]
    # All populations relative to the largest.
    top = np.max(grams.shift, axis=0)
    scale = np.exp(2 * (grams.shift - top))
    total, passed = (gram * scale[:, :, None, None] for gram in (total, grams.passed))
    power = np.diagonal(total, axis1=2, axis2=3)
    mean = np.mean(power, axis=(0, 2))

    whole = _of_population(grams.variance * scale**2, np.mean(power, axis=2), units)
    by_window = np.nan_to_num(_variance(np.mean(power, axis=0), 1))

    pairs = _pairs(total)
    square_of_mean = np.maximum(np.mean(pairs, axis=0), 0)
    entered, entered_error = _input_curve(grams)
    whole_pairs = _of_population(grams.coherent_variance * scale**2, pairs, units)
    error = np.sqrt(whole_pairs + _jackknife(np.mean(total, axis=0)))
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        amplitude = np.exp(top)
        coherent = amplitude * np.sqrt(square_of_mean)
        gain = amplitude * np.sqrt(mean)
        return TiedReach(
            gradient_reach=gain,
            gradient_reach_error=gain * _relative(np.sqrt(whole + by_window) / 2, mean),
            log_gradient_reach=top + np.log(mean) / 2,
            coherent_reach=coherent,
            coherent_reach_error=amplitude * np.sqrt(square_of_mean + error) - coherent,
            input_reach_per_unit=entered,
            input_reach_per_unit_error=entered_error,
            population=math.inf if memoryless else float(units),
            recurrent_share=_relative(
                np.mean(np.diagonal(passed, axis1=2, axis2=3), axis=(0, 2)), mean
            ),
            hops=_relative(np.mean(grams.hops * scale, axis=0), mean),
            second_moment=float(np.mean(square)),
            relative_spread=_relative(np.sqrt(whole * units * populations) / 2, mean),
        )


def _relative(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """A share of what is left; 0 where nothing is."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole == 0, 0.0, part / whole)


def _input_curve(grams: Grams) -> tuple[np.ndarray | None, np.ndarray | None]:
    if grams.input is None or grams.input_shift is None:
        return None, None
    top = np.max(grams.input_shift, axis=0)
    scale = np.exp(2 * (grams.input_shift - top))
    power = np.diagonal(grams.input, axis1=2, axis2=3) * scale[:, :, None]
    mean = np.mean(power, axis=(0, 2))
    variance = _variance(np.mean(power, axis=2), 0)
    variance = variance + np.nan_to_num(_variance(np.mean(power, axis=0), 1))
    curve = np.exp(top) * np.sqrt(mean)
    return curve, curve * np.sqrt(variance) / np.where(mean > 0, mean, 1) / 2


def _pairs(total: np.ndarray) -> np.ndarray:
    """The mean over different replicas: an average of squares would be too large by G^2 / b."""
    replicas = total.shape[-1]
    whole = np.sum(total, axis=(-2, -1)) - np.trace(total, axis1=-2, axis2=-1)
    return whole / (replicas * (replicas - 1)) if replicas > 1 else np.full_like(whole, np.nan)


def _of_population(over_units: np.ndarray, values: np.ndarray, units: int) -> np.ndarray:
    """The squared error by finite populations: from their units or from their spread.

    The larger of the two: units may move together, and few populations may agree by chance.
    """
    by_unit = np.mean(over_units, axis=0) / (units * len(values))
    return np.fmax(by_unit, _variance(values, 0))


def _jackknife(total: np.ndarray) -> np.ndarray:
    """The variance of the mean over pairs, leaving out one replica at a time."""
    replicas = total.shape[-1]
    if replicas < 3:
        return np.full(total.shape[0], np.nan)
    off = total * (1 - np.eye(replicas))
    whole, row = np.sum(off, axis=(1, 2)), np.sum(off, axis=2)
    without = (whole[:, None] - 2 * row) / ((replicas - 1) * (replicas - 2))
    return (replicas - 1) * np.var(without, axis=1)


def _variance(values: np.ndarray, axis: int) -> np.ndarray:
    """The variance of the mean along an axis; NaN for a single value."""
    number = values.shape[axis]
    if number == 1:
        return np.full_like(np.mean(values, axis=axis), np.nan)
    return np.var(values, axis=axis, ddof=1) / number
