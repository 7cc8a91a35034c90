"""Fixed points, cycles and slow points of a cell under a constant input, and their stability."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state, without_law
from echoic.core.checks import at_least, is_traced, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.threads import map_rows
from echoic.measure.attractors.dogleg import find_minimum, find_root
from echoic.measure.attractors.periods import run_of
from echoic.measure.attractors.stability import Stability, stability
from echoic.measure.attractors.starts import constant_input, starting_states, wander

_MAX_ITERATIONS = 200


def fixed_points(
    cell: AbstractCell | Step,
    input: Any = None,
    *,
    key: PRNGKeyArray | None = None,
    starts: Any = 256,
    spread: float = 1.0,
    wander_steps: int = 100,
    period: int = 1,
    slow: float = 0.0,
    state: State = None,
    tolerance: float | None = None,
    separation: float | None = None,
    throw: bool = True,
) -> Estimate:
    """Fixed points of a cell under a constant input, found from many starts, and their stability.

    **Definition.** ``F^p(h, x) = h`` over the full state, p the ``period``, with p the smallest
    such. The multipliers are the eigenvalues of ``dF^p/dh`` there; a point attracts if all lie
    inside the unit circle, repels if all lie outside, is a saddle if some do, and marginal if one
    lies on it within the square root of the rounding error. A slow point is a local minimum of
    the speed ``q = |F^p(h) - h|^2 / 2`` that is not zero.

    **Algorithm.** From each start Powell's dogleg with exact Jacobians (`find_root`); what ends at
    no root and is slow enough goes down to the minimum of q by Newton's method with exact Hessians.
    Equal points are joined, the cycle's points one of the other included.

    **Arguments**

    - ``cell``: a cell, or any function ``step(state, x) -> state`` together with ``state=``.
    - ``input``: the constant input, shape (m,); zeros by default.
    - ``key``: for random starts.
    - ``starts``: how many to draw: from a normal distribution of standard deviation ``spread``
      around the initial state, each then run for a random time of at most ``wander_steps`` steps.
      Or states with a leading axis s, such as ``rollout(cell, xs, collect="states").trajectory``.
    - ``period``: p; 1 for fixed points.
    - ``slow``: the largest ``|F^p(h) - h|`` of slow points; 0 leaves them out.
    - ``state``: the initial state of a bare step function.
    - ``tolerance``: of ``|F^p(h) - h| / (1 + |h|)``, by default rounding times 64 sqrt(n).
    - ``separation``: points closer than that, times 1 + |h|, are one; by default 1e-5 in double
      and 1e-3 in single precision.

    **Returns:** an `Estimate` of the points, flat, shape (k, n), by the number of unstable
    directions, slow ones last; its standard error is the last Newton step, NaN for slow
    ones. In ``details``: ``multipliers`` (k, n), complex, largest modulus first; ``num_unstable``
    (k,); ``kind`` (k,), numbers of [`Stability`][echoic.measure.Stability];
    ``speed`` (k,), q; ``cycle`` (k, p, n), the points in the order they are visited; ``hits`` (k,),
    how many starts ended there; ``lost``, how many ended nowhere; ``unseen``, the Good-Turing
    estimate of the share of starts that would end in a point not in the list.

    **Status:** NOT_FINITE (no start has a finite residual; the value is NaN).

    **Raises:** ValueError for wrong arguments and under tracing, where the number of points is not
    known; MemoryError where starts, or the Jacobians at the points, need more than 8 GB;
    UntrustedError for NOT_FINITE if ``throw`` is set.

    **When it misleads:** no search proves that there are no more: look at ``unseen``, draw wider.
    Points of a line of fixed points come out as many, each marginal. Close to a bifurcation two
    points are joined if they are closer than ``separation``.

    **Cost:** about 10 iterations a start, each p Jacobians (n steps) and one factorisation, n^3;
    slow points about 20 n^3 for each of some 20 iterations; the starts are shared among the cores.
    Memory: k n^2.

    **References:** Sussillo & Barak 2013 for fixed and slow points of recurrent networks; Powell
    1970; Good 1953.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> double_well = lambda h, _: jnp.tanh(2 * h)
        >>> found = fixed_points(double_well, state=jnp.zeros(1), key=jax.random.key(0))
        >>> found.details["num_unstable"].tolist()
        [0, 0, 1]
        >>> bool(jnp.allclose(jnp.tanh(2 * found.value), found.value, atol=1e-5))
        True

        ```
    """
    if is_traced(cell, input, starts, state):
        raise ValueError(
            "fixed_points cannot be traced (jit, vmap, grad): call it on plain arrays."
        )
    channels = 0 if input is None else np.size(input)
    network: AbstractCell = without_law(as_cell(cell, state, channels))
    vector, _ = flatten_state(network.initial_state())
    x = constant_input(input, network.input_size, vector.dtype)
    period = at_least("period", period, 1)
    limits = _limits(vector, tolerance, separation, slow)
    begin = _begin(network, starts, x, key, spread, at_least("wander_steps", wander_steps, 0))
    found = _search(network, x, begin, period, limits)
    settings = Settings(
        starts=begin.shape[0], period=period, dtype=str(vector.dtype), **limits._asdict()
    )
    if found is None:
        nothing = jnp.full((1, vector.size), jnp.nan, vector.dtype)
        estimate = Estimate(nothing, nothing, Status.NOT_FINITE, settings, {})
        return estimate.throw(Status.NOT_FINITE) if throw else estimate
    return _describe(network, x, period, found, limits, settings)


class _Limits(NamedTuple):
    tolerance: float
    separation: float
    slow: float


class _Ends(NamedTuple):
    """Distinct points, the starts that came to each, and those that came to none."""

    points: np.ndarray
    hits: np.ndarray
    slow: np.ndarray
    lost: int


def _limits(vector, tolerance, separation, slow) -> _Limits:
    eps = float(jnp.finfo(vector.dtype).eps)
    tolerance = 64 * eps * vector.size**0.5 if tolerance is None else tolerance
    separation = (1e-5 if eps < 1e-10 else 1e-3) if separation is None else separation
    for name, value in (("tolerance", tolerance), ("separation", separation)):
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}.")
    if not slow >= 0:
        raise ValueError(f"slow must be 0 (no slow points) or positive, got {slow}.")
    return _Limits(float(tolerance), float(separation), float(slow))


def _begin(network, starts, x, key, spread, steps) -> Float[Array, "s n"]:
    drawn = isinstance(starts, int | np.integer)
    draw, walk = (None, None) if key is None else jr.split(key)
    states = starting_states(network, starts, key=draw, spread=spread)
    if drawn:
        assert walk is not None
        return wander(network, states, x, jnp.asarray(steps, jnp.int32), key=walk)
    return jax.vmap(lambda state: flatten_state(state)[0])(states)


def _search(network, x, begin, period: int, limits: _Limits) -> _Ends | None:
    """The distinct ends of all starts; None if nothing is finite."""
    tolerance = jnp.asarray(limits.tolerance, begin.dtype)
    found = map_rows(_roots, begin, network, x, period, tolerance)
    points, residuals = map(np.asarray, found)
    if not np.any(np.isfinite(residuals)):
        return None
    good = residuals <= limits.tolerance * (1 + np.linalg.norm(points, axis=1))
    slow = np.zeros_like(good)
    if limits.slow and not np.all(good):
        rest = np.flatnonzero(~good & np.isfinite(residuals))
        down, again, settled = _descend(network, x, points[rest], period, tolerance)
        points = points.copy()
        points[rest] = down
        scale = 1 + np.linalg.norm(down, axis=1)
        good[rest] = again <= limits.tolerance * scale
        slow[rest] = ~good[rest] & settled & (again <= limits.slow)
    ends = [
        _distinct(network, x, points[which], period, limits.separation) for which in (good, slow)
    ]
    counts = [len(end[0]) for end in ends]
    return _Ends(
        points=np.concatenate([end[0] for end in ends]),
        hits=np.concatenate([end[1] for end in ends]),
        slow=np.repeat([False, True], counts),
        lost=int(np.sum(~good & ~slow)),
    )


@eqx.filter_jit
def _roots(begin: Float[Array, "s n"], network, x, period: int, tolerance):
    _, restore = flatten_state(network.initial_state())
    limit = jnp.asarray(_MAX_ITERATIONS, jnp.int32)

    def residual(vector):
        state, matrix = run_of(network, restore(vector), x, period)
        eye = jnp.eye(vector.size, dtype=vector.dtype)
        return flatten_state(state)[0] - vector, matrix - eye

    found = jax.lax.map(lambda start: find_root(residual, start, tolerance, limit), begin)
    return found.point, found.residual


def _descend(network, x, begin: np.ndarray, period: int, tolerance):
    """Minima of the speed from where the search for roots got stuck, roots among them polished."""
    padded = begin[np.arange(_power_of_two(len(begin))) % len(begin)]
    found = map_rows(_minima, jnp.asarray(padded), network, x, period, tolerance)
    return [np.asarray(part)[: len(begin)] for part in found]


@eqx.filter_jit
def _minima(begin: Float[Array, "s n"], network, x, period: int, tolerance):
    _, restore = flatten_state(network.initial_state())

    def gap(vector):
        def advance(state, _):
            return network.step(state, x), None

        state, _ = jax.lax.scan(advance, restore(vector), length=period)
        return flatten_state(state)[0] - vector

    def speed(vector):
        return jnp.sum(gap(vector) ** 2) / 2

    limit = jnp.asarray(_MAX_ITERATIONS, jnp.int32)
    found = jax.lax.map(lambda start: find_minimum(speed, start, limit), begin)
    points, residuals = _roots(found.point, network, x, period, tolerance)
    roots = residuals <= tolerance * (1 + jnp.linalg.norm(points, axis=1))
    # A minimum that is no root must not wander off in the search for one.
    points = jnp.where(roots[:, None], points, found.point)
    residuals = jnp.where(roots, residuals, jnp.linalg.norm(jax.vmap(gap)(found.point), axis=1))
    return points, residuals, found.settled


def _power_of_two(count: int) -> int:
    """So that a few more points do not compile anew."""
    return 1 << max(count - 1, 0).bit_length()


def _distinct(network, x, points, period: int, separation: float):
    """Points that differ, and how often each came; those of a shorter period are left out."""
    if not len(points):
        return points, np.zeros(0, int)
    cycles = _cycles_of(network, x, points, period) if period > 1 else points[:, None]
    scale = separation * (1 + np.linalg.norm(points, axis=1))
    kept: list[int] = []
    hits: list[int] = []
    left = np.ones(len(points), bool)
    for shorter in (d for d in range(1, period) if period % d == 0):
        left &= np.linalg.norm(cycles[:, shorter] - cycles[:, 0], axis=1) > scale
    while np.any(left):
        first = int(np.argmax(left))
        gaps = np.linalg.norm(points[:, None] - cycles[first][None], axis=2).min(axis=1)
        same = left & (gaps <= np.maximum(scale, scale[first]))
        kept.append(first)
        hits.append(int(np.sum(same)))
        left &= ~same
    return points[kept], np.array(hits, int)


def _cycles_of(network, x, points: np.ndarray, period: int) -> np.ndarray:
    """The orbits over one period, shape (k, p, n)."""
    padded = points[np.arange(_power_of_two(len(points))) % len(points)]
    return np.asarray(_orbits(network, x, jnp.asarray(padded), period))[: len(points)]


@eqx.filter_jit
def _orbits(network, x, points, period: int) -> Float[Array, "k p n"]:
    _, restore = flatten_state(network.initial_state())

    def orbit(vector):
        def advance(state, _):
            return network.step(state, x), flatten_state(state)[0]

        return jax.lax.scan(advance, restore(vector), length=period)[1]

    return jax.vmap(orbit)(points)


@eqx.filter_jit
def _tangents(network, x, points: Float[Array, "k n"], period: int):
    """Of each point: what is missing to a root, and the derivative of the run."""
    _, restore = flatten_state(network.initial_state())

    def one(vector):
        state, matrix = run_of(network, restore(vector), x, period)
        return flatten_state(state)[0] - vector, matrix

    return jax.lax.map(one, points)


def _describe(network, x, period, found: _Ends, limits, settings) -> Estimate:
    count, n = found.points.shape
    dtype = found.points.dtype
    refuse_if_larger(f"the Jacobians at {count:,} points", 4.0 * count * n**2 * dtype.itemsize)
    if count:
        padded = found.points[np.arange(_power_of_two(count)) % count]
        gaps, matrices = _tangents(network, x, jnp.asarray(padded), period)
        gaps, matrices = np.asarray(gaps)[:count], np.asarray(matrices)[:count]
        cycles = (
            _cycles_of(network, x, found.points, period) if period > 1 else found.points[:, None]
        )
    else:
        gaps, matrices = np.zeros((0, n), dtype), np.zeros((0, n, n), dtype)
        cycles = np.zeros((0, period, n), dtype)
    multipliers, unstable, kind = stability(matrices)
    kind = np.where(found.slow, int(Stability.SLOW), kind)
    left = _newton(matrices, gaps)
    left[found.slow] = np.nan
    # What is left is smaller than that: the step is worth taking, unless nothing holds the point.
    near = np.linalg.norm(left, axis=1) <= limits.separation
    points = np.where(near[:, None], found.points + left, found.points)
    coarse = np.round(points / limits.separation / 10)
    order = np.lexsort((*coarse.T[::-1], unstable, found.slow))
    roots = found.hits[~found.slow]
    details = {
        "multipliers": jnp.asarray(multipliers[order]),
        "num_unstable": jnp.asarray(unstable[order]),
        "kind": jnp.asarray(kind[order]),
        "speed": jnp.asarray(np.sum(gaps**2, axis=1)[order] / 2),
        "cycle": jnp.asarray(cycles[order]),
        "hits": jnp.asarray(found.hits[order]),
        "lost": jnp.asarray(found.lost),
        "unseen": jnp.asarray(np.sum(roots == 1) / max(np.sum(roots), 1) if len(roots) else 1.0),
    }
    return Estimate(points[order], np.abs(left)[order], Status.OK, settings, details)


def _newton(matrices: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """The Newton step from where the search ended; infinite where the matrix is singular."""
    steps = np.full_like(gaps, np.inf)
    for i, (matrix, gap) in enumerate(zip(matrices, gaps, strict=True)):
        if not np.any(gap):
            steps[i] = 0
            continue
        try:
            steps[i] = np.linalg.solve(np.eye(len(gap), dtype=gap.dtype) - matrix, gap)
        except np.linalg.LinAlgError:
            continue
    return steps
