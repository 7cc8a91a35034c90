"""Lag weights against the recursion, listed values, and networks drawn at random."""

import math

import numpy as np
import pytest

from echoic.theory import (
    depth_limit,
    impulse_response_variance,
    lag_weights,
    learning_speed,
    learning_time,
    peak_lag,
)

LAWS = [(0.3, 1.0, 1.0), (0.9, 1.0, 1.0), (1.0, 0.5, 2.0), (1.2, 1.5, 0.8), (0.0, 1.0, 1.0)]


def weights_of(transition, entrance, exit_, max_lag=40):
    return lag_weights(
        transition, max_lag, input_weight_variance=entrance, output_weight_variance=exit_
    )


@pytest.mark.parametrize("law", LAWS)
def test_closed_form_obeys_both_recursions(law):
    transition, entrance, exit_ = law
    rho = weights_of(*law)
    assert rho[0] == entrance + exit_
    powers = transition ** np.arange(40)
    np.testing.assert_allclose(rho[1:], transition * rho[:-1] + entrance * exit_ * powers, 1e-12)
    without_last_term = transition * rho[:-1]
    assert not np.allclose(rho[1:], without_last_term, rtol=1e-3, atol=0)
    second = 2 * transition * rho[1:-1] - transition**2 * rho[:-2]
    np.testing.assert_allclose(rho[2:], second, rtol=1e-12, atol=1e-12)


def test_listed_values():
    short = [2, 1.6, 0.78, 0.324, 0.1242, 0.04536, 0.01604, 0.00554, 0.00188, 0.00063]
    np.testing.assert_allclose(lag_weights(0.3, 9), short, atol=6e-6)
    long = [2, 2.8, 3.42, 3.888, 4.228, 4.461, 4.606, 4.677, 4.687, 4.649]
    np.testing.assert_allclose(lag_weights(0.9, 9), long, atol=6e-4)
    np.testing.assert_allclose(lag_weights(1.0, 9), 2 + np.arange(10), rtol=1e-14)
    geometric_only = 2 * 0.9 ** np.arange(10)  # forgets that W is trained too
    assert np.max(np.abs(lag_weights(0.9, 9) - geometric_only)) > 1
    off_by_one = 2 * 0.9 ** np.arange(10) + np.arange(10) * 0.9 ** np.arange(10)
    assert np.max(np.abs(lag_weights(0.9, 9) - off_by_one)) > 0.3


@pytest.mark.parametrize("law", [*LAWS[:2], (0.5, 1.0, 1.0), (0.97, 0.3, 4.0), (0.99, 2.0, 0.1)])
def test_peak(law):
    rho = weights_of(*law, max_lag=500)
    peak = peak_lag(law[0], input_weight_variance=law[1], output_weight_variance=law[2])
    assert peak == np.argmax(rho)


def test_weights_fall_from_the_first_lag_on_only_for_small_variances():
    """Iff nu_C nu_F <= (1 - nu_W)(nu_C + nu_F): "bias to small lags" is a matter of long lags."""
    rng = np.random.default_rng(0)
    monotone = 0
    for transition, entrance, exit_ in rng.uniform(0.1, [0.95, 3, 3], (200, 3)):
        falls = bool(np.all(np.diff(weights_of(transition, entrance, exit_)) <= 0))
        assert falls == (entrance * exit_ <= (1 - transition) * (entrance + exit_))
        monotone += falls
    assert 20 < monotone < 180
    assert np.all(np.diff(lag_weights(0.5, 40)) <= 0)
    assert lag_weights(0.51, 1)[1] > lag_weights(0.51, 1)[0]
    assert lag_weights(0.9, 40).argmax() == 8


def test_peak_of_a_network_that_does_not_forget():
    assert peak_lag(1.0) == math.inf


def test_weights_are_the_kernel_of_wide_networks():
    """One long pulse response: the squared gradient norm of L_j, averaged over draws."""
    size, draws, lags = 400, 40, 6
    transition, entrance, exit_ = 0.6, 1.5, 0.8
    rng = np.random.default_rng(0)
    kernel = np.zeros((draws, lags))
    response = np.zeros((draws, lags))
    for draw in range(draws):
        matrix = rng.normal(size=(size, size)) * np.sqrt(transition / size)
        forward = [rng.normal(size=size) * np.sqrt(entrance)]
        backward = [rng.normal(size=size) * np.sqrt(exit_)]
        for _ in range(lags - 1):
            forward.append(matrix @ forward[-1])
            backward.append(matrix.T @ backward[-1])
        q, p = (np.array(side) @ np.array(side).T / size for side in (forward, backward))
        for lag in range(lags):
            inner = sum(
                p[a, b] * q[lag - 1 - a, lag - 1 - b] for a in range(lag) for b in range(lag)
            )
            kernel[draw, lag] = q[lag, lag] + p[lag, lag] + inner
            response[draw, lag] = backward[0] @ forward[lag] / np.sqrt(size)
    error = kernel.std(axis=0, ddof=1) / np.sqrt(draws)
    rho = weights_of(transition, entrance, exit_, lags - 1)
    assert np.all(np.abs(kernel.mean(axis=0) - rho) < 4 * error + 6 * rho / size)
    variance = impulse_response_variance(
        transition, lags - 1, input_weight_variance=entrance, output_weight_variance=exit_
    )
    assert np.all(np.abs(np.mean(response**2, axis=0) / variance - 1) < 4 * np.sqrt(2 / draws))


def test_learning_times():
    np.testing.assert_allclose(
        learning_time(0.3, 4, learning_rate=0.01), [34.7, 43.3, 88.9, 213.9, 558], atol=0.1
    )
    long = learning_time(0.7, 5, learning_rate=0.02 / lag_weights(0.7, 5).max())
    np.testing.assert_allclose(long, [41.6, 34.7, 34.9, 38.6, 44.9, 54.1], atol=0.1)
    assert learning_time(0.0, 2, learning_rate=0.01)[2] == math.inf
    quarter = learning_time(0.3, 4, learning_rate=0.01, remaining=0.25)
    np.testing.assert_allclose(quarter, 2 * learning_time(0.3, 4, learning_rate=0.01))
    np.testing.assert_allclose(
        learning_time(0.3, 4, learning_rate=0.01, input_power=4.0),
        learning_time(0.3, 4, learning_rate=0.04),
    )


def test_learning_speed_is_an_amplitude():
    np.testing.assert_allclose(learning_speed(0.3, 3) ** 2, lag_weights(0.3, 3) / 2, rtol=1e-12)


def test_depth_limit():
    assert depth_limit(1024) == 16


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lag_weights(-0.1, 4), "transition_variance must be at least 0"),
        (lambda: lag_weights(0.5, -1), "max_lag must lie in 0"),
        (lambda: lag_weights(0.5, 4, input_weight_variance=0.0), "input_weight_variance"),
        (lambda: learning_time(0.5, 4, learning_rate=0.0), "learning_rate"),
        (lambda: learning_time(0.5, 4, learning_rate=0.1, remaining=1.0), "remaining"),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
