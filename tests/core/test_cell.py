"""The adapter for bare functions, the flat view of a state, and laws that know their weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from echoic import cells, init
from echoic.core.cell import as_cell, cast, flatten_state, without_law
from echoic.core.tangent import input_jacobian, jacobian


def henon(state, x):
    return jnp.stack([1 - 1.4 * state[0] ** 2 + state[1], 0.3 * state[0]])


def test_a_bare_function_passes_for_a_cell():
    cell = as_cell(henon, jnp.array([0.1, 0.2]))
    assert (cell.state_size, cell.hidden_size, cell.input_size) == (2, 2, 0)
    new, matrix = jacobian(cell, cell.initial_state(), None)
    np.testing.assert_allclose(new, [1 - 1.4 * 0.01 + 0.2, 0.03], rtol=1e-6)
    np.testing.assert_allclose(matrix, [[-0.28, 1.0], [0.3, 0.0]], rtol=1e-6)


def test_a_bare_function_needs_its_state():
    with pytest.raises(ValueError, match="pass state="):
        as_cell(henon)


def test_what_is_no_function_is_refused():
    with pytest.raises(ValueError, match=r"step\(state, x\) -> state, got 3"):
        as_cell(3, jnp.ones(1))


def test_only_floating_numbers_are_perturbed_and_the_rest_is_carried():
    def counted(state, x):
        return {"h": 2 * state["h"], "count": state["count"] + 1}

    cell = as_cell(counted, {"h": jnp.ones(3), "count": jnp.asarray(0)})
    assert cell.state_size == 3
    new, matrix = jacobian(cell, cell.initial_state(), None)
    assert int(new["count"]) == 1
    np.testing.assert_allclose(matrix, 2 * np.eye(3))


def test_flatten_and_restore_are_inverse():
    state = {"b": jnp.arange(6.0).reshape(2, 3), "a": jnp.ones(2), "n": jnp.asarray(4)}
    vector, restore = flatten_state(state)
    assert vector.shape == (8,)
    again = restore(vector)
    assert all(bool((again[k] == state[k]).all()) for k in state)


def test_states_of_two_precisions_are_refused(x64):
    with pytest.raises(ValueError, match="one dtype, got float32, float64"):
        flatten_state({"a": jnp.ones(2, jnp.float32), "b": jnp.ones(2, jnp.float64)})


def test_jacobians_of_an_elman_cell_in_closed_form(x64):
    cell = cells.Elman(2, 4, key=jax.random.key(0), dtype=jnp.float64)
    state, x = jnp.linspace(-0.5, 0.5, 4), jnp.array([0.3, -0.2])
    slope = 1 - jnp.tanh(cell.recurrent @ state + cell.input @ x + cell.bias) ** 2
    _, by_state = jacobian(cell, state, x)
    np.testing.assert_allclose(by_state, slope[:, None] * cell.recurrent, rtol=1e-12)
    np.testing.assert_allclose(
        input_jacobian(cell, state, x), slope[:, None] * cell.input, rtol=1e-12
    )


def test_laws_leave_before_a_cell_is_compiled():
    traces = []

    def count(cell):
        traces.append(1)
        return cell.recurrent.sum()

    import equinox as eqx

    compiled = eqx.filter_jit(count)
    for recurrent in (init.orthogonal(1.0), init.chain(1.02), init.gaussian(0.5)):
        compiled(without_law(cells.Elman(1, 3, recurrent=recurrent, key=jax.random.key(0))))
    assert len(traces) == 1


def test_a_law_outlives_a_change_of_precision_but_not_of_weights(x64):
    cell = cells.Elman(1, 3, recurrent=init.chain(1.02), key=jax.random.key(0))
    wide = cast(cell, jnp.float64)
    assert wide.hyperparameters() is not None
    assert dict(wide.hyperparameters().parameters)["recurrent"] == init.chain(1.02)
    trained = jax.tree.map(lambda leaf: leaf + 0.01 if hasattr(leaf, "shape") else leaf, wide)
    assert trained.hyperparameters() is None
