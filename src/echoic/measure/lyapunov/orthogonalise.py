"""Frames of tangent vectors: how they are pushed forward without losing the contracting ones.

Exponents and singular values of long Jacobian products need the flag that a frame spans (the span
of its first column, of its first two, ...) and the volumes on the way, not orthonormal columns.
So a frame is re-orthogonalised by LU with row pivoting, ``A = P'L U``: ``P'L`` spans the same flag
as A, is well-conditioned in practice, and the volumes grow by ``log|diag U|``. Where volumes
themselves are wanted, ``volume`` adds what ``P'L`` lacks. This is Bauer's staircase iteration.
Against Householder QR it takes a quarter of the operations, keeps rows of different size apart (a
saturated unit makes a small row), and an exact zero stays one: a chain has exponents of -inf.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from echoic.core.linalg import log_abs


def triangularise(
    a: Float[Array, "n k"],
) -> tuple[Float[Array, "n k"], Float[Array, "k k"]]:
    """``A = F U``: a frame F with the flag of A, and U upper triangular.

    A column that A makes dependent gets a zero on U's diagonal and is born again in F as a unit
    vector, so that F keeps full rank.
    """
    n, k = a.shape
    lu, _, permutation = jax.lax.linalg.lu(a)
    lower = jnp.tril(lu, -1) + jnp.eye(n, k, dtype=a.dtype)
    rows = jnp.arange(n, dtype=permutation.dtype)
    back = jnp.zeros_like(rows).at[permutation].set(rows, unique_indices=True)
    frame = lower.at[back].get(unique_indices=True, mode="promise_in_bounds")
    return frame, jnp.triu(lu[:k])


def log_volume(frame: Float[Array, "n k"]) -> Float[Array, "k"]:
    """``log|diag R|`` of ``F = Q R``: what each column adds to the volume of those before it."""
    return log_abs(jnp.diagonal(jnp.linalg.qr(frame, mode="r")))


def spread(a: Float[Array, "n k"], log_diagonal: Float[Array, "k"]) -> Float[Array, ""]:
    """Logarithm of the largest ratio of a column of A to its pivot: the digits that LU loses."""
    loss = jnp.log(jnp.max(jnp.abs(a), axis=0)) - log_diagonal
    return jnp.max(jnp.where(jnp.isfinite(loss), loss, 0), initial=0)


def half_range(dtype) -> float:
    """Half of the range of the numbers, as a natural logarithm: where columns are rescaled."""
    return jnp.finfo(dtype).maxexp // 2 * math.log(2)


def rescale(a: Float[Array, "n k"]) -> tuple[Float[Array, "n k"], Float[Array, "k"]]:
    """Columns near the ends of the range of numbers brought back to size 1, and the logarithms.

    By powers of two, so that no digit is lost and LU chooses the same pivots. Other columns are
    left alone, and a column of zeros stays one.
    """
    top = jnp.finfo(a.dtype).maxexp
    _, exponent = jnp.frexp(jnp.max(jnp.abs(a), axis=0))
    # The inverse of the largest powers is no normal number.
    exponent = jnp.clip(jnp.where(jnp.abs(exponent) > top // 2, exponent, 0), 3 - top, top - 3)
    scale = jnp.ldexp(jnp.ones_like(a[0]), -exponent)
    return a * scale[None, :], exponent.astype(a.dtype) * math.log(2)


def balance(
    push: Callable[[Float[Array, "n"]], Float[Array, "n"]], frame: Float[Array, "n k"]
) -> tuple[Float[Array, "n k"], Float[Array, "k k"]]:
    """``F = G U`` such that ``J G`` has no columns that rounding would eat.

    A Jacobian K D with a diagonal D of very different sizes (saturation before the product) mixes
    small and large rows of the frame. LU of ``C F``, with C the norms of J's columns, sorts them
    out beforehand: ``G = C^-1 P'L``. The norms are estimated from two random row combinations.
    """
    n = frame.shape[0]
    pull = jax.linear_transpose(push, jax.ShapeDtypeStruct((n,), frame.dtype))
    # Any fixed vectors without structure do: only the order of magnitude counts.
    index = jnp.arange(1, n + 1, dtype=frame.dtype)
    probes = jnp.stack([jnp.cos(index * index * angle) for angle in (0.7, 1.9)])
    size = jnp.sqrt(sum(pull(probe)[0] ** 2 for probe in probes))
    size = jnp.where(size > 0, size, 1)
    lower, upper = triangularise(size[:, None] * frame)
    return lower / size[:, None], upper
