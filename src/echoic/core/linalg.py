"""Linear algebra that several measurements share."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

_MAX_DOUBLINGS = 60  # sums 2**60 powers: what has not settled by then never will


class SteinSolution(NamedTuple):
    """The solution of a Stein equation, and whether there is one.

    ``solution`` is NaN where ``stable`` is False.
    """

    solution: Float[Array, "n n"]
    stable: Bool[Array, ""]
    doublings: Int[Array, ""]


def stein(w: Float[Array, "n n"], q: Float[Array, "n n"]) -> SteinSolution:
    """Solve the Stein (discrete Lyapunov) equation ``C = W C W' + Q`` by doubling.

    **Definition.** ``C = sum_{k >= 0} W^k Q W'^k``, the stationary covariance of
    ``h' = W h + noise`` with noise covariance Q. Each doubling adds as many powers as there were:
    ``C <- C + A C A'``, ``A <- A A``, so nothing is inverted and strongly non-normal W, on which
    the bilinear transform loses all digits, keep theirs.

    **Arguments:** the square matrices ``w`` and ``q``, of one dtype.

    **Returns:** a `SteinSolution`. Its ``stable`` is False, and its solution NaN, where the sum
    does not settle: the spectral radius of W is 1 or more, or overflow came first.

    **Cost:** 6 n^3 multiplications a doubling, about ``log2(memory time)`` doublings, 60 at most.
    Not differentiable in reverse mode.

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> w = jnp.array([[0.5, 0.2], [0.0, 0.3]])
        >>> c = stein(w, jnp.eye(2)).solution
        >>> bool(jnp.allclose(w @ c @ w.T + jnp.eye(2), c, atol=1e-5))
        True

        ```
    """
    eps = jnp.finfo(w.dtype).eps

    def unsettled(carry):
        _, power, change, size, count = carry
        # A small change alone may be the calm before an amplification: the power must have
        # shrunk as well. NaN compares false and therefore stays unsettled up to the last count.
        settled = (change <= eps * size) & (jnp.linalg.norm(power) <= 1)
        failed = ~jnp.isfinite(size)
        return ~settled & ~failed & (count < _MAX_DOUBLINGS)

    def double(carry):
        total, power, _, _, count = carry
        update = power @ total @ power.T
        total = total + update
        change, size = jnp.linalg.norm(update), jnp.linalg.norm(total)
        return total, power @ power, change, size, count + 1

    start = (q, w, jnp.array(jnp.inf, w.dtype), jnp.linalg.norm(q), jnp.zeros((), jnp.int32))
    carry = jax.lax.while_loop(unsettled, double, start)
    total, power, change, size, count = carry
    stable = (change <= eps * size) & (jnp.linalg.norm(power) <= 1)
    return SteinSolution(jnp.where(stable, total, jnp.nan), stable, count)


def random_frame(key: PRNGKeyArray, size: int, count: int, dtype) -> Float[Array, "n k"]:
    """``count`` random orthonormal columns, uniform on the Stiefel manifold.

    ??? example
        ```python
        >>> import jax
        >>> frame = random_frame(jax.random.key(0), 5, 3, jax.numpy.float32)
        >>> bool(jax.numpy.allclose(frame.T @ frame, jax.numpy.eye(3), atol=1e-5))
        True

        ```
    """
    q, r = jnp.linalg.qr(jr.normal(key, (size, count), dtype))
    # The sign of R's diagonal is LAPACK's choice: without this the columns are not uniform.
    return q * jnp.where(jnp.diagonal(r) < 0, -1, 1).astype(dtype)[None, :]


def log_abs(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """``log|x|`` with ``log 0 = -inf``, and with a gradient that is 0 there instead of NaN."""
    zero = values == 0
    return jnp.where(zero, -jnp.inf, jnp.log(jnp.abs(jnp.where(zero, 1, values))))
