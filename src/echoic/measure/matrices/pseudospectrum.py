"""The pseudospectrum of a recurrent matrix, and the one number of it that bounds transients."""

from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize

from echoic.core.checks import at_least
from echoic.core.estimate import Estimate, Status
from echoic.measure.matrices.eigenvalues import eigenvalues
from echoic.measure.matrices.resolvent import EXACT, Resolvent
from echoic.measure.matrices.square_matrix import ROUNDOFF, exact, for_each_matrix
from echoic.measure.matrices.transient import spectral_norm

_schur: Any = scipy.linalg.schur
_ON_CIRCLE = 1e-10  # spectral radii within this of 1 count as 1
_ALIKE = 1e-7  # eigenvalues on the circle nearer than this may be one that rounding has split
_ROUGH = 1e-4  # error of sigma_min, of itself, while the place is searched for


def pseudospectrum(
    matrix: Any, *, block: str | None = None, extent: float | None = None, points: int = 50
) -> Estimate:
    """How near each complex z is to being an eigenvalue, on a square grid.

    **Definition.** ``sigma_min(z - W)``: the smallest change of W (2-norm) that makes z an
    eigenvalue. The e-pseudospectrum is where it is below e. Of a normal matrix it is the distance
    to the nearest eigenvalue; of a chain of many units it is tiny in a whole disc.

    **Arguments:**

    - ``matrix``: shape (n, n), a stack (b, n, n), or a cell, of which ``block`` names the matrix.
    - ``extent``: the grid reaches from -extent to extent on both axes. Default: 1.2 times the
      spectral norm, or 1.2 if that is larger.
    - ``points``: how many on each axis.

    **Returns:** an `Estimate`, shape (points, points), rows along the imaginary axis. Details:
    ``real`` and ``imaginary``, the axes. Accurate to some 1e-14 of ``|W|``, absolutely.

    **Raises:** ValueError for what is no square matrix, and under tracing.

    **Cost:** points^2 / 2 singular value problems: O(n^3) each up to n = 128, beyond that one Schur
    factorisation and some hundred n^2 each; O(n) for normal W, again O(n^3) where singular values
    lie close, as far outside of the spectrum. n = 1000: some 0.05 s a point, 1 s at the worst.

    **Reference:** Trefethen & Embree (2005), *Spectra and Pseudospectra*, section 39 for the
    method.

    ??? example
        ```python
        >>> import numpy as np
        >>> found = pseudospectrum(np.diag([0.5, -0.5]), extent=1.0, points=3)
        >>> found.value[1].tolist()                      # at -1, 0 and 1: distances to +-0.5
        [0.5, 0.5, 0.5]

        ```
    """
    points = at_least("points", points, 2)
    if extent is not None and not 0 < extent < np.inf:
        raise ValueError(f"extent must be positive and finite, got {extent}.")

    def measure(array: np.ndarray) -> Estimate:
        reach = 1.2 * max(1.0, spectral_norm(array)) if extent is None else float(extent)
        axis = np.linspace(-reach, reach, points)
        # The lower half plane mirrors the upper one.
        upper = axis[points // 2 :]
        half = Resolvent(array)(axis[None, :] + 1j * upper[:, None])
        value = np.concatenate([half[::-1][: points // 2], half])
        settings = {"points": points, "extent": "by norm" if extent is None else float(extent)}
        return exact(value, Status.OK, settings, {"real": axis, "imaginary": axis})

    return for_each_matrix("the pseudospectrum", measure, matrix, block)


def kreiss_constant(matrix: Any, *, block: str | None = None) -> Estimate:
    """The Kreiss constant: how much transient growth the pseudospectrum promises.

    **Definition.** ``K = sup (|z| - 1) |(z - W)^-1|`` over |z| > 1. By Kreiss' theorem
    ``K <= max_k |W^k| <= e n K``. 1 for normal W with spectral radius up to 1, infinite where the
    spectral radius exceeds 1 or is 1 with a defective eigenvalue: powers grow without bound.

    **Arguments:** ``matrix``: shape (n, n), a stack (b, n, n), or a cell, of which ``block`` names
    the recurrent matrix.

    **Returns:** an `Estimate`; ``details["at"]`` is the z where the value is attained (inf where
    it is approached far out, K = 1). It is a true lower bound; whether there is a larger value
    elsewhere a search on a grid and from its best points cannot exclude. Status UNSTABLE with inf;
    ILL_CONDITIONED where eigenvalues cannot tell whether W is stable.

    **Raises:** ValueError for what is no square matrix, and under tracing.

    **When the number misleads:** at spectral radius 1 exactly (a rotation) a rounding error decides
    between 1 and infinity; radii within 1e-10 of 1 count as 1.

    **Cost:** some 900 singular value problems, see [`pseudospectrum`][echoic.pseudospectrum].
    n = 100: 1 s, n = 1000: 40 s.

    **Reference:** Kreiss (1962); Trefethen & Embree (2005), *Spectra and Pseudospectra*, section
    18.

    ??? example
        ```python
        >>> import numpy as np
        >>> bool(abs(kreiss_constant(np.array([[0.0, -0.9], [0.9, 0.0]])).value - 1) < 1e-6)
        True
        >>> bool(kreiss_constant(np.array([[0.0, 0.0], [20.0, 0.0]])).value > 5)
        True

        ```
    """

    def measure(array: np.ndarray) -> Estimate:
        found = eigenvalues(array)
        value, at, status = kreiss_of(array, found.values, found.error)
        return exact(value, status, {}, {"at": at})

    return for_each_matrix("the Kreiss constant", measure, matrix, block)


def kreiss_of(
    matrix: np.ndarray, spectrum: np.ndarray, error: np.ndarray
) -> tuple[float, complex, Status]:
    """The Kreiss constant, where it is attained, and what to think of it."""
    radius = float(np.abs(spectrum).max())
    unsure = bool(np.any((np.abs(spectrum) + error > 1) & (np.abs(spectrum) - error < 1)))
    unsure &= abs(radius - 1) > _ON_CIRCLE
    doubt = Status.ILL_CONDITIONED if unsure else Status.OK
    if radius > 1 + _ON_CIRCLE:
        return float("inf"), complex(spectrum[0]), Status.UNSTABLE | doubt
    growing = _growing(matrix, spectrum)
    if growing is not None:
        return float("inf"), growing, Status.UNSTABLE | doubt
    resolvent = Resolvent(matrix)
    # Distances from the circle: from well below that of the nearest eigenvalue, or the 1/n of a
    # line of n units, to beyond the norm.
    nearest = max(min(1 - radius, 1 / len(matrix)), 1e-6) / 10
    farthest = 4 * (1 + spectral_norm(matrix))
    outside = np.geomspace(nearest, farthest, 24 if len(matrix) <= 200 else 16)
    eigen_angles = np.abs(np.angle(spectrum[: 2 * 16]))
    angles = np.unique(np.concatenate([np.linspace(0, np.pi, 17), eigen_angles]).round(6))

    def gain(where: np.ndarray, within: float = _ROUGH) -> np.ndarray:
        """At ``where = (log(|z| - 1), angle)``; nearer to the circle is rounding."""
        beyond = np.maximum(np.exp(where[..., 0]), nearest)
        return beyond / resolvent((1 + beyond) * np.exp(1j * where[..., 1]), within)

    grid = np.stack(np.meshgrid(np.log(outside), angles, indexing="ij"), axis=-1).reshape(-1, 2)
    heights = gain(grid)
    best, where = 1.0, complex(np.inf)
    for start in _separate(grid, heights, 3):
        polished = scipy.optimize.minimize(
            lambda p: -np.log(gain(p[None])[0]),
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-12, "maxfev": 150},
        )
        height = float(gain(polished.x[None], EXACT)[0])
        if height > best * (1 + 1e-10):
            best = height
            where = complex((1 + np.exp(polished.x[0])) * np.exp(1j * polished.x[1]))
    return best, where, doubt


def _growing(matrix: np.ndarray, spectrum: np.ndarray) -> complex | None:
    """An eigenvalue on the circle that has fewer eigenvectors than its multiplicity, or None.

    There the resolvent grows faster than ``1 / (|z| - 1)``, and so do the powers without bound.
    """
    on_circle = spectrum[(np.abs(np.abs(spectrum) - 1) <= _ON_CIRCLE) & (np.imag(spectrum) >= 0)]
    if len(on_circle) < 2:
        return None
    rounding = 100 * len(matrix) * ROUNDOFF
    above = np.triu(_schur(matrix, output="complex")[0], 1)
    if np.linalg.norm(above) <= rounding:  # normal: as many eigenvectors as eigenvalues
        return None
    while len(on_circle):
        alike = np.abs(on_circle - on_circle[0]) <= _ALIKE
        center, count = complex(on_circle[alike].mean()), int(alike.sum())
        if count > 1:
            singular = np.linalg.svd(center * np.eye(len(matrix)) - matrix, compute_uv=False)
            width = float(np.abs(on_circle[alike] - center).max())
            if singular[-count] > rounding * singular[0] + width:
                return center
        on_circle = on_circle[~alike]
    return None


def _separate(grid: np.ndarray, heights: np.ndarray, count: int) -> list[np.ndarray]:
    """The highest points of the grid that do not lie beside a higher one."""
    chosen: list[np.ndarray] = []
    for index in np.argsort(-heights):
        if all(np.linalg.norm(grid[index] - other) > 0.5 for other in chosen):
            chosen.append(grid[index])
        if len(chosen) == count:
            break
    return chosen
