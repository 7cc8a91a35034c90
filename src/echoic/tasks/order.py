"""Temporal order: two signals among distractors, and in which order they came."""

import math

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.checks import at_least
from echoic.core.task import AbstractTask, Batch
from echoic.tasks.sequences import certain

RELEVANT = 2
DISTRACTORS = 4


class TemporalOrder(AbstractTask):
    """Which two signals came, and in which order: one of four classes, asked at the last step.

    **Definition.** Six symbols. Two signals, each 0 or 1, stand at uniform steps of
    [``first_start``, ``first_stop``) and [``second_start``, ``second_stop``); all other steps hold
    distractors, uniform over 2..5. The class is ``2 first + second``; the loss is cross entropy at
    the last step.

    **Arguments**

    - ``length``: steps of a sequence; the others: where the signals may stand, from 0.

    **Raises** ValueError unless ``0 <= first_start < first_stop <= second_start < second_stop <=
    length``.

    **Chance.** ``ln 4``.

    **Reference.** Hochreiter & Schmidhuber (1997), Long short-term memory, section 5.6. The default
    places are those of the sequence classification of Ribeiro, Tiels, Aguirre & Schön (2020).

    **Example**
    >>> import jax
    >>> task = TemporalOrder(60, first_start=5, first_stop=10, second_start=20, second_stop=25)
    >>> batch = task.sample(jax.random.key(0), 100)
    >>> bool((task.solve(batch.inputs).argmax(1) == batch.targets).all())
    True
    """

    name = "temporal_order"
    loss = "cross_entropy"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    first: tuple[int, int] = eqx.field(static=True)
    second: tuple[int, int] = eqx.field(static=True)

    def __init__(
        self,
        length: int = 200,
        *,
        first_start: int = 9,
        first_stop: int = 19,
        second_start: int = 39,
        second_stop: int = 49,
    ):
        self.length = at_least("length", length, 2)
        places = (first_start, first_stop, second_start, second_stop)
        for place in places:
            at_least("start and stop", place, 0, length)
        if not (first_start < first_stop <= second_start < second_stop):
            raise ValueError(
                "the signals need places first_start < first_stop <= second_start < second_stop,"
                f" got {places}."
            )
        self.first = (first_start, first_stop)
        self.second = (second_start, second_stop)
        self.input_size, self.output_size = RELEVANT + DISTRACTORS, RELEVANT**2

    @property
    def description(self) -> str:
        """Where the signals are, and how far from the end."""
        return (
            "Which two signals came, and in which order: one in the steps"
            f" {self.first[0]}..{self.first[1] - 1}, one in {self.second[0]}..{self.second[1] - 1},"
            f" asked at the last of {self.length} steps."
        )

    @property
    def chance(self) -> float:
        """Four equal classes."""
        return math.log(self.output_size)

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Symbols (b, t) and classes (b,)."""
        noise_key, first_key, second_key, signal_key = jr.split(key, 4)
        shape = (batch, self.length)
        inputs = jr.randint(noise_key, shape, RELEVANT, RELEVANT + DISTRACTORS, jnp.int32)
        signals = jr.randint(signal_key, (batch, 2), 0, RELEVANT, jnp.int32)
        rows = jnp.arange(batch)
        for number, (key, (start, stop)) in enumerate(
            zip((first_key, second_key), (self.first, self.second), strict=True)
        ):
            places = jr.randint(key, (batch,), start, stop, jnp.int32)
            inputs = inputs.at[rows, places].set(signals[:, number])
        return Batch(inputs, RELEVANT * signals[:, 0] + signals[:, 1])

    def solve(self, inputs: Int[Array, "b t"]) -> Float[Array, "b 4"]:
        """The first signal and the last, wherever they are."""
        relevant = inputs < RELEVANT
        last = inputs.shape[1] - 1
        places = (jnp.argmax(relevant, axis=1), last - jnp.argmax(relevant[:, ::-1], axis=1))
        first, second = (
            jnp.take_along_axis(inputs, place[:, None], axis=1)[:, 0] for place in places
        )
        return certain(RELEVANT * first + second, self.output_size)
