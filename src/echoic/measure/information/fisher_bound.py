"""The dynamical bound: no network remembers more than its amplification of the signal allows."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state, without_law
from echoic.core.checks import at_least, channels_of, is_traced, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.tangent import linearise
from echoic.measure.gain.frames import directions
from echoic.measure.information.fisher_driven import (
    MOST_DIRECTIONS,
    default_noise,
    unit_direction,
    variance_of_directions,
)
from echoic.measure.windows import Driven, Windows, burn_in_for, place, prepare, spread


def fisher_bound(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    max_lag: int,
    key: PRNGKeyArray | None = None,
    noise_variance: float | None = None,
    direction: Any = None,
    starts: int = 16,
    burn_in: int | None = None,
    state: State = None,
    throw: bool = True,
) -> Estimate:
    """The most Fisher memory that each lag can have, from how the signal grows on its way.

    **Definition.** ``J(k) <= (1 / eps) / sum_{m <= k} 1 / |b_m|^2`` with ``b_m = dh_{s+m}/dx_s``:
    by Cauchy's inequality for the noise of each step on the way. It holds for linear networks,
    stable or not, and for others linearised along their trajectory. Delay lines attain it. To keep
    J above 0 at long lags the signal's power must grow faster than time.

    **Units:** those of ``echoic.fisher_memory``: the input in units of its own standard deviation,
    of 1 without ``inputs``; divide by ``details["input_gain"]`` for a unit input vector.

    **Arguments:**

    - ``cell``: a cell, or a function ``step(state, x) -> state`` with its initial ``state``.
    - ``inputs``: shape (t,), (t, m) or (b, t, m); needed unless the cell is linear.
    - ``max_lag``: the largest lag; lag 0 is the newest input.
    - ``key``: draws the times, and probes of more than 8 channels; not needed for linear cells.
    - ``noise_variance``: eps; by default what `fisher_memory` takes.
    - ``direction``: shape (m,), in channels, in units of their spread; by default their mean.
    - ``starts``: number of times averaged over. ``burn_in``: steps before the first.
    - ``throw``: raise where numbers become infinite.

    **Returns:** an `Estimate` over the lags 0 to ``max_lag``; no error for linear cells. Details:
    ``total``, ``noise_variance``, ``input_gain``, ``lag``.

    **Raises:** ValueError for missing, constant or too short inputs; UntrustedError, see ``throw``.

    **When the number misleads:** it looks at the amplification only. A network may lose by noise
    from other directions all that the bound allows. Means over times bound means over the same
    times. Of more than 8 channels the mean is one over random directions, which bounds the mean J
    as well but is no mean over channels; their sampling is in the error.

    **Cost:** linear: n^2 a lag. Driven: one step and one tangent a channel (8 at most) for each
    step of each window.

    **Reference:** derived here; a dynamical bound is also a subject of the supplement of Ganguli,
    Huh & Sompolinsky (2008), PNAS.

    ??? example
        ```python
        >>> import jax.numpy as jnp, jax.random as jr
        >>> leak = lambda h, x: 0.5 * h + x
        >>> bound = fisher_bound(leak, jr.normal(jr.key(1), (300,)), state=jnp.zeros(1), max_lag=3,
        ...                      key=jr.key(0), noise_variance=1.0)
        >>> relative = bound.value / bound.details["input_gain"]
        >>> bool(jnp.allclose(relative, 1 / jnp.array([1.0, 5, 21, 85])))
        True

        ```
    """
    max_lag = at_least("max_lag", max_lag, 0)
    network: AbstractCell = without_law(as_cell(cell, state, channels_of(inputs)))
    form = network.linear_form()
    if inputs is None and form is None:
        raise ValueError("only linear cells have a Fisher memory without inputs: pass inputs.")
    if noise_variance is not None and not (is_traced(noise_variance) or noise_variance > 0):
        raise ValueError(f"noise_variance must be positive, got {noise_variance}.")
    driven = None if inputs is None else prepare(cell, inputs, state, None)
    if driven is not None and not driven.driven:
        raise ValueError("the inputs are constant: their spread is the unit of the signal.")
    if form is not None:
        channels, dtype = form.input.shape[1], form.recurrent.dtype
        probes = _probes(None, channels, direction, dtype)
        probes = probes * (1 if driven is None else spread(driven.inputs)[None])
        value, gain, ok = _linear_bound(form.recurrent, form.input @ probes.T, max_lag)
        error, count = jnp.zeros_like(value), 1
    else:
        assert driven is not None
        if key is None:
            raise ValueError("a driven network is measured at random times: pass key=...")
        place_key, probe_key = jax.random.split(key)
        channels, dtype = driven.inputs.shape[2], driven.inputs.dtype
        burn_in = burn_in_for(burn_in, max_lag, driven.inputs.shape[1])
        places = place(
            driven.inputs, burn_in, max_lag + 1, at_least("starts", starts, 1), place_key
        )
        probes = _probes(probe_key, channels, direction, dtype) * spread(driven.inputs)[None]
        size = flatten_state(driven.state)[0].size
        refuse_if_larger("the bound", 4.0 * places.size * size * len(probes) * dtype.itemsize)
        burnt = jnp.asarray(burn_in, jnp.int32)
        value, error, gain, ok = _driven_bound(
            *(driven, places, probes, burnt, max_lag, burn_in + max_lag + 1),
            channels if direction is None else 1,
        )
        count = places.size
    variance: Any = 1.0 if noise_variance is None else noise_variance
    if noise_variance is None and driven is not None:
        variance = default_noise(driven, burn_in_for(burn_in, max_lag, driven.inputs.shape[1]))
    variance = jnp.asarray(variance, dtype)
    settings = Settings(
        max_lag=max_lag,
        exact=form is not None,
        starts=count,
        signal="mean over channels" if direction is None else "one direction",
        signal_unit="1" if driven is None else "standard deviation of the input",
    )
    value = value / variance
    details = {
        "total": jnp.sum(value),
        "noise_variance": variance,
        "input_gain": gain,
        "lag": jnp.arange(max_lag + 1),
    }
    flags = jnp.where(ok, 0, int(Status.NOT_FINITE))
    estimate = Estimate(value, error / variance, flags, settings, details)
    return estimate.throw(Status.NOT_FINITE) if throw else estimate


def _probes(key, channels: int, direction: Any, dtype: Any) -> Float[Array, "q m"]:
    """The signals, in channels, of which the mean is taken."""
    if direction is not None:
        return unit_direction(direction, channels, dtype)[None]
    if key is None:
        return jnp.eye(channels, dtype=dtype)
    return directions(key, channels, MOST_DIRECTIONS, dtype)


def _bound(powers: Float[Array, "k q"]) -> Float[Array, "k q"]:
    """From each probe's power at each age; what has ended is not remembered."""
    return 1 / jnp.cumsum(1 / powers, axis=0)


@eqx.filter_jit
def _linear_bound(w, signals: Float[Array, "n q"], max_lag: int):
    def advance(now, _):
        return w @ now, jnp.sum(now**2, axis=0)

    _, powers = jax.lax.scan(advance, signals, length=max_lag + 1)
    finite = jnp.all(jnp.isfinite(w)) & jnp.all(jnp.isfinite(signals))
    value = jnp.where(finite, jnp.mean(_bound(powers), axis=1), jnp.nan)
    return value, jnp.mean(powers[0]), jnp.all(jnp.isfinite(value))


@eqx.filter_jit
def _driven_bound(
    driven: Driven,
    places: Windows,
    probes: Float[Array, "q m"],
    burn_in,
    max_lag: int,
    length: int,
    channels: int,
):
    """Mean over windows and its error: one signal each, from step ``burn_in`` of the window on."""
    size = flatten_state(driven.state)[0].size

    def one(sequence, first):
        def advance(carry, time):
            state, signals = carry
            x = driven.inputs[sequence, first + time]
            _, enter = jax.linearize(lambda x: flatten_state(driven.cell.step(state, x))[0], x)
            state, push = linearise(driven.cell, state, x)
            signals = jnp.where(time == burn_in, jax.vmap(enter)(probes), jax.vmap(push)(signals))
            return (state, signals), jnp.sum(signals**2, axis=1)

        silence = jnp.zeros((probes.shape[0], size), probes.dtype)
        times = jnp.arange(length, dtype=jnp.int32)
        _, powers = jax.lax.scan(advance, (driven.state, silence), times)
        return jax.lax.dynamic_slice_in_dim(powers, burn_in, max_lag + 1)

    powers = jax.vmap(one)(places.sequence, places.first)
    each = jax.vmap(_bound)(powers)
    of_directions = variance_of_directions(jnp.mean(each, axis=0), channels)
    table = jnp.mean(each, axis=2)
    # Windows of one group overlap: the groups are what counts as independent.
    grouped = jnp.mean(table.reshape(places.groups, -1, table.shape[1]), axis=1)
    value = jnp.mean(grouped, axis=0)
    if places.groups == 1:
        error = jnp.full_like(value, jnp.nan)
    else:
        error = jnp.var(grouped, axis=0, ddof=1) / places.groups
        error = jnp.sqrt(error + value**2 * of_directions)
    finite = jnp.all(jnp.isfinite(value)) & jnp.all(jnp.isfinite(powers))
    return value, error, jnp.mean(powers[:, 0]), finite
