"""Scans in blocks of steps: the unit of checkpointing, and of what should stay in the cache."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import PyTree


def cut(steps: PyTree, size: int) -> tuple[PyTree, PyTree]:
    """Arrays (t, ...) as whole blocks (t // size, size, ...) and the remainder, None if empty."""
    length = jtu.tree_leaves(steps)[0].shape[0]
    whole = length - length % size
    head = jtu.tree_map(lambda a: a[:whole].reshape(-1, size, *a.shape[1:]), steps)
    return head, None if whole == length else jtu.tree_map(lambda a: a[whole:], steps)


def join(head: PyTree, tail: PyTree) -> PyTree:
    """The way back from [`cut`][]."""
    whole = jtu.tree_map(lambda a: a.reshape(-1, *a.shape[2:]), head)
    return whole if tail is None else jtu.tree_map(lambda *ab: jnp.concatenate(ab), whole, tail)


def scan(
    block: Callable, carry: Any, head: Any, tail: Any, *, reverse: bool = False
) -> tuple[Any, Any, Any]:
    """``lax.scan`` of ``block`` over the whole blocks, and once more over the remainder.

    Returns the last carry, the results of the whole blocks, and that of the remainder or None.
    """
    last = None
    if reverse and tail is not None:
        carry, last = block(carry, tail)
    carry, results = jax.lax.scan(block, carry, head, reverse=reverse)
    if not reverse and tail is not None:
        carry, last = block(carry, tail)
    return carry, results, last


def divisor_near(length: int, target: int) -> int:
    """The block size between ``target / 2`` and ``target`` that leaves the least remainder.

    A remainder compiles the loop a second time and copies the trajectory.
    """
    target = max(1, min(length, target))
    return min(range(target, target // 2, -1), key=lambda size: length % size)
