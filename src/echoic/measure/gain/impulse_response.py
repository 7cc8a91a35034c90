"""The impulse response of any network, linearised: which lags it uses, and which it has learnt."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from echoic.core.cell import as_cell, flatten_state, without_law
from echoic.core.checks import at_least, sequences
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.model import own_readout
from echoic.core.tangent import all_finite


def impulse_response(
    cell: Any,
    inputs: Any = None,
    *,
    max_lag: int,
    readout: Any = None,
    state: Any = None,
    input_size: int = 1,
) -> Estimate:
    """The derivative of the last output in each of the latest inputs.

    **Definition.** ``L_j = d y_t / d x_{t-j}``, j = 0..max_lag, along the given inputs; without
    any, along inputs that are zero. Of a linear network from rest, ``y_t = sum_j L_j x_{t-j}``.

    **Arguments**
    - `cell`: a cell or a `Network`; or a bare ``step(state, x)``, then with `state`.
    - `inputs`: (t,) or (t, m), t > max_lag; by default max_lag + 1 zeros.
    - `readout`: from an output (n,) to (p,); by default the network's own, else the output.
    - `state`: the state before the first input; `input_size`: m, of a bare step without inputs.

    **Returns** an `Estimate` of shape (max_lag + 1, p, m), exact; ``details["power"]``: the mean
    square over entries, by lag.

    **Raises** ValueError where shapes do not fit, and for a cell that takes no input.

    **Misleads.** Of a network that is not linear it speaks of small changes about this run only.

    **Cost** one run, and p signals sent back, O(max_lag p n^2).

    **Example** A leaky sum.
    >>> import jax.numpy as jnp
    >>> found = impulse_response(lambda s, x: 0.5 * s + x, max_lag=2, state=jnp.zeros(1))
    >>> found.value[:, 0, 0].tolist()
    [1.0, 0.5, 0.25]
    """
    lags = at_least("max_lag", max_lag, 0) + 1
    if inputs is not None:
        input_size = 1 if jnp.ndim(inputs) == 1 else jnp.shape(inputs)[-1]
    cell = without_law(as_cell(cell, state, input_size))
    if not cell.input_size:
        raise ValueError("a cell that takes no input does not respond to one.")
    start = cell.initial_state() if state is None else state
    dtype = flatten_state(start)[0].dtype
    if inputs is None:
        xs = jnp.zeros((lags, cell.input_size), dtype)
    else:
        batch = sequences(inputs, cell.input_size, dtype)
        if batch.shape[0] != 1 or batch.shape[1] < lags:
            raise ValueError(
                f"inputs must be one sequence of at least max_lag + 1 = {lags} steps, got"
                f" {batch.shape[0]} of {batch.shape[1]}."
            )
        xs = batch[0]
    if readout is None:
        readout = own_readout(cell)
    value = _response(cell, readout, start, xs, lags)
    status = jnp.where(jnp.isfinite(value).all(), int(Status.OK), int(Status.NOT_FINITE))
    power = jnp.mean(value**2, axis=(1, 2))
    return Estimate(value, None, status, Settings(max_lag=max_lag), {"power": power})


def learned_response(
    before: Any,
    after: Any,
    inputs: Any = None,
    *,
    max_lag: int,
    readouts: tuple[Any, Any] = (None, None),
) -> Estimate:
    """What training has added to the impulse response.

    **Definition.** ``L_j(after) - L_j(before)``. A short training of a wide linear network moves
    lag j in proportion to its `lag_weights`, rho_j, times minus the gradient of the loss in L_j; at
    long lags the random start is the larger part of L_j, and is taken off here.

    **Arguments:** two cells or networks of equal shape; the rest as for [`impulse_response`][].

    **Returns** an `Estimate` of shape (max_lag + 1, p, m); ``details``: ``"before"``, ``"after"``.

    **Reference** Emami et al. (2021) for the bias to short lags.
    """
    first, second = (
        impulse_response(cell, inputs, max_lag=max_lag, readout=readout)
        for cell, readout in zip((before, after), readouts, strict=True)
    )
    if first.value.shape != second.value.shape:
        raise ValueError(
            "before and after must have as many inputs and outputs, got responses of shape"
            f" {first.value.shape} and {second.value.shape}."
        )
    details = {"before": first.value, "after": second.value}
    status = first.status | second.status
    return Estimate(second.value - first.value, None, status, first.settings, details)


@eqx.filter_jit
def _response(cell, readout, start, xs, lags) -> Float[Array, "k p m"]:
    def forward(state, x):
        return cell.step(state, x), state

    split = len(xs) - lags
    state, _ = jax.lax.scan(forward, start, xs[:split])
    last, before = jax.lax.scan(forward, state, xs[split:])

    def output(vector):
        seen = cell.output(flatten_state(last)[1](vector))
        return seen if readout is None else jnp.reshape(readout(seen), (-1,))

    def back(signals, item):
        old, x = item
        _, pull = jax.vjp(
            lambda v, x: flatten_state(cell.step(flatten_state(old)[1](v), x))[0],
            *(flatten_state(old)[0], x),
        )
        return jax.vmap(pull)(signals)

    signals = jax.jacrev(output)(flatten_state(last)[0])
    _, found = jax.lax.scan(back, signals, (before, xs[split:]), reverse=True)
    return jnp.where(all_finite(last, xs), found[::-1], jnp.nan)
