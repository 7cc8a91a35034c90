"""What a point of rest does to its surroundings, from the eigenvalues of its linearisation."""

import enum

import numpy as np
from jaxtyping import Complex, Float, Int


class Stability(enum.IntEnum):
    """What a point does to its surroundings. The numbers stand in ``details["kind"]``."""

    ATTRACTING = 0
    SADDLE = 1
    REPELLING = 2
    MARGINAL = 3
    SLOW = 4


def stability(
    matrices: Float[np.ndarray, "k n n"],
) -> tuple[Complex[np.ndarray, "k n"], Int[np.ndarray, "k"], Int[np.ndarray, "k"]]:
    """Multipliers by falling modulus, how many lie outside the unit circle, and the kind."""
    n = matrices.shape[1]
    values = np.linalg.eigvals(matrices).astype(np.result_type(matrices.dtype, np.complex64))
    order = np.argsort(-np.abs(values), axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1)
    margin = np.sqrt(np.finfo(matrices.dtype).eps)
    outside = np.sum(np.abs(values) > 1 + margin, axis=1)
    on_circle = np.any(np.abs(np.abs(values) - 1) <= margin, axis=1)
    kind = np.where(outside == 0, int(Stability.ATTRACTING), int(Stability.SADDLE))
    kind = np.where(outside == n, int(Stability.REPELLING), kind)
    return values, outside, np.where(on_circle, int(Stability.MARGINAL), kind)
