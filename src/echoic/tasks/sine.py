"""Sine generator: a constant input sets the frequency of a wave that has to be kept going."""

import math

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.checks import at_least
from echoic.core.task import AbstractDataTask, AbstractTask, Batch
from echoic.init.parameters import Real, real
from echoic.tasks.sequences import drawn

LOWEST = math.pi / 16
HIGHEST = math.pi / 8


class Sine(AbstractTask):
    """A sine wave whose frequency is the input, a constant.

    **Definition.** Each sequence has one frequency omega, uniform in [``lowest``, ``highest``)
    radians per step, at all steps the only input. The target at step t = 1..T is ``sin(omega t)``,
    the sine of the inputs summed so far; the loss is the squared error, averaged over the steps.

    **Arguments**

    - ``length``: T; ``lowest``, ``highest``: in (0, pi), radians per step.

    **Chance.** The variance of ``sin(omega t)`` over frequencies, averaged over t; it tends to 1/2.

    **Misleads.** A network without a limit cycle can follow the first waves: it is told from one
    that has one by a run that is longer than those it was trained on.

    **Reference.** Ribeiro, Tiels, Aguirre & Schön (2020), AISTATS, example with a sine generator,
    who train on a fixed set of frequencies: [`SineGrid`][echoic.tasks.SineGrid].

    **Example**
    >>> import jax
    >>> task = Sine(100)
    >>> batch = task.sample(jax.random.key(0), 5)
    >>> float(abs(task.solve(batch.inputs) - batch.targets).max()) < 1e-4
    True
    """

    name = "sine"
    loss = "mean_squared_error"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    lowest: float = eqx.field(static=True)
    highest: float = eqx.field(static=True)

    def __init__(self, length: int = 400, *, lowest: Real = LOWEST, highest: Real = HIGHEST):
        self.length, self.lowest, self.highest = _range(length, lowest, highest)
        self.input_size, self.output_size = 1, 1

    @property
    def description(self) -> str:
        """Length and frequencies."""
        return (
            f"A sine wave of {self.length} steps, its frequency between {self.lowest:.4g} and"
            f" {self.highest:.4g} radians per step given as a constant input."
        )

    @property
    def chance(self) -> float:
        """The integral of the variance over frequencies, in closed form."""
        low, high, steps = self.lowest, self.highest, np.arange(1, self.length + 1)
        span = (high - low) * steps
        mean = (np.cos(low * steps) - np.cos(high * steps)) / span
        square = 0.5 - (np.sin(2 * high * steps) - np.sin(2 * low * steps)) / (4 * span)
        return float(np.mean(square - mean**2))

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Constant inputs and waves, (b, t, 1) each."""
        frequencies = jr.uniform(key, (batch,), jnp.float32, self.lowest, self.highest)
        return _waves(frequencies, self.length)

    def solve(self, inputs: Float[Array, "b t 1"]) -> Float[Array, "b t 1"]:
        """The sine of all inputs so far."""
        return jnp.sin(jnp.cumsum(inputs, axis=1))


class SineGrid(AbstractDataTask):
    """The sine generator on a fixed grid of frequencies, all of them a set.

    **Definition.** As [`Sine`][echoic.tasks.Sine], for ``num_frequencies`` equally spaced
    frequencies from ``lowest`` to ``highest``, both included. The validation set has those one
    third, the test set those two thirds of the way from each to the next.

    **Arguments**

    - ``length``, ``lowest``, ``highest``: as of ``Sine``; ``num_frequencies``: 2 or more.

    **Chance.** The variance over the grid, averaged over the steps.

    **Reference.** Ribeiro, Tiels, Aguirre & Schön (2020): 100 frequencies from pi/16 to pi/8, 400
    steps. They judge by the training set; the sets in between are ours.

    **Example**
    >>> task = SineGrid(100, num_frequencies=5)
    >>> task.train.inputs.shape, task.test.inputs.shape, round(task.chance, 2)
    ((5, 100, 1), (4, 100, 1), 0.43)
    """

    name = "sine_grid"
    loss = "mean_squared_error"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    lowest: float = eqx.field(static=True)
    highest: float = eqx.field(static=True)
    train: Batch
    validation: Batch
    test: Batch

    def __init__(
        self,
        length: int = 400,
        *,
        lowest: Real = LOWEST,
        highest: Real = HIGHEST,
        num_frequencies: int = 100,
    ):
        self.length, self.lowest, self.highest = _range(length, lowest, highest)
        count = at_least("num_frequencies", num_frequencies, 2)
        grid = np.linspace(self.lowest, self.highest, count)
        step = grid[1] - grid[0]
        self.train, self.validation, self.test = (
            _waves(jnp.asarray(frequencies, jnp.float32), self.length)
            for frequencies in (grid, grid[:-1] + step / 3, grid[:-1] + 2 * step / 3)
        )
        self.input_size, self.output_size = 1, 1

    @property
    def description(self) -> str:
        """Length and frequencies."""
        return (
            f"Sine waves of {self.length} steps, of {self.train.inputs.shape[0]} frequencies from"
            f" {self.lowest:.4g} to {self.highest:.4g} radians per step, given as a constant input."
        )

    @property
    def chance(self) -> float:
        """The variance over the grid."""
        return float(np.mean(np.var(np.asarray(self.train.targets, float), axis=0)))

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Waves of the grid."""
        return drawn(self.train, key, batch)

    def solve(self, inputs: Float[Array, "b t 1"]) -> Float[Array, "b t 1"]:
        """The sine of all inputs so far."""
        return jnp.sin(jnp.cumsum(inputs, axis=1))


def _range(length: int, lowest: Real, highest: Real) -> tuple[int, float, float]:
    low = real("lowest", lowest, 0.0, math.pi, exclude_low=True)
    high = real("highest", highest, low, math.pi, exclude_low=True)
    return at_least("length", length, 1), low, high


def _waves(frequencies: Float[Array, "b"], length: int) -> Batch:
    steps = jnp.arange(1, length + 1, dtype=jnp.float32)
    inputs = jnp.broadcast_to(frequencies[:, None, None], (*frequencies.shape, length, 1))
    return Batch(inputs, jnp.sin(frequencies[:, None] * steps[None])[:, :, None])
