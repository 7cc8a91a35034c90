"""Batches as functions of seed and step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from echoic.core.task import Batch
from echoic.training.stream import Drawn, Epochs, Fresh, Segments, source_of

KEY = jax.random.key(0)


def batches(source, key, steps):
    """The batches of the first steps, as a program would see them."""
    found = []
    for step in range(steps):
        start = 0 if source.reach is None else step - step % source.reach
        feed = jax.tree.map(jnp.asarray, source.feed(key, start))
        found.append(source.batch(feed, key, jnp.asarray(step), jnp.asarray(start)))
    return found


def test_an_epoch_shows_every_sequence_once_in_an_order_of_its_own(make_set):
    source = source_of(make_set(size=12), 4, KEY)
    assert isinstance(source, Epochs)
    seen = [(12 * np.asarray(b.targets[:, 0])).round().astype(int) for b in batches(source, KEY, 6)]
    epochs = [np.concatenate(seen[:3]), np.concatenate(seen[3:])]
    assert [sorted(epoch.tolist()) for epoch in epochs] == [list(range(12))] * 2
    assert not np.array_equal(*epochs)
    other = batches(source, jax.random.key(1), 3)
    assert not np.array_equal(np.concatenate([12 * b.targets[:, 0] for b in other]), epochs[0])


def test_inputs_and_targets_stay_together(make_set):
    for batch in batches(source_of(make_set(), 3, KEY), KEY, 4):
        assert bool((batch.inputs[:, 0] == batch.targets).all())


def test_what_does_not_fill_a_batch_waits_for_the_next_epoch(make_set):
    source = source_of(make_set(size=10), 4, KEY)
    rows = [source.rows(KEY, step) for step in range(40)]
    assert all(len(set(np.concatenate(rows[2 * i : 2 * i + 2]).tolist())) == 8 for i in range(20))
    assert set(np.concatenate(rows).tolist()) == set(range(10))


def test_a_batch_larger_than_the_set_is_refused(make_set):
    with pytest.raises(ValueError, match="batch=11 is larger than the training set, 10"):
        source_of(make_set(size=10), 11, KEY)


def test_a_stream_is_read_from_left_to_right(text):
    source = source_of(text, 2, KEY)
    assert isinstance(source, Segments)
    assert source.num_segments == 6
    read = np.concatenate([b.inputs for b in batches(source, KEY, 6)], axis=1)
    rows = np.asarray(text.symbols).reshape(2, 40)
    assert np.array_equal(read, rows[:, :36])
    assert source.restarts(jnp.arange(8)).tolist() == [True, *[False] * 5, True, False]
    assert np.array_equal(batches(source, KEY, 7)[6].inputs, rows[:, :6])


def test_a_stream_too_short_is_refused(text):
    with pytest.raises(ValueError, match="batch=40 rows leave no whole segment"):
        source_of(text, 40, KEY)


class Plain:
    """A task that derives from nothing."""

    input_size = output_size = 1

    def __init__(self, draw):
        self.draw = draw

    def sample(self, key, batch):
        xs = self.draw(key, (batch, 3, 1))
        return xs, xs[:, 0]


def by_numpy(key, shape):
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return generator.normal(size=shape).astype(np.float32)


def test_a_task_of_jax_is_sampled_in_the_program(mean):
    for task in (mean, Plain(jax.random.normal)):
        source = source_of(task, 4, KEY)
        assert isinstance(source, Fresh)
        first, second = batches(source, KEY, 2)
        assert not np.array_equal(first.inputs, second.inputs)
        expected = task.sample(jax.random.fold_in(KEY, 1), 4)
        assert np.array_equal(second.inputs, expected[0])


def test_a_task_of_numpy_is_drawn_on_the_host():
    source = source_of(Plain(by_numpy), 4, KEY)
    assert isinstance(source, Drawn)
    found = batches(source, KEY, 3)
    for step, batch in enumerate(found):
        expected = by_numpy(jax.random.fold_in(KEY, step), (4, 3, 1))
        assert np.array_equal(batch.inputs, expected)
    assert not np.array_equal(found[0].inputs, found[1].inputs)


def test_a_constant_batch_is_drawn_too():
    # Traced, this could not be told from NumPy's global generator.
    source = source_of(Plain(lambda key, shape: np.ones(shape, np.float32)), 2, KEY)
    assert isinstance(source, Drawn)


@pytest.mark.parametrize(
    "draw",
    [
        lambda key, shape: np.random.normal(size=shape).astype(np.float32),  # noqa: NPY002
        lambda key, shape: (
            jax.random.normal(key, shape) + np.random.normal(size=shape).astype(np.float32)  # noqa: NPY002
        ),
        lambda key, shape: jax.random.normal(key, shape) * np.random.normal(),  # noqa: NPY002
    ],
    ids=["all", "an array", "a number"],
)
def test_hidden_randomness_is_refused(draw):
    with pytest.raises(ValueError, match="gave two different batches for one key"):
        source_of(Plain(draw), 2, KEY)


def test_what_is_no_task_is_refused():
    with pytest.raises(ValueError, match="task must have a method sample"):
        source_of(3, 2, KEY)
    with pytest.raises(ValueError, match="must return a Batch or a tuple"):
        source_of(type("Task", (), {"sample": lambda self, key, batch: np.ones(3)})(), 2, KEY)
    with pytest.raises(ValueError, match=r"batch must lie in 1\.\., got 0"):
        source_of(Plain(by_numpy), 0, KEY)


def test_weights_come_along():
    class Weighted(Plain):
        def sample(self, key, batch):
            return Batch(*super().sample(key, batch), np.ones((batch, 3), np.float32))

    (batch,) = batches(source_of(Weighted(by_numpy), 2, KEY), KEY, 1)
    assert batch.weights.shape == (2, 3)


def test_constants_of_a_traced_task_may_be_keys_and_gaps():
    other, gaps = jax.random.key(9), np.array([np.nan, 1.0, 2.0], np.float32)[None, :, None]

    def draw(key, shape):
        noise = jax.random.normal(jax.random.fold_in(other, jax.random.bits(key)), shape)
        return noise + jnp.where(jnp.isnan(jnp.asarray(gaps)), 0, 1)

    assert isinstance(source_of(Plain(draw), 2, KEY), Fresh)
