"""Recall of linear networks and banks of modes, against covariances written out and known cases."""

import math

import numpy as np
import pytest
from scipy.linalg import toeplitz

from echoic.theory import (
    chain_fisher_memory,
    chain_recall,
    delay_line_fisher_memory,
    dynamical_bound,
    linear_network_recall,
    mode_recall,
    power_spectrum,
    prediction_share,
    recall_bound,
)


def bank(moduli, angles, real=()):
    """Rotations and real modes as a matrix, and its eigenvalues."""
    size = 2 * len(angles) + len(real)
    matrix = np.zeros((size, size))
    for j, (modulus, angle) in enumerate(zip(moduli, angles, strict=True)):
        c, s = modulus * np.cos(angle), modulus * np.sin(angle)
        matrix[2 * j : 2 * j + 2, 2 * j : 2 * j + 2] = [[c, -s], [s, c]]
    matrix[range(2 * len(angles), size), range(2 * len(angles), size)] = real
    upper = np.asarray(moduli) * np.exp(1j * np.asarray(angles))
    return matrix, np.concatenate([upper, np.conj(upper), real])


def by_definition(matrix, drive, covariance, probe, max_lag, noise=0.0, steps=300, newest=1.0):
    """``p (A^k b)' C^-1 A^k b`` with C the sum of all products, in the time domain.

    ``covariance`` is r(0), r(1), ... of the input. ``newest=0`` wrongly leaves z_t out.
    """
    size = len(matrix)
    powers = [np.eye(size)]
    for _ in range(steps - 1):
        powers.append(matrix @ powers[-1])
    responses = np.array([power @ drive for power in powers]).T
    r = np.pad(covariance, (0, max(0, steps - len(covariance))))[:steps]
    total = responses @ (toeplitz(r) + probe * np.eye(steps)) @ responses.T
    total += noise * sum(power @ power.T for power in powers[1:]) + noise * newest * np.eye(size)
    solved = np.linalg.solve(total, responses[:, : max_lag + 1])
    return probe * np.sum(responses[:, : max_lag + 1] * solved, axis=0)


MATRIX, VALUES = bank([0.9, 0.8, 0.85], [0.4, 1.3, 2.6], [0.9, -0.5])
DRIVE = np.random.default_rng(0).normal(size=len(MATRIX))
COUPLED = MATRIX + 0.05 * np.random.default_rng(1).normal(size=MATRIX.shape)
AR = 0.8 ** np.arange(120) * np.cos(0.3 * np.arange(120))
BACKGROUND = power_spectrum(AR, 1024)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("coloured", [True, False])
def test_recall_by_definition(coloured, noise):
    power, r = (BACKGROUND, AR) if coloured else (0.0, np.zeros(1))
    found = linear_network_recall(
        COUPLED, DRIVE, max_lag=12, power=power, probe_power=0.05, state_noise=noise
    )
    right = by_definition(COUPLED, DRIVE, r, 0.05, 12, noise)
    np.testing.assert_allclose(found, right, atol=1e-9)
    wrong = {
        "lags from 1": np.append(right[1:], 0),
        "correlation, not its square": np.sqrt(right),
    }
    if coloured:
        wrong["background forgotten"] = by_definition(COUPLED, DRIVE, np.zeros(1), 0.05, 12, noise)
        wrong["background taken for white"] = by_definition(COUPLED, DRIVE, r[:1], 0.05, 12, noise)
    if noise:  # without, the recall from one input is a matter of eigenvalues alone
        wrong["transposed"] = by_definition(COUPLED.T, DRIVE, r, 0.05, 12, noise)
        wrong["newest noise left out"] = by_definition(COUPLED, DRIVE, r, 0.05, 12, noise, newest=0)
    for name, values in wrong.items():
        assert np.max(np.abs(found - values)) > 1e-3, name


@pytest.mark.parametrize("coloured", [True, False])
def test_modes_have_the_recall_of_their_network(coloured):
    """However the input drives them, and in whatever order and halves they are named."""
    power, r = (BACKGROUND, AR) if coloured else (0.3, np.array([0.3]))
    found = mode_recall(VALUES, max_lag=12, power=power, probe_power=0.05)
    for drive in (DRIVE, np.random.default_rng(1).uniform(0.1, 1, len(MATRIX))):
        right = by_definition(MATRIX, drive, r, 0.05, 12)
        np.testing.assert_allclose(found, right, atol=1e-9)
    upper = VALUES[VALUES.imag >= 0][::-1]
    again = mode_recall([*upper, *upper], max_lag=12, power=power, probe_power=0.05)
    np.testing.assert_allclose(again, found, atol=1e-10)
    as_if_real = mode_recall(np.abs(VALUES), max_lag=12, power=power, probe_power=0.05)
    assert np.max(np.abs(as_if_real - found)) > 0.02


def test_modes_in_closed_form():
    """One mode; a bank whose recall adds up to its size; many modes too close for any solver."""
    lags = np.arange(9)
    np.testing.assert_allclose(mode_recall([-0.8], max_lag=8), 0.36 * 0.64**lags, rtol=1e-12)
    np.testing.assert_allclose(mode_recall([0.8] * 50, max_lag=8), 0.36 * 0.64**lags, rtol=1e-12)
    assert mode_recall([0.0], max_lag=2).tolist() == pytest.approx([1, 0, 0])
    assert mode_recall(VALUES, max_lag=500).sum() == pytest.approx(8, abs=1e-9)
    crowd = 0.9 + 0.001 * np.arange(24)
    found = mode_recall(crowd, max_lag=4000)
    assert found.sum() == pytest.approx(24, abs=1e-8)
    # Known in closed form: what the newest input leaves of itself, 1 - prod lambda^2.
    assert found[0] == pytest.approx(1 - np.prod(crowd**2), abs=1e-12)
    with_differences_lost = linear_network_recall(np.diag(crowd), np.ones(24), max_lag=4000)
    assert with_differences_lost.sum() < 20


def test_noise_covers_faint_differences():
    moduli = np.linspace(0.5, 0.95, 16)
    exact = mode_recall(moduli, max_lag=300).sum()
    with_noise = [
        linear_network_recall(np.diag(moduli), np.ones(16), max_lag=300, state_noise=s).sum()
        for s in (1e-6, 1e-3, 1.0)
    ]
    assert np.all(np.diff([exact, *with_noise]) < -0.5)


def test_decoding_of_the_oldest_input_under_noise():
    """White unit input, 100 units, 100 steps: exact R^2 of the first input from the last state."""
    rng, lag = np.random.default_rng(0), 99
    first = np.eye(100)[0]

    def recall(matrix, source, sigma):
        found = linear_network_recall(
            matrix, source, max_lag=lag, state_noise=sigma**2, steps=lag + 1
        )
        return found[lag]

    def chain(alpha):
        return np.diag(np.full(99, alpha), -1)

    for alpha, listed in ((1.0, 0.5), (1.02, 0.798), (1.05, 0.903)):
        assert recall(chain(alpha), first, 0.1) == pytest.approx(listed, abs=5e-4)
        assert chain_recall(alpha, 100, 0.01)[lag] == pytest.approx(listed, abs=5e-4)
    orthogonal = np.linalg.qr(rng.normal(size=(100, 100)))[0]
    assert 0.33 < recall(orthogonal, first, 0.1) < 0.37
    assert recall(0.99 * np.eye(100), first, 0.1) == pytest.approx(0.003, abs=5e-4)
    for sigma in (0.03, 0.1):
        best, plain, mixing, fading = (
            recall(matrix, first, sigma)
            for matrix in (chain(1.02), chain(1.0), orthogonal, 0.99 * np.eye(100))
        )
        assert best > plain > mixing + 0.1 > fading + 0.1


def test_recall_of_delay_lines_meets_the_bound_and_that_of_others_does_not():
    rng = np.random.default_rng(3)
    weights = rng.uniform(0.6, 1.3, 11)
    line = linear_network_recall(
        np.diag(weights, -1), np.eye(12)[0], max_lag=14, state_noise=0.3, probe_power=2.0
    )
    memory = delay_line_fisher_memory(weights, 14)
    np.testing.assert_allclose(line, recall_bound(memory, 0.3, input_variance=2.0), atol=1e-12)
    for wrong in (
        recall_bound(memory, 0.3),  # not in units of the input's power
        recall_bound(memory, 0.3**2, input_variance=2.0),
        memory / (1 + memory),
        np.append(line[1:], 0),
    ):
        assert np.max(np.abs(wrong - line)) > 0.02
    for _ in range(20):
        matrix, source = rng.normal(size=(6, 6)), rng.normal(size=6)
        matrix *= 0.9 / np.max(np.abs(np.linalg.eigvals(matrix)))
        power = np.eye(6)
        covariance, signal, fisher = np.eye(6), source, []
        for _ in range(400):
            power = matrix @ power
            covariance = covariance + power @ power.T
        for _ in range(8):
            fisher.append(signal @ np.linalg.solve(covariance, signal))
            signal = matrix @ signal
        found = linear_network_recall(matrix, source, max_lag=7, state_noise=0.1)
        bound = recall_bound(fisher, 0.1)
        assert np.all(found <= bound + 1e-9)
        assert np.all(bound <= recall_bound(dynamical_bound(matrix, source, 7), 0.1) + 1e-9)
        assert found[2] < 0.99 * bound[2]


def test_chain_recall_without_noise_and_beyond_its_end():
    assert chain_recall(1.02, 4, 0.0, 6).tolist() == [1, 1, 1, 1, 0, 0, 0]
    lags = np.arange(8)
    np.testing.assert_allclose(chain_recall(1.0, 8, 0.2), 1 / (1 + (lags + 1) * 0.2), rtol=1e-12)
    with_all_noise = chain_fisher_memory(0.9, 8) / (chain_fisher_memory(0.9, 8) + 0.5)
    np.testing.assert_allclose(chain_recall(0.9, 8, 0.5), with_all_noise)
    assert math.isnan(recall_bound([math.nan], 0.1)[0])


def test_a_given_spectrum_is_refined_without_loss():
    """A short memory needs few frequencies; a long one makes the grid finer, not another input."""
    slow, _ = bank([0.995], [0.3])
    coarse = power_spectrum(AR, 256)
    for odd in (0, 1):
        power = power_spectrum(AR, 256 + odd)
        found = linear_network_recall(slow, [1.0, 0.0], max_lag=5, power=power, probe_power=0.1)
        fine = linear_network_recall(
            slow, [1.0, 0.0], max_lag=5, power=power_spectrum(AR, 2**14), probe_power=0.1
        )
        np.testing.assert_allclose(found, fine, rtol=1e-9)
    assert coarse.mean() == pytest.approx(1)


def moving_average(weight, size=512):
    delay = np.exp(-2j * np.pi * np.arange(size) / size)
    return np.abs(1 + weight * delay) ** 2


def test_share_of_what_can_be_foretold():
    """ARMA(1, 1): the best predictor is one mode, of eigenvalue minus the moving average's weight.

    x_t = a x_{t-1} + e_t + w e_{t-1}: ``E[x_{t+1} | past] = (a + w) sum_j (-w)^j x_{t-j}``.
    """
    delay = np.exp(-2j * np.pi * np.arange(512) / 512)
    arma = moving_average(0.6) / np.abs(1 - 0.8 * delay) ** 2
    assert prediction_share([-0.6], arma) == pytest.approx(1, abs=1e-9)
    assert prediction_share([-0.6, 0.3], arma) == pytest.approx(1, abs=1e-9)
    assert prediction_share([0.6], arma) < 0.9
    # Of AR(1) the present value tells all; it is what a mode of eigenvalue 0 holds.
    assert prediction_share([0.0], 1 / np.abs(1 - 0.8 * delay) ** 2) == pytest.approx(1, abs=1e-9)
    # MA(1) and one mode, by hand: R^2 = w^2 / (E h^2 (1 + w^2)).
    weight, value = 0.5, 0.3
    h_power = (1 + weight**2 + 2 * weight * value) / (1 - value**2)
    seen = weight**2 / h_power / (1 + weight**2)
    best = 1 - 1 / (1 + weight**2)
    found = prediction_share([value], moving_average(weight))
    assert found == pytest.approx(seen / best, abs=1e-9)
    assert abs(found - seen) > 0.1  # the share, not the R^2
    assert math.isnan(prediction_share([0.5], np.ones(64)))


def test_not_a_number_stays_one():
    assert np.isnan(mode_recall([math.nan, 0.5], max_lag=3)).all()
    assert np.isnan(mode_recall([0.5], max_lag=3, power=[1.0, math.nan])).all()
    assert np.isnan(linear_network_recall(np.full((2, 2), np.nan), np.ones(2), max_lag=3)).all()
    found = linear_network_recall(np.eye(2) / 2, np.ones(2), max_lag=3, power=[math.nan, 1.0])
    assert np.isnan(found).all()
    assert math.isnan(prediction_share([math.nan], moving_average(0.5)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mode_recall([1.0], max_lag=3), "inside the unit circle"),
        (lambda: mode_recall(np.eye(2), max_lag=3), "eigenvalues must have shape"),
        (lambda: mode_recall([0.5], max_lag=-1), "max_lag must lie in 0"),
        (lambda: mode_recall([0.5], max_lag=3, probe_power=0.0), "probe_power must be positive"),
        (lambda: mode_recall([0.5], max_lag=3, power=[-1.0, 1.0]), "power must be"),
        (lambda: mode_recall([1 - 1e-6], max_lag=3), "must fit into 65536 steps"),
        (lambda: linear_network_recall(np.eye(2), np.ones(2), max_lag=3), "Pass steps"),
        (lambda: linear_network_recall(np.eye(2), np.ones(3), max_lag=3), "recurrent must have"),
        (
            lambda: linear_network_recall(np.eye(2) / 2, np.ones(2), max_lag=3, state_noise=-1.0),
            "state_noise must be at least 0",
        ),
        (lambda: recall_bound([1.0], -0.1), "noise_variance must be at least 0"),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
