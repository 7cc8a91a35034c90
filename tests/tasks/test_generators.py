"""What every generator keeps: shapes, chance, a solver that solves, purity, and its name."""

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import pytest

from echoic import tasks

# Small ones. The second number is what a perfect solver costs.
GENERATORS = {
    "copy": (tasks.Copy(6, num_symbols=3, alphabet=4), 0),
    "adding": (tasks.Adding(9), 0),
    "temporal_order": (
        tasks.TemporalOrder(12, first_start=1, first_stop=4, second_start=4, second_stop=9),
        0,
    ),
    "delayed_recall": (tasks.DelayedRecall(7, noise=2.0), 0),
    "n_back": (tasks.NBack(3, length=9, num_symbols=5), 0),
    "n_back match": (tasks.NBack(3, length=9, num_symbols=5, answer="match"), 0),
    "sine": (tasks.Sine(30), 0),
    "phase": (tasks.Phase(28, period=14, amplitude=0.3), None),
}
each = pytest.mark.parametrize("which", GENERATORS)


@each
def test_a_batch_is_as_the_contract_says(which, sampled):
    task, _ = GENERATORS[which]
    batch = sampled(task)
    classes = task.loss == "cross_entropy"
    assert batch.inputs.shape[0] == batch.targets.shape[0] == 4000
    if batch.inputs.dtype.kind == "i":
        assert batch.inputs.ndim == 2
        assert set(np.unique(batch.inputs)) == set(range(task.input_size))
    else:
        assert batch.inputs.dtype == np.float32
        assert batch.inputs.ndim == 3
        assert batch.inputs.shape[2] == task.input_size
    if classes:
        assert batch.targets.dtype == np.int32
        assert set(np.unique(batch.targets)) == set(range(task.output_size))
    else:
        assert batch.targets.dtype == np.float32
        assert batch.targets.shape[-1] == task.output_size
    steps = batch.targets.shape[1 : None if classes else -1]
    assert steps in ((), batch.inputs.shape[1:2])
    if batch.weights is not None:
        assert batch.weights.shape == batch.inputs.shape[:2]


@each
def test_chance_is_the_cost_of_the_best_constant(which, sampled, measured):
    task, _ = GENERATORS[which]
    mean, error = measured.constant_cost(sampled(task), task.loss)
    # In its own sample the best constant is too good, by one part in 2 n for each free number.
    bias = task.output_size / 4000
    assert abs(mean - task.chance) < 4 * error + bias
    # A chance level that is off by a tenth would be noticed.
    assert 4 * error + bias < 0.1 * task.chance


@each
def test_the_solver_solves(which, sampled, measured):
    task, wanted = GENERATORS[which]
    batch = sampled(task)
    predictions = np.asarray(task.solve(jnp.asarray(batch.inputs)))
    assert (
        predictions.shape
        == (*batch.targets.shape[: batch.targets.ndim], task.output_size)[: predictions.ndim]
    )
    mean, _ = measured.cost(predictions, batch, task.loss)
    if wanted is not None:
        assert mean < 1e-8
    elsewhere = batch._replace(targets=np.roll(batch.targets, 1, axis=0))
    assert measured.cost(predictions, elsewhere, task.loss)[0] > task.chance


@each
def test_a_key_is_a_batch(which, sampled):
    task, _ = GENERATORS[which]
    first, second = sampled(task, seed=0), sampled(task, seed=1)
    assert not np.array_equal(first.inputs, second.inputs)
    for part, again in zip(jtu.tree_leaves(first), jtu.tree_leaves(sampled(task)), strict=True):
        assert np.array_equal(part, again)


@pytest.mark.slow
@each
def test_draws_are_the_same_however_they_are_compiled(which):
    task, _ = GENERATORS[which]
    keys = jnp.stack([jax.random.key(0), jax.random.key(1)])
    many = jax.jit(jax.vmap(lambda key: task.sample(key, 4000)))(keys)
    for seed in (0, 1):
        alone = jax.jit(lambda key: task.sample(key, 4000))(keys[seed])
        eager = task.sample(keys[seed], 4000)
        for part, whole, plain in zip(*map(jtu.tree_leaves, (alone, many, eager)), strict=True):
            np.testing.assert_allclose(part, whole[seed], rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(part, plain, rtol=1e-6, atol=1e-6)


@each
def test_draws_can_be_mapped_and_keep_their_types_in_double_precision(which, sampled):
    task, _ = GENERATORS[which]
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 3))
    with jax.enable_x64(True):
        many = jax.eval_shape(jax.vmap(lambda key: task.sample(key, 4)), keys)
    for part, whole in zip(*map(jtu.tree_leaves, (sampled(task), many)), strict=True):
        assert whole.shape == (3, 4, *part.shape[1:])
        assert whole.dtype == part.dtype


@each
def test_a_task_is_found_by_its_name(which):
    task, _ = GENERATORS[which]
    assert type(task) is tasks.TASKS[task.name]
    assert which.startswith(task.name)
    assert task.held_out("test") is task
    assert len(task.description) > 20
    # No number of a task becomes an array of a program: shapes must stay known.
    assert jtu.tree_leaves(task) == []
