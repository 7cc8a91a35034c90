"""What a readout can see of what the network carries."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, flatten_state
from echoic.core.checks import at_least, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.model import own_readout
from echoic.measure.gain.frames import begin_frames, directions, follow_frames
from echoic.measure.windows import Driven, Windows, burn_in_for, place, prepare, spread


class _Matrix(eqx.Module):
    """A readout that is given as its matrix alone."""

    weight: Float[Array, "p n"]

    def __call__(self, output: Float[Array, "n"]) -> Float[Array, "p"]:
        return self.weight @ output


def readout_visibility(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    max_lag: int,
    key: PRNGKeyArray,
    readout: Callable[[Array], Array] | Any = None,
    probes: int | None = None,
    starts: int = 16,
    burn_in: int | None = None,
    state: State = None,
    steps: int | None = None,
    throw: bool = True,
) -> Estimate:
    """The part of a perturbation k steps old that a readout can see.

    **Definition.** ``v(k) = < |P_t J_k|_F^2 > / < |J_k|_F^2 >`` with ``J_k = dh_t/dh_{t-k}`` and
    P_t the projector on the directions of state that the readout tells apart, the row space of
    ``C_t = dy_t/dh_t``. Between 0 and 1: a share of squares. Directions seen at random would see
    ``details["chance"]``, the rank of C over n, at every lag.

    **Arguments**

    - ``readout``: a matrix (p, n), or a callable from an output (n,) to (p,), which is linearised;
      by default the network's own.
    - ``probes``: random directions that stand for all perturbations; by default every direction.
    - ``cell``, ``inputs``, ``max_lag``, ``key``, ``starts``, ``burn_in``, ``state``, ``steps``: as
      for [`gradient_reach`][echoic.gradient_reach].

    **Returns:** an `Estimate` over the lags 0 to ``max_lag``, with a jackknife error over starting
    times, and over probes where these are fewer than n; NaN where nothing is left to be seen.
    Details: ``gain``, ``sqrt(< |C J_k|_F^2 > / n)``, how strongly the outputs react; where inputs
    vary also ``input_share`` and ``input_error``, the same share for the displacement by an input k
    steps ago, and ``input_gain``, ``sqrt(< |dy_t/dx_{t-k} s|_F^2 > / m)``; ``chance``; ``lag``.

    **Raises:** ValueError where there is no readout, or a sequence is too short; UntrustedError,
    see ``throw``.

    **When the number misleads:** a share of what is left, which may be nothing: look at ``gain``.
    And it counts directions, not noise: what is seen faintly counts as seen.

    **Cost:** ``starts * max_lag`` products of (n, n) with (n, probes), and as many singular value
    decompositions of (p, n).

    ??? example
        A slow unit that the readout does not see.
        ```python
        >>> import jax, jax.numpy as jnp
        >>> leak = jnp.array([0.5, 0.9])
        >>> found = readout_visibility(
        ...     lambda h, x: leak * h, readout=jnp.array([[1.0, 0.0]]), state=jnp.ones(2),
        ...     steps=200, max_lag=20, key=jax.random.key(0),
        ... )
        >>> power = leak[:, None] ** (2 * jnp.arange(21.0)[None])
        >>> bool(jnp.allclose(found.value, power[0] / power.sum(0), rtol=1e-4))
        True

        ```
    """
    driven = prepare(cell, inputs, state, steps)
    if readout is None:
        readout = own_readout(driven.cell)
    if readout is None:
        raise ValueError("there is no readout: pass its matrix (p, n), or a function of an output.")
    if not callable(readout):
        readout = _Matrix(jnp.asarray(readout, driven.inputs.dtype))
    max_lag, starts = at_least("max_lag", max_lag, 1), at_least("starts", starts, 1)
    start, (_, length, channels) = flatten_state(driven.state)[0], driven.inputs.shape
    burn_in = burn_in_for(burn_in, max_lag, length)
    number = start.size if probes is None else at_least("probes", probes, 1)
    place_key, state_key = jax.random.split(key)
    of_state = directions(state_key, start.size, number, start.dtype)
    windows = place(driven.inputs, burn_in, max_lag + 1, starts, place_key)
    rows = len(of_state) + (channels if driven.driven else 0)
    refuse_if_larger("the frames", 4.0 * windows.size * rows * start.size * start.dtype.itemsize)
    value, error, flags, details = _seen(
        driven, readout, windows, jnp.asarray(burn_in, jnp.int32), of_state, max_lag
    )
    settings = Settings(
        max_lag=max_lag,
        burn_in=burn_in,
        starts=windows.size,
        independent=windows.groups,
        probes=len(of_state),
    )
    estimate = Estimate(value, error, flags, settings, details)
    return estimate.throw(Status.NOT_FINITE) if throw else estimate


@eqx.filter_jit
def _seen(driven: Driven, readout, windows: Windows, burn_in, of_state, max_lag: int):
    inputs, size = driven.inputs, of_state.shape[1]
    of_input = jnp.diag(spread(inputs)) if driven.driven else None

    def measure(states, frames, logs):
        slopes = jax.vmap(lambda state: _slopes(driven.cell, readout, state))(states)
        strengths, rows = jnp.linalg.svd(slopes, full_matrices=False)[1:]
        least = jnp.finfo(slopes.dtype).eps * max(slopes.shape[1:])
        told = strengths > least * strengths[:, :1]
        rows = jnp.where(told[:, :, None], rows, 0)
        found = [jnp.mean(jnp.sum(told, axis=1).astype(slopes.dtype)) / size]
        for frame, log in zip(frames, logs, strict=True):
            shift = jnp.max(log)
            frame = frame * jnp.exp(log - shift)[:, None, None]
            found += [
                shift,
                jnp.sum(jnp.einsum("wqn,wrn->wqr", frame, rows) ** 2, axis=2),
                jnp.sum(frame**2, axis=2),
                jnp.mean(jnp.sum(jnp.einsum("wqn,wpn->wqp", frame, slopes) ** 2, axis=2)),
            ]
        return found

    begun = begin_frames(driven.cell, inputs, driven.state, windows, burn_in, of_state, of_input)
    _, (chance, *found) = follow_frames(
        driven.cell, inputs, begun, windows, burn_in, max_lag, measure
    )
    shift, seen, carried, output = found[:4]
    value, variance = _ratio(seen, carried, windows.groups)
    if of_state.shape[0] < size:
        by_probe = jnp.swapaxes(seen, 1, 2), jnp.swapaxes(carried, 1, 2)
        variance += _ratio(*by_probe, of_state.shape[0])[1] * (1 - of_state.shape[0] / size)
    details = {
        "gain": jnp.exp(shift) * jnp.sqrt(output),
        "chance": jnp.mean(chance),
        "lag": jnp.arange(max_lag + 1),
    }
    if driven.driven:
        shift, seen, carried, output = found[4:]
        share, spread_of_share = _ratio(seen, carried, windows.groups)
        details |= {"input_share": share, "input_error": jnp.sqrt(spread_of_share)}
        details["input_gain"] = jnp.exp(shift) * jnp.sqrt(output)
    lost = jnp.any(jnp.isnan(details["gain"]))
    flags = jnp.where(lost, int(Status.NOT_FINITE), 0).astype(jnp.int32)
    return value, jnp.sqrt(variance), flags, details


def _slopes(cell: AbstractCell, readout, state: State) -> Float[Array, "p n"]:
    vector, restore = flatten_state(state)
    return jax.jacrev(lambda v: jnp.reshape(readout(cell.output(restore(v))), (-1,)))(vector)


def _ratio(seen: Float[Array, "k w q"], carried: Float[Array, "k w q"], groups: int):
    """Sum over sum, and its variance by a jackknife over groups of the second axis."""
    tops, bottoms = (
        jnp.sum(jnp.sum(each, axis=2).reshape(each.shape[0], groups, -1), axis=2)
        for each in (seen, carried)
    )
    top, bottom = jnp.sum(tops, axis=1), jnp.sum(bottoms, axis=1)
    value = top / bottom
    if groups == 1:
        return value, jnp.full_like(value, jnp.nan)
    without = (top[:, None] - tops) / (bottom[:, None] - bottoms)
    gap = without - jnp.mean(without, axis=1, keepdims=True)
    return value, (groups - 1) / groups * jnp.sum(gap**2, axis=1)
