"""Lyapunov exponents of many networks, with and without their input, and window by window."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state
from echoic.core.checks import at_least, channels_of, is_traced, one_of, sequences
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.lyapunov.blocks import blocks_of
from echoic.measure.lyapunov.spectrum import lyapunov_spectrum


def lyapunov_ensemble(
    cells: Callable[[PRNGKeyArray], Any] | Sequence[AbstractCell | Step],
    inputs: Any = None,
    *,
    key: PRNGKeyArray,
    seeds: int | None = None,
    num_exponents: int | None = None,
    state: State = None,
    steps: int | None = None,
    burn_in: int | None = None,
    throw: bool = True,
) -> Estimate:
    """Lyapunov exponents over random networks and input sequences: mean, and where it scatters.

    **Definition.** The mean over s networks of the exponents ``lambda_i`` (nats per step), each the
    mean over the b input sequences.

    **Arguments**

    - ``cells``: a function ``key -> cell`` (or a step function), called for ``seeds`` keys; or the
      cells themselves. Cells that differ in their weights alone compile once.
    - ``inputs``, ``num_exponents``, ``state``, ``steps``, ``burn_in``: as for `lyapunov_spectrum`,
      the same for all networks.
    - ``key``: for the networks and the frames.

    **Returns:** an `Estimate` with values of shape (k,). Its standard error is that of the mean
    over networks; for one network that of its run. ``details``: ``each``, shape (s, b, k);
    ``each_error`` of the networks' runs, (s, k); ``between_networks``, their standard deviation,
    (k,), NaN for one; ``between_inputs``, that of sequences within a network, NaN for one.

    **Status:** the flags of all runs.

    **Raises:** ValueError for wrong arguments and under tracing (`lyapunov_spectrum` itself may be
    vmapped); UntrustedError if a trajectory leaves the finite numbers and ``throw`` is set.

    **When it misleads:** ``between_inputs`` holds the scatter of finite runs as well: the longer
    the sequences, the smaller it is, while ``between_networks`` stays.

    **Cost:** s times that of `lyapunov_spectrum`.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> cells = [lambda h, _: 0.5 * h, lambda h, _: 0.25 * h]
        >>> found = lyapunov_ensemble(cells, state=jnp.ones(1), steps=20, key=jax.random.key(0))
        >>> bool(abs(found.value[0] + 1.5 * jnp.log(2)) < 1e-5)
        True

        ```
    """
    build_key, frame_key = jr.split(key)
    if callable(cells) and not isinstance(cells, AbstractCell | Sequence):
        if seeds is None:
            raise ValueError("seeds must be given, 1 or more, for cells that are built from keys.")
        keys = jr.split(build_key, at_least("seeds", seeds, 1))
        members = [cells(each) for each in keys]
    elif isinstance(cells, Sequence) and len(cells) and seeds in (None, len(cells)):
        members = list(cells)
    else:
        raise ValueError(
            "cells must be a function key -> cell with seeds=, or a list of one or more cells"
            f" without, got {type(cells).__name__} and seeds={seeds}."
        )
    if is_traced(members, inputs, state):
        raise ValueError("lyapunov_ensemble cannot be traced: vmap lyapunov_spectrum instead.")
    runs = [
        lyapunov_spectrum(
            member,
            inputs,
            key=each,
            num_exponents=num_exponents,
            state=state,
            steps=steps,
            burn_in=burn_in,
            throw=throw,
        )
        for member, each in zip(members, jr.split(frame_key, len(members)), strict=True)
    ]
    return _pool(runs)


def _pool(runs: list[Estimate]) -> Estimate:
    """Runs of different networks as one estimate."""
    each = np.stack([blocks_of(run).sorted().means() for run in runs])
    errors = np.stack([np.asarray(run.standard_error, np.float64) for run in runs])
    count, batch, k = each.shape
    over_inputs = each.mean(axis=1)
    between_networks = between_inputs = np.full(k, np.nan)
    with np.errstate(invalid="ignore"):
        if count > 1:
            between_networks = np.std(over_inputs, axis=0, ddof=1)
        if batch > 1:
            between_inputs = np.sqrt(np.mean(np.var(each, axis=1, ddof=1), axis=0))
    error = errors[0] if count == 1 else between_networks / count**0.5
    status = Status.OK
    for run in runs:
        status |= run.statuses
    dtype = runs[0].value.dtype
    details = {
        "each": each,
        "each_error": errors,
        "between_networks": between_networks,
        "between_inputs": between_inputs,
    }
    details = {name: jnp.asarray(array.astype(dtype)) for name, array in details.items()}
    size = max(run.details["final_frame"].shape[1] for run in runs)
    settings = Settings(**(dict(runs[0].settings) | {"networks": count, "state_size": size}))
    value = over_inputs.mean(axis=0).astype(dtype)
    return Estimate(value, error.astype(dtype), int(status), settings, details)


def driven_minus_autonomous(
    cell: AbstractCell | Step,
    inputs: Any,
    *,
    key: PRNGKeyArray,
    rest: Literal["zero", "mean"] = "zero",
    num_exponents: int | None = None,
    state: State = None,
    steps: int | None = None,
    burn_in: int | None = None,
    throw: bool = True,
) -> Estimate:
    """What the input does to the exponents: conditional ones less those of the network at rest.

    **Definition.** ``lambda_i(driven by the inputs) - lambda_i(input held constant)``, nats per
    step. Negative where the input takes chaos away. A driven network with ``lambda_1 < 0`` forgets
    where it began (conditional stability); one that is chaotic at rest may be stable so.

    **Arguments**

    - ``rest``: hold the input at "zero", or at each sequence's "mean".
    - the others as for `lyapunov_spectrum`; inputs are needed.

    **Returns:** an `Estimate` of the differences, (k,), the errors of both runs added in squares;
    ``details``: ``driven``, ``driven_error``, ``autonomous``, ``autonomous_error``, each (k,).

    **Status:** the flags of both runs.

    **Raises:** ValueError for wrong arguments; UntrustedError if a trajectory leaves the finite
    numbers and ``throw`` is set.

    **When it misleads:** at rest several attractors may coexist: the one reached from ``state`` is
    measured. -inf less -inf is NaN.

    **Cost:** two runs of `lyapunov_spectrum`, one compilation.

    **References:** Pecora & Carroll 1990 for conditional exponents; Rajan, Abbott & Sompolinsky
    2010 for chaos that an input suppresses.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> step = lambda h, x: h * jnp.exp(-x[0])
        >>> found = driven_minus_autonomous(
        ...     step, jnp.ones(40), state=jnp.ones(1), key=jax.random.key(0)
        ... )
        >>> bool(abs(found.value[0] + 1) < 1e-5)
        True

        ```
    """
    one_of("rest", rest, ("zero", "mean"))
    if inputs is None:
        raise ValueError("inputs must be given: without them there is nothing to compare.")
    wrapped = as_cell(cell, state, channels_of(inputs))
    start = wrapped.initial_state() if state is None else jtu.tree_map(jnp.asarray, state)
    inputs = sequences(inputs, wrapped.input_size, flatten_state(start)[0].dtype)
    constant = jnp.mean(inputs, axis=1, keepdims=True)
    constant = constant if rest == "mean" else jnp.zeros_like(constant)
    # A NaN in the input must not vanish from one half of the comparison.
    constant = jnp.where(jnp.isfinite(jnp.sum(inputs)), constant, jnp.nan)
    settings = {
        "key": key,
        "num_exponents": num_exponents,
        "state": state,
        "steps": steps,
        "burn_in": burn_in,
        "throw": throw,
    }
    driven = lyapunov_spectrum(cell, inputs, **settings)
    at_rest = jnp.broadcast_to(constant, inputs.shape)
    autonomous = lyapunov_spectrum(cell, at_rest, **settings)
    details = {
        "driven": driven.value,
        "driven_error": driven.standard_error,
        "autonomous": autonomous.value,
        "autonomous_error": autonomous.standard_error,
    }
    return Estimate(
        driven.value - autonomous.value,
        jnp.hypot(driven.standard_error, autonomous.standard_error),
        driven.status | autonomous.status,
        Settings(**(dict(driven.settings) | {"rest": rest})),
        details,
    )


def finite_time_exponents(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    window: int,
    key: PRNGKeyArray,
    num_exponents: int | None = None,
    state: State = None,
    steps: int | None = None,
    burn_in: int | None = None,
    throw: bool = True,
) -> Estimate:
    """Lyapunov exponents over windows of a few steps (window 1: local exponents).

    **Definition.** ``lambda_i(t, tau) = (1/tau) log(r_i(t, t + tau))``, nats per step, with the
    growth ``r_i`` of the i-th direction of a frame that was carried along from the far past.

    **Arguments**

    - ``window``: tau, in steps.
    - ``steps``: how many to cut into windows; by default all after ``burn_in``. A remainder is left
      out.
    - the others as for `lyapunov_spectrum`.

    **Returns:** an `Estimate` of shape (b, windows, k), with NaN as errors, and in ``details``:
    ``mean``, shape (k,), the exponents; ``variance``, tau times the variance over windows, (k,),
    which tends to a constant as tau grows (central limit); ``positive``, the fraction of windows
    that expand, (k,).

    **Status:** as `lyapunov_spectrum`, but windows may be short.

    **Raises:** ValueError for wrong arguments; UntrustedError if the trajectory leaves the finite
    numbers and ``throw`` is set.

    **When it misleads:** only the sums of the first j are independent of the inner product; the
    exponents of covariant vectors are the local ones that belong to a direction.

    **Cost:** that of `lyapunov_spectrum`, with a factorisation and a QR at the end of each window.

    **References:** Grassberger, Badii & Politi 1988.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> halve = lambda h, _: 0.5 * h
        >>> found = finite_time_exponents(
        ...     halve, state=jnp.ones(1), steps=40, window=4, key=jax.random.key(0)
        ... )
        >>> found.value.shape, bool(jnp.allclose(found.value, -jnp.log(2), atol=1e-5))
        ((1, 10, 1), True)

        ```
    """
    window = at_least("window", window, 1)
    if inputs is not None:
        wrapped = as_cell(cell, state, channels_of(inputs))
        length = sequences(inputs, wrapped.input_size, jnp.float32).shape[1]
        burn_in = min(length // 4, 1000) if burn_in is None else at_least("burn_in", burn_in, 0)
        steps = length - burn_in if steps is None else steps
    if steps is None:
        raise ValueError("steps must be given where there are no inputs.")
    windows = at_least("steps", steps, 2 * window) // window
    found = lyapunov_spectrum(
        cell,
        inputs,
        key=key,
        num_exponents=num_exponents,
        state=state,
        steps=windows * window,
        burn_in=burn_in,
        num_blocks=windows,
        throw=throw,
    )
    rates = found.details["growth"]
    order = jnp.argsort(-jnp.mean(rates, axis=1), axis=1)
    rates = jnp.take_along_axis(rates, order[:, None, :], axis=2)
    details = {
        "mean": found.value,
        "variance": window * jnp.var(rates, axis=(0, 1), ddof=1),
        "positive": jnp.mean((rates > 0).astype(rates.dtype), axis=(0, 1)),
    }
    details["positive"] = jnp.where(jnp.isnan(found.value), jnp.nan, details["positive"])
    status = found.status & ~int(Status.SHORT_SERIES)
    settings = Settings(**(dict(found.settings) | {"window": window}))
    return Estimate(rates, jnp.full_like(rates, jnp.nan), status, settings, details)
