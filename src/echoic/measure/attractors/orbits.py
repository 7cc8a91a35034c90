"""Where orbits end up as a parameter changes, or as a network is trained."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state, without_law
from echoic.core.checks import at_least, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.attractors.periods import (
    default_tolerance,
    kind_of,
    largest_exponent,
    period_of,
    settle,
)
from echoic.measure.attractors.starts import constant_input, starting_states


def orbit_diagram(
    cells: Callable[[Any], AbstractCell | Step] | AbstractCell | list | tuple,
    values: Any = None,
    *,
    key: PRNGKeyArray,
    input: Any = None,
    starts: Any = None,
    spread: float = 1.0,
    state: State = None,
    burn_in: int = 1000,
    samples: int = 256,
    max_period: int = 64,
    tolerance: float | None = None,
    exponent_steps: int = 2000,
    throw: bool = True,
) -> Estimate:
    """Orbits under a constant input for many values of a parameter, with period and exponent.

    **Definition.** For each value, ``h_{t+1} = F(h_t, x)`` is run for ``burn_in`` steps and its
    next ``samples`` outputs are kept. The period is the smallest p with
    ``|h_{t+p} - h_t| <= tolerance`` (largest entry, full state, times the largest entry of the
    states if that exceeds 1) all along. ``lambda_1`` is the largest Lyapunov exponent from there
    on, in nats per step.

    **Arguments**

    - ``cells``: a function ``value -> cell`` or ``value -> step(state, x)`` that can be traced,
      e.g. ``lambda g: eqx.tree_at(lambda c: c.recurrent, cell, g * cell.recurrent)``; or the cells
      themselves, as a list (the checkpoints of a training run) or as one cell all of whose arrays
      have a leading axis v.
    - ``values``: shape (v,), or a pytree with leading axes v; for given cells a label only, by
      default their number.
    - ``key``: for random starts, and for the frame of the exponents.
    - ``input``: the constant input, shape (m,); zeros by default.
    - ``starts``: initial states, the same for all values, with a leading axis s; or how many to
      draw from a normal distribution of standard deviation ``spread`` around the cell's initial
      state; by default that state alone.
    - ``state``: the initial state of a bare step function.
    - ``burn_in``, ``samples``: steps left out, and steps kept.
    - ``max_period``: the longest period looked for, half of ``samples`` at most.
    - ``tolerance``: by default 1e-6 in double and 1e-4 in single precision.
    - ``exponent_steps``: over how many steps the exponent is averaged; 0 leaves it out.

    **Returns:** an `Estimate` of the outputs, shape (v, s, samples, p), and in ``details``:
    ``values``; ``period``, shape (v, s), 0 where there is none and -1 where the orbit left the
    finite numbers; ``exponent`` and ``exponent_error``, shape (v, s); ``kind``, the numbers of
    [`Orbit`][echoic.measure.Orbit]; ``final_state``, flat, shape (v, s, n).

    **Status:** NOT_FINITE.

    **Raises:** ValueError for wrong arguments; MemoryError for starts and orbits above 8 GB;
    UntrustedError if an orbit leaves the finite numbers and ``throw`` is set.

    **When it misleads:** close to a bifurcation orbits settle slowly: they show a period of 0 and
    an exponent about zero, as quasiperiodic ones do; a longer ``burn_in`` tells them apart. Periods
    beyond ``max_period`` show as none. What coexists is seen only from the right starts.

    **Cost:** v s (burn_in + samples + 1.5 exponent_steps) steps, and v s samples max_period n
    comparisons. Memory: v s samples n numbers. Cells that differ in their arrays alone, and another
    ``burn_in``, compile nothing new.

    **References:** May 1976; Ribeiro, Tiels, Aguirre & Schön 2020 for recurrent networks.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> logistic = lambda r: lambda h, _: r * h * (1 - h)
        >>> found = orbit_diagram(
        ...     logistic, jnp.array([2.8, 3.2, 3.5]), state=jnp.full(1, 0.4), key=jax.random.key(0)
        ... )
        >>> found.details["period"][:, 0].tolist()
        [1, 2, 4]

        ```
    """
    plan = _plan(burn_in, samples, max_period, exponent_steps)
    bare = _Bare(state, 0 if input is None else np.size(input))
    family = _family(cells, values, bare)
    one = family.example
    vector = flatten_state(one.initial_state())[0]
    x = constant_input(input, one.input_size, vector.dtype)
    chance, frame = jr.split(key)
    begin = None if starts is None else starting_states(one, starts, key=chance, spread=spread)
    count = 1 if begin is None else jtu.tree_leaves(begin)[0].shape[0]
    size = family.size * count * samples * vector.size * vector.dtype.itemsize
    refuse_if_larger("the orbits", float(size))
    tolerance = default_tolerance(vector.dtype) if tolerance is None else tolerance
    allowed = jnp.asarray(tolerance, vector.dtype)
    found = _diagram(
        family.make, family.varying, family.fixed, bare, begin, x, frame, allowed, plan
    )
    finite = jnp.all(found.period >= 0)
    status = jnp.where(finite, 0, int(Status.NOT_FINITE)).astype(jnp.int32)
    details = {"values": family.values, **found._asdict()}
    outputs = details.pop("outputs")
    settings = Settings(
        starts=count,
        burn_in=burn_in,
        samples=samples,
        max_period=max_period,
        tolerance=float(tolerance),
        exponent_steps=exponent_steps,
        dtype=str(vector.dtype),
    )
    estimate = Estimate(outputs, jnp.zeros_like(outputs), status, settings, details)
    return estimate.throw(Status.NOT_FINITE) if throw else estimate


class _Plan(NamedTuple):
    """Sizes; those that are arrays may change without compiling again."""

    burn_in: Array | np.ndarray
    samples: int
    max_period: int
    exponent_steps: int


class _Bare(NamedTuple):
    """What a bare step function does not say of itself."""

    state: State
    channels: int


class _Family(NamedTuple):
    """Cells by value: ``make(varying[i])``, or ``varying[i]`` and ``fixed`` put together."""

    make: Callable | None
    varying: Any
    fixed: Any
    values: Any
    example: AbstractCell
    size: int


class _Found(NamedTuple):
    outputs: Array
    period: Array
    exponent: Array
    exponent_error: Array
    kind: Array
    final_state: Array


def _plan(burn_in, samples, max_period, exponent_steps) -> _Plan:
    at_least("burn_in", burn_in, 0)
    at_least("samples", samples, 2)
    at_least("max_period", max_period, 1, samples // 2)
    if at_least("exponent_steps", exponent_steps, 0) == 1:
        raise ValueError("exponent_steps must be 0 (none) or at least 2, got 1.")
    return _Plan(np.asarray(burn_in, np.int32), samples, max_period, exponent_steps)


def _family(cells, values, bare: _Bare) -> _Family:
    """The cells of the values in one form, compiled once for all cells of one structure."""
    if isinstance(values, list | tuple):
        values = np.asarray(values)
    if isinstance(cells, list | tuple):
        cells = _stack(cells)
    if isinstance(cells, AbstractCell):
        return _of_stacked(without_law(cells), values)
    if not callable(cells):
        raise ValueError(
            "cells must be a function value -> cell, a list of cells, or a cell whose arrays have"
            f" a leading axis, got {cells!r}."
        )
    if values is None:
        raise ValueError("a function value -> cell needs the values: pass values=...")
    values = jtu.tree_map(jnp.asarray, values)
    counts = {np.shape(leaf)[:1] for leaf in jtu.tree_leaves(values)}
    if len(counts) != 1 or counts & {(), (0,)}:
        raise ValueError(f"values must have one leading axis v >= 1, got {sorted(counts)}.")
    made = cells(jtu.tree_map(lambda leaf: leaf[0], values))
    if isinstance(made, AbstractCell):
        # Built here rather than in the compiled part, to which a lambda is new at every call.
        stacked = eqx.filter_vmap(lambda value: without_law(cells(value)))(values)
        return _of_stacked(stacked, values)
    return _Family(cells, values, None, values, as_cell(made, *bare), counts.pop()[0])


def _stack(cells) -> AbstractCell:
    if not cells or not all(isinstance(cell, AbstractCell) for cell in cells):
        raise ValueError("cells must be a function value -> cell, or a list of at least one cell.")
    arrays, rest = zip(*(eqx.partition(without_law(c), eqx.is_array) for c in cells), strict=True)
    if len({str(jtu.tree_structure(part)) for part in arrays}) > 1:
        raise ValueError("cells of one list must be of one kind, and of equal sizes.")
    stacked = jtu.tree_map(lambda *leaves: jnp.stack(leaves), *arrays)
    return eqx.combine(stacked, rest[0])


def _of_stacked(stacked: AbstractCell, values: Any) -> _Family:
    varying, fixed = eqx.partition(stacked, eqx.is_array)
    counts = {np.shape(leaf)[:1] for leaf in jtu.tree_leaves(varying)}
    if len(counts) != 1 or counts == {()}:
        raise ValueError(
            "all arrays of a cell that stands for many must have one leading axis: stack the cells,"
            f" or give a list of them. Got leading axes {sorted(counts)}."
        )
    count = counts.pop()[0]
    values = jnp.arange(count) if values is None else jtu.tree_map(jnp.asarray, values)
    if any(np.shape(leaf)[:1] != (count,) for leaf in jtu.tree_leaves(values)):
        raise ValueError(f"values must have a leading axis of {count}, one for each cell.")
    first = eqx.combine(jtu.tree_map(lambda leaf: leaf[0], varying), fixed)
    return _Family(None, varying, fixed, values, first, count)


@eqx.filter_jit
def _diagram(make, varying, fixed, bare, begin, x, key, tolerance, plan: _Plan) -> _Found:
    def of_value(value):
        cell = eqx.combine(value, fixed) if make is None else as_cell(make(value), *bare)
        if begin is None:
            states = jtu.tree_map(lambda leaf: leaf[None], cell.initial_state())
        else:
            states = begin
        return jax.vmap(lambda state: _orbit(cell, state, x, key, tolerance, plan))(states)

    return jax.vmap(of_value)(varying)


def _orbit(cell, state, x, key, tolerance, plan: _Plan) -> _Found:
    tail = settle(cell, state, x, jnp.asarray(plan.burn_in), plan.samples)
    period = period_of(tail.states, plan.max_period, tolerance)
    dtype = tail.states.dtype
    exponent = error = jnp.asarray(jnp.nan, dtype)
    if plan.exponent_steps:
        exponent, error = largest_exponent(cell, tail.final, x, key, plan.exponent_steps)
    kind = kind_of(period, exponent, error, max(plan.exponent_steps, 1))
    return _Found(tail.outputs, period, exponent, error, kind, flatten_state(tail.final)[0])
