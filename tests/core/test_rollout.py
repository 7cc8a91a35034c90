"""Rollouts: equal to a plain scan of ``step`` in value and gradients, in bounded memory."""

import subprocess
import sys
import textwrap

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest

import echoic
from echoic import cells, init
from echoic.core import pointwise
from echoic.core.cell import AbstractCell, FunctionCell, PointwiseCell, cast, without_law
from echoic.core.rollout import rollout

KEY = jr.key(0)
ROLLOUT = sys.modules["echoic.core.rollout"]  # the package's attribute is the function
LENGTH, BATCH = 11, 3


class Gauged(PointwiseCell):
    """Everything awkward at once.

    A dense matrix and a function of a matrix inside ``combine``, a nonlinear ``read`` with a
    parameter of its own, a drive of two arrays, a counter in the state, an output that is not
    what is read, and a permutation among the fields.
    """

    recurrent: jax.Array
    dense: jax.Array
    gain: jax.Array
    permutation: jax.Array
    input_size: int = eqx.field(static=True, default=2)
    hidden_size: int = eqx.field(static=True, default=4)

    def initial_state(self):
        return {"h": 0.1 * jnp.ones(4, self.gain.dtype), "steps": jnp.zeros((), jnp.int32)}

    def read(self, state):
        return jnp.tanh(self.gain * state["h"])

    def output(self, state):
        return state["h"][:3] * state["steps"].astype(self.gain.dtype)

    def project(self, xs):
        return {"a": jnp.sin(xs.sum(-1)), "b": xs @ self.dense[:2]}

    def combine(self, state, drive, product):
        turned = self.dense @ jnp.exp(-self.dense) @ state["h"]
        h = jnp.tanh(turned[self.permutation]) * drive["a"] + jax.nn.sigmoid(product) * drive["b"]
        return {"h": h, "steps": state["steps"] + 1}


def gauged():
    keys = jr.split(KEY, 3)
    return Gauged(
        jr.normal(keys[0], (4, 4)), 0.5 * jr.normal(keys[1], (4, 4)), jr.normal(keys[2], (4,)),
        jnp.array([2, 0, 3, 1]),
    )  # fmt: skip


CELLS = {
    "elman": lambda: cells.Elman(2, 4, key=KEY),
    "modrelu": lambda: cells.Elman(2, 4, activation="modrelu", bias=init.constant(0.1), key=KEY),
    "rotation": lambda: cells.Residual(
        2, 4, residual=init.rotation(0.98, period=7), coupling=0.3, key=KEY
    ),
    "lstm": lambda: cells.LSTM(2, 4, key=KEY),
    "peephole": lambda: cells.PeepholeLSTM(2, 4, key=KEY),
    "full peephole": lambda: cells.FullPeepholeLSTM(2, 4, key=KEY),
    "gru": lambda: cells.GRU(2, 4, key=KEY),
    "reset before": lambda: cells.ResetBeforeGRU(2, 4, key=KEY),
    "minimal": lambda: cells.MinimalRNN(2, 4, key=KEY),
    "linear": lambda: cells.LinearRNN(2, 4, key=KEY),
    "network": lambda: cells.Network([cells.LSTM(2, 3, key=KEY), cells.Elman(3, 4, key=KEY)]),
    "gauged": gauged,
}


def plain(cell, xs, state, collect="states"):
    """The oracle: one sequence at a time, ``lax.scan`` of ``step``, reverse mode left to JAX."""

    def advance(state, x):
        new = cell.step(state, x)
        return new, {"states": new, "outputs": cell.output(new), "nothing": None}[collect]

    final, trajectory = jax.vmap(lambda s, x: jax.lax.scan(advance, s, x))(state, xs)
    return trajectory, final


def loss(run):
    """A scalar in which every number of the trajectory and of the last state has its own weight."""

    def weigh(tree):
        floating = jtu.tree_leaves(eqx.filter(tree, eqx.is_inexact_array))
        terms = [
            jnp.vdot(jnp.cos(1.7 * jnp.arange(a.size, dtype=a.dtype)), a.reshape(-1))
            for a in floating
        ]
        return sum(terms, jnp.zeros((), floating[0].dtype if floating else jnp.float32))

    def value(arguments):
        trajectory, final = run(*arguments)
        last = weigh(final)
        return last * jnp.sin(last) + weigh(trajectory).astype(last.dtype)

    return value


def gradient(run, arguments):
    return with_gradient(run, arguments)[0]


def with_gradient(run, arguments):
    """The gradient of the loss in the cell, the inputs and the state; and what ran."""

    def value(arguments):
        ran = tuple(run(*arguments))
        return loss(lambda *_: ran)(arguments), ran

    return eqx.filter_jit(eqx.filter_grad(value, has_aux=True))(arguments)


def arguments(name, dtype=jnp.float32):
    cell = cast(without_law(CELLS[name]()), dtype)
    spread = jr.normal(jr.key(1), (BATCH, 1), dtype)
    state = jtu.tree_map(
        lambda a: a + spread.reshape(BATCH, *[1] * (a.ndim - 1)).astype(a.dtype),
        batched_start(cell),
    )
    return cell, jr.normal(jr.key(2), (BATCH, LENGTH, 2), dtype), state


def batched_start(cell):
    return jtu.tree_map(
        lambda a: jnp.broadcast_to(a, (BATCH, *a.shape)), without_law(cell).initial_state()
    )


def furthest(found, expected):
    """The largest relative deviation over all leaves."""
    assert jtu.tree_structure(found) == jtu.tree_structure(expected)
    deviations = [
        float(np.abs(np.asarray(a) - np.asarray(b)).max() / (np.abs(np.asarray(b)).max() + 1e-30))
        for a, b in zip(jtu.tree_leaves(found), jtu.tree_leaves(expected), strict=True)
    ]
    return max(deviations)


# The backward pass is one for all of them: each of its branches is taken by one of these.
QUICK = ("gauged", "lstm")
EACH = [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CELLS]


@pytest.mark.parametrize("name", EACH)
def test_values_and_gradients_are_those_of_a_plain_scan(name, monkeypatch, x64):
    # Two whole blocks of four steps, and a remainder of three.
    monkeypatch.setattr(ROLLOUT, "divisor_near", lambda length, target: 4)
    given = arguments(name, jnp.float64)
    found = with_gradient(lambda c, xs, s: rollout(c, xs, state=s, collect="states"), given)
    assert furthest(found, with_gradient(plain, given)) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("name", ["elman", "gru"])
def test_gradients_in_single_precision(name):
    given = arguments(name)
    found = gradient(lambda c, xs, s: rollout(c, xs, state=s), given)
    assert furthest(found, gradient(lambda c, xs, s: plain(c, xs, s, "outputs"), given)) < 1e-6


@pytest.mark.parametrize(
    ("name", "collect", "segment"),
    [
        ("elman", "nothing", 4),
        pytest.param("full peephole", "outputs", 100, marks=pytest.mark.slow),
        ("gauged", "outputs", 4),
        pytest.param("network", "outputs", 4, marks=pytest.mark.slow),
        pytest.param("reset before", "states", 4, marks=pytest.mark.slow),
    ],
)
def test_what_is_collected_and_recomputed(name, collect, segment, x64):
    given = arguments(name, jnp.float64)
    found = with_gradient(
        lambda c, xs, s: rollout(c, xs, state=s, collect=collect, segment=segment), given
    )
    assert (found[1][0] is None) == (collect == "nothing")
    assert furthest(found, with_gradient(lambda *a: plain(*a, collect), given)) < 1e-12


def test_one_sequence_is_a_batch_of_one(x64):
    cell, xs, state = arguments("lstm", jnp.float64)
    first = jtu.tree_map(lambda a: a[0], state)
    one = rollout(cell, xs[0], state=first, collect="states")
    many = rollout(cell, xs, state=state, collect="states")
    assert furthest(tuple(one), jtu.tree_map(lambda a: a[0], tuple(many))) < 1e-12


def test_a_scalar_series_and_the_default_state():
    cell = cells.Elman(1, 4, key=KEY)
    series = jr.normal(KEY, (7,))
    found = rollout(cell, series)
    state = cell.initial_state()
    for x in series:
        state = cell.step(state, x[None])
    assert found.trajectory.shape == (7, 4)
    np.testing.assert_allclose(found.final, state, rtol=1e-6)
    np.testing.assert_array_equal(found.trajectory[-1], found.final)


def test_a_bare_function_is_stepped_without_inputs():
    cell = FunctionCell(lambda s, x: 2 * s + (0 if x is None else x), jnp.ones(2))
    assert rollout(cell, jnp.zeros(5)).final.tolist() == [32.0, 32.0]


@pytest.mark.slow
def test_a_batch_under_vmap_and_an_ensemble_of_cells(x64):
    cell, xs, state = arguments("rotation", jnp.float64)

    def loss_of_one(cell, xs, state):
        return jnp.sum(rollout(cell, xs, state=state).trajectory ** 2)

    found = eqx.filter_vmap(eqx.filter_grad(loss_of_one), in_axes=(None, 0, 0))(cell, xs, state)
    whole = eqx.filter_grad(loss_of_one)(cell, xs, state)
    assert furthest(jtu.tree_map(lambda a: a.sum(0), found), whole) < 1e-12

    scaled = cast(cell, jnp.float64)
    pair = jtu.tree_map(lambda a: jnp.stack([a, 0.5 * a]), scaled)
    found = eqx.filter_vmap(eqx.filter_grad(loss_of_one), in_axes=(0, None, None))(pair, xs, state)
    second = eqx.filter_grad(loss_of_one)(jtu.tree_map(lambda a: 0.5 * a, cell), xs, state)
    assert furthest(jtu.tree_map(lambda a: a[1], found), second) < 1e-12


@pytest.mark.slow
def test_curvature_is_that_of_a_plain_scan(x64):
    cell, xs, state = arguments("gru", jnp.float64)
    leaves, rest = eqx.partition(cell, eqx.is_inexact_array)
    tangent = jtu.tree_map(jnp.cos, leaves)

    def product(run):
        value = loss(run)
        slope = jax.grad(lambda p: value((eqx.combine(p, rest), xs, state)))
        return jax.jit(lambda p, v: jax.jvp(slope, (p,), (v,))[1])(leaves, tangent)

    found = product(lambda c, xs, s: rollout(c, xs, state=s, collect="states"))
    assert furthest(found, product(plain)) < 1e-11


def test_forward_mode_on_the_general_path(x64):
    cell, xs, state = arguments("reset before", jnp.float64)
    push = jax.jvp(lambda s: rollout(cell, xs, state=s).final, (state,), (jnp.ones_like(state),))
    truth = jax.jvp(lambda s: plain(cell, xs, s)[1], (state,), (jnp.ones_like(state),))
    assert furthest(push, truth) < 1e-12


def test_nan_passes():
    cell = cells.Elman(1, 4, key=KEY)
    found = rollout(cell, jnp.array([0.0, jnp.nan, 0.0])).trajectory
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True]


def test_cells_that_differ_in_weights_share_one_compilation():
    sizes = []
    for seed in range(3):
        rollout(cells.Elman(1, 4, key=jr.key(seed)), jnp.ones(9))
        sizes.append(ROLLOUT._run._cached._cache_size())
    assert sizes[1] == sizes[0] == sizes[2]


# Mutants: each spoils one share of the hand-written backward pass, and the comparison that the
# first test makes must see it.
OPEN = pointwise._Tape.open
ADD = pointwise._add


def late(self, cell, start):
    """Reads the new state where the old one stood."""
    columns, rebuild = OPEN(self, cell, start)
    return {
        k: self.stored["new", k[1]] if k[0] == "old" else v for k, v in columns.items()
    }, rebuild


def forgetful(*trees):
    """Keeps only the newest share of the gradient."""
    return trees[-1] if len(trees) == 3 else ADD(*trees)


@pytest.mark.parametrize(
    ("where", "name", "mutant"),
    [(pointwise._Tape, "open", late), (pointwise, "_add", forgetful)],
)
def test_wrong_backward_passes_are_seen(where, name, mutant, monkeypatch, x64):
    monkeypatch.setattr(where, name, mutant)
    given = arguments("rotation", jnp.float64)
    found = gradient(
        lambda c, xs, s: pointwise.run(
            (c, s, jnp.swapaxes(xs, 0, 1)), pointwise.Plan("nothing", 4, True)
        )[::-1],
        given,
    )
    assert furthest(found, gradient(lambda *a: plain(*a, "nothing"), given)) > 1e-3


def test_the_tape_stores_nothing_twice():
    cell, xs, state = arguments("elman")
    plan = pointwise.Plan("nothing", LENGTH, True)
    kept = jax.eval_shape(
        lambda: pointwise._forward(cell, state, jnp.swapaxes(xs, 0, 1), plan, keep=True)
    )[1][0]
    tape = kept[1]
    # tanh' is known from the state itself, which is stored in any case: one array.
    assert [leaf.shape for leaf in jtu.tree_leaves(tape)] == [(1, LENGTH, BATCH, 4)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"inputs": jnp.ones((BATCH, LENGTH, 3))},
            r"takes 2 input channel\(s\), the inputs have 3",
        ),
        (
            {"inputs": jnp.ones((1, 1, 1, 2))},
            r"shape \(t,\), \(t, m\) or \(b, t, m\), got \(1, 1, 1",
        ),
        ({"inputs": jnp.ones((BATCH, 0, 2))}, r"empty: got shape \(3, 0, 2\)"),
        ({"inputs": jnp.ones((LENGTH, 2), complex)}, "real numbers, got dtype complex64"),
        ({"collect": "output"}, "Did you mean 'outputs'"),
        ({"segment": 0}, r"segment must lie in 1\.\., got 0"),
        ({"state": jnp.ones((BATCH, 4))}, "structure of the cell's initial_state"),
        ({"state": cells.LSTMState(jnp.ones(4), jnp.ones(4))}, "one state for each sequence"),
        ({"state": cells.LSTMState(jnp.ones((2, 4)), jnp.ones((2, 4)))}, r"got .*\(2, 4\)"),
    ],
)
def test_wrong_calls_are_refused(change, message):
    given = {"inputs": jnp.ones((BATCH, LENGTH, 2))} | change
    inputs = given.pop("inputs")
    with pytest.raises(ValueError, match=message):
        rollout(cells.LSTM(2, 4, key=KEY), inputs, **given)


def test_cells_of_the_library_take_the_fast_path():
    slow = {"ResetBeforeGRU", "Network", "FunctionCell"}
    for make in CELLS.values():
        cell = make()
        assert isinstance(cell, PointwiseCell) or type(cell).__name__ in slow
        assert isinstance(cell, AbstractCell)
    assert echoic.rollout is rollout


MEMORY = """
import resource, sys, threading
import equinox as eqx, jax, jax.numpy as jnp
from echoic.cells import Elman
from echoic.core.rollout import rollout

length = int(sys.argv[1])
cell = Elman(1, 64, key=jax.random.key(0))

@eqx.filter_jit
@eqx.filter_grad
def gradient(cell, xs):
    return jnp.sum(rollout(cell, xs, collect="nothing").final ** 2)

def run(steps):
    xs = jax.random.normal(jax.random.key(1), (64, steps, 1))
    return float(jnp.abs(gradient(cell, xs).recurrent).max())

run(100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert run(length) > 0
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) / 1024, after / 1024)
"""


def peak_memory(length):
    """Additional and total peak of a last-state gradient, n = 64, batch 64, in MiB."""
    command = [sys.executable, "-c", textwrap.dedent(MEMORY), str(length)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(float(word) for word in done.stdout.split())


@pytest.mark.slow
def test_memory_grows_as_the_square_root_of_time():
    # All states would take 320 MiB, the projected inputs as much again.
    assert peak_memory(20_000)[0] < 100


@pytest.mark.slow
def test_a_hundred_thousand_steps_in_two_gigabytes():
    more, total = peak_memory(100_000)
    assert more < 300
    assert total < 2000
