"""Which lags a wide linear recurrent network learns, and how fast.

The network is ``h_t = n^-1/2 W h_{t-1} + F x_t``, ``y_t = n^-1/2 C h_t`` with independent Gaussian
entries of variance nu_W (W), nu_F (F) and nu_C (C), all trained by gradient descent at one rate in
this parametrisation. As n grows it learns like the convolution ``y_t = sum_j sqrt(rho_j) theta_j
x_{t-j}`` with free theta: lag j is learnt at a rate proportional to rho_j.

Emami, Sahraee-Ardakan, Pandit, Rangan and Fletcher 2021 (arXiv:2101.07833) prove this equivalence
and the bias to short memory; the formulas were derived for this library from the network above
and checked against finite networks. Lags start at 0, the newest input.
"""

import math

import numpy as np

from echoic.core.checks import at_least


def lag_weights(
    transition_variance: float,
    max_lag: int,
    *,
    input_weight_variance: float = 1.0,
    output_weight_variance: float = 1.0,
) -> np.ndarray:
    """The tangent kernel's weight of each lag, rho_j.

    **Definition.** ``rho_j = (nu_F + nu_C) nu_W^j + j nu_C nu_F nu_W^(j-1)``; the terms come from
    training C and F, and from training W. Equivalently ``rho_0 = nu_F + nu_C``,
    ``rho_{j+1} = nu_W rho_j + nu_C nu_F nu_W^j``. The kernel between outputs at times t and s is
    ``sum_j rho_j <x_{t-j}, x'_{s-j}>``.

    **Arguments:** the variances nu_W >= 0, nu_F, nu_C > 0; ``max_lag``.

    **Returns:** shape (max_lag + 1,).

    **When it misleads.** It rises before it falls unless nu_W is small: see [`peak_lag`][]. At
    finite width it holds for lags well below sqrt(n): see [`depth_limit`][].

    **Reference.** Emami et al. 2021 for the equivalence; the formula is derived here.

    ```python
    >>> from echoic.theory import lag_weights
    >>> lag_weights(0.3, 4).round(4).tolist()
    [2.0, 1.6, 0.78, 0.324, 0.1242]

    ```
    """
    check_variances(transition_variance, input_weight_variance, output_weight_variance)
    lags = np.arange(at_least("max_lag", max_lag, 0) + 1)
    powers = float(transition_variance) ** lags
    earlier = np.append(0.0, powers[:-1])
    ends = input_weight_variance + output_weight_variance
    return ends * powers + lags * input_weight_variance * output_weight_variance * earlier


def learning_speed(
    transition_variance: float,
    max_lag: int,
    *,
    input_weight_variance: float = 1.0,
    output_weight_variance: float = 1.0,
) -> np.ndarray:
    """``sqrt(rho_j / rho_0)``: the speed at which lag j is learnt, as an amplitude, 1 at lag 0."""
    weights = lag_weights(
        transition_variance,
        max_lag,
        input_weight_variance=input_weight_variance,
        output_weight_variance=output_weight_variance,
    )
    return np.sqrt(weights / weights[0])


def peak_lag(
    transition_variance: float,
    *,
    input_weight_variance: float = 1.0,
    output_weight_variance: float = 1.0,
) -> float:
    """The lag of the largest weight: the first at which rho stops rising; inf for nu_W >= 1.

    **Definition.** The smallest integer ``j >= nu_W / (1 - nu_W) - nu_W (1 / nu_C + 1 / nu_F)``,
    and at least 0: from the recursion, ``rho_{j+1} <= rho_j`` from there on.

    ```python
    >>> from echoic.theory import peak_lag
    >>> peak_lag(0.9), peak_lag(0.3)
    (8.0, 0.0)

    ```
    """
    check_variances(transition_variance, input_weight_variance, output_weight_variance)
    if transition_variance >= 1:
        return math.inf
    ends = 1 / input_weight_variance + 1 / output_weight_variance
    turn = transition_variance / (1 - transition_variance) - transition_variance * ends
    return float(max(0, math.ceil(turn - 1e-12)))  # exact ties must not be rounded up


def learning_time(
    transition_variance: float,
    max_lag: int,
    *,
    learning_rate: float,
    input_power: float = 1.0,
    remaining: float = 0.5,
    input_weight_variance: float = 1.0,
    output_weight_variance: float = 1.0,
) -> np.ndarray:
    """Gradient steps until the error in lag j has fallen to the share ``remaining``.

    **Definition.** ``-ln(remaining) / (lr rho_j h)``, for white input of power h, a squared loss
    ``1/2 E|y - y*|^2`` and a small rate: the error in lag j falls like ``exp(-lr rho_j h step)``.

    **Arguments:** ``learning_rate`` in the parametrisation above (in the usual one, where the
    factors n^-1/2 belong to the weights, W and C take ``learning_rate / n``); ``input_power`` h.

    **Returns:** shape (max_lag + 1,).

    **When it misleads.** Adam and per-layer rates break it; so does a long training at finite
    width, which leaves the regime of a constant kernel.

    **Reference.** Emami et al. 2021 for the kernel; the time is derived here.

    ```python
    >>> from echoic.theory import learning_time
    >>> learning_time(0.3, 2, learning_rate=0.01).round(1).tolist()
    [34.7, 43.3, 88.9]

    ```
    """
    if not 0 < remaining < 1:
        raise ValueError(f"remaining must lie between 0 and 1, got {remaining}.")
    if not (learning_rate > 0 and input_power > 0):
        raise ValueError(
            f"learning_rate and input_power must be positive, got {learning_rate}, {input_power}."
        )
    weights = lag_weights(
        transition_variance,
        max_lag,
        input_weight_variance=input_weight_variance,
        output_weight_variance=output_weight_variance,
    )
    with np.errstate(divide="ignore"):
        return -math.log(remaining) / (learning_rate * input_power * weights)


def impulse_response_variance(
    transition_variance: float,
    max_lag: int,
    *,
    input_weight_variance: float = 1.0,
    output_weight_variance: float = 1.0,
) -> np.ndarray:
    """Variance ``nu_C nu_F nu_W^j`` of the untrained impulse response at lag j.

    Gradient descent moves lag j by about rho_j ~ nu_W^j, less than this spread's nu_W^(j/2): at
    long lags a trained filter keeps its random start, which is to be subtracted in comparisons.
    """
    check_variances(transition_variance, input_weight_variance, output_weight_variance)
    lags = np.arange(at_least("max_lag", max_lag, 0) + 1)
    return input_weight_variance * output_weight_variance * float(transition_variance) ** lags


def depth_limit(size: int) -> float:
    """The lag up to which the limit of infinite width may be used at width n: ``sqrt(n) / 2``.

    Beyond sqrt(n) the mean of ``|A^j f|^2`` leaves ``n nu_W^j`` by orders of magnitude: at n = 64
    it is 1.09 times that at j = 8, 3.1 times at 16, a thousand times at 32 (sampled networks).
    """
    return math.sqrt(at_least("size", size, 1)) / 2


def check_variances(transition: float, entrance: float, exit_: float) -> None:
    """Refuse variances that no law can have."""
    if not 0 <= transition < math.inf:
        raise ValueError(f"transition_variance must be at least 0 and finite, got {transition}.")
    for name, value in (
        ("input_weight_variance", entrance),
        ("output_weight_variance", exit_),
    ):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}.")
