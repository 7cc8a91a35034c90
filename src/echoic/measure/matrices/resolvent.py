"""The smallest singular value of ``z - W`` at many complex z, after one Schur factorisation."""

from typing import Any

import numpy as np
import scipy.linalg

from echoic.measure.matrices.square_matrix import ROUNDOFF, power_of_two

_DENSE = 128  # up to this size the singular values of the matrix itself are quicker
_AT_ONCE = 2e6  # entries of the matrices that are decomposed in one call
EXACT = 1e-13  # of sigma_min: the error bound at which Lanczos ends unless told otherwise
_FEW = 64  # steps of Lanczos that are always quicker than all singular values
_NORMAL = 100 * ROUNDOFF  # of |W|: more above the diagonal of the Schur form is no rounding
_FAR = 1e30  # times |W|: beyond that W is nothing beside z
_solve: Any = scipy.linalg.get_blas_funcs("trsv", dtype=np.complex128)


class Resolvent:
    """Gives ``sigma_min(z - W)``, which is ``1 / |(z - W)^-1|``, to some 1e-14 of ``|W|``."""

    def __init__(self, matrix: np.ndarray):
        self.size = len(matrix)
        self.matrix = matrix.astype(complex)
        if self.size > _DENSE:
            self.scale = power_of_two(matrix)
            triangle = scipy.linalg.schur(matrix / self.scale, output="complex")[0]
            self.diagonal = np.diagonal(triangle).copy()
            above = np.linalg.norm(np.triu(triangle, 1))
            self.normal = bool(above <= _NORMAL * np.linalg.norm(self.diagonal))
            self.triangle = np.asfortranarray(-triangle)
            self.start = np.random.default_rng(0).normal(size=(2, self.size))

    def __call__(self, points: np.ndarray, within: float = EXACT) -> np.ndarray:
        """``sigma_min`` at each point, of any shape; ``within`` this part of itself.

        A part above the default is what 64 steps of Lanczos aim at, never below the true value.
        """
        flat = np.asarray(points, complex).ravel()
        if self.size <= _DENSE:
            found = self._dense(flat)
        else:
            found = np.array([self._of_large(z, within) for z in flat])
        return found.reshape(np.shape(points))

    def _dense(self, flat: np.ndarray) -> np.ndarray:
        each = max(1, int(_AT_ONCE / self.size**2))
        eye = np.eye(self.size)
        parts = [flat[i : i + each] for i in range(0, len(flat), each)]
        smallest = [
            np.linalg.svd(part[:, None, None] * eye - self.matrix, compute_uv=False)[:, -1]
            for part in parts
        ]
        return np.concatenate(smallest) if smallest else np.zeros(0)

    def _of_large(self, z: complex, within: float) -> float:
        if abs(z) > _FAR * self.scale:
            return float(abs(z))
        pivots = z / self.scale - self.diagonal
        if self.normal:
            return float(self.scale * np.abs(pivots).min())
        if np.any(pivots == 0):
            return 0.0
        np.fill_diagonal(self.triangle, pivots)
        found = self._by_lanczos(within)
        return float(self._dense(np.array([z]))[0]) if found is None else self.scale * found

    def _by_lanczos(self, within: float) -> float | None:
        """Largest eigenvalue of ``(T*T)^-1`` by Lanczos: two triangular solves a step.

        None where singular values lie so close that all of them are found as quickly.
        """
        # The first vector is solved once, so that it points where the singular vector does.
        now = self._inverse(self.start[0] + 1j * self.start[1])
        length = np.linalg.norm(now)
        if not np.isfinite(length):
            return 0.0
        now = now / length
        rough = within > EXACT
        most = _FEW if rough else max(_FEW, self.size // 4)
        basis = np.empty((self.size, most), complex, order="F")
        alphas: list[float] = []
        betas: list[float] = []
        largest = 0.0
        for step in range(most):
            basis[:, step] = now
            new = self._inverse(now)
            alphas.append(float(np.vdot(now, new).real))
            # Against all vectors before, twice: a vector that comes again makes a double of its
            # value, and the next one is not seen.
            for _ in range(2):
                known = basis[:, : step + 1]
                new = new - known @ (new.conj() @ known).conj()
            beta = float(np.linalg.norm(new))
            if not (np.isfinite(alphas[-1]) and np.isfinite(beta)):
                return 0.0
            largest, residual = _ritz(alphas, betas, beta)
            if residual <= 2 * within * largest:
                return largest**-0.5
            betas.append(beta)
            now = new / beta
        return largest**-0.5 if rough else None

    def _inverse(self, vector: np.ndarray) -> np.ndarray:
        return _solve(self.triangle, _solve(self.triangle, vector, trans=2))


def _ritz(alphas: list[float], betas: list[float], beta: float) -> tuple[float, float]:
    """The largest Ritz value and its residual, which no error exceeds."""
    step = len(alphas) - 1
    values, vectors = scipy.linalg.eigh_tridiagonal(
        alphas, betas, select="i", select_range=(step, step)
    )
    return float(values[0]), beta * abs(float(vectors[-1, 0]))
