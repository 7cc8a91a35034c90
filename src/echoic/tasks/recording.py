"""Long recordings as tasks: read, averaged, cut by time, scaled by what is trained on, windowed."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from echoic import data as known
from echoic.core.checks import at_least
from echoic.core.task import Batch
from echoic.init.parameters import Real, real
from echoic.tasks.sequences import refuse_not_finite

# What may be chosen of a table: a name, or a number from 0; several with commas.
Column = str | int | None


class Scale(NamedTuple):
    """What was subtracted from each channel, and by what it was divided."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @staticmethod
    def of(what: str, values: Float[np.ndarray, "t m"]) -> "Scale":
        """Mean and standard deviation; an error if a channel does not change."""
        mean, deviation = values.mean(0), values.std(0)
        if (deviation <= 1e-12 * np.maximum(1, np.abs(mean))).any():
            raise ValueError(f"{what} is constant over the training part: nothing can be learned.")
        return Scale(tuple(map(float, mean)), tuple(map(float, deviation)))

    def rmse(self, loss: float) -> float:
        """A squared error of the scaled channel as root mean square in the units of the data."""
        if len(self.deviation) != 1:
            raise ValueError(f"one loss of {len(self.deviation)} channels has no unit.")
        return math.sqrt(loss) * self.deviation[0]

    def __call__(self, values: Float[np.ndarray, "t m"]) -> Float[np.ndarray, "t m"]:
        """The channels with mean 0 and variance 1 where the scale was taken."""
        return ((values - self.mean) / self.deviation).astype(np.float32)


def recording(
    what: str, source: Any, column: Column, average: int, data_dir: str | Path | None
) -> Float[np.ndarray, "t m"]:
    """A recording by name, path or array, every ``average`` steps replaced by their mean."""
    if isinstance(source, str | Path):
        series = known.load(source, column=column, data_dir=data_dir)
        if series.one_hot:
            raise ValueError(f"{series.name} is a text: echoic.tasks.Text reads it.")
        values = series.samples
        if isinstance(values, tuple) or values.ndim != 2:
            raise ValueError(f"{series.name} is a set of sequences, not one recording.")
    else:
        if column is not None:
            raise ValueError(f"an array has no columns to choose from, got column={column!r}.")
        values = np.asarray(source)
        if values.dtype.kind not in "biuf":
            raise ValueError(f"{what} must be real numbers, got dtype {values.dtype}.")
        values = values.astype(float)
        refuse_not_finite(what, values)
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or 0 in values.shape:
            raise ValueError(f"{what} must have shape (t,) or (t, m), got {values.shape}.")
    steps = len(values) // at_least("average", average, 1)
    if steps == 0:
        raise ValueError(f"average={average} steps are more than the {len(values)} of {what}.")
    return values[: steps * average].reshape(steps, average, -1).mean(1)


def spans(total: int, validation: Real, test: Real, gap: int) -> list[slice]:
    """The steps to train on, then those of the validation, then those of the test.

    ``gap`` steps between one part and the next belong to none.

    **Raises** ValueError if a part is left without a step.
    """
    at_least("gap", gap, 0)
    held = [
        round(real(name, share, 0.0, 1.0) * total)
        for name, share in (("validation", validation), ("test", test))
    ]
    first = total - sum(held) - 2 * gap
    if min(first, *held) < 1:
        raise ValueError(
            f"{total} steps with gaps of {gap} leave {first}, {held[0]} and {held[1]} to train,"
            " validate and test: none may be without."
        )
    second, third = first + gap, total - held[1]
    return [slice(0, first), slice(second, second + held[0]), slice(third, total)]


def windows(
    what: str, inputs: np.ndarray, targets: np.ndarray, length: int, stride: int, burn_in: int
) -> Batch:
    """Sequences of ``length`` steps that begin every ``stride`` steps; the first ones do not count.

    **Raises** ValueError if not one fits in.
    """
    if len(inputs) < length:
        raise ValueError(
            f"the {what} part has {len(inputs)} steps, fewer than length={length}: make that"
            " shorter, or the part longer."
        )
    starts = np.arange(0, len(inputs) - length + 1, stride)
    steps = starts[:, None] + np.arange(length)
    return counted(inputs[steps], targets[steps], burn_in)


def counted(inputs: np.ndarray, targets: np.ndarray, burn_in: int) -> Batch:
    """A batch in which the first ``burn_in`` steps of every sequence have no weight."""
    weights = np.zeros(inputs.shape[:2], np.float32)
    weights[:, burn_in:] = 1
    return Batch(jnp.asarray(inputs), jnp.asarray(targets), jnp.asarray(weights))


class Cut(NamedTuple):
    """How windows are cut."""

    length: int
    burn_in: int
    stride: int

    @staticmethod
    def of(length: int, burn_in: int, stride: int | None) -> "Cut":
        """By default every step that counts, counts once."""
        at_least("length", length, 2)
        at_least("burn_in", burn_in, 0, length - 1)
        stride = length - burn_in if stride is None else stride
        return Cut(length, burn_in, at_least("stride", stride, 1))


def three_batches(
    inputs: list[np.ndarray], targets: list[np.ndarray], cut: Cut
) -> tuple[Batch, Batch, Batch]:
    """Windows to train and to validate on, and the test part as one sequence."""
    train, validation = (
        windows(what, x, y, cut.length, cut.stride, cut.burn_in)
        for what, x, y in zip(("train", "validation"), inputs, targets, strict=False)
    )
    if len(inputs[2]) <= cut.burn_in:
        raise ValueError(
            f"the test part has {len(inputs[2])} steps, burn_in={cut.burn_in} leaves none."
        )
    return train, validation, counted(inputs[2][None], targets[2][None], cut.burn_in)


def title(data: Any) -> str:
    """What a recording is called."""
    return Path(data).name if isinstance(data, str | Path) else "arrays"


def told(source: str, cut: Cut, parts: tuple[Batch, Batch, Batch]) -> str:
    """A sentence on the parts of a recording."""
    train, validation, test = parts
    return (
        f"{source}: {train.inputs.shape[0]} windows of {cut.length} steps to train on,"
        f" {validation.inputs.shape[0]} for validation, {test.inputs.shape[1]} steps for the test;"
        f" the first {cut.burn_in} of each do not count."
    )
