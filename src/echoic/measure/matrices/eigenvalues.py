"""Eigenvalues of matrices whose eigenvalues are hard to compute, and how far to believe them.

A dense solver returns the exact eigenvalues of a matrix that differs from W by rounding. For a
long delay line that is another network: at .99 forward, .04 backward and 100 units it finds a
spectral radius of .74 where the truth is .398. Two changes of coordinates, neither of which touches
the eigenvalues, remove that: strongly connected groups of units are taken one by one (a feedforward
network falls apart into single units, all of eigenvalue ``W_ii``), and each is scaled to entries
that are as symmetric as can be. What is left of the trouble is measured.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.sparse
import scipy.sparse.csgraph
from scipy.special import logsumexp

from echoic.measure.matrices.square_matrix import ROUNDOFF, power_of_two

# Their stubs state unions of all the shapes that options may give.
_eig: Any = scipy.linalg.eig
_sum_of_logs: Any = logsumexp
_balance: Any = scipy.linalg.get_lapack_funcs("gebal", dtype=np.float64)


class Eigenvalues(NamedTuple):
    """Eigenvalues, largest modulus first.

    ``condition`` is ``|x| |y| / |y'x|`` of right and left eigenvectors in the original
    coordinates: how far a change of W by a small e moves the eigenvalue, per e; inf for a defective
    one. ``error`` is the rounding error of each, to first order. Shares of ``|W|^2``, which itself
    may leave the range of doubles: ``feedforward``, the energy of W that the scalings showed to be
    no part of any eigenvalue, ``departure``, the rest of ``|W|^2 - sum |lambda|^2``, and
    ``scaled``, the squared norm of the scaled groups, which ``sum |lambda|^2`` cannot exceed.
    """

    values: np.ndarray
    condition: np.ndarray
    error: np.ndarray
    feedforward: float
    departure: float
    scaled: float


def eigenvalues(matrix: np.ndarray) -> Eigenvalues:
    """All eigenvalues of a real matrix, by groups and after scaling. Cost O(n^3)."""
    _, labels = scipy.sparse.csgraph.connected_components(
        scipy.sparse.csr_array(matrix != 0), connection="strong"
    )
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    single = len(groups) == 1
    values, conditions, errors = [], [], []
    scale = power_of_two(matrix)
    unit = matrix / scale
    total = float(np.sum(unit**2)) or 1.0
    feedforward = float(np.sum(unit[labels[:, None] != labels[None, :]] ** 2))
    departure = scaled = 0.0
    for group in groups:
        if len(group) == 1:
            values.append(matrix[group, group].astype(complex))
            conditions.append(np.ones(1))
            errors.append(np.zeros(1))
            scaled += float(unit[group[0], group[0]] ** 2)
            continue
        part = matrix[np.ix_(group, group)]
        own = power_of_two(part)  # a solver without it errs at 1e140, and at 1e-140
        part = part / own
        found, condition, error, within, rescaled = _of_group(part)
        values.append(own * found)
        conditions.append(condition)
        errors.append(own * error)
        weight = (own / scale) ** 2
        feedforward += weight * float(np.sum(part**2 - rescaled**2))
        scaled += weight * float(np.sum(rescaled**2))
        departure += weight * within
    joined, condition = np.concatenate(values), np.concatenate(conditions)
    if not single:
        condition = _joined_condition(matrix, groups, joined, condition)
    by_size = np.argsort(-np.abs(joined), kind="stable")
    error = np.concatenate(errors)[by_size]
    energies = feedforward / total, departure / total, scaled / total
    return Eigenvalues(joined[by_size], condition[by_size], error, *energies)


def _of_group(part: np.ndarray):
    """Eigenvalues, their condition and error, the departure that is left, and the scaled group."""
    log_scale = _best_scaling(part)
    scaled = _rescaled(part, log_scale)
    if np.allclose(scaled, scaled.T, rtol=1e-13, atol=0):
        values, left = scipy.linalg.eigh(scaled)
        right, triangle = left, np.zeros_like(scaled)
    else:
        values, left, right = _eig(scaled, left=True, right=True)
        triangle = np.asarray(scipy.linalg.schur(scaled)[0])
    overlap = np.abs(np.sum(left.conj() * right, axis=0))
    size = np.linalg.norm(scaled)
    error = np.where(overlap > 0, ROUNDOFF * size / overlap, np.inf)
    # Lengths of the eigenvectors in the original coordinates: their logarithms, for the scales of a
    # long line span more than the range of doubles.
    grown = 0.5 * _sum_of_logs(2 * log_scale[:, None], b=np.abs(right) ** 2, axis=0)
    grown += 0.5 * _sum_of_logs(-2 * log_scale[:, None], b=np.abs(left) ** 2, axis=0)
    condition = np.exp(grown - np.log(overlap))
    within = float(np.sum(np.triu(triangle, 2) ** 2))
    # A pair of complex eigenvalues is a 2 x 2 block (a, b; c, a): its share is (b + c)^2.
    within += float(np.sum((np.diagonal(triangle, 1) + np.diagonal(triangle, -1)) ** 2))
    return values.astype(complex), np.maximum(condition, 1.0), error, within, scaled


def _rescaled(part: np.ndarray, log_scale: np.ndarray) -> np.ndarray:
    """``D^-1 W D`` from the logarithms of D: the scales of a long line overflow."""
    if not log_scale.any():
        return part
    ratio = log_scale[None, :] - log_scale[:, None]
    result = np.zeros_like(part)
    there = part != 0
    result[there] = np.sign(part[there]) * np.exp(np.log(np.abs(part[there])) + ratio[there])
    return result


def _best_scaling(part: np.ndarray) -> np.ndarray:
    """LAPACK's scaling, unless making pairs of entries alike shrinks the matrix by a lot more."""
    plain, *_, scales, _ = _balance(part, scale=1, permute=0)
    best, log_scale = np.linalg.norm(plain), np.log(scales)
    paired = _symmetrising(part)
    if paired is not None:
        start = _rescaled(part, paired)
        if np.all(np.isfinite(start)):
            again, *_, scales, _ = _balance(start, scale=1, permute=0)
            if np.linalg.norm(again) < 0.95 * best:
                log_scale = paired + np.log(scales)
    return log_scale - log_scale.mean()


def _symmetrising(part: np.ndarray) -> np.ndarray | None:
    """Scales that make ``|W_ij|`` and ``|W_ji|`` as alike as can be, the large pairs first.

    Weighted least squares on the logarithms: exact for chains and trees.
    """
    magnitude = np.abs(part)
    weight = np.sqrt(magnitude) * np.sqrt(magnitude.T)
    np.fill_diagonal(weight, 0)
    both = weight > 0
    if not both.any():
        return None
    ratio = np.zeros_like(part)
    ratio[both] = np.log(magnitude[both]) - np.log(magnitude.T[both])
    laplacian = np.diag(weight.sum(axis=1)) - weight
    target = 0.5 * np.sum(weight * ratio, axis=1)
    if scipy.sparse.csgraph.connected_components(scipy.sparse.csr_array(both))[0] > 1:
        return None
    # The constant vector is the only direction left open: fix the first scale.
    solved = scipy.linalg.solve(laplacian[1:, 1:], target[1:], assume_a="sym")
    return np.concatenate([[0.0], solved])


def _joined_condition(
    matrix: np.ndarray, groups: list[np.ndarray], values: np.ndarray, within: np.ndarray
) -> np.ndarray:
    """Condition numbers where some groups drive others; ``within`` where a group is alone."""
    order = np.concatenate(groups)
    count, label = scipy.sparse.csgraph.connected_components(
        scipy.sparse.csr_array(matrix != 0), connection="weak"
    )
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    condition = within.copy()
    for part in range(count):
        rows = np.flatnonzero(label[order] == part)
        if owner[rows[0]] != owner[rows[-1]]:
            condition[rows] = _condition(matrix[np.ix_(order[rows], order[rows])], values[rows])
    return condition


def _condition(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Condition numbers of a matrix of several groups, in the order of ``values``."""
    scale = power_of_two(matrix)
    found, left, right = _eig(matrix / scale, left=True, right=True)
    overlap = np.abs(np.sum(left.conj() * right, axis=0))
    with np.errstate(divide="ignore"):
        condition = np.where(overlap > len(matrix) * ROUNDOFF, 1 / overlap, np.inf)
    return condition[matching(found, values / scale)]


def matching(found: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Indices into ``found``, one solver's eigenvalues, that bring it to ``values``, another's.

    By value: moduli tie, as those of a and -a do. The root of the distance, for a sum of
    distances is no larger where an eigenvalue that both found alike is taken from its twin.
    """
    distance = np.abs(values[:, None] - found[None, :])
    return scipy.optimize.linear_sum_assignment(np.sqrt(distance))[1]
