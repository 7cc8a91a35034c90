"""System identification: the output of a measured system from its input."""

from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import PRNGKeyArray

from echoic.core.checks import one_of
from echoic.core.task import AbstractDataTask, Batch
from echoic.init.parameters import Real
from echoic.tasks.recording import (
    Column,
    Cut,
    Scale,
    recording,
    spans,
    three_batches,
    title,
    told,
)
from echoic.tasks.sequences import constant_loss, drawn

# Input and output of recordings that echoic knows.
COLUMNS = {"silverbox": ("u", "y"), "grasshopper": ("stim1", "spikes1")}
# The published split, from 0: 75 % of the multisine to train on, and three tests.
SILVERBOX_TRAIN = (40650, 105712)
SILVERBOX_TESTS = {
    "arrow": (100, 40575),
    "arrow_no_extrapolation": (100, 32100),
    "multisine": (105712, 127400),
}


class SystemIdentification(AbstractDataTask):
    """The output of a system at every step, from its input so far: simulation, no past output.

    **Definition.** Input and output, each channel with mean 0 and variance 1 over the training
    part. Training and validation part are cut into windows of ``length`` steps, in which the first
    ``burn_in`` steps do not count, for the network starts at rest; the test part is one sequence,
    its first ``burn_in`` steps not counted either. The loss is the squared error of the scaled
    output: [`rmse`][] gives it in the units of the data.

    Silverbox comes in its published split: of the multisine, steps 40,650 to 127,400, three
    quarters to train on (their last part for validation), and one of three tests: ``"arrow"``, the
    part of growing amplitude among the first 40,650 steps, which leaves the range of the training
    data; ``"arrow_no_extrapolation"``, its first 32,000 steps; or ``"multisine"``, the last
    quarter. 50 steps of burn-in are part of the rules. Other recordings are cut by time.

    **Arguments**

    - ``data``: ``"silverbox"``, ``"grasshopper"``, a file, or a tuple of arrays (u, y) of shape
      (t,), (t, m).
    - ``input_column``, ``output_column``: of a file, names or numbers, several with commas.
    - ``length``, ``burn_in``: of a window; ``stride``: from one window to the next, by default
      ``length - burn_in``, so that every step counts once.
    - ``validation``, ``test``: shares of the steps, at the end and in this order (of Silverbox the
      former is a share of what is trained on); ``gap``: steps left out between the parts.
    - ``test_part``: which test of Silverbox.
    - ``average``: so many steps become one, their mean; 20 kHz are more than a network needs.
    - ``data_dir``: where to look first for a named recording.

    **Raises** ValueError for input and output of unequal length, constant or NaN channels, parts
    too short; DataError and DataNotFoundError as ``echoic.data.load``.

    **Chance.** The variance of the scaled training output: 1, but for the steps that do not count.

    **Misleads.** An error on the arrow says mostly how the network extrapolates: it grows at the
    end. Windows shorter than the system's memory train a network that never needed it.

    **Cost.** The test is one run over all its steps, 40,475 of the arrow.

    **Reference.** Wigren & Schoukens (2013), Three free data sets for development and benchmarking
    in nonlinear system identification; the split is that of nonlinearbenchmark.org. Ljung,
    Andersson, Tiels & Schön (2020) for networks as models of systems.

    **Example**
    >>> import numpy as np
    >>> u = np.random.default_rng(0).normal(size=2000)
    >>> y = np.convolve(u, [0.0, 1.0, 0.5])[:2000]
    >>> task = SystemIdentification((u, y), length=100, burn_in=20)
    >>> task.train.inputs.shape, task.test.inputs.shape
    ((17, 100, 1), (1, 300, 1))
    """

    name = "system_identification"
    loss = "mean_squared_error"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    train: Batch
    validation: Batch
    test: Batch
    cut: Cut = eqx.field(static=True)
    scales: tuple[Scale, Scale] = eqx.field(static=True)
    source: str = eqx.field(static=True)

    def __init__(
        self,
        data: Any = "silverbox",
        *,
        input_column: Column = None,
        output_column: Column = None,
        length: int = 400,
        burn_in: int = 50,
        stride: int | None = None,
        validation: Real = 0.15,
        test: Real = 0.15,
        gap: int = 0,
        test_part: str = "arrow",
        average: int = 1,
        data_dir: str | Path | None = None,
    ):
        self.cut = Cut.of(length, burn_in, stride)
        u, y = _input_and_output(data, input_column, output_column, average, data_dir)
        one_of("test_part", test_part, SILVERBOX_TESTS)
        if isinstance(data, str) and data == "silverbox":
            if average != 1:
                raise ValueError(f"the split of Silverbox is in its own steps, got {average=}.")
            parts = _silverbox(validation, gap, SILVERBOX_TESTS[test_part])
            self.source = f"Silverbox, published split, test on {test_part}"
        else:
            if test_part != "arrow":
                raise ValueError(f"test_part={test_part!r} is for Silverbox.")
            parts = spans(len(u), validation, test, gap)
            self.source = f"{title(data)}, cut by time"
        scales = Scale.of("the input", u[parts[0]]), Scale.of("the output", y[parts[0]])
        self.scales = scales
        inputs, targets = (
            [scale(values[part]) for part in parts]
            for scale, values in zip(scales, (u, y), strict=True)
        )
        self.train, self.validation, self.test = three_batches(inputs, targets, self.cut)
        self.input_size, self.output_size = u.shape[1], y.shape[1]

    @property
    def description(self) -> str:
        """Which system, which parts."""
        parts = self.train, self.validation, self.test
        return f"The output of a system from its input. {told(self.source, self.cut, parts)}"

    @property
    def chance(self) -> float:
        """The variance of the output that counts."""
        return constant_loss(self.train, self.loss)

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Windows of the training part."""
        return drawn(self.train, key, batch)

    def rmse(self, loss: float) -> float:
        """A loss as root-mean-square error in the units of the output, a single channel."""
        return self.scales[1].rmse(loss)


def _input_and_output(
    data: Any, input_column: Any, output_column: Any, average: int, data_dir: Any
) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(data, str | Path):
        known = COLUMNS.get(str(data), (None, None))
        columns = [
            given if given is not None else usual
            for given, usual in zip((input_column, output_column), known, strict=True)
        ]
        if None in columns:
            raise ValueError(f"say with input_column and output_column what of {data} is which.")
        sources = (data, data)
    elif isinstance(data, tuple) and len(data) == 2:
        columns, sources = (input_column, output_column), data
    else:
        raise ValueError(
            f"data must be a name, a path, or a tuple of arrays (u, y), got {type(data).__name__}."
        )
    u, y = (
        recording(what, source, column, average, data_dir)
        for what, source, column in zip(("the input", "the output"), sources, columns, strict=True)
    )
    if len(u) != len(y):
        raise ValueError(f"the input has {len(u)} steps and the output {len(y)}.")
    return u, y


def _silverbox(validation: Real, gap: int, test: tuple[int, int]) -> list[slice]:
    start, stop = SILVERBOX_TRAIN
    held = round(validation * (stop - start))
    first = stop - held - gap
    return [slice(start, first), slice(first + gap, stop), slice(*test)]
