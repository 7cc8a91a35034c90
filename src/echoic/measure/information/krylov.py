"""Recall of sparse linear networks by projection, where its error can be bounded beforehand.

For one input channel ``MC(k)`` is the leverage of column k in ``K = [v, W v, W^2 v, ...]``: the
part of the k-th unit vector that lies in the row space. Any scaling of the rows leaves that space
alone. Chains and cycles, whose states differ by orders of magnitude, have rows that are nearly
orthogonal, so that once scaled to unit norm they make a well-conditioned matrix, and no eigenvalue
is needed. Networks without that property are refused here, not answered roughly.

**The bound.** Let ``K`` be the computed columns 0 to L-1 with rows scaled to unit norm over the
first h = L/2, ``G = K K'`` their Gram matrix, ``H`` that of the first h, ``t`` the squared norm of
columns h to L-1, and u the unit roundoff.

1. *Conditioning.* If ``H - c I`` has a Cholesky factor, no eigenvalue of H or G lies below c (up
   to the rounding of step 4, which is far smaller). All units are then reached.
2. *Columns left out.* In the scaled basis ``W^h`` turns columns 0 to h-1 into columns h to L-1, so
   that its squared norm is at most ``q = t / c``. If q < 1 the network is stable, and the Gram
   matrix of all columns from L on has a norm of at most ``q t / (1 - q)``. Leaving them out changes
   MC by 1/c times that, at the most.
3. *Rounding of the columns.* Each product with W, of s terms a row, has a relative error of s u in
   every component: column k is off by less than ``k s u |W|^k |v|``, componentwise. Projectors on
   the row spaces of two matrices of equal rank differ by no more than the norm of the difference
   of the matrices over the smallest singular value of either (Stewart 1977).
4. *Rounding of the rest.* Products, Cholesky factor R and substitution have componentwise backward
   errors (Higham 2002, sections 3.5, 8.1, 10.1), proportional to the number of terms in each sum.
   Terms that are exactly zero do not count, and in chains and cycles few others exist.

Norms are bounded by ``|A|^2 <= |A|_1 |A|_inf``.
"""

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse

MOST_ERROR = 1e-12
LEAST_EIGENVALUE = 0.25  # c, of the scaled Gram matrix; it is 1 for cycles and delay lines
LINKS_PER_UNIT = 4  # with more, the columns take as long as the eigenvalues
LONGEST = 8  # columns a unit; beyond, the eigenvalues are the quicker way
MOST_NUMBERS = 10**8  # in K: 0.8 GB, four times that at the peak
ROUNDOFF = 2.0**-53
UNDERFLOW = 2.0**-1020  # times ROUNDOFF: more than a product can lose below the range of doubles

# Their stubs state unions of all the shapes that options may give.
_cholesky: Any = scipy.linalg.cholesky
_substitute: Any = scipy.linalg.solve_triangular
# Not numpy's product: the two libraries' BLAS have threads of their own, which hinder one another.
_gram: Any = scipy.linalg.get_blas_funcs("syrk", dtype=np.float64)


@np.errstate(over="ignore", invalid="ignore")
def certified_recall(recurrent: np.ndarray, drive: np.ndarray, max_lag: int) -> np.ndarray | None:
    """MC(0..max_lag) to within ``MOST_ERROR``, or None if that cannot be promised.

    An answer also certifies that the network is stable and that the input reaches every unit.
    Cost O(n^2 L), for L columns between 2 n and 8 n.
    """
    size, channels = drive.shape
    half = max(size, max_lag // 2 + 1)
    longest = min(LONGEST * size, MOST_NUMBERS // max(size, 1))
    if channels != 1 or np.count_nonzero(recurrent) > LINKS_PER_UNIT * size or 2 * half > longest:
        return None
    both = np.concatenate([drive[:, 0], np.abs(drive[:, 0]) + UNDERFLOW])[None]
    while 2 * half <= longest:
        both = _extended(recurrent, both, half)
        scale = _norms(both[:half, :size])
        if not (np.all(np.isfinite(both)) and np.all(scale > 0) and np.all(np.isfinite(scale))):
            return None
        gram = _gram(1.0, (both[:half, :size] / scale).T)
        if not _well_conditioned(gram):
            return None
        both = _extended(recurrent, both, 2 * half)
        scaled = both[:, :size] / scale
        left_out = _left_out(scaled[half:])
        if left_out <= MOST_ERROR / 2:
            factor = _cholesky(gram + _gram(1.0, scaled[half:].T))
            terms = int(np.count_nonzero(recurrent, axis=1).max())
            bound = left_out + _rounding(scaled, both[:, size:] / scale, factor, terms)
            if not bound <= MOST_ERROR:
                return None
            return np.sum(_substitute(factor, scaled[: max_lag + 1].T, trans="T") ** 2, axis=0)
        half *= 2
    return None


def _extended(recurrent: np.ndarray, known: np.ndarray, count: int) -> np.ndarray:
    """``W^k v`` beside ``|W|^k |v|`` and what underflow may have taken: a row each k < count."""
    size = len(recurrent)
    step = scipy.sparse.csr_array(recurrent)
    step = scipy.sparse.block_diag([step, abs(step)], format="csr")
    both = np.empty((count, 2 * size))
    both[: len(known)] = known
    for k in range(len(known), count):
        both[k] = step @ both[k - 1]
        both[k, size:] += UNDERFLOW
    return both


def _norms(rows: np.ndarray) -> np.ndarray:
    """The norm of each unit's history, whose squares may lie outside the range of doubles."""
    peak = np.abs(rows).max(axis=0)
    return peak * np.linalg.norm(rows / np.where(peak > 0, peak, 1), axis=0)


def _well_conditioned(gram: np.ndarray) -> bool:
    """Step 1 of the bound."""
    try:
        _cholesky(gram - LEAST_EIGENVALUE * np.eye(len(gram)))
    except scipy.linalg.LinAlgError:
        return False
    return True


def _left_out(later: np.ndarray) -> float:
    """Step 2 of the bound."""
    energy = _squared_norm(later)
    shrinks = energy / LEAST_EIGENVALUE
    if not shrinks < 0.5:
        return np.inf
    return shrinks * energy / (1 - shrinks) / LEAST_EIGENVALUE


def _rounding(scaled: np.ndarray, largest: np.ndarray, factor: np.ndarray, terms: int) -> float:
    """Steps 3 and 4 of the bound, to first order in the roundoff, and a tenth more."""
    lags = np.arange(len(scaled))[:, None]
    columns = np.sqrt(_squared_norm((lags * terms + 1) * largest) / LEAST_EIGENVALUE)
    terms_of_gram = np.count_nonzero(scaled, axis=0).max() + 1
    terms_of_factor = np.count_nonzero(factor, axis=0).max() + 1
    rest = terms_of_gram * _squared_norm(scaled) + 3 * terms_of_factor * _squared_norm(factor)
    return float(1.1 * ROUNDOFF * (columns + rest / LEAST_EIGENVALUE + len(factor) + 2))


def _squared_norm(matrix: np.ndarray) -> float:
    """An upper bound of the squared 2-norm."""
    size = np.abs(matrix)
    return float(size.sum(axis=0).max() * size.sum(axis=1).max())
