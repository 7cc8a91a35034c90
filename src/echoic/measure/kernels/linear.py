"""The tangent kernel of linear recurrent networks of finite width, without gradients.

For ``h' = A h + F x``, ``y = C h`` the impulse response is ``L_j = C A^j F``. Inner products of its
derivatives are made of those of ``f_j = A^j F`` and ``c_j = A'^j C'`` alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from echoic.core.checks import at_least, is_traced, refuse_if_larger


def lag_kernel(
    transition: Any,
    drive: Any,
    readout: Any,
    max_lag: int,
    *,
    rates: Sequence[float | int] | None = None,
) -> np.ndarray:
    """How a gradient step on one coefficient of the impulse response moves another.

    **Definition.** ``G[j, p, x, k, q, y] = sum_theta rate_theta dL_j,px/dtheta dL_k,qy/dtheta``
    over the entries of A, F and C. With ``Q_ab = f_a' f_b`` and ``P_ab = c_a' c_b`` it is
    ``rate_C delta_pq Q_jk + rate_F delta_xy P_jk + rate_A sum_{a<j, b<k} P_ab Q_{j-1-a, k-1-b}``.

    **Arguments**
    - `transition`, `drive`, `readout`: the matrices that act, A (n, n), F (n, m), C (p, n).
    - `rates`: of A, F and C; by default (1/n, 1, 1/n), which is one rate for all weights of
      ``h' = n^-1/2 W h + F x``, ``y = n^-1/2 C h``. One rate for the standard form: (1, 1, 1).

    **Returns** shape (lags, p, m, lags, p, m) with lags = max_lag + 1.

    **Raises** ValueError where shapes do not fit, and under tracing; MemoryError above 8 GB.

    **Cost** O(lags n^2 (m + p)) for the vectors, and lags^4 (p m)^2 products of numbers.

    **Reference** the network is that of Emami et al. (2021); the formula was derived for this
    library.

    **Example** One unit, C = 1: L_1 = A F moves with both.
    >>> lag_kernel([[0.5]], [[2.0]], [[1.0]], 1)[1, 0, 0, 1, 0, 0].item()
    5.25
    """
    if is_traced(transition, drive, readout):
        raise ValueError("the kernel of the lags is summed on the host and cannot be traced.")
    a, f, c = (np.asarray(matrix, dtype=float) for matrix in (transition, drive, readout))
    n = len(a)
    if a.shape != (n, n) or f.ndim != 2 or c.ndim != 2 or len(f) != n or c.shape[1] != n:
        raise ValueError(
            "transition, drive and readout must have shapes (n, n), (n, m) and (p, n), got"
            f" {a.shape}, {f.shape} and {c.shape}."
        )
    lags = at_least("max_lag", max_lag, 0) + 1
    m, p = f.shape[1], len(c)
    refuse_if_larger("The kernel of the lags", 8.0 * (lags * p * m) ** 2)
    rate_a, rate_f, rate_c = (1 / n, 1.0, 1 / n) if rates is None else rates
    forward, backward = [f], [c.T]
    for _ in range(lags - 1):
        forward.append(a @ forward[-1])
        backward.append(a.T @ backward[-1])
    q = np.einsum("jnx,kny->jxky", np.array(forward), np.array(forward))
    own = np.einsum("jnp,knq->jpkq", np.array(backward), np.array(backward))
    found = rate_c * np.einsum("pq,jxky->jpxkqy", np.eye(p), q)
    found += rate_f * np.einsum("xy,jpkq->jpxkqy", np.eye(m), own)
    for i in range(lags - 1):
        for j in range(lags - 1):
            inner = q[: lags - 1 - i, :, : lags - 1 - j]
            share = np.einsum("pq,jxky->jpxkqy", own[i, :, j], inner)
            found[i + 1 :, :, :, j + 1 :] += rate_a * share
    return found


def linear_tangent_kernel(
    transition: Any,
    drive: Any,
    readout: Any,
    inputs: Any,
    others: Any = None,
    *,
    rates: Sequence[float | int] | None = None,
) -> np.ndarray:
    """The tangent kernel between all outputs of two sequences of a linear network, from rest.

    **Definition.** ``K[t, p, s, q] = sum_jk x_{t-j}' G_jk x'_{s-k}`` with the [`lag_kernel`][] G.

    **Arguments:** ``inputs``, ``others``: shape (t,) or (t, m); the rest as for `lag_kernel`.

    **Returns** shape (t, p, s, p). NaN in a sequence stays where it acts.

    **Raises** ValueError where shapes do not fit, and under tracing; MemoryError above 8 GB.

    **Example**
    >>> linear_tangent_kernel([[0.5]], [[2.0]], [[1.0]], [3.0]).item()
    45.0
    """
    if is_traced(inputs, others):
        raise ValueError("the kernel of two sequences is summed on the host and cannot be traced.")
    first = np.asarray(inputs, dtype=float)
    second = first if others is None else np.asarray(others, dtype=float)
    first, second = (x[:, None] if x.ndim == 1 else x for x in (first, second))
    m = np.shape(drive)[-1]
    for name, x in (("inputs", first), ("others", second)):
        if x.ndim != 2 or x.shape[1] != m or len(x) == 0:
            raise ValueError(f"{name} must have shape (t, {m}), got {x.shape}.")
    lags = max(len(first), len(second))
    kernel = lag_kernel(transition, drive, readout, lags - 1, rates=rates)
    size = (len(first), np.shape(readout)[0], len(second), np.shape(readout)[0])
    result = np.empty(size)
    for t in range(len(first)):
        half = np.einsum("jx,jpxkqy->pkqy", first[t::-1], kernel[: t + 1])
        for s in range(len(second)):
            result[t, :, s] = np.einsum("pkqy,ky->pq", half[:, : s + 1], second[s::-1])
    return result
