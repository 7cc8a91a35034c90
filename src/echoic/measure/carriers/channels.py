"""Which channel of the input is remembered how long."""

from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step
from echoic.core.checks import at_least, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.gain.frames import begin_frames, follow_frames
from echoic.measure.information.recall import linear_recall
from echoic.measure.windows import Driven, Windows, burn_in_for, place, prepare, spread


def channel_reach(
    cell: AbstractCell | Step,
    inputs: Any,
    *,
    max_lag: int,
    key: PRNGKeyArray,
    starts: int = 32,
    burn_in: int | None = None,
    state: State = None,
    throw: bool = True,
) -> Estimate:
    """How much of each input channel is left in the state after k steps.

    **Definition.** ``R_j(k) = s_j sqrt(< |dh_t/dx_{t-k,j}|^2 >)``: the length of the state's
    displacement by one standard deviation s_j of channel j, k steps later, root mean square over
    starting times. The mean square over channels is that of the
    [`input_reach`][echoic.input_reach]. A channel that does not vary has a reach of 0.

    **Arguments:** as for [`gradient_reach`][echoic.gradient_reach]; ``inputs`` of shape (t, m) or
    (b, t, m).

    **Returns:** an `Estimate` of shape (m, k), lags 0 to ``max_lag``, with the error from starting
    times. [`horizon_of`][echoic.horizon_of] of a row, relative to lag 0, is how long that channel
    is remembered. Details: ``lag``; ``log_value``; ``spread`` (m,), the s_j.

    **Raises:** ValueError when the inputs do not vary or are too short; UntrustedError, see
    ``throw``.

    **When the number misleads:** it is a gain: what it carries may be mixed up with other channels,
    and only [`channel_recall`][echoic.channel_recall] tells whether a readout can tell them apart.

    **Cost:** ``starts * m * max_lag`` products of W with a vector.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> xs = jax.random.normal(jax.random.key(1), (300, 2))
        >>> leak = jnp.array([0.5, 0.9])
        >>> found = channel_reach(lambda h, x: leak * h + x, xs, state=jnp.zeros(2), max_lag=4,
        ...                       key=jax.random.key(0))
        >>> relative = found.value / found.value[:, :1]
        >>> bool(jnp.allclose(relative, leak[:, None] ** jnp.arange(5.0)[None], rtol=1e-4))
        True

        ```
    """
    if inputs is None:
        raise ValueError("channel_reach needs inputs: without any there is no channel.")
    driven = prepare(cell, inputs, state, None)
    if not driven.driven:
        raise ValueError("channel_reach needs inputs that vary: these are constant.")
    max_lag, starts = at_least("max_lag", max_lag, 1), at_least("starts", starts, 1)
    _, length, channels = driven.inputs.shape
    burn_in = burn_in_for(burn_in, max_lag, length)
    windows = place(driven.inputs, burn_in, max_lag + 1, starts, key)
    one = windows.size * channels * driven.inputs.dtype.itemsize
    refuse_if_larger("the frames", 4.0 * one * driven.cell.state_size)
    value, error, flags, details = _reach(driven, windows, jnp.asarray(burn_in, jnp.int32), max_lag)
    settings = Settings(
        max_lag=max_lag, burn_in=burn_in, starts=windows.size, independent=windows.groups
    )
    estimate = Estimate(value, error, flags, settings, details)
    return estimate.throw(Status.NOT_FINITE) if throw else estimate


@eqx.filter_jit
def _reach(driven: Driven, windows: Windows, burn_in, max_lag: int):
    inputs, scale = driven.inputs, spread(driven.inputs)

    def measure(_, frames, logs):
        squares = jnp.sum(frames[0] ** 2, axis=2)
        shift = jnp.max(logs[0])
        squares = squares * jnp.exp(2 * (logs[0] - shift))[:, None]
        groups = jnp.mean(squares.reshape(windows.groups, -1, squares.shape[1]), axis=1)
        error = jnp.full(squares.shape[1], jnp.nan, squares.dtype)
        if windows.groups > 1:
            error = jnp.std(groups, axis=0, ddof=1) / windows.groups**0.5
        return shift, jnp.mean(groups, axis=0), error

    units = jnp.diag(scale)
    begun = begin_frames(driven.cell, inputs, driven.state, windows, burn_in, None, units)
    _, (shift, square, error) = follow_frames(
        driven.cell, inputs, begun, windows, burn_in, max_lag, measure
    )
    log_value = (shift[:, None] + jnp.log(square) / 2).T
    value = jnp.exp(log_value)
    relative = jnp.where(square > 0, error / jnp.where(square > 0, square, 1) / 2, 0 * square).T
    lost = jnp.any(jnp.isnan(value) | jnp.isposinf(value))
    flags = jnp.where(lost, int(Status.NOT_FINITE), 0).astype(jnp.int32)
    details: dict[str, Array] = {
        "lag": jnp.arange(max_lag + 1),
        "log_value": log_value,
        "spread": scale,
    }
    return value, value * relative, flags, details


def channel_recall(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    max_lag: int,
    key: PRNGKeyArray,
    probe: float = 0.1,
    steps: int = 20_000,
    burn_in: int | None = None,
    state: State = None,
    exact: Literal["auto", "always", "never"] = "auto",
    throw: bool = True,
) -> Estimate:
    """How well a linear readout of the state recovers each channel's probe from k steps ago.

    **Definition.** ``MC_j(k)``, the R^2 of the best linear readout of a white probe of channel j
    alone, while all channels carry probes of their own: [`linear_recall`][echoic.linear_recall] is
    the mean over channels.

    **Arguments, errors, cost:** those of `linear_recall`.

    **Returns:** an `Estimate` of shape (m, k), lags 0 to ``max_lag``. Sampled ones may lie a little
    below 0. Details: ``floor`` (m,), what chance gives; ``lag``.
    [`horizon_of`][echoic.horizon_of] of a row is how long that channel is remembered.

    **When the number misleads:** as `linear_recall` does; and channels compete: a network of n
    units recalls n steps in all, whichever channel they belong to.

    ??? example
        A delay line for the first channel, none for the second.
        ```python
        >>> import jax, jax.numpy as jnp
        >>> line = lambda h, x: jnp.array([x[0], h[0], x[1]])
        >>> found = channel_recall(line, jnp.zeros((900, 2)), state=jnp.zeros(3), max_lag=2,
        ...                        key=jax.random.key(0))
        >>> jnp.round(found.value).astype(int).tolist()
        [[1, 1, 0], [1, 0, 0]]

        ```
    """
    found = linear_recall(
        cell,
        inputs,
        max_lag=max_lag,
        key=key,
        probe=probe,
        steps=steps,
        burn_in=burn_in,
        state=state,
        exact=exact,
        throw=throw,
    )
    details = {"floor": found.details["channel_floor"], "lag": jnp.arange(max_lag + 1)}
    value, error = found.details["by_channel"], found.details["channel_error"]
    return Estimate(value, error, found.status, found.settings, details)
