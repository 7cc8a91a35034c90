"""Fisher memory and recall of linear delay lines, in closed form or nearly so.

The network is ``h_t = W h_{t-1} + v x_t + z_t`` with white Gaussian state noise z of unit variance
(of variance s, divide by s). ``J(k) = (W^k v)' C^-1 W^k v`` with ``C = sum_k W^k (W^k)'`` is the
Fisher information on ``x_{t-k}`` in ``h_t``; lag 0 is the newest input (Ganguli, Huh and
Sompolinsky 2008; Orhan and Pitkow 2020, equations 1 to 4).

All functions are of hyperparameters or plain matrices, in NumPy's double precision. The formulas
below were derived for this library from that definition, unless a reference says otherwise.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from echoic.core.checks import at_least


def delay_line_fisher_memory(weights: ArrayLike, max_lag: int | None = None) -> np.ndarray:
    """Fisher memory J(k) of a delay line with the given weights, fed at its first unit.

    **Definition.** ``h_1' = x``, ``h_{i+1}' = w_i h_i``. With ``a_m = prod_{i <= m} w_i^2``, the
    power gain after m steps, ``1 / J(k) = sum_{m <= k} 1 / a_m``, and 0 once the line has ended:
    noise that enters at unit m is measured in units of the signal's size there.

    **Arguments:** ``weights`` of shape (n - 1,); ``max_lag``, n - 1 by default.

    **Returns:** shape (max_lag + 1,). It meets [`dynamical_bound`][] at every lag below n.

    **Cost.** O(n).

    ```python
    >>> from echoic.theory import delay_line_fisher_memory
    >>> delay_line_fisher_memory([1.0, 1.0, 1.0]).round(3).tolist()
    [1.0, 0.5, 0.333, 0.25]

    ```
    """
    weights = np.asarray(weights, float)
    if weights.ndim != 1:
        raise ValueError(f"weights must have shape (n - 1,), got {weights.shape}.")
    max_lag = len(weights) if max_lag is None else at_least("max_lag", max_lag, 0)
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        inverse_power = np.exp(-2 * np.cumsum(np.log(np.abs(np.append(1.0, weights)))))
        memory = 1 / np.cumsum(inverse_power)
    return np.pad(memory, (0, max(0, max_lag + 1 - len(memory))))[: max_lag + 1]


def chain_fisher_memory(alpha: float, size: int, max_lag: int | None = None) -> np.ndarray:
    """Fisher memory J(k) of a chain of ``size`` units with weight ``alpha``, fed at its source.

    **Definition.** ``J(k) = alpha^2k (alpha^2 - 1) / (alpha^(2k + 2) - 1)`` for k < size, 0 from
    there on; ``1 / (k + 1)`` for alpha = 1. Above 1 it tends to ``1 - alpha^-2``.

    **Returns:** shape (max_lag + 1,), ``max_lag = size - 1`` by default.

    **Reference.** Orhan & Pitkow 2020 use this chain; the closed form is derived here.
    """
    size = at_least("size", size, 1)
    return delay_line_fisher_memory(np.full(size - 1, float(alpha)), max_lag)


def chain_total_fisher_memory(alpha: float, size: int) -> float:
    """Total Fisher memory ``J_tot = sum_k J(k)`` of a chain.

    The harmonic number of ``size`` for alpha = 1; about ``size (1 - alpha^-2)`` above, so that
    memory is extensive only if the signal grows; below ``size`` always.

    ```python
    >>> from echoic.theory import chain_total_fisher_memory
    >>> round(chain_total_fisher_memory(1.05, 100), 6)
    12.087272

    ```
    """
    return float(np.sum(chain_fisher_memory(alpha, size)))


def recall_bound(
    fisher_memory: ArrayLike, noise_variance: float, *, input_variance: float = 1.0
) -> np.ndarray:
    """The most of a white Gaussian input that a linear readout under state noise can recover.

    **Definition.** ``R^2(k) <= J(k) P / (J(k) P + s)``, P the input's variance, s that of the
    state noise, J(k) the Fisher memory at unit noise (of the same running time). To the right
    stands what a readout recovers that is told all the other inputs, which in truth are noise to
    it. Delay lines meet it, since each unit holds one input.

    **Arguments:** ``fisher_memory`` of shape (k,), one value a lag.

    **Returns:** the same shape. Without noise, 1 wherever J is positive.

    **Raises:** ValueError unless ``noise_variance >= 0`` and ``input_variance > 0``.

    **Reference.** Derived here.
    """
    if not (0 <= noise_variance < math.inf and 0 < input_variance < math.inf):
        raise ValueError(
            "noise_variance must be at least 0 and input_variance positive, both finite, got"
            f" {noise_variance} and {input_variance}."
        )
    signal = np.asarray(fisher_memory, float) * input_variance
    with np.errstate(invalid="ignore"):
        recall = signal / (signal + noise_variance)
    return np.where(signal == 0, 0.0, recall)


def chain_recall(
    alpha: float,
    size: int,
    noise_variance: float,
    max_lag: int | None = None,
    *,
    input_variance: float = 1.0,
) -> np.ndarray:
    """Linear recall of a white input from a noisy chain, fed at its source: exact.

    **Definition.** The best readout's R^2 of ``x_{t-k}`` from the state of all units,
    ``J(k) P / (J(k) P + s)`` with J from [`chain_fisher_memory`][]; ``1 / (1 + (k + 1) s / P)`` for
    alpha = 1. It equals [`recall_bound`][]. For lines of other weights apply that to
    [`delay_line_fisher_memory`][].

    **Arguments:** ``noise_variance`` s of the state noise, ``input_variance`` P.

    **Returns:** shape (max_lag + 1,), ``max_lag = size - 1`` by default.

    **Reference.** Derived here. Orhan & Pitkow 2020 decode in this setting.

    ```python
    >>> from echoic.theory import chain_recall
    >>> round(float(chain_recall(1.0, 100, 0.01)[99]), 12)
    0.5

    ```
    """
    memory = chain_fisher_memory(alpha, size, max_lag)
    return recall_bound(memory, noise_variance, input_variance=input_variance)


def chain_gradient_reach(alpha: float, size: int, max_lag: int) -> np.ndarray:
    """Gradient reach G(k) of a linear chain: ``|alpha|^k sqrt((size - k) / size)``, then 0.

    The root-mean-square singular value of ``W^k``: of n unit perturbations those near the end
    leave the chain, the others grow by alpha a step. All Lyapunov exponents are -inf meanwhile.
    """
    size, max_lag = at_least("size", size, 1), at_least("max_lag", max_lag, 0)
    lags = np.arange(max_lag + 1)
    with np.errstate(divide="ignore", over="ignore"):
        grown = np.exp(lags * np.log(abs(float(alpha)))) if alpha else (lags == 0).astype(float)
    return np.where(lags < size, grown * np.sqrt(np.maximum(size - lags, 0) / size), 0.0)


def feedback_chain_eigenvalues(forward: float, backward: float, size: int) -> np.ndarray:
    """Eigenvalues of the feedback chain, largest first: ``2 sqrt(ab) cos(j pi / (size + 1))``.

    ``W_{i+1,i} = a`` (forward) and ``W_{i,i+1} = b`` (backward). A diagonal scaling makes W
    symmetric. Numerical eigenvalues are wrong for long chains: at .99, .04 and 100 units a dense
    solver gives a spectral radius of .74, the truth is .398.

    **Raises:** ValueError if ``a b < 0`` (the eigenvalues are then imaginary).
    """
    size = at_least("size", size, 1)
    if forward * backward < 0:
        raise ValueError(f"forward and backward must have one sign, got {forward} and {backward}.")
    angles = np.arange(1, size + 1) * np.pi / (size + 1)
    return 2 * np.sqrt(forward * backward) * np.cos(angles)


def feedback_chain_fisher_memory(
    forward: float, backward: float, size: int, max_lag: int
) -> np.ndarray:
    """Fisher memory J(k) of a feedback chain that is fed at its source.

    **Definition.** As above, with ``W_{i+1,i} = forward``, ``W_{i,i+1} = backward``, v = e_1.

    **Arguments:** both weights at least 0.

    **Returns:** shape (max_lag + 1,). NaN where C is too ill-conditioned for double precision.

    **Raises:** ValueError when the chain is unstable, ``2 sqrt(ab) cos(pi / (size + 1)) >= 1``.

    **Method.** C is added up by doubling. Everything is non-negative, so nothing cancels and each
    entry is right to rounding; Cholesky's error then depends on the condition of C *scaled to
    unit diagonal*, which stays small where that of C itself grows like ``(a + b)^(2 size)``.

    **Cost.** O(size^3 log) once, O(size^2) a lag.

    **Reference.** Orhan & Pitkow 2020 use .99 forward and .01 to .07 backward.

    ```python
    >>> from echoic.theory import feedback_chain_fisher_memory
    >>> round(float(feedback_chain_fisher_memory(0.99, 0.04, 100, 1000).sum()), 3)
    5.346

    ```
    """
    max_lag = at_least("max_lag", max_lag, 0)
    recurrent, covariance = _feedback_chain(forward, backward, size)
    scale = 1 / np.sqrt(np.diagonal(covariance))
    correlation = covariance * scale[:, None] * scale
    if np.linalg.cond(correlation) > 1e10:
        return np.full(max_lag + 1, np.nan)
    root = np.linalg.cholesky(correlation)
    signals = np.zeros((size, max_lag + 1))
    signals[0, 0] = 1.0
    for lag in range(max_lag):
        signals[:, lag + 1] = recurrent @ signals[:, lag]
    return np.sum(np.linalg.solve(root, signals * scale[:, None]) ** 2, axis=0)


def _feedback_chain(forward: float, backward: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """W and C of the feedback chain."""
    if forward < 0 or backward < 0:
        raise ValueError(f"forward and backward must be at least 0, got {forward} and {backward}.")
    radius = feedback_chain_eigenvalues(forward, backward, size)[0]
    if radius >= 1:
        raise ValueError(
            f"the feedback chain {forward}/{backward} of {size} units is unstable: its spectral"
            f" radius is {radius:.4f}, it must lie below 1."
        )
    recurrent = np.diag(np.full(size - 1, float(forward)), -1)
    recurrent += np.diag(np.full(size - 1, float(backward)), 1)
    power, covariance = recurrent, np.eye(size)
    while True:
        added = power @ covariance @ power.T
        covariance = covariance + added
        if np.all(added <= np.finfo(float).eps * covariance / 8):
            return recurrent, covariance
        power = power @ power


def dynamical_bound(recurrent: ArrayLike, source: ArrayLike, max_lag: int) -> np.ndarray:
    """An upper bound on the Fisher memory of any linear network, met by delay lines.

    **Definition.** ``J(k) <= 1 / sum_{m <= k} 1 / |W^m v|^2``, by Cauchy's inequality for each
    step's noise: memory of k steps needs a signal that grows faster than the square root of time
    on the way. It holds for unstable W too.

    **Arguments:** ``recurrent`` (n, n), ``source`` v (n,).

    **Returns:** shape (max_lag + 1,).

    **Reference.** Derived here; a dynamical bound is also a subject of the supplement of Ganguli,
    Huh & Sompolinsky 2008.
    """
    recurrent, signal = np.asarray(recurrent, float), np.asarray(source, float)
    if recurrent.ndim != 2 or signal.shape != recurrent.shape[:1]:
        raise ValueError(
            f"recurrent must have shape (n, n) and source (n,), got {recurrent.shape} and"
            f" {signal.shape}."
        )
    inverse = np.empty(at_least("max_lag", max_lag, 0) + 1)
    with np.errstate(divide="ignore", over="ignore"):
        for lag in range(max_lag + 1):
            inverse[lag] = 1 / (signal @ signal)
            signal = recurrent @ signal
        return 1 / np.cumsum(inverse)


def fan_out_total(size: int) -> float:
    """Total Fisher memory of a feedforward network whose layers grow so that no unit does.

    **Definition.** Layers of 1, 2, 3, ... units, each carrying the signal at unit size, so that
    layer m + 1 has the power ``a_m = m + 1`` without any amplitude above 1:
    ``J_tot = sum_{l <= L} 1 / H_l`` with the harmonic numbers H and the L layers, about
    ``sqrt(2 size)``, that ``size`` units fill.

    It grows like sqrt(size) up to a logarithm, the most a saturating network can reach (Ganguli,
    Huh & Sompolinsky 2008); a chain of capped amplitude has the harmonic number of ``size`` only.
    The construction is our sketch, not theirs.
    """
    layers = (math.isqrt(8 * at_least("size", size, 1) + 1) - 1) // 2
    return float(np.sum(1 / np.cumsum(1 / np.arange(1, layers + 1))))
