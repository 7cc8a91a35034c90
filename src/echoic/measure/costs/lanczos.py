"""The Lanczos recurrence with full re-orthogonalisation, for symmetric operators."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

# In a small basis the Ritz values cost nothing beside a product, and are looked at after each; in a
# large one they cost n^3 of its vectors, and are looked at after so many.
_SMALL, _EVERY = 16, 4


class Krylov(NamedTuple):
    """``A Q = Q T + beta_k q_{k+1} e_k'`` after ``k`` products; rows of ``basis`` are vectors."""

    basis: Float[Array, "most_and_one n"]
    diagonal: Float[Array, "most"]
    off_diagonal: Float[Array, "most"]
    products: Int[Array, ""]


class Extremes(NamedTuple):
    """Eigenvalues from both ends, with bounds on their distance from true ones."""

    largest: Float[Array, "count"]
    smallest: Float[Array, "count"]
    residual: Float[Array, "both"]
    products: Int[Array, ""]
    converged: Bool[Array, ""]


def begin(start: Float[Array, "n"], most: int) -> Krylov:
    """No product yet."""
    basis = jnp.zeros((most + 1, start.size), start.dtype)
    basis = basis.at[0].set(start / jnp.linalg.norm(start))
    zeros = jnp.zeros(most, start.dtype)
    return Krylov(basis, zeros, zeros, jnp.zeros((), jnp.int32))


def extend(apply: Callable[[Array], Array], krylov: Krylov, key: PRNGKeyArray) -> Krylov:
    """One product more.

    Where the basis spans an invariant subspace the remainder is rounding. It is then replaced by a
    random vector that is orthogonal to the basis, with an off-diagonal of zero: to go on with the
    remainder would count eigenvalues twice.
    """
    basis, diagonal, off_diagonal, k = krylov
    image = apply(basis[k])
    size = jnp.linalg.norm(image)
    rest = _orthogonal_to(basis, image)
    alpha = basis[k] @ image
    scale = jnp.maximum(size, jnp.max(jnp.abs(diagonal) + off_diagonal))
    beta = jnp.linalg.norm(rest)
    spent = beta <= 100 * jnp.finfo(beta.dtype).eps * scale
    other = jr.normal(jr.fold_in(key, k), rest.shape, rest.dtype)
    other = _orthogonal_to(basis, other / jnp.linalg.norm(other))
    rest = jnp.where(spent, other, rest)
    beta = jnp.where(spent, jnp.zeros_like(beta), beta)
    return Krylov(
        basis.at[k + 1].set(rest / jnp.linalg.norm(rest)),
        diagonal.at[k].set(alpha),
        off_diagonal.at[k].set(beta),
        k + 1,
    )


def _orthogonal_to(basis: Float[Array, "k n"], vector: Float[Array, "n"]) -> Float[Array, "n"]:
    """Twice is enough (Kahan; Parlett 1998, section 6.9)."""
    for _ in range(2):
        vector = vector - basis.T @ (basis @ vector)
    return vector


def tridiagonal(krylov: Krylov) -> tuple[Float[Array, "most"], Float[Array, "most most"]]:
    """All Ritz values in ascending order, and their vectors in columns.

    Rows that no product has filled yet get values above all others, apart from the rest.
    """
    most = krylov.diagonal.size
    filled = jnp.arange(most, dtype=jnp.int32) < krylov.products
    bound = jnp.max(jnp.abs(krylov.diagonal)) + 2 * jnp.max(krylov.off_diagonal)
    diagonal = jnp.where(filled, krylov.diagonal, 2 * bound + 1)
    beside = jnp.where(filled[1:], krylov.off_diagonal[:-1], jnp.zeros_like(diagonal[1:]))
    matrix = jnp.diag(diagonal) + jnp.diag(beside, 1) + jnp.diag(beside, -1)
    return jnp.linalg.eigh(matrix)


def extremes(
    apply: Callable[[Array], Array],
    start: Float[Array, "n"],
    *,
    count: int,
    most: int,
    tolerance: float,
    both: bool,
    key: PRNGKeyArray,
) -> Extremes:
    """The ``count`` largest and smallest eigenvalues, by at most ``most`` products.

    The residual of a Ritz pair, ``r = |A y - theta y| = beta_k |e_k' s|``, bounds the distance of
    theta from the nearest eigenvalue, and so does ``r^2 / gap`` once the gap to the other
    eigenvalues is known, here from the Ritz values (Parlett 1998, theorem 11.7.1). Converged: the
    smaller of the two (of the largest only, unless ``both``) is below ``tolerance`` times the
    largest modulus.
    """
    whole = start.size <= most
    ends = jnp.arange(count, dtype=jnp.int32)

    def look(krylov: Krylov) -> Extremes:
        values, vectors = tridiagonal(krylov)
        k = krylov.products
        places = jnp.concatenate([k - 1 - ends, ends])
        beta = krylov.off_diagonal[k - 1]
        beta = jnp.where(k >= start.size, jnp.zeros_like(beta), beta) if whole else beta
        residual = beta * jnp.abs(vectors[k - 1, places])
        found = values[places]
        gap = _gaps(values, places, k)
        error = jnp.where(gap > residual, residual**2 / gap, residual)
        asked = error if both else error[:count]
        enough = jnp.max(asked) <= tolerance * jnp.max(jnp.abs(found))
        return Extremes(
            found[:count], found[count:], residual, k, enough & (k >= min(2 * count, start.size))
        )

    def unfinished(most, carry):
        krylov, found = carry
        finite = jnp.isfinite(krylov.diagonal[krylov.products - 1])
        return ~found.converged & (krylov.products < most) & finite

    def more(most, every, carry):
        krylov, _ = carry
        target = jnp.minimum(krylov.products + every, most)
        krylov = jax.lax.while_loop(
            lambda now: now.products < target, lambda now: extend(apply, now, key), krylov
        )
        return krylov, look(krylov)

    small = min(most, max(_SMALL, 2 * count))
    # The first look is made unconditionally: `unfinished` asks for the last product.
    first = extend(apply, begin(start, small), key)
    found = jax.lax.while_loop(
        partial(unfinished, small), partial(more, small, 1), (first, look(first))
    )
    if small == most:
        return found[1]
    grown = (_grown(found[0], most), found[1])
    return jax.lax.while_loop(partial(unfinished, most), partial(more, most, _EVERY), grown)[1]


def _gaps(values: Float[Array, "most"], places: Int[Array, "both"], k: Int[Array, ""]) -> Array:
    """How far the Ritz values at ``places`` are from their neighbours; 0 for a single one."""
    if values.size == 1:
        return jnp.zeros_like(values[places])
    apart = jnp.diff(values)
    last = values.size - 1
    above = jnp.where(places < k - 1, apart[jnp.minimum(places, last - 1)], jnp.inf)
    below = jnp.where(places > 0, apart[jnp.maximum(places - 1, 0)], jnp.inf)
    gap = jnp.minimum(above, below)
    return jnp.where(jnp.isfinite(gap), gap, jnp.zeros_like(gap))


def _grown(krylov: Krylov, most: int) -> Krylov:
    """The same in a basis with room for more."""
    more = most - krylov.diagonal.size
    return Krylov(
        jnp.pad(krylov.basis, ((0, more), (0, 0))),
        jnp.pad(krylov.diagonal, (0, more)),
        jnp.pad(krylov.off_diagonal, (0, more)),
        krylov.products,
    )
