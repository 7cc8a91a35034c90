"""Whole runs: against torch, against each other, and where they go wrong."""

import dataclasses
import math
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from echoic import init
from echoic.cells import Bidirectional, Elman, Embedding, Network, Readout, Residual
from echoic.core.cell import cast, without_law
from echoic.core.task import Batch
from echoic.core.threads import num_workers
from echoic.training import Optimiser, train
from echoic.training.ensemble import mode_of
from echoic.training.members import take_apart

KEY = jax.random.key(0)
ADAM = Optimiser(learning_rate=0.01, clip=1.0)


def go(model, task, steps=40, **options):
    """A run of a few steps; those that share shapes share one compilation."""
    options = {"batch": 8, "every": 20, "validation_size": 16, "optimiser": ADAM} | options
    return train(model, task, steps=steps, key=KEY, **options)


def arrays(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


def apart(one, other):
    pairs = zip(arrays(one), arrays(other), strict=True)
    return max(np.abs(a - b).max() for a, b in pairs)


@pytest.fixture(scope="module")
def runs(build, mean):
    """Three members, one by one and stacked; shared by tests, as compiling takes longest."""
    return {mode: go(build, mean, seeds=3, together=mode) for mode in ("threads", "stacked")}


def torch_run(model, data, steps, make, clip):
    """The same training in torch, on the whole set at once."""
    cell, readout = model.cells[0], model.readout
    net = torch.nn.RNN(1, cell.hidden_size, batch_first=True, dtype=torch.float64)
    line = torch.nn.Linear(cell.hidden_size, 1, dtype=torch.float64)
    tensor = lambda array: torch.tensor(np.asarray(array))  # noqa: E731
    with torch.no_grad():
        net.weight_hh_l0.copy_(tensor(cell.recurrent))
        net.weight_ih_l0.copy_(tensor(cell.input))
        net.bias_ih_l0.copy_(tensor(cell.bias))
        net.bias_hh_l0.zero_()
        line.weight.copy_(tensor(readout.weight))
        line.bias.copy_(tensor(readout.bias))
    net.bias_hh_l0.requires_grad_(False)
    trained = [net.weight_hh_l0, net.weight_ih_l0, net.bias_ih_l0, line.weight, line.bias]
    optimiser = make(trained)
    norms = []
    for _ in range(steps):
        optimiser.zero_grad()
        outputs, _ = net(tensor(data.inputs))
        torch.nn.functional.mse_loss(line(outputs[:, -1]), tensor(data.targets)).backward()
        norms.append(math.sqrt(sum(float((p.grad**2).sum()) for p in trained)))
        for parameter in trained:
            parameter.grad *= min(1, clip / norms[-1])
        optimiser.step()
    return [parameter.detach().numpy() for parameter in trained], norms


@pytest.mark.parametrize(
    ("rule", "make"),
    [
        (
            Optimiser("adam", learning_rate=0.05, clip=0.1),
            lambda p: torch.optim.Adam(p, lr=0.05),
        ),
        pytest.param(
            Optimiser("sgd", learning_rate=0.1, clip=0.1),
            lambda p: torch.optim.SGD(p, lr=0.1),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            Optimiser("rmsprop", learning_rate=0.01, clip=0.1),
            lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-7),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["adam", "sgd", "rmsprop"],
)
def test_training_is_that_of_torch(x64, make_set, build, rule, make):
    keys = jax.random.split(jax.random.key(3))
    model = cast(Network(build(keys[0]), Readout(4, 1, key=keys[1])), jnp.float64)
    task = make_set(size=8, dtype=jnp.float64)
    run = go(model, task, steps=5, every=5, optimiser=rule)
    expected, norms = torch_run(model, task.train, 5, make, clip=0.1)
    cell, readout = run.last[0].cells[0], run.last[0].readout
    found = [cell.recurrent, cell.input, cell.bias, readout.weight, readout.bias]
    assert max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True)) < 1e-12
    (_, norm), (_, largest) = (
        run.history.curve(name) for name in ("gradient_norm", "largest_gradient_norm")
    )
    assert norm[0] == pytest.approx(np.mean(norms), rel=1e-9)
    assert largest[0] == pytest.approx(max(norms), rel=1e-9)
    assert max(norms) > 0.1  # what was to be clipped was there


# --- members --------------------------------------------------------------------------------------


def test_members_are_single_runs_bit_for_bit(runs, build, mean):
    alone = go(build, mean, seeds=(2,))
    assert same(alone.last[0], runs["threads"].last[2])
    assert same(alone.networks[0], runs["threads"].networks[2])
    assert not same(alone.last[0], runs["threads"].last[1])
    curve = alone.history.curve("validation_loss")
    assert np.array_equal(curve, runs["threads"].history.curve("validation_loss", member=2))
    assert np.array_equal(alone.test_loss, runs["threads"].test_loss[2:])


def test_stacked_members_are_single_runs_to_rounding(runs):
    for one, other in zip(runs["threads"].last, runs["stacked"].last, strict=True):
        assert apart(one, other) < 1e-5
    for name in ("train_loss", "validation_loss", "gradient_norm", "largest_gradient_norm"):
        columns = [runs[mode].history.column(name) for mode in ("threads", "stacked")]
        assert np.allclose(*columns, rtol=1e-4)


def test_members_have_weights_and_batches_of_their_own(runs):
    first, second, _ = runs["threads"].last
    assert apart(first, second) > 0.1
    losses = [runs["threads"].history.curve("train_loss", member=i)[1][0] for i in range(3)]
    assert len(set(losses)) == 3


def test_hyperparameters_may_differ_between_members(build, mean, runs):
    model = without_law(Network(build(KEY), Readout(4, 1, key=KEY)))
    rules = [dataclasses.replace(ADAM, learning_rate=rate) for rate in (0.0, 0.01)]
    run = go([model, model], mean, seeds=2, optimiser=rules)
    assert same(run.last[0], model)
    assert apart(run.last[1], model) > 0.01
    assert run.config["optimiser"]["learning_rate"] == [0.0, 0.01]


def test_a_second_run_compiles_nothing(build, mean, runs):
    import jax._src.test_util as jtu  # noqa: TID251 - counts compilations

    with jtu.count_jit_compilation_cache_miss() as count:
        go(build, mean, seeds=(7,), optimiser=dataclasses.replace(ADAM, learning_rate=0.3))
    assert count() == 0


def test_a_key_of_the_old_kind_is_as_good(build, mean):
    options = {"steps": 20, "batch": 8, "every": 20, "validation_size": 16, "optimiser": ADAM}
    new, old = (train(build, mean, key=make(0), **options) for make in (jax.random.key, raw_key))
    assert same(new.last, old.last)


def raw_key(seed):
    return jax.random.key_data(jax.random.key(seed))


@pytest.mark.parametrize(("backend", "mode"), [("cpu", "threads"), ("gpu", "stacked")])
def test_the_faster_way_depends_on_the_device(monkeypatch, backend, mode):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert mode_of("auto", 4) == mode
    assert mode_of("auto", 1) == "threads"
    assert mode_of("stacked", 4) == "stacked"
    assert (num_workers(4) > 1) == (mode == "threads" and len(os.sched_getaffinity(0)) > 1)


# --- what is kept ---------------------------------------------------------------------------------


def test_the_best_network_is_that_of_the_lowest_validation_loss(build, mean):
    # A rate so large that the loss rises after it has fallen.
    run = go(build, mean, steps=40, every=1, optimiser=dataclasses.replace(ADAM, learning_rate=0.3))
    steps, losses = run.history.curve("validation_loss")
    assert run.best_loss[0] == losses.min()
    assert run.best_step[0] == steps[losses.argmin()]
    assert run.best_step[0] < 40
    assert not same(run.networks[0], run.last[0])


@pytest.mark.slow
def test_the_test_sequences_are_not_the_validation_sequences(x64, make_set, build):
    task = make_set(size=8, dtype=jnp.float64)
    shifted = eqx.tree_at(lambda t: t.test, task, Batch(task.test.inputs, task.test.targets + 10.0))
    model = cast(Network(build(KEY), Readout(4, 1, key=KEY)), jnp.float64)
    runs = [go(model, one) for one in (task, shifted)]
    assert same(runs[0].networks, runs[1].networks)
    assert runs[0].best_loss == runs[1].best_loss
    assert runs[1].test_loss[0] > 50


def test_the_users_arrays_are_left_alone(build, mean):
    cell = build(KEY)
    before = arrays(cell)
    go(cell, mean)
    assert all(np.array_equal(a, b) for a, b in zip(arrays(cell), before, strict=True))


@pytest.mark.slow
def test_decay_does_not_touch_what_is_fixed(mean):
    cell = Residual(1, 4, key=KEY)
    rule = Optimiser("sgd", learning_rate=0.1, weight_decay=1.0)
    run = go(cell, mean, steps=20, optimiser=rule)
    trained = run.last[0].cells[0]
    for name in cell.fixed:
        assert np.array_equal(getattr(trained, name), getattr(cell, name))
    assert np.abs(trained.recurrent).max() < 0.3 * np.abs(cell.recurrent).max()


def test_what_is_fixed_is_no_weight():
    model = without_law(Network(Residual(1, 4, key=KEY), Readout(4, 1, key=KEY)))
    _, (weights,), (constants,) = take_apart([model], [ADAM], 1, [KEY], [KEY])
    cell = weights.cells[0]
    # Decay multiplies what is here, and nothing else.
    assert all(getattr(cell, name) is None for name in cell.fixed)
    assert np.array_equal(constants.fixed.cells[0].moduli, model.cells[0].moduli)
    assert cell.recurrent is not None


def test_it_learns_and_says_how_it_was(build, mean):
    run = go(build, mean, steps=300, every=100)
    assert run.test_loss[0] < 0.02 < run.chance
    assert run.outcomes[0].sentence == "finished after 300 steps"
    assert run.history.curve("train_loss")[0].tolist() == [100, 200, 300]
    assert run.history.curve("accuracy")[0].tolist() == []
    header, *lines = run.history.to_csv().splitlines()
    assert header.startswith("step,member,train_loss,validation_loss,accuracy,gradient_norm")
    assert len(lines) == 3
    assert ",," in lines[0]


def test_calls_of_any_length_give_the_same_bits(build, mean, monkeypatch):
    from echoic.training import ensemble

    whole = go(build, mean)
    monkeypatch.setattr(ensemble, "_SECONDS_A_CALL", 0.0)
    assert same(go(build, mean).last, whole.last)


# --- stopping -------------------------------------------------------------------------------------


def test_patience_counts_updates_without_a_better_loss(build, mean):
    rule = dataclasses.replace(ADAM, learning_rate=0.0)
    run = go(build, mean, steps=400, patience=60, optimiser=rule)
    # The first examination is the best one: nothing changes after it.
    assert run.best_step[0] == 20
    assert run.outcomes[0].kind == "stopped"
    assert run.outcomes[0].step == 80
    assert "no better validation loss" in run.outcomes[0].sentence


@pytest.mark.slow
def test_a_target_ends_a_member_and_the_others_go_on(build, mean, runs):
    losses = [runs["threads"].history.curve("validation_loss", member=i)[1] for i in range(3)]
    # Just above the second: rounding must not decide.
    target = 1.001 * float(np.median([values[0] for values in losses]))
    run = go(build, mean, seeds=3, target_loss=target)
    for outcome, values in zip(run.outcomes, losses, strict=True):
        assert outcome.step == (20 if values[0] <= target else 40)
    early = [i for i, values in enumerate(losses) if values[0] <= target]
    assert 0 < len(early) < 3
    # A member that has stopped has the weights of that moment, stacked or not.
    stacked = go(build, mean, seeds=3, target_loss=target, together="stacked")
    assert apart(run.last, stacked.last) < 1e-5


# --- where it goes wrong --------------------------------------------------------------------------


def test_divergence_freezes_the_last_finite_weights(build, mean):
    rule = dataclasses.replace(ADAM, learning_rate=1e30)
    run = go(build, mean, steps=60, optimiser=rule)
    (outcome,) = run.outcomes
    assert outcome.kind == "diverged"
    assert f"step {outcome.step} (counted from 0) was not finite" in outcome.sentence
    assert all(np.isfinite(leaf).all() for leaf in arrays(run.last))
    # The run up to that step, and no further.
    short = go(build, mean, steps=max(1, outcome.step), optimiser=rule)
    assert outcome.step > 0
    assert same(short.last, run.last)


def test_one_member_diverges_and_the_others_do_not_notice(build, mean, runs):
    model = without_law(Network(build(KEY), Readout(4, 1, key=KEY)))
    bad = eqx.tree_at(lambda m: m.readout.bias, model, jnp.full(1, jnp.inf))
    found = [go([model, bad, model], mean, seeds=3, together=m) for m in ("threads", "stacked")]
    for run in found:
        assert [outcome.kind for outcome in run.outcomes] == ["finished", "diverged", "finished"]
        assert run.outcomes[1].step == 0
    for one, other in zip(*(run.last for run in found), strict=True):
        assert np.array_equal(one.readout.bias, other.readout.bias) or apart(one, other) < 1e-5


def test_nan_in_sets_is_found_before_training(make_set, build):
    task = make_set()
    for part in ("train", "validation", "test"):
        data = getattr(task, part)
        bad = data._replace(inputs=data.inputs.at[3, 2, 0].set(jnp.nan))
        name = {"train": "training"}.get(part, part)
        with pytest.raises(ValueError, match=rf"inputs of the {name} data must be finite: 1 of"):
            go(build, eqx.tree_at(lambda t, part=part: getattr(t, part), task, bad), batch=4)


class Odd:
    """A task that returns whatever it is told to."""

    input_size, output_size = 1, 2

    def __init__(self, *parts):
        self.parts = parts

    def sample(self, key, batch):
        return tuple(
            jnp.zeros((batch, *part), jnp.int32 if i and len(part) < 2 else jnp.float32)
            for i, part in enumerate(self.parts)
        )


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (((6, 1), (5, 2)), r"targets of the validation data must have shape \(16, 6, 2\)"),
        (((6, 1), (6, 3)), r"targets of the validation data must have shape \(16, 6, 2\)"),
        (((6, 2), (6, 2)), r"have 2 channel\(s\), but the task's input_size is 1"),
        (((6,), (6, 2)), r"inputs of the validation data must be numbers \(b, t, m\)"),
        (((0, 1), (0, 2)), "the validation data is empty"),
        (((6, 1), (6, 2), (5, 1)), r"weights of the validation data must have shape \(16, 6\)"),
        (((6, 1), (6, 2), (6,)), "are all 0: nothing is asked"),
    ],
)
def test_batches_that_do_not_fit_are_refused(build, parts, message):
    with pytest.raises(ValueError, match=message):
        go(build, Odd(*parts))


def test_symbols_and_classes_out_of_range_are_refused(text, build):
    task = eqx.tree_at(lambda t: t.symbols, text, text.symbols + 1)
    with pytest.raises(ValueError, match=r"inputs of the training data must lie in 0\.\.2, got"):
        go(lambda key: Elman(3, 4, key=key), task, batch=2)


def test_model_and_task_must_have_the_same_sizes(mean, text):
    with pytest.raises(ValueError, match=r"model takes 2 input\(s\), the task gives 1"):
        go(Elman(2, 4, key=KEY), mean)
    with pytest.raises(ValueError, match=r"readout has 5 output\(s\), the task wants 1"):
        go(Network(Elman(1, 4, key=KEY), Readout(4, 5, key=KEY)), mean)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"steps must lie in 1\.\., got 0"),
        ({"every": 0}, "every must lie in 1"),
        ({"batch": 0}, "batch must lie in 1"),
        ({"seeds": 0}, "seeds must lie in 1"),
        ({"seeds": (1, 1)}, "all different"),
        ({"patience": 0}, "patience must lie in 1"),
        ({"optimiser": "adamm"}, "Did you mean 'adam'"),
        ({"together": "stakced"}, "Did you mean 'stacked'"),
        ({"loss": "mse"}, "unknown loss 'mse'"),
        ({"loss": "cross_entropy"}, "cross_entropy wants integer classes"),
        ({"checkpoint_seconds": -1.0}, "checkpoint_seconds must be at least 0"),
        ({"target_loss": float("nan")}, "target_loss must be a number"),
        ({"resume": True}, "resume=True needs the folder"),
    ],
)
def test_wrong_arguments_are_refused(build, mean, options, message):
    with pytest.raises(ValueError, match=message):
        go(build, mean, **options)


def test_an_embedding_reads_no_numbers(build, mean):
    network = Network(
        Elman(3, 4, key=KEY), Readout(4, 1, key=KEY), embedding=Embedding(1, 3, key=KEY)
    )
    with pytest.raises(ValueError, match="an embedding reads symbols"):
        go(network, mean)


@pytest.mark.slow
def test_a_run_is_told_in_a_few_lines(build, mean):
    run = go(build, mean, steps=2, every=1, seeds=2)
    first, *members = repr(run).splitlines()
    assert first == "TrainingRun of 2 network(s)"
    assert [line.endswith("finished after 2 steps") for line in members] == [True, True]


def test_wrong_models_are_refused(build, mean):
    with pytest.raises(ValueError, match="2 seeds need 2 networks: pass a function"):
        go(build(KEY), mean, seeds=2)
    with pytest.raises(ValueError, match="got 1 networks for 2 seeds"):
        go([build(KEY)], mean, seeds=2)
    with pytest.raises(ValueError, match="must return a cell or a network, got int"):
        go(lambda key: 3, mean)
    other = Elman(1, 5, key=KEY)
    with pytest.raises(ValueError, match="may differ in the values of their weights only"):
        go([build(KEY), other], mean, seeds=2)


def test_a_stream_wants_a_network_with_a_state(text):
    cells = [Elman(3, 4, key=KEY)] * 2
    model = Bidirectional([cells], Readout(8, 3, key=KEY))
    with pytest.raises(ValueError, match="carried from segment to segment, but Bidirectional has"):
        go(model, text, batch=2)


# --- one's own ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_optax_transformation_of_ones_own(build, mean, runs):
    own = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.01))
    assert apart(go(build, mean, seeds=(0,), optimiser=own).last[0], runs["threads"].last[0]) < 1e-5


class ByNumPy:
    """The twin of the task of the other tests, drawn on the host; NaN where a number is large."""

    input_size = output_size = 1

    def __init__(self, twin):
        self.twin = twin

    def sample(self, key, batch):
        xs, ys, _ = self.twin.sample(key, batch)
        return np.where(np.abs(xs) < 1.9995, xs, np.nan), np.asarray(ys)


@pytest.mark.slow
def test_a_numpy_task_trains_like_its_jax_twin_until_a_nan_comes(build, mean):
    run = go(build, ByNumPy(mean), steps=400, every=20)
    (outcome,) = run.outcomes
    assert outcome.kind == "diverged"
    # Beyond the steps that the host feeds at once.
    assert 64 < outcome.step < 400
    assert apart(run.last, go(build, mean, steps=outcome.step).last) < 1e-5


@pytest.mark.slow
def test_the_state_of_a_stream_is_carried_from_segment_to_segment(text):
    def cell(key):
        return Elman(3, 4, recurrent=init.orthogonal(1.0), input=init.uniform(2.0), key=key)

    rule = dataclasses.replace(ADAM, learning_rate=0.0)
    run = go(cell, text, batch=2, steps=12, every=6, optimiser=rule)
    rows = np.asarray(text.symbols).reshape(2, 40)
    whole, hits = by_hand(run.network, rows[:, :36], rows[:, 1:37])
    # Both epochs begin with a fresh state; validation reads on like training.
    found = [run.history.curve(name)[1] for name in ("train_loss", "validation_loss")]
    assert np.ravel(found) == pytest.approx([whole] * 4, abs=1e-5)
    parts = [text.segment(i, 2) for i in range(6)]
    reset = np.mean([by_hand(run.network, part.inputs, part.targets)[0] for part in parts])
    assert abs(reset - whole) > 1e-3
    assert run.history.curve("accuracy")[1][0] == pytest.approx(hits)


def by_hand(model, symbols, targets):
    """Cross-entropy and accuracy of a run from zero, in NumPy."""
    cell, readout = model.cells[0], model.readout
    weights = [np.asarray(a, float) for a in (cell.recurrent, cell.input, cell.bias)]
    state, losses, hits = np.zeros((len(symbols), 4)), [], []
    for xs, ys in zip(np.asarray(symbols).T, np.asarray(targets).T, strict=True):
        state = np.tanh(state @ weights[0].T + weights[1].T[xs] + weights[2])
        logits = state @ np.asarray(readout.weight, float).T + np.asarray(readout.bias, float)
        chosen = logits[np.arange(len(ys)), ys]
        losses.append(np.log(np.exp(logits).sum(-1)) - chosen)
        hits.append(logits.argmax(-1) == ys)
    return np.mean(losses), np.mean(hits)
