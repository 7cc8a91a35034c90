"""Fisher memory of a network that is linearised along the trajectory its inputs drive."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, flatten_state
from echoic.core.checks import at_least, is_traced, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.gain.frames import directions
from echoic.measure.information.noise import NoisyRun, push_noise
from echoic.measure.windows import Driven, Windows, burn_in_for, place, spread

NOISE_SHARE = 0.1  # default noise amplitude, as a share of the state's root mean square
POWER_SEQUENCES, POWER_STEPS = 16, 5_000  # that the root mean square is taken over
MOST_WINDOWS = 4
MOST_DIRECTIONS = 8
_SEPARATION_WANTED = 1e4  # roundings: information is then good to about four digits
_DRIFTS, _GROWS = 1.25, 2.0  # by what factor the noise still grows over half of the run


def unit_direction(direction: Any, channels: int, dtype: Any) -> Float[Array, "m"]:
    """A direction in channels, of unit length."""
    vector = jnp.asarray(direction, dtype)
    if vector.shape != (channels,):
        raise ValueError(f"direction must have shape ({channels},), got {vector.shape}.")
    length = jnp.linalg.norm(vector)
    if not is_traced(length) and not 0 < float(length) < np.inf:
        raise ValueError(f"direction must be finite and not zero, got {direction!r}.")
    return vector / length


def default_noise(driven: Driven, burn_in: int) -> Float[Array, ""]:
    """The variance of noise that is a tenth of the state."""
    some = driven.inputs[:POWER_SEQUENCES, : burn_in + POWER_STEPS]
    burnt = jnp.asarray(burn_in, jnp.int32)
    return NOISE_SHARE**2 * _state_power(driven.cell, some, driven.state, burnt)


@eqx.filter_jit
def _state_power(
    cell: AbstractCell, inputs: Float[Array, "b t m"], state: State, burn_in: Int[Array, ""]
) -> Float[Array, ""]:
    """The mean square of the state after the burn-in."""

    def one(xs):
        def advance(now, x):
            now = cell.step(now, x)
            return now, jnp.mean(flatten_state(now)[0] ** 2)

        return jax.lax.scan(advance, state, xs)[1]

    powers = jax.vmap(one)(inputs)
    kept = jnp.arange(powers.shape[1], dtype=jnp.int32) >= burn_in
    return jnp.mean(powers, where=kept[None])


def driven_curve(
    driven: Driven,
    max_lag: int,
    key: PRNGKeyArray,
    noise_variance: Any,
    direction: Any,
    end_times: int,
    windows: int | None,
    burn_in: int | None,
) -> Estimate:
    """The curve of a network linearised along its driven trajectory."""
    place_key, start_key, direction_key = jr.split(key, 3)
    batch, length, channels = driven.inputs.shape
    dtype = driven.inputs.dtype
    burn_in = burn_in_for(burn_in, max_lag, length)
    if windows is None:
        windows = min(batch, MOST_WINDOWS, end_times)
    windows = at_least("windows", windows, 1, end_times)
    wanted = max(max_lag, 2 * end_times)
    room = min(wanted, length - burn_in - max_lag - 1)
    span = room + max_lag + 1
    places = place(driven.inputs, burn_in, span, windows, place_key)
    each = min(-(-end_times // windows), room + 1)
    starts = burn_in + _stratified(start_key, places.size, each, room + 1)
    if direction is None:
        signals = directions(direction_key, channels, MOST_DIRECTIONS, dtype)
    else:
        signals = unit_direction(direction, channels, dtype)[None]
    signals = signals * spread(driven.inputs)[None]
    count = flatten_state(driven.state)[0].size
    refuse_if_larger("the Fisher memory", 6.0 * places.size * count**2 * dtype.itemsize)

    arguments = (driven.cell, driven.inputs, driven.state, places, starts, signals)
    run = push_noise(*arguments, burn_in + span, max_lag, "cholesky")
    wanted_separation = _SEPARATION_WANTED * count * float(jnp.finfo(dtype).eps)
    method = "cholesky"
    if is_traced(run) or not float(run.separation) > wanted_separation:
        method = "qr"  # keeps the digits that a squared root has lost
        run = push_noise(*arguments, burn_in + span, max_lag, "qr")
        wanted_separation = wanted_separation**2
    channels = channels if direction is None else 1
    curve = _summary(run, starts, places, burn_in, wanted_separation, count, channels)
    value, error, noise_gain, input_gain, flags = curve
    if noise_variance is None:
        noise_variance = default_noise(driven, burn_in)
    variance = jnp.asarray(noise_variance, dtype)
    flags = flags | (int(Status.SHORT_SERIES) if room < wanted else 0)
    settings = {
        "max_lag": max_lag,
        "exact": False,
        "burn_in": burn_in,
        "windows": places.size,
        "end_times": starts.size,
        "noise": f"from {burn_in} steps and the lag",
        "signal": "mean over channels" if direction is None else "one direction",
        "signal_unit": "standard deviation of the input",
        "factorisation": method,
    }
    return fisher_estimate(value, error, variance, noise_gain, input_gain, flags, settings)


def _stratified(key: PRNGKeyArray, rows: int, number: int, room: int) -> Int[Array, "r e"]:
    """Increasing times in ``range(room)``, one from each of ``number`` equal stretches."""
    cuts = np.linspace(0, room, number + 1).astype(np.int32)
    low, high = jnp.asarray(cuts[:-1])[None], jnp.asarray(cuts[1:])[None]
    return jr.randint(key, (rows, number), low, high, jnp.int32)


@eqx.filter_jit
def _summary(
    run: NoisyRun,
    starts: Int[Array, "r e"],
    places: Windows,
    burn_in: int,
    wanted_separation: float,
    size: int,
    channels: int,
):
    """Mean and error over starting times and directions, and the flags."""
    table = run.information.reshape(-1, *run.information.shape[2:])
    of_directions = variance_of_directions(jnp.mean(table, axis=0), channels)
    table = jnp.mean(table, axis=2)
    number, lags = table.shape
    value = jnp.mean(table, axis=0)

    # Times of one window share part of their fluctuation: as large a part as their windows share
    # steps. Then the sample variance is too small by 1 - r, and that of the mean is r times the
    # variance, r the mean of all correlations.
    when = places.first.astype(jnp.int32)[:, None] + starts
    when, which = when.reshape(-1), jnp.repeat(places.sequence, starts.shape[1])
    apart = jnp.abs(when[:, None] - when[None, :])

    def correlation(lag):
        shared = jnp.maximum(0, 1 - apart / (lag + 1)).astype(table.dtype)
        return jnp.mean(jnp.where(which[:, None] == which[None, :], shared, 0))

    if number == 1:
        error = jnp.full_like(value, jnp.nan)
    else:
        r = jax.lax.map(correlation, jnp.arange(lags, dtype=jnp.int32))
        # Times that coincide at every lag tell nothing about the fluctuation.
        ratio = jnp.where(r < 1, r / (1 - r), jnp.nan)
        # Relative to the mean, whose square may underflow.
        scale = jnp.where(value > 0, value, 1)
        error = jnp.var(table / scale[None], axis=0) * ratio + of_directions
        error = scale * jnp.sqrt(error)

    measured = run.noise[:, burn_in:]
    log_noise = jnp.log(measured)
    quarter = measured.shape[1] // 4
    growth = jnp.mean(log_noise[:, -quarter:]) - jnp.mean(log_noise[:, quarter : 2 * quarter])
    largest = size * jnp.max(run.injected)
    excess = jnp.sum(value) - 4 * jnp.sum(jnp.nan_to_num(error)) > largest * 1.001
    finite = jnp.all(jnp.isfinite(value))
    ill = finite & (excess | ~(run.separation > wanted_separation))
    flags = jnp.where(ill, int(Status.ILL_CONDITIONED), 0)
    drifts, grows = growth > jnp.log(_DRIFTS), growth > jnp.log(_GROWS)
    flags += jnp.where(grows, int(Status.UNSTABLE), 0)
    flags += jnp.where(drifts & ~grows, int(Status.NOT_CONVERGED), 0)
    flags += jnp.where(finite, 0, int(Status.NOT_FINITE))
    injected = jnp.take_along_axis(run.injected, starts, axis=1)
    return value, error, jnp.mean(measured), jnp.mean(injected), flags


def variance_of_directions(each: Float[Array, "k q"], channels: int) -> Float[Array, "k"]:
    """The relative variance of a mean over q directions that stand for all channels.

    Orthonormal directions are drawn without replacement, hence the factor (1 - q/m): as many as
    there are channels leave no error. Relative, since the squared mean may underflow.
    """
    count = each.shape[1]
    if count >= channels:
        return jnp.zeros(each.shape[0], each.dtype)
    mean = jnp.mean(each, axis=1, keepdims=True)
    relative = each / jnp.where(mean > 0, mean, jnp.ones_like(mean))
    return jnp.var(relative, axis=1, ddof=1) / count * (1 - count / channels)


def fisher_estimate(
    value: Float[Array, "k"],
    error: Float[Array, "k"] | None,
    variance: Float[Array, ""],
    noise_gain: Float[Array, ""],
    input_gain: Float[Array, ""],
    flags: Int[Array, ""],
    settings: dict[str, Any],
) -> Estimate:
    """Information under unit noise, turned into that under noise of ``variance``."""
    value = value / variance
    details = {
        "total": jnp.sum(value),
        "noise_gain": noise_gain,
        "noise_variance": variance,
        "input_gain": input_gain,
        "lag": jnp.arange(value.size),
    }
    plain = "traced" if is_traced(variance) else float(variance)
    error = None if error is None else error / variance
    return Estimate(value, error, flags, Settings(**settings, noise_variance=plain), details)
