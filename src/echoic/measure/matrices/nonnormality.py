"""How far a recurrent matrix is from normal, by all the usual measures at once."""

from typing import Any

import numpy as np

from echoic.core.estimate import Estimate, Status
from echoic.measure.matrices.eigenvalues import Eigenvalues, eigenvalues
from echoic.measure.matrices.numerical_range import radius_of
from echoic.measure.matrices.pseudospectrum import kreiss_of
from echoic.measure.matrices.schur import conditioning
from echoic.measure.matrices.square_matrix import exact, for_each_matrix, power_of_two
from echoic.measure.matrices.transient import spectral_norm, summary, worst_gains

_RADIUS_TOLERANCE = 1e-3


def henrici_departure(matrix: Any, *, block: str | None = None) -> Estimate:
    """Henrici's departure from normality of a recurrent matrix.

    **Definition.** ``d(W) = sqrt(|W|_F^2 - sum_i |lambda_i|^2)``, in the unit of W; 0 for normal W
    only. It is the Frobenius norm of the Schur form above its diagonal. Chain: ``alpha sqrt(n -
    1)``; feedback chain: ``|alpha - beta| sqrt(n - 1)``.

    **Arguments:** ``matrix``: shape (n, n), a stack (b, n, n), or a cell, of which ``block`` names
    the recurrent matrix.

    **Returns:** an `Estimate`. Details: ``relative`` (``d / |W|_F``, from 0 to 1), ``lower`` and
    ``upper`` (bounds that no eigenvalue enters), ``spectral_radius``, ``eigenvalues`` (largest
    modulus first), ``condition`` (of each: its shift per size of a small change of W; 1 for normal
    W, inf for a defective eigenvalue), ``eigenvalue_error`` (by rounding, to first order).
    Status ILL_CONDITIONED: eigenvalues cannot be computed in double precision so well that d is
    known; believe the bounds.

    **Raises:** ValueError for what is no square matrix, and under tracing.

    **When the number misleads:** the eigenvalues of a long chain, by a plain solver, are those of a
    network with rounding errors in place of zeros, and d comes out too small. Here groups of
    connected units are taken one by one, each in its most symmetric scaling: exact for chains with
    and without feedback. A dense matrix that hides a chain (rotated, say) stays out of reach, and
    says so. A noise of 1e-8 on a chain of 100 is no rounding error: it has these eigenvalues.

    **Method.** The lower bound: eigenvalues are those of ``B = D^-1 W D``, so that their squares
    add up to at most ``|B|_F^2``, and to at most ``sqrt(|B|_F^4 - |B'B - BB'|_F^2 / 2)`` (Kress, de
    Vries & Wegmann 1974, for W); the upper one: to at least ``|trace(W^2)|``.

    **Cost:** O(n^3); n = 1000 takes seconds.

    **Reference:** Henrici (1962), Numer. Math. 4. Orhan & Pitkow (2020), ICLR, use it on trained
    networks, not divided by the norm.

    ??? example
        ```python
        >>> import numpy as np
        >>> bool(abs(henrici_departure(0.5 * np.eye(5, k=-1)).value - 1.0) < 1e-6)
        True

        ```
    """

    def measure(array: np.ndarray) -> Estimate:
        value, details, status = _departure(array, eigenvalues(array))
        return exact(value, status, {}, details)

    return for_each_matrix("the departure from normality", measure, matrix, block)


def nonnormality(
    matrix: Any, *, block: str | None = None, max_power: int | None = None
) -> Estimate:
    """All measures of non-normality of one recurrent matrix.

    **Definition.** The value is Henrici's departure, see
    [`henrici_departure`][echoic.henrici_departure]; with it come the others, each as the function
    of its own measures it.

    **Arguments:**

    - ``matrix``: shape (n, n), a stack (b, n, n), or a cell, of which ``block`` names the matrix.
    - ``max_power``: see [`transient_growth`][echoic.transient_growth].

    **Returns:** an `Estimate`. Details: those of `henrici_departure`, ``spectral_norm``,
    ``numerical_radius``, ``kreiss_constant``, ``growth`` (max ``|W^k|``) and ``growth_power`` (its
    k), ``commutator`` (``|W'W - WW'|_F / |W|_F^2``, the measure that takes no eigenvalues). The
    status is that of the value; UNSTABLE says that powers grow without bound, NOT_CONVERGED that
    the growth is a lower bound.

    **Raises:** ValueError for what is no square matrix, and under tracing.

    **Cost:** the sum of all; n = 100: 1 s, n = 1000: 20 s, and more where many powers
    are needed.

    **Reference:** Trefethen & Embree (2005), *Spectra and Pseudospectra*.

    ??? example
        A rotation is normal: nothing departs, nothing grows.
        ```python
        >>> import numpy as np
        >>> found = nonnormality(np.array([[0.0, -0.9], [0.9, 0.0]]))
        >>> bool(found.value < 1e-6), float(found.details["growth"])
        (True, 1.0)

        ```
    """

    def measure(array: np.ndarray) -> Estimate:
        found = eigenvalues(array)
        value, details, status = _departure(array, found)
        kreiss, _, about_kreiss = kreiss_of(array, found.values, found.error)
        most = max(1000, 2 * len(array)) if max_power is None else max_power
        growth, power, _, about_growth = summary(worst_gains(array, most))
        unit = array / power_of_two(array)
        total = np.sum(unit**2)
        gram = unit.T @ unit - unit @ unit.T
        details |= {
            "spectral_norm": spectral_norm(array),
            "numerical_radius": radius_of(array, _RADIUS_TOLERANCE)[0],
            "kreiss_constant": kreiss,
            "growth": growth,
            "growth_power": power,
            "commutator": np.linalg.norm(gram) / total if total > 0 else 0.0,
        }
        status |= (about_kreiss & Status.UNSTABLE) | (about_growth & Status.NOT_CONVERGED)
        return exact(value, status, {"max_power": most}, details)

    return for_each_matrix("the measures of non-normality", measure, matrix, block)


def _departure(matrix: np.ndarray, found: Eigenvalues) -> tuple[float, dict[str, Any], Status]:
    """Henrici's departure, with everything that was needed for it."""
    scale = power_of_two(matrix)
    unit = matrix / scale
    total = float(np.sum(unit**2))
    commutator = unit.T @ unit - unit @ unit.T
    # Eigenvalues carry at most this much of the energy, whichever bound is the lower.
    most = np.sqrt(max(total**2 - 0.5 * np.sum(commutator**2), 0.0))
    lower = max(total - min(found.scaled * total, most), 0.0)
    upper = total - abs(float(np.sum(unit * unit.T)))
    square = np.clip((found.feedforward + found.departure) * total, lower, max(upper, lower))
    status = conditioning(found, scale * np.sqrt(total))
    # Where the bounds meet, no eigenvalue is needed.
    if upper - lower <= 1e-9 * total:
        status = Status.OK
    departure = float(np.sqrt(square))
    details = {
        "relative": departure / np.sqrt(total) if total > 0 else 0.0,
        "lower": scale * np.sqrt(lower),
        "upper": scale * np.sqrt(max(upper, lower)),
        "spectral_radius": np.abs(found.values).max(),
        "eigenvalues": found.values,
        "condition": found.condition,
        "eigenvalue_error": found.error,
    }
    return scale * departure, details, status
