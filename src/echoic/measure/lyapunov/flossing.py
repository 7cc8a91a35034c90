"""Gradient flossing: Lyapunov exponents as something to train."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state, without_law
from echoic.core.checks import (
    at_least,
    bytes_of,
    channels_of,
    is_traced,
    refuse_if_larger,
    sequences,
)
from echoic.core.linalg import log_abs, random_frame
from echoic.core.tangent import push_frame


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

    **Cost:** about three times the forward pass, which takes k tangents a step; the backward pass
    keeps steps b k n numbers and what the cell's steps need.

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
    rest = jnp.zeros(cell.input_size, frame.dtype)

    def advance(carry, x):
        state, frame = carry
        return push_frame(cell, state, rest if x is None else x, frame), None

    def segment(carry, xs):
        (state, frame), _ = jax.lax.scan(advance, carry, xs, length=every)
        frame, upper = jnp.linalg.qr(frame)
        return (state, frame), log_abs(jnp.diagonal(upper))

    def one(state, xs):
        if xs is not None:
            xs = xs.reshape(skipped + kept, every, -1)
        (state, _), growth = jax.lax.scan(segment, (state, frame), xs, length=skipped + kept)
        sick = ~jnp.all(jnp.isfinite(flatten_state(state)[0]))
        if xs is not None:
            sick = sick | ~jnp.all(jnp.isfinite(xs))
        found = jnp.sum(growth[skipped:], axis=0) / (kept * every)
        return jnp.where(sick, jnp.nan, found)

    if inputs is None:
        return one(jtu.tree_map(lambda leaf: leaf[0], states), None)
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

    def backwards(varying):
        return eqx.filter_vjp(lambda varying: penalty(varying, fixed, inputs, key), varying)[1]

    refuse_if_larger("the way back", bytes_of(eqx.filter_eval_shape(backwards, varying)))

    @eqx.filter_jit
    def improve(varying, fixed, progress, inputs, key):
        value, gradient = eqx.filter_value_and_grad(penalty)(varying, fixed, inputs, key)
        with jax.numpy_dtype_promotion("standard"):  # Adam counts in integers
            updates, progress = optimiser.update(gradient, progress)
        return eqx.apply_updates(varying, updates), progress, value

    found = []
    for number in range(iterations):
        new, progress, value = improve(varying, fixed, progress, inputs, key)
        found.append(float(value))
        if not np.isfinite(found[-1]):
            raise FloatingPointError(f"the penalty is {found[-1]} at iteration {number}.")
        varying = new
    return eqx.combine(varying, fixed), np.array(found)
