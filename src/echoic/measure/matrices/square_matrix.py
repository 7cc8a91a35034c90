"""What the measures of one matrix have in common: where it comes from, and how they answer.

They are computed on the host by LAPACK, always in double precision, and answer in the precision of
the matrix. They cannot be traced. In place of ``vmap`` they take a stack (b, n, n), such as the
matrices of many seeds, and answer each by itself.
"""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from echoic.core.cell import AbstractCell
from echoic.core.checks import is_traced, one_of, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status

ROUNDOFF = float(np.finfo(float).eps)


def recurrent_matrix(source: Any, block: str | None = None) -> np.ndarray:
    """The square matrix (..., n, n) that is meant: an array, or a recurrent block of a cell."""
    if isinstance(source, AbstractCell):
        blocks = source.recurrent_blocks()
        if not blocks:
            raise ValueError(f"{type(source).__name__} has no recurrent_blocks: pass a matrix.")
        if block is None and len(blocks) > 1:
            raise ValueError(
                f"{type(source).__name__} has several recurrent matrices: pass block=..., one of"
                f" {', '.join(blocks)}."
            )
        matrix: Any = blocks[
            next(iter(blocks)) if block is None else one_of("block", block, blocks)
        ]
    elif block is not None:
        raise ValueError(f"block={block!r} goes with a cell; a matrix has no blocks.")
    else:
        matrix = source
    if is_traced(matrix):
        raise ValueError(
            "this measure is computed by LAPACK and cannot be traced: call it outside of jit and"
            " vmap. It takes a stack (b, n, n) of matrices."
        )
    array = np.asarray(matrix)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or array.shape[-1] == 0:
        raise ValueError(f"matrix must have shape (n, n) or (b, n, n), got {array.shape}.")
    if not (jnp.issubdtype(array.dtype, jnp.floating) or array.dtype.kind in "iu"):
        raise ValueError(f"matrix must hold real numbers, got dtype {array.dtype}.")
    return array


def for_each_matrix(
    what: str,
    measure: Callable[[np.ndarray], Estimate],
    source: Any,
    block: str | None,
    *,
    copies: float = 20.0,
) -> Estimate:
    """``measure`` of every matrix of a stack, in double precision; NaN where one is not finite.

    ``copies`` is how many matrices of that size the work needs room for.
    """
    array = recurrent_matrix(source, block)
    size = array.shape[-1]
    refuse_if_larger(what, copies * 8.0 * size**2)
    single = jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.itemsize < 8
    flat = array.reshape(-1, size, size).astype(float)
    with np.errstate(all="ignore"):
        found = [_or_nan(measure, matrix, size) for matrix in flat]
    if single:
        found = [jtu.tree_map(_narrow, one) for one in found]
    if array.ndim == 2:
        return found[0]
    shape = array.shape[:-2]
    return jtu.tree_map(lambda *leaves: jnp.stack(leaves).reshape(shape + leaves[0].shape), *found)


def power_of_two(matrix: np.ndarray) -> float:
    """The largest that does not exceed all entries of a finite matrix; 1 for zeros.

    Divided by it, which is exact, a matrix can be squared whatever its unit.
    """
    largest = float(np.abs(matrix).max(initial=0.0))
    return 2.0 ** (math.frexp(largest)[1] - 1) if largest > 0 else 1.0


def _or_nan(measure: Callable, matrix: np.ndarray, size: int) -> Estimate:
    if np.all(np.isfinite(matrix)):
        return measure(matrix)
    # That of a matrix of the same size tells the shapes; not one number of it is kept.
    shaped = measure(np.zeros((size, size)))
    lost = jtu.tree_map(
        lambda leaf: (
            jnp.full_like(leaf, jnp.nan) if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf
        ),
        shaped,
    )
    status = jnp.asarray(int(Status.NOT_FINITE), jnp.int32)
    return Estimate(lost.value, lost.standard_error, status, shaped.settings, lost.details)


def _narrow(leaf: Any) -> Any:
    kinds = {"float64": jnp.float32, "complex128": jnp.complex64}
    return leaf.astype(kinds[str(leaf.dtype)]) if str(leaf.dtype) in kinds else leaf


def exact(
    value: Any, status: Status, settings: dict[str, Any], details: dict[str, Any]
) -> Estimate:
    """An estimate without sampling error, of NumPy values."""
    arrays = {name: jnp.asarray(each) for name, each in details.items()}
    value = jnp.asarray(value)
    status = status if np.all(np.isfinite(np.asarray(value))) or status else Status.NOT_FINITE
    return Estimate(value, None, status, Settings(**settings), arrays)
