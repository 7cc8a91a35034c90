"""The sequences that training is judged by: a validation part, and a test part used once."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray

from echoic.core.task import AbstractDataTask, AbstractStreamTask, AbstractTask, Batch, Split
from echoic.training.stream import AbstractSource, Fresh, Segments, as_batch

# A batch for examination stores no states: it may be larger than one for training.
_EXAMINED_AT_ONCE = 256


class HeldBack(eqx.Module):
    """Sequences that nobody trains on: batches (k, b, ...), some rows of the last one filled up."""

    batches: Batch
    counts: Bool[Array, "k b"]

    @staticmethod
    def of(data: Batch, size: int = _EXAMINED_AT_ONCE) -> "HeldBack":
        """A set cut into batches of at most ``size``."""
        total = data.inputs.shape[0]
        num_batches = -(-total // size)
        size = -(-total // num_batches)
        rows = np.arange(num_batches * size)

        def cut(array: Array) -> Array:
            filled = array if len(rows) == total else array[rows % total]
            return filled.reshape(-1, size, *array.shape[1:])

        return HeldBack(jtu.tree_map(cut, data), jnp.asarray((rows < total).reshape(-1, size)))


class HeldBackStream(eqx.Module):
    """The whole of a stream's validation or test part, read with the state carried through."""

    task: AbstractStreamTask
    size: int = eqx.field(static=True)
    split: Any = eqx.field(static=True)
    num_segments: int = eqx.field(static=True)


class Judges(NamedTuple):
    """What decides on the best weights and on stopping, and what is told of them at the end."""

    validation: HeldBack | HeldBackStream
    test: HeldBack | HeldBackStream


def parts_of(
    task: Any,
    source: AbstractSource,
    num_sequences: int,
    *,
    validation_key: PRNGKeyArray,
    test_key: PRNGKeyArray,
) -> dict[str, Batch]:
    """The task's own validation and test sets, or fresh sequences from keys of their own.

    Of a stream it is the first segment of each. A task that dresses up the members of a set is
    asked for those that it never trains on.
    """
    if isinstance(task, AbstractStreamTask):
        return {
            split: as_batch(task.segment(0, source.size, split)) for split in ("validation", "test")
        }
    if isinstance(task, AbstractDataTask):
        return {"validation": as_batch(task.validation), "test": as_batch(task.test)}
    parts = {}
    keys: dict[Split, PRNGKeyArray] = {"validation": validation_key, "test": test_key}
    for name, key in keys.items():
        unseen = task.held_out(name) if isinstance(task, AbstractTask) else task
        draw = _compiled_draw if isinstance(source, Fresh) else _draw
        parts[name] = as_batch(draw(unseen.sample, key, num_sequences))
    return parts


def _draw(sample: Any, key: PRNGKeyArray, count: int) -> Any:
    return sample(key, count)


# One program for both parts, where they are drawn from the same task.
_compiled_draw = eqx.filter_jit(_draw)


def judges_of(source: AbstractSource, parts: dict[str, Batch]) -> Judges:
    """The parts in the form in which they are examined."""
    if isinstance(source, Segments):
        return Judges(_stream(source, "validation"), _stream(source, "test"))
    return Judges(HeldBack.of(parts["validation"]), HeldBack.of(parts["test"]))


def _stream(source: Segments, split: Any) -> HeldBackStream:
    num_segments = source.task.num_segments(source.size, split)
    if num_segments < 1:
        raise ValueError(
            f"batch={source.size} rows leave no whole segment of the {split} stream: use a smaller"
            " batch or shorter segments."
        )
    return HeldBackStream(source.task, source.size, split, num_segments)
