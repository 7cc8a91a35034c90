"""Lyapunov exponents of a network under its own input."""

import math
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state, without_law
from echoic.core.checks import at_least, is_traced, sequences
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.linalg import log_abs, log_abs_det, random_frame
from echoic.core.tangent import linearise
from echoic.measure.orthogonalise import balance, log_volume, spread, triangularise

_LONGEST_INTERVAL = 64
_PILOT_STEPS = 64
# Losing a third of the digits between two factorisations leaves the exponents at rounding level;
# losing half of them asks for a rerun with a shorter interval.
_WANTED_LOSS, _ALLOWED_LOSS = 0.38, 0.47


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
    shorter interval if it grows too large.

    **Arguments**

    - ``cell``: a cell, or any function ``step(state, x) -> state`` together with ``state=``.
    - ``inputs``: shape (t,), (t, m) or (b, t, m); exponents are averaged over the batch. None for
      an autonomous system, which then needs ``steps``; a cell gets zeros.
    - ``key``: for the random start of the frame.
    - ``num_exponents``: the k largest; all by default.
    - ``state``: where to begin; the cell's initial state by default.
    - ``steps``: how many to average over; by default all that the inputs leave after ``burn_in``.
    - ``burn_in``: steps before the average begins; by default a quarter of all, 1000 at most.
    - ``orthogonalise_every``: steps between two factorisations. "auto" under ``jit`` or ``vmap``
      means 1, since nothing can be tried out there.
    - ``num_blocks``: into how many blocks the run is cut for the standard error.
    - ``resume``: an earlier result with its ``final_state`` and ``final_frame``: go on from there
      without burn-in. The new estimate is of the new steps alone.

    **Returns:** an `Estimate` with the exponents, shape (k,), their standard error from block means
    (over the batch as well), and in ``details``: ``history`` (exponents of each block), shape
    (blocks, k); ``residual`` and ``residual_total``, if all exponents are asked for: how far the
    sum of the exponents misses the mean of ``log|det J|`` (from an LU of the Jacobian itself),
    per step and for the whole run, estimated from steps spread over it; ``spread``: the digits
    lost between two factorisations, as a logarithm; ``final_state`` and ``final_frame``.

    **Status:** SINGULAR (some exponents are -inf), SUM_RULE_BROKEN (the residual is larger than
    rounding: the contracting part is wrong, as it happens for strongly non-normal matrices),
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
        frame = jnp.broadcast_to(random_frame(key, n, k, dtype), (first.vector.shape[0], n, k))
    else:
        frame = resume.details["final_frame"]
        k = frame.shape[2]
    plan = _Plan(burn_in, steps, num_blocks, k == n)
    begin = _begin(first.state, frame, num_blocks)
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
    value, error, status, details = _summarise(found, begin, plan)
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
        cuts = np.unique(np.linspace(0, total, min(8, self.num_blocks) + 1).astype(int))[1:]
        return np.pad(cuts, (0, self.num_blocks - len(cuts)), constant_values=total + 1)


class _Chosen(NamedTuple):
    """What the measurement chose by itself."""

    interval: int
    balanced: bool
    reruns: int


class _Sequence(NamedTuple):
    """What the loop carries for one input sequence."""

    state: State
    frame: Float[Array, "n k"]
    volume: Float[Array, "k"]
    history: Float[Array, "blocks k"]
    dead: Array
    finite: Array
    segment: Float[Array, ""]  # growth of the whole volume since the last factorisation
    log_det: Float[Array, ""]  # the same from the Jacobians
    residual: Float[Array, ""]


class _Clock(NamedTuple):
    """What the loop carries for all sequences together."""

    block: Array
    since: Array  # steps since the last factorisation
    interval: Array
    rate: Array  # digits lost a step, a fading maximum
    spread: Array
    checking: Array
    checked: Array


class _Control(NamedTuple):
    """What a run is told; arrays, so that another choice compiles nothing."""

    ends: Array
    interval: Array
    adapting: Array
    measuring: Array
    check_every: Array


def _prepare(cell, inputs, state, steps, burn_in, resume):
    """Validate, and bring inputs and states into their batched forms."""
    if resume is not None and not {"final_state", "final_frame"} <= resume.details.keys():
        raise ValueError("resume must be a result of lyapunov_spectrum, with its final_frame.")
    width = 0 if inputs is None else (1 if np.ndim(inputs) == 1 else np.shape(inputs)[-1])
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


def _begin(state: State, frame: Float[Array, "b n k"], num_blocks: int) -> _Sequence:
    batch, _, k = frame.shape
    zero = jnp.zeros(batch, frame.dtype)
    return _Sequence(
        state=state,
        frame=frame,
        volume=jnp.zeros((batch, k), frame.dtype),
        history=jnp.zeros((batch, num_blocks, k), frame.dtype),
        dead=jnp.zeros((batch, k), bool),
        finite=jnp.ones(batch, bool),
        segment=zero,
        log_det=zero,
        residual=zero,
    )


def _advance(cell: AbstractCell, x: Any, old: _Sequence, clock: _Clock, control: _Control, due, end, balanced):
    """One step of one sequence: push the frame, factorise it if that is ``due``."""
    n, k = old.frame.shape
    state, push = linearise(cell, old.state, x)
    push_all = jax.vmap(push, in_axes=1, out_axes=1)
    none = jnp.zeros(k, old.frame.dtype)

    def factorised(a):
        frame, upper = triangularise(a)
        gained = log_abs(jnp.diagonal(upper))
        return frame, gained, spread(a, gained)

    frame, before = old.frame, none
    if balanced:
        frame, upper = balance(push, frame)
        before = log_abs(jnp.diagonal(upper))
    frame = push_all(frame)
    frame, gained, lost = jax.lax.cond(due, factorised, lambda f: (f, none, none.sum()), frame)
    gained = gained + before
    volume = jax.lax.cond(end & control.measuring, log_volume, lambda _: old.volume, frame)

    log_det, segment, residual = old.log_det, old.segment, old.residual
    if k == n:
        eye = jnp.eye(n, dtype=frame.dtype)
        log_det = log_det + jax.lax.cond(
            clock.checking, lambda: log_abs_det(push_all(eye)), lambda: none.sum()
        )
        segment = segment + jnp.sum(gained)
        agree = (segment == -jnp.inf) & (log_det == -jnp.inf)
        miss = jnp.where(due & clock.checking & ~agree, jnp.abs(segment - log_det), 0)
        residual = residual + miss
        segment, log_det = jnp.where(due, 0, segment), jnp.where(due, 0, log_det)
    finite = jnp.all(jnp.isfinite(flatten_state(state)[0]))
    if x is not None:
        finite = finite & jnp.all(jnp.isfinite(x))
    new = _Sequence(
        state=state,
        frame=frame,
        volume=volume,
        history=old.history.at[clock.block].add(gained + (volume - old.volume)),
        dead=old.dead | (gained == -jnp.inf),
        finite=old.finite & finite,
        segment=segment,
        log_det=log_det,
        residual=residual,
    )
    return new, lost


def _loop(cell, inputs, begin: _Sequence, control: _Control, first, last, adaptive: bool, balanced: bool):
    """Run from step ``first`` to ``last``; both may be traced."""
    dtype = begin.frame.dtype
    wanted = -_WANTED_LOSS * math.log(jnp.finfo(dtype).eps)

    def body(t, carry):
        old, clock = carry
        end = control.ends[clock.block] == t + 1
        due = end | (clock.since + 1 >= clock.interval)
        x = None if inputs is None else jax.lax.dynamic_index_in_dim(inputs, t, 1, False)

        def one(x, old):
            # No sequence tells another when to factorise: the flags are closed over, so that
            # they stay scalars and the conditionals conditionals under vmap.
            return _advance(cell, x, old, clock, control, due, end, balanced)

        new, lost = jax.vmap(one)(x, old)
        interval, rate, worst = clock.interval, clock.rate, clock.spread
        if adaptive:
            lost = jnp.max(lost)
            now = lost / (clock.since + 1).astype(dtype)
            rate = jnp.where(due, jnp.maximum(now, 0.9 * rate), rate)
            longest = jnp.minimum(2 * interval, _LONGEST_INTERVAL)
            fitting = jnp.floor(wanted / jnp.maximum(rate, wanted / _LONGEST_INTERVAL))
            fitting = jnp.clip(fitting.astype(jnp.int32), 1, longest)
            interval = jnp.where(due & control.adapting, fitting, interval)
            worst = jnp.maximum(worst, lost)
        new_block = clock.block + end
        clock = _Clock(
            block=new_block,
            since=jnp.where(due, 0, clock.since + 1),
            interval=interval,
            rate=rate,
            spread=worst,
            checking=jnp.where(
                end, new_block % control.check_every == 0, clock.checking & ~due
            ),
            checked=clock.checked + clock.checking,
        )
        return new, clock

    volume = jax.lax.cond(
        control.measuring, jax.vmap(log_volume), lambda _: begin.volume, begin.frame
    )
    zero = jnp.zeros((), jnp.int32)
    clock = _Clock(
        block=zero,
        since=zero,
        interval=control.interval,
        rate=jnp.zeros((), dtype),
        spread=jnp.zeros((), dtype),
        checking=jnp.array(True),
        checked=zero,
    )
    return jax.lax.fori_loop(first, last, body, (begin._replace(volume=volume), clock))


_compiled_loop = eqx.filter_jit(_loop)


def _control(ends, interval, *, adapting=False, measuring=True, check_every=1):
    return _Control(
        ends=jnp.asarray(ends, jnp.int32),
        interval=jnp.asarray(interval, jnp.int32),
        adapting=jnp.asarray(adapting),
        measuring=jnp.asarray(measuring),
        check_every=jnp.asarray(check_every, jnp.int32),
    )


def _check_every(plan: _Plan, interval: int) -> int:
    """Check the sum rule on about a twentieth of the steps, in the first segment of blocks."""
    checks = min(max(plan.steps // (20 * interval), 1), plan.num_blocks)
    return math.ceil(plan.num_blocks / checks)


def _reset(run: _Sequence, begin: _Sequence) -> _Sequence:
    """Go on where a warm-up ended: its state and frame, its dead directions, nothing counted."""
    return begin._replace(state=run.state, frame=run.frame, dead=run.dead, finite=run.finite)


def _run_traced(cell, inputs, begin, plan, every):
    interval = 1 if every == "auto" else every
    last = plan.burn_in + plan.steps
    if plan.burn_in:
        control = _control(plan.warm_up_ends(plan.burn_in), interval, measuring=False)
        warm, _ = _loop(cell, inputs, begin, control, 0, plan.burn_in, False, False)
        begin = _reset(warm, begin)
    control = _control(plan.ends(), interval, check_every=_check_every(plan, interval))
    found = _loop(cell, inputs, begin, control, plan.burn_in, last, False, False)
    return found, _Chosen(interval, False, 0)


def _run_with_search(cell, inputs, begin, plan, every):
    """Warm up, choose interval and balancing on the way, measure, measure again if need be."""
    eps = float(jnp.finfo(begin.frame.dtype).eps)
    searching = every == "auto"
    pilot = plan.burn_in if plan.burn_in else min(_PILOT_STEPS, plan.steps)

    def run(begin, control, first, last, balanced=False):
        bounds = jnp.asarray(first, jnp.int32), jnp.asarray(last, jnp.int32)
        return _compiled_loop(cell, inputs, begin, control, *bounds, True, balanced)

    interval, balanced = 1 if searching else every, False
    if searching or plan.burn_in:
        ends = plan.warm_up_ends(pilot)
        control = _control(ends, interval, adapting=searching, measuring=False)
        warm, clock = run(begin, control, 0, pilot)
        if plan.burn_in:
            begin = _reset(warm, begin)
        interval = int(clock.interval)
        balanced = interval == 1 and _per_step(warm, clock) > 0.1 * math.sqrt(eps)

    for reruns in range(6):
        control = _control(plan.ends(), interval, check_every=_check_every(plan, interval))
        found = run(begin, control, plan.burn_in, plan.burn_in + plan.steps, balanced)
        lost, allowed = float(found[1].spread), -_ALLOWED_LOSS * math.log(eps)
        if searching and interval > 1 and lost > allowed:
            interval = max(1, int(0.7 * interval * allowed / lost))
        elif not balanced and interval == 1 and _per_step(*found) > math.sqrt(eps):
            balanced = True
        else:
            break
    return found, _Chosen(interval, balanced, reruns)


def _per_step(run: _Sequence, clock: _Clock) -> float:
    """The mean sum-rule residual; 0 for the untestable (NaN, or singular everywhere)."""
    residual = float(jnp.mean(run.residual)) / max(int(clock.checked), 1)
    return residual if math.isfinite(residual) else 0.0


def _summarise(found, begin: _Sequence, plan: _Plan):
    """Exponents, their errors, the flags, and the rest."""
    run, clock = found
    lengths = jnp.asarray(np.diff(plan.ends(), prepend=plan.burn_in), begin.frame.dtype)
    rates = run.history / lengths[:, None]  # (b, blocks, k)
    rates = jnp.where(run.dead[:, None, :], -jnp.inf, rates)
    rates = jnp.where(run.finite[:, None, None], rates, jnp.nan)
    means = jnp.sum(rates * (lengths / plan.steps)[:, None], axis=1)
    value = jnp.mean(means, axis=0)
    order = jnp.argsort(-value)
    history = jnp.mean(rates, axis=0)[:, order]
    value, error = value[order], _standard_error(rates, means)[order]

    eps = jnp.finfo(value.dtype).eps
    n, k = begin.frame.shape[1:]
    status = jnp.asarray(int(Status.OK), jnp.int32)

    def flag(condition, what: Status):
        return jnp.where(condition, int(what), 0).astype(jnp.int32)

    status |= flag(jnp.any(value == -jnp.inf), Status.SINGULAR)
    status |= flag(~jnp.all(run.finite) | jnp.any(jnp.isnan(value)), Status.NOT_FINITE)
    status |= flag(_drifts(history, error), Status.NOT_CONVERGED)
    status |= flag(plan.steps < 5 * plan.num_blocks, Status.SHORT_SERIES)
    details = {
        "history": history,
        "spread": clock.spread,
        "final_state": jax.vmap(lambda s: flatten_state(s)[0])(run.state),
        "final_frame": run.frame,
    }
    if k == n:
        residual = jnp.mean(run.residual) / clock.checked.astype(value.dtype)
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


def _drifts(history: Float[Array, "blocks k"], error: Float[Array, "k"]) -> Array:
    """Whether the halves of the run differ by more than six errors of their difference (twice
    the whole's error), and by enough to matter to anyone (1e-4 nats a step)."""
    half = history.shape[0] // 2
    drift = jnp.abs(jnp.mean(history[:half], axis=0) - jnp.mean(history[half:], axis=0))
    return jnp.any(drift > jnp.maximum(12 * error, 1e-4))
