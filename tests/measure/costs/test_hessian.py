"""Extreme eigenvalues and the spectral density, against dense Hessians."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic.core.cell import cast, without_law
from echoic.measure.costs.cost import flat_cost

KEY = jr.key(3)


def quadratic(matrix):
    """A cost whose Hessian is the matrix."""
    return Quadratic(jnp.asarray(matrix))


class Quadratic(eqx.Module):
    matrix: jax.Array

    def __call__(self, p):
        return 0.5 * p @ self.matrix @ p


def symmetric(values):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(len(values), len(values))))[0]
    return (turn * np.asarray(values)) @ turn.T


@pytest.mark.slow
def test_repeated_eigenvalues_and_low_rank(x64):
    """The Krylov space ends after a few products; going on must not invent eigenvalues."""
    for values in ([0.0] * 11 + [3.0], [-1.0] * 6 + [2.0] * 6, [0.0] * 12, [2.0] * 12):
        found = echoic.hessian_eigenvalues(jnp.zeros(12), quadratic(symmetric(values)), key=KEY)
        assert float(found.value[0]) == pytest.approx(max(values), abs=1e-9)
        assert float(found.details["smallest"][0]) == pytest.approx(min(values), abs=1e-9)
        assert found.statuses == echoic.Status.OK


@pytest.mark.slow
def test_nan_gives_nan(x64):
    cost = quadratic(np.full((12, 12), np.nan))
    largest = echoic.hessian_eigenvalues(jnp.zeros(12), cost, key=KEY)
    density = echoic.hessian_density(jnp.zeros(12), cost, products=3, probes=2, key=KEY)
    for found in (largest, density):
        assert np.isnan(found.value).all()
        assert found.statuses == echoic.Status.NOT_FINITE


def test_refusals(x64):
    matrix = symmetric(np.linspace(-1, 1, 12))
    cost = quadratic(matrix)
    with pytest.raises(ValueError, match=r"count must lie in 1\.\.6"):
        echoic.hessian_eigenvalues(jnp.zeros(12), cost, count=7, key=KEY)
    with pytest.raises(ValueError, match="tolerance must lie"):
        echoic.hessian_eigenvalues(jnp.zeros(12), cost, tolerance=0.0, key=KEY)
    with pytest.raises(ValueError, match="cost must give a scalar"):
        echoic.hessian_eigenvalues(jnp.zeros(12), lambda p: p, key=KEY)
    with pytest.raises(ValueError, match="one dtype"):
        echoic.hessian_eigenvalues(jnp.zeros(12, int), lambda p: jnp.sum(p), key=KEY)
    with pytest.raises(ValueError, match="probes must lie"):
        echoic.hessian_density(jnp.zeros(12), cost, probes=1, key=KEY)


@pytest.mark.slow
def test_residuals_bound_the_error_and_too_few_products_are_reported(x64):
    values = np.random.default_rng(1).normal(size=60)
    cost = quadratic(symmetric(values))
    for products in (8, 20, 60):
        found = echoic.hessian_eigenvalues(
            jnp.zeros(60), cost, count=2, max_products=products, key=KEY
        )
        both = np.concatenate([found.value, found.details["smallest"]])
        gaps = np.abs(both[:, None] - values).min(axis=1)
        assert np.all(gaps <= np.asarray(found.details["residual"]) + 1e-9)
        assert (echoic.Status.NOT_CONVERGED in found.statuses) == (products == 8 or products == 20)


@pytest.mark.slow
def test_the_largest_alone_takes_fewer_products(x64):
    values = np.append(np.linspace(-1, 1, 59), 4.0)
    found = {
        ends: echoic.hessian_eigenvalues(
            jnp.zeros(60), quadratic(symmetric(values)), ends=ends, key=KEY
        )
        for ends in ("both", "largest")
    }
    for one in found.values():
        assert float(one.value[0]) == pytest.approx(4, abs=1e-9)
        assert one.statuses == echoic.Status.OK
    assert found["largest"].details["products"] < found["both"].details["products"]


@pytest.mark.slow
def test_traceable_and_single_precision():
    matrices = jnp.stack([jnp.asarray(symmetric(np.arange(12.0) * s)) for s in (1, 2)])

    def largest(matrix):
        return echoic.hessian_eigenvalues(jnp.zeros(12), quadratic(matrix), key=KEY).value

    together = jax.jit(jax.vmap(largest))(matrices.astype(jnp.float32))
    assert together.dtype == jnp.float32
    np.testing.assert_allclose(together[:, 0], [11, 22], rtol=1e-4)


@pytest.mark.slow
def test_every_cell_against_its_dense_hessian(build_cell, x64):
    """Ends of the spectrum; trace and squares of one probe each within five standard errors."""
    cell = cast(without_law(build_cell()), jnp.float64)
    xs = jr.normal(jr.key(5), (6, cell.input_size))
    outputs = echoic.rollout(cell, xs).trajectory
    cost = echoic.mean_squared_cost(None, xs, outputs + jr.normal(jr.key(6), outputs.shape))
    vector, function = flat_cost(cost, cell)
    values = np.linalg.eigvalsh(jax.jit(jax.hessian(function))(vector))
    found = echoic.hessian_eigenvalues(cell, cost, key=KEY)
    scale = np.abs(values).max()
    assert float(found.value[0]) == pytest.approx(values[-1], abs=1e-6 * scale)
    assert float(found.details["smallest"][0]) == pytest.approx(values[0], abs=1e-6 * scale)
    density = echoic.hessian_density(cell, cost, key=KEY, products=8, probes=40).details
    for moment, right in (("trace", values.sum()), ("squares", values @ values)):
        error = 5 * float(density[f"{moment}_error"]) + 1e-9 * scale
        assert float(density[moment]) == pytest.approx(right, abs=error)


@pytest.mark.slow
@pytest.mark.parametrize("curvature", [1.1, -3.0, 0.0])
def test_the_density_of_one_curvature_in_all_directions(x64, curvature):
    found = echoic.hessian_density(
        jnp.ones(5), lambda p: curvature * jnp.sum(p**2) / 2, key=jr.key(0), points=2001
    )
    axis = np.asarray(found.details["eigenvalue"])
    assert np.trapezoid(found.value, axis) == pytest.approx(1, abs=1e-3)
    assert axis[np.argmax(found.value)] == pytest.approx(curvature, abs=1e-3)


@pytest.mark.slow
def test_the_curvature_of_one_parameter(x64):
    found = echoic.hessian_eigenvalues(jnp.ones(1), lambda p: -3 * p[0] ** 2, key=jr.key(0))
    assert float(found.value[0]) == pytest.approx(-6)
    assert float(found.details["smallest"][0]) == pytest.approx(-6)
    assert found.statuses.trusted
