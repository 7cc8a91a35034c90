"""Certified upper bounds of a cell's gain in the state, and proofs that it contracts.

A cell is contracting if two states under the same input come together by a factor below 1 at each
step, in some norm. Then it forgets its state for sure, whatever the input; it has one attractor a
constant input, and the cost is smooth uniformly in the horizon ([`cost_growth`][]). The
converse does not hold: a cell without a certificate may forget as well.

All bounds come from the Jacobian entry by entry, slopes at their largest. They are derived here;
the limits of the stable LSTM are those that Miller & Hardt 2019 are remembered for (to
be checked against the paper), and the derivation shows that they suffice. Inputs enter through
``drive``, an upper bound of ``V x + b`` for each row, see [`drive_bound`][]. States of gated
cells are taken from the box that they cannot leave: ``|h| <= 1``.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from echoic.core.checks import one_of


class Certificate(NamedTuple):
    """What is certain about one step, for all inputs and all states that occur.

    **Fields**

    - ``euclidean``, ``maximum``, ``total``: how much one step can enlarge the difference
      of two states, in the Euclidean norm, in the largest entry, in the sum of the entries' sizes.
    - ``rate``: the smallest such factor found in a weighted norm: of ``difference / weights``,
      in the norm called ``norm``. After k steps no more than ``distortion rate^k`` is left.
    - ``norm``: "maximum" or "euclidean".
    - ``weights``: positive, one a state variable (h, then c for an LSTM).
    """

    euclidean: float
    maximum: float
    total: float
    rate: float
    norm: Literal["maximum", "euclidean"]
    weights: np.ndarray

    @property
    def contracts(self) -> bool:
        """Whether contraction is proved."""
        return self.rate < 1

    @property
    def distortion(self) -> float:
        """By how much the weighted norm can misjudge the plain one."""
        return float(np.max(self.weights) / np.min(self.weights))


def drive_bound(input: ArrayLike, bias: ArrayLike, input_max: float = 1.0) -> np.ndarray:
    """The most that inputs with ``|x_j| <= input_max`` and the bias add to each row, shape (r,)."""
    return np.abs(np.asarray(input, float)).sum(axis=1) * input_max + np.asarray(bias, float)


def elman_certificate(recurrent: ArrayLike, *, max_distortion: float = 1e6) -> Certificate:
    """Of ``h' = f(W h + V x + b)``, slopes of f in [0, 1] (tanh, relu; elementwise).

    **Definition.** The Jacobian is ``D W``, D diagonal between 0 and 1: any norm in which a
    diagonal matrix acts by its largest entry, weighted ones included, bounds it by W's. The infimum
    over weights in the maximum norm is the spectral radius of ``|W|`` (Perron).

    **Arguments:** ``recurrent`` (n, n); ``max_distortion``: how uneven the weights may be. Chains
    have contracting norms at any gain, at the price of a large distortion.

    ```python
    >>> import numpy as np
    >>> from echoic.theory import elman_certificate
    >>> found = elman_certificate(1.02 * np.eye(20, k=-1))
    >>> round(found.euclidean, 2), found.contracts
    (1.02, True)

    ```
    """
    weights = _square("recurrent", recurrent)
    return _certificate(np.abs(weights), _spectral(weights), max_distortion, signed=weights)


def residual_certificate(
    residual: ArrayLike,
    coupling: float,
    recurrent: ArrayLike,
    *,
    max_distortion: float = 1e6,
) -> Certificate:
    """Of ``x' = R x + gamma f(W x + V s + b)``, slopes of f in [0, 1].

    **Definition.** ``|R| + |gamma| |W|`` in each norm; with a saturating path ``f(R x)`` as well.

    **Arguments:** ``residual`` (n, n), or its diagonal (n,); ``coupling``: gamma.
    """
    weights = _square("recurrent", recurrent)
    path = np.asarray(residual, float)
    path = _square("residual", np.diag(path) if path.ndim == 1 else path)
    if path.shape != weights.shape:
        raise ValueError(f"residual must have the size {len(weights)}, got {path.shape}.")
    size = abs(float(coupling))
    euclidean = float(_spectral(path) + size * _spectral(weights))
    return _certificate(np.abs(path) + size * np.abs(weights), euclidean, max_distortion)


def minimal_certificate(
    recurrent: ArrayLike, drive: ArrayLike, *, max_distortion: float = 1e6
) -> Certificate:
    """Of the minimalRNN ``h' = u h + (1 - u) z``, ``u = sigmoid(W h + V z + b)``, ``|z| <= 1``.

    **Definition.** ``J = diag(u) + diag(u (1 - u) (h - z)) W`` with ``|h - z| <= 2``, the row sums
    ``u + 2 u (1 - u) r`` at their largest over ``0 <= u <= u_max``. It contracts if
    ``2 u_max r < 1`` in every row, r the row's sum of ``|W|``.

    **Arguments:** ``recurrent`` (n, n); ``drive`` (n,): upper bound of ``V z + b``.
    """
    weights = _square("recurrent", recurrent)
    size = np.abs(weights)
    keep = expit(size.sum(axis=1) + _vector("drive", drive, len(weights)))
    slope = _steepest(keep)

    def rows(v: np.ndarray) -> np.ndarray:
        return _blend(keep, 2 * (size @ v) / v, np.zeros(len(v)))

    euclidean = float(keep.max() + _spectral(2 * slope[:, None] * weights))
    majorant = np.diag(keep) + 2 * slope[:, None] * size
    return _certificate(majorant, euclidean, max_distortion, rows=rows)


def gru_certificate(
    recurrent: ArrayLike,
    drive: ArrayLike,
    candidate_bias: ArrayLike | None = None,
    *,
    reset: str = "after",
    max_distortion: float = 1e6,
) -> Certificate:
    """Of a gated recurrent unit, blocks r, z, n; z keeps the old state.

    **Definition.** With ``R_g`` the row sums of ``|W_g|`` and slopes of sigmoid at most 1/4, the
    row sums of the Jacobian are at most ``z + (1 - z) (2 z R_z + B)``, at its largest over
    ``0 <= z <= z_max``. Reset after the product: ``B = r_max R_n + (R_n + |b_h|) R_r / 4``; before
    it: ``B = |W_n| (r_max + R_r / 4)``. It contracts if ``2 z_max R_z + B < 1`` in every row.

    **Arguments:** ``recurrent`` (3n, n); ``drive`` (3n,): upper bound of ``V x + b``, of which the
    rows of r and z count; ``candidate_bias`` (n,): b_h, for ``reset="after"``, 0 by default.
    """
    one_of("reset", reset, ["after", "before"])
    (w_r, w_z, w_n), drives = _gates(recurrent, drive, 3)
    n = len(w_r)
    bias = np.zeros(n) if candidate_bias is None else _vector("candidate_bias", candidate_bias, n)
    size_r, size_z, size_n = np.abs(w_r), np.abs(w_z), np.abs(w_n)
    resets = expit(size_r.sum(axis=1) + drives[0])
    keep = expit(size_z.sum(axis=1) + drives[1])
    slope_r, slope_z = _steepest(resets), _steepest(keep)
    if reset == "after":
        product = size_n.sum(axis=1) + np.abs(bias)
        candidate = resets[:, None] * size_n + (product * slope_r)[:, None] * size_r
        norm = _spectral(resets[:, None] * w_n)
        norm += _spectral((product * slope_r)[:, None] * w_r)
    else:
        inner = np.diag(resets) + slope_r[:, None] * size_r
        candidate = size_n @ inner
        norm = _spectral(w_n) * (resets.max() + _spectral(slope_r[:, None] * w_r))

    def rows(v: np.ndarray) -> np.ndarray:
        return _blend(keep, 2 * (size_z @ v) / v, (candidate @ v) / v)

    euclidean = keep.max() + _spectral(2 * slope_z[:, None] * w_z) + norm
    majorant = np.diag(keep) + 2 * slope_z[:, None] * size_z + candidate
    return _certificate(majorant, float(euclidean), max_distortion, rows=rows)


def lstm_certificate(
    recurrent: ArrayLike, drive: ArrayLike, *, max_distortion: float = 1e6
) -> Certificate:
    """Of an LSTM, blocks i, f, g, o; the state is (h, c), 2n numbers.

    **Definition.** ``|c| <= c_max = i_max / (1 - f_max)``, ``t_max = tanh(c_max)``. The new c
    depends on h by at most ``K = c_max |W_f| / 4 + |W_i| / 4 + i_max |W_g|`` and on c by f_max; the
    new h by ``o_max K + t_max |W_o| / 4`` and by ``o_max f_max``. The bounds are the
    norms of this matrix of four blocks.

    **Arguments:** ``recurrent`` (4n, n); ``drive`` (4n,): upper bound of ``V x + b``.

    **When it misleads.** It grows fast with the forget gate: for a guarantee, project the weights
    (`clip_stable_lstm`).
    """
    (w_i, w_f, w_g, w_o), drives = _gates(recurrent, drive, 4)
    size_i, size_f, size_g, size_o = (np.abs(w) for w in (w_i, w_f, w_g, w_o))
    i, f, o = (
        expit(size.sum(axis=1) + drives[gate])
        for size, gate in ((size_i, 0), (size_f, 1), (size_o, 3))
    )
    forgets = expit(-(size_f.sum(axis=1) + drives[1]))  # 1 - f without cancellation
    with np.errstate(over="ignore", divide="ignore"):
        c_max = i / forgets
    into_c = (c_max * _steepest(f))[:, None] * size_f + _steepest(i)[:, None] * size_i
    into_c = into_c + i[:, None] * size_g
    out = (_steepest(o) * np.tanh(c_max))[:, None] * size_o
    majorant = np.block([[o[:, None] * into_c + out, np.diag(o * f)], [into_c, np.diag(f)]])
    return _certificate(majorant, _spectral(majorant), max_distortion)


def _certificate(
    majorant: np.ndarray,
    euclidean: float,
    max_distortion: float,
    *,
    rows: Callable[[np.ndarray], np.ndarray] | None = None,
    signed: np.ndarray | None = None,
) -> Certificate:
    """The best of several weighted norms. ``majorant`` bounds the size of each Jacobian entry."""
    if not max_distortion >= 1:
        raise ValueError(f"max_distortion must be at least 1, got {max_distortion}.")
    rows = rows or (lambda v: (majorant @ v) / v)
    ones = np.ones(len(majorant))
    maximum, total = float(np.max(rows(ones))), float(np.max(majorant.sum(axis=0)))
    best = Certificate(euclidean, maximum, total, maximum, "maximum", ones)
    if math.isnan(maximum) or math.isnan(euclidean):
        nan = math.nan
        return Certificate(nan, nan, nan, nan, "maximum", ones)
    if euclidean < best.rate:
        best = best._replace(rate=euclidean, norm="euclidean")
    for v in _candidates(majorant, max_distortion):
        rate = float(np.max(rows(v)))
        if rate < best.rate:
            best = best._replace(rate=rate, norm="maximum", weights=v)
        if signed is not None:
            rate = _spectral(signed * v / v[:, None])
            if rate < best.rate:
                best = best._replace(rate=rate, norm="euclidean", weights=v)
    return best


def _candidates(majorant: np.ndarray, max_distortion: float) -> list[np.ndarray]:
    """Positive vectors on which the majorant acts weakly: ``v = (1 - A / r)^-1 1``, A v < r v.

    The smaller r, down to A's spectral radius, the better the bound and the more uneven v.
    """
    start = float(np.max(majorant.sum(axis=1)))
    if not (0 < start < math.inf):
        return []
    identity = np.eye(len(majorant))

    def solution(r: float) -> np.ndarray | None:
        try:
            v = np.linalg.solve(identity - majorant / r, np.ones(len(majorant)))
        except np.linalg.LinAlgError:
            return None
        # Below the spectral radius v turns negative.
        valid = v.min() > 0 and v.max() <= max_distortion * v.min()
        return v / v.max() if valid else None

    good, bad, found = 2 * start, 0.0, []
    for _ in range(24):
        r = math.sqrt(good * bad) if bad > 0 else 0.8 * good
        v = solution(r)
        if v is None:
            bad = r
        else:
            good = r
            found.append(v)
    return found[-4:]


def _spectral(matrix: np.ndarray) -> float:
    """The largest singular value; NaN or inf instead of an exception."""
    if not np.all(np.isfinite(matrix)):
        return math.nan if np.any(np.isnan(matrix)) else math.inf
    return float(np.linalg.norm(matrix, 2))


def _blend(keep_max: np.ndarray, gate: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The largest ``u + (1 - u) (u gate + other)`` over ``0 <= u <= keep_max``: a parabola."""
    # Where the parabola is flat its top lies at plus or minus infinity, and is clipped.
    top = (1 + gate - other) / (2 * np.maximum(gate, 1e-300))
    u = np.clip(top, 0.0, keep_max)
    return u + (1 - u) * (u * gate + other)


def _steepest(highest: np.ndarray) -> np.ndarray:
    """The largest slope of a sigmoid whose value does not exceed ``highest``."""
    return np.where(highest < 0.5, highest * (1 - highest), 0.25)


def _square(name: str, matrix: ArrayLike) -> np.ndarray:
    array = np.asarray(matrix, float)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
        raise ValueError(f"{name} must have shape (n, n), got {array.shape}.")
    return array


def _vector(name: str, vector: ArrayLike, size: int) -> np.ndarray:
    array = np.asarray(vector, float)
    if array.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), got {array.shape}.")
    return array


def _gates(
    recurrent: ArrayLike, drive: ArrayLike, count: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    weights = np.asarray(recurrent, float)
    if weights.ndim != 2 or weights.shape[0] != count * weights.shape[1] or weights.size == 0:
        raise ValueError(f"recurrent must have shape ({count}n, n), got {weights.shape}.")
    return np.split(weights, count), np.split(_vector("drive", drive, len(weights)), count)
