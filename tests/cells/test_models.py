"""Every model that echoic has keeps the contract; no list by hand can forget a newcomer."""

import importlib
import inspect
import math
import pkgutil
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest

import echoic.cells
from echoic.cells import (
    GRU,
    LSTM,
    Bidirectional,
    Elman,
    Embedding,
    LinearRNN,
    MinimalRNN,
    Network,
    Readout,
    ResetBeforeGRU,
    Untied,
    bidirectional,
    network,
    trainable_filter,
)
from echoic.cells.dropout import dropped
from echoic.core.cell import cast, without_law
from echoic.core.model import AbstractModel

KEYS = jr.split(jr.key(0), 8)
# One size for all, so that the small operations compile once.
M, N, P, B, T = 5, 4, 3, 2, 6


def waves(key, shape, dtype):
    """Weights that differ with the key; each shape of random ones would be compiled for long."""
    phase = (jr.key_data(key)[-1] % 1000).astype(dtype)
    return jnp.sin(phase + 1.7 * jnp.arange(math.prod(shape), dtype=dtype)).reshape(shape)


def cell(kind, number, inputs=M, arrays=("recurrent", "input", "bias")):
    return kind(inputs, N, **dict.fromkeys(arrays, waves), key=KEYS[number])


def readout(width=N):
    return Readout(width, P, weight=waves, bias=waves, key=KEYS[2])


def stack(**options):
    return Network([cell(LSTM, 0), cell(Elman, 1, N)], readout(), **options)


def language_model(**options):
    weights = ("recurrent", "input", "bias", "embedding")
    embedding = Embedding(M, N, weight=waves, key=KEYS[3])
    return Network(cell(MinimalRNN, 0, N, weights), "tied", embedding=embedding, **options)


def both_ways(**options):
    weights = ("recurrent", "input", "bias", "candidate_bias")
    pairs = [
        (cell(ResetBeforeGRU, 0), cell(Elman, 1)),
        (cell(Elman, 4, 2 * N), cell(GRU, 5, 2 * N, weights)),
    ]
    return Bidirectional(pairs, readout(2 * N), **options)


def untied():
    def build(key):
        return Elman(M, N, recurrent=waves, input=waves, bias=waves, key=key)

    return Untied(build, T, readout=readout(), key=KEYS[0])


EXAMPLES = {
    Network: [stack, language_model],
    Bidirectional: [both_ways],
    Untied: [untied],
}


def concrete_models():
    for module in pkgutil.iter_modules(echoic.cells.__path__, "echoic.cells."):
        importlib.import_module(module.name)
    return {
        sub
        for sub in AbstractModel.__subclasses__()
        if not inspect.isabstract(sub) and sub.__module__.startswith("echoic.")
    }


def test_every_model_has_an_example():
    assert concrete_models() == set(EXAMPLES)


def each(*quick):
    """All examples, the others than ``quick`` ones among the slow tests."""
    return pytest.mark.parametrize(
        "build",
        [
            pytest.param(build, marks=() if build in quick else pytest.mark.slow)
            for builds in EXAMPLES.values()
            for build in builds
        ],
    )


@pytest.fixture
def model(build, x64):
    return cast(without_law(build()), jnp.float64)


def numbers():
    return jnp.asarray(np.random.default_rng(0).standard_normal((B, T, M)), float)


def symbols():
    return jnp.asarray([[0, 4, 2, 2, 1, 3], [3, 3, 0, 1, 4, 2]])


def flat(tree):
    return jnp.concatenate([leaf.reshape(-1) for leaf in jtu.tree_leaves(tree)])


def differ(found, other):
    return float(jnp.abs(found - other).max()) > 1e-3


def close(found, expected, atol=1e-12):
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def parted(model, inputs):
    """The inputs in two halves, each with the model that reads it."""
    first, second = inputs[:, : T // 2], inputs[:, T // 2 :]
    if not isinstance(model, Untied):
        return (model, first), (model, second)
    later = jtu.tree_map(lambda leaf: leaf[T // 2 :], model.cell)
    return (model, first), (eqx.tree_at(lambda m: m.cell, model, later), second)


def ends(model, trajectory):
    """The outputs of the last step; of a backward cell those at its own end."""
    if not isinstance(model, Bidirectional):
        return trajectory[:, -1]
    return jnp.concatenate([trajectory[:, -1, :N], trajectory[:, 0, N:]], axis=-1)


@eqx.filter_jit
def runs(model):
    """All that is compared, compiled at once."""
    (early, first), (late, second) = parted(model, numbers())
    half = early.run(first)
    hot = jax.nn.one_hot(symbols(), M, dtype=jnp.float64)
    return {
        "whole": model.run(numbers()),
        "end": model.run(numbers(), last=True),
        "half": half,
        "rest": late.run(second, state=half.final),
        "anew": late.run(second),
        "symbols": model.run(symbols()).trajectory,
        "hot": model.run(hot).trajectory,
        "other": model.run((symbols() + 1) % M).trajectory,
    }


@each(stack, untied)
def test_shapes_the_end_the_state_and_symbols(model):
    found = runs(model)
    whole, end, half, rest = (found[name] for name in ("whole", "end", "half", "rest"))
    assert whole.trajectory.shape == (B, T, model.hidden_size)
    assert whole.trajectory.dtype == flat(whole.final).dtype == jnp.float64

    close(end.trajectory, ends(model, whole.trajectory))
    close(flat(end.final), flat(whole.final))

    if isinstance(model, Bidirectional):  # knows the future: its halves are not those of the whole
        assert differ(half.trajectory, whole.trajectory[:, : T // 2])
    else:
        joined = jnp.concatenate([half.trajectory, rest.trajectory], axis=1)
        close(joined, whole.trajectory)
        close(flat(rest.final), flat(whole.final))
    assert differ(flat(rest.final), flat(found["anew"].final))

    close(found["symbols"], found["hot"])
    assert differ(found["symbols"], found["other"])


@pytest.mark.slow
# PyTorch is the oracle of the others' gradients.
@each(untied)
def test_gradients_and_ensembles(model):
    """The gradient along one direction, of an ensemble of models beside this one."""
    trained, fixed = eqx.partition(model, trainable_filter(model))
    direction = jtu.tree_map(lambda leaf: jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype))
                             .reshape(leaf.shape), trained)  # fmt: skip

    def loss(trained):
        model = eqx.combine(trained, fixed)
        return jnp.sum(jnp.sin(model.predict(model.run(symbols()).trajectory)))

    widths = jnp.array([0.0, 1e-6, -1e-6, 0.5])
    members = jax.vmap(lambda width: jtu.tree_map(lambda a, d: a + width * d, trained, direction))(
        widths
    )
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(loss)))(members)
    slope = jnp.vdot(flat(jtu.tree_map(lambda a: a[0], gradients)), flat(direction))
    close(slope, (values[1] - values[2]) / 2e-6, atol=1e-6)
    last = jtu.tree_map(lambda a: a[3], members)
    close(values[3], jax.jit(loss)(last), atol=1e-9)
    assert differ(values[3], values[0])


@pytest.mark.parametrize("build", [pytest.param(stack, marks=pytest.mark.slow), language_model])
def test_without_a_key_nothing_is_left_out(build):
    plain, dropping = without_law(build()), without_law(build(dropout=0.5))

    @jax.jit
    def runs(key):
        return (
            plain.run(symbols(), key=key),
            dropping.run(symbols()),
            dropping.run(symbols(), key=key),
        )

    (whole, silent, one), (_, _, again), (_, _, other) = (runs(jr.key(k)) for k in (3, 3, 4))
    close(flat(tuple(silent)), flat(tuple(whole)))
    close(flat(tuple(one)), flat(tuple(again)))
    assert differ(one.trajectory, other.trajectory)
    # Half of what is read out is zero: the output is dropped too, and afresh at every step.
    kept = one.trajectory != 0
    assert 0.2 < kept.mean() < 0.8
    assert not (kept == kept[:, :1]).all()


def is_unbiased(samples, expected):
    """Within four standard errors everywhere."""
    error = samples.std(axis=0) / np.sqrt(len(samples))
    return bool((np.abs(samples.mean(axis=0) - expected) < 4 * error).all())


def test_what_is_kept_makes_up_for_what_is_left_out():
    xs = jnp.array([1.0, -2.0, 0.5])
    samples = np.asarray(jax.vmap(lambda key: dropped(xs, 0.3, key))(jr.split(jr.key(5), 4000)))
    np.testing.assert_allclose((samples == 0).mean(axis=0), 0.3, atol=0.03)
    assert is_unbiased(samples, xs)
    assert not is_unbiased(samples * 0.7, xs)  # twin: kept as it is


def linear_models():
    """Linear in every mask, so that unbiased masks leave the output unbiased."""
    weights = ("recurrent", "input")
    pairs = [[cell(LinearRNN, i, M, weights) for i in (0, 1)]]
    pairs += [[cell(LinearRNN, i, 2 * N, weights) for i in (2, 3)]]
    embedding = Embedding(M, N, weight=waves, key=KEYS[2])
    cells = [cell(LinearRNN, i, N, weights) for i in (0, 1)]
    return {
        "network": Network(cells, embedding=embedding, dropout=0.4),
        "bidirectional": Bidirectional(pairs, dropout=0.4),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["network", "bidirectional"])
def test_dropout_leaves_the_expectation_as_it_is(name, monkeypatch):
    model = without_law(linear_models()[name])
    expected = model.run(symbols()).trajectory

    def samples():
        run = jax.jit(jax.vmap(lambda key: model.run(symbols(), key=key).trajectory))
        return np.asarray(run(jr.split(jr.key(5), 4000)))

    assert is_unbiased(samples(), expected)
    # The twin that does not rescale what it keeps.
    where = {"network": network, "bidirectional": bidirectional}[name]
    monkeypatch.setattr(where, "dropped", lambda xs, p, key: dropped(xs, p, key) * (1 - p))
    assert not is_unbiased(samples(), expected)


@pytest.mark.parametrize(
    ("build", "places"),
    [
        # Between the layers, and of the output.
        pytest.param(stack, [(B, T, N), (B, T, N)], marks=pytest.mark.slow),
        (language_model, [(B, T, N), (B, T, N)]),  # the embedded input, and the output
        pytest.param(both_ways, [(B, T, 2 * N), (B, T, 2 * N)], marks=pytest.mark.slow),
    ],
)
def test_where_numbers_are_left_out(build, places, monkeypatch):
    seen = []

    def record(xs, dropout, key):
        seen.append((xs.shape, key))
        return xs

    for where in (network, bidirectional):
        monkeypatch.setattr(where, "dropped", record)
    model = build(dropout=0.5)
    found = model.run(symbols(), key=jr.key(0))
    assert [shape for shape, _ in seen] == places
    assert len({tuple(jr.key_data(key).tolist()) for _, key in seen}) == len(seen)
    # With masks that change nothing it is the run without any.
    close(flat(tuple(found)), flat(tuple(model.run(symbols()))), atol=1e-6)
    seen.clear()
    model.run(symbols(), key=jr.key(0), last=True)
    assert [shape for shape, _ in seen] == [*places[:-1], (places[-1][0], places[-1][2])]


@each(stack, language_model, both_ways, untied)
def test_wrong_inputs_say_what_is_allowed(build):
    model = build()
    wrong = {
        "got shape (2, 6, 4)": jnp.zeros((B, T, M - 1)),
        "got shape (2, 5)": jnp.zeros((B, M)),
        "integers of shape (2, 6, 5)": jnp.zeros((B, T, M), int),
        "symbols must lie in 0..4, got 0..5": jnp.array([[0, 5]]),
        "symbols must lie in 0..4, got -1..0": jnp.array([[0, -1]]),
        "got shape (0, 6, 5)": jnp.zeros((0, T, M)),
    }
    for says, inputs in wrong.items():
        with pytest.raises(ValueError, match=re.escape(says)):
            model.run(inputs)


@pytest.mark.parametrize("length", [T, pytest.param(1, marks=pytest.mark.slow)])
def test_symbols_that_nobody_can_look_at_become_nan(length):
    model = Network(Elman(M, N, key=KEYS[1]))
    strange = symbols()[:, :length].at[0, 0].set(M)
    found = jax.jit(lambda inputs: model.run(inputs).trajectory)(strange)
    assert np.isnan(found[0]).all()
    assert not np.isnan(found[1]).any()
