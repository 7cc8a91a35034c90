"""Several seeds in one run beside one after the other, and what the input pipeline costs.

Every time is that of whole updates, as `echoic.train` makes them, taken from the history: the
difference between its first and its last line, so that compiling does not count. All ways must
lead to the same weights: the same bits on threads, rounding apart when stacked.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import echoic
from benchmarks._timing import timed
from echoic.core.task import AbstractDataTask, Batch
from echoic.training.stream import AbstractSource, source_of

TOLERANCE = 1e-3
KEY = jax.random.key(0)
CELLS = {"elman": echoic.cells.Elman, "gru": echoic.cells.GRU, "lstm": echoic.cells.LSTM}


def main(*arguments: str) -> None:
    """Print one line for each cell and size, then one for each kind of input."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ensemble")
    parser.add_argument("cells", nargs="*", default=[], help=f"of {', '.join(CELLS)}; elman")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--updates", type=int, default=20)
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.cells) - set(CELLS)
    if unknown:
        parser.error(f"unknown cells {sorted(unknown)}; valid: {', '.join(CELLS)}")
    print(
        f"{chosen.seeds} seeds, batch {chosen.batch}, {chosen.steps} steps, float32;"
        " milliseconds for one update of all\n"
        f"{'cell':9}{'n':>5}{'in turn':>10}{'threads':>10}{'ratio':>8}{'stacked':>10}{'ratio':>8}"
        f"{'deviation':>11}"
    )
    for name in chosen.cells or ["elman"]:
        for size in chosen.sizes:
            print(compare(CELLS[name], name, size, chosen), flush=True)
    print(f"\n{'input':22}{'n':>5}{'update':>9}{'input':>9}{'share':>8}")
    for size in chosen.sizes:
        for line in pipeline(size, chosen):
            print(line, flush=True)


def compare(kind: Any, name: str, size: int, chosen: argparse.Namespace) -> str:
    """One cell and size, all three ways."""
    task = echoic.tasks.Adding(chosen.steps)

    def build(key: Any) -> Any:
        return kind(2, size, key=key)

    alone = [updates(build, task, chosen, seeds=(seed,)) for seed in range(chosen.seeds)]
    in_turn = sum(time for time, _ in alone)
    networks = [run.last[0] for _, run in alone]
    found = {
        mode: updates(build, task, chosen, seeds=chosen.seeds, together=mode)
        for mode in ("threads", "stacked")
    }
    bits = distance(networks, found["threads"][1].last)
    deviation = distance(networks, found["stacked"][1].last)
    if bits > 0 or deviation > TOLERANCE:
        return f"{name:9}{size:5}  WRONG: threads differ by {bits:.0e}, stacked by {deviation:.0e}"
    line = f"{name:9}{size:5}{in_turn:10.1f}"
    for together, _ in found.values():
        line += f"{together:10.1f}{in_turn / together:7.2f}x"
    return f"{line}{deviation:11.0e}"


def updates(build: Callable, task: Any, chosen: argparse.Namespace, **options: Any) -> Any:
    """Milliseconds for an update of all members, and the run."""
    run = echoic.train(
        build,
        task,
        steps=2 * chosen.updates,
        every=chosen.updates,
        batch=chosen.batch,
        validation_size=1,
        key=KEY,
        **options,
    )
    seconds = run.history.column("seconds")
    return 1e3 * (seconds[-1] - seconds[0]) / chosen.updates, run


def distance(one: Sequence[Any], other: Sequence[Any]) -> float:
    """The largest difference between weights, relative to the largest weight."""
    pairs = [
        [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(part, eqx.is_array))]
        for part in (tuple(one), tuple(other))
    ]
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(*pairs, strict=True))


class Set(AbstractDataTask):
    """Sequences of an image's length, in epochs."""

    name = "set"
    loss = "cross_entropy"
    train: Batch
    validation: Batch
    test: Batch
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)

    def sample(self, key: Any, batch: int) -> Batch:
        rows = jax.random.randint(key, (batch,), 0, self.train.inputs.shape[0])
        return jax.tree.map(lambda part: part[rows], self.train)

    @property
    def chance(self) -> float:
        return float(np.log(10))


class ByNumPy:
    """A user's own task, drawn on the host."""

    input_size = output_size = 1

    def __init__(self, steps: int):
        self.steps = steps

    def sample(self, key: Any, batch: int) -> Any:
        generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        xs = generator.random((batch, self.steps, 1), np.float32)
        return xs, xs.mean(1)


def images(steps: int) -> Set:
    """As many as MNIST has."""
    keys = jax.random.split(KEY)
    inputs = jax.random.uniform(keys[0], (60_000, steps, 1))
    whole = Batch(inputs, jax.random.randint(keys[1], (60_000,), 0, 10))
    few = jax.tree.map(lambda part: part[:1], whole)
    return Set(whole, few, few, 1, 10)


def pipeline(size: int, chosen: argparse.Namespace) -> Any:
    """What making the batches takes of an update, by the kind of input."""
    steps = chosen.steps
    tasks = {
        "adding, fresh": echoic.tasks.Adding(steps),
        "copy, fresh": echoic.tasks.Copy(delay=steps - 20),
        "sine, fresh": echoic.tasks.Sine(steps),
        "60,000 images": images(steps),
        "a task in NumPy": ByNumPy(steps),
    }
    for name, task in tasks.items():

        def build(key: Any, task: Any = task) -> Any:
            return echoic.cells.Elman(task.input_size, size, key=key)

        making = min(making_a_batch(source_of(task, chosen.batch, KEY)) for _ in range(3))
        whole = min(updates(build, task, chosen)[0] for _ in range(3))
        yield f"{name:22}{size:5}{whole:9.2f}{making:9.3f}{making / whole:8.1%}"


def making_a_batch(source: AbstractSource) -> float:
    """Milliseconds, on the host and in the program."""
    count = source.reach or 64
    feed, _, on_host = timed(lambda: jax.tree.map(jnp.asarray, source.feed(KEY, 0)), 5)

    @eqx.filter_jit
    def make(source: AbstractSource, feed: Any) -> Any:
        def one(step: Any, total: Any) -> Any:
            batch = source.batch(feed, KEY, step, 0)
            return total + sum(jnp.sum(part, dtype=jnp.float32) for part in jax.tree.leaves(batch))

        return jax.lax.fori_loop(0, count, one, jnp.zeros(()))

    in_program = timed(lambda: make(source, feed), 5)[2]
    return 1e3 * (on_host + in_program) / count
