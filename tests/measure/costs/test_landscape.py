"""Slices of the cost: minima that are known, and those of a chaotic network."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic.cells import LSTM, Elman
from echoic.measure.costs.landscape import filter_normalised, strict_minima


def test_strict_minima():
    """Not at borders, not on plateaus, not beside NaN; on a plane also below the diagonals."""
    nan = np.nan
    line = jnp.array([0.0, 1, 0.5, 1, 0, 0, 1, 2, 1.5, nan, 0, 3, 1])
    assert np.flatnonzero(strict_minima(line)).tolist() == [2]
    plane = np.full((4, 5), 2.0)
    plane[1, 1], plane[2, 2], plane[1, 3] = 1.0, 0.5, 1.0
    assert np.argwhere(strict_minima(jnp.asarray(plane))).tolist() == [[2, 2]]
    with pytest.raises(ValueError, match="one or two axes"):
        strict_minima(jnp.zeros((3, 3, 3)))


@pytest.mark.slow
def test_normalised_directions_have_rows_as_long_as_the_cells():
    cell = Elman(1, 3, key=jr.key(0))
    direction = echoic.random_direction(cell, key=jr.key(1))
    found = filter_normalised(cell, direction)
    rows = np.linalg.norm(found.recurrent, axis=1)
    np.testing.assert_allclose(rows, np.linalg.norm(cell.recurrent, axis=1), rtol=1e-5)
    cosine = np.sum(np.asarray(found.recurrent) * direction.recurrent, axis=1)
    np.testing.assert_allclose(
        cosine, rows * np.linalg.norm(direction.recurrent, axis=1), rtol=1e-5
    )
    assert not np.any(found.bias)


def test_nan_has_no_count_and_wrong_calls(x64):
    axis = np.linspace(0, 1, 3)
    bowl = lambda p: jnp.sum((p - 0.5) ** 2)  # noqa: E731
    found = echoic.cost_slice(jnp.full(2, np.nan), bowl, jnp.ones(2), at=axis, batch_size=3)
    assert np.isnan(found.value).all()
    assert np.isnan(found.details["minima"])
    assert echoic.Status.NOT_FINITE in found.statuses
    with pytest.raises(ValueError, match="directions must be one or two"):
        echoic.cost_slice(jnp.zeros(2), bowl, at=axis)
    with pytest.raises(ValueError, match="k at least 3"):
        echoic.cost_slice(jnp.zeros(2), bowl, jnp.ones(2), at=axis[:2])
    with pytest.raises(ValueError, match="a direction must be a tree like the cell"):
        echoic.cost_slice(jnp.zeros(2), bowl, jnp.ones(3), at=axis)


@pytest.mark.slow
def test_plane(x64):
    """Wells of cos x + cos y: one for each pair of odd multiples of pi; the axes in their order."""
    first, second = np.linspace(0, 10, 101), np.linspace(0, 7, 71)
    found = echoic.cost_slice(
        jnp.zeros(2),
        lambda p: jnp.cos(p[0]) + jnp.cos(p[1]),
        jnp.array([1.0, 0.0]),
        jnp.array([0.0, 1.0]),
        at=(first, second),
    )
    np.testing.assert_allclose(found.value, np.cos(first)[:, None] + np.cos(second), atol=1e-12)
    assert int(found.details["minima"]) == 2


@pytest.mark.slow
def test_chaotic_lstm_has_hundreds_of_minima(x64):
    """Weights s times those of a chaotic network: rugged in chaos, smooth on either side."""
    gates = np.array([[-1, -4], [-3, -2], [-2, 6], [0, -6], [-1, -6], [6, -9], [4, 1], [-9, -7]])
    scale = np.sort(np.append(np.linspace(0.5, 2, 4999), 1.0))

    def slice_of(gates):
        cell = LSTM(1, 2, key=jr.key(0), dtype=jnp.float64)
        cell = eqx.tree_at(
            lambda c: (c.recurrent, c.input, c.bias),
            cell,
            (jnp.asarray(gates, jnp.float64), jnp.zeros((8, 1)), jnp.zeros(8)),
        )
        start = type(cell.initial_state())(jnp.full(2, 0.5), jnp.full(2, 0.5))
        xs = np.zeros((200, 1))
        targets = echoic.rollout(cell, xs, state=start).trajectory
        cost = echoic.mean_squared_cost(None, xs, targets, burn_in=100, state=start)
        return echoic.cost_slice(cell, cost, cell, at=scale - 1, batch_size=500)

    def rugged_in_chaos_only(minima):
        def count(low, high):
            return minima[(scale >= low) & (scale < high)].sum()

        return (
            count(0.5, 0.7) == 0
            and count(0.9, 1.1) > 150
            and count(1.1, 1.45) > 250
            and count(1.5, 2.1) == 0
        )

    found = slice_of(gates)
    assert rugged_in_chaos_only(np.asarray(found.details["is_minimum"]))
    assert float(found.details["minima"]) == pytest.approx(570, rel=0.1)
    assert float(found.value[0]) == pytest.approx(0.009, abs=5e-4)
    # Wrong: what stands below the mean of its neighbours; input and forget gate exchanged.
    cost = np.asarray(found.value)
    below = np.r_[False, cost[1:-1] < (cost[:-2] + cost[2:]) / 2, False]
    assert not rugged_in_chaos_only(below)
    exchanged = slice_of(gates[[2, 3, 0, 1, 4, 5, 6, 7]])
    assert not rugged_in_chaos_only(np.asarray(exchanged.details["is_minimum"]))
