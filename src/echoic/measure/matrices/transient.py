"""Transient growth: how much a linear network amplifies before it forgets."""

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg

from echoic.core.checks import at_least
from echoic.core.estimate import Estimate, Status
from echoic.measure.matrices.square_matrix import exact, for_each_matrix

_operator: Any = scipy.sparse.linalg.LinearOperator
_largest: Any = scipy.sparse.linalg.eigsh
_length: Any = scipy.linalg.get_blas_funcs("nrm2", dtype=np.float64)  # no square overflows
_DENSE_SVD = 128  # up to this size all singular values are quicker than the largest alone
_SPARSE = 0.05  # share of entries below which products skip the zeros


def transient_growth(
    matrix: Any, *, block: str | None = None, vector: Any = None, max_power: int | None = None
) -> Estimate:
    """The largest amplification ``max_k |W^k|``, and the step at which it happens.

    **Definition.** The maximum over k >= 0 of the spectral norm of ``W^k``, or of ``|W^k v|`` for a
    given vector v. 1, at k = 0, for a W that never amplifies.

    **Arguments:**

    - ``matrix``: shape (n, n), a stack (b, n, n), or a cell, of which ``block`` names the matrix.
    - ``vector``: shape (n,), v. Default: the worst case over all unit vectors.
    - ``max_power``: the largest k that is looked at. Default: the larger of 1,000 and 2 n.

    **Returns:** an `Estimate`. Details: ``power`` (the k), ``gain`` (the curve from k = 0, NaN
    where it was not needed), ``searched`` (the last k looked at). The search ends, and the answer
    is exact, at the first power with ``|W^m| < 1``: every later one is a product of it and of
    earlier ones. Status NOT_CONVERGED: no power up to ``max_power`` fell below 1, or v was not
    spent, so that the value is a lower bound; UNSTABLE when the gain at the end is also the
    largest.

    **Raises:** ValueError for what is no square matrix, a vector of another size, and under
    tracing.

    **When the number misleads:** it is about the linear network. A saturating one amplifies small
    signals only.

    **Cost:** 2 n^3 operations a power and some tens of n^2 for its norm; matrices with few entries
    take less. n = 1000: some 0.05 s a power.

    **Reference:** Trefethen & Embree (2005), *Spectra and Pseudospectra*, section 14.

    ??? example
        ```python
        >>> import numpy as np
        >>> growth = transient_growth(1.5 * np.eye(4, k=-1))
        >>> bool(abs(growth.value - 1.5**3) < 1e-5), int(growth.details["power"])
        (True, 3)

        ```
    """
    if max_power is not None:
        max_power = at_least("max_power", max_power, 1)
    start = None if vector is None else np.asarray(vector, float)

    def measure(array: np.ndarray) -> Estimate:
        size = len(array)
        if start is not None and start.shape != (size,):
            raise ValueError(f"vector must have shape ({size},), got {start.shape}.")
        most = max(1000, 2 * size) if max_power is None else max_power
        gain = worst_gains(array, most) if start is None else _gains_of(array, start, most)
        value, power, searched, status = summary(gain, spent=start is not None)
        details = {"power": power, "gain": gain, "searched": searched}
        settings = {"max_power": most, "vector": "worst case" if start is None else "given"}
        return exact(value, status, settings, details)

    return for_each_matrix("the transient growth", measure, matrix, block)


def summary(gain: np.ndarray, *, spent: bool = False) -> tuple[float, int, int, Status]:
    """Its maximum, the power of that, the last power known, and whether the search was complete."""
    known = np.flatnonzero(np.isfinite(gain))
    if not len(known):
        return float("nan"), 0, 0, Status.NOT_FINITE
    power, last = int(np.nanargmax(gain)), int(known[-1])
    if gain[last] < (1e-3 * gain[0] if spent else 1.0) or gain[power] == 0:
        return float(gain[power]), power, last, Status.OK
    if power == 0 < last and not spent:  # no power exceeds 1 by more than rounding: orthogonal
        return float(gain[0]), 0, last, Status.OK
    status = Status.NOT_CONVERGED | (Status.UNSTABLE if power == last else Status.OK)
    return float(gain[power]), power, last, status


def worst_gains(matrix: np.ndarray, max_power: int) -> np.ndarray:
    """``|W^k|`` for k from 0 until it is below 1, then NaN."""
    gain = np.full(max_power + 1, np.nan)
    gain[0] = 1.0
    step: Any = matrix
    if np.count_nonzero(matrix) < _SPARSE * matrix.size:
        step = scipy.sparse.csr_array(matrix)
    if spectral_norm(matrix) <= 1 + 1e-12:
        gain[1] = min(1.0, spectral_norm(matrix))
        return gain
    power = np.eye(len(matrix))
    for k in range(1, max_power + 1):
        power = step @ power
        size = spectral_norm(power)
        if not np.isfinite(size):
            break
        gain[k] = size
        if size < 1:
            break
    return gain


def _gains_of(matrix: np.ndarray, vector: np.ndarray, max_power: int) -> np.ndarray:
    """``|W^k v|`` for k from 0 to the end."""
    gain = np.full(max_power + 1, np.nan)
    for k in range(max_power + 1):
        size = _length(vector)
        if not np.isfinite(size):
            break
        gain[k] = size
        if size == 0:
            break
        vector = matrix @ vector
    return gain


def spectral_norm(matrix: np.ndarray) -> float:
    """The largest singular value."""
    if not np.all(np.isfinite(matrix)):
        return float("nan")
    scale = np.abs(matrix).max()
    if len(matrix) <= _DENSE_SVD or scale == 0:
        return float(np.linalg.norm(matrix, 2))
    unit = matrix / scale
    gram = _operator(unit.shape, matvec=lambda x: unit.T @ (unit @ x), dtype=float)
    begin = np.random.default_rng(0).normal(size=len(matrix))
    try:
        largest = _largest(gram, k=1, v0=begin, tol=1e-12, return_eigenvectors=False)
    except scipy.sparse.linalg.ArpackError:
        return float(np.linalg.norm(matrix, 2))
    return float(scale * np.sqrt(max(largest[0], 0.0)))
