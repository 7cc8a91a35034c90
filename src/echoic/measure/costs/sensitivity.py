"""How gradient and curvature of a cost grow with the length of the sequence."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from echoic.core.cell import AbstractCell, as_cell, flatten_state, without_law
from echoic.core.checks import at_least, sequences
from echoic.core.estimate import Estimate, Settings, Status


def cost_sensitivity(
    path: Callable[[Any], Any],
    at: Any,
    inputs: Any = None,
    targets: Any = None,
    *,
    readout: Callable | None = None,
    state: Any = None,
    steps: int | None = None,
) -> Estimate:
    """Slope and curvature of a cost along a line of cells, for every length of the sequence.

    **Definition.** ``V_N(s) = (1/N) sum_{t=1..N} mean_p (y_t(s) - target_t)^2`` where y_t are the
    readouts of the cell ``path(s)``. The value is ``log|dV_N/ds|``, the natural logarithm, for
    N = 1..t; ``details["log_curvature"]`` is ``log|d^2V_N/ds^2|``. Both derivatives are exact
    (first and second sensitivities pushed along with the state) and carried with a common scale, so
    that neither overflows, whatever N.

    **Arguments**
    - `path`: from a scalar s to a cell, e.g. ``line_of_cells(cell, direction)``; or to a bare
      ``step(state, x)``, then with `state`.
    - `at`: the scalar s, or an array (b,) of them; the dtype of the cell's state is used.
    - `inputs`: (t,) or (t, m); None for a step function without inputs, then with `steps`.
    - `targets`: (t, p); by default zeros.
    - `readout`: from an output (n,) to (p,); by default the output itself.
    - `state`: the state before the first input, the same for all s; by default the cell's own.

    **Returns** an `Estimate`, value (t,) or (b, t), exact. ``details``: ``"log_curvature"``,
    ``"slope_sign"``, ``"curvature_sign"`` and ``"cost"``, V_N itself. -inf where a derivative is 0.

    **Raises** ValueError where shapes do not fit.

    **Misleads.** A chaotic network amplifies rounding: beyond ``log(1/eps) / lambda_1`` steps
    (36 / lambda_1 in float64) growth rates are still right, single values are not.

    **Cost** about 6 runs of the cell in time, O(state) in memory; b times that for b points.

    **Reference** Ribeiro, Tiels, Aguirre and Schön (2020), AISTATS, PMLR 108: smoothness of the
    cost as a function of the sequence's length.

    **Example** A sum has derivatives that grow with powers of the length.
    >>> import jax.numpy as jnp
    >>> found = cost_sensitivity(lambda s: lambda x, _: x + s, 1.0, state=jnp.zeros(1), steps=3)
    >>> bool(jnp.allclose(jnp.exp(found.value), jnp.array([2.0, 5.0, 28 / 3])))
    True
    """
    at = jnp.asarray(at)
    if at.ndim > 1:
        raise ValueError(f"at must be a scalar or have shape (b,), got {at.shape}.")
    cell = _cell_at(path, at if at.ndim == 0 else at[0], inputs, state)
    start = cell.initial_state() if state is None else state
    dtype = flatten_state(start)[0].dtype
    if inputs is None:
        if steps is None:
            raise ValueError("a step function without inputs needs steps=...")
        xs = jnp.zeros((at_least("steps", steps, 1), cell.input_size), dtype)
    else:
        batch = sequences(inputs, cell.input_size, dtype)
        if batch.shape[0] != 1:
            raise ValueError(f"inputs must be one sequence (t,) or (t, m), got {batch.shape}.")
        xs = batch[0]
    outputs = jax.eval_shape(lambda s: _read(cell, readout, s), start)
    if targets is None:
        ys = jnp.zeros((xs.shape[0], *outputs.shape), dtype)
    else:
        ys = jnp.asarray(targets).astype(dtype)
    if ys.shape != (xs.shape[0], *outputs.shape):
        raise ValueError(f"targets must have shape {(len(xs), *outputs.shape)}, got {ys.shape}.")
    found = _sensitivity(path, at.astype(dtype), xs, ys, readout, start, inputs is None)
    status = jnp.where(
        jnp.isnan(found["log_slope"]).any(-1), int(Status.NOT_FINITE), int(Status.OK)
    )
    return Estimate(
        found.pop("log_slope"), None, status, Settings(steps=xs.shape[0]), details=found
    )


def _cell_at(path, s, inputs, state) -> AbstractCell:
    cell = path(s)
    if isinstance(cell, AbstractCell):
        return without_law(cell)
    channels = 0 if inputs is None else (1 if jnp.ndim(inputs) == 1 else jnp.shape(inputs)[-1])
    return as_cell(cell, state, channels)


def _read(cell, readout, state):
    output = cell.output(state)
    return output if readout is None else readout(output)


@eqx.filter_jit
def _sensitivity(path, at, xs, ys, readout, start, autonomous) -> dict[str, Array]:
    def one(s):
        return _along(path, s, xs, ys, readout, start, autonomous)

    return one(at) if at.ndim == 0 else jax.vmap(one)(at)


def _along(path, s, xs, ys, readout, start, autonomous) -> dict[str, Array]:
    """One point: s = s_0 + r e^-scale, so that derivatives in r stay of order one.

    ``a`` and ``b`` are first and second derivatives of the state in r, ``slope`` and ``bend`` those
    of the summed cost. A new scale multiplies first derivatives by a factor, second ones by its
    square.
    """
    vector, restore = flatten_state(start)

    def advance(s, vector, x, y):
        cell = _cell_at(path, s, None if autonomous else xs, start)
        new = cell.step(restore(vector), x)
        error = _read(cell, readout, new) - y
        return flatten_state(new)[0], jnp.mean(error**2)

    def step(carry, data):
        vector, a, b, total, slope, bend, scale = carry

        def first(s, vector, a, unit):
            return jax.jvp(lambda s, v: advance(s, v, *data), (s, vector), (unit, a))

        unit = jnp.exp(-scale)
        (new, term), ((a, own_slope), (b, own_bend)) = _second(first, s, vector, a, b, unit)
        total, slope, bend = total + term, slope + own_slope, bend + own_bend
        sizes = [jnp.max(jnp.abs(a)), jnp.sqrt(jnp.max(jnp.abs(b)))]
        sizes += [jnp.abs(slope), jnp.sqrt(jnp.abs(bend)), unit]
        factor = 1 / jnp.max(jnp.stack(sizes))
        a, b = a * factor, b * factor**2
        slope, bend, scale = slope * factor, bend * factor**2, scale - jnp.log(factor)
        return (new, a, b, total, slope, bend, scale), (total, slope, bend, scale)

    zero = jnp.zeros((), vector.dtype)
    still = jnp.zeros_like(vector)
    carry = (vector, still, still, zero, zero, zero, zero)
    _, (total, slope, bend, scale) = jax.lax.scan(step, carry, (xs, ys))
    lengths = jnp.arange(1, len(xs) + 1, dtype=vector.dtype)
    return {
        "log_slope": jnp.log(jnp.abs(slope)) + scale - jnp.log(lengths),
        "log_curvature": jnp.log(jnp.abs(bend)) + 2 * scale - jnp.log(lengths),
        "slope_sign": jnp.sign(slope),
        "curvature_sign": jnp.sign(bend),
        "cost": total / lengths,
    }


def _second(first, s, vector, a, b, unit):
    """State and cost themselves, then the pairs of their first and second derivatives in r."""
    (value, _), derivatives = jax.jvp(
        lambda s, vector, a: first(s, vector, a, unit), (s, vector, a), (unit, a, b)
    )
    return value, derivatives


def growth_rate(estimate: Estimate, start: int, stop: int) -> Float[Array, "..."]:
    """The least-squares slope of ``log(N |dV_N/ds|)`` from N = start to stop, in nats per step."""
    length = estimate.value.shape[-1]
    at_least("start", start, 1, length - 1)
    at_least("stop", stop, start + 1, length)
    lengths = jnp.arange(start, stop + 1, dtype=estimate.value.dtype)
    centred = lengths - jnp.mean(lengths)
    logs = estimate.value[..., start - 1 : stop]
    weight = centred / jnp.sum(centred**2)
    total = logs @ weight
    return total + jnp.log(lengths) @ weight
