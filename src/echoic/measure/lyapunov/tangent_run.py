"""The loop that carries states and tangent frames along their trajectories."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from echoic.core.cell import AbstractCell, PointwiseCell, State
from echoic.core.linalg import log_abs
from echoic.core.tangent import all_finite, linearise
from echoic.measure.lyapunov.orthogonalise import (
    balance,
    log_volume,
    rescale,
    spread,
    triangularise,
)
from echoic.measure.lyapunov.unit_by_unit import linearise_unit_by_unit

LONGEST_INTERVAL = 64
# Losing a third of the digits between two factorisations leaves the exponents at rounding level;
# losing half of them asks for a rerun with a shorter interval.
WANTED_LOSS, ALLOWED_LOSS = 0.38, 0.47


class Sequence(NamedTuple):
    """What the loop carries for one input sequence."""

    state: State
    frame: Float[Array, "n k"]
    volume: Float[Array, "k"]
    history: Float[Array, "blocks k"]
    dead: Array
    finite: Array
    segment: Float[Array, ""]  # growth of the whole volume since the last factorisation
    log_det: Float[Array, ""]  # the same from the Jacobians
    singular: Array  # whether one of those is so within rounding
    residual: Float[Array, ""]
    doubtful: Float[Array, ""]  # the residual of segments with a singular Jacobian

    def missed(self) -> Float[Array, "b"]:
        """The residual of each sequence.

        Once a direction has died, the zero is rounding in determinants: nothing to compare.
        """
        return self.residual + jnp.where(jnp.any(self.dead, axis=1), 0, self.doubtful)


class Clock(NamedTuple):
    """What the loop carries for all sequences together."""

    block: Array
    since: Array  # steps since the last factorisation
    interval: Array
    rate: Array  # digits lost a step, a fading maximum
    spread: Array
    size: Array  # the largest logarithm, of either sign, of a column's size between factorisations
    checking: Array
    checked: Array


class Control(NamedTuple):
    """What a run is told; arrays, so that another choice compiles nothing.

    ``ends`` are the steps after the blocks, ``adapting`` lets the run change its ``interval``,
    ``measuring`` makes it take volumes at the ends of blocks, the sum rule is checked in every
    ``check_every``-th block, and ``rescaling`` keeps columns from leaving the range of numbers
    between two factorisations.
    """

    ends: Array | np.ndarray
    interval: Array | np.ndarray
    adapting: Array | np.ndarray
    measuring: Array | np.ndarray
    check_every: Array | np.ndarray
    rescaling: Array | np.ndarray


class How(NamedTuple):
    """What a run is compiled for.

    ``adaptive``: watch the loss of digits, and let the interval follow it; ``balanced``: see
    `balance`; ``unit_by_unit``: see `linearise_unit_by_unit`.
    """

    adaptive: bool = False
    balanced: bool = False
    unit_by_unit: bool = False


def control_for(
    ends, interval, *, adapting=False, measuring=True, check_every=1, rescaling=True
) -> Control:
    """A `Control` from plain numbers."""
    # NumPy arrays: traced by filter_jit all the same, and built in no time.
    return Control(
        ends=np.asarray(ends, np.int32),
        interval=np.asarray(interval, np.int32),
        adapting=np.asarray(adapting),
        measuring=np.asarray(measuring),
        check_every=np.asarray(check_every, np.int32),
        rescaling=np.asarray(rescaling),
    )


@eqx.filter_jit
def begin_run(state: State, frame: Float[Array, "b n k"], num_blocks: int) -> Sequence:
    """What a run starts from: states and frames of a batch of sequences, nothing counted yet."""
    batch, _, k = frame.shape
    zero = jnp.zeros(batch, frame.dtype)
    return Sequence(
        state=state,
        frame=frame,
        volume=jnp.zeros((batch, k), frame.dtype),
        history=jnp.zeros((batch, num_blocks, k), frame.dtype),
        dead=jnp.zeros((batch, k), bool),
        finite=jnp.ones(batch, bool),
        segment=zero,
        log_det=zero,
        singular=jnp.zeros(batch, bool),
        residual=zero,
        doubtful=zero,
    )


def _determinant(matrix: Float[Array, "n n"]) -> tuple[Float[Array, ""], Array]:
    """``log|det|``, and whether a pivot is one that the rounding of a zero may leave."""
    pivots = jnp.abs(jnp.diagonal(jax.lax.linalg.lu(matrix)[0]))
    rounding = 10 * pivots.size * jnp.finfo(matrix.dtype).eps * jnp.max(jnp.abs(matrix))
    return jnp.sum(log_abs(pivots)), jnp.min(pivots) <= rounding


def _sum_rule(old: Sequence, push_all: Callable, gained, checking, due) -> Sequence:
    """What the exponents and the mean ``log|det J|`` differ by, summed up by factorisations."""
    n, dtype = old.frame.shape[0], old.frame.dtype
    step_det, flat = jax.lax.cond(
        checking,
        lambda: _determinant(push_all(jnp.eye(n, dtype=dtype))),
        lambda: (jnp.zeros((), dtype), jnp.array(False)),
    )
    log_det, singular = old.log_det + step_det, old.singular | flat
    segment = old.segment + jnp.sum(gained)
    agree = (segment == -jnp.inf) & (log_det == -jnp.inf)
    miss = jnp.where(due & checking & ~agree, jnp.abs(segment - log_det), 0)
    return old._replace(
        segment=jnp.where(due, 0, segment),
        log_det=jnp.where(due, 0, log_det),
        singular=singular & ~due,
        residual=old.residual + jnp.where(singular, 0, miss),
        doubtful=old.doubtful + jnp.where(singular, miss, 0),
    )


def _advance(
    cell: AbstractCell, x: Any, old: Sequence, clock: Clock, control: Control, due, end, how: How
):
    """One step of one sequence: push the frame, factorise it if that is ``due``."""
    n, k = old.frame.shape
    drive = jnp.zeros(cell.input_size, old.frame.dtype) if x is None else x
    if how.unit_by_unit:
        assert isinstance(cell, PointwiseCell)
        state, push_all = linearise_unit_by_unit(cell, old.state, drive)
    else:
        state, push = linearise(cell, old.state, drive)
        push_all = jax.vmap(push, in_axes=1, out_axes=1)
    none = jnp.zeros(k, old.frame.dtype)

    def factorised(a):
        frame, upper = triangularise(a)
        gained = log_abs(jnp.diagonal(upper))
        size = jnp.abs(log_abs(jnp.max(jnp.abs(a), axis=0)))
        # A column of zeros after several steps may have left the range instead of dying: an
        # infinite size, unless it had died before, or was kept from leaving.
        certain = old.dead | control.rescaling | (clock.since == 0)
        size = jnp.max(jnp.where(certain & (size == jnp.inf), 0, size))
        # Not so for growth beyond the range, and for what comes of it.
        grown = jnp.any(~(gained < jnp.inf))
        return frame, gained, spread(a, gained), jnp.where(grown, jnp.inf, size), grown

    def rescaled(a):
        frame, gained = rescale(a)
        return frame, gained, none.sum(), jnp.max(jnp.abs(gained)), jnp.array(False)

    frame, before = old.frame, none
    if how.balanced:
        frame, upper = balance(lambda v: push_all(v[:, None])[:, 0], frame)
        before = log_abs(jnp.diagonal(upper))
    frame = push_all(frame)
    # Nested, so that a run that needs no rescaling pays nothing for it.
    frame, gained, lost, size, grown = jax.lax.cond(
        due | control.rescaling,
        lambda f: jax.lax.cond(due, factorised, rescaled, f),
        lambda f: (f, none, none.sum(), none.sum(), jnp.array(False)),
        frame,
    )
    gained = gained + before
    volume = jax.lax.cond(end & control.measuring, log_volume, lambda _: old.volume, frame)

    if k == n:
        old = _sum_rule(old, push_all, gained, clock.checking, due)
    finite = all_finite(state, drive)
    size = jnp.where(finite, size, 0)
    new = old._replace(
        state=state,
        frame=frame,
        volume=volume,
        history=old.history.at[clock.block].add(gained + (volume - old.volume)),
        dead=old.dead | (gained == -jnp.inf),
        finite=old.finite & finite & ~grown,
    )
    return new, (lost, size)


def tangent_loop(cell, inputs, begin: Sequence, control: Control, first, last, how: How):
    """Run from step ``first`` to ``last``; both may be traced."""
    dtype = begin.frame.dtype
    wanted = -WANTED_LOSS * math.log(jnp.finfo(dtype).eps)
    control = Control(*map(jnp.asarray, control))

    def body(t, carry):
        old, clock = carry
        end = control.ends[clock.block] == t + 1
        due = end | (clock.since + 1 >= clock.interval)
        x = None if inputs is None else jax.lax.dynamic_index_in_dim(inputs, t, 1, False)

        def one(x, old):
            # No sequence tells another when to factorise: the flags are closed over, so that
            # they stay scalars and the conditionals conditionals under vmap.
            return _advance(cell, x, old, clock, control, due, end, how)

        new, (lost, size) = jax.vmap(one)(x, old)
        interval, rate, worst, largest = clock.interval, clock.rate, clock.spread, clock.size
        if how.adaptive:
            lost = jnp.max(lost)
            now = lost / (clock.since + 1).astype(dtype)
            rate = jnp.where(due, jnp.maximum(now, 0.9 * rate), rate)
            longest = jnp.minimum(2 * interval, LONGEST_INTERVAL)
            fitting = jnp.floor(wanted / jnp.maximum(rate, wanted / LONGEST_INTERVAL))
            fitting = jnp.clip(fitting.astype(jnp.int32), 1, longest)
            interval = jnp.where(due & control.adapting, fitting, interval)
            worst, largest = jnp.maximum(worst, lost), jnp.maximum(largest, jnp.max(size))
        new_block = clock.block + end.astype(jnp.int32)
        # A warm-up is checked to see whether single steps need balancing, and no further.
        check_next = (new_block % control.check_every == 0) & (control.measuring | (interval == 1))
        clock = Clock(
            block=new_block,
            since=jnp.where(due, 0, clock.since + 1),
            interval=interval,
            rate=rate,
            spread=worst,
            size=largest,
            checking=jnp.where(end, check_next, clock.checking & ~due),
            checked=clock.checked + clock.checking.astype(jnp.int32),
        )
        return new, clock

    volume = jax.lax.cond(
        control.measuring, jax.vmap(log_volume), lambda _: begin.volume, begin.frame
    )
    zero = jnp.zeros((), jnp.int32)
    clock = Clock(
        block=zero,
        since=zero,
        interval=jnp.asarray(control.interval),
        rate=jnp.zeros((), dtype),
        spread=jnp.zeros((), dtype),
        size=jnp.zeros((), dtype),
        checking=jnp.array(True),
        checked=zero,
    )
    return jax.lax.fori_loop(first, last, body, (begin._replace(volume=volume), clock))


compiled_tangent_loop = eqx.filter_jit(tangent_loop)
