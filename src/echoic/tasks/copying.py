"""The copy task: symbols are read, kept over a delay, and given back in order."""

import math

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.checks import at_least
from echoic.core.task import AbstractTask, Batch
from echoic.tasks.sequences import certain

_DELAY = 60


class Copy(AbstractTask):
    """Give back symbols, in order, after a delay that ends with a cue.

    **Definition.** ``num_symbols`` symbols S, uniform over the classes 1..``alphabet``; blanks (0);
    one cue (``alphabet`` + 1); S more blanks, during which the symbols are asked. The target is
    blank at all other steps. The loss is cross entropy, averaged over *all* steps. Between the last
    symbol and the cue lie ``delay`` steps of time, ``delay - 1`` of them blanks, so that
    ``total_length = delay + 2 S``: the literature states either number, and means by T now one, now
    the other. Every symbol is asked ``lag = delay + S`` steps after it was shown.

    **Arguments**

    - ``delay`` or ``total_length``: one of them; by default a delay of 60.
    - ``num_symbols``, ``alphabet``: 10 symbols of 8 kinds, as usual.

    **Raises** ValueError where both lengths are given, and for sequences that are too short.

    **Chance.** ``S ln(alphabet) / total_length`` nats: blank where blanks are due, then a guess.

    **Misleads.** The longer the sequence, the lower chance, with the same share of the task solved:
    compare with chance, not with other lengths. Blanks alone give an accuracy near 1.

    **Reference.** Hochreiter & Schmidhuber (1997); in this form Arjovsky, Shah & Bengio (2016),
    Unitary evolution recurrent neural networks, section 4.1, whose T is ``delay``. The T of Orhan &
    Pitkow (2020) is ``total_length``.

    **Example**
    >>> import jax
    >>> task = Copy(total_length=80)
    >>> task.delay, task.lag, round(task.chance, 4)
    (60, 70, 0.2599)
    >>> Copy(delay=2, num_symbols=2).sample(jax.random.key(0), 1).inputs.tolist()
    [[6, 1, 0, 9, 0, 0]]
    """

    name = "copy"
    loss = "cross_entropy"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    delay: int = eqx.field(static=True)
    num_symbols: int = eqx.field(static=True)
    alphabet: int = eqx.field(static=True)

    def __init__(
        self,
        delay: int | None = None,
        *,
        total_length: int | None = None,
        num_symbols: int = 10,
        alphabet: int = 8,
    ):
        self.num_symbols = at_least("num_symbols", num_symbols, 1)
        self.alphabet = at_least("alphabet", alphabet, 2)
        if delay is not None and total_length is not None:
            raise ValueError(
                "copy takes either delay (steps between the last symbol and the cue) or"
                f" total_length = delay + {2 * num_symbols}; got delay={delay},"
                f" total_length={total_length}."
            )
        if total_length is not None:
            delay = at_least("total_length", total_length, 2 * num_symbols + 1) - 2 * num_symbols
        self.delay = _DELAY if delay is None else at_least("delay", delay, 1)
        self.input_size, self.output_size = self.alphabet + 2, self.alphabet + 1

    @property
    def total_length(self) -> int:
        """Steps of a sequence."""
        return self.delay + 2 * self.num_symbols

    @property
    def lag(self) -> int:
        """How many steps after it was shown a symbol is asked."""
        return self.delay + self.num_symbols

    @property
    def description(self) -> str:
        """Both lengths, so that nobody has to guess which one is meant."""
        return (
            f"Copy {self.num_symbols} symbols of {self.alphabet} kinds: {self.delay} steps from the"
            f" last symbol to the cue, {self.total_length} steps in all; every symbol is asked"
            f" {self.lag} steps after it was shown."
        )

    @property
    def chance(self) -> float:
        """Blanks, and a guess at the end."""
        return self.num_symbols * math.log(self.alphabet) / self.total_length

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Fresh symbols (b, t) and the classes asked (b, t)."""
        shape = (batch, self.num_symbols)
        symbols = jr.randint(key, shape, 1, self.alphabet + 1, jnp.int32)
        blanks = jnp.zeros((batch, self.lag), jnp.int32)
        inputs = jnp.concatenate([symbols, blanks], axis=1)
        inputs = inputs.at[:, self.num_symbols + self.delay - 1].set(self.alphabet + 1)
        return Batch(inputs, jnp.concatenate([blanks, symbols], axis=1))

    def solve(self, inputs: Int[Array, "b t"]) -> Float[Array, "b t p"]:
        """The symbols, moved to the end."""
        symbols = inputs[:, : self.num_symbols]
        blanks = jnp.zeros((inputs.shape[0], self.lag), inputs.dtype)
        return certain(jnp.concatenate([blanks, symbols], axis=1), self.output_size)
