"""The smallest singular value of ``z - W`` at many complex z, after one Schur factorisation."""

from typing import Any

import numpy as np
import scipy.linalg

_DENSE = 64  # up to this size the singular values of the matrix itself are quicker
_AT_ONCE = 2e6  # entries of the matrices that are decomposed in one call
_LANCZOS = 60
_solve: Any = scipy.linalg.get_blas_funcs("trsv", dtype=np.complex128)


class Resolvent:
    """Gives ``sigma_min(z - W)``, which is ``1 / |(z - W)^-1|``."""

    def __init__(self, matrix: np.ndarray):
        self.size = len(matrix)
        self.matrix = matrix.astype(complex)
        if self.size > _DENSE:
            self.triangle = np.asfortranarray(scipy.linalg.schur(matrix, output="complex")[0])
            self.diagonal = np.diagonal(self.triangle).copy()
            self.triangle *= -1
            self.start = np.random.default_rng(0).normal(size=(2, self.size))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """``sigma_min`` at each point, of any shape."""
        flat = np.asarray(points, complex).ravel()
        if self.size <= _DENSE:
            found = self._dense(flat)
        else:
            found = np.array([self._by_lanczos(z) for z in flat])
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

    def _by_lanczos(self, z: complex) -> float:
        """Largest eigenvalue of ``(T*T)^-1`` by Lanczos: two triangular solves a step."""
        pivots = z - self.diagonal
        if np.any(pivots == 0):
            return 0.0
        np.fill_diagonal(self.triangle, pivots)
        # The first vector is solved once, so that it points where the singular vector does.
        now = _solve(
            self.triangle, _solve(self.triangle, self.start[0] + 1j * self.start[1], trans=2)
        )
        length = np.linalg.norm(now)
        if not np.isfinite(length):
            return 0.0
        now, before, beta, largest = now / length, np.zeros(self.size), 0.0, 0.0
        alphas: list[float] = []
        betas: list[float] = []
        for step in range(min(_LANCZOS, self.size)):
            new = _solve(self.triangle, _solve(self.triangle, now, trans=2))
            alpha = float(np.vdot(now, new).real)
            new = new - alpha * now - beta * before
            alphas.append(alpha)
            if not np.isfinite(alpha):
                return 0.0
            last = largest
            largest = float(
                scipy.linalg.eigvalsh_tridiagonal(
                    alphas, betas, select="i", select_range=(step, step)
                )[0]
            )
            if step and largest - last <= 1e-11 * largest:
                break
            before, beta = now, float(np.linalg.norm(new))
            if beta <= 1e-14 * largest:
                break
            betas.append(beta)
            now = new / beta
        return float(largest**-0.5)
