"""Fixed sets of sequences: one's own arrays, or some draws of a generator."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import equinox as eqx
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from echoic.core.checks import at_least
from echoic.core.task import AbstractDataTask, AbstractTask, Batch, Loss
from echoic.init.parameters import Real, real
from echoic.tasks.sequences import (
    asked_last,
    checked,
    constant_loss,
    drawn,
    num_symbols,
    padded,
    parts_of,
)


class Sequences(AbstractDataTask):
    """A task on sequences that are given, in three parts.

    **Definition.** Integer targets are classes, with cross entropy as the loss; others are numbers,
    with the squared error. Integer inputs are symbols.

    **Arguments**

    - ``train``, ``validation``, ``test``: each a [`Batch`][echoic.tasks.Batch], or a tuple (inputs,
      targets[, weights]) of NumPy arrays; the lengths may differ from part to part.
    - ``source``: the task they were drawn from, if they were: it tells chance and the solver.

    **Raises** ValueError for inputs and targets of unequal number or length, for NaN, and for parts
    that do not fit together.

    **Chance.** That of ``source``; else what the best constant costs on the training set: the
    entropy of its classes, or the variance of its targets.

    **Misleads.** Nobody looks whether the parts share sequences: see to it.

    **Example**
    >>> import numpy as np
    >>> part = (np.zeros((4, 9, 2)), np.array([0, 1, 0, 1]))
    >>> task = Sequences(part, part, part)
    >>> task.loss, task.input_size, task.output_size, round(task.chance, 3)
    ('cross_entropy', 2, 2, 0.693)
    """

    name: str = eqx.field(static=True)
    loss: Loss = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    train: Batch
    validation: Batch
    test: Batch
    source: AbstractTask | None

    def __init__(self, train: Any, validation: Any, test: Any, *, source: Any = None):
        given = {"train": train, "validation": validation, "test": test}
        parts = [checked(*part, what=what) for what, part in given.items()]
        for what, kind in (("inputs", _kind), ("targets", _kind_of_targets)):
            kinds = [kind(getattr(part, what)) for part in parts]
            if len(set(kinds)) > 1:
                raise ValueError(
                    f"{what} of the three parts are of different kinds: {', '.join(kinds)}."
                )
        self.train, self.validation, self.test = parts
        self.source = source
        self.name = "sequences" if source is None else source.name
        classes = np.issubdtype(self.train.targets.dtype, np.integer)
        self.loss = "cross_entropy" if classes else "mean_squared_error"
        if source is not None:
            self.input_size, self.output_size = source.input_size, source.output_size
        else:
            self.input_size = _size([part.inputs for part in parts])
            self.output_size = _size([part.targets for part in parts])

    @property
    def description(self) -> str:
        """How many sequences there are; of what, if that is known."""
        sizes = [part.inputs.shape[0] for part in (self.train, self.validation, self.test)]
        told = "" if self.source is None else f" {self.source.description}"
        return (
            f"A fixed set: {sizes[0]} sequences to train on, {sizes[1]} for validation,"
            f" {sizes[2]} for the test.{told}"
        )

    @property
    def chance(self) -> float:
        """That of the source, or of the best constant."""
        if self.source is not None:
            return self.source.chance
        return constant_loss(self.train, self.loss)

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Sequences of the training part."""
        return drawn(self.train, key, batch)

    def solve(self, inputs: Array) -> Array | None:
        """The source's solver."""
        return None if self.source is None else self.source.solve(inputs)


def from_arrays(
    inputs: Any,
    targets: Any,
    weights: Any = None,
    *,
    validation: Real = 0.1,
    test: Real = 0.1,
    seed: int = 0,
) -> Sequences:
    """One's own sequences as a task, shuffled and cut in three.

    **Arguments**

    - ``inputs``: (b, t, m), or symbols (b, t) as integers; or a list of (t_i, m) of unequal length,
      which zeros *before* each make equally long: then only the last step can be asked.
    - ``targets``: (b, t, p) or (b, p), or classes (b, t) or (b,) as integers; ``weights``: (b, t).
    - ``validation``, ``test``: shares of the sequences; ``seed``: of the shuffling.

    **Raises** ValueError as [`Sequences`][echoic.tasks.Sequences] does, and where a part is empty.

    **Misleads.** Sequences cut from one long recording are not independent: cut that by time, as
    [`Forecasting`][echoic.tasks.Forecasting] does.

    **Example**
    >>> import numpy as np
    >>> task = from_arrays(np.random.randn(50, 20, 3), np.arange(50) % 4)
    >>> task.train.inputs.shape, task.validation.inputs.shape, task.test.inputs.shape
    ((40, 20, 3), (5, 20, 3), (5, 20, 3))
    """
    if isinstance(inputs, Sequence):
        asked = _of_one_length(targets)
        inputs = _equally_long([np.asarray(sequence) for sequence in inputs], asked)
    whole = checked(inputs, targets, weights, what="the set")
    total = whole.inputs.shape[0]
    held = [
        max(1, round(real(name, share, 0.0, 1.0) * total))
        for name, share in (("validation", validation), ("test", test))
    ]
    rows = parts_of(total, held[0], held[1], seed)
    train, validating, testing = (jtu.tree_map(itemgetter(part), whole) for part in rows)
    return Sequences(train, validating, testing)


def fixed(
    task: AbstractTask,
    size: int,
    *,
    key: PRNGKeyArray,
    validation: int | None = None,
    test: int | None = None,
) -> Sequences:
    """Some draws of a generator as a fixed set, which can be learned by heart.

    **Arguments**

    - ``task``: any generator; ``size``: how many sequences to train on.
    - ``validation``, ``test``: how many of these; ``size`` each by default.

    **Raises** ValueError for a task that is a set already.

    **Misleads.** Of a task with few different sequences some come up in two parts by chance.

    **Example**
    >>> import jax
    >>> from echoic.tasks import Adding
    >>> task = fixed(Adding(20), 100, key=jax.random.key(0))
    >>> task.train.inputs.shape, task.chance == Adding(20).chance
    ((100, 20, 2), True)
    """
    if isinstance(task, AbstractDataTask):
        raise ValueError(f"{task.name} is a fixed set already.")
    sizes = [
        at_least(name, size if count is None else count, 1)
        for name, count in (("size", size), ("validation", validation), ("test", test))
    ]
    keys = jr.split(key, 3)
    tasks = (task, task.held_out("validation"), task.held_out("test"))
    return Sequences(
        *(part.sample(key, count) for part, key, count in zip(tasks, keys, sizes, strict=True)),
        source=task,
    )


def _kind(values: Array) -> str:
    if np.issubdtype(values.dtype, np.integer):
        return "symbols"
    return f"{values.shape[-1]} channels"


def _kind_of_targets(values: Array) -> str:
    place = "at the last step" if asked_last(np.asarray(values)) else "at every step"
    return f"{'classes' if np.issubdtype(values.dtype, np.integer) else _kind(values)} {place}"


def _size(parts: list[Array]) -> int:
    if np.issubdtype(parts[0].dtype, np.integer):
        return num_symbols(*parts)
    return parts[0].shape[-1]


def _of_one_length(targets: Any) -> np.ndarray:
    try:
        return np.asarray(targets)
    except ValueError as error:
        raise ValueError(
            "targets of unequal length: sequences of unequal length can only be asked at their last"
            " step, targets (b, p) or (b,)."
        ) from error


def _equally_long(sequences: list[np.ndarray], targets: np.ndarray) -> np.ndarray:
    shapes = {sequence.shape[1:] for sequence in sequences}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(
            "a list of sequences must hold arrays (t, m) with one m, got shapes"
            f" {', '.join(str(sequence.shape) for sequence in sequences[:5])}."
        )
    if len({len(sequence) for sequence in sequences}) > 1 and not asked_last(targets):
        raise ValueError(
            "sequences of unequal length can only be asked at their last step: targets (b, p) or"
            f" (b,), got shape {targets.shape}."
        )
    return padded(sequences)
