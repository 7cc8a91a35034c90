"""The sequences that training is judged by: a validation part, and a test part used once."""

from typing import Any, NamedTuple

from jaxtyping import PRNGKeyArray

from echoic.core.task import AbstractDataTask, AbstractStreamTask, Batch
from echoic.training.loop import HeldBack, HeldBackStream
from echoic.training.stream import AbstractSource, Segments, as_batch

# A batch for examination stores no states: it may be larger than one for training.
_EXAMINED_AT_ONCE = 256


class Judges(NamedTuple):
    """What decides on the best weights and on stopping, and what is told of them at the end."""

    validation: HeldBack | HeldBackStream
    test: HeldBack | HeldBackStream


def judges_of(
    task: Any,
    source: AbstractSource,
    num_sequences: int,
    *,
    validation_key: PRNGKeyArray,
    test_key: PRNGKeyArray,
) -> Judges:
    """The task's own validation and test parts, or fresh sequences from keys of their own."""
    if isinstance(task, AbstractStreamTask):
        assert isinstance(source, Segments)
        return Judges(*(_stream(source, split) for split in ("validation", "test")))
    if isinstance(task, AbstractDataTask):
        parts = task.validation, task.test
    else:
        keys = validation_key, test_key
        parts = tuple(as_batch(task.sample(key, num_sequences)) for key in keys)
    return Judges(*(HeldBack.of(Batch(*part), _EXAMINED_AT_ONCE) for part in parts))


def _stream(source: Segments, split: Any) -> HeldBackStream:
    num_segments = source.task.num_segments(source.size, split)
    if num_segments < 1:
        raise ValueError(
            f"batch={source.size} rows leave no whole segment of the {split} stream: use a smaller"
            " batch or shorter segments."
        )
    return HeldBackStream(source.task, source.size, split, num_segments)
