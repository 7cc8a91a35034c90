"""Memory of weakly coupled residual networks, from the residual alone.

The network is ``x_t = R x_{t-1} + gamma phi(W x_{t-1} + U s_t + b)`` with slopes of phi in [0, 1]
(tanh): a reconstruction of the weakly coupled residual network of Dubinin and Effenberger 2024
(arXiv:2307.14823), whose abstract states that the residual gives it well-defined Lyapunov
exponents; its equations were not at hand. The Jacobian is ``R + gamma D W`` with D diagonal,
entries in [0, 1], so that it lies within ``e = gamma |W|_2`` of R whatever the input. The bounds
below follow from that and hold for any network of this form, step and input.

A ``residual`` is a matrix (n, n) or the diagonal of one, (n,), complex entries allowed.
Exponents are in nats per step.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from echoic.core.checks import at_least


def coupling_strength(coupling: float, recurrent: ArrayLike) -> float:
    """``e = |gamma| |W|_2``: the most by which the coupling can change the Jacobian."""
    return abs(float(coupling)) * float(np.linalg.norm(np.asarray(recurrent), 2))


def predicted_exponents(residual: ArrayLike) -> np.ndarray:
    """Lyapunov exponents of the network as its residual alone would have them, largest first.

    **Definition.** ``log |eigenvalues of R|``, -inf for zero.

    **When it misleads.** It is a limit for weak coupling: see [`coupling_ratio`][]. For a strongly
    non-normal R (a long chain) computed eigenvalues are wrong, and exponents say little anyway.

    **Reference.** Dubinin & Effenberger 2024 for the relation; the formula is ours.

    ```python
    >>> from echoic.theory import predicted_exponents
    >>> predicted_exponents([0.5, 0.9]).round(4).tolist()
    [-0.1054, -0.6931]

    ```
    """
    with np.errstate(divide="ignore"):
        return np.sort(np.log(np.abs(_eigenvalues(residual))))[::-1]


def weakly_coupled_exponents(residual: ArrayLike, coupling: float) -> np.ndarray:
    """Lyapunov exponents at rest of a residual with weak random coupling, largest first.

    **Definition.** Logarithms of the moduli of the eigenvalues of ``R + gamma G``, R normal, G
    with independent entries of variance 1/n: the Jacobian at the origin of an Elman network
    ``h' = tanh((R + gamma G) h)`` (``init.weakly_coupled``) and of a residual network with
    ``W = G``. Around an eigenvalue of R that fills the share s of its spectrum, those of the sum
    fill a disc of radius ``gamma sqrt(s)`` evenly (circular law, for n large and discs that stay
    apart). Given back are the quantiles ``(j + 1/2) / (s n)`` of the modulus in each disc.

    **Arguments:** ``residual`` as above; ``coupling`` gamma >= 0.

    **Returns:** shape (n,).

    **When it misleads.** Where the largest is above 0 the origin does not hold the state, which
    grows until tanh saturates: no exponent then stays above 0 for long. Inputs saturate too, and
    push all exponents down: unless the input weights are small they, not R, set the memory.

    **Reference.** The initialisation is a reconstruction after Dubinin & Effenberger 2024; the
    formula is derived here from the circular law.

    ```python
    >>> import numpy as np
    >>> from echoic.theory import weakly_coupled_exponents
    >>> found = weakly_coupled_exponents(0.9 * np.ones(100), 0.01)
    >>> bool(np.log(0.905) < found[0] < np.log(0.91)), bool(abs(found.mean() - np.log(0.9)) < 1e-4)
    (True, True)

    ```
    """
    if not 0 <= coupling < math.inf:
        raise ValueError(f"coupling must be at least 0 and finite, got {coupling}.")
    moduli: list[float] = []
    rest = np.asarray(_eigenvalues(residual), complex)
    size = len(rest)
    while len(rest):
        near = np.abs(rest - rest[0]) <= 1e-9
        count = max(int(np.sum(near)), 1)  # a NaN is near nothing
        radius = coupling * math.sqrt(count / size)
        moduli.extend(_disc_quantiles(abs(rest[0]), radius, count))
        near[0] = True
        rest = rest[~near]
    with np.errstate(divide="ignore"):
        return np.sort(np.log(moduli))[::-1]


def _disc_quantiles(centre: float, radius: float, count: int) -> np.ndarray:
    """Quantiles of ``|z|``, z even in a disc at distance ``centre`` from the origin."""
    if radius == 0 or math.isnan(centre + radius):
        return np.full(count, centre + radius)

    def share(modulus: np.ndarray) -> np.ndarray:
        """Of the disc within ``modulus`` of the origin: the area of a lens."""
        if centre == 0:
            return (modulus / radius) ** 2
        square, own = modulus**2, radius**2
        inner = np.clip((centre**2 + square - own) / (2 * centre * modulus), -1, 1)
        outer = np.clip((centre**2 + own - square) / (2 * centre * radius), -1, 1)
        kite = np.sqrt(np.maximum(own * (1 - outer**2), 0)) * centre
        return (square * np.arccos(inner) + own * np.arccos(outer) - kite) / (np.pi * own)

    wanted = (np.arange(count) + 0.5) / count
    low, high = np.full(count, max(centre - radius, 0.0)), np.full(count, centre + radius)
    for _ in range(60):
        middle = (low + high) / 2
        below = share(middle) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def exponent_bounds(residual: ArrayLike, strength: float) -> tuple[float, float]:
    """Between which values every Lyapunov exponent lies, at every finite time and for any input.

    **Definition.** ``[log(s_min - e), log(s_max + e)]`` with the extreme singular values of R and
    ``e`` from [`coupling_strength`][]. For ``R = lambda Q``, Q orthogonal, both are lambda, and the
    whole spectrum is pinned. Every factor of the QR algorithm lies between the extreme singular
    values of its Jacobian, and those within e of R's (Weyl).

    **Returns:** lower and upper bound. The lower one is -inf, and says nothing, once
    ``e >= s_min``.

    ```python
    >>> import math
    >>> from echoic.theory import exponent_bounds
    >>> low, high = exponent_bounds([0.9, 0.9], 0.1)
    >>> math.isclose(low, math.log(0.8)), math.isclose(high, math.log(1.0), abs_tol=1e-12)
    (True, True)

    ```
    """
    low, high = _singular_range(residual, strength)
    return (math.log(low) if low > 0 else -math.inf), (math.log(high) if high > 0 else -math.inf)


def gain_bounds(
    residual: ArrayLike, strength: float, max_lag: int
) -> tuple[np.ndarray, np.ndarray]:
    """Between which values the gradient reach G(k) lies, and every gain of the k-step Jacobian.

    **Definition.** ``(s_min - e)^k <= G(k) <= (s_max + e)^k``, the lower bound 0 from lag 1 on
    once ``e >= s_min``.

    **Returns:** lower and upper bound, each of shape (max_lag + 1,).
    """
    low, high = _singular_range(residual, strength)
    lags = np.arange(at_least("max_lag", max_lag, 0) + 1)
    with np.errstate(over="ignore", under="ignore"):
        return max(low, 0.0) ** lags, high**lags


def coupling_ratio(residual: ArrayLike, strength: float) -> float:
    """``e / (1 - s_max)``: whether the coupling is weak beside the residual's own decay.

    Far below 1 the residual rules, and the exponents are those of [`predicted_exponents`][]. Below
    1 the network forgets its initial state for sure. From 1 on a mode may stand on its own: the
    state then drifts into saturation, and the slopes there, not the residual, set the memory. inf
    for a residual that does not decay. A small gamma alone is not enough.
    """
    room = 1 - _singular_range(residual, 0.0)[1]
    if room <= 0:
        return math.inf
    _check_strength(strength)
    return float(strength) / room


def memory_time_constants(residual: ArrayLike) -> np.ndarray:
    """Steps after which a mode has fallen to 1/e, ``-1 / log |lambda|``, longest first.

    inf for modes that do not decay, 0 for those that end at once.

    ```python
    >>> from echoic.theory import memory_time_constants
    >>> memory_time_constants([0.9, 0.98]).round(1).tolist()
    [49.5, 9.5]

    ```
    """
    moduli = np.abs(_eigenvalues(residual))
    with np.errstate(divide="ignore"):
        steps = -1 / np.log(np.where(moduli < 1, moduli, 0.5))
    return np.sort(np.where(moduli < 1, np.abs(steps), np.inf))[::-1]


def _eigenvalues(residual: ArrayLike) -> np.ndarray:
    array = _checked(residual)
    return array if array.ndim == 1 else np.linalg.eigvals(array)


def _singular_range(residual: ArrayLike, strength: float) -> tuple[float, float]:
    """``s_min - e`` and ``s_max + e``."""
    _check_strength(strength)
    array = _checked(residual)
    values = np.abs(array) if array.ndim == 1 else np.linalg.svd(array, compute_uv=False)
    return float(values.min()) - float(strength), float(values.max()) + float(strength)


def _checked(residual: ArrayLike) -> np.ndarray:
    array = np.asarray(residual)
    square = array.ndim == 2 and array.shape[0] == array.shape[1]
    if array.size == 0 or not (array.ndim == 1 or square):
        raise ValueError(f"residual must have shape (n, n) or (n,), got {array.shape}.")
    return array


def _check_strength(strength: float) -> None:
    if not strength >= 0:
        raise ValueError(f"strength must be at least 0, got {strength}.")
