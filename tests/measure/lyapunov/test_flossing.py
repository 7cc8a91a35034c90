"""Flossing: the penalty is made of exponents, its gradient is that of finite differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest

import echoic
from echoic.cells import GRU, LSTM, Elman
from echoic.measure.lyapunov import flossing

KEY = jr.key(7)


def linear(matrix):
    return lambda h, _: matrix @ h


@pytest.mark.slow
def test_gradient_of_an_eigenvalue(x64):
    """The exponent of a matrix is log|eigenvalue|, whose derivative its eigenvectors give."""
    matrix = jnp.array([[0.9, 0.4], [0.0, 0.3]])

    def penalty(matrix):
        return echoic.flossing_penalty(
            linear(matrix), state=jnp.ones(2), steps=10, burn_in=40, target=-0.5, key=KEY
        )

    value, gradient = jax.value_and_grad(penalty)(matrix)
    exponent = np.log(0.9)
    assert float(value) == pytest.approx((exponent + 0.5) ** 2, abs=1e-12)
    # d lambda = u' dW v / (lambda u'v), left and right eigenvectors u = (1, 2/3), v = (1, 0).
    right = 2 * (exponent + 0.5) * np.array([[1.0, 0.0], [2 / 3, 0.0]]) / 0.9
    np.testing.assert_allclose(gradient, right, atol=1e-9)
    assert not np.allclose(gradient, right.T, atol=1e-3)  # mutant: left for right
    assert not np.allclose(gradient, right / 2, atol=1e-3)  # mutant: half of it


@pytest.mark.slow
@pytest.mark.parametrize("family", [Elman, GRU, LSTM])
def test_gradient_is_that_of_finite_differences(family, x64):
    cell = family(1, 4, key=jr.key(1), dtype=jnp.float64)
    inputs = jr.normal(jr.key(2), (2, 12, 1))

    def penalty(weight):
        changed = eqx.tree_at(lambda c: c.recurrent, cell, weight)
        return echoic.flossing_penalty(
            changed, inputs, num_exponents=3, burn_in=2, orthogonalise_every=2, key=KEY
        )

    weight = cell.recurrent
    gradient = jax.grad(penalty)(weight)
    for seed in (3, 4):
        direction = jr.normal(jr.key(seed), weight.shape)
        ahead, back = penalty(weight + 1e-6 * direction), penalty(weight - 1e-6 * direction)
        slope = float(ahead - back) / 2e-6
        assert float(jnp.sum(gradient * direction)) == pytest.approx(slope, rel=1e-6)
    # The exponents are those of the measurement, direction by direction of the frame.
    spectrum = echoic.lyapunov_spectrum(
        cell, inputs, num_exponents=3, burn_in=2, orthogonalise_every=1, key=KEY
    )
    exponents = jnp.mean(spectrum.details["growth"], axis=(0, 1))
    assert float(penalty(weight)) == pytest.approx(float(jnp.mean(exponents**2)), rel=1e-6)


@pytest.mark.slow
def test_flossing_reaches_its_target(x64):
    """From a contracting network to exponents of zero; what is not trainable stays."""
    cell = Elman(1, 8, key=jr.key(1), dtype=jnp.float64)
    cell = eqx.tree_at(lambda c: c.recurrent, cell, 0.5 * cell.recurrent)
    inputs = 0.3 * jr.normal(jr.key(2), (3, 60, 1))
    only = jax.tree_util.tree_map(lambda _: False, cell)
    only = eqx.tree_at(lambda c: c.recurrent, only, True)
    settings = {"num_exponents": 2, "burn_in": 20, "key": KEY}
    flossed, penalty = echoic.floss(cell, inputs, iterations=150, trainable=only, **settings)
    assert penalty[-1] < 1e-3 * penalty[0]
    found = echoic.lyapunov_spectrum(flossed, inputs, **settings)
    np.testing.assert_allclose(found.value, 0, atol=0.03)
    np.testing.assert_array_equal(flossed.input, cell.input)
    with pytest.raises(FloatingPointError, match="iteration 0"):
        echoic.floss(cell, inputs.at[0, 3].set(jnp.nan), iterations=3, **settings)


@pytest.mark.slow
def test_precision_batches_and_not_a_number(x64):
    cell = Elman(1, 4, key=jr.key(1), dtype=jnp.float32)
    inputs = jr.normal(jr.key(2), (30, 1), jnp.float32)

    def penalty(xs):
        return echoic.flossing_penalty(cell, xs, num_exponents=2, burn_in=10, key=KEY)

    single = penalty(inputs)
    assert single.dtype == jnp.float32
    together = jax.jit(jax.vmap(penalty))(jnp.stack([inputs, inputs]))
    np.testing.assert_allclose(together, single, rtol=1e-4)
    assert np.isnan(float(penalty(inputs.at[3].set(jnp.nan))))
    dead = echoic.flossing_penalty(
        linear(jnp.zeros((2, 2))), state=jnp.ones(2), steps=4, num_exponents=2, key=KEY
    )
    assert float(dead) == np.inf


def test_refusals():
    step, state = (lambda h, _: h), jnp.ones(2)
    settings = {"state": state, "key": KEY}
    with pytest.raises(ValueError, match="steps"):
        echoic.flossing_penalty(step, **settings)
    with pytest.raises(ValueError, match="num_exponents"):
        echoic.flossing_penalty(step, steps=4, num_exponents=3, **settings)
    with pytest.raises(ValueError, match="target"):
        echoic.flossing_penalty(step, steps=4, target=np.zeros(2), **settings)
    with pytest.raises(ValueError, match="divide"):
        echoic.flossing_penalty(step, steps=4, orthogonalise_every=3, **settings)
    with pytest.raises(ValueError, match="burn_in"):
        echoic.flossing_penalty(step, np.ones(4), burn_in=4, **settings)


@pytest.mark.slow
def test_long_runs_in_blocks_are_one_run(x64, monkeypatch):
    """Value and gradient do not depend on how the way back is kept; 101 segments leave a rest."""
    cell = Elman(2, 5, key=jr.key(0), dtype=jnp.float64)
    xs = jr.normal(jr.key(1), (2, 107, 2))

    @eqx.filter_value_and_grad
    def penalty(cell):
        return echoic.flossing_penalty(
            cell, xs, key=jr.key(2), num_exponents=3, burn_in=6, target=-0.5
        )

    in_blocks = penalty(cell)
    jax.clear_caches()
    monkeypatch.setattr(flossing, "_SHORT", 10_000)
    whole = penalty(cell)
    for ours, theirs in zip(jtu.tree_leaves(in_blocks), jtu.tree_leaves(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
