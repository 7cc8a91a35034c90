"""Rows shared among the cores come back in order, whatever their number and the precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from echoic.core import threads


@eqx.filter_jit
def squares(rows, scale):
    return {"square": scale * rows**2, "sum": jnp.sum(rows, axis=1)}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("precise", [False, True])
def test_rows_keep_their_order_and_precision(monkeypatch, workers, count, precise):
    monkeypatch.setattr(threads, "num_workers", lambda num_parts: min(workers, num_parts))
    rows = np.random.default_rng(0).normal(size=(count, 4))
    with jax.enable_x64(precise):
        found = threads.map_rows(squares, jnp.asarray(rows), jnp.asarray(2.0))
    exact = np.float64 if precise else np.float32
    assert found["square"].dtype == exact
    np.testing.assert_allclose(found["square"], 2 * rows.astype(exact) ** 2, rtol=1e-6)
    np.testing.assert_allclose(found["sum"], rows.astype(exact).sum(axis=1), rtol=1e-5, atol=1e-6)
