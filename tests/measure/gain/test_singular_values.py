"""Singular values of Jacobian products against closed forms and long arithmetic."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from echoic.cells import LSTM, Elman
from echoic.core.estimate import Status, UntrustedError
from echoic.measure.gain.singular_values import jacobian_singular_values, log_singular_values

KEY = jr.key(3)


def linear(matrix):
    matrix = jnp.asarray(matrix)
    return lambda h, x: matrix @ h


def multiply(h, x):
    n = h.shape[0]
    return x.reshape(n, n) @ h


def of_power(matrix, lag, **settings):
    n = len(matrix)
    return jacobian_singular_values(
        linear(matrix), jnp.zeros(lag + 4), state=jnp.zeros(n), lag=lag, key=KEY, **settings
    )


def dense_product(jacobians):
    product = np.eye(jacobians.shape[1])
    for jacobian in np.asarray(jacobians):
        product = jacobian @ product
    return product


@pytest.mark.parametrize("lag", [pytest.param(1, marks=pytest.mark.slow), 7, 10_000])
def test_diagonal_map(lag, x64):
    """At lag 10 000 the smallest is 10^-20000: nothing over- or underflows."""
    moduli = np.array([1.5, 0.01, 0.9, 0.2, 1.0])
    found = of_power(np.diag(moduli), lag)
    np.testing.assert_allclose(
        found.value, lag * np.log(np.sort(moduli)[::-1]), rtol=1e-11, atol=1e-11
    )
    assert found.statuses == Status.OK


@pytest.mark.slow
def test_scaled_orthogonal_map(x64):
    orthogonal = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    np.testing.assert_allclose(of_power(0.9 * orthogonal, 50).value, 50 * math.log(0.9), atol=1e-11)


@pytest.mark.parametrize(
    "lag", [5, 10, *(pytest.param(lag, marks=pytest.mark.slow) for lag in (1, 9, 20))]
)
def test_powers_of_a_chain(lag, x64):
    """W^k has n - k singular values alpha^k, all others are exactly 0."""
    n, alpha = 10, 1.1
    found = of_power(np.diag(np.full(n - 1, alpha), -1), lag)
    alive = max(n - lag, 0)
    np.testing.assert_allclose(found.value[:alive], lag * math.log(alpha), atol=1e-12)
    assert bool(jnp.all(found.value[alive:] == -jnp.inf))
    assert found.statuses == Status.SINGULAR


def test_non_normal_map_against_dense(x64):
    """Singular values, not moduli of eigenvalues (mutant), nor diagonals of QR (mutant)."""
    matrix = np.array([[0.9, 5.0], [0.0, 0.8]])
    lag = 12
    dense = np.log(np.linalg.svd(np.linalg.matrix_power(matrix, lag))[1])
    found = of_power(matrix, lag)
    np.testing.assert_allclose(found.value, dense, atol=1e-10)
    assert np.max(np.abs(dense - lag * np.log([0.9, 0.8]))) > 1


def graded_product():
    """20 random 5 x 5 matrices, and the singular values of their product in 500 digits."""
    mpmath = pytest.importorskip("mpmath")
    matrices = np.random.default_rng(1).normal(size=(20, 5, 5)) * np.exp(-3 * np.arange(5))[:, None]
    with mpmath.workdps(500):
        product = mpmath.eye(5)
        for matrix in matrices:
            product = mpmath.matrix(matrix.tolist()) * product
        eigenvalues = mpmath.eigsy(product * product.T, eigvals_only=True)
        exact = sorted((float(mpmath.log(v) / 2) for v in eigenvalues), reverse=True)
    return matrices, np.array(exact)


@pytest.mark.slow
def test_graded_product_against_long_arithmetic(x64):
    matrices, exact = graded_product()
    assert exact[0] - exact[-1] > 150  # far beyond what a dense product in float64 can hold
    found = jacobian_singular_values(
        multiply, matrices.reshape(20, 25), state=jnp.ones(5), lag=20, burn_in=0, key=KEY
    )
    np.testing.assert_allclose(found.value, exact, atol=1e-9)
    with np.errstate(divide="ignore"):
        dense = np.log(np.linalg.svd(dense_product(matrices))[1])
    assert np.max(np.abs(dense - exact)) > 10  # mutant: SVD of the formed product
    frame, sums = np.eye(5), 0  # mutant: diagonals of QR, which are the exponents' sums
    for matrix in matrices:
        frame, r = np.linalg.qr(matrix @ frame)
        sums = sums + np.log(np.abs(np.diag(r)))
    assert np.max(np.abs(np.sort(sums)[::-1] - exact)) > 0.1


@pytest.mark.slow
def test_driven_cells_against_dense(x64):
    """The windows are where they are said to be, in time order, over the full state."""
    inputs = jr.normal(jr.key(1), (60, 2))
    for cell in (
        Elman(2, 6, key=jr.key(2), dtype=jnp.float64),
        LSTM(2, 4, key=jr.key(2), dtype=jnp.float64),
    ):
        found = jacobian_singular_values(cell, inputs, lag=4, num_windows=3, key=KEY)
        state, jacobians = cell.initial_state(), []
        flat, back = ravel_pytree(state)
        for x in inputs:

            def step(v, x=x, cell=cell, back=back):
                return ravel_pytree(cell.step(back(v), x))[0]

            jacobians.append(jax.jacrev(step)(flat))
            flat = step(flat)
        jacobians = np.asarray(jacobians)
        ends = np.asarray(found.details["ends"])
        assert ends[-1] == 60
        assert ends[0] == 15 + 4
        exact = [np.log(np.linalg.svd(dense_product(jacobians[end - 4 : end]))[1]) for end in ends]
        np.testing.assert_allclose(found.details["windows"], exact, atol=1e-6)
        np.testing.assert_allclose(found.value, np.mean(exact, axis=0), atol=1e-6)
        np.testing.assert_allclose(
            found.standard_error, np.std(exact, axis=0, ddof=1) / 3**0.5, atol=1e-6
        )
        if isinstance(cell, Elman):
            backwards = dense_product(jacobians[56:60][::-1])  # mutant: time reversed
            assert not np.allclose(np.log(np.linalg.svd(backwards)[1]), exact[-1], atol=1e-3)


@pytest.mark.slow
def test_mean_square_is_the_gradient_reach(x64):
    cell = Elman(1, 6, key=jr.key(2), dtype=jnp.float64)
    inputs = jr.normal(jr.key(1), (40, 1))
    found = jacobian_singular_values(cell, inputs, lag=40, key=KEY, orthogonalise_every=4)

    def last(h):
        return jax.lax.scan(lambda h, x: (cell.step(h, x), None), h, inputs)[0]

    frobenius = jnp.sum(jax.jacrev(last)(cell.initial_state()) ** 2)
    assert float(jax.nn.logsumexp(2 * found.value)) == pytest.approx(
        float(jnp.log(frobenius)), abs=1e-9
    )
    assert bool(jnp.isnan(found.standard_error[0]))


@pytest.mark.slow
def test_batch_and_num_values(x64):
    cell = Elman(1, 6, key=jr.key(2), dtype=jnp.float64)
    inputs = jr.normal(jr.key(1), (3, 40, 1))
    together = jacobian_singular_values(cell, inputs, lag=20, num_windows=1, num_values=2, key=KEY)
    alone = [
        jacobian_singular_values(cell, x, lag=20, num_windows=1, num_values=2, key=KEY).value
        for x in inputs
    ]
    np.testing.assert_allclose(together.value, np.mean(alone, axis=0), atol=1e-10)
    assert bool(jnp.all(together.standard_error > 0))


@pytest.mark.slow
def test_scaled_jacobi_against_svd(x64):
    """Scales that float64 can hold: LAPACK sees the same matrix. Odd and even sizes."""
    for n in (1, 2, 5, 16):
        rows = jr.normal(jr.key(n), (n, n))
        scale = jnp.linspace(3.0, -3.0, n)
        values, settled = log_singular_values(scale, rows)
        dense = np.asarray(jnp.exp(scale)[:, None] * rows)
        assert bool(settled)
        np.testing.assert_allclose(values, np.log(np.linalg.svd(dense)[1]), atol=1e-11)


@pytest.mark.slow
def test_random_frame_does_not_matter(x64):
    cell = Elman(1, 6, key=jr.key(2), dtype=jnp.float64)
    inputs = jr.normal(jr.key(1), (40, 1))
    first, second = (
        jacobian_singular_values(cell, inputs, lag=20, key=jr.key(seed)).value for seed in (0, 1)
    )
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_nan_in_nan_out(x64):
    inputs = jnp.zeros((40, 1)).at[30].set(jnp.nan)
    cell = Elman(1, 6, key=jr.key(2), dtype=jnp.float64)
    found = jacobian_singular_values(cell, inputs, lag=20, key=KEY, throw=False)
    assert bool(jnp.all(jnp.isnan(found.value)))
    assert Status.NOT_FINITE in found.statuses
    with pytest.raises(UntrustedError, match="finite"):
        jacobian_singular_values(cell, inputs, lag=20, key=KEY)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lag": 41}, "lag must lie in 1..40, got 41"),
        ({"lag": 0}, "lag must lie in 1..40"),
        ({"lag": 20, "burn_in": 21}, "burn_in must lie in 0..20, got 21"),
        ({"lag": 20, "num_values": 7}, "num_values must lie in 1..6"),
        ({"lag": 20, "num_windows": 0}, "num_windows must lie in 1"),
    ],
)
def test_wrong_arguments(settings, message, x64):
    cell = Elman(1, 6, key=jr.key(2), dtype=jnp.float64)
    with pytest.raises(ValueError, match=message):
        jacobian_singular_values(cell, jnp.zeros((40, 1)), key=KEY, **settings)
