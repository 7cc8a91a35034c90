"""Powers of one random Gaussian matrix: how large, and how different from draw to draw.

In the limit of large n all draws agree and ``||W^k||_F`` is that of W drawn anew at each step. They
part with ``k^2 / n``, since one matrix is used k times: its largest eigenvalues and its non-normal
growth differ from draw to draw. What a draw is likely to do is found by sampling matrices, with a
fixed seed; above 512 units from matrices of 512 at equal ``k^2 / n``.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from echoic.prescription.prescription import Wanted

DRAWS, PROBES, LARGEST = 48, 8, 512
FURTHEST = 8.0  # lags in units of sqrt(n) that are sampled; beyond, one eigenvalue is left
FACTOR, ENOUGH = 1.5, 0.9  # a horizon is set if nine draws in ten come within this factor


class Scatter(NamedTuple):
    """The spread sigma of Gaussian weights for a horizon, and how draws keep to it.

    - ``log_sigma``: at which the typical gain falls to the threshold at the horizon.
    - ``typical``: the median over draws of ``log(||W^k||_F / sqrt(n))`` at that sigma, by lag.
    - ``share``: of the draws whose own gain falls there within a factor 1.5.
    """

    log_sigma: float
    typical: np.ndarray
    share: float


def scatter(size: int, horizon: int, max_lag: int, threshold: float) -> Scatter:
    """How the gains of Gaussian matrices of ``size`` units, W_ij ~ N(0, sigma^2 / n), fall."""
    lags = np.arange(max(max_lag, math.ceil(FACTOR * horizon)) + 1)
    logs = _log_gains(size, len(lags) - 1)
    typical, level = np.median(logs, axis=0), math.log(threshold)
    log_sigma = float((level - np.interp(horizon + 0.5, lags, typical)) / (horizon + 0.5))
    here = logs + log_sigma * lags
    near = here[:, math.floor(horizon / FACTOR)] >= level
    far = here[:, math.ceil(FACTOR * horizon)] < level
    typical = (typical + log_sigma * lags)[: max_lag + 1]
    return Scatter(log_sigma, typical, float(np.mean(near & far)))


class Answer(NamedTuple):
    """Gaussian weights for a horizon, or for the nearest that draws keep to.

    ``found`` belongs to the horizon wanted where ``feasible``, else to ``reach``; ``share`` is that
    of the draws that keep to the one wanted.
    """

    found: Scatter
    feasible: bool
    share: float
    reach: int


def answer(wanted: Wanted) -> Answer:
    """The spread of Gaussian weights, and whether it sets the horizon."""
    size, horizon, threshold = wanted.hidden_size, wanted.horizon, wanted.thresholds.gain
    last = int(wanted.lags[-1])
    found = scatter(size, horizon, last, threshold)
    if found.share >= ENOUGH:
        return Answer(found, True, found.share, horizon)
    reach = reachable(size, horizon, threshold)
    return Answer(scatter(size, reach, last, threshold), False, found.share, reach)


def reachable(size: int, horizon: int, threshold: float) -> int:
    """The largest horizon, up to the one wanted, that nine draws in ten keep."""
    largest = min(horizon, math.ceil(FURTHEST * math.sqrt(size)))
    for lag in range(largest, 1, -1):
        if scatter(size, lag, lag, threshold).share >= ENOUGH:
            return lag
    return 1


def _log_gains(size: int, max_lag: int) -> np.ndarray:
    """``log(||W^k||_F / sqrt(n))`` at sigma 1, one row a draw, continued in proportion."""
    logs = _sampled(min(size, LARGEST))
    last = logs.shape[1] - 1
    lags = np.arange(max_lag + 1) * math.sqrt(min(size, LARGEST) / size)
    inside = np.stack([np.interp(lags, np.arange(last + 1), row) for row in logs])
    slopes = (logs[:, last] - logs[:, last // 2]) / (last - last // 2)
    return inside + slopes[:, None] * np.maximum(lags - last, 0)


@functools.lru_cache(maxsize=16)
def _sampled(size: int) -> np.ndarray:
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
    return logs


def explanation(wanted: Wanted, found: Answer) -> str:
    """Why Gaussian weights do not set this horizon, and what they would."""
    size, horizon = wanted.hidden_size, wanted.horizon
    return (
        f"Of {DRAWS} draws of {size} Gaussian units only {found.share:.0%} come within a factor 1.5"
        f" of {horizon} steps, whatever the spread of the weights: the memory runs through one"
        f" random matrix {horizon} times, whose largest eigenvalues differ from draw to draw."
        f" {found.reach}"
        " steps are kept by nine draws in ten; orthogonal or diagonal weights do not scatter. This"
        " is the network for those steps"
    )
