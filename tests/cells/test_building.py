"""What is kept of the initialisers, what is trained, what compiles, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from echoic import init
from echoic.cells import (
    GRU,
    LSTM,
    Elman,
    FullPeepholeLSTM,
    LinearRNN,
    MinimalRNN,
    Network,
    PeepholeLSTM,
    Readout,
    ResetBeforeGRU,
    Residual,
    trainable_filter,
)
from echoic.core.cell import cast, without_law

KEY = jr.key(4)
FAMILIES = [
    Elman,
    Residual,
    MinimalRNN,
    LinearRNN,
    LSTM,
    PeepholeLSTM,
    FullPeepholeLSTM,
    GRU,
    ResetBeforeGRU,
]


def arrays(cell):
    return [name for name in vars(cell) if eqx.is_array(getattr(cell, name))]


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_law_goes_when_any_weight_changes(kind):
    cell = kind(2, 4, key=KEY)
    assert cell.hyperparameters().family == kind.__name__
    for name in arrays(cell):
        changed = eqx.tree_at(
            lambda c, name=name: getattr(c, name), cell, replace_fn=lambda a: a + 1
        )
        assert changed.hyperparameters() is None, name


def test_the_law_survives_a_cast(x64):
    cell = Elman(2, 4, key=KEY)
    assert cast(cell, jnp.float64).hyperparameters() == cell.law


def test_the_law_of_traced_weights_is_taken_at_its_word():
    ensemble = eqx.filter_vmap(lambda key: LinearRNN(2, 4, key=key))(jr.split(KEY, 3))
    assert ensemble.recurrent.shape == (3, 4, 4)
    assert ensemble.hyperparameters().fingerprint is None


def test_the_law_lists_what_was_given():
    cell = Elman(2, 4, recurrent=init.chain(1.02), input=init.source(), key=KEY)
    law = dict(cell.hyperparameters().parameters)
    assert law["recurrent"] == init.chain(1.02)
    assert law["input"] == init.source(0.9)
    assert law["activation"] == "tanh"
    law = dict(GRU(2, 4, recurrent={"n": init.chain(1.0)}, key=KEY).hyperparameters().parameters)
    assert law["recurrent.n"] == init.chain(1.0)
    assert law["recurrent.r"] == init.uniform()


def gates_are_orthogonal(stack, gates):
    for block in np.split(np.asarray(stack, np.float64), gates):
        np.testing.assert_allclose(block @ block.T, np.eye(len(block)), atol=1e-6)


@pytest.mark.parametrize(("kind", "gates"), [(LSTM, 4), (GRU, 3), (ResetBeforeGRU, 3)])
def test_orthogonal_is_drawn_for_each_gate(kind, gates):
    cell = kind(2, 4, recurrent=init.orthogonal(), key=KEY)
    gates_are_orthogonal(cell.recurrent, gates)
    blocks = list(cell.recurrent_blocks().values())
    assert np.abs(np.asarray(blocks[0] - blocks[1])).max() > 0.1  # gates differ
    with pytest.raises(AssertionError):  # mutant: one draw for the stacked matrix
        gates_are_orthogonal(init.orthogonal()(KEY, cell.recurrent.shape), gates)


def test_blocks_carry_the_gates_names():
    lstm = LSTM(2, 4, recurrent={"g": init.chain(1.0), "o": init.identity(2.0)}, key=KEY)
    blocks = lstm.recurrent_blocks()
    np.testing.assert_array_equal(blocks["g"], np.eye(4, k=-1))
    np.testing.assert_array_equal(blocks["o"], 2 * np.eye(4))
    np.testing.assert_array_equal(lstm.recurrent[8:12], np.eye(4, k=-1))  # third of i, f, g, o
    gru = GRU(2, 4, recurrent={"z": init.chain(1.0)}, key=KEY)
    np.testing.assert_array_equal(gru.recurrent[4:8], np.eye(4, k=-1))  # second of r, z, n
    np.testing.assert_array_equal(gru.recurrent_blocks()["z"], np.eye(4, k=-1))


CANDIDATES = {
    "elman": [
        lambda key: Elman(2, 4, key=key),
        lambda key: Elman(2, 4, recurrent=init.chain(1.0), input=init.source(), key=key),
        lambda key: Elman(2, 4, recurrent=init.weakly_coupled(), bias=init.zeros(), key=key),
    ],
    "residual": [
        lambda key: Residual(2, 4, key=key),
        lambda key: Residual(2, 4, residual=init.rotation(0.9, period=8), key=key),
        lambda key: Residual(2, 4, residual=init.heterogeneous_decay(), coupling=0.2, key=key),
        lambda key: Residual(2, 4, residual=init.heterogeneous(), key=key),
    ],
    "lstm": [
        lambda key: LSTM(2, 4, key=key),
        lambda key: LSTM(2, 4, recurrent={"g": init.chain(1.0)}, bias=init.chrono(9), key=key),
    ],
    "linear": [
        lambda key: LinearRNN(2, 4, key=key),
        lambda key: LinearRNN(2, 4, recurrent=init.constant(1.0), key=key),
    ],
}


@pytest.mark.parametrize("family", CANDIDATES)
def test_one_family_compiles_once_whatever_the_initialiser(family):
    traces = []

    @eqx.filter_jit
    def step(cell, x):
        traces.append(None)
        return cell.step(cell.initial_state(), x)

    for build, key in zip(CANDIDATES[family], jr.split(KEY, 4), strict=False):
        step(without_law(build(key)), jnp.ones(2))
    assert len(traces) == 1


def test_what_is_fixed_is_not_trained():
    net = Network([Residual(2, 4, key=KEY), Elman(4, 3, key=KEY)], Readout(3, 1, key=KEY))
    trained, fixed = eqx.partition(net, trainable_filter(net))
    assert [getattr(fixed.cells[0], n) is not None for n in arrays(net.cells[0])] == [
        n in ("moduli", "angles", "coupling") for n in arrays(net.cells[0])
    ]
    assert trained.cells[1].recurrent is not None
    assert trained.readout.weight is not None
    assert trained.cells[0].law is None
    whole = eqx.combine(trained, fixed)
    assert jax.tree_util.tree_structure(whole) == jax.tree_util.tree_structure(net)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Elman(0, 4, key=KEY), "input_size must lie in 1"),
        (lambda: Elman(2, 0, key=KEY), "hidden_size must lie in 1"),
        (lambda: Elman(2, 4, activation="tanhh", key=KEY), "Did you mean 'tanh'"),
        (
            lambda: Elman(2, 4, recurrent=lambda key, shape, dtype: jnp.zeros(3), key=KEY),
            r"recurrent must draw shape \(4, 4\)",
        ),
        (lambda: LSTM(2, 4, recurrent={"z": init.zeros()}, key=KEY), "unknown gate in recurrent"),
        (lambda: LSTM(2, 4, bias={"f": 1.0}, key=KEY), "bias of gate 'f' must be an initialiser"),
        (lambda: Residual(2, 4, residual=init.gaussian(), key=KEY), "family with a known spectrum"),
        (lambda: Residual(2, 3, residual=init.rotation(period=4), key=KEY), "n must be even"),
        (lambda: Residual(2, 4, path="relu", key=KEY), "unknown path 'relu'"),
        (lambda: Residual(2, 4, coupling=float("nan"), key=KEY), "coupling must lie in"),
        (lambda: LinearRNN(2, 4, parametrisation="ntk", key=KEY), "unknown parametrisation"),
        (lambda: MinimalRNN(2, 4, activation="relu", key=KEY), "unknown activation 'relu'"),
        (lambda: Network([]), "one cell or more"),
        (
            lambda: Network([Elman(2, 4, key=KEY), Elman(3, 4, key=KEY)]),
            "cell 1 takes 3 inputs, but cell 0 has 4 units",
        ),
        (
            lambda: Network(Elman(2, 4, key=KEY), Readout(3, 1, key=KEY)),
            "the readout takes 3 numbers, but the last cell has 4 units",
        ),
        (lambda: Network(Elman(2, 4, key=KEY)).predict(jnp.zeros(4)), "no readout"),
    ],
)
def test_wrong_calls_say_what_is_allowed(build, says):
    with pytest.raises(ValueError, match=says):
        build()


def test_any_callable_initialiser_will_do():
    cell = Elman(2, 4, recurrent=jax.nn.initializers.orthogonal(), key=KEY)
    np.testing.assert_allclose(cell.recurrent @ cell.recurrent.T, np.eye(4), atol=1e-6)
    assert cell.hyperparameters() is not None
