"""The adding problem: two marked numbers of a long sequence are to be summed."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.checks import at_least
from echoic.core.task import AbstractTask, Batch


class Adding(AbstractTask):
    """The sum of two marked numbers, asked at the last step.

    **Definition.** Two channels: values uniform in [0, 1), and a marker that is 1 at two steps, one
    uniform in the first half [0, T/2) and one in the second, [T/2, T), else 0. The target is the
    sum of the two marked values; the loss is the squared error.

    **Arguments**

    - ``length``: T, the steps of a sequence.

    **Chance.** 1/6, the variance of the sum, for the prediction 1.

    **Misleads.** The second value alone brings the error down to 1/12 and asks for no more than
    T/2 steps; a first value that stands late in its half is found early in training.

    **Reference.** Hochreiter & Schmidhuber (1997), Long short-term memory, section 5.4; with a
    marker in each half Arjovsky, Shah & Bengio (2016), section 4.2.

    **Example**
    >>> import jax
    >>> task = Adding(length=50)
    >>> batch = task.sample(jax.random.key(0), 3)
    >>> batch.inputs.shape, bool((task.solve(batch.inputs) == batch.targets).all())
    ((3, 50, 2), True)
    """

    name = "adding"
    loss = "mean_squared_error"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    length: int = eqx.field(static=True)

    def __init__(self, length: int = 100):
        self.length = at_least("length", length, 2)
        self.input_size, self.output_size = 2, 1

    @property
    def description(self) -> str:
        """The length, and where the markers are."""
        return f"Add two marked numbers, one in each half of {self.length} steps."

    @property
    def chance(self) -> float:
        """Twice the variance of a uniform number."""
        return 1 / 6

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Values and markers (b, t, 2), sums (b, 1)."""
        value_key, first_key, second_key = jr.split(key, 3)
        half = -(-self.length // 2)
        values = jr.uniform(value_key, (batch, self.length), jnp.float32)
        first = jr.randint(first_key, (batch,), 0, half, jnp.int32)
        second = jr.randint(second_key, (batch,), half, self.length, jnp.int32)
        markers = sum(
            jax.nn.one_hot(place, self.length, dtype=jnp.float32) for place in (first, second)
        )
        inputs = jnp.stack([values, markers], axis=2)
        return Batch(inputs, self.solve(inputs))

    def solve(self, inputs: Float[Array, "b t 2"]) -> Float[Array, "b 1"]:
        """The sum of what is marked."""
        return jnp.sum(inputs[:, :, 0] * inputs[:, :, 1], axis=1, keepdims=True)
