"""Measures that read a network out do it as the network does, with the embedding's matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import echoic
from echoic import cells
from echoic.cells.symbols import one_hot


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


def test_what_the_readout_sees(tied):
    network, xs = tied
    options = {"max_lag": 3, "burn_in": 5, "starts": 4, "key": jax.random.key(1)}
    found = echoic.readout_visibility(network, xs, **options)
    matrix = echoic.readout_visibility(network, xs, readout=network.embedding.weight, **options)
    np.testing.assert_allclose(found.value, matrix.value, rtol=1e-4)


def test_kernels_refuse_them(tied):
    network, xs = tied
    with pytest.raises(ValueError, match="tied readout"):
        echoic.tangent_kernel(network, xs[:4])
