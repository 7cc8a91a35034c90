"""How far a perturbation, or a gradient, reaches: the gain of dh_t/dh_{t-k} and dh_t/dx_{t-k}."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, flatten_state
from echoic.core.checks import at_least, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.gain.frames import Lengths, Spread, directions, push_frames
from echoic.measure.windows import burn_in_for, place, prepare, spread

FEW_GROUPS = 8  # an error from fewer independent windows is itself uncertain by a quarter or more
_CLEARLY_GROWN = 1.05

_Curve = tuple[Float[Array, "k"], Float[Array, "k"], Int[Array, ""], dict[str, Array]]


def gradient_reach(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    max_lag: int,
    key: PRNGKeyArray,
    probes: int = 8,
    starts: int = 32,
    burn_in: int | None = None,
    state: State = None,
    steps: int | None = None,
    exact: bool = False,
    throw: bool = True,
) -> Estimate:
    """How much of a perturbation of the state, or of a gradient, is left after k steps.

    **Definition.** The root-mean-square singular value of the Jacobian over k steps,
    ``G(k) = sqrt(< ||dh_t/dh_{t-k}||_F^2 / n >)``, an amplitude, 1 at lag 0. The average runs over
    starting times; n is the size of the full state. The norm is probed by orthonormal random
    directions v: ``E ||J v||^2 = ||J||_F^2 / n``.

    **Arguments:**

    - ``cell``: a cell, or a function ``step(state, x) -> state`` with its initial ``state``.
    - ``inputs``: shape (t,), (t, m) or (b, t, m). None: zeros for ``steps`` steps.
    - ``max_lag``: the largest lag; every window is ``burn_in + max_lag + 1`` steps long.
    - ``key``: draws the probes and the places of the windows.
    - ``probes``: directions, the same in all windows.
    - ``starts``: windows, spread at random over all sequences. Where the series has no room for
      so many, they overlap, and the error comes from ``settings["independent"]`` groups.
    - ``burn_in``: steps from the initial state to lag 0. Default: ``max_lag``, but no more than
      a quarter of the series and no less than 100.
    - ``exact``: push the whole identity, so that no error comes from probes.
    - ``throw``: raise when the trajectory leaves the finite numbers.

    **Returns:** an `Estimate` over the lags 0 to ``max_lag``. The standard error covers probes and
    starting times. Details: ``typical`` (the logarithm averaged over starting times: what a single
    run sees) with ``typical_standard_error``, ``log_value`` (natural, where the value under- or
    overflows), ``lag``.

    **Raises:** ValueError when a sequence is too short; UntrustedError, see ``throw``.

    **When the number misleads:** the mean square is ruled by rare large windows in chaotic
    networks: look at ``typical``. A burn-in shorter than the network's memory measures the way
    into its driven state. Overlapping windows underrate the error. Where a linear network keeps
    one direction only, 8 probes are good to 25 per cent and know their own error badly: take
    ``exact``. (Driven networks keep another direction in each window, which averages out.)

    **Cost:** ``starts * probes * max_lag`` products of W with a vector, O(n^2) each, in
    ``max_lag`` matrix products; memory O(starts * probes * n).

    **Reference:** Pascanu, Mikolov & Bengio (2013), ICML, on the norms of such products.

    ??? example
        ```python
        >>> import jax.numpy as jnp, jax.random as jr
        >>> turn = 0.9 * jnp.array([[0.6, -0.8], [0.8, 0.6]])
        >>> curve = gradient_reach(lambda h, x: turn @ h, state=jnp.ones(2), steps=200, burn_in=50,
        ...                        max_lag=20, starts=4, key=jr.key(0))
        >>> bool(jnp.allclose(curve.value, 0.9 ** jnp.arange(21.0), rtol=1e-4))
        True

        ```
    """
    curves = reach_curves(
        cell,
        inputs,
        max_lag=max_lag,
        key=key,
        probes=probes,
        starts=starts,
        burn_in=burn_in,
        state=state,
        steps=steps,
        exact=exact,
        throw=False,
    )
    return curves["gradient_reach"].throw(*_raising(throw))


def input_reach(
    cell: AbstractCell | Step,
    inputs: Any,
    *,
    max_lag: int,
    key: PRNGKeyArray,
    probes: int = 8,
    starts: int = 32,
    burn_in: int | None = None,
    state: State = None,
    exact: bool = False,
    throw: bool = True,
) -> Estimate:
    """How much of an input, in units of its own spread, is left in the state after k steps.

    **Definition.** ``R(k) = sqrt(< ||dh_t/dx_{t-k} diag(s)||_F^2 / m >)``, s the standard deviation
    of each of the m input channels over all inputs given: the length of the state's displacement
    by one standard deviation of a channel, root mean square over channels and starting times.
    Lag 0 is the newest input. R(0) is not 1: thresholds are relative to it.

    Arguments, returns, errors and cost are those of [`gradient_reach`][echoic.gradient_reach].
    Up to ``probes`` channels are taken one by one, more are probed by as many random directions.

    **Raises:** also ValueError when the inputs do not vary.

    ??? example
        ```python
        >>> import jax.numpy as jnp, jax.random as jr
        >>> xs = jr.normal(jr.key(1), (300,))
        >>> step = lambda h, x: 0.8 * h + jnp.array([3.0]) * x
        >>> curve = input_reach(step, xs, state=jnp.zeros(1), max_lag=20, key=jr.key(0))
        >>> bool(jnp.allclose(curve.value, 3 * jnp.std(xs) * 0.8 ** jnp.arange(21.0), rtol=1e-4))
        True

        ```
    """
    curves = reach_curves(
        cell,
        inputs,
        max_lag=max_lag,
        key=key,
        probes=probes,
        starts=starts,
        burn_in=burn_in,
        state=state,
        exact=exact,
        throw=False,
    )
    if "input_reach" not in curves:
        raise ValueError(
            "input_reach needs inputs that vary: these are constant, or there are none."
        )
    return curves["input_reach"].throw(*_raising(throw))


def coherent_reach(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    max_lag: int,
    key: PRNGKeyArray,
    probes: int = 8,
    starts: int = 32,
    burn_in: int | None = None,
    state: State = None,
    steps: int | None = None,
    exact: bool = False,
    throw: bool = True,
) -> Estimate:
    """How much of the gradient points the same way for different inputs: the part that trains.

    **Definition.** ``||< dh_t/dh_{t-k} >||_F / sqrt(n)``: the norm of the average over input
    sequences (windows at independent places of the inputs), not the average of norms, which is
    the gradient reach. The squared norm of an average of B Jacobians is too large by G^2 / B;
    it is estimated without that bias from the products of different windows alone (a
    U-statistic), and set to 0 where it comes out negative.

    Arguments, errors and cost are those of [`gradient_reach`][echoic.gradient_reach]; it equals
    the gradient reach for linear cells, whose Jacobians do not depend on the input.

    **Returns:** an `Estimate` over the lags. The standard error is a jackknife over windows, with
    the error from probes added. Details: ``floor`` (the root of two standard errors of the square:
    smaller values cannot be told from 0), ``average_floor`` (``G / sqrt(B)``, where the norm of the
    plain average would stop falling), ``square`` (unbiased, with its sign: average this over runs),
    ``log_value``, ``lag``.

    **When the number misleads:** below its floor; and with fewer than three windows it has no
    error.

    ??? example
        ```python
        >>> import jax.numpy as jnp, jax.random as jr
        >>> xs = jnp.sign(jr.normal(jr.key(1), (400,)))
        >>> flip = lambda h, x: 0.9 * x * h              # dh_t/dh_{t-k} = +-0.9^k, on average 0
        >>> curve = coherent_reach(flip, xs, state=jnp.ones(1), max_lag=5, key=jr.key(0))
        >>> bool(curve.value[1] < 0.9 / 2)
        True

        ```
    """
    curves = reach_curves(
        cell,
        inputs,
        max_lag=max_lag,
        key=key,
        probes=probes,
        starts=starts,
        burn_in=burn_in,
        state=state,
        steps=steps,
        exact=exact,
        throw=False,
    )
    return curves["coherent_reach"].throw(*_raising(throw))


def reach_curves(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    max_lag: int,
    key: PRNGKeyArray,
    probes: int = 8,
    starts: int = 32,
    burn_in: int | None = None,
    state: State = None,
    steps: int | None = None,
    exact: bool = False,
    throw: bool = True,
) -> dict[str, Estimate]:
    """The gradient, input and coherent reach from one pass over the same windows.

    Arguments as in [`gradient_reach`][echoic.gradient_reach]. The keys of the answer are
    ``gradient_reach``, ``coherent_reach`` and, where the inputs vary, ``input_reach``.

    ??? example
        ```python
        >>> import jax.numpy as jnp, jax.random as jr
        >>> curves = reach_curves(lambda h, x: 0.5 * h + x, jr.normal(jr.key(1), (200,)),
        ...                       state=jnp.zeros(1), max_lag=9, key=jr.key(0))
        >>> linear = curves["gradient_reach"].value, curves["coherent_reach"].value
        >>> bool(jnp.allclose(*linear, rtol=1e-4))
        True

        ```
    """
    driven = prepare(cell, inputs, state, steps)
    max_lag, probes = at_least("max_lag", max_lag, 1), at_least("probes", probes, 1)
    starts, length = at_least("starts", starts, 1), driven.inputs.shape[1]
    burn_in = burn_in_for(burn_in, max_lag, length)
    place_key, state_key, input_key = jr.split(key, 3)
    windows = place(driven.inputs, burn_in, max_lag + 1, starts, place_key)
    start, _ = flatten_state(driven.state)
    of_state = directions(state_key, start.size, start.size if exact else probes, start.dtype)
    of_input = None
    if driven.driven:
        of_input = _input_directions(input_key, driven.inputs, None if exact else probes)
    refuse_if_larger("the frames", 4.0 * windows.size * of_state.size * of_state.dtype.itemsize)
    burnt = jnp.asarray(burn_in, jnp.int32)
    lengths = push_frames(
        driven.cell, driven.inputs, driven.state, windows, burnt, of_state, of_input, max_lag
    )
    settings = Settings(
        max_lag=max_lag,
        burn_in=burn_in,
        starts=windows.size,
        independent=windows.groups,
        overlapping=windows.size > windows.groups,
        probes=of_state.shape[0],
        exact=of_state.shape[0] == start.size,
    )
    short = Status.SHORT_SERIES if windows.groups < FEW_GROUPS else Status.OK
    curves = {
        "gradient_reach": _gain_curve(lengths.gain),
        "coherent_reach": _coherent_curve(lengths, windows.groups),
    }
    if lengths.input is not None:
        curves["input_reach"] = _gain_curve(lengths.input)
    return {
        name: Estimate(value, error, flags | int(short), settings, details).throw(*_raising(throw))
        for name, (value, error, flags, details) in curves.items()
    }


def _raising(throw: bool) -> tuple[Status, ...]:
    return (Status.NOT_FINITE,) if throw else ()


def _input_directions(
    key: PRNGKeyArray, inputs: Float[Array, "b t m"], probes: int | None
) -> Float[Array, "q m"]:
    """Directions in units of the spread: every channel by itself where ``probes`` suffice."""
    channels = inputs.shape[2]
    units = directions(key, channels, channels if probes is None else probes, inputs.dtype)
    return units * spread(inputs)[None]


@eqx.filter_jit
def _gain_curve(lengths: Spread) -> _Curve:
    log_value = lengths.shift + jnp.log(lengths.mean) / 2
    value = jnp.exp(log_value)
    relative = jnp.sqrt(lengths.variance) / lengths.mean / 2
    error = jnp.where(lengths.mean == 0, 0 * value, value * relative)
    typical = jnp.exp(lengths.typical)
    typical_error = typical * jnp.sqrt(lengths.typical_variance)
    grown = value[-1] - 2 * error[-1] > _CLEARLY_GROWN * value[0]
    details = {
        "typical": typical,
        "typical_standard_error": jnp.where(typical == 0, 0 * typical, typical_error),
        "log_value": log_value,
        "lag": jnp.arange(value.size),
    }
    lost = jnp.any(jnp.isnan(log_value) | jnp.isposinf(log_value))
    flags = _flags({Status.NOT_FINITE: lost, Status.GROWING: grown})
    return value, error, flags, details


@eqx.filter_jit
def _coherent_curve(lengths: Lengths, groups: int) -> _Curve:
    shift, square, variance = lengths.coherent
    positive, error = jnp.maximum(square, 0 * square), jnp.sqrt(variance)
    # The root is steep near zero: one standard error of the square, carried through it both ways.
    below = jnp.sqrt(positive) - jnp.sqrt(jnp.maximum(positive - error, 0 * error))
    above = jnp.sqrt(positive + error) - jnp.sqrt(positive)
    log_value = shift + jnp.log(positive) / 2
    log_gain = lengths.gain.shift + jnp.log(lengths.gain.mean) / 2
    details = {
        "floor": _scaled(shift, jnp.sqrt(2 * error)),
        "average_floor": jnp.exp(log_gain) / groups**0.5,
        "square": jnp.sign(square) * _scaled(2 * shift, jnp.abs(square)),
        "log_value": log_value,
        "lag": jnp.arange(square.size),
    }
    # The gain tells whether the trajectory is lost: a single window has no coherent part at all.
    lost = jnp.any(jnp.isnan(log_gain) | jnp.isposinf(log_gain))
    hidden = jnp.all(square[1:] < 2 * error[1:])
    flags = _flags({Status.NOT_FINITE: lost, Status.BELOW_NOISE: hidden})
    value_error = _scaled(shift, jnp.maximum(below, above))
    return jnp.exp(log_value), value_error, flags, details


def _scaled(shift: Float[Array, "k"], amplitude: Float[Array, "k"]) -> Float[Array, "k"]:
    """``exp(shift) amplitude``, 0 where the amplitude is, however large the scale."""
    return jnp.exp(shift + jnp.log(amplitude))


def _flags(found: dict[Status, Bool[Array, ""]]) -> Int[Array, ""]:
    flags = jnp.zeros((), jnp.int32)
    for flag, is_set in found.items():
        flags += jnp.where(is_set, int(flag), 0).astype(jnp.int32)
    return flags
