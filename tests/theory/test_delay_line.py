"""Fisher memory of delay lines against the definition in multiple precision, and known values."""

import math
import warnings

import mpmath
import numpy as np
import pytest
import scipy.linalg

from echoic.theory import (
    chain_fisher_memory,
    chain_gradient_reach,
    chain_total_fisher_memory,
    delay_line_fisher_memory,
    dynamical_bound,
    fan_out_total,
    feedback_chain_eigenvalues,
    feedback_chain_fisher_memory,
)


def feedback_chain(forward, backward, size):
    return np.diag(np.full(size - 1, forward), -1) + np.diag(np.full(size - 1, backward), 1)


def by_definition(matrix, source, max_lag):
    """(W^k v)' C^-1 W^k v, the covariance from SciPy's direct solver (small, mild W only)."""
    covariance = scipy.linalg.solve_discrete_lyapunov(matrix, np.eye(len(matrix)), method="direct")
    memory, signal = [], np.asarray(source, float)
    for _ in range(max_lag + 1):
        memory.append(signal @ np.linalg.solve(covariance, signal))
        signal = matrix @ signal
    return np.array(memory)


def precisely(matrix, max_lag, digits=60):
    """The same for v = e_1 in 60 digits, the covariance added up term by term."""
    with mpmath.workdps(digits):
        step, power = mpmath.matrix(matrix.tolist()), mpmath.matrix(matrix.tolist())
        covariance = mpmath.eye(len(matrix))
        for _ in range(10):
            covariance, power = covariance + power * covariance * power.T, power * power
        signal, memory = mpmath.eye(len(matrix))[:, 0], []
        for _ in range(max_lag + 1):
            memory.append(float((signal.T * mpmath.lu_solve(covariance, signal))[0]))
            signal = step * signal
    return np.array(memory)


@pytest.mark.parametrize(
    ("alpha", "total"),
    [
        (0.95, 3.0327),
        (0.99, 4.3909),
        (1.0, 5.1874),
        (1.01, 6.2811),
        (1.02, 7.6060),
        (1.03, 9.0589),
        (1.04, 10.5661),
        (1.05, 12.0873),
        (1.10, 19.4331),
        (1.25, 37.2053),
        (1.5, 56.2303),
    ],
)
def test_total_of_a_chain_of_a_hundred(alpha, total):
    assert chain_total_fisher_memory(alpha, 100) == pytest.approx(total, abs=6e-5)


@pytest.mark.parametrize(
    ("alpha", "totals"),
    [(1.0, [3.816, 4.499, 5.187, 5.878, 6.570]), (1.05, [5.032, 7.432, 12.087, 21.384, 39.978])],
)
def test_total_by_size(alpha, totals):
    found = [chain_total_fisher_memory(alpha, size) for size in (25, 50, 100, 200, 400)]
    np.testing.assert_allclose(found, totals, atol=6e-4)


def test_totals_to_six_digits():
    assert chain_total_fisher_memory(1.0, 100) == pytest.approx(5.187378, abs=1e-6)
    assert chain_total_fisher_memory(1.05, 100) == pytest.approx(12.087272, abs=1e-6)


def test_memory_is_extensive_above_one_only():
    slope = (chain_total_fisher_memory(1.05, 400) - chain_total_fisher_memory(1.05, 200)) / 200
    assert slope == pytest.approx(1 - 1.05**-2, abs=1e-4)
    gained = chain_total_fisher_memory(1.0, 400) - chain_total_fisher_memory(1.0, 200)
    assert gained == pytest.approx(math.log(2), abs=0.005)


@pytest.mark.parametrize("alpha", [0.5, 0.95, 1.05, 1.5, -1.2])
def test_chain_closed_form(alpha):
    lags, square = np.arange(30), alpha**2
    expected = square**lags * (square - 1) / (square ** (lags + 1) - 1)
    memory = chain_fisher_memory(alpha, 30, max_lag=34)
    np.testing.assert_allclose(memory[:30], expected, rtol=1e-12)
    assert np.all(memory[30:] == 0)
    off_by_one = square ** (lags + 1) * (square - 1) / (square ** (lags + 2) - 1)
    assert np.max(np.abs(memory[:30] - off_by_one)) > 0.05
    amplitude_for_power = np.abs(alpha) ** lags * (abs(alpha) - 1) / (abs(alpha) ** (lags + 1) - 1)
    assert np.max(np.abs(memory[:30] - amplitude_for_power)) > 0.015


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.1])
def test_chain_by_definition(alpha):
    matrix = feedback_chain(alpha, 0.0, 12)
    np.testing.assert_allclose(
        chain_fisher_memory(alpha, 12, 15), by_definition(matrix, np.eye(12)[0], 15), atol=1e-9
    )


def test_extreme_chains_stay_finite():
    grown = chain_fisher_memory(1e3, 400)
    np.testing.assert_allclose(grown[1:], 1 - 1e-6, rtol=1e-9)
    assert np.all(np.isfinite(chain_fisher_memory(1e-3, 400)))
    assert chain_total_fisher_memory(0.0, 5) == 1.0
    assert chain_fisher_memory(1.0, 3, max_lag=0).tolist() == [1.0]


def test_delay_line_of_any_weights_meets_the_bound():
    weights = np.random.default_rng(0).uniform(0.3, 1.6, 19)
    matrix, source = np.diag(weights, -1), np.eye(20)[0]
    memory = delay_line_fisher_memory(weights)
    np.testing.assert_allclose(memory, by_definition(matrix, source, 19), rtol=1e-8)
    np.testing.assert_allclose(memory, dynamical_bound(matrix, source, 19), rtol=1e-12)


def test_no_network_beats_the_bound():
    rng = np.random.default_rng(0)
    tightest, broken = 0.0, np.zeros(2)
    for _ in range(300):
        size = int(rng.integers(2, 9))
        matrix, source = rng.normal(size=(size, size)), rng.normal(size=size)
        matrix *= rng.uniform(0.3, 0.97) / np.max(np.abs(np.linalg.eigvals(matrix)))
        memory, bound = by_definition(matrix, source, 8), dynamical_bound(matrix, source, 8)
        ratio = memory / bound
        assert np.max(ratio) <= 1 + 1e-9
        assert memory.sum() <= size * (source @ source) * (1 + 1e-9)
        tightest = max(tightest, ratio[1:].max())
        # Wrong: a lag too late; amplitudes in place of powers.
        lengths = np.sqrt(1 / np.diff(1 / bound, prepend=0))
        broken[0] += np.any(memory[:-1] > bound[1:] * (1 + 1e-9))
        broken[1] += np.any(memory > (1 + 1e-9) / np.cumsum(1 / lengths))
    assert tightest > 0.8  # a bound that is never approached would prove nothing
    assert np.all(broken > 100)


def test_no_network_of_equal_norm_beats_the_chain():
    """At no lag below n, whether drawn at random or improved step by step."""
    rng = np.random.default_rng(1)
    size, gain = 6, 1.2
    chain = chain_fisher_memory(gain, size)

    def memory_of(parameters):
        matrix, source = parameters[:-1], parameters[-1]
        matrix = gain * matrix / np.linalg.norm(matrix, 2)
        if np.max(np.abs(np.linalg.eigvals(matrix))) > 0.98:
            return np.zeros(size)
        return by_definition(matrix, source / np.linalg.norm(source), size - 1)

    best, last = rng.normal(size=(size + 1, size)), 0.0
    climbed = []
    for _ in range(800):
        trial = best + rng.normal(size=best.shape) * 10.0 ** rng.uniform(-3, 0)
        memory = memory_of(trial)
        assert np.all(memory <= chain + 1e-9)
        if memory[3] > last:
            best, last = trial, memory[3]
        climbed.append(last)
    assert climbed[-1] > 0.8 * chain[3] > 1.2 * climbed[50]


def test_common_solver_of_the_stein_equation_fails_for_strong_chains():
    """Why the closed form is needed: 100 units, alpha = 1.5, in double precision."""
    matrix = feedback_chain(1.5, 0.0, 100)
    signal, total = np.eye(100)[0], 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it does warn, and returns a covariance all the same
        covariance = scipy.linalg.solve_discrete_lyapunov(matrix, np.eye(100), method="bilinear")
        for _ in range(100):
            total += signal @ scipy.linalg.solve(covariance, signal)
            signal = matrix @ signal
    assert abs(total - 56.2303) > 1
    assert chain_total_fisher_memory(1.5, 100) == pytest.approx(56.2303, abs=6e-5)


@pytest.mark.parametrize("alpha", [0.95, 1.0, 1.05, 1.1])
def test_three_routes_to_the_total_of_a_chain(alpha):
    """The formula; trace(C^-1 S) with S = W S W' + v v'; and the truncated sum by definition."""
    size = 100
    powers = alpha ** (2.0 * np.arange(size))
    covariance = np.diag(np.cumsum(powers))
    recurrent, source = feedback_chain(alpha, 0.0, size), np.eye(size)[0]
    np.testing.assert_allclose(recurrent @ covariance @ recurrent.T + np.eye(size), covariance)
    signal = np.diag(powers)
    driven = recurrent @ signal @ recurrent.T + np.outer(source, source)
    np.testing.assert_allclose(driven, signal, rtol=1e-12)
    by_trace = np.trace(np.linalg.solve(covariance, signal))
    truncated = 0.0
    for _ in range(size):
        truncated += source @ np.linalg.solve(covariance, source)
        source = recurrent @ source
    assert by_trace == pytest.approx(chain_total_fisher_memory(alpha, size), abs=1e-8)
    assert truncated == pytest.approx(chain_total_fisher_memory(alpha, size), abs=1e-8)


@pytest.mark.parametrize(
    ("backward", "total"),
    [
        (0.01, 4.458),
        (0.02, 4.653),
        (0.03, 4.958),
        (0.04, 5.346),
        (0.05, 5.793),
        (0.06, 6.283),
        (0.07, 6.807),
    ],
)
def test_total_of_a_feedback_chain(backward, total):
    memory = feedback_chain_fisher_memory(0.99, backward, 100, 600)
    assert memory.sum() == pytest.approx(total, abs=6e-4)


@pytest.mark.parametrize("backward", [0.0, 0.04, 0.15, 0.22])
def test_feedback_chain_in_multiple_precision(backward):
    """.15 and more: the covariance's own condition number is beyond double precision."""
    memory = feedback_chain_fisher_memory(0.99, backward, 22, 40)
    np.testing.assert_allclose(memory, precisely(feedback_chain(0.99, backward, 22), 40), atol=1e-9)


def test_feedback_chain_without_feedback_is_a_chain():
    np.testing.assert_allclose(
        feedback_chain_fisher_memory(1.3, 0.0, 60, 70), chain_fisher_memory(1.3, 60, 70), rtol=1e-10
    )


def test_feedback_chain_eigenvalues():
    found = feedback_chain_eigenvalues(0.99, 0.04, 100)
    assert found[0] == pytest.approx(0.398, abs=5e-4)
    small = np.sort(np.linalg.eigvals(feedback_chain(0.9, 0.3, 6)).real)[::-1]
    np.testing.assert_allclose(feedback_chain_eigenvalues(0.9, 0.3, 6), small, atol=1e-12)
    dense = np.max(np.abs(np.linalg.eigvals(feedback_chain(0.99, 0.04, 100))))
    assert dense > 0.6  # why the closed form is needed


@pytest.mark.parametrize(
    ("backward", "largest", "when"),
    [(0.02, 1.21, 99), (0.03, 2.93, 101), (0.04, 7.55, 103), (0.05, 20.4, 105), (0.07, 174, 111)],
)
def test_feedback_chain_amplifies_before_it_forgets(backward, largest, when):
    matrix, signal, sizes = feedback_chain(0.99, backward, 100), np.eye(100)[0], []
    for _ in range(300):
        sizes.append(np.linalg.norm(signal))
        signal = matrix @ signal
    assert np.argmax(sizes) == when
    assert max(sizes) == pytest.approx(largest, rel=5e-3)
    orthogonal = np.linalg.qr(np.random.default_rng(0).normal(size=(100, 100)))[0]
    for normal in (0.99 * np.eye(100), 0.99 * orthogonal):
        assert np.linalg.norm(normal @ np.eye(100)[0]) <= 1  # and so at every later step


def test_fan_out():
    found = [fan_out_total(size) for size in (100, 400, 1600, 6400)]
    np.testing.assert_allclose(found, [5.96, 9.85, 16.6, 27.8], rtol=3e-3)
    for size, total in zip((100, 400, 1600, 6400), found, strict=True):
        assert total > chain_total_fisher_memory(1.0, size)
    shares = np.array(found) / np.sqrt([100, 400, 1600, 6400])
    np.testing.assert_allclose(shares, [0.60, 0.49, 0.42, 0.35], atol=6e-3)
    assert np.all(np.diff(shares) < 0)
    harmonic = [chain_total_fisher_memory(1.0, size) for size in (100, 400, 1600, 6400)]
    np.testing.assert_allclose(harmonic, [5.19, 6.57, 7.96, 9.34], atol=6e-3)


def test_gradient_reach_of_a_chain():
    matrix = feedback_chain(1.02, 0.0, 10)
    for lag, reach in enumerate(chain_gradient_reach(1.02, 10, 12)):
        power = np.linalg.matrix_power(matrix, lag)
        assert reach == pytest.approx(np.linalg.norm(power) / np.sqrt(10), abs=1e-12)
    assert chain_gradient_reach(1.02, 128, 127)[127] == pytest.approx(1.02**127 / math.sqrt(128))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: feedback_chain_fisher_memory(0.99, 0.3, 100, 5), "unstable"),
        (lambda: feedback_chain_fisher_memory(-0.9, 0.1, 10, 5), "at least 0"),
        (lambda: feedback_chain_eigenvalues(-0.9, 0.1, 10), "one sign"),
        (lambda: chain_fisher_memory(1.0, 0), "size must lie in 1"),
        (lambda: delay_line_fisher_memory(np.ones((2, 2))), "shape"),
        (lambda: dynamical_bound(np.eye(3), np.ones(2), 4), "shape"),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
