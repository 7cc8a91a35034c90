"""Time constants of modes: how many steps each takes to shrink to one part in e."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state, without_law
from echoic.core.checks import at_least, is_traced, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.tangent import jacobian
from echoic.measure.attractors.starts import constant_input
from echoic.measure.matrices.eigenvalues import eigenvalues, matching
from echoic.measure.matrices.square_matrix import power_of_two

_SAME = 1e-8  # of the norm of a matrix: eigenvalues that two algorithms agree on
_AT_REST = 1e-6  # of its own size and 1 a point may move in a step and still be called at rest


def mode_time_constants(
    source: Estimate | AbstractCell | Step | Any,
    *,
    point: State = None,
    input: Any = None,
    settle: int = 10_000,
    throw: bool = True,
) -> Estimate:
    """How many steps each mode of a network takes to shrink to one part in e.

    **Definition.** ``tau = -1 / lambda``, lambda in nats per step: given Lyapunov exponents, these;
    given a network, ``log|mu|`` of the eigenvalues mu of its Jacobian at a fixed point. A mode that
    does not shrink has inf, one that is gone at once 0.

    **Arguments**

    - ``source``: exponents, as an `Estimate` or an array (k,); or a cell, or a function
      ``step(state, x) -> state`` with its ``point``.
    - ``point``, ``input``: of a network, the fixed point and the constant input (zeros). Without a
      point, where the run from the initial state comes to rest within ``settle`` steps.
    - ``throw``: raise where there is no such rest, or the numbers are not finite.

    **Returns:** an `Estimate`, longest first, with the error that follows from the exponents'.
    Details of a network: ``eigenvalues`` (k,), complex; ``period`` (k,), in steps, inf without
    rotation; ``unit_share`` (n, k), the part of each number of the state in a mode (squares of the
    right eigenvector, NaN where rounding has taken it); ``point``; ``residual``, how far one step
    moves it.

    **Status:** NOT_CONVERGED (no point of rest), GROWING (a mode grows), NOT_FINITE.

    **Raises:** ValueError for wrong arguments and, for a network, under tracing (done by LAPACK).

    **When the number misleads:** modes of a non-normal matrix do not act alone: a delay line has
    n modes of 0 and remembers n steps. Linearised at rest it says nothing of a driven network,
    whose exponents then stand for its modes.

    **Cost:** the run, and O(n^3).

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> leaky = lambda h, x: jnp.array([0.5, 0.9]) * h
        >>> found = mode_time_constants(leaky, point=jnp.zeros(2))
        >>> bool(jnp.allclose(found.value, -1 / jnp.log(jnp.array([0.9, 0.5]))))
        True
        >>> mode_time_constants(jnp.array([-0.01, -0.5])).value.tolist()
        [100.0, 2.0]

        ```
    """
    if isinstance(source, Estimate) or not (isinstance(source, AbstractCell) or callable(source)):
        if point is not None or input is not None:
            raise ValueError("exponents belong to a run: point and input are for a network.")
        return _of_exponents(source)
    if is_traced(source, point, input):
        raise ValueError("modes of a network are found by LAPACK and cannot be traced.")
    channels = 0 if input is None else np.size(input)
    network: AbstractCell = without_law(as_cell(source, point, channels))
    start = network.initial_state() if point is None else jax.tree.map(jnp.asarray, point)
    x = constant_input(input, network.input_size, flatten_state(start)[0].dtype)
    rest = start if point is not None else _rest(network, start, x, at_least("settle", settle, 0))
    found, there, moved = _linearised(network, rest, x)
    matrix = np.asarray(there, float)
    refuse_if_larger("the eigenvectors", 64.0 * matrix.size)
    flags = Status.OK
    if not float(moved) <= _AT_REST * (1 + float(jnp.max(jnp.abs(found)))):
        flags |= Status.NOT_CONVERGED
    if np.all(np.isfinite(matrix)):
        values = eigenvalues(matrix).values
        share = _unit_share(matrix, values)
    else:
        flags |= Status.NOT_FINITE
        values, share = np.full(len(matrix), np.nan + 0j), np.full(matrix.shape, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = _constants(np.log(np.abs(values)))
        period = 2 * np.pi / np.abs(np.angle(values))
    flags |= Status.GROWING if np.any(np.abs(values) > 1) else Status.OK
    details = {
        "eigenvalues": jnp.asarray(values),
        "period": jnp.asarray(period, found.dtype),
        "unit_share": jnp.asarray(share, found.dtype),
        "point": found,
        "residual": moved,
    }
    estimate = Estimate(
        jnp.asarray(tau, found.dtype), None, flags, Settings(of="a fixed point"), details
    )
    return estimate.throw(Status.NOT_CONVERGED, Status.NOT_FINITE) if throw else estimate


def _unit_share(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Squares of the right eigenvectors, one column for each of the eigenvalues ``values``.

    NaN where rounding has moved these: the vectors of a long line are those of another matrix.
    """
    scale = power_of_two(matrix)
    unit, values = matrix / scale, values / scale
    found, vectors = np.linalg.eig(unit)
    order = matching(found, values)
    sure = np.abs(found[order] - values) <= _SAME * np.linalg.norm(unit)
    return np.where(sure[None], np.abs(vectors[:, order]) ** 2, np.nan)


def _of_exponents(source: Any) -> Estimate:
    value = jnp.asarray(source.value if isinstance(source, Estimate) else source)
    error = source.standard_error if isinstance(source, Estimate) else jnp.zeros_like(value)
    if value.ndim < 1 or not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(f"exponents must be an array (k,) of numbers, got {value.shape}.")
    tau = _constants(value)
    finite = jnp.isfinite(tau)
    spread = jnp.where(finite, jnp.where(finite, tau, 0) ** 2 * error, jnp.nan)
    spread = jnp.where(tau == 0, 0 * spread, spread)
    flags = jnp.where(jnp.any(value - 2 * jnp.nan_to_num(error) > 0), int(Status.GROWING), 0)
    flags |= jnp.where(jnp.any(jnp.isnan(value)), int(Status.NOT_FINITE), 0)
    return Estimate(tau, spread, flags, Settings(of="exponents"))


def _constants(exponents: Any) -> Any:
    """``-1 / lambda``; inf for what does not shrink, NaN for NaN."""
    where = np.where if isinstance(exponents, np.ndarray) else jnp.where
    return where(exponents >= 0, np.inf, -1 / where(exponents == 0, -1, exponents))


@eqx.filter_jit
def _rest(cell: AbstractCell, start: State, x, settle: int) -> State:
    """Where a run under constant input stands after ``settle`` steps, or where it comes to rest."""

    def going(carry):
        _, moved, count = carry
        return (moved > 0) & (count < settle)

    def advance(carry):
        state, _, count = carry
        new = cell.step(state, x)
        return new, jnp.max(jnp.abs(flatten_state(new)[0] - flatten_state(state)[0])), count + 1

    moving = jnp.ones((), flatten_state(start)[0].dtype)
    return jax.lax.while_loop(going, advance, (start, moving, 0))[0]


@eqx.filter_jit
def _linearised(cell: AbstractCell, state: State, x):
    new, matrix = jacobian(cell, state, x)
    vector = flatten_state(state)[0]
    return vector, matrix, jnp.max(jnp.abs(flatten_state(new)[0] - vector))
