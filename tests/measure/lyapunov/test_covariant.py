"""Covariant Lyapunov vectors against eigenvectors, periodic products and the definition itself."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic.cells import GRU, LSTM, Elman
from echoic.core.estimate import Status, UntrustedError
from echoic.core.tangent import jacobian

KEY = jr.key(7)


def multiply(h, x):
    """A product of matrices: the input is the matrix, the state stays 0."""
    n = h.shape[0]
    return x.reshape(n, n) @ h


def along(matrices, **settings):
    matrices = np.asarray(matrices)
    n = matrices.shape[-1]
    flat = matrices.reshape(-1, n * n)
    return echoic.covariant_vectors(
        multiply, flat, state=jnp.zeros(n, matrices.dtype), key=KEY, **settings
    )


def same_lines(found, expected):
    """Whether columns agree up to sign."""
    expected = expected / np.linalg.norm(expected, axis=-2, keepdims=True)
    cosines = np.abs(np.sum(np.asarray(found) * expected, axis=-2))
    return bool(np.all(cosines > 1 - 1e-12))


def test_eigenvectors_of_a_matrix(x64):
    basis = np.random.default_rng(0).normal(size=(3, 3))
    matrix = basis @ np.diag([1.1, -0.6, 0.3]) @ np.linalg.inv(basis)
    found = along([matrix] * 240)
    vectors = found.details["vectors"]
    assert vectors.shape == (120, 3, 3)
    assert found.statuses == Status.OK
    np.testing.assert_allclose(found.value, np.log([1.1, 0.6, 0.3]), atol=1e-9)
    assert same_lines(vectors, basis)
    unit = basis / np.linalg.norm(basis, axis=0)
    np.testing.assert_allclose(np.cos(found.details["angles"][5]), np.abs(unit.T @ unit), atol=1e-9)
    # What must not pass: the frame itself, left eigenvectors, the wrong order.
    assert not same_lines(vectors, np.linalg.qr(basis)[0])
    assert not same_lines(vectors, np.linalg.inv(basis).T)
    assert not same_lines(vectors, basis[:, ::-1])


@pytest.mark.slow
def test_two_triangular_maps_in_turn(x64):
    """Vectors before each step are eigenvectors of the product of the two that come next."""
    a = np.array([[1.1, 0.5, -0.3], [0, -0.8, 0.6], [0, 0, 0.4]])
    b = np.array([[1.2, -0.4, 0.2], [0, 0.5, 0.7], [0, 0, 0.3]])
    found = along([a, b] * 120, burn_in=60, settle=60)

    def eigenvectors(product):
        values, vectors = np.linalg.eig(product)
        return vectors[:, np.argsort(-np.abs(values))]

    even, odd = eigenvectors(b @ a), eigenvectors(a @ b)
    vectors = found.details["vectors"]
    assert same_lines(vectors[0::2], even)
    assert same_lines(vectors[1::2], odd)
    leading = along([a, b] * 120, num_exponents=1)
    assert same_lines(leading.details["vectors"], vectors[:, :, :1])
    hasty = along([a, b] * 120, burn_in=5, settle=115)
    assert Status.NOT_CONVERGED in hasty.statuses
    assert not same_lines(vectors[0::2], odd)  # mutant: a step late
    np.testing.assert_allclose(
        found.value, np.sort(np.log(np.abs(np.linalg.eigvals(a @ b))) / 2)[::-1], atol=1e-9
    )


@pytest.mark.slow
def test_cat_map(x64):
    """Stable and unstable directions stand at right angles everywhere, at the golden ratio."""
    cat = np.array([[2.0, 1.0], [1.0, 1.0]])
    found = echoic.covariant_vectors(
        lambda h, _: jnp.mod(cat @ h, 1.0), state=jnp.array([0.3, 0.4]), steps=40, key=KEY
    )
    golden = (1 + 5**0.5) / 2
    np.testing.assert_allclose(found.value, [2 * math.log(golden), -2 * math.log(golden)])
    np.testing.assert_allclose(found.details["angles"][:, 0, 1], math.pi / 2, atol=1e-7)
    assert same_lines(found.details["vectors"], np.array([[golden, 1.0], [1.0, -golden]]))


@pytest.mark.slow
@pytest.mark.parametrize("family", [Elman, GRU, LSTM])
def test_vectors_are_mapped_onto_one_another(family, x64):
    """The definition, by dense Jacobians along a driven run; local rates are those factors."""
    cell, inputs = family(1, 3, key=jr.key(1), dtype=jnp.float64), jr.normal(jr.key(2), (400, 1))
    found = echoic.covariant_vectors(cell, inputs, burn_in=150, settle=150, key=KEY)
    _, jacobians = jax.lax.scan(lambda s, x: jacobian(cell, s, x), cell.initial_state(), inputs)
    vectors = np.asarray(found.details["vectors"])
    pushed = np.asarray(jacobians)[150:249] @ vectors[:-1]
    growth = np.linalg.norm(pushed, axis=1)
    np.testing.assert_allclose(np.log(growth), found.details["local"][:-1], atol=1e-8)
    cosines = np.abs(np.sum(pushed / growth[:, None] * vectors[1:], axis=1))
    np.testing.assert_allclose(cosines, 1, atol=1e-8)
    late = np.asarray(jacobians)[151:250] @ vectors[:-1]  # mutant: vectors after the step
    late = late / np.linalg.norm(late, axis=1, keepdims=True)
    assert np.min(np.abs(np.sum(late * vectors[1:], axis=1))) < 0.99
    # Volumes: what the vectors' parallelepiped gains or loses is in the determinants as well.
    volumes = np.linalg.slogdet(vectors)[1]
    total = np.sum(np.linalg.slogdet(np.asarray(jacobians)[150:249])[1]) + volumes[0] - volumes[-1]
    assert float(jnp.sum(found.details["local"][:-1])) == pytest.approx(total, abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3])
def test_unsettled_is_a_sine(count, x64):
    """Neither its square, nor what is seen inside the frame alone."""
    basis = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    matrix = basis @ np.diag([0.9, 0.8, 0.5]) @ basis.T
    hasty = along([matrix] * 200, num_exponents=count, burn_in=80, settle=100)
    first = np.asarray(hasty.details["vectors"])[0, :, 0]
    sine = np.linalg.norm(first - (first @ basis[:, 0]) * basis[:, 0])
    assert 1e-6 < sine < 1e-4
    assert sine / 20 < float(hasty.details["unsettled"][0]) < 20 * sine
    assert Status.NOT_CONVERGED in hasty.statuses
    patient = along([matrix] * 420, num_exponents=count, burn_in=200, settle=200)
    assert float(patient.details["unsettled"][0]) < 1e-8
    assert patient.statuses == Status.OK


@pytest.mark.slow
def test_only_the_plane_of_a_rotation_is_defined(x64):
    c, s = 0.9 * math.cos(0.3), 0.9 * math.sin(0.3)
    found = along([[[c, -s], [s, c]]] * 200)
    assert Status.NOT_CONVERGED in found.statuses
    np.testing.assert_allclose(found.value, math.log(0.9), atol=1e-9)


@pytest.mark.slow
def test_a_direction_that_dies_has_no_past(x64):
    matrix = np.diag([0.9, 0.5, 0.0])
    matrix[0, 2] = 0.3
    found = along([matrix] * 200)
    assert Status.SINGULAR in found.statuses
    np.testing.assert_allclose(found.value[:2], np.log([0.9, 0.5]), atol=1e-9)
    assert float(found.value[2]) == -np.inf
    assert same_lines(found.details["vectors"][:, :, :2], np.eye(3)[:, :2])
    assert bool(jnp.all(jnp.isnan(found.details["vectors"][:, :, 2])))
    chain = along([np.diag(np.ones(5), -1)] * 100)
    assert bool(jnp.all(jnp.isnan(chain.details["vectors"])))
    assert bool(jnp.all(chain.value == -jnp.inf))


@pytest.mark.slow
def test_tracing_precision_and_not_a_number(x64):
    matrices = np.random.default_rng(1).normal(size=(2, 80, 4))

    def leading(xs):
        settings = {"burn_in": 30, "settle": 30, "key": KEY}
        found = echoic.covariant_vectors(multiply, xs, state=jnp.zeros(2, xs.dtype), **settings)
        return found.details["vectors"]

    together = jax.jit(jax.vmap(leading))(jnp.asarray(matrices))
    for one, xs in zip(together, matrices, strict=True):
        np.testing.assert_allclose(one, leading(jnp.asarray(xs)), atol=1e-9)
    single = leading(jnp.asarray(matrices[0], jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(np.abs(single), np.abs(together[0]), atol=1e-3)
    matrices[0, 40, 1] = np.nan
    with pytest.raises(UntrustedError, match="finite"):
        leading(jnp.asarray(matrices[0]))
    assert bool(jnp.all(jnp.isnan(jax.jit(leading)(jnp.asarray(matrices[0])))))


def test_refusals():
    step, state = (lambda h, _: h), jnp.ones(1000)
    with pytest.raises(MemoryError, match="frames"):
        echoic.covariant_vectors(step, state=state, steps=100_000, num_exponents=100, key=KEY)
    with pytest.raises(ValueError, match="steps"):
        echoic.covariant_vectors(step, state=state, key=KEY)
    with pytest.raises(ValueError, match="num_exponents"):
        echoic.covariant_vectors(step, state=state, steps=10, num_exponents=1001, key=KEY)
    with pytest.raises(ValueError, match="one sequence"):
        echoic.covariant_vectors(step, np.ones((2, 10, 1)), state=state, key=KEY)
    with pytest.raises(ValueError, match="burn_in"):
        echoic.covariant_vectors(step, np.ones((10, 1)), state=state, steps=9, key=KEY)
