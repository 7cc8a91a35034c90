"""Weights made to contract: projections onto sets whose contraction is certified.

The ``clip`` functions are differentiable, run under ``jit`` after each update of training, and only
ever scale down.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from echoic.theory.certificates import Certificate


def clip_rows(matrix: Float[Array, "r n"], limit: float) -> Float[Array, "r n"]:
    """Scale down the rows whose sum of sizes exceeds ``limit``: ``|W|_inf <= limit`` afterwards.

    ```python
    >>> import jax.numpy as jnp
    >>> from echoic.theory import clip_rows
    >>> clipped = clip_rows(jnp.array([[1.0, -3.0], [0.25, 0.5]]), 2.0)
    >>> bool(jnp.allclose(clipped, jnp.array([[0.5, -1.5], [0.25, 0.5]])))
    True

    ```
    """
    sums = jnp.sum(jnp.abs(matrix), axis=1, keepdims=True)
    return matrix * jnp.minimum(1.0, limit / jnp.maximum(sums, jnp.finfo(matrix.dtype).tiny))


def clip_spectral(matrix: Float[Array, "n n"], limit: float) -> Float[Array, "n n"]:
    """The nearest matrix with ``|W|_2 <= limit``: larger singular values are cut to it."""
    left, values, right = jnp.linalg.svd(matrix, full_matrices=False)
    return (left * jnp.minimum(values, limit)[None, :]) @ right


def clip_stable_lstm(
    recurrent: Float[Array, "r n"],
    input: Float[Array, "r m"],
    bias: Float[Array, "r"],
    *,
    forget: float = 0.6,
    input_max: float = 1.0,
) -> tuple[Float[Array, "r n"], Float[Array, "r m"], Float[Array, "r"]]:
    """Weights of an LSTM that contracts for every input with ``|x_j| <= input_max``.

    **Definition.** With f the largest value that the forget gate may take, rows are scaled down
    until the sums of their sizes are at most ``1 - f`` (i and o), ``(1 - f)^2`` (f) and
    ``(1 - f) / 4`` (g), and ``|V_f| input_max + |b_f| <= logit(f) - (1 - f)^2`` in each row.

    Then f_max <= f, c_max <= 1 / (1 - f) and the four blocks of
    [`lstm_certificate`][] have norms at most ``[[1 - f, f], [3 (1 - f) / 4, f]]``: it contracts at
    [`stable_lstm_rate`][] for any f.

    **Arguments:** blocks i, f, g, o of n rows; ``forget`` in 0.56..1.

    **When it misleads.** Without the bound on forget input and bias nothing is guaranteed: training
    drives the bias up, and what looks like an attractor is slow forgetting. The larger f, the
    closer the guaranteed rate comes to 1.

    **Reference.** In the spirit of Miller & Hardt 2019 (stable recurrent models); the limits are
    quoted from memory, the proof above is ours.
    """
    _check_forget(forget)
    w_i, w_f, w_g, w_o = jnp.split(recurrent, 4)
    rest = 1 - forget
    limits = ((w_i, rest), (w_f, rest**2), (w_g, rest / 4), (w_o, rest))
    clipped = jnp.concatenate([clip_rows(block, limit) for block, limit in limits])
    n = recurrent.shape[1]
    room = math.log(forget / rest) - rest**2
    drive = jnp.sum(jnp.abs(input[n : 2 * n]), axis=1) * input_max + jnp.abs(bias[n : 2 * n])
    scale = jnp.minimum(1.0, room / jnp.maximum(drive, jnp.finfo(bias.dtype).tiny))
    return (
        clipped,
        input.at[n : 2 * n].multiply(scale[:, None]),
        bias.at[n : 2 * n].multiply(scale),
    )


def stable_lstm_rate(forget: float) -> float:
    """The rate that [`clip_stable_lstm`][] guarantees: ``(1 + sqrt(1 - f (1 - f))) / 2``.

    ```python
    >>> from echoic.theory import stable_lstm_rate
    >>> round(stable_lstm_rate(0.6), 3)
    0.936

    ```
    """
    _check_forget(forget)
    return (1 + math.sqrt(1 - forget * (1 - forget))) / 2


def contracting_scale(certify: Callable[[float], Certificate], rate: float) -> float:
    """The largest factor for the weights, at most 1, at which contraction at ``rate`` is proved.

    **Arguments:** ``certify``: the certificate of the weights times a factor, such as
    ``lambda s: elman_certificate(s * W)``; ``rate`` above 0.

    **Returns:** a factor in [0, 1], found by bisection to 1e-3 and checked.

    **Raises:** ValueError if not even weights of zero have that rate.

    ```python
    >>> import numpy as np
    >>> from echoic.theory import contracting_scale, elman_certificate
    >>> W = np.array([[0.0, 2.0], [2.0, 0.0]])
    >>> round(contracting_scale(lambda s: elman_certificate(s * W), 0.9), 2)
    0.45

    ```
    """
    if certify(1.0).rate <= rate:
        return 1.0
    floor = certify(0.0).rate
    if not floor <= rate:
        raise ValueError(
            f"rate must be at least {floor:.4g}, the rate without recurrent weights, got {rate}."
        )
    low, high = 0.0, 1.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if certify(middle).rate <= rate else (low, middle)
    return low


def _check_forget(forget: float) -> None:
    if not (0.56 <= forget < 1):
        raise ValueError(f"forget must lie in 0.56..1 (1 excluded), got {forget}.")
