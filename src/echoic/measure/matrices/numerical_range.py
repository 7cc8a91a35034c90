"""The numerical radius: what a matrix does to a vector and along it."""

import heapq
import itertools
from typing import Any

import numpy as np
import scipy.linalg

from echoic.core.estimate import Estimate, Status
from echoic.measure.matrices.square_matrix import exact, for_each_matrix, power_of_two

_MOST_ANGLES = 400
_NEAR = 1e-9  # of the value: a corner no farther than this may hide
_IN_VAIN = 64  # angles in turn that find nothing better: the range is next to a disc


def numerical_radius(matrix: Any, *, block: str | None = None, tolerance: float = 1e-3) -> Estimate:
    """The numerical radius of a recurrent matrix.

    **Definition.** ``w(W) = max |x' W x|`` over complex unit vectors x, the largest distance from 0
    in the numerical range. ``|W| / 2 <= w <= |W|`` (2-norm), and it is not below the spectral
    radius, which it equals for normal W. ``|W^k| <= 2 w^k`` for all k (Berger): a w below 1
    excludes any amplification beyond 2.

    **Arguments:** ``matrix``: shape (n, n), a stack (b, n, n), or a cell, of which ``block`` names
    the recurrent matrix; ``tolerance``: relative, of the upper bound.

    **Returns:** an `Estimate`. The value is attained at ``details["angle"]`` and therefore a lower
    bound; ``details["upper"]`` is an upper bound within ``tolerance``, and within 1e-9 unless the
    range is so near to a disc that 64 angles in turn find nothing better.

    **Raises:** ValueError for what is no square matrix, and under tracing (done by LAPACK).

    **Cost:** the largest eigenvalue of 10 to 100 Hermitian matrices: O(n^3) each.

    **Reference:** Johnson (1978), SIAM J. Numer. Anal. 15, for the supporting lines.

    ??? example
        ```python
        >>> import numpy as np
        >>> w = numerical_radius(np.eye(3, k=-1)).value      # of a chain: cos(pi / (n + 1))
        >>> bool(abs(w - np.cos(np.pi / 4)) < 1e-6)
        True

        ```
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie between 0 and 1, got {tolerance}.")

    def measure(array: np.ndarray) -> Estimate:
        value, angle, upper = radius_of(array, tolerance)
        status = Status.OK if upper <= value * (1 + tolerance) else Status.NOT_CONVERGED
        details = {"angle": angle, "upper": upper}
        return exact(value, status, {"tolerance": tolerance}, details)

    return for_each_matrix("the numerical radius", measure, matrix, block)


def radius_of(matrix: np.ndarray, tolerance: float) -> tuple[float, float, float]:
    """The numerical radius, the angle that attains it, and an upper bound.

    ``f(t) = lambda_max(Re(e^-it W))`` is the distance of the supporting line of direction t; two
    lines bound the range between them by the corner where they meet. The interval with the farthest
    corner is cut in that corner's direction, until none is farther than the best line. Of a range
    with a vertex there that line closes both halves; a second peak, lower on the first angles, is
    not passed over. The range of a real matrix is symmetric: angles from 0 to pi are all.
    """
    if not matrix.any():
        return 0.0, 0.0, 0.0
    scale, size = power_of_two(matrix), len(matrix)
    matrix = matrix / scale
    symmetric, skew = 0.5 * (matrix + matrix.T), 0.5 * (matrix - matrix.T)

    def line(angle: float) -> float:
        hermitian = np.cos(angle) * symmetric - 1j * np.sin(angle) * skew
        largest = scipy.linalg.eigh(
            hermitian, eigvals_only=True, subset_by_index=[size - 1, size - 1]
        )
        return float(largest[0])

    known = {angle: line(angle) for angle in np.linspace(0, np.pi, 5)}

    def interval(a: float, b: float) -> tuple[float, float, float, float]:
        distance, direction = _corner(a, known[a], b, known[b])
        return -distance, a, b, direction

    open_ones = [interval(a, b) for a, b in itertools.pairwise(known)]
    heapq.heapify(open_ones)
    best, in_vain = max(known.values()), 0
    while len(known) < _MOST_ANGLES:
        excess = -open_ones[0][0] / best - 1
        if excess <= _NEAR or (excess <= tolerance and in_vain >= _IN_VAIN):
            break
        _, low, high, middle = heapq.heappop(open_ones)
        margin = 0.05 * (high - low)
        middle = min(max(middle, low + margin), high - margin)
        known[middle] = line(middle)
        in_vain = 0 if known[middle] > best * (1 + 0.1 * _NEAR) else in_vain + 1
        best = max(best, known[middle])
        heapq.heappush(open_ones, interval(low, middle))
        heapq.heappush(open_ones, interval(middle, high))
    value, angle = _polished(line, known)
    return scale * value, angle, scale * max(value, -open_ones[0][0])


def _corner(a: float, at_a: float, b: float, at_b: float) -> tuple[float, float]:
    """How far from 0 a point of the range between a and b can lie, and in which direction."""
    between = b - a
    across = (at_b - at_a * np.cos(between)) / np.sin(between)  # along the line of direction a
    direction = np.arctan2(across, at_a)
    if 0 <= direction <= between:
        return float(np.hypot(at_a, across)), float(a + direction)
    return float(max(at_a, at_b)), 0.5 * (a + b)


def _polished(line: Any, known: dict[float, float]) -> tuple[float, float]:
    """The best angle, improved by parabolas through it and its neighbours."""
    for _ in range(6):
        angles = sorted(known)
        best = max(known, key=lambda angle: known[angle])
        here = angles.index(best)
        if here in (0, len(angles) - 1):  # f is symmetric about 0 and pi
            break
        a, b, c = angles[here - 1 : here + 2]
        left, right = (known[b] - known[a]) / (b - a), (known[c] - known[b]) / (c - b)
        curvature = (right - left) / (c - a)
        if not curvature < 0:
            break
        new = 0.5 * (a + b) - 0.5 * left / curvature
        if not a < new < c or min(abs(new - angle) for angle in (a, b, c)) < 1e-7:
            break
        known[new] = line(new)
    best = max(known, key=lambda angle: known[angle])
    return known[best], best
