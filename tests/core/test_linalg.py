"""The shared linear algebra against closed forms and SciPy."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.linalg

from echoic.core.linalg import log_abs, random_frame, stein


def gaussian(key, n, gain):
    return gain * jr.normal(key, (n, n)) / np.sqrt(n)


def feedback_chain(n, forward, backward):
    return jnp.asarray(np.diag(np.full(n - 1, forward), -1) + np.diag(np.full(n - 1, backward), 1))


def test_stein_agrees_with_scipy(x64):
    w = gaussian(jr.key(0), 40, 0.9)
    q = jnp.eye(40) + 0.1 * jnp.ones((40, 40))
    found = stein(w, q)
    expected = scipy.linalg.solve_discrete_lyapunov(np.asarray(w), np.asarray(q))
    assert bool(found.stable)
    np.testing.assert_allclose(found.solution, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("alpha", [0.9, 1.0, 1.5])
def test_stein_of_a_chain_in_closed_form(alpha, x64):
    """A strong chain, on which the bilinear transform fails: C_ii = sum_{m <= i} alpha^(2m)."""
    n = 100
    found = stein(feedback_chain(n, alpha, 0.0), jnp.eye(n))
    expected = np.cumsum(alpha ** (2 * np.arange(n)))
    assert bool(found.stable)
    np.testing.assert_allclose(found.solution, np.diag(expected), rtol=1e-12)


def test_stein_survives_transient_amplification(x64):
    """C starts to grow only after some 100 steps; stopping at the first small change is wrong."""
    w = feedback_chain(100, 0.99, 0.04)
    v = jnp.zeros(100).at[0].set(1.0)
    c, s = stein(w, jnp.eye(100)).solution, stein(w, jnp.outer(v, v)).solution
    assert float(jnp.trace(jnp.linalg.solve(c, s))) == pytest.approx(5.346, abs=1e-3)


@pytest.mark.parametrize("radius", [1.0, 1.0001, 3.0, float("nan")])
def test_stein_of_an_unstable_matrix_is_nan(radius, x64):
    found = stein(radius * jnp.eye(4), jnp.eye(4))
    assert not bool(found.stable)
    assert bool(jnp.all(jnp.isnan(found.solution)))


def test_stein_near_the_edge_of_stability(x64):
    found = stein(jnp.array([[1 - 1e-9]]), jnp.eye(1))
    assert bool(found.stable)
    assert float(found.solution[0, 0]) == pytest.approx(1 / (1 - (1 - 1e-9) ** 2), rel=1e-6)


def test_stein_under_vmap(x64):
    w = jnp.stack([0.5 * jnp.eye(3), 2.0 * jnp.eye(3)])
    found = jax.jit(jax.vmap(lambda w: stein(w, jnp.eye(3))))(w)
    assert found.stable.tolist() == [True, False]
    np.testing.assert_allclose(found.solution[0], np.eye(3) * 4 / 3, rtol=1e-12)


def test_random_frames_are_uniform(x64):
    """Without the sign of R's diagonal, LAPACK's first column always starts with a minus."""
    frames = jax.vmap(lambda key: random_frame(key, 6, 2, jnp.float64))(jr.split(jr.key(1), 2000))
    gram = jnp.swapaxes(frames, 1, 2) @ frames
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(2), gram.shape), atol=1e-13)
    # An entry has mean 0 and variance 1/6: four standard errors of the mean of 2000.
    assert float(jnp.max(jnp.abs(jnp.mean(frames, axis=0)))) < 4 / np.sqrt(6 * 2000)

    unsigned = jax.vmap(lambda key: jnp.linalg.qr(jr.normal(key, (6, 2)))[0])
    biased = unsigned(jr.split(jr.key(1), 2000))
    assert float(jnp.max(jnp.abs(jnp.mean(biased, axis=0)))) > 4 / np.sqrt(6 * 2000)


def test_log_abs_of_zero(x64):
    np.testing.assert_array_equal(log_abs(jnp.array([0.0, -1.0, jnp.nan])), [-np.inf, 0.0, np.nan])
    assert float(jax.grad(log_abs)(0.0)) == 0.0
