"""Where batches come from: a function of seed and step alone, so that any step can be redone.

Four kinds. *Fresh* sequences are sampled inside the compiled program. Those of a *set* are gathered
there, in an order that the host shuffles anew each epoch. A long *stream* is cut into segments that
the state is carried through. And a task whose ``sample`` is NumPy is *drawn* on the host.
"""

import abc
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree

from echoic.core.checks import at_least, bytes_of
from echoic.core.task import AbstractDataTask, AbstractStreamTask, AbstractTask, Batch

# For how many steps the host feeds one call of the compiled program, and what that may take.
_STEPS_AHEAD = 64
_BYTES_AHEAD = 64e6


def as_batch(sampled: Any) -> Batch:
    """What a task's ``sample`` gave: a `Batch`, or a tuple (inputs, targets[, weights])."""
    if not isinstance(sampled, tuple) or len(sampled) not in (2, 3):
        raise ValueError(
            "sample(key, batch) must return a Batch or a tuple (inputs, targets[, weights]), got"
            f" {type(sampled).__name__}."
        )
    inputs, targets, *weights = sampled
    counted = [jnp.asarray(part) for part in weights if part is not None]
    return Batch(jnp.asarray(inputs), jnp.asarray(targets), *counted)


class AbstractSource(eqx.Module):
    """Batches by step. ``feed`` runs on the host, ``batch`` inside the compiled program."""

    size: eqx.AbstractVar[int]

    def feed(self, key: PRNGKeyArray, start: int) -> PyTree:
        """What the host gives to the steps from ``start`` on, `reach` of them."""
        return None

    @property
    def reach(self) -> int | None:
        """For how many steps a feed is good; None where nothing is fed."""
        return None

    @abc.abstractmethod
    def batch(self, feed: PyTree, key: PRNGKeyArray, step: Any, start: Any) -> Batch:
        """The batch of a step, of a feed that begins at ``start``."""

    def restarts(self, step: Any) -> Any:
        """Whether the network's state is reset before this step."""
        return True

    @property
    def carries(self) -> bool:
        """Whether the network's state is carried from one batch to the next."""
        return False


class Fresh(AbstractSource):
    """A task that JAX can trace, sampled where it is used."""

    sample: Callable
    size: int = eqx.field(static=True)

    def batch(self, feed: None, key: PRNGKeyArray, step: Any, start: Any) -> Batch:
        """New sequences, by the key of the step."""
        return as_batch(self.sample(jr.fold_in(key, step), self.size))


class Epochs(AbstractSource):
    """A set, gone through in a new order each epoch; what does not fill a batch waits for the next.

    The order comes from NumPy's PCG64, seeded by the member's key and the epoch.
    """

    data: Batch
    size: int = eqx.field(static=True)

    def __check_init__(self):
        total = self.data.inputs.shape[0]
        if self.size > total:
            raise ValueError(
                f"batch={self.size} is larger than the training set, {total}: take a smaller batch,"
                " or cut the data into more and shorter sequences."
            )

    @property
    def reach(self) -> int:
        """As many steps as fit."""
        return _STEPS_AHEAD

    def rows(self, key: PRNGKeyArray, step: int) -> Int[np.ndarray, "b"]:
        """Which sequences make the batch of a step."""
        num_sequences = self.data.inputs.shape[0]
        epoch, position = divmod(step, num_sequences // self.size)
        order = _order(tuple(np.ravel(jr.key_data(key)).tolist()), epoch, num_sequences)
        return order[position * self.size : (position + 1) * self.size]

    def feed(self, key: PRNGKeyArray, start: int) -> Int[np.ndarray, "k b"]:
        """The rows of the next steps."""
        return np.stack([self.rows(key, start + i) for i in range(self.reach)])

    def batch(self, feed: Int[Array, "k b"], key: PRNGKeyArray, step: Any, start: Any) -> Batch:
        """The sequences of the step's rows."""
        rows = jax.lax.dynamic_index_in_dim(feed, step - start, keepdims=False)
        return jtu.tree_map(lambda part: part[rows], self.data)


@functools.lru_cache(maxsize=64)  # the epochs that members are in
def _order(seed: tuple[int, ...], epoch: int, size: int) -> Int[np.ndarray, "s"]:
    sequence = np.random.SeedSequence([*seed, epoch])
    return np.random.Generator(np.random.PCG64(sequence)).permutation(size).astype(np.int32)


class Segments(AbstractSource):
    """One long sequence in rows, read from left to right with the state carried along."""

    task: AbstractStreamTask
    size: int = eqx.field(static=True)
    num_segments: int = eqx.field(static=True)

    def __init__(self, task: AbstractStreamTask, size: int):
        self.task = task
        self.size = size
        self.num_segments = task.num_segments(size)
        if self.num_segments < 1:
            raise ValueError(f"batch={size} rows leave no whole segment of the training stream.")

    def batch(self, feed: None, key: PRNGKeyArray, step: Any, start: Any) -> Batch:
        """The next segment of every row."""
        return as_batch(self.task.segment(step % self.num_segments, self.size))

    def restarts(self, step: Int[Array, "*k"]) -> Bool[Array, "*k"]:
        """At the start of each epoch."""
        return step % self.num_segments == 0

    @property
    def carries(self) -> bool:
        """The whole point."""
        return True


class Drawn(AbstractSource):
    """A task whose ``sample`` JAX cannot trace: batches are drawn on the host and handed over."""

    sample: Callable = eqx.field(static=True)
    size: int = eqx.field(static=True)
    num_bytes: int = eqx.field(static=True)

    def __init__(self, sample: Callable, size: int, example: Batch):
        self.sample = sample
        self.size = size
        self.num_bytes = int(bytes_of(example))

    @property
    def reach(self) -> int:
        """As many steps as memory should hold of."""
        return max(1, min(_STEPS_AHEAD, int(_BYTES_AHEAD // max(1, self.num_bytes))))

    def feed(self, key: PRNGKeyArray, start: int) -> Batch:
        """The batches of the next steps."""
        keys = jax.vmap(jr.fold_in, in_axes=(None, 0))(key, jnp.arange(self.reach) + start)
        drawn = [self.sample(one, self.size) for one in keys]
        columns = [column for column in zip(*drawn, strict=True) if column[0] is not None]
        stacked: list[Any] = [np.stack([np.asarray(a) for a in column]) for column in columns]
        return Batch(*stacked)

    def batch(self, feed: Batch, key: PRNGKeyArray, step: Any, start: Any) -> Batch:
        """That of the step."""
        return jtu.tree_map(
            lambda part: jax.lax.dynamic_index_in_dim(part, step - start, keepdims=False), feed
        )


def source_of(task: Any, size: int, key: PRNGKeyArray) -> AbstractSource:
    """How the batches of a task are made.

    **Raises** ValueError where ``sample`` is not a function of its key, and for a batch that is
    larger than the set.
    """
    at_least("batch", size, 1)
    if isinstance(task, AbstractDataTask):
        return Epochs(data=_on_device(task.train), size=size)
    if isinstance(task, AbstractStreamTask):
        return Segments(_on_device(task), size)
    if not callable(getattr(task, "sample", None)):
        raise ValueError(
            "task must have a method sample(key, batch) -> Batch or (inputs, targets), got"
            f" {type(task).__name__}."
        )
    if isinstance(task, AbstractTask):
        return Fresh(sample=_on_device(task).sample, size=size)
    if _is_traceable(task.sample, size, key):
        return Fresh(sample=task.sample, size=size)
    example, again = (as_batch(task.sample(key, size)) for _ in range(2))
    if not all(jtu.tree_leaves(jtu.tree_map(_equal, example, again))):
        raise ValueError(_IMPURE)
    return Drawn(task.sample, size, example)


_IMPURE = (
    "sample(key, batch) gave two different batches for one key, so that no run could be repeated"
    " or resumed. Draw from the key alone: in NumPy,"
    " np.random.default_rng(np.asarray(jax.random.key_data(key)))."
)


def _is_traceable(sample: Callable, size: int, key: PRNGKeyArray) -> bool:
    """Whether JAX sees the key go in and the batch come out.

    A NumPy function that never touches the key as an array is traced without complaint, into one
    constant batch; hence the look at whether anything depends on the key. What else it draws from
    elsewhere stands in the program as a constant, which is not the same the next time.
    """
    try:
        program, again = (
            jax.make_jaxpr(lambda key: as_batch(sample(key, size)))(key) for _ in range(2)
        )
    except Exception:
        # Whatever it stumbled over: with a concrete key it may work, and raises again if not.
        return False
    (argument,) = program.jaxpr.invars
    if not any(argument in equation.invars for equation in program.jaxpr.eqns):
        return False
    constants = zip(program.consts, again.consts, strict=True)
    if str(program) != str(again) or not all(_equal(one, other) for one, other in constants):
        raise ValueError(_IMPURE)
    return True


def _equal(one: Any, other: Any) -> bool:
    # Keys, too, may be constants of a program; NumPy does not know them.
    return one is other or bool(jnp.array_equal(one, other, equal_nan=not _is_key(one)))


def _is_key(array: Any) -> bool:
    return isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def _on_device(tree: Any) -> Any:
    """NumPy arrays become JAX's own, once; plain numbers stay what they are."""
    return jtu.tree_map(
        lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, tree
    )
