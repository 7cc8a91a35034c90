"""Time constants of units: in how many steps each forgets its perturbations to one part in e."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, flatten_state
from echoic.core.checks import at_least, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.tangent import linearise
from echoic.measure.gain.frames import follow_frames
from echoic.measure.windows import Driven, Windows, burn_in_for, place, prepare


def unit_time_constants(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    max_lag: int,
    key: PRNGKeyArray,
    starts: int = 16,
    burn_in: int | None = None,
    state: State = None,
    steps: int | None = None,
    throw: bool = True,
) -> Estimate:
    """How many steps each unit takes to forget its perturbations to one part in e.

    **Definition.** White noise of equal variance is added to every number of the state at every
    step, small, so that the network answers linearly along its trajectory. ``C_i(k)`` is the
    covariance of unit i's answer with its own k steps earlier, averaged over starting times (each
    in units of the variance of all units then), and tau_i the lag at which ``C_i(k) / C_i(0)``
    first falls to 1/e, between two lags by the straight line of logarithms. A leaky unit alone has
    ``C_i(k) = a^k C_i(0)``, hence ``-1 / log a``; so has a gated one whose gate stands still at a.

    **Arguments:** ``max_lag``: the largest lag looked at; ``starts``: times averaged over;
    ``burn_in``: steps from the initial state, and from rest of the noise; the others as for
    [`gradient_reach`][echoic.gradient_reach].

    **Returns:** an `Estimate` of shape (n,), one for each number of the state, in the order of
    ``flatten_state``, with a jackknife error over starting times. Details: ``censored`` (n,), where
    it has not fallen by ``max_lag``, which then stands for it, a lower bound; ``correlation``
    (k, n); ``lag``.

    **Raises:** ValueError for too short inputs; MemoryError above 8 GB; UntrustedError, see
    ``throw``.

    **When the number misleads:** what one unit forgets another may keep: in a delay line each has
    0, and the line remembers n steps. A unit that is driven by slow ones inherits their time
    constant. One that rotates falls below 1/e within a quarter of its period.

    **Cost:** ``starts * (2 burn_in + max_lag)`` products of (n, n) matrices.

    **Reference:** Murray et al. (2014), Nature Neuroscience 17, for time constants from the
    autocorrelation of units, of spontaneous activity there.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> leak = jnp.array([0.5, 0.9])
        >>> found = unit_time_constants(lambda h, x: leak * h, state=jnp.ones(2), steps=200,
        ...                             max_lag=30, key=jax.random.key(0))
        >>> bool(jnp.allclose(found.value, -1 / jnp.log(leak), rtol=1e-3))
        True

        ```
    """
    driven = prepare(cell, inputs, state, steps)
    max_lag, starts = at_least("max_lag", max_lag, 1), at_least("starts", starts, 1)
    length, start = driven.inputs.shape[1], flatten_state(driven.state)[0]
    burn_in = burn_in_for(burn_in, max_lag, length)
    windows = place(driven.inputs, burn_in, max_lag + 1, starts, key)
    refuse_if_larger("the frames", 4.0 * windows.size * start.size**2 * start.dtype.itemsize)
    value, error, flags, details = _of_units(
        driven, windows, jnp.asarray(burn_in, jnp.int32), max_lag
    )
    settings = Settings(
        max_lag=max_lag, burn_in=burn_in, starts=windows.size, independent=windows.groups
    )
    estimate = Estimate(value, error, flags, settings, details)
    return estimate.throw(Status.NOT_FINITE) if throw else estimate


@eqx.filter_jit
def _of_units(driven: Driven, windows: Windows, burn_in, max_lag: int):
    begun, lost = _noise_at_rest(driven, windows, burn_in)

    def measure(_, frames, logs):
        # Rows of a frame are J C e_i, with C the covariance at lag 0.
        return jnp.diagonal(frames[0], axis1=1, axis2=2), logs[0]

    _, (own, logs) = follow_frames(
        driven.cell, driven.inputs, begun, windows, burn_in, max_lag, measure
    )
    # Each window by its own size at lag 0, so that a loud one does not speak for all.
    own = own * jnp.exp(logs - logs[:1])[:, :, None]
    own = own / jnp.mean(own[:1], axis=2, keepdims=True)
    groups = jnp.mean(own.reshape(max_lag + 1, windows.groups, -1, own.shape[2]), axis=2)
    mean = jnp.mean(groups, axis=1)
    correlation = mean / mean[:1]
    value, censored = _fallen(correlation)
    error = jnp.full_like(value, jnp.nan)
    if windows.groups > 1:
        others = (jnp.sum(groups, axis=1, keepdims=True) - groups) / (windows.groups - 1)
        left_out = jax.vmap(lambda one: _fallen(one / one[:1])[0], in_axes=1)(others)
        gap = left_out - jnp.mean(left_out, axis=0, keepdims=True)
        error = jnp.sqrt((windows.groups - 1) / windows.groups * jnp.sum(gap**2, axis=0))
    lost = lost | jnp.any(~jnp.isfinite(correlation))
    value, error = (jnp.where(lost, jnp.nan, each) for each in (value, error))
    flags = jnp.where(lost, int(Status.NOT_FINITE), 0).astype(jnp.int32)
    details = {"censored": censored, "correlation": correlation, "lag": jnp.arange(max_lag + 1)}
    return value, error, flags, details


def _noise_at_rest(driven: Driven, windows: Windows, burn_in):
    """The state and the covariance of small white noise when ``burn_in`` steps have passed."""
    size = flatten_state(driven.state)[0].size
    unit = jnp.eye(size, dtype=driven.inputs.dtype)

    def one(sequence, first):
        def advance(step, carry):
            state, covariance, log = carry
            state, push = linearise(driven.cell, state, driven.inputs[sequence, first + step])
            covariance = jax.vmap(push)(jax.vmap(push)(covariance).T)
            covariance = covariance + jnp.exp(-log) * unit
            scale = jnp.max(jnp.diagonal(covariance))
            return state, covariance / scale, log + jnp.log(scale)

        zero = jnp.zeros((), driven.inputs.dtype)
        begin = (driven.state, jnp.zeros((size, size), driven.inputs.dtype), zero)
        return jax.lax.fori_loop(0, burn_in + 1, advance, begin)[:2]

    states, covariances = jax.lax.map(lambda place: one(*place), (windows.sequence, windows.first))
    return (states, (covariances,)), jnp.any(~jnp.isfinite(covariances))


def _fallen(correlation: Float[Array, "k n"]) -> tuple[Float[Array, "n"], Array]:
    """Where each column first falls to 1/e, by straight lines of logarithms; else the last lag."""
    below = correlation <= np.exp(-1.0)
    after = jnp.argmax(below, axis=0)
    censored = ~jnp.any(below, axis=0)

    def at(lag):
        return jnp.take_along_axis(correlation, lag[None], axis=0)[0]

    high, low = at(jnp.maximum(after - 1, 0)), at(after)
    # What has passed zero has no logarithm: it fell within the step, at its beginning.
    slope = jnp.log(high) - jnp.log(jnp.maximum(low, 0 * low))
    part = jnp.where(low > 0, (jnp.log(high) + 1) / slope, 0)
    crossing = (after - 1).astype(part.dtype) + part
    last = jnp.asarray(correlation.shape[0] - 1, correlation.dtype)
    return jnp.where(censored, last, jnp.maximum(crossing, 0 * crossing)), censored
