"""Forecasts of a measured series, some steps ahead."""

from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import PRNGKeyArray

from echoic.core.checks import at_least
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


class Forecasting(AbstractDataTask):
    """What a series will be some steps ahead, asked at every step.

    **Definition.** The input at step t is x_t, the target x_{t + ahead}, both with mean 0 and
    variance 1 over the training part. Windows, burn-in and test are as of
    [`SystemIdentification`][echoic.tasks.SystemIdentification]; the parts are cut by time, and no
    target lies in another part than its input.

    **Arguments**

    - ``data``: a series by name (``"ecg"``, ``"laser"``, ...), a file, or an array (t,), (t, m).
    - ``column``: of a file, names or numbers, several with commas.
    - ``ahead``: how many steps, 1 or more.
    - The others are as of ``SystemIdentification``; ``gap`` is ``burn_in`` by default, so that the
      validation does not start where training ended.

    **Raises** ValueError for constant or NaN channels and parts too short; DataError and
    DataNotFoundError as ``echoic.data.load``.

    **Chance.** The variance of the scaled training targets: 1, but for the steps that do not count.

    **Misleads.** A slow series is foretold well by no change at all: set a forecast beside
    [`persistence`][]. A trend makes the test part unlike the training part.

    **Reference.** Weigend & Gershenfeld (1994), Time series prediction: forecasting the future and
    understanding the past.

    **Example**
    >>> task = Forecasting("ecg", ahead=10)
    >>> task.train.inputs.shape[1:], task.persistence < task.chance * 2
    ((400, 1), True)
    """

    name = "forecasting"
    loss = "mean_squared_error"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    train: Batch
    validation: Batch
    test: Batch
    ahead: int = eqx.field(static=True)
    cut: Cut = eqx.field(static=True)
    scale: Scale = eqx.field(static=True)
    source: str = eqx.field(static=True)

    def __init__(
        self,
        data: Any = "ecg",
        *,
        column: Column = None,
        ahead: int = 1,
        length: int = 400,
        burn_in: int = 50,
        stride: int | None = None,
        validation: Real = 0.15,
        test: Real = 0.15,
        gap: int | None = None,
        average: int = 1,
        data_dir: str | Path | None = None,
    ):
        self.ahead, self.cut = at_least("ahead", ahead, 1), Cut.of(length, burn_in, stride)
        values = recording("the series", data, column, average, data_dir)
        parts = spans(len(values), validation, test, burn_in if gap is None else gap)
        self.scale = Scale.of("the series", values[parts[0]])
        scaled = [self.scale(values[part]) for part in parts]
        self.train, self.validation, self.test = three_batches(
            [part[:-ahead] for part in scaled], [part[ahead:] for part in scaled], self.cut
        )
        self.input_size = self.output_size = values.shape[1]
        self.source = f"{title(data)}, cut by time"

    @property
    def description(self) -> str:
        """Which series, how far ahead, which parts."""
        parts, steps = (self.train, self.validation, self.test), f"{self.ahead} step"
        steps += "s" * (self.ahead > 1)
        return f"A series {steps} ahead. {told(self.source, self.cut, parts)}"

    @property
    def chance(self) -> float:
        """The variance of the targets that count."""
        return constant_loss(self.train, self.loss)

    @property
    def persistence(self) -> float:
        """What it costs to foretell no change, on the test part."""
        change = np.asarray(self.test.targets) - np.asarray(self.test.inputs)
        return float(np.mean(np.asarray(change, float)[:, self.cut.burn_in :] ** 2))

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Windows of the training part."""
        return drawn(self.train, key, batch)

    def rmse(self, loss: float) -> float:
        """A loss as root-mean-square error in the units of the series, a single channel."""
        return self.scale.rmse(loss)
