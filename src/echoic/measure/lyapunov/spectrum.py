"""Lyapunov exponents of a network under its own input."""

import math
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import (
    AbstractCell,
    PointwiseCell,
    State,
    Step,
    as_cell,
    flatten_state,
    without_law,
)
from echoic.core.checks import at_least, channels_of, is_traced, sequences
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.linalg import random_frame
from echoic.measure.lyapunov.orthogonalise import half_range
from echoic.measure.lyapunov.tangent_run import (
    ALLOWED_LOSS,
    Clock,
    How,
    Sequence,
    begin_run,
    compiled_tangent_loop,
    control_for,
    tangent_loop,
)
from echoic.measure.lyapunov.unit_by_unit import acts_unit_by_unit

_PILOT_STEPS = 64


def lyapunov_spectrum(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    key: PRNGKeyArray,
    num_exponents: int | None = None,
    state: State = None,
    steps: int | None = None,
    burn_in: int | None = None,
    orthogonalise_every: Literal["auto"] | int = "auto",
    num_blocks: int = 20,
    resume: Estimate | None = None,
    throw: bool = True,
) -> Estimate:
    """Lyapunov exponents of a cell, driven by ``inputs`` or on its own.

    **Definition.** ``lambda_i = lim 1/T log(r_i)`` in nats per step, where ``r_i`` is the factor by
    which the i-th direction of a tangent frame grows under the product of the Jacobians
    ``dh_{t+1}/dh_t`` over the full state (hidden and cell state of an LSTM). Natural logarithm,
    largest first.

    **Algorithm.** A random orthonormal frame is pushed through the Jacobians, and now and then
    factorised by LU with row pivoting (see `orthogonalise`), which gives the same exponents as the
    QR method in a quarter of the operations. State and frame are warmed up over ``burn_in`` steps,
    in which the number of steps between two factorisations is found, the longest that keeps the
    loss of digits small. The loss is watched in the run itself, which is repeated with a
    shorter interval if it grows too large. Columns that near the ends of the range of numbers in
    between are rescaled by powers of two.

    **Arguments**

    - ``cell``: a cell, or any function ``step(state, x) -> state`` together with ``state=``.
    - ``inputs``: shape (t,), (t, m) or (b, t, m); exponents are averaged over the batch. None for
      an autonomous system, which then needs ``steps``; a cell gets zeros.
    - ``key``: for the random start of the frame.
    - ``num_exponents``: the k largest; all by default, or as many as the run to resume has.
    - ``state``: where to begin; the cell's initial state by default.
    - ``steps``: how many to average over; by default all that the inputs leave after ``burn_in``.
    - ``burn_in``: steps before the average begins; by default a quarter of all, 1000 at most.
    - ``orthogonalise_every``: steps between two factorisations. "auto" under ``jit`` or ``vmap``
      means 1, since nothing can be tried out there.
    - ``num_blocks``: into how many blocks the run is cut for the standard error.
    - ``resume``: an earlier result with its ``final_state`` and ``final_frame``: go on from there
      without burn-in. The new estimate is of the new steps alone; `join_runs` joins them.

    **Returns:** an `Estimate` with the exponents, shape (k,), their standard error from block means
    (over the batch as well), and in ``details``: ``history`` (exponents of each block), shape
    (blocks, k); ``residual`` and ``residual_total``, if all exponents are asked for: how far the
    sum of the exponents misses the mean of ``log|det J|`` (from an LU of the Jacobian itself),
    per step and for the whole run, estimated from steps spread over it; ``spread``: the digits
    lost between two factorisations, as a logarithm; ``final_state`` and ``final_frame``; and, to
    join runs by `join_runs`, ``growth``: the exponents of each block, sequence by sequence and in
    the order of the frame, shape (b, blocks, k), and ``block_steps``, shape (blocks,).

    **Status:** SINGULAR (some exponents are -inf), SUM_RULE_BROKEN (the residual is larger than
    rounding: the contracting part is wrong, as it happens for strongly non-normal matrices; it is
    not checked on Jacobians that are singular within rounding if there are exponents of -inf),
    LOW_PRECISION (all exponents in float32), NOT_CONVERGED (the two halves of the run differ by
    more than their errors allow), SHORT_SERIES (blocks of fewer than 5 steps), NOT_FINITE.

    **Raises:** ValueError for wrong arguments; UntrustedError if the trajectory leaves the finite
    numbers and ``throw`` is set.

    **When it misleads:** exponents speak of infinite time. A chain is nilpotent, all its exponents
    are -inf, and yet it carries a signal over n - 1 steps.

    **Cost:** a step, 2 n^2 k operations for the products and 2 n k^2 for each factorisation.

    **References:** Benettin, Galgani, Giorgilli & Strelcyn 1980; Eckmann & Ruelle 1985; Bauer 1957
    for the iteration with triangular factors.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> halve = lambda h, _: h * jnp.array([0.5, 0.25])
        >>> found = lyapunov_spectrum(halve, state=jnp.ones(2), steps=40, key=jax.random.key(0))
        >>> bool(jnp.allclose(found.value, jnp.log(jnp.array([0.5, 0.25])), atol=1e-5))
        True

        ```
    """
    if is_traced(cell, inputs, state, resume):
        throw = False
    cell, inputs, first, steps, burn_in = _prepare(cell, inputs, state, steps, burn_in, resume)
    dtype, n = first.vector.dtype, first.vector.shape[1]
    k = at_least("num_exponents", n if num_exponents is None else num_exponents, 1, n)
    num_blocks = min(at_least("num_blocks", num_blocks, 2), steps)
    if orthogonalise_every != "auto":
        at_least("orthogonalise_every", orthogonalise_every, 1)
    if resume is None:
        frame = _frames(key, first.vector.shape[0], n, k, dtype)
    else:
        frame = resume.details["final_frame"]
        if num_exponents not in (None, frame.shape[2]):
            raise ValueError(
                f"num_exponents must be {frame.shape[2]}, that of the run to resume, or None, got"
                f" {num_exponents}."
            )
        k = frame.shape[2]
    plan = _Plan(burn_in, steps, num_blocks, k == n)
    begin = begin_run(first.state, frame, num_blocks)
    traced = is_traced(cell, inputs, begin)
    run = _run_traced if traced else _run_with_search
    found, chosen = run(cell, inputs, begin, plan, orthogonalise_every)
    settings = Settings(
        num_exponents=k,
        steps=steps,
        burn_in=burn_in,
        orthogonalise_every=chosen.interval,
        balanced=chosen.balanced,
        reruns=chosen.reruns,
        num_blocks=num_blocks,
        batch=frame.shape[0],
        dtype=str(dtype),
    )
    value, error, status, details = _summarise(found, plan)
    estimate = Estimate(value, error, status, settings, details)
    return estimate.throw(Status.NOT_FINITE) if throw else estimate


class _First(NamedTuple):
    """The batch of states to begin with, as they are and as vectors."""

    state: State
    vector: Float[Array, "b n"]


class _Plan(NamedTuple):
    """The static sizes of a measurement."""

    burn_in: int
    steps: int
    num_blocks: int
    complete: bool

    def ends(self) -> np.ndarray:
        """The step after the last one of each block."""
        return self.burn_in + (np.arange(1, self.num_blocks + 1) * self.steps) // self.num_blocks

    def warm_up_ends(self, total: int) -> np.ndarray:
        """The same for the warm-up, whose blocks serve the checks only."""
        cuts = np.unique(np.linspace(0, total, min(4, self.num_blocks) + 1).astype(int))[1:]
        return np.pad(cuts, (0, self.num_blocks - len(cuts)), constant_values=total + 1)


class _Chosen(NamedTuple):
    """What the measurement chose by itself."""

    interval: int
    balanced: bool
    reruns: int


def _prepare(cell, inputs, state, steps, burn_in, resume):
    """Validate, and bring inputs and states into their batched forms."""
    if resume is not None and not {"final_state", "final_frame"} <= resume.details.keys():
        raise ValueError("resume must be a result of lyapunov_spectrum, with its final_frame.")
    width = channels_of(inputs)
    cell = without_law(as_cell(cell, state, width))
    state = cell.initial_state() if state is None else jtu.tree_map(jnp.asarray, state)
    vector, restore = flatten_state(state)
    if inputs is None:
        if steps is None:
            raise ValueError("steps must be given where there are no inputs.")
        steps = at_least("steps", steps, 2)
        if burn_in is None:
            burn_in = 0 if resume is not None else min(max(steps // 4, 100), 1000)
        batch = 1
    else:
        inputs = sequences(inputs, cell.input_size, vector.dtype)
        batch, length = inputs.shape[:2]
        if burn_in is None:
            burn_in = 0 if resume is not None else min(length // 4, 1000)
        steps = length - burn_in if steps is None else at_least("steps", steps, 2)
        if steps < 2 or burn_in + steps > length:
            raise ValueError(
                f"burn_in + steps must lie in 2..{length}, the length of the inputs, with at least"
                f" 2 steps, got burn_in={burn_in}, steps={steps}."
            )
    burn_in = at_least("burn_in", burn_in, 0)
    if resume is not None:
        vectors = resume.details["final_state"]
        if vectors.shape != (batch, vector.size):
            raise ValueError(
                f"resume must come from a run with {batch} sequence(s) and {vector.size} state"
                f" numbers, got final_state of shape {vectors.shape}."
            )
        return cell, inputs, _First(jax.vmap(restore)(vectors), vectors), steps, burn_in
    vectors = jnp.broadcast_to(vector, (batch, vector.size))
    states = jtu.tree_map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), state)
    return cell, inputs, _First(states, vectors), steps, burn_in


@eqx.filter_jit
def _frames(key, batch: int, n: int, k: int, dtype) -> Float[Array, "b n k"]:
    return jnp.broadcast_to(random_frame(key, n, k, dtype), (batch, n, k))


def _check_every(plan: _Plan, interval: int) -> int:
    """Check the sum rule on about 1 step in 40, in the first segment of some blocks."""
    checks = min(max(plan.steps // (40 * interval), 1), plan.num_blocks)
    return math.ceil(plan.num_blocks / checks)


def _reset(run: Sequence, begin: Sequence) -> Sequence:
    """Go on where a warm-up ended: its state and frame, its dead directions, nothing counted."""
    return begin._replace(state=run.state, frame=run.frame, dead=run.dead, finite=run.finite)


def _run_traced(cell, inputs, begin, plan, every):
    interval = 1 if every == "auto" else every
    last = plan.burn_in + plan.steps
    if plan.burn_in:
        control = control_for(plan.warm_up_ends(plan.burn_in), interval, measuring=False)
        warm, _ = tangent_loop(cell, inputs, begin, control, 0, plan.burn_in, How())
        begin = _reset(warm, begin)
    control = control_for(plan.ends(), interval, check_every=_check_every(plan, interval))
    found = tangent_loop(cell, inputs, begin, control, plan.burn_in, last, How())
    return found, _Chosen(interval, False, 0)


def _run_with_search(cell, inputs, begin, plan, every):
    """Warm up, choose interval and balancing on the way, measure, measure again if need be."""
    eps = float(jnp.finfo(begin.frame.dtype).eps)
    searching = every == "auto"
    pilot = plan.burn_in if plan.burn_in else min(_PILOT_STEPS, plan.steps)

    together = _can_sum_gates(cell, inputs, begin)

    def run(begin, control, first, last, balanced=False):
        bounds = np.asarray(first, np.int32), np.asarray(last, np.int32)
        how = How(adaptive=True, balanced=balanced, unit_by_unit=together)
        return compiled_tangent_loop(cell, inputs, begin, control, *bounds, how)

    interval, balanced, rescaling = 1 if searching else every, False, not searching
    room = half_range(begin.frame.dtype)
    if searching or plan.burn_in:
        ends = plan.warm_up_ends(pilot)
        control = control_for(ends, interval, adapting=searching, measuring=False)
        warm, clock = run(begin, control, 0, pilot)
        if is_traced(clock):  # the step function closes over a tracer
            return _run_traced(cell, inputs, begin, plan, every)
        if plan.burn_in:
            begin = _reset(warm, begin)
        interval = int(clock.interval)
        balanced = interval == 1 and _per_step(warm, clock) > 0.1 * math.sqrt(eps)
        rescaling = rescaling or float(clock.size) > room

    reruns = 0
    while True:
        check_every = _check_every(plan, interval)
        control = control_for(plan.ends(), interval, check_every=check_every, rescaling=rescaling)
        found = run(begin, control, plan.burn_in, plan.burn_in + plan.steps, balanced)
        if is_traced(found):
            break
        lost, allowed = float(found[1].spread), -ALLOWED_LOSS * math.log(eps)
        if not rescaling and interval > 1 and float(found[1].size) > room:
            rescaling = True
        elif searching and interval > 1 and lost > allowed:
            interval = max(1, int(0.7 * interval * allowed / lost))
        elif interval == 1 and not balanced and _per_step(*found) > math.sqrt(eps):
            balanced = True
        else:
            break
        reruns += 1
    return found, _Chosen(interval, balanced, reruns)


def _can_sum_gates(cell: AbstractCell, inputs, begin: Sequence) -> bool:
    """Whether one matrix for all gates is right for this cell, and cheaper."""
    n, k = begin.frame.shape[1:]
    if not isinstance(cell, PointwiseCell) or 2 * k < n or n % cell.hidden_size:
        return False
    state = jtu.tree_map(lambda leaf: leaf[0], begin.state)
    x = jnp.zeros(cell.input_size, begin.frame.dtype) if inputs is None else inputs[0, 0]
    verdict = acts_unit_by_unit(cell, state, x)
    return not is_traced(verdict) and bool(verdict)


def _per_step(run: Sequence, clock: Clock) -> float:
    """The mean sum-rule residual; 0 for the untestable (NaN, or singular everywhere)."""
    residual = float(jnp.mean(run.missed())) / max(int(clock.checked), 1)
    return residual if math.isfinite(residual) else 0.0


@eqx.filter_jit
def _summarise(found, plan: _Plan):
    """Exponents, their errors, the flags, and the rest."""
    run, clock = found
    lengths = jnp.asarray(np.diff(plan.ends(), prepend=plan.burn_in), run.frame.dtype)
    rates = run.history / lengths[None, :, None]
    rates = jnp.where(run.dead[:, None, :], -jnp.inf, rates)
    run_rates = rates = jnp.where(run.finite[:, None, None], rates, jnp.nan)
    means = jnp.sum(rates * (lengths / plan.steps)[None, :, None], axis=1)
    # Each sequence by itself: where exponents are close, their order is a matter of chance.
    order = jnp.argsort(-means, axis=1)
    means = jnp.take_along_axis(means, order, axis=1)
    rates = jnp.take_along_axis(rates, order[:, None, :], axis=2)
    value, history = jnp.mean(means, axis=0), jnp.mean(rates, axis=0)
    error = _standard_error(rates, means)

    eps = jnp.finfo(value.dtype).eps
    n, k = run.frame.shape[1:]
    status = jnp.asarray(int(Status.OK), jnp.int32)

    def flag(condition, what: Status):
        return jnp.where(condition, int(what), 0).astype(jnp.int32)

    status |= flag(jnp.any(value == -jnp.inf), Status.SINGULAR)
    status |= flag(~jnp.all(run.finite) | jnp.any(jnp.isnan(value)), Status.NOT_FINITE)
    status |= flag(_drifts(history), Status.NOT_CONVERGED)
    status |= flag(plan.steps < 5 * plan.num_blocks, Status.SHORT_SERIES)
    details = {
        "history": history,
        "growth": run_rates,
        "block_steps": jnp.asarray(np.diff(plan.ends(), prepend=plan.burn_in), jnp.int32),
        "spread": clock.spread,
        "final_state": jax.vmap(lambda s: flatten_state(s)[0])(run.state),
        "final_frame": run.frame,
    }
    if k == n:
        residual = jnp.mean(run.missed()) / clock.checked.astype(value.dtype)
        details["residual"], details["residual_total"] = residual, residual * plan.steps
        status |= flag(residual > n * jnp.sqrt(eps), Status.SUM_RULE_BROKEN)
        status |= flag(eps > 1e-10, Status.LOW_PRECISION)
    return value, error, status, details


def _standard_error(rates: Float[Array, "b blocks k"], means: Float[Array, "b k"]) -> Array:
    """From blocks of all sequences, and not less than the scatter of the sequences says."""
    batch, blocks, k = rates.shape
    error = jnp.std(rates.reshape(batch * blocks, k), axis=0, ddof=1) / math.sqrt(batch * blocks)
    if batch > 1:
        between = jnp.std(means, axis=0, ddof=1) / math.sqrt(batch)
        error = jnp.maximum(error, between)
    return jnp.where(jnp.any(means == -jnp.inf, axis=0), jnp.nan, error)


def _drifts(history: Float[Array, "blocks k"]) -> Array:
    """Whether the halves of the run differ by more than six standard errors of the difference,
    and by enough to matter to anyone: 1e-4 nats a step.
    """
    half = history.shape[0] // 2
    if half < 2:
        return jnp.array(False)
    halves = history[:half], history[half:]
    drift = jnp.abs(jnp.mean(halves[0], axis=0) - jnp.mean(halves[1], axis=0))
    variance = sum(jnp.var(part, axis=0, ddof=1) / part.shape[0] for part in halves)
    return jnp.any(drift > jnp.maximum(6 * jnp.sqrt(variance), 1e-4))
