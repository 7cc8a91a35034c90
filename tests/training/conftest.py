"""A small task of each kind, and one kind of network: tests that share shapes share programs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from echoic.cells import Elman
from echoic.core.task import AbstractDataTask, AbstractStreamTask, AbstractTask, Batch

LENGTH, UNITS = 6, 4


class Mean(AbstractTask):
    """The mean of a sequence of numbers within -2..2."""

    name = "mean"
    loss = "mean_squared_error"
    scale: jax.Array
    input_size: int = eqx.field(static=True, default=1)
    output_size: int = eqx.field(static=True, default=1)

    def sample(self, key, batch):
        xs = jax.random.uniform(key, (batch, LENGTH, 1), minval=-2.0, maxval=2.0)
        return Batch(xs, self.scale * jnp.mean(xs, 1))

    @property
    def chance(self):
        return 4 / 3 / LENGTH


class Set(AbstractDataTask):
    """Fixed sequences."""

    name = "set"
    loss = "mean_squared_error"
    train: Batch
    validation: Batch
    test: Batch
    input_size: int = eqx.field(static=True, default=1)
    output_size: int = eqx.field(static=True, default=1)

    def sample(self, key, batch):
        raise AssertionError("training goes through a set by epochs")

    @property
    def chance(self):
        return 1 / LENGTH


class Text(AbstractStreamTask):
    """Predict the next of a row of symbols."""

    name = "text"
    loss = "cross_entropy"
    symbols: jax.Array
    input_size: int = eqx.field(static=True, default=3)
    output_size: int = eqx.field(static=True, default=3)

    def num_segments(self, batch, split="train"):
        return (self.symbols.size // batch - 1) // LENGTH

    def segment(self, index, batch, split="train"):
        rows = self.symbols[: self.symbols.size // batch * batch].reshape(batch, -1)
        start = jnp.asarray(index) * LENGTH
        cut = lambda at: jax.lax.dynamic_slice_in_dim(rows, at, LENGTH, axis=1)  # noqa: E731
        return Batch(cut(start), cut(start + 1))

    def sample(self, key, batch):
        raise AssertionError("training reads a stream from left to right")

    @property
    def chance(self):
        return float("nan")


def elman(key):
    return Elman(1, UNITS, key=key)


@pytest.fixture(scope="session")
def build():
    """A function key -> cell, the same one always."""
    return elman


@pytest.fixture(scope="session")
def mean():
    return Mean(jnp.asarray(1.0, jnp.float32))


@pytest.fixture(scope="session")
def make_set():
    """A set of which each sequence is a constant, its target being the same."""

    def make(size=10, dtype=jnp.float32):
        xs = jnp.arange(size, dtype=dtype)[:, None, None] * jnp.ones((1, LENGTH, 1), dtype) / size
        part = Batch(xs, xs[:, 0])
        return Set(part, part, part)

    return make


@pytest.fixture(scope="session")
def text():
    return Text(jax.random.randint(jax.random.key(5), (80,), 0, 3))
