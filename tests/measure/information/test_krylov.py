"""What is accepted without eigenvalues is right, and what cannot be promised is refused."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg

from echoic.measure.information import krylov
from echoic.measure.information.allpass import FEW_UNITS, white_recall
from echoic.measure.information.krylov import certified_recall


def source(size):
    return np.eye(size, 1)


def ring(size, gain):
    return np.roll(np.eye(size), 1, axis=0) * gain


def leaky_chain(size, weight, leak):
    """Its recall depends on the leak alone, which is the one eigenvalue."""
    return np.diag(np.full(size - 1, weight), -1) + leak * np.eye(size)


def by_eigenvalues(recurrent, drive, max_lag):
    assert len(recurrent) <= FEW_UNITS
    value, stable = white_recall(recurrent, drive, max_lag)
    assert stable
    return value[:, 0]


def networks(seed, count):
    """Sparse networks of all kinds, stable or not, reached or not."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        size = int(rng.integers(2, 40))
        signs, small = rng.uniform(-1.2, 1.2, size), 10.0 ** rng.uniform(-9, -1)
        recurrent = [
            rng.normal(size=(size, size)) * (rng.random((size, size)) < rng.uniform(0.3, 3) / size),
            np.diag(signs[1:], -1) + small * np.diag(rng.normal(size=size - 1), 1),
            ring(size, 1.0) * signs + small * np.diag(rng.normal(size=size)),
            np.eye(size)[rng.permutation(size)] * 10.0 ** rng.uniform(-3, 0.5, size),
        ][index % 4]
        drive = source(size) if rng.random() < 0.7 else rng.normal(size=(size, 1))
        yield recurrent, drive, int(rng.integers(0, 4 * size))


def test_what_is_accepted_agrees_with_the_eigenvalues():
    accepted = 0
    for recurrent, drive, max_lag in networks(0, 300):
        found = certified_recall(recurrent, drive, max_lag)
        if found is not None:
            accepted += 1
            expected = by_eigenvalues(recurrent, drive, max_lag)
            np.testing.assert_allclose(found, expected, atol=krylov.MOST_ERROR)
    assert accepted > 60


def test_feedback_chain_with_signs_is_accepted():
    chain = np.diag(np.full(39, 0.9), -1) - np.diag(np.full(39, 0.01), 1)
    found = certified_recall(chain, source(40), 80)
    np.testing.assert_allclose(found, by_eigenvalues(chain, source(40), 80), atol=1e-13)


@pytest.mark.parametrize(
    ("recurrent", "drive"),
    [
        (ring(30, 1.0), source(30)),
        (ring(30, 1.1), source(30)),
        (ring(300, 100.0), source(300)),  # leaves the range of doubles
        (np.diag(np.ones(29), -1), np.eye(30)[:, 3:4]),  # three units are not reached
        (np.diag(np.ones(29), -1), np.zeros((30, 1))),
        (ring(30, 0.5), np.eye(30, 2)),
        (0.1 * np.random.default_rng(0).normal(size=(30, 30)), source(30)),
    ],
)
def test_what_is_refused_at_once(recurrent, drive):
    assert certified_recall(recurrent, drive, 60) is None


def test_without_the_test_of_conditioning_the_answer_is_wrong(monkeypatch):
    chain, drive = leaky_chain(40, 0.5, 0.2), source(40)
    assert certified_recall(chain, drive, 120) is None
    monkeypatch.setattr(krylov, "_well_conditioned", lambda _: True)
    monkeypatch.setattr(krylov, "_rounding", lambda *_: 0.0)
    wrong = certified_recall(chain, drive, 120)
    assert np.max(np.abs(wrong - by_eigenvalues(chain, drive, 120))) > 1e-9


def test_without_the_test_of_the_columns_left_out_the_answer_is_wrong(monkeypatch):
    cycle, drive = ring(20, 0.99), source(20)
    assert certified_recall(cycle, drive, 40) is None
    monkeypatch.setattr(krylov, "_left_out", lambda _: 0.0)
    wrong = certified_recall(cycle, drive, 40)
    assert np.max(np.abs(wrong - by_eigenvalues(cycle, drive, 40))) > 0.1


def test_without_the_test_of_underflow_the_answer_is_wrong(monkeypatch):
    """The state of the last unit is 1e-320, which has three digits."""
    chain, drive = leaky_chain(41, 1e-8, 0.01), source(41)
    assert certified_recall(chain, drive, 80) is None
    monkeypatch.setattr(krylov, "UNDERFLOW", 0.0)
    wrong = certified_recall(chain, drive, 80)
    expected = by_eigenvalues(leaky_chain(41, 0.9, 0.01), drive, 80)
    assert np.max(np.abs(wrong - expected)) > 1e-9


def columns_in_fractions(recurrent, drive, count):
    recurrent = [[(j, Fraction(w)) for j, w in enumerate(row) if w] for row in recurrent.tolist()]
    vectors = [[Fraction(x) for x in drive[:, 0].tolist()]]
    for _ in range(1, count):
        vectors.append([sum((w * vectors[-1][j] for j, w in row), Fraction()) for row in recurrent])
    return vectors


@pytest.mark.parametrize("weight", [1.0, 1e-12])
def test_bound_of_the_columns_against_exact_arithmetic(weight):
    rng = np.random.default_rng(0)
    recurrent = weight * rng.normal(size=(6, 6)) * (rng.random((6, 6)) < 0.5)
    drive = rng.normal(size=(6, 1))
    exact = columns_in_fractions(recurrent, drive, 30)
    start = np.concatenate([drive[:, 0], np.abs(drive[:, 0]) + krylov.UNDERFLOW])[None]
    both = krylov._extended(recurrent, start, 30)
    terms = np.count_nonzero(recurrent, axis=1).max()

    def holds(largest):
        return all(
            abs(Fraction(both[k, i]) - exact[k][i])
            <= Fraction(1.1 * (k * terms + 1)) * Fraction(2) ** -53 * Fraction(largest[k, i])
            for k in range(30)
            for i in range(6)
        )

    assert holds(both[:, 6:])
    # Neither one roundoff whatever the lag, nor one that forgets what underflow takes, would hold.
    assert not holds(both[:, 6:] / 1e4 if weight == 1 else np.abs(both[:, :6]))


def test_bound_of_what_is_left_out():
    """A cycle's columns beyond the first two rounds have r^4n of the energy of all."""
    size, gain = 20, 0.9
    columns = krylov._extended(ring(size, gain), np.eye(1, 2 * size), 2 * size)[:, :size]
    later = columns[size:] / krylov._norms(columns[:size])
    beyond = gain ** (4 * size) / (1 - gain ** (2 * size))
    assert krylov._left_out(later) >= beyond
    assert krylov._left_out(later) < 40 * beyond
    assert krylov._left_out(np.eye(size)) == np.inf


def test_bound_of_the_norm():
    matrix = np.random.default_rng(0).normal(size=(30, 20))
    assert krylov._squared_norm(matrix) >= scipy.linalg.norm(matrix, 2) ** 2
    assert krylov._squared_norm(0.5 * np.eye(7)) == 0.25
