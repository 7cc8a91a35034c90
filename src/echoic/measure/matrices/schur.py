"""The Schur form of a recurrent matrix: modes that feed one another in one direction only."""

from typing import Any

import numpy as np
import scipy.linalg

from echoic.core.estimate import Estimate, Status
from echoic.measure.matrices.eigenvalues import Eigenvalues, eigenvalues
from echoic.measure.matrices.square_matrix import ROUNDOFF, exact, for_each_matrix, power_of_two

_schur: Any = scipy.linalg.schur
_swap: Any = scipy.linalg.get_lapack_funcs("trexc", dtype=np.complex128)
_TIES = 1e-8  # moduli nearer than this, relative to the largest, are not put in order


def schur_profile(matrix: Any, *, block: str | None = None) -> Estimate:
    """Energy of the Schur form's super-diagonals: how far ahead modes feed one another.

    **Definition.** ``W = Q T Q*`` with Q unitary and T upper triangular, its eigenvalues on the
    diagonal, largest modulus first. ``E_d = sum_i |T_{i, i+d}|^2`` for d from 0 to n - 1. Their sum
    is ``|W|_F^2``, that of all but E_0 the squared departure from normality. Normal W: all is in
    E_0. Delay line: all is in E_1. Energy spread over many d: no line.

    **Arguments:** ``matrix``: shape (n, n), a stack (b, n, n), or a cell, of which ``block`` names
    the recurrent matrix.

    **Returns:** an `Estimate`, shape (n,). Details: ``moduli`` and ``angles`` of the eigenvalues in
    the order of T, angles in (-pi, pi]; ``feedforward_share``, the part of the energy above the
    diagonal; ``triangle``, T.
    Status ILL_CONDITIONED where rounding moves eigenvalues so much that what is on the diagonal and
    what is above cannot be told apart: [`nonnormality`][echoic.nonnormality] is safer there. Also
    where squares of W underflow; the details hold.

    **Raises:** ValueError for what is no square matrix, and under tracing.

    **When the number misleads:** T depends on the order of the eigenvalues; of nearly equal moduli
    (a rotation) it is LAPACK's, so that single E_d of such networks mean little. Their sum does not
    depend on it.

    **Cost:** O(n^3), complex: n = 1000 some 5 s.

    **Reference:** Kerg et al. (2019), NeurIPS, look at trained networks in this form; Goldman
    (2009), Neuron 61, at memory networks.

    ??? example
        ```python
        >>> import numpy as np
        >>> schur_profile(2.0 * np.eye(4, k=-1)).value.tolist()
        [0.0, 12.0, 0.0, 0.0]

        ```
    """

    def measure(array: np.ndarray) -> Estimate:
        scale = power_of_two(array)
        unit = ordered_triangle(array / scale)
        size = len(array)
        energy = np.array([np.sum(np.abs(np.diagonal(unit, d)) ** 2) for d in range(size)])
        triangle = scale * unit
        diagonal = np.diagonal(triangle)
        total = energy.sum()
        details = {
            "moduli": np.abs(diagonal),
            "angles": np.angle(diagonal),
            "feedforward_share": energy[1:].sum() / total if total > 0 else 0.0,
            "triangle": triangle,
        }
        found = eigenvalues(array)
        status = conditioning(found, scale * np.sqrt(total))
        if abs(energy[1:].sum() / total - found.feedforward - found.departure) > 1e-6:
            status = Status.ILL_CONDITIONED
        value = energy * scale * scale
        if total > 0 and value.sum() < np.finfo(float).tiny / ROUNDOFF:  # squares that underflow
            status |= Status.ILL_CONDITIONED
        return exact(value, status, {"order": "descending modulus"}, details)

    return for_each_matrix("the Schur form", measure, matrix, block)


def ordered_triangle(matrix: np.ndarray) -> np.ndarray:
    """The complex Schur form with eigenvalues of descending modulus; nearly equal ones stay put."""
    triangle, vectors = _schur(matrix, output="complex")
    triangle = np.asfortranarray(triangle)
    largest = np.abs(np.diagonal(triangle)).max()
    levels = _levels(np.abs(np.diagonal(triangle)), _TIES * largest)
    wanted = np.argsort(levels, kind="stable")
    present = list(range(len(matrix)))
    for target, name in enumerate(wanted):
        source = present.index(int(name))
        if source != target:
            result = _swap(triangle, vectors, source + 1, target + 1)
            triangle, vectors = result[0], result[1]
            present.insert(target, present.pop(source))
    return np.triu(triangle)


def _levels(moduli: np.ndarray, tie: float) -> np.ndarray:
    """The rank of each modulus, descending, the same for those that differ by a tie or less."""
    order = np.argsort(-moduli, kind="stable")
    drops = np.diff(moduli[order]) < -tie
    levels = np.empty(len(moduli), int)
    levels[order] = np.concatenate([[0], np.cumsum(drops)])
    return levels


def conditioning(found: Eigenvalues, norm: float) -> Status:
    """ILL_CONDITIONED where rounding changes ``sum |lambda|^2`` by more than 1e-6 of ``|W|^2``."""
    error = found.error / norm
    moved = np.sum(2 * np.abs(found.values / norm) * error + error**2)
    return Status.ILL_CONDITIONED if moved > 1e-6 else Status.OK
