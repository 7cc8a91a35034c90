"""Measures that read a network out do it as the network does, with the embedding's matrix."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import pytest

import echoic
from echoic import cells
from echoic.cells.symbols import one_hot
from echoic.core.cell import without_law


@pytest.fixture(scope="module")
def tied():
    """A language model with one matrix, and symbols as one-hot vectors."""
    keys = jax.random.split(jax.random.key(0), 3)
    embedding = cells.Embedding(5, 3, key=keys[0])
    network = cells.Network(cells.Elman(3, 3, key=keys[1]), "tied", embedding=embedding)
    symbols = jax.random.randint(keys[2], (1, 60), 0, 5)
    return network, one_hot(symbols, 5, jnp.float32)[0]


def test_impulse_responses(tied):
    network, xs = tied
    found = echoic.impulse_response(network, xs[:8], max_lag=4).value
    by_hand = echoic.impulse_response(
        network, xs[:8], max_lag=4, readout=lambda h: network.embedding.weight @ h
    ).value
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)
    assert not np.allclose(found, echoic.impulse_response(
        network, xs[:8], max_lag=4, readout=lambda h: network.embedding.weight[::-1] @ h
    ).value, rtol=1e-2)  # fmt: skip


@pytest.mark.slow
def test_what_the_readout_sees(tied):
    network, xs = tied
    options = {"max_lag": 3, "burn_in": 5, "starts": 4, "key": jax.random.key(1)}
    found = echoic.readout_visibility(network, xs, **options)
    matrix = echoic.readout_visibility(network, xs, readout=network.embedding.weight, **options)
    np.testing.assert_allclose(found.value, matrix.value, rtol=1e-4)


def dense_kernel(network, xs, others):
    """Of all derivatives at once, in reverse mode through an unrolled run; and its mutants.

    The matrix E stands for two arguments, one for each use, so that they can be told apart.
    """
    cell, (embedding, bias) = network.cells[0], (network.embedding.weight, network.readout.bias)
    arrays, rest = eqx.partition(without_law(cell), eqx.is_inexact_array)

    def run(weights, xs):
        arrays, inward, outward, bias = weights
        cell = eqx.combine(arrays, rest)
        state, found = cell.initial_state(), []
        for x in xs:
            state = cell.step(state, x @ inward)
            found.append(outward @ cell.output(state) + bias)
        return jnp.stack(found)

    jacobians = jax.jit(jax.jacrev(run))

    def rows(xs):
        parts = jacobians((arrays, embedding, embedding, bias), xs)
        shape = (len(xs), len(bias), -1)
        return [
            np.concatenate([np.reshape(leaf, shape) for leaf in jtu.tree_leaves(part)], axis=2)
            for part in parts
        ]

    first, second = rows(xs), rows(others)

    def kernel(together):
        return np.einsum("tpw,sqw->tpsq", together(*first), together(*second))

    def joined(*parts):
        return np.concatenate(parts, axis=2)

    right = kernel(lambda cell, inward, outward, bias: joined(cell, inward + outward, bias))
    wrong = {
        "a copy of the matrix": kernel(joined),
        "the embedding alone": kernel(lambda cell, inward, _, bias: joined(cell, inward, bias)),
        "the readout alone": kernel(lambda cell, _, outward, bias: joined(cell, outward, bias)),
        "without the bias": kernel(lambda cell, one, other, _: joined(cell, one + other)),
    }
    return right, wrong


@pytest.mark.parametrize(
    "family",
    [cells.Elman, *(pytest.param(f, marks=pytest.mark.slow) for f in (cells.GRU, cells.LSTM))],
)
def test_kernels(family, x64):
    """The shared matrix is one weight, whose gradient comes from both of its uses."""
    keys = jax.random.split(jax.random.key(0), 3)
    embedding = cells.Embedding(5, 3, key=keys[0], dtype=jnp.float64)
    network = cells.Network(
        family(3, 3, key=keys[1], dtype=jnp.float64), "tied", embedding=embedding
    )
    xs, others = (one_hot(jnp.array(s), 5, jnp.float64) for s in ([1, 4, 1], [0, 1, 2]))
    found = echoic.tangent_kernel(network, xs, others).value
    right, wrong = dense_kernel(network, xs, others)
    np.testing.assert_allclose(found, right, atol=1e-8, rtol=0)
    for name, other in wrong.items():
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(found, other, atol=1e-8, rtol=0, err_msg=name)


@pytest.mark.slow
def test_kernels_tell_what_a_small_step_does(x64):
    """One step of gradient descent on one output moves all others by minus its column."""
    keys = jax.random.split(jax.random.key(3), 3)
    embedding = cells.Embedding(5, 3, key=keys[0], dtype=jnp.float64)
    network = cells.Network(
        cells.Elman(3, 3, key=keys[1], dtype=jnp.float64), "tied", embedding=embedding
    )
    symbols = jnp.array([[2, 0, 4, 2]])
    xs = one_hot(symbols, 5, jnp.float64)[0]

    def predictions(network):
        return network.predict(network.run(symbols).trajectory)[0]

    slopes = eqx.filter_grad(lambda network: predictions(network)[3, 1])(network)
    rate = 1e-6
    moved = eqx.apply_updates(network, jax.tree.map(lambda g: -rate * g, slopes))
    change = (predictions(moved) - predictions(network)) / -rate
    column = echoic.tangent_kernel(network, xs).value[:, :, 3, 1]
    np.testing.assert_allclose(change, column, atol=1e-4)
    assert not np.allclose(change, 0.5 * column, atol=1e-4)
