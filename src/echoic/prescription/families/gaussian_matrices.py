"""Powers of one random Gaussian matrix: how large, and how different from draw to draw."""

import functools
import math

import numpy as np

DRAWS, PROBES, LARGEST = 32, 16, 512
FURTHEST = 8.0  # lags in units of sqrt(n) that are sampled; both numbers grow in proportion beyond


def worst_spread(threshold: float) -> float:
    """The spread of a log gain at the horizon up to which nine draws in ten keep a factor 1.5.

    That is 1.645 standard deviations of the log horizon; a gain that falls to the threshold has a
    logarithm of slope ``log threshold`` in the log of the lag.
    """
    return -math.log(threshold) * math.log(1.5) / 1.645


def typical_powers(size: int, max_lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, over draws, of ``log(||W^k||_F / sqrt(n))``.

    W has independent normal entries of variance 1/n. In the limit of large n both are 0; they grow
    with ``k^2 / n``, since one matrix is used k times and its largest eigenvalues and their
    non-normal growth differ from draw to draw. Found by sampling matrices, with a fixed seed;
    above 512 units from matrices of 512 at equal ``k^2 / n``. Beyond ``8 sqrt(n)`` lags the largest
    eigenvalue alone is left, and both go on in proportion to the lag.

    **Returns:** two arrays over the lags 0 to ``max_lag``.
    """
    mean, spread = _sampled(min(size, LARGEST))
    lags = np.arange(max_lag + 1) * math.sqrt(min(size, LARGEST) / size)
    return _continued(lags, mean), _continued(lags, spread)


def _continued(lags: np.ndarray, sampled: np.ndarray) -> np.ndarray:
    last = len(sampled) - 1
    slope = (sampled[last] - sampled[last // 2]) / (last - last // 2)
    inside = np.interp(lags, np.arange(last + 1), sampled)
    return inside + slope * np.maximum(lags - last, 0)


@functools.lru_cache(maxsize=16)
def _sampled(size: int) -> tuple[np.ndarray, np.ndarray]:
    steps = math.ceil(FURTHEST * math.sqrt(size))
    rng = np.random.default_rng(0)
    logs = np.zeros((DRAWS, steps + 1))
    for row in logs:
        matrix = rng.normal(size=(size, size)) / math.sqrt(size)
        vectors = np.linalg.qr(rng.normal(size=(size, min(PROBES, size))))[0]
        for lag in range(1, steps + 1):
            vectors = matrix @ vectors
            norm = np.linalg.norm(vectors) / math.sqrt(vectors.shape[1])
            row[lag] = row[lag - 1] + math.log(norm)
            vectors /= norm
    return logs.mean(0), logs.std(0)


def reachable_lag(size: int, largest: int, threshold: float) -> int:
    """The largest lag, up to ``largest``, that nine draws in ten reach within a factor 1.5."""
    _, spread = typical_powers(size, largest)
    return int(np.flatnonzero(spread <= worst_spread(threshold))[-1])
