"""Gradient flossing: Lyapunov exponents as something to train."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.blocks import cut, divisor_near, join, scan
from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state, without_law
from echoic.core.checks import (
    at_least,
    channels_of,
    is_traced,
    refuse_if_larger,
    sequences,
)
from echoic.core.linalg import log_abs, random_frame
from echoic.core.tangent import all_finite, push_frame

# As many segments the way back keeps whole.
_SHORT = 64


def flossing_penalty(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    key: PRNGKeyArray,
    num_exponents: int = 1,
    target: Any = 0.0,
    state: State = None,
    steps: int | None = None,
    burn_in: int = 0,
    orthogonalise_every: int = 1,
) -> Float[Array, ""]:
    """Mean squared distance of the leading exponents from a target: add it to a loss, or train it.

    **Definition.** ``1/k sum_i (lambda_i - target_i)^2`` in squared nats per step, with the
    finite-time exponents ``lambda_i`` over the steps after ``burn_in``, averaged over sequences,
    by QR of a frame that starts at random. Differentiable in the cell, the inputs and the state:
    the gradient is that of the definition, through Jacobians, trajectory and QR.

    **Arguments**

    - ``cell``, ``inputs``, ``state``: as for `lyapunov_spectrum`.
    - ``key``: for the frame. The same key keeps the penalty a fixed function of the cell.
    - ``num_exponents``: k; ``target``: a number, or one for each exponent, shape (k,).
    - ``steps``: how many to average over; by default all that the inputs leave after ``burn_in``.
    - ``orthogonalise_every``: steps between two QR; must divide ``burn_in`` and ``steps``.

    **Returns:** the penalty, a scalar. NaN where the trajectory is, inf where a direction dies.

    **Raises:** ValueError for wrong arguments.

    **When it misleads:** in chaos gradients grow like ``exp(lambda_1 T)``: keep sequences short, or
    floss in a few steps at a time. Exponents of short runs depend on the frame.

    **Cost:** about four times the forward pass, which takes k tangents a step. With s segments
    between two QR the backward pass keeps about sqrt(s) b k n numbers, and what the cell's steps
    need in sqrt(s) segments: of more than 64 each is run once more on the way back.

    **References:** Engelken 2023 (gradient flossing).

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> def penalty(scale):
        ...     step = lambda h, _: scale * h
        ...     key = jax.random.key(0)
        ...     return flossing_penalty(step, state=jnp.ones(1), steps=4, key=key, target=-1.0)
        >>> bool(abs(jax.grad(penalty)(0.5) - 2 * (1 - jnp.log(2)) / 0.5) < 1e-4)
        True

        ```
    """
    cell, inputs, states, steps = _prepare(cell, inputs, state, steps, burn_in)
    vector = flatten_state(jtu.tree_map(lambda leaf: leaf[0], states))[0]
    k = at_least("num_exponents", num_exponents, 1, vector.size)
    every = at_least("orthogonalise_every", orthogonalise_every, 1)
    if burn_in % every or steps % every:
        raise ValueError(
            f"orthogonalise_every must divide burn_in={burn_in} and steps={steps}, got {every}."
        )
    goal = jnp.asarray(target, vector.dtype)
    if goal.shape not in ((), (k,)):
        raise ValueError(f"target must be a number or have shape ({k},), got {goal.shape}.")
    frame = random_frame(key, vector.size, k, vector.dtype)
    exponents = _exponents(cell, inputs, states, frame, burn_in // every, steps // every, every)
    return jnp.mean((exponents - goal) ** 2)


def _prepare(cell, inputs, state, steps, burn_in):
    """Validate, and bring inputs and states into their batched forms."""
    cell = without_law(as_cell(cell, state, channels_of(inputs)))
    state = cell.initial_state() if state is None else jtu.tree_map(jnp.asarray, state)
    burn_in = at_least("burn_in", burn_in, 0)
    if inputs is None:
        if steps is None:
            raise ValueError("steps must be given where there are no inputs.")
        batch = 1
        length = burn_in + at_least("steps", steps, 1)
        inputs = jnp.zeros((1, length, cell.input_size), flatten_state(state)[0].dtype)
    else:
        inputs = sequences(inputs, cell.input_size, flatten_state(state)[0].dtype)
        batch, length = inputs.shape[:2]
        steps = length - burn_in if steps is None else steps
        if not 1 <= steps <= length - burn_in:
            raise ValueError(
                f"burn_in + steps must lie in 1..{length}, the length of the inputs, got"
                f" burn_in={burn_in}, steps={steps}."
            )
        inputs = inputs[:, : burn_in + steps]
    states = jtu.tree_map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), state)
    return cell, inputs, states, at_least("steps", steps, 1)


@eqx.filter_jit
def _exponents(
    cell, inputs, states, frame: Float[Array, "n k"], skipped: int, kept: int, every: int
) -> Float[Array, "k"]:
    """Means over ``kept`` segments of ``every`` steps, after ``skipped`` of them."""
    segments = skipped + kept

    def advance(carry, x):
        return push_frame(cell, carry[0], x, carry[1]), None

    def segment(carry, xs):
        (state, frame), _ = jax.lax.scan(advance, carry, xs)
        frame, upper = jnp.linalg.qr(frame)
        return (state, frame), log_abs(jnp.diagonal(upper))

    def block(carry, xs):
        return jax.lax.scan(segment, carry, xs)

    def one(state, xs):
        begin, xs = (state, frame), xs.reshape(segments, every, -1)
        if segments <= _SHORT:
            (state, _), growth = block(begin, xs)
        else:
            # The way back keeps what stands between blocks, and all of one block at a time.
            kept_by_turns = jax.checkpoint(block, prevent_cse=False)
            size = divisor_near(segments, math.isqrt(segments))
            (state, _), *parts = scan(kept_by_turns, begin, *cut(xs, size))
            growth = join(*parts)
        found = jnp.sum(growth[skipped:], axis=0) / (kept * every)
        return jnp.where(all_finite(state, xs), found, jnp.nan)

    return jnp.mean(jax.vmap(one)(states, inputs), axis=0)


def floss(
    cell: AbstractCell,
    inputs: Any,
    *,
    key: PRNGKeyArray,
    num_exponents: int = 1,
    target: Any = 0.0,
    iterations: int = 100,
    learning_rate: float = 1e-2,
    trainable: Any = eqx.is_inexact_array,
    burn_in: int = 0,
    orthogonalise_every: int = 1,
) -> tuple[AbstractCell, np.ndarray]:
    """Drive the leading exponents of a cell to a target, before training or between its epochs.

    **Definition.** ``iterations`` steps of Adam on `flossing_penalty`.

    **Arguments**

    - ``inputs``: as for `lyapunov_spectrum`; a cell without inputs takes zeros of shape (t, m).
    - ``iterations``, ``learning_rate``: of Adam.
    - ``trainable``: which leaves may change, or a tree of booleans (`echoic.trainable_filter`).
    - the others as for `flossing_penalty`.

    **Returns:** the new cell, and the penalty before each iteration, shape (iterations,).

    **Raises:** ValueError for wrong arguments, a bare step function, and under tracing;
    MemoryError where the way back through the run keeps more than 8 GB; FloatingPointError if the
    penalty is no finite number: a direction dies, or the trajectory left the finite numbers.

    **When it misleads:** as `flossing_penalty`; a flossed network is not a trained one.

    **Cost:** ``iterations`` times that of `flossing_penalty` with its gradient.

    **References:** Engelken 2023 (gradient flossing); Kingma & Ba 2015.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> from echoic.cells import Elman
        >>> cell, key = Elman(1, 4, key=jax.random.key(0)), jax.random.key(1)
        >>> flossed, penalty = floss(cell, 0.1 * jnp.ones(20), key=key, iterations=20)
        >>> bool(penalty[-1] < penalty[0])
        True

        ```
    """
    if not isinstance(cell, AbstractCell):
        raise ValueError(
            "floss needs a cell: a bare step function does not say what may change, got"
            f" {cell!r}. Take the gradient of flossing_penalty instead."
        )
    if is_traced(cell, inputs, key):
        raise ValueError("floss cannot be traced (jit, vmap, grad): trace flossing_penalty.")
    iterations = at_least("iterations", iterations, 1)
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, got {learning_rate!r}.")
    varying, fixed = eqx.partition(cell, trainable)
    # Made once, outside: inside the gradient a cell's arrays are tracers.
    optimiser = optax.adam(learning_rate)
    progress = optimiser.init(eqx.filter(varying, eqx.is_inexact_array))

    def penalty(varying, fixed, inputs, key):
        return flossing_penalty(
            eqx.combine(varying, fixed),
            inputs,
            key=key,
            num_exponents=num_exponents,
            target=target,
            burn_in=burn_in,
            orthogonalise_every=orthogonalise_every,
        )

    def improve(varying, fixed, progress, inputs, key):
        value, gradient = eqx.filter_value_and_grad(penalty)(varying, fixed, inputs, key)
        with jax.numpy_dtype_promotion("standard"):  # Adam counts in integers
            updates, progress = optimiser.update(gradient, progress)
        return eqx.apply_updates(varying, updates), progress, value

    compiler: Any = eqx.filter_jit(improve)
    program = compiler.lower(varying, fixed, progress, inputs, key).compile()
    needed = program.compiled.memory_analysis()  # not every device knows
    if needed is not None:
        refuse_if_larger("the way back", float(needed.temp_size_in_bytes))
    found = []
    for number in range(iterations):
        new, progress, value = program(varying, fixed, progress, inputs, key)
        found.append(float(value))
        if not np.isfinite(found[-1]):
            raise FloatingPointError(f"the penalty is {found[-1]} at iteration {number}.")
        varying = new
    return eqx.combine(varying, fixed), np.array(found)
