"""The convolution that a wide linear recurrent network trains like, as a model of its own.

See `linear_kernel` for the network and the weights rho_j (Emami et al. 2021).
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from echoic.theory.linear_kernel import lag_weights


class ScaledConvolution(eqx.Module):
    """``y_t = sum_{j <= t} sqrt(rho_j) theta_j x_{t-j}``, with theta free to be trained.

    **Definition.** Its impulse response is ``L_j = sqrt(rho_j) theta_j``. Gradient descent on theta
    at rate lr moves it as ``L_j <- L_j - lr rho_j dLoss/dL_j``. With ``rho`` from
    [`lag_weights`][] and started at the impulse response of a linear network, it follows that
    network's training, for many units and at the same rate. With ``rho = 1`` it is the plain
    convolution, the usual baseline.

    **Arguments**

    - ``weights``: rho_j of shape (lags,), or a number for all lags; at least 0.
    - ``response``: the impulse response L_j(0) to start from, (lags,) or (lags, p, m).
    - ``dtype``: that of theta; by default that of ``response``, if it is floating.

    The scale is not trained: [`trainable_filter`][echoic.trainable_filter] leaves it out.

    **Raises:** ValueError for a start that lags of weight 0 cannot hold.

    **Misleads.** Adam, or one rate per layer on the network's side, ends the equivalence: see
    [`parametrisation_warnings`][].

    **Cost.** O((t + lags) log(t + lags)) a channel: by fast Fourier transform, to rounding *of the
    largest output*.

    **Example**
    >>> import jax.numpy as jnp
    >>> from echoic.theory import ScaledConvolution, lag_weights
    >>> model = ScaledConvolution(lag_weights(0.5, 2), jnp.array([1.0, 0.5, 0.25]))
    >>> pulse = jnp.zeros((5, 1)).at[1].set(1.0)
    >>> bool(jnp.allclose(model(pulse)[:, 0], jnp.array([0, 1, 0.5, 0.25, 0]), atol=1e-6))
    True
    """

    theta: Float[Array, "lags p m"]
    scale: Float[Array, "lags"]

    fixed: ClassVar[tuple[str, ...]] = ("scale",)

    def __init__(self, weights: ArrayLike | float, response: ArrayLike, dtype: Any = None):
        start = np.asarray(response)
        start = start[:, None, None] if start.ndim == 1 else start
        if start.ndim != 3 or start.shape[0] == 0:
            raise ValueError(
                f"response must have shape (lags,) or (lags, p, m), got {start.shape}."
            )
        if dtype is None:
            dtype = start.dtype if np.issubdtype(start.dtype, np.floating) else np.float32
        scale = np.sqrt(_weights(weights, len(start)))
        stuck = np.any(start[scale == 0] != 0, axis=(1, 2))
        if np.any(stuck):
            lag = np.flatnonzero(scale == 0)[np.argmax(stuck)]
            raise ValueError(
                f"weights must be positive where response is not 0, got weight 0 at lag {lag}."
            )
        safe = np.where(scale == 0, 1.0, scale)
        self.theta = jnp.asarray((start / safe[:, None, None]).astype(dtype))
        self.scale = jnp.asarray(scale.astype(dtype))

    @property
    def impulse_response(self) -> Float[Array, "lags p m"]:
        """``L_j``, the output at lag j after a unit pulse."""
        return jax.lax.stop_gradient(self.scale)[:, None, None] * self.theta

    def __call__(self, xs: Float[Array, "*batch t m"]) -> Float[Array, "*batch t p"]:
        """The outputs, from inputs before which there was silence."""
        steps = xs.shape[-2]
        length = steps + self.theta.shape[0] - 1  # room enough that nothing wraps around
        response = jnp.fft.rfft(self.impulse_response, length, axis=0)
        products = jnp.einsum("fpm,...fm->...fp", response, jnp.fft.rfft(xs, length, axis=-2))
        return jnp.fft.irfft(products, length, axis=-2)[..., :steps, :].astype(self.theta.dtype)


def wide_kernel(
    inputs: ArrayLike,
    others: ArrayLike,
    transition_variance: float,
    *,
    input_weight_variance: float = 1.0,
    output_weight_variance: float = 1.0,
) -> np.ndarray:
    """The tangent kernel of an infinitely wide linear network between two input sequences.

    **Definition.** ``K_ts = sum_{j <= min(t, s)} rho_j <x_{t-j}, x'_{s-j}>``, times the identity
    over output channels: the inner product of the gradients of y_t(x) and y_s(x') by all weights.

    **Arguments:** ``inputs`` (t, m) or (t,) and ``others`` (s, m) or (s,); the variances as in
    [`lag_weights`][].

    **Returns:** shape (t, s). At n units it is off by some multiple of n^-1/2.

    **Cost.** O(t s min(t, s)).

    **Reference.** Emami et al. 2021 for the limit; the formula is derived here.

    ```python
    >>> from echoic.theory import wide_kernel
    >>> wide_kernel([1.0, 0.0, 0.0], [1.0, 0.0, 0.0], 0.3).round(2).diagonal().tolist()
    [2.0, 1.6, 0.78]

    ```
    """
    first, second = _sequence("inputs", inputs), _sequence("others", others)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"inputs and others must have equally many channels, got {first.shape[1]} and"
            f" {second.shape[1]}."
        )
    gram = first @ second.T
    deepest = min(gram.shape)
    weights = lag_weights(
        transition_variance,
        deepest - 1,
        input_weight_variance=input_weight_variance,
        output_weight_variance=output_weight_variance,
    )
    kernel = np.zeros_like(gram)
    for lag, weight in enumerate(weights):
        kernel[lag:, lag:] += weight * gram[: len(gram) - lag, : gram.shape[1] - lag]
    return kernel


def _weights(weights: ArrayLike | float, lags: int) -> np.ndarray:
    """One weight a lag, checked."""
    array = np.asarray(weights, float)
    if array.shape not in ((), (lags,)):
        raise ValueError(f"weights must have shape () or ({lags},), got {array.shape}.")
    if np.any(array < 0):
        raise ValueError(f"weights must be at least 0, got {array.min()}.")
    return np.broadcast_to(array, (lags,))


def _sequence(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, float)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must have shape (t,) or (t, m), got {array.shape}.")
    return array
