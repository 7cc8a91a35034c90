"""Singular values of long products of Jacobians."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state, without_law
from echoic.core.checks import at_least, channels_of, is_traced, sequences
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.linalg import log_abs, random_frame
from echoic.core.tangent import all_finite, push_frame
from echoic.measure.lyapunov.orthogonalise import triangularise

_MAX_SWEEPS = 30


def jacobian_singular_values(
    cell: AbstractCell | Step,
    inputs: Any,
    *,
    key: PRNGKeyArray,
    lag: int,
    num_values: int | None = None,
    state: State = None,
    burn_in: int | None = None,
    num_windows: int | None = None,
    orthogonalise_every: int = 1,
    throw: bool = True,
) -> Estimate:
    """Natural logarithms of the singular values of ``dh_t/dh_{t-lag}``, largest first.

    **Definition.** The singular values of ``J_t J_{t-1} ... J_{t-lag+1}`` over the full state. Half
    the logarithm of their mean square is the logarithm of the gradient reach.

    **Algorithm.** The product is never formed. A frame is pushed through it and factorised by LU,
    which leaves triangular factors; their product is kept with a logarithmic scale for each row,
    and one-sided Jacobi rotations diagonalise what is left, scales apart. Nothing overflows, and
    small singular values keep their digits.

    **Arguments**

    - ``cell``: a cell, or any function ``step(state, x) -> state`` together with ``state=``.
    - ``inputs``: shape (t,), (t, m) or (b, t, m).
    - ``key``: for the random start of the frame, on which the answer does not depend.
    - ``lag``: how many Jacobians are multiplied.
    - ``num_values``: how many of the largest to return; all by default.
    - ``state``: where to begin; the cell's initial state by default.
    - ``burn_in``: steps before the first window; by default a quarter of the inputs, less if a
      single window would not fit otherwise.
    - ``num_windows``: windows of ``lag`` steps, the last ending with the inputs, the first
      beginning after ``burn_in``; by default as many as fit without overlap, 8 at most.
    - ``orthogonalise_every``: steps between two factorisations, 1 unless a spectrum has shown that
      more are safe.

    **Returns:** an `Estimate` of the sorted logarithms, averaged over windows and sequences, with
    the standard error of that mean (NaN for a single window); ``details["windows"]`` holds each,
    shape (b * windows, k), and ``details["ends"]`` the steps at which they end.

    **Status:** SINGULAR (some are -inf, singular values of exactly 0), NOT_FINITE,
    NOT_CONVERGED (the rotations did not come to rest).

    **Raises:** ValueError for wrong arguments; UntrustedError if the trajectory leaves the finite
    numbers and ``throw`` is set.

    **Cost:** for each window, lag times about 5 n^3 operations.

    **References:** Stewart 1997 on graded products; Demmel & Veselic 1992 on the accuracy of
    one-sided Jacobi rotations.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> shrink = lambda h, x: h * jnp.array([0.5, 0.1])
        >>> found = jacobian_singular_values(
        ...     shrink, jnp.zeros(30), state=jnp.ones(2), lag=20, key=jax.random.key(0)
        ... )
        >>> bool(jnp.allclose(found.value, 20 * jnp.log(jnp.array([0.5, 0.1])), atol=1e-3))
        True

        ```
    """
    width = channels_of(inputs)
    network: AbstractCell = without_law(as_cell(cell, state, width))
    state = network.initial_state() if state is None else jtu.tree_map(jnp.asarray, state)
    vector = flatten_state(state)[0]
    inputs = sequences(inputs, network.input_size, vector.dtype)
    batch, length = inputs.shape[:2]
    n = vector.size
    lag = at_least("lag", lag, 1, length)
    k = at_least("num_values", n if num_values is None else num_values, 1, n)
    every = at_least("orthogonalise_every", orthogonalise_every, 1)
    burn_in = min(length // 4, length - lag) if burn_in is None else burn_in
    burn_in = at_least("burn_in", burn_in, 0, length - lag)
    room = length - burn_in - lag
    fitting = min(8, 1 + room // lag)
    count = at_least("num_windows", fitting if num_windows is None else num_windows, 1, 1 + room)
    starts = burn_in + np.linspace(room if count == 1 else 0, room, count).astype(int)

    frame = random_frame(key, n, n, vector.dtype)
    values, settled, finite = _windows(
        network, inputs, state, frame, jnp.asarray(starts), lag, every
    )
    values = values.reshape(batch * count, n)[:, :k]
    value = jnp.mean(values, axis=0)
    error = jnp.full_like(value, jnp.nan)
    if batch * count > 1:
        error = jnp.std(values, axis=0, ddof=1) / (batch * count) ** 0.5
    status = _flag(jnp.any(value == -jnp.inf), Status.SINGULAR)
    status |= _flag(~jnp.all(finite) | jnp.any(jnp.isnan(value)), Status.NOT_FINITE)
    status |= _flag(jnp.all(finite) & ~jnp.all(settled), Status.NOT_CONVERGED)
    settings = Settings(
        lag=lag, num_values=k, burn_in=burn_in, num_windows=count, orthogonalise_every=every
    )
    details = {"windows": values, "ends": jnp.asarray(starts + lag)}
    estimate = Estimate(value, error, status, settings, details)
    if throw and not is_traced(estimate.value):
        estimate.throw(Status.NOT_FINITE)
    return estimate


def _flag(condition: Array, what: Status) -> Array:
    return jnp.where(condition, int(what), 0).astype(jnp.int32)


class _Product(NamedTuple):
    """``diag(exp(scale)) rows``: a triangular matrix of any size, its rows of maximum norm 1."""

    scale: Float[Array, "n"]
    rows: Float[Array, "n n"]

    def multiplied_by(self, upper: Float[Array, "n n"]) -> "_Product":
        """``upper`` times this, row by row in units that fit it."""
        # Only the rows that upper really mixes count: taking others would let small ones vanish.
        scales = jnp.where(upper != 0, self.scale[None, :], -jnp.inf)
        top = jnp.max(scales, axis=1, keepdims=True)
        mixed = upper * jnp.where(
            upper != 0, jnp.exp(scales - jnp.where(top > -jnp.inf, top, 0)), 0
        )
        rows = mixed @ self.rows
        norm = jnp.max(jnp.abs(rows), axis=1)
        # A row of zeros stays one, with scale -inf: a singular value of 0.
        return _Product(
            jnp.where(norm == 0, -jnp.inf, top[:, 0] + jnp.log(jnp.where(norm == 0, 1, norm))),
            rows / jnp.where(norm == 0, 1, norm)[:, None],
        )


@eqx.filter_jit
def _windows(cell, inputs, state, frame, starts, lag: int, every: int):
    """Sorted logarithms for each sequence and window, shape (b, w, n)."""

    def trajectory(xs):
        def advance(state, x):
            return cell.step(state, x), state

        return jax.lax.scan(advance, state, xs)[1]

    def window(xs, states, start):
        here = jtu.tree_map(
            lambda leaf: jax.lax.dynamic_index_in_dim(leaf, start, 0, False), states
        )
        xs = jax.lax.dynamic_slice_in_dim(xs, start, lag, 0)
        product, finite = _product(cell, xs, here, frame, every)
        values, settled = log_singular_values(product.scale, product.rows)
        return jnp.where(finite, values, jnp.nan), settled, finite

    def sequence(xs):
        states = trajectory(xs)
        return jax.lax.map(lambda start: window(xs, states, start), starts)

    return jax.lax.map(sequence, inputs)


def _product(
    cell: AbstractCell,
    xs: Float[Array, "t m"],
    state: State,
    frame: Float[Array, "n n"],
    every: int,
) -> tuple[_Product, Array]:
    """The triangular part of the product of Jacobians along ``xs``, and whether it is finite."""
    n = frame.shape[0]

    def absorb(frame, product):
        frame, upper = triangularise(frame)
        return frame, product.multiplied_by(upper)

    def advance(carry, i_x):
        state, frame, product, finite = carry
        i, x = i_x
        state, frame = push_frame(cell, state, x, frame)
        frame, product = jax.lax.cond(
            (i + 1) % every == 0, absorb, lambda f, p: (f, p), frame, product
        )
        finite = finite & all_finite(state, x)
        return (state, frame, product, finite), None

    product = _Product(jnp.zeros(n, frame.dtype), jnp.eye(n, dtype=frame.dtype))
    carry = (state, frame, product, jnp.array(True))
    (_, frame, product, finite), _ = jax.lax.scan(advance, carry, (jnp.arange(len(xs)), xs))
    # The frame itself is no longer orthonormal: what it lacks belongs to the product.
    frame, product = absorb(frame, product)
    return product.multiplied_by(jnp.linalg.qr(frame, mode="r")), finite


def log_singular_values(
    scale: Float[Array, "n"], rows: Float[Array, "n n"]
) -> tuple[Float[Array, "n"], Bool[Array, ""]]:
    """Logarithms of the singular values of ``diag(exp(scale)) rows``, largest first.

    One-sided Jacobi rotations of the rows, in which each row keeps its scale: rotating rows
    ``a = e^s u`` and ``b = e^{s'} v`` with s' < s takes from v its part along u, whatever the
    ratio of their sizes. Also returns whether the rotations came to rest.

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> values, _ = log_singular_values(jnp.array([900.0, -900.0]), jnp.eye(2))
        >>> values.tolist()
        [900.0, -900.0]

        ```
    """
    n = scale.shape[0]
    even = n + n % 2
    # An odd number gets a row of zeros, which stands aside.
    scale = jnp.pad(scale, (0, even - n), constant_values=-jnp.inf)
    rows = jnp.pad(rows, ((0, even - n), (0, 0)))
    eps = jnp.finfo(rows.dtype).eps
    rounds = jnp.asarray(_tournament(even))

    def rotate(carry, pairs):
        scale, rows, worst = carry
        size = scale + 0.5 * log_abs(jnp.sum(rows**2, axis=1))
        swap = size[pairs[:, 0]] < size[pairs[:, 1]]
        big = jnp.where(swap, pairs[:, 1], pairs[:, 0])
        small = jnp.where(swap, pairs[:, 0], pairs[:, 1])
        u, v = rows[big], rows[small]
        alpha, gamma, beta = (jnp.sum(a * b, axis=1) for a, b in ((u, u), (v, v), (u, v)))
        alive = (scale[small] > -jnp.inf) & (alpha > 0) & (gamma > 0)
        ratio = jnp.where(alive, jnp.exp(scale[small] - jnp.where(alive, scale[big], 0)), 0)
        cosine = jnp.where(alive, jnp.abs(beta) / jnp.sqrt(jnp.where(alive, alpha * gamma, 1)), 0)
        # tan(angle) / ratio: finite for every ratio, and so the small row is never divided by it.
        gap = alpha - ratio**2 * gamma
        root = jnp.abs(gap) + jnp.sqrt(gap**2 + 4 * (ratio * beta) ** 2)
        turn = jnp.where(alive & (root > 0), 2 * beta / jnp.where(root > 0, root, 1), 0)
        tangent = ratio * turn
        c = 1 / jnp.sqrt(1 + tangent**2)
        new_u = c[:, None] * (u + (tangent * ratio)[:, None] * v)
        new_v = c[:, None] * (v - turn[:, None] * u)
        rows = rows.at[big].set(new_u).at[small].set(new_v)
        return (scale, rows, jnp.maximum(worst, jnp.max(cosine))), None

    def sweep(carry):
        scale, rows, _, count = carry
        zero = jnp.zeros((), rows.dtype)
        (scale, rows, worst), _ = jax.lax.scan(rotate, (scale, rows, zero), rounds)
        # Rows that have lost their size to cancellation get a scale that fits them.
        norm = jnp.max(jnp.abs(rows), axis=1)
        scale = jnp.where(norm == 0, -jnp.inf, scale + jnp.log(jnp.where(norm == 0, 1, norm)))
        return scale, rows / jnp.where(norm == 0, 1, norm)[:, None], worst, count + 1

    tolerance = n * eps
    scale, rows, worst, _ = jax.lax.while_loop(
        lambda carry: (carry[2] > tolerance) & (carry[3] < _MAX_SWEEPS),
        sweep,
        (scale, rows, jnp.array(jnp.inf, rows.dtype), 0),
    )
    norm = jnp.sum(rows**2, axis=1)
    values = scale + 0.5 * jnp.log(jnp.where(norm == 0, 1, norm))
    return -jnp.sort(-values)[:n], worst <= tolerance


def _tournament(n: int) -> np.ndarray:
    """All pairs of n rows, in n - 1 rounds of n / 2 disjoint pairs (round robin)."""
    players, rounds = list(range(n)), []
    for _ in range(n - 1):
        rounds.append([(players[i], players[n - 1 - i]) for i in range(n // 2)])
        players = [players[0], players[-1], *players[1:-1]]
    return np.array(rounds, dtype=np.int32).reshape(n - 1, n // 2, 2)
