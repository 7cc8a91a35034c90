"""Exact recall of a linear network under white input, to rounding, however ill-conditioned.

The textbook route, ``MC(k) = v_k' C^-1 v_k`` with ``v_k = W^k V`` and the state covariance
``C = sum_k v_k v_k'``, inverts a matrix whose condition number grows exponentially with n: a
cycle of gain r has ``r^(-2n)``. Yet the answer is well-conditioned. With ``C = L L'`` the pair
``A = L^-1 W L``, ``B = L^-1 V`` has orthonormal rows, ``A A' + B B' = I``, and
``MC(k) = |A^k B|^2``. Completed to an orthogonal matrix it is a lossless filter G from the input
to m outputs, and because nothing is lost,

    ``MC(k) = 1 - (1/m) sum_{j <= k} |G_j|_F^2``.

G is a cascade of first-order all-pass sections, one an eigenvalue of W. It is built and run here
section by section, by orthogonal operations only; C is never formed. With one input channel the
sections depend on the eigenvalues alone, so that every input vector that reaches all modes has
the same recall (Ballarin, Grigoryeva and Ortega 2023, arXiv:2305.01457, show that total capacity
does not depend on it).

Where an error bound can be had without the eigenvalues, they are not computed: see `krylov`.
"""

from typing import Any

import numpy as np
import scipy.linalg
import scipy.signal

from echoic.measure.information.krylov import certified_recall

FEW_UNITS = 64  # the eigenvalues of so few take no longer than the attempt to do without

# Their stubs state unions of all the shapes that options may give.
_schur: Any = scipy.linalg.schur
_qr: Any = scipy.linalg.qr
_sosfilt: Any = scipy.signal.sosfilt


def reachable(recurrent: np.ndarray, drive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of ``h' = W h + V x`` that the input can reach, in an orthonormal basis.

    The staircase (block Arnoldi) form tells a mode that is reached weakly from one that is not
    reached at all, which the singular values of [V, WV, ...] cannot: they underflow for both.
    """
    size = len(recurrent)
    tolerance = size * np.finfo(float).eps
    basis = np.zeros((size, size))
    rank = 0
    waiting = [column / norm for column in drive.T if (norm := np.linalg.norm(column)) > 0]
    scale = 1.0
    next_to_expand = 0
    while rank < size:
        if not waiting:
            if next_to_expand == rank:
                break
            waiting.append(recurrent @ basis[:, next_to_expand])
            scale = np.linalg.norm(recurrent)
            next_to_expand += 1
        vector = waiting.pop(0)
        norm = np.linalg.norm(vector)
        for _ in range(2):  # once is not enough to stay orthogonal, if much was taken away
            before, vector = norm, vector - basis[:, :rank] @ (basis[:, :rank].T @ vector)
            norm = np.linalg.norm(vector)
            if norm > before / 2:
                break
        if norm > tolerance * scale:
            basis[:, rank] = vector / norm
            rank += 1
    if rank == size:
        return recurrent, drive  # untouched: exact zeros stay exact
    basis = basis[:, :rank]
    return basis.T @ recurrent @ basis, basis.T @ drive


def white_recall(recurrent: np.ndarray, drive: np.ndarray, max_lag: int) -> tuple[np.ndarray, bool]:
    """MC(0..max_lag) of each channel, shape (k, m), and whether the network is stable.

    Of one that is not, the recall after ``max_lag + 1`` steps of input from rest. Modes that the
    input does not reach count neither way. Cost O(n^3 + n m^2 k), in finite time O(n^2 m k).
    """
    if not (np.all(np.isfinite(recurrent)) and np.all(np.isfinite(drive))):
        return np.full((max_lag + 1, drive.shape[1]), np.nan), True
    if len(recurrent) > FEW_UNITS:
        without_eigenvalues = certified_recall(recurrent, drive, max_lag)
        if without_eigenvalues is not None:
            return without_eigenvalues[:, None], True
    recurrent, drive = reachable(recurrent, drive)
    poles = np.linalg.eigvals(recurrent)
    if np.max(np.abs(poles), initial=0.0) >= 1:
        return recall_in_finite_time(recurrent, drive, max_lag), False
    if drive.shape[1] == 1:
        return 1 - np.cumsum(_scalar_cascade(poles, max_lag) ** 2)[:, None], True
    return _matrix_recall(recurrent, drive, max_lag), True


def _matrix_recall(recurrent: np.ndarray, drive: np.ndarray, max_lag: int) -> np.ndarray:
    channels = drive.shape[1]
    poles, directions = _sections(recurrent, drive)
    kept = np.empty((max_lag + 1, channels))
    for channel in range(channels):
        signal = np.zeros((channels, max_lag + 1), complex)
        signal[channel, 0] = 1.0
        for pole, direction in zip(poles, directions, strict=True):
            along = direction.conj() @ signal
            passed = scipy.signal.lfilter([-np.conj(pole), 1], [1, -pole], along)
            signal += np.outer(direction, passed - along)
        kept[:, channel] = 1 - np.cumsum(np.sum(np.abs(signal) ** 2, axis=0))
    return kept


def _scalar_cascade(poles: np.ndarray, max_lag: int) -> np.ndarray:
    """Impulse response of ``prod (z^-1 - conj p) / (1 - p z^-1)``, two poles a section."""
    impulse = np.zeros(max_lag + 1)
    impulse[0] = 1.0
    pairs = [complex(p) for p in poles if p.imag > 0]
    real = np.sort([p.real for p in poles if p.imag == 0])
    sections = [[abs(p) ** 2, -2 * p.real, 1, 1, -2 * p.real, abs(p) ** 2] for p in pairs]
    sections += [
        [a * b, -(a + b), 1, 1, -(a + b), a * b]
        for a, b in zip(real[0::2], real[1::2], strict=False)
    ]
    if len(real) % 2:
        sections.append([-real[-1], 1, 0, 1, -real[-1], 0])
    return _sosfilt(np.array(sections), impulse) if sections else impulse


def _sections(recurrent: np.ndarray, drive: np.ndarray) -> tuple[list, list]:
    """Pole and input direction of each all-pass section, by Hammarling's recursion.

    In Schur form the last unit is a first-order filter of the input alone. Its all-pass partner
    replaces the input by an equally white one that knows nothing of this unit, the rest of the
    state is cleared of it, and the recursion goes on with one unit less.
    """
    triangular, unitary = _schur(recurrent.astype(complex), output="complex")
    inputs = unitary.conj().T @ drive
    poles, directions = [], []
    for last in range(len(triangular) - 1, -1, -1):
        pole, size = triangular[last, last], np.linalg.norm(inputs[last])
        if size == 0:
            continue
        direction = inputs[last].conj() / size
        poles.append(pole)
        directions.append(direction)
        rest, inputs = triangular[:last, :last], inputs[:last]
        gain = np.sqrt(1 - abs(pole) ** 2)
        coupling = triangular[:last, last] * size / gain
        along = inputs @ direction
        share = scipy.linalg.solve_triangular(
            np.eye(last) - np.conj(pole) * rest, coupling * np.conj(pole) + gain * along
        )
        change = gain * (rest @ share + coupling) - (1 + pole) * along
        inputs = inputs + np.outer(change, direction.conj())
    return poles, directions


def recall_in_finite_time(recurrent: np.ndarray, drive: np.ndarray, max_lag: int) -> np.ndarray:
    """MC(0..max_lag) of each channel for ``max_lag + 1`` steps of input, from rest, at any gain.

    The leverage scores of the rows of [V, WV, ..., W^max_lag V]', found to numerical rank.
    """
    size, channels = drive.shape
    rows = np.empty((max_lag + 1, channels, size))
    logs = np.empty(max_lag + 1)
    block, log = drive, 0.0
    for lag in range(max_lag + 1):
        peak = np.abs(block).max(initial=0.0) or 1.0
        block, log = block / peak, log + np.log(peak)
        rows[lag], logs[lag] = block.T, log
        block = recurrent @ block
    rows *= np.exp(logs - logs.max())[:, None, None]
    flat = rows.reshape(-1, size)
    norms = np.linalg.norm(flat, axis=0)
    orthogonal, upper, _ = _qr(flat / np.where(norms > 0, norms, 1), mode="economic", pivoting=True)
    diagonal = np.abs(np.diagonal(upper))
    rank = int(np.sum(diagonal > size * np.finfo(float).eps * diagonal.max(initial=0.0)))
    leverage = np.sum(orthogonal[:, :rank] ** 2, axis=1)
    return leverage.reshape(max_lag + 1, channels)
