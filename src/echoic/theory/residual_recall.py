"""Linear recall of linear networks, from their matrices and the input's power spectrum.

``h_t = A h_{t-1} + b (x_t + p_t) + z_t``: a scalar input x with a known spectrum, the white probe p
that is to be recalled, white state noise z. A residual network with linear units is of this form,
``A = R + gamma W``, ``b = gamma U``; without coupling the modes of R stand alone.

Everything happens on a grid of frequencies: the states are those of an input that repeats itself
after so many steps, far more than the network remembers. There the input's covariance is diagonal,
and the recall of lag k is the squared length of the projection of ``e_k`` onto the network's
responses, both divided by the root of the spectrum. Formulas derived here.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from echoic.core.checks import at_least, refuse_if_larger

MOST_STEPS = 2**16
FORGOTTEN = 1e-10  # what is left of a state after one turn of the grid


def mode_recall(
    eigenvalues: ArrayLike,
    *,
    max_lag: int,
    power: ArrayLike | float = 0.0,
    probe_power: float = 1.0,
) -> np.ndarray:
    """Recall of a bank of uncoupled modes, one input into all of them, without noise: exact.

    **Definition.** The R^2 of the best linear readout of ``p_{t-k}`` from the modes
    ``h_j' = lambda_j h_j + b_j (x + p)``. How strongly the input drives a mode does not matter,
    only that it does; equal eigenvalues count once: n equal units hold one number. For white input
    (``power`` 0) the values add up to the number of different eigenvalues.

    **Arguments**

    - ``eigenvalues``: of the residual, missing conjugates added; of modulus below 1.
    - ``max_lag``: the largest lag.
    - ``power``: the spectrum of x at the frequencies ``2 pi f / F``, shape (F,), as from
      [`power_spectrum`][]; or a number, the power of white x.
    - ``probe_power``: the variance of p.

    **Returns:** shape (max_lag + 1,), lag 0 the newest input.

    **When it misleads.** Nearby real eigenvalues are told apart by differences so faint that the
    least noise covers them, and coupling moves equal ones apart: see [`linear_network_recall`][].

    **Method.** Orthogonal filters (Takenaka and Malmquist) span the responses to rounding, however
    close the eigenvalues.

    **Cost.** O(n^2 F), F the length of the grid.

    ```python
    >>> from echoic.theory import mode_recall
    >>> mode_recall([0.8], max_lag=2).round(4).tolist()  # (1 - .64) .64^k
    [0.36, 0.2304, 0.1475]

    ```
    """
    at_least("max_lag", max_lag, 0)
    _check_probe(probe_power)
    responses, spectrum = _orthogonal_responses(eigenvalues, power, probe_power, max_lag)
    if not np.all(np.isfinite(responses)):
        return np.full(max_lag + 1, np.nan)
    return _recall(_basis(responses, spectrum), spectrum, max_lag, probe_power)


def prediction_share(eigenvalues: ArrayLike, power: ArrayLike) -> float:
    """How much of what an input's past tells of its next value a bank of modes keeps.

    **Definition.** The R^2 of the best linear readout of ``x_{t+1}`` from the modes
    ``h_j' = lambda_j h_j + x``, over that of the best predictor from the whole past,
    ``1 - exp(mean log S) / mean S`` (Kolmogorov). Between 0 and 1.

    **Arguments:** ``eigenvalues`` as for [`mode_recall`][]; ``power`` S at the frequencies
    ``2 pi f / F``, shape (F,), smooth at the scale of the grid: [`power_spectrum`][] of an
    autocovariance that is cut well before F / 2, not the raw periodogram, whose noise passes for
    something that can be foretold.

    **Returns:** the share; NaN for white input, of which nothing can be foretold.

    ```python
    >>> import numpy as np
    >>> from echoic.theory import prediction_share
    >>> delay = np.exp(-2j * np.pi * np.arange(256) / 256)
    >>> moving_average = np.abs(1 + 0.5 * delay) ** 2  # x_t = e_t + .5 e_{t-1}
    >>> round(prediction_share([-0.5], moving_average), 9)
    1.0

    ```
    """
    responses, spectrum = _orthogonal_responses(eigenvalues, power, 0.0, 1)
    if not np.all(np.isfinite(responses)):
        return math.nan
    with np.errstate(divide="ignore"):
        unforeseen = math.exp(np.mean(np.log(spectrum))) / np.mean(spectrum)
    if not unforeseen < 1 - 1e-9:
        return math.nan
    next_value = np.exp(2j * np.pi * np.arange(spectrum.size) / spectrum.size) * np.sqrt(spectrum)
    seen = np.abs(_basis(responses, spectrum).conj().T @ next_value) ** 2
    return float(np.sum(seen) / np.sum(spectrum) / (1 - unforeseen))


def _orthogonal_responses(
    eigenvalues: ArrayLike, power: ArrayLike | float, probe_power: float, max_lag: int
) -> tuple[np.ndarray, np.ndarray]:
    """Responses (F, n) that span those of the modes, and the input's spectrum (F,)."""
    values = np.asarray(eigenvalues, complex)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"eigenvalues must have shape (n,), got {values.shape}.")
    if not (np.all(np.isfinite(values)) and np.all(np.isfinite(power))):
        return np.full((1, 1), np.nan), np.ones(1)
    values = _different(values)
    largest = float(np.max(np.abs(values)))
    if largest >= 1:
        raise ValueError(f"eigenvalues must lie inside the unit circle, got modulus {largest:g}.")
    needed = math.log(FORGOTTEN) / math.log(largest) if 0 < largest < 1 else 0
    spectrum = _grid(power, needed, max_lag, probe_power)
    refuse_if_larger("the responses", 48.0 * spectrum.size * values.size)
    delay = np.exp(-2j * np.pi * np.arange(spectrum.size) / spectrum.size)
    responses = np.empty((spectrum.size, values.size), complex)
    passed = np.ones_like(delay)
    for index, value in enumerate(values):
        pole = 1 - value * delay
        responses[:, index] = passed / pole
        passed = passed * (delay - np.conj(value)) / pole
    return responses, spectrum


def linear_network_recall(
    recurrent: ArrayLike,
    drive: ArrayLike,
    *,
    max_lag: int,
    power: ArrayLike | float = 0.0,
    probe_power: float = 1.0,
    state_noise: float = 0.0,
    steps: int | None = None,
) -> np.ndarray:
    """Recall of any linear network with one input channel, under state noise if there is some.

    **Definition.** The R^2 of the best linear readout of ``p_{t-k}`` from the state of
    ``h_t = A h_{t-1} + b (x_t + p_t) + z_t``, ``z`` white of variance ``state_noise`` in each unit.

    **Arguments**

    - ``recurrent``: A of shape (n, n), and ``drive``: b of shape (n,) or (n, 1). Of a residual
      network with linear units ``A = R + gamma W``, ``b = gamma U``.
    - ``max_lag``, ``power``, ``probe_power``: as for [`mode_recall`][].
    - ``steps``: how many inputs there have been, from rest; None: endlessly many.

    **Returns:** shape (max_lag + 1,).

    **Raises:** ValueError for a network that has not forgotten its start after 65536 steps, unless
    ``steps`` says how long it ran.

    **When it misleads.** Without noise each direction of the state counts, however faint, down to
    one part in 10^12 of the largest: of a network with nearly parallel responses (a spread of real
    eigenvalues) so much cannot be read out by anybody. Give the noise, or use [`mode_recall`][].

    **Cost.** O(n^2 F), F the length of the grid; O(n^3 log F) for the noise.

    ```python
    >>> import numpy as np
    >>> from echoic.theory import chain_recall, linear_network_recall
    >>> chain = np.diag(np.full(9, 1.02), -1)
    >>> noisy = linear_network_recall(chain, np.eye(10)[0], max_lag=9, state_noise=0.1)
    >>> bool(np.allclose(noisy, chain_recall(1.02, 10, 0.1)))
    True

    ```
    """
    at_least("max_lag", max_lag, 0)
    _check_probe(probe_power)
    matrix, column = np.asarray(recurrent, float), np.asarray(drive, float)
    column = column[:, 0] if column.ndim == 2 and column.shape[1] == 1 else column
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or column.shape != matrix.shape[:1]:
        raise ValueError(
            f"recurrent must have shape (n, n) and drive (n,), got {matrix.shape} and"
            f" {column.shape}."
        )
    if not 0 <= state_noise < math.inf:
        raise ValueError(f"state_noise must be at least 0 and finite, got {state_noise}.")
    if not all(np.all(np.isfinite(part)) for part in (matrix, column, power)):
        return np.full(max_lag + 1, np.nan)
    if steps is None:
        length = _until_forgotten(matrix)
        spectrum = _grid(power, length, max_lag, probe_power)
    else:
        length = at_least("steps", steps, 1, MOST_STEPS)
        # Twice as long, so that inputs at either end do not become neighbours on the circle.
        spectrum = _grid(power, 2 * length, max_lag, probe_power)
    refuse_if_larger("linear_network_recall", 48.0 * spectrum.size * len(matrix))
    impulse = np.zeros((spectrum.size, len(matrix)))
    impulse[:length] = _impulse_responses(matrix, column, length)
    noise = state_noise * _noise_covariance(matrix, length) if state_noise else None
    basis = _basis(np.fft.fft(impulse, axis=0), spectrum, noise)
    return _recall(basis, spectrum, max_lag, probe_power)


def _basis(
    responses: np.ndarray, spectrum: np.ndarray, noise: np.ndarray | None = None
) -> np.ndarray:
    """An orthonormal basis of the responses times the root of the spectrum; of (F, n), (F, k)."""
    weighted = responses * np.sqrt(spectrum)[:, None] / math.sqrt(spectrum.size)
    if noise is not None:
        # The noise is one more block of independent inputs, of which nothing is asked.
        values, vectors = np.linalg.eigh(noise)
        block = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
        return np.linalg.qr(np.concatenate([weighted, block]))[0][: spectrum.size]
    # Units differ in scale by any factor; only directions count.
    lengths = np.linalg.norm(weighted, axis=0)
    left, found, _ = np.linalg.svd(weighted / np.where(lengths > 0, lengths, 1.0), False)
    return left[:, found > 1e-12 * max(found[0], 1e-300)]


def _recall(
    basis: np.ndarray, spectrum: np.ndarray, max_lag: int, probe_power: float
) -> np.ndarray:
    """R^2 of each lag: the projections of all ``e_k``, by one inverse transform."""
    whitened = basis / np.sqrt(spectrum)[:, None]
    along = np.fft.ifft(whitened, axis=0)[: max_lag + 1] * math.sqrt(spectrum.size)
    return probe_power * np.sum(np.abs(along) ** 2, axis=1)


def _grid(
    power: ArrayLike | float, needed: float | int, max_lag: int, probe_power: float
) -> np.ndarray:
    """The spectrum of input and probe, on a grid long enough for ``needed`` steps of memory."""
    given = np.asarray(power, float)
    if given.ndim > 1 or given.size == 0 or np.any(given < 0):
        raise ValueError("power must be a number or of shape (F,), and at least 0 everywhere.")
    shortest = max(needed, max_lag + 1, 2)
    if shortest > MOST_STEPS:
        raise ValueError(
            f"max_lag and the network's memory must fit into {MOST_STEPS} steps, got"
            f" {shortest:.3g}."
        )
    size = 2 ** math.ceil(math.log2(shortest))
    if given.ndim == 0 or given.size == 1:
        return np.full(size, float(given.reshape(())) + probe_power)
    if given.size >= size:
        return given + probe_power
    # A finer grid of the same autocovariance, which is 0 beyond half the given grid.
    autocovariance = np.fft.ifft(given).real
    half = given.size // 2
    finer = np.zeros(size)
    finer[: half + 1] = autocovariance[: half + 1]
    if given.size % 2 == 0:
        finer[half] /= 2  # lag F/2 stands for -F/2 too
    finer[-half:] += finer[half:0:-1]
    return np.maximum(np.fft.fft(finer).real, 0) + probe_power


def _different(values: np.ndarray) -> np.ndarray:
    """Each value and its conjugate once."""
    kept: list[complex] = []
    for value in np.concatenate([values, np.conj(values)]):
        if all(abs(value - other) > 1e-9 for other in kept):
            kept.append(value)
    return np.array(kept)


def _until_forgotten(matrix: np.ndarray) -> int:
    """Steps, a power of two, after which the start no longer counts."""
    power, steps = matrix, 1
    with np.errstate(over="ignore", invalid="ignore"):
        while steps <= MOST_STEPS:
            left = np.linalg.norm(power)
            if left < FORGOTTEN:
                return steps
            power, steps = power @ power, 2 * steps
    raise ValueError(
        f"the network remembers its start after {MOST_STEPS} steps: no stationary recall to that"
        " precision. Pass steps=..., the length of the run."
    )


def _noise_covariance(matrix: np.ndarray, steps: int) -> np.ndarray:
    """``sum_{j < steps} A^j A^j'``, by doubling."""
    identity = np.eye(len(matrix))
    covariance, power = np.zeros_like(matrix), identity
    for bit in bin(steps)[2:]:
        covariance = covariance + power @ covariance @ power.T
        power = power @ power
        if bit == "1":
            covariance = identity + matrix @ covariance @ matrix.T
            power = matrix @ power
    return covariance


def _impulse_responses(matrix: np.ndarray, column: np.ndarray, length: int) -> np.ndarray:
    """``A^j b`` for j < length, of shape (length, n), by doubling."""
    found, power = column[None], matrix
    while len(found) < length:
        found = np.concatenate([found, found @ power.T])
        power = power @ power
    return found[:length]


def _check_probe(probe_power: float) -> None:
    if not 0 < probe_power < math.inf:
        raise ValueError(f"probe_power must be positive and finite, got {probe_power}.")
