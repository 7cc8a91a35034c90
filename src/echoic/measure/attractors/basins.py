"""Which attractors a cell has under a constant input, and how much of the space each draws."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state, without_law
from echoic.core.checks import at_least, is_traced, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.attractors.periods import (
    Orbit,
    default_tolerance,
    dominant_frequency,
    kind_of,
    largest_exponent,
    period_of,
    run_of,
    settle,
)
from echoic.measure.attractors.stability import stability
from echoic.measure.attractors.starts import constant_input, starting_states

# Two aperiodic orbits are one if each lies among the other's points as these lie among themselves.
_NEARNESS = 4.0


def basin_fractions(
    cell: AbstractCell | Step,
    input: Any = None,
    *,
    key: PRNGKeyArray,
    starts: Any = 200,
    spread: float = 1.0,
    state: State = None,
    burn_in: int = 1000,
    samples: int = 256,
    max_period: int = 64,
    tolerance: float | None = None,
    separation: float | None = None,
    exponent_steps: int = 2000,
    throw: bool = True,
) -> Estimate:
    """The attractors of a cell under a constant input, and the share of starts that each draws.

    **Definition.** The fraction of an attractor is the probability that an orbit begun in the
    distribution of starts ends on it; the estimate is ``k / s``. Two periodic orbits are the same
    if they have one period and a point in common, two without period if the points of each lie as
    close to the other's as to their own neighbours (medians, within a factor of 4). The number of
    attractors is the degree of multistability.

    **Arguments**

    - ``cell``: a cell, or any function ``step(state, x) -> state`` together with ``state=``.
    - ``input``: the constant input, shape (m,); zeros by default.
    - ``key``: for random starts, and for the frame of the exponents.
    - ``starts``: how many to draw from a normal distribution of standard deviation ``spread``
      around the initial state, or states with a leading axis s: the fractions are of these.
    - ``state``: the initial state of a bare step function.
    - ``burn_in``, ``samples``: steps left out, and steps looked at.
    - ``max_period``: the longest period looked for, half of ``samples`` at most.
    - ``tolerance``: of a return to the same point, see [`orbit_diagram`][echoic.orbit_diagram].
    - ``separation``: periodic orbits that come closer than that, times the largest entry of the
      states if that exceeds 1, are one; by default 100 times the tolerance.
    - ``exponent_steps``: over how many steps the largest exponent is averaged.

    **Returns:** an `Estimate` of the fractions, shape (a,), largest first, with the standard
    deviation of the fraction given the counts, ``sqrt(p (1 - p) / (s + 3))`` with
    ``p = (k + 1) / (s + 2)``, which is not zero for an attractor that drew all. In ``details``:
    ``period`` (a,), 0 for none; ``kind`` (a,), numbers of [`Orbit`][echoic.measure.Orbit];
    ``point`` (a, n), a state on each, flat; ``exponent`` and ``exponent_error`` (a,), of the first
    start that ended there; ``multipliers`` (a, n), complex, of cycles, NaN for others;
    ``frequency`` (a,), of the strongest oscillation in rad per step, 0 for points; ``attractor``
    (s,), where each start ended, -1 if it left the finite numbers; ``escaped``, how many did.

    **Status:** NOT_FINITE (some escaped), NOT_CONVERGED (some had not settled).

    **Raises:** ValueError for wrong arguments and under tracing; MemoryError for starts and orbits
    above 8 GB; UntrustedError for NOT_FINITE if ``throw`` is set.

    **When it misleads:** an attractor with a fraction well below 1 / s is not seen. Orbits that
    settle slowly pass for quasiperiodic ones, and two of them for two attractors: a longer
    ``burn_in`` tells. A line of fixed points shows as many.

    **Cost:** s (burn_in + samples + 1.5 exponent_steps) steps. Memory: s samples n numbers.

    **References:** Menck, Heitzig, Marwan & Kurths 2013 for basin fractions; Laskar 1993 for the
    frequency.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> double_well = lambda h, _: jnp.tanh(2 * h)
        >>> starts = jnp.array([[-1.0], [0.1], [0.5], [3.0]])
        >>> found = basin_fractions(
        ...     double_well, state=jnp.zeros(1), starts=starts, key=jax.random.key(0)
        ... )
        >>> found.value.tolist(), found.details["attractor"].tolist()
        ([0.75, 0.25], [1, 0, 0, 0])

        ```
    """
    if is_traced(cell, input, starts, state):
        raise ValueError(
            "basin_fractions cannot be traced (jit, vmap, grad): call it on plain arrays."
        )
    channels = 0 if input is None else np.size(input)
    network: AbstractCell = without_law(as_cell(cell, state, channels))
    vector, _ = flatten_state(network.initial_state())
    x = constant_input(input, network.input_size, vector.dtype)
    at_least("burn_in", burn_in, 0)
    at_least("samples", samples, 2)
    at_least("max_period", max_period, 1, samples // 2)
    at_least("exponent_steps", exponent_steps, 2)
    chance, frame = jr.split(key)
    begin = starting_states(network, starts, key=chance, spread=spread)
    count = jax.tree_util.tree_leaves(begin)[0].shape[0]
    size = count * samples * vector.nbytes
    refuse_if_larger("the orbits", float(size))
    tolerance = default_tolerance(vector.dtype) if tolerance is None else float(tolerance)
    separation = 100 * tolerance if separation is None else float(separation)
    plan = _Plan(np.asarray(burn_in, np.int32), samples, max_period, exponent_steps)
    allowed = jnp.asarray(tolerance, vector.dtype)
    ends = jax.tree.map(np.asarray, _settled(network, begin, x, frame, allowed, plan))
    settings = Settings(
        starts=count,
        burn_in=burn_in,
        samples=samples,
        max_period=max_period,
        tolerance=tolerance,
        separation=separation,
        exponent_steps=exponent_steps,
        dtype=str(vector.dtype),
    )
    estimate = _summarise(network, x, ends, separation, settings)
    return estimate.throw(Status.NOT_FINITE) if throw else estimate


class _Plan(NamedTuple):
    burn_in: np.ndarray
    samples: int
    max_period: int
    exponent_steps: int


class _Ends(NamedTuple):
    """Of each start: the last part of its orbit, and what it is."""

    states: Any
    outputs: Any
    period: Any
    exponent: Any
    error: Any
    kind: Any


@eqx.filter_jit
def _settled(network, begin, x, key, tolerance, plan: _Plan) -> _Ends:
    def one(state):
        tail = settle(network, state, x, jnp.asarray(plan.burn_in), plan.samples)
        period = period_of(tail.states, plan.max_period, tolerance)
        exponent, error = largest_exponent(network, tail.final, x, key, plan.exponent_steps)
        kind = kind_of(period, exponent, error, plan.exponent_steps)
        return _Ends(tail.states, tail.outputs, period, exponent, error, kind)

    return jax.vmap(one)(begin)


def _summarise(network, x, ends: _Ends, separation: float, settings: Settings) -> Estimate:
    labels, firsts = attractors_of(ends.states, ends.period, separation)
    count = len(labels)
    if not firsts:
        details = {"attractor": jnp.asarray(labels), "escaped": jnp.asarray(count)}
        return Estimate(jnp.full(1, jnp.nan), jnp.nan, Status.NOT_FINITE, settings, details)
    hits = np.bincount(labels[labels >= 0], minlength=len(firsts))
    order = np.argsort(-hits, kind="stable")
    hits, chosen = hits[order], np.array(firsts)[order]
    rank = np.append(np.argsort(order), -1)  # the last entry keeps -1 at -1
    likely = (hits + 1) / (count + 2)
    dtype = ends.states.dtype
    matrices = _matrices(network, x, jnp.asarray(ends.states[chosen, -1]), ends.period[chosen])
    multipliers = stability(np.asarray(matrices))[0]
    multipliers[ends.period[chosen] == 0] = np.nan
    frequency = [
        0.0 if ends.period[i] == 1 else dominant_frequency(ends.outputs[i]) for i in chosen
    ]
    escaped = int(np.sum(labels < 0))
    status = Status.NOT_FINITE if escaped else Status.OK
    if np.any(ends.kind == int(Orbit.UNSETTLED)):
        status |= Status.NOT_CONVERGED
    details = {
        "period": jnp.asarray(ends.period[chosen]),
        "kind": jnp.asarray(ends.kind[chosen]),
        "point": jnp.asarray(ends.states[chosen, -1]),
        "exponent": jnp.asarray(ends.exponent[chosen]),
        "exponent_error": jnp.asarray(ends.error[chosen]),
        "multipliers": jnp.asarray(multipliers),
        "frequency": jnp.asarray(np.array(frequency, dtype)),
        "attractor": jnp.asarray(rank[labels].astype(np.int32)),
        "escaped": jnp.asarray(escaped),
    }
    error = np.sqrt(likely * (1 - likely) / (count + 3))
    return Estimate((hits / count).astype(dtype), error.astype(dtype), status, settings, details)


@eqx.filter_jit
def _matrices(network, x, points: Float[Array, "a n"], periods) -> Float[Array, "a n n"]:
    """The derivative of one turn around each cycle; of no step where there is none."""
    _, restore = flatten_state(network.initial_state())

    def one(carry):
        point, period = carry
        return run_of(network, restore(point), x, period)[1]

    return jax.lax.map(one, (points, jnp.asarray(periods)))


def attractors_of(
    states: Float[np.ndarray, "s l n"], periods: Int[np.ndarray, "s"], separation: float
) -> tuple[Int[np.ndarray, "s"], list[int]]:
    """The number of each orbit's attractor, and for each attractor its first orbit."""
    labels = np.full(len(states), -1, np.int32)
    firsts: list[int] = []
    left = periods >= 0
    for i in range(len(states)):
        if not left[i]:
            continue
        period = periods[i]
        alike = left & (periods == period)
        if period:
            last = states[alike, -1]
            gaps = [np.abs(last - point).max(axis=1) for point in states[i, -period:]]
            scale = max(1.0, float(np.abs(states[i]).max()))
            same = np.min(gaps, axis=0) <= separation * scale
        else:
            same = np.array([_mingle(states[i], other) for other in states[alike]])
        members = np.flatnonzero(alike)[same]
        labels[members] = len(firsts)
        left[members] = False
        firsts.append(i)
    return labels, firsts


def _mingle(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two orbits visit the same places, by the medians of nearest distances."""
    own = max(_nearest(one, one, own=True), _nearest(other, other, own=True))
    across = max(_nearest(one, other), _nearest(other, one))
    return bool(across <= _NEARNESS * own)


def _nearest(points: np.ndarray, among: np.ndarray, own: bool = False) -> float:
    """The median distance of the points to the nearest one among others."""
    square = np.sum(points**2, axis=1)[:, None] + np.sum(among**2, axis=1)[None]
    square = square - 2 * points @ among.T
    if own:
        np.fill_diagonal(square, np.inf)
    return float(np.median(np.sqrt(np.maximum(square.min(axis=1), 0))))
