"""Patterns, spreads and closed forms of the matrix initialisers, and wrong versions of them."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from echoic import init

KEY = jr.key(0)


def assert_spread(draw, shape, std):
    """Standard deviation within 4 standard errors of a normal sample of that size."""
    entries = np.asarray(draw(KEY, shape)).ravel()
    assert abs(entries.std() / std - 1) < 4 / math.sqrt(2 * entries.size)
    assert abs(entries.mean()) < 4 * std / math.sqrt(entries.size)


def test_gaussian_divides_by_the_number_of_columns():
    assert_spread(init.gaussian(2.0), (100, 400), 2.0 / 20)
    with pytest.raises(AssertionError):  # mutant: fan-out in place of fan-in
        assert_spread(
            lambda key, shape: init.gaussian(2.0)(key, shape[::-1]).T, (100, 400), 2.0 / 20
        )
    with pytest.raises(AssertionError):  # mutant: no scaling
        assert_spread(init.normal(2.0), (100, 400), 2.0 / 20)


def test_normal_is_entrywise():
    assert_spread(init.normal(0.3), (100, 400), 0.3)


@pytest.mark.parametrize("terms", [1, 2])
def test_uniform_takes_its_bound_from_the_number_of_units(terms):
    entries = np.asarray(init.uniform(terms=terms)(KEY, (400, 25)))
    assert 0.99 * terms / 20 < np.abs(entries).max() <= terms / 20 or terms == 2
    assert np.abs(entries).max() <= terms / 20
    assert entries.std() == pytest.approx(math.sqrt(terms / 3) / 20, rel=0.02)
    assert np.abs(np.asarray(init.uniform(0.5)(KEY, (400, 25)))).max() <= 0.5


@pytest.mark.parametrize(
    ("law", "shape"),
    [
        (init.gaussian(1.5), (200, 300)),
        (init.normal(0.3), (200, 300)),
        (init.uniform(), (200, 300)),
        (init.uniform(0.4, terms=2), (200, 300)),
        (init.orthogonal(1.2), (200, 300)),
        (init.orthogonal(1.2), (300, 200)),
        (init.constant(3.0), (5,)),
        (init.zeros(), (5,)),
        (init.forget(2.0), (5,)),
        (init.chrono(50.0), (60000,)),
        (init.opposite(init.chrono(50.0)), (60000,)),
        (init.chrono(2.0), (5,)),
    ],
    ids=repr,
)
def test_entry_moments_are_those_of_the_draws(law, shape):
    entries = np.asarray(law(KEY, shape), np.float64)
    mean, std = law.entry_moments(shape)
    assert entries.mean() == pytest.approx(mean, abs=4 * std / math.sqrt(entries.size) + 1e-12)
    assert entries.std() == pytest.approx(std, rel=0.02, abs=1e-12)


@pytest.mark.parametrize("shape", [(6, 6), (8, 3), (3, 8)])
def test_orthogonal_has_equal_singular_values(x64, shape):
    W = init.orthogonal(1.3)(KEY, shape, jnp.float64)
    values = np.linalg.svd(np.asarray(W), compute_uv=False)
    np.testing.assert_allclose(values, 1.3, atol=1e-12)


def is_haar(draw):
    """Two moments of Haar measure on O(3): E[Q_00] = 0 and E[(trace Q)^2] = 1."""
    draws = np.asarray(jax.vmap(draw)(jr.split(KEY, 2000)))
    traces = np.trace(draws, axis1=1, axis2=2)
    assert abs(draws[:, 0, 0].mean()) < 4 / math.sqrt(3 * 2000)
    assert abs((traces**2).mean() - 1) < 4 * (traces**2).std() / math.sqrt(2000)


def test_orthogonal_is_uniform_over_the_group():
    is_haar(lambda key: init.orthogonal()(key, (3, 3)))
    with pytest.raises(AssertionError):  # mutant: QR without the signs
        is_haar(lambda key: jnp.linalg.qr(jr.normal(key, (3, 3)))[0])


def carries_an_impulse(W, alpha):
    """An input at unit 0 is at unit k, and nowhere else, after k steps."""
    state = np.eye(len(W))[0]
    for k in range(len(W)):
        np.testing.assert_allclose(state, alpha**k * np.eye(len(W))[k], rtol=1e-5)
        state = np.asarray(W) @ state
    np.testing.assert_array_equal(state, 0)


def test_chain_carries_an_impulse_forward():
    W = init.chain(1.02)(KEY, (6, 6))
    carries_an_impulse(W, 1.02)
    with pytest.raises(AssertionError):  # mutant: row form, the chain runs backwards
        carries_an_impulse(W.T, 1.02)
    with pytest.raises(AssertionError):  # mutant: closed to a ring
        carries_an_impulse(init.cycle(1.02)(KEY, (6, 6)), 1.02)


def test_zero_patterns():
    feedback = np.asarray(init.feedback_chain(0.99, 0.04)(KEY, (5, 5)))
    expected = np.zeros((5, 5), np.float32)
    for i in range(4):
        expected[i + 1, i], expected[i, i + 1] = 0.99, 0.04
    np.testing.assert_array_equal(feedback, expected)
    np.testing.assert_array_equal(init.source(0.9)(KEY, (4, 2)), 0.9 * np.eye(4, 2, dtype="f"))
    np.testing.assert_array_equal(init.identity(0.7)(KEY, (3, 3)), 0.7 * np.eye(3, dtype="f"))
    ring = np.asarray(init.cycle(2.0)(KEY, (4, 4)))
    np.testing.assert_array_equal(np.linalg.matrix_power(ring, 4), 16 * np.eye(4))


def henrici(W, moduli):
    """Departure from normality sqrt(||W||_F^2 - sum |lambda|^2), eigenvalues given exactly."""
    return math.sqrt(np.sum(np.asarray(W, np.float64) ** 2) - np.sum(np.square(moduli)))


def test_departure_from_normality_has_its_closed_forms():
    n, (a, b) = 100, (0.99, 0.04)
    exact = 2 * math.sqrt(a * b) * np.cos(np.arange(1, n + 1) * math.pi / (n + 1))
    W = init.feedback_chain(a, b)(KEY, (n, n))
    assert henrici(W, exact) == pytest.approx((a - b) * math.sqrt(n - 1), rel=1e-6)
    W = init.chain(1.02)(KEY, (n, n))
    assert henrici(W, np.zeros(n)) == pytest.approx(1.02 * math.sqrt(n - 1), rel=1e-6)


def test_feedback_chain_has_the_stated_eigenvalues():
    a, b, n = 0.99, 0.4, 8
    exact = 2 * math.sqrt(a * b) * np.cos(np.arange(1, n + 1) * math.pi / (n + 1))
    computed = np.linalg.eigvals(np.asarray(init.feedback_chain(a, b)(KEY, (n, n)), np.float64))
    np.testing.assert_allclose(np.sort(computed.real), np.sort(exact), atol=1e-6)


MATRICES = [
    init.gaussian(),
    init.normal(),
    init.uniform(),
    init.orthogonal(),
    init.identity(),
    init.chain(),
    init.feedback_chain(),
    init.cycle(),
    init.source(),
    init.rotation(period=8),
    init.heterogeneous_decay(),
    init.uniform_decay(),
    init.heterogeneous_rotation(),
    init.heterogeneous(),
    init.weakly_coupled(),
    init.zeros(),
    init.constant(1.0),
]


@pytest.mark.parametrize("law", MATRICES, ids=repr)
def test_every_matrix_is_a_hashable_record_that_honours_shape_and_dtype(law, x64):
    assert hash(law) == hash(type(law)(**vars(law)))
    assert eval(repr(law), vars(init)) == law
    first = law(KEY, (4, 4), jnp.float64)
    assert first.shape == (4, 4)
    assert first.dtype == jnp.float64
    np.testing.assert_array_equal(first, law(KEY, (4, 4), jnp.float64))
    assert law(KEY, (4, 4)).dtype == jnp.float32


def test_the_records_tested_are_all_there_are():
    others = {
        *(init.chrono, init.forget, init.opposite),
        *(init.EntryMoments, init.ResidualSpectrum),
    }
    assert {type(law) for law in MATRICES} | others == {getattr(init, n) for n in init.__all__}


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: init.gaussian(-1.0), r"sigma of gaussian must lie in \[0, inf\), got -1"),
        (lambda: init.normal(math.nan), "std of normal must lie in"),
        (lambda: init.chain(math.inf), "alpha of chain must lie in"),
        (lambda: init.chain(True), "alpha of chain must be a real number, got True"),
        (lambda: init.uniform(terms=0), "terms must lie in 1"),
        (lambda: init.uniform(-0.1), "bound of uniform"),
        (lambda: init.rotation(1.0), "either period"),
        (lambda: init.rotation(1.0, period=3, angle=1), "either period"),
        (lambda: init.rotation(1.0, period=0), r"period of rotation must lie in \(0, inf\), got 0"),
        (lambda: init.heterogeneous_decay(0.5), r"tau_max of .* must lie in \[1, inf\)"),
        (lambda: init.uniform_decay(0.9, 0.5), "high of uniform_decay"),
        (lambda: init.weakly_coupled(coupling=-1), "coupling of weakly_coupled"),
        (lambda: init.chrono(1.5), r"horizon of chrono must lie in \[2, inf\), got 1.5"),
        (lambda: init.gaussian()(KEY, (3,)), r"a matrix \(rows, columns\), got shape \(3,\)"),
        (lambda: init.chain()(KEY, (3, 4)), r"a square matrix \(n, n\), got shape \(3, 4\)"),
        (lambda: init.source()(KEY, (2, 3)), r"as many units as channels, got shape \(2, 3\)"),
        (lambda: init.rotation(period=4)(KEY, (3, 3)), "n must be even, got 3"),
    ],
)
def test_wrong_calls_say_what_is_allowed(build, says):
    with pytest.raises(ValueError, match=says):
        build()
