"""After how many steps an orbit returns, and what kind of orbit that makes it."""

import enum
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, flatten_state
from echoic.core.tangent import push_frame
from echoic.measure.lyapunov.spectrum import lyapunov_spectrum

_BLOCKS = 20


class Orbit(enum.IntEnum):
    """What a settled orbit is. The numbers stand in ``details["kind"]``."""

    NOT_FINITE = -1
    FIXED_POINT = 0
    CYCLE = 1
    QUASIPERIODIC = 2
    CHAOTIC = 3
    UNSETTLED = 4


class Tail(NamedTuple):
    """The end of a run: flat states in a row, and the state after the last of them."""

    states: Float[Array, "l n"]
    outputs: Float[Array, "l p"]
    final: State


def settle(
    cell: AbstractCell, state: State, x: Float[Array, "m"], burn_in: Array, length: int
) -> Tail:
    """Run ``burn_in`` steps under the constant input ``x``, then keep ``length`` more."""
    state = jax.lax.fori_loop(0, burn_in, lambda _, state: cell.step(state, x), state)

    def advance(state, _):
        new = cell.step(state, x)
        return new, (flatten_state(new)[0], cell.output(new))

    final, (states, outputs) = jax.lax.scan(advance, state, length=length)
    return Tail(states, outputs, final)


def period_of(states: Float[Array, "l n"], max_period: int, tolerance: Array) -> Int[Array, ""]:
    """The smallest p in 1..max_period with ``|h_{t+p} - h_t| <= tolerance`` all along.

    The tolerance is multiplied by the largest entry of the states if that exceeds 1. 0 if there is
    no such p; -1 if a state is not finite. Compares l - max_period pairs for each p.
    """
    window = states.shape[0] - max_period
    allowed = tolerance * jnp.maximum(jnp.max(jnp.abs(states)), 1)

    def returns(p):
        later = jax.lax.dynamic_slice_in_dim(states, p, window)
        return jnp.max(jnp.abs(later - states[:window])) <= allowed

    good = jax.lax.map(returns, jnp.arange(1, max_period + 1, dtype=jnp.int32))
    first = jnp.where(jnp.any(good), 1 + jnp.argmax(good).astype(jnp.int32), 0)
    return jnp.where(jnp.all(jnp.isfinite(states)), first, -1)


def default_tolerance(dtype) -> float:
    """1e-6 in double precision; in single, what sixty steps' rounding leaves, 1e-4."""
    return 1e-6 if jnp.finfo(dtype).eps < 1e-10 else 1e-4


def kind_of(period: Array, exponent: Array, error: Array, steps: int) -> Int[Array, "*shape"]:
    """The kind of orbit, from its period and, where it has none, its largest exponent.

    An exponent counts as zero within three standard errors and 5 / steps nats, which is what the
    transient growth of a neutral direction leaves behind.
    """
    margin = 3 * jnp.nan_to_num(error) + 5 / steps
    without_period = jnp.where(
        exponent > margin,
        int(Orbit.CHAOTIC),
        jnp.where(exponent < -margin, int(Orbit.UNSETTLED), int(Orbit.QUASIPERIODIC)),
    )
    kind = jnp.where(period == 1, int(Orbit.FIXED_POINT), int(Orbit.CYCLE))
    kind = jnp.where(period == 0, without_period, kind)
    return jnp.where(period < 0, int(Orbit.NOT_FINITE), kind).astype(jnp.int32)


def largest_exponent(
    cell: AbstractCell, state: State, x: Float[Array, "m"], key: PRNGKeyArray, steps: int
) -> tuple[Array, Array]:
    """The largest exponent from ``state`` on under the constant input, and its standard error.

    Half as many steps before that let the tangent vector turn. Traceable.
    """
    burn_in = steps // 2
    found = lyapunov_spectrum(
        cell,
        None if x.size == 0 else jnp.broadcast_to(x[None], (burn_in + steps, x.size)),
        key=key,
        num_exponents=1,
        state=state,
        steps=steps,
        burn_in=burn_in,
        orthogonalise_every=1,
        num_blocks=_BLOCKS,
        throw=False,
    )
    return found.value[0], found.standard_error[0]


def run_of(
    cell: AbstractCell, state: State, x: Float[Array, "m"], period: Array | int
) -> tuple[State, Float[Array, "n n"]]:
    """The state ``period`` steps on, and its derivative in the state before them."""
    vector, _ = flatten_state(state)
    begin = (state, jnp.eye(vector.size, dtype=vector.dtype))
    return jax.lax.fori_loop(0, period, lambda _, c: push_frame(cell, c[0], x, c[1]), begin)


def dominant_frequency(outputs: np.ndarray) -> float:
    """The angular frequency (rad per step, in 0..pi) of the strongest oscillation; 0 for none.

    The maximum of the windowed spectrum, refined between the lines of the transform (Laskar 1993):
    for a few separate lines the error falls as length to the power -4. ``outputs``: shape (l, p);
    the channel that varies most is taken.
    """
    series = np.asarray(outputs, float)
    series = series - series.mean(axis=0)
    series = series[:, np.argmax(series.std(axis=0))]
    if not np.all(np.isfinite(series)):
        return math.nan
    # Rounding of a point at rest oscillates, too.
    if series.std() <= 1e-6 * max(1.0, float(np.abs(outputs).max())):
        return 0.0
    length = len(series)
    times = np.arange(length)
    windowed = series * np.hanning(length)
    lines = np.abs(np.fft.rfft(windowed, 4 * length))
    peak, width = np.argmax(lines) * np.pi / (2 * length), np.pi / (2 * length)

    def missed(frequency):
        return -np.abs(windowed @ np.exp(-1j * frequency * times))

    bounds = (max(peak - width, 0.0), min(peak + width, np.pi))
    found = scipy.optimize.minimize_scalar(
        missed, bounds=bounds, method="bounded", options={"xatol": 1e-12}
    )
    return float(found.x)
