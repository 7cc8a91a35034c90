"""Covariant Lyapunov vectors: the directions that the dynamics maps onto one another."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state, without_law
from echoic.core.checks import at_least, channels_of, is_traced, refuse_if_larger, sequences
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.linalg import log_abs, random_frame
from echoic.core.tangent import push_frame


class _Plan(NamedTuple):
    """Steps to settle forward, to keep, and to settle backward; fewer blocks than steps."""

    burn_in: int
    steps: int
    settle: int
    num_blocks: int


def covariant_vectors(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    key: PRNGKeyArray,
    num_exponents: int | None = None,
    state: State = None,
    steps: int | None = None,
    burn_in: int | None = None,
    settle: int | None = None,
    throw: bool = True,
) -> Estimate:
    """Covariant Lyapunov vectors along a trajectory, their angles and their growth rates.

    **Definition.** Unit vectors with ``J_t v_i(t) = +-g_i(t) v_i(t+1)``, such that the mean of
    ``log g_i`` is ``lambda_i``, forward and backward in time. Vectors of a common map are its
    eigenvectors. They are unique, up to sign, where the exponents differ.

    **Algorithm.** A frame goes forward, ``J_t Q_t = Q_{t+1} R_{t+1}``, and R is kept. Random upper
    triangular coefficients go backward, ``C_t = R_{t+1}^-1 C_{t+1}`` with unit columns, and settle:
    ``v(t) = Q_t C_t``.

    **Arguments**

    - ``cell``, ``key``, ``num_exponents``, ``state``: as for `lyapunov_spectrum`.
    - ``inputs``: shape (t,) or (t, m): one sequence. None for an autonomous system.
    - ``steps``: how many vectors to keep; by default all that the inputs leave.
    - ``burn_in``, ``settle``: steps for the frame to settle before, and for the coefficients after
      those; by default a quarter of the inputs each, 1000 at most, or as many as ``steps``, 100 at
      least, without inputs.

    **Returns:** an `Estimate` of the exponents, shape (k,), the means of ``log g_i`` in nats per
    step, with errors from 20 blocks; ``details``: ``vectors``, shape (t, n, k), those before each
    step; ``local``, ``log g_i`` of each step, (t, k); ``angles`` between them in radians, 0 to
    pi/2, (t, k, k); ``unsettled``, (k,): by how much (sine) frames, and coefficients, from two
    random starts differ; ``first_step``: the step before which the first of them lies.

    **Status:** NOT_CONVERGED (vectors depend on the start: longer ``burn_in`` and ``settle`` are
    needed, or exponents are equal, as those of a rotation, and only a plane is defined), SINGULAR
    (directions that die have no past: NaN from the first of them on), NOT_FINITE.

    **Raises:** ValueError for wrong arguments; MemoryError if frames and coefficients need more
    than 8 GB: ask for fewer exponents or steps; UntrustedError if the trajectory leaves the finite
    numbers and ``throw`` is set.

    **When it misleads:** close exponents need long runs on both sides: 18 steps over the gap leave
    1e-8. Angles below the square root of rounding are rounding.

    **Cost:** a step, k tangents and a QR of 2 n k^2 operations forward, twice in the burn-in; k^3
    backward. Memory: (steps + settle) k (n + k) numbers and steps k (n + k) more.

    **References:** Ginelli, Poggi, Turchi, Chate, Livi & Politi 2007; Kuptsov & Parlitz 2012.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> shear = jnp.array([[0.9, 0.3], [0.0, 0.5]])
        >>> found = covariant_vectors(
        ...     lambda h, _: shear @ h, state=jnp.ones(2), steps=5, key=jax.random.key(0)
        ... )
        >>> v = found.details["vectors"][0]
        >>> bool(jnp.allclose(shear @ v, v @ jnp.diag(jnp.array([0.9, 0.5])), atol=1e-4))
        True

        ```
    """
    if is_traced(cell, inputs, state):
        throw = False
    cell, inputs, state, plan = _prepare(cell, inputs, state, steps, burn_in, settle)
    vector, _ = flatten_state(state)
    n, dtype = vector.size, vector.dtype
    k = at_least("num_exponents", n if num_exponents is None else num_exponents, 1, n)
    size = k * (n + k) * (2 * plan.steps + plan.settle) * dtype.itemsize
    refuse_if_larger("the frames of all steps", float(size))
    value, error, status, details = _measure(cell, inputs, state, key, k, plan)
    settings = Settings(
        num_exponents=k,
        steps=plan.steps,
        burn_in=plan.burn_in,
        settle=plan.settle,
        dtype=str(dtype),
    )
    estimate = Estimate(value, error, status, settings, details)
    return estimate.throw(Status.NOT_FINITE) if throw else estimate


def _prepare(cell, inputs, state, steps, burn_in, settle):
    """Validate, and settle how many steps are for what."""
    cell = without_law(as_cell(cell, state, channels_of(inputs)))
    state = cell.initial_state() if state is None else jtu.tree_map(jnp.asarray, state)
    if inputs is None:
        if steps is None:
            raise ValueError("steps must be given where there are no inputs.")
        default, length = max(100, steps), None
    else:
        inputs = sequences(inputs, cell.input_size, flatten_state(state)[0].dtype)
        if inputs.shape[0] != 1:
            raise ValueError(f"inputs must be one sequence, got {inputs.shape[0]}: use vmap.")
        inputs = inputs[0]
        length = inputs.shape[0]
        default = min(length // 4, 1000)
    burn_in = at_least("burn_in", default if burn_in is None else burn_in, 0)
    settle = at_least("settle", default if settle is None else settle, 0)
    if length is not None:
        left = length - burn_in - settle
        steps = left if steps is None else steps
        if not 1 <= steps <= left:
            raise ValueError(
                f"burn_in + steps + settle must lie within the {length} steps of the inputs, steps"
                f" at least 1, got burn_in={burn_in}, steps={steps}, settle={settle}."
            )
    steps = at_least("steps", steps, 1)
    inputs = None if inputs is None else inputs[: burn_in + steps + settle]
    return cell, inputs, state, _Plan(burn_in, steps, settle, min(20, steps))


@eqx.filter_jit
def _measure(cell, inputs, state, key, k: int, plan: _Plan):
    """Forward, backward, and what comes of it."""
    vector, _ = flatten_state(state)
    frame_key, start_key, other_key = jr.split(key, 3)
    n, dtype = vector.size, vector.dtype
    eps = jnp.finfo(dtype).eps
    rest = jnp.zeros(cell.input_size, dtype)

    def forward(carry, x):
        state, frame, dead, finite = carry
        state, pushed = push_frame(cell, state, rest if x is None else x, frame)
        new, upper = jnp.linalg.qr(pushed)
        # What is left of a column after the others' share is rounding: its direction has died.
        lost = jnp.abs(jnp.diagonal(upper)) <= 10 * n * eps * jnp.linalg.norm(pushed, axis=0)
        finite = finite & jnp.all(jnp.isfinite(flatten_state(state)[0]))
        if x is not None:
            finite = finite & jnp.all(jnp.isfinite(x))
        return (state, new, dead | lost, finite), (frame, upper)

    def run(carry, first, count):
        part = None if inputs is None else inputs[first : first + count]
        return jax.lax.scan(forward, carry, part, length=count)

    def warmed(key):
        carry = state, random_frame(key, n, k, dtype), jnp.zeros(k, bool), jnp.array(True)
        part = None if inputs is None else inputs[: plan.burn_in]
        forget = lambda c, x: (forward(c, x)[0], None)  # noqa: E731
        return jax.lax.scan(forget, carry, part, length=plan.burn_in)[0]

    # Two frames, to see whether they have become one.
    both = jax.vmap(warmed)(jr.split(frame_key))
    carry = jtu.tree_map(lambda leaf: leaf[0], both)
    apart = _sines(*both[1])
    carry, (frames, uppers) = run(carry, plan.burn_in, plan.steps)
    carry, (_, later) = run(carry, plan.burn_in + plan.steps, plan.settle)
    dead, finite = carry[2:]

    def backward(c, upper):
        diagonal = jnp.diagonal(upper)
        # A dead direction may not spoil those before it.
        upper = upper + jnp.diag(jnp.where(diagonal == 0, 1, 0).astype(dtype))
        new = jax.scipy.linalg.solve_triangular(upper, c)
        norm = jnp.linalg.norm(new, axis=0, keepdims=True)
        return new / norm, (new / norm, -log_abs(norm[0]))

    def settled(key):
        start = jnp.triu(jr.normal(key, (k, k), dtype)) + jnp.eye(k, dtype=dtype)
        return jax.lax.scan(lambda c, u: (backward(c, u)[0], None), start, later, reverse=True)[0]

    c, other = settled(start_key), settled(other_key)
    c, other = (each / jnp.linalg.norm(each, axis=0, keepdims=True) for each in (c, other))
    unsettled = jnp.maximum(apart, _sines(c, other))
    _, (coefficients, local) = jax.lax.scan(backward, c, uppers, reverse=True)

    found = _Found(frames, coefficients, local, unsettled, dead, finite)
    return _summary(found, plan)


def _sines(a: Float[Array, "n k"], b: Float[Array, "n k"]) -> Float[Array, "k"]:
    """Of the angles between unit columns: from what b has beside a, since 1 - cos would cancel."""
    along = jnp.sum(a * b, axis=0, keepdims=True)
    return jnp.linalg.norm(b - along * a, axis=0)


class _Found(NamedTuple):
    """Frames and coefficients at every step, and what is doubtful in them."""

    frames: Float[Array, "t n k"]
    coefficients: Float[Array, "t k k"]
    local: Float[Array, "t k"]
    unsettled: Float[Array, "k"]
    dead: Bool[Array, "k"]
    finite: Bool[Array, ""]


def _summary(found: _Found, plan: _Plan):
    """Vectors and angles from coefficients; mean and error of the growth; the flags."""
    frames, coefficients, local, unsettled, dead, finite = found
    k, dtype = dead.size, local.dtype
    eps = jnp.finfo(dtype).eps
    gone = jnp.cumsum(dead) > 0
    lost = jnp.where(gone | ~finite, jnp.nan, 0).astype(dtype)
    coefficients = coefficients + lost[None, None, :]
    vectors = jnp.einsum("tnj,tjk->tnk", frames, coefficients)
    cosines = jnp.abs(jnp.einsum("tji,tjk->tik", coefficients, coefficients))
    local = jnp.where(dead[None, :], -jnp.inf, local + lost[None, :])
    local = jnp.where(finite, local, jnp.nan)
    value = jnp.mean(local, axis=0)
    used = plan.steps // plan.num_blocks * plan.num_blocks
    blocks = local[:used].reshape(plan.num_blocks, -1, k).mean(axis=1)
    error = jnp.full_like(value, jnp.nan)
    if plan.num_blocks > 1:
        error = jnp.std(blocks, axis=0, ddof=1) / plan.num_blocks**0.5
    status = jnp.where(finite, 0, int(Status.NOT_FINITE))
    loose = jnp.any((unsettled > jnp.sqrt(eps)) & ~gone)
    status = status | jnp.where(loose, int(Status.NOT_CONVERGED), 0)
    status = status | jnp.where(jnp.any(dead), int(Status.SINGULAR), 0)
    details = {
        "vectors": vectors,
        "local": local,
        "angles": jnp.arccos(jnp.minimum(cosines, 1)),
        "unsettled": unsettled + lost,
        "first_step": jnp.asarray(plan.burn_in, jnp.int32),
    }
    return value, error, status.astype(jnp.int32), details
