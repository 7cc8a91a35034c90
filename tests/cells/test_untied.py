"""Networks whose weights change at every step, against a loop in NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from echoic import init
from echoic.cells import Elman, Network, Readout, Untied
from echoic.core.cell import cast

M, N, B, T = 2, 4, 3, 6
KEY = jr.key(0)
INPUTS = np.random.default_rng(0).standard_normal((B, T, M))


def build(key):
    return Elman(M, N, key=key)


@pytest.fixture(scope="module")
def model():
    with jax.enable_x64(True):
        drawn = cast(Untied(build, T, key=KEY), jnp.float64)
        # Larger, so that each step matters for long.
        return jax.tree.map(lambda a: 3 * a if eqx.is_array(a) else a, drawn)


def loop(cell, inputs, order=range(T)):
    """The states of the first sequences, step by step."""
    weights = [np.asarray(a) for a in (cell.recurrent, cell.input, cell.bias)]
    h, states = np.zeros((len(inputs), N)), []
    for step, k in enumerate(order):
        recurrent, weight, bias = (a[k] for a in weights)
        h = np.tanh(h @ recurrent.T + inputs[:, step] @ weight.T + bias)
        states.append(h)
    return np.stack(states, axis=1)


@pytest.mark.slow
def test_every_step_has_weights_of_its_own(x64, model):
    ran = model.run(jnp.asarray(INPUTS))
    np.testing.assert_allclose(ran.trajectory, loop(model.cell, INPUTS), atol=1e-12)
    np.testing.assert_array_equal(ran.final, ran.trajectory[:, -1])
    short = model.run(jnp.asarray(INPUTS[:, :4]), last=True).trajectory
    np.testing.assert_allclose(short, loop(model.cell, INPUTS[:, :4], range(4))[:, -1], atol=1e-12)
    # Twins: the weights of the first step throughout, and those of the last step first.
    for order in ([0] * T, range(T)[::-1]):
        assert np.abs(ran.trajectory - loop(model.cell, INPUTS, order)).max() > 0.1


@pytest.mark.slow
def test_the_gradient_of_each_step_goes_to_its_own_weights(x64, model):
    """Against the slopes of the loop, one weight of each step after the other."""

    def loss(model):
        return jnp.sum(model.run(jnp.asarray(INPUTS), last=True).trajectory ** 2)

    gradient = eqx.filter_grad(loss)(model).cell.recurrent
    assert gradient.shape == (T, N, N)

    def value(step, width):
        changed = np.array(model.cell.recurrent)
        changed[step, 1, 2] += width
        cell = eqx.tree_at(lambda c: c.recurrent, model.cell, changed)
        return (loop(cell, INPUTS)[:, -1] ** 2).sum()

    slopes = [(value(k, 1e-6) - value(k, -1e-6)) / 2e-6 for k in range(T)]
    np.testing.assert_allclose(gradient[:, 1, 2], slopes, atol=1e-8)
    assert np.abs(slopes[1:]).min() > 1e-6  # of the first step it is zero: its state is
    # The first step's matrix meets a state of zeros.
    np.testing.assert_array_equal(gradient[0], 0.0)


def test_each_cell_is_drawn_with_a_key_of_its_own(x64, model):
    one = build(jr.split(KEY, T)[3])
    np.testing.assert_allclose(model.cell.recurrent[3], 3 * one.recurrent, rtol=1e-6)
    assert len(np.unique(np.asarray(model.cell.recurrent))) == T * N * N


ZEROS = Elman(M, N, **dict.fromkeys(("recurrent", "input", "bias"), init.zeros()), key=KEY)


def constant(readout=None):
    """The same cell at every step, which takes no time to draw."""
    return Untied(lambda key: ZEROS, T, readout=readout, key=KEY)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Untied(build, 0, key=KEY), "steps must lie in 1"),
        (
            lambda: constant().run(jnp.zeros((B, T + 1, M))),
            "has weights for 6 steps, the inputs have 7",
        ),
        (
            lambda: constant(Readout(3, 1, key=KEY)),
            "the readout takes 3 numbers, but each cell has 4 units",
        ),
        (
            lambda: Untied(lambda key: Network(ZEROS, Readout(N, 1, key=KEY)), T, key=KEY),
            "cannot have a readout of its own",
        ),
        (lambda: constant().predict(jnp.zeros(N)), r"build it as Untied\(build"),
    ],
)
def test_wrong_calls_say_what_is_allowed(call, says):
    with pytest.raises(ValueError, match=says):
        call()
