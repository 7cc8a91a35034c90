"""Which modes of a residual resonate with an input, from the input's autocovariance or spectrum.

A mode ``h' = lambda h + x``, ``lambda = rho exp(i theta)``, answers most strongly to the frequency
theta, within a band of about ``1 - rho``. Dubinin & Effenberger 2024 (abstract) name residuals
whose spectrum matches that of the data as a useful prior; how they match it was not at hand. The
definitions here are ours.

Frequencies are in radians per step; a period in steps is ``2 pi / theta``.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from echoic.core.checks import at_least


def autocovariance(inputs: ArrayLike, max_lag: int) -> np.ndarray:
    """Autocovariance ``r(0), ..., r(max_lag)`` of a series, averaged over channels and sequences.

    **Definition.** ``r(k) = (1/t) sum_i (x_i - m)(x_{i+k} - m)``, m the mean of a channel over all;
    divided by t and not by t - k, whose last values would be mere noise.

    **Arguments:** ``inputs`` of shape (t,), (t, m) or (b, t, m); ``max_lag`` below t.

    **Returns:** shape (max_lag + 1,).
    """
    series = np.asarray(inputs, float)
    if series.ndim not in (1, 2, 3) or series.size == 0:
        raise ValueError(f"inputs must have shape (t,), (t, m) or (b, t, m), got {series.shape}.")
    series = series[None, :, None] if series.ndim == 1 else series
    series = series[None] if series.ndim == 2 else series
    length = series.shape[1]
    max_lag = at_least("max_lag", max_lag, 0, length - 1)
    centred = series - series.mean(axis=(0, 1))
    spectrum = np.abs(np.fft.rfft(centred, 2 * length, axis=1)) ** 2
    return np.fft.irfft(spectrum.mean(axis=(0, 2)), 2 * length)[: max_lag + 1] / length


def power_spectrum(covariance: ArrayLike, size: int, *, taper: bool = False) -> np.ndarray:
    """The power spectrum ``S(f) = sum_k r(|k|) exp(-2 pi i f k / size)``, of mean r(0).

    **Arguments**

    - ``covariance``: r(0) to r(K), 0 beyond.
    - ``size``: F, at least 2 K + 1.
    - ``taper``: multiply r(k) by ``1 - k / (K + 1)`` first (Bartlett). That of a series, cut off at
      some lag, belongs to no input unless it has died away there; tapered it does, at a resolution
      of 1 / K.

    **Returns:** shape (F,), from frequency 0 on; white noise has the same power everywhere.

    **Raises:** ValueError if a value is negative, as that of no input.

    ```python
    >>> from echoic.theory import power_spectrum
    >>> power_spectrum([1.0, 0.5], 4).round(6).tolist()
    [2.0, 1.0, 0.0, 1.0]

    ```
    """
    r = _covariance(covariance)
    size = at_least("size", size, 2 * len(r) - 1)
    padded = np.zeros(size)
    padded[: len(r)] = r * (1 - np.arange(len(r)) / len(r)) if taper else r
    found = 2 * np.fft.fft(padded).real - r[0]
    if np.any(found < -1e-6 * r[0]):
        raise ValueError(
            "covariance belongs to no input: its spectrum is negative"
            f" (down to {found.min() / r[0]:.2g} of r(0)). Was it cut off? Pass taper=True."
        )
    return np.where(found < 0, 0.0, found)


def spectral_match(
    eigenvalues: ArrayLike, covariance: ArrayLike, *, horizon: int | None = None
) -> np.ndarray:
    """How strongly each mode answers to an input, in units of white input of the same power.

    **Definition.** ``sum_{k, l < T} lambda^k conj(lambda)^l r(|k - l|)``, the power of the mode
    after T steps from rest, over ``r(0) sum_{k < T} |lambda|^2k``, what it would be for white
    input. With T infinite it is the input's spectrum as the mode sees it: smoothed by the Poisson
    kernel ``(1 - rho^2) / |exp(i w) - rho exp(i theta)|^2`` around theta, in units of its mean. 1
    for white input, and for a mode that forgets at once; at most ``(1 + rho) / (1 - rho)``, for a
    wave of the mode's own frequency (half of that if the wave is real and fast).

    **Arguments**

    - ``eigenvalues``: of the residual, of shape (n,).
    - ``covariance``: r(0) to r(K) of the input, 0 beyond, as from [`autocovariance`][].
    - ``horizon``: T; None for infinitely many steps, which needs moduli below 1.

    **Returns:** shape (n,).

    **When it misleads.** It compares responses, not use: a strong answer to what is known already
    helps nobody. The share of what can be foretold is [`prediction_share`][].

    **Cost.** O(n K).

    ```python
    >>> import numpy as np
    >>> from echoic.theory import spectral_match
    >>> spectral_match([0.9, 0.5j], [1.0]).tolist()
    [1.0, 1.0]

    ```
    """
    values, r = np.asarray(eigenvalues, complex), _covariance(covariance)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"eigenvalues must have shape (n,), got {values.shape}.")
    coefficients = _coefficients(np.abs(values), r, horizon)
    angles = np.angle(values)
    turns = np.cos(np.arange(len(coefficients))[:, None] * angles)
    return 2 * np.sum(coefficients * turns, axis=0) - 1


class Rotation(NamedTuple):
    """An angle (radians per step), its period (steps), and how well it matches."""

    angle: float
    period: float
    match: float


def best_rotation(covariance: ArrayLike, modulus: float, *, horizon: int | None = None) -> Rotation:
    """The angle at which a mode of this modulus answers most strongly to an input.

    **Definition.** The angle in [0, pi] of the largest [`spectral_match`][] of
    ``modulus exp(i angle)``. For white input every angle is as good; 0 is returned.

    **Arguments:** ``covariance`` and ``horizon`` as there; ``modulus`` at least 0.

    **Returns:** a [`Rotation`][echoic.theory.Rotation], its period inf at angle 0.

    **Method.** A grid finer than any feature of the curve, then golden section.
    """
    r = _covariance(covariance)
    if not 0 <= modulus < math.inf:
        raise ValueError(f"modulus must be at least 0 and finite, got {modulus}.")

    coefficients = _coefficients(np.array([modulus]), r, horizon)[:, 0]
    if not np.all(np.isfinite(coefficients)):
        return Rotation(math.nan, math.nan, math.nan)
    lags = np.arange(len(coefficients))

    def match(angle: float) -> float:
        return float(2 * np.sum(coefficients * np.cos(lags * angle)) - 1)

    intervals = 8 * len(lags)
    on_grid = 2 * np.fft.rfft(coefficients, 2 * intervals).real - 1
    spacing = math.pi / intervals
    best = int(np.argmax(on_grid > on_grid.max() - 1e-12))
    low, high = max(best - 1, 0) * spacing, min(best + 1, intervals) * spacing
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 1e-9:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if match(left) >= match(right) else (left, high)
    # At the ends of the range, and where all angles are as good, the grid itself is right.
    angle, between = best * spacing, (low + high) / 2
    angle = between if match(between) > match(angle) + 1e-12 else angle
    return Rotation(angle, 2 * math.pi / angle if angle else math.inf, match(angle))


def matched_angles(covariance: ArrayLike, count: int, *, modulus: float = 1.0) -> np.ndarray:
    """Angles for a bank of rotating modes, as dense as the input's power.

    **Definition.** The quantiles ``(j + 1/2) / count`` of the input's spectrum on [0, pi], taken
    as a distribution. With ``modulus`` below 1 the spectrum is first smoothed as modes of that
    modulus see it, so that a narrow line does not draw all angles to one place. White input:
    evenly spread.

    **Arguments:** ``covariance`` r(0) to r(K); ``count`` of angles; ``modulus`` in [0, 1], 1 for
    the spectrum itself.

    **Returns:** shape (count,), ascending, in (0, pi).

    ```python
    >>> import numpy as np
    >>> from echoic.theory import matched_angles
    >>> (matched_angles([1.0], 2) / np.pi).round(6).tolist()
    [0.25, 0.75]

    ```
    """
    r, count = _covariance(covariance), at_least("count", count, 1)
    if not 0 <= modulus <= 1:
        raise ValueError(f"modulus must lie in 0..1, got {modulus}.")
    if not np.all(np.isfinite(r)):
        return np.full(count, np.nan)
    lags = np.arange(1, len(r))
    seen = r[1:] * float(modulus) ** lags
    grid = np.linspace(0, np.pi, max(4096, 16 * len(r)) + 1)
    # The integral of the spectrum, which is known in closed form: r0 w + 2 sum r_k sin(k w) / k.
    coefficients = np.zeros(2 * (len(grid) - 1))
    coefficients[1 : len(r)] = 2 * seen / lags
    sines = -np.fft.fft(coefficients).imag[: len(grid)]
    total = np.maximum.accumulate(r[0] * grid + sines) / (r[0] * np.pi)
    return np.interp((np.arange(count) + 0.5) / count, total, grid)


def _coefficients(moduli: np.ndarray, r: np.ndarray, horizon: int | None) -> np.ndarray:
    """c_k of the match ``2 sum_k c_k cos(k theta) - 1`` for each modulus, of shape (K, n)."""
    share = np.ones((len(r), 1))
    if horizon is None:
        if np.any(moduli >= 1):
            raise ValueError(
                f"without a horizon the moduli must lie below 1, got {moduli.max():g}: such a mode"
                " grows for ever. Pass horizon=..., the length of the run."
            )
    else:
        r = r[: at_least("horizon", horizon, 1)]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if horizon is not None:
            sums = np.cumsum(moduli ** (2.0 * np.arange(horizon)[:, None]), axis=0)
            share = sums[horizon - 1 - np.arange(len(r))] / sums[-1]  # of those over l < T - k
        return moduli ** np.arange(len(r))[:, None] * share * r[:, None] / r[0]


def _covariance(covariance: ArrayLike) -> np.ndarray:
    r = np.asarray(covariance, float)
    if r.ndim != 1 or r.size == 0 or r[0] <= 0:
        raise ValueError(
            f"covariance must have shape (lags,) and r(0) > 0, got shape {r.shape}"
            + (f" and r(0) = {r[0]:g}." if r.ndim == 1 and r.size else ".")
        )
    return r
