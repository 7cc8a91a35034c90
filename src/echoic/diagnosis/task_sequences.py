"""Sequences of a task that nobody trained on, to measure networks with."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.tree_util as jtu

from echoic.core.task import AbstractStreamTask, Batch
from echoic.training.stream import as_batch


def held_out(task: Any, rows: int, *, key: jax.Array, length: int = 0) -> Batch:
    """About ``rows`` sequences: of the validation part, or fresh ones.

    Those of a stream are joined from as many segments as ``length`` steps need, where it has them.
    """
    if isinstance(task, AbstractStreamTask):
        return _joined(task, rows, length)
    known = getattr(task, "validation", None)
    if known is not None:
        whole = as_batch(known)
        count = min(rows, whole.inputs.shape[0])
        chosen = jax.random.permutation(key, whole.inputs.shape[0])[:count]
        return jtu.tree_map(lambda part: part[chosen], whole)
    other = getattr(task, "held_out", None)
    source = task if other is None else other("validation")
    return as_batch(source.sample(key, rows))


def _joined(task: AbstractStreamTask, rows: int, length: int) -> Batch:
    """Long rows of a stream's validation part."""
    size = task.segment(0, 1, "validation").inputs.shape[1]
    wanted = max(1, -(-length // size))
    available = task.num_segments(1, "validation")
    rows = max(1, min(rows, available // min(wanted, available)))
    count = min(wanted, task.num_segments(rows, "validation"))
    parts = [task.segment(index, rows, "validation") for index in range(count)]
    return jtu.tree_map(lambda *ones: jnp.concatenate(ones, axis=1), *parts)
