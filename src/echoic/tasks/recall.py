"""Recall: a number kept through noise, and the symbol n steps back."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.checks import at_least, one_of
from echoic.core.task import AbstractTask, Batch
from echoic.init.parameters import Real, real
from echoic.tasks.sequences import certain


class DelayedRecall(AbstractTask):
    """Keep one number through noise, asked ``delay`` steps later.

    **Definition.** Two channels of ``delay + 1`` steps. The first holds a value uniform in [-1, 1)
    at step 0 and then normal noise of standard deviation ``noise``; the second is 1 at step 0, else
    0. The target, at the last step, is the value; the loss is the squared error.

    **Arguments**

    - ``delay``: steps from the value to the question; ``noise``: 0 or more.

    **Chance.** 1/3, the variance of the value.

    **Misleads.** Without noise a network that merely fades slowly does well: it is the noise that
    asks to keep one value and refuse others.

    **Reference.** The noise-free case is the latching problem of Bengio, Simard & Frasconi (1994),
    Learning long-term dependencies with gradient descent is difficult, with a continuous value.

    **Example**
    >>> import jax
    >>> task = DelayedRecall(30, noise=1.0)
    >>> batch = task.sample(jax.random.key(0), 4)
    >>> batch.inputs.shape, bool((task.solve(batch.inputs) == batch.targets).all())
    ((4, 31, 2), True)
    """

    name = "delayed_recall"
    loss = "mean_squared_error"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    delay: int = eqx.field(static=True)
    noise: float = eqx.field(static=True)

    def __init__(self, delay: int = 50, *, noise: Real = 0.1):
        self.delay = at_least("delay", delay, 1)
        self.noise = real("noise", noise, 0.0)
        self.input_size, self.output_size = 2, 1

    @property
    def description(self) -> str:
        """Delay and noise."""
        return (
            f"Recall a number in [-1, 1) after {self.delay} steps of noise of standard deviation"
            f" {self.noise:g}."
        )

    @property
    def chance(self) -> float:
        """The variance of a number uniform in [-1, 1)."""
        return 1 / 3

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Signal and marker (b, t, 2), values (b, 1)."""
        value_key, noise_key = jr.split(key)
        values = jr.uniform(value_key, (batch, 1), jnp.float32, -1, 1)
        noise = self.noise * jr.normal(noise_key, (batch, self.delay), jnp.float32)
        signal = jnp.concatenate([values, noise], axis=1)
        marker = jnp.zeros_like(signal).at[:, 0].set(1)
        return Batch(jnp.stack([signal, marker], axis=2), values)

    def solve(self, inputs: Float[Array, "b t 2"]) -> Float[Array, "b 1"]:
        """What was marked."""
        return jnp.sum(inputs[:, :, 0] * inputs[:, :, 1], axis=1, keepdims=True)


class NBack(AbstractTask):
    """At every step: which symbol came ``lag`` steps ago, or whether it is the same as now.

    **Definition.** Symbols uniform over 0..``num_symbols``-1, each step anew. With
    ``answer="symbol"`` the target at step t is the symbol of step t - lag; with ``"match"`` it is 1
    if that equals the symbol of step t, else 0. The loss is cross entropy over the steps from
    ``lag`` on; the first ones have weight 0.

    **Arguments**

    - ``lag``: the n of the name; ``length``: steps, more than ``lag``; ``num_symbols``: 2 or more;
      ``answer``: ``"symbol"`` or ``"match"``.

    **Chance.** ``ln(num_symbols)``; of matches, whose odds are p = 1 / num_symbols, the entropy
    ``-p ln p - (1 - p) ln(1 - p)``.

    **Misleads.** Matches are rare: always to say no is right in all but p of the cases.

    **Reference.** Kirchner (1958), Age differences in short-term retention of rapidly changing
    information, Journal of Experimental Psychology 55, 352-358.

    **Example**
    >>> import jax.numpy as jnp
    >>> NBack(2, length=5).solve(jnp.array([[3, 1, 4, 1, 5]])).argmax(2).tolist()
    [[0, 0, 3, 1, 4]]
    """

    name = "n_back"
    loss = "cross_entropy"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    lag: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    num_symbols: int = eqx.field(static=True)
    answer: str = eqx.field(static=True)

    def __init__(
        self, lag: int = 10, *, length: int = 50, num_symbols: int = 8, answer: str = "symbol"
    ):
        self.lag = at_least("lag", lag, 1)
        self.length = at_least("length", length, lag + 1)
        self.num_symbols = at_least("num_symbols", num_symbols, 2)
        self.answer = one_of("answer", answer, ("symbol", "match"))
        self.input_size, self.output_size = num_symbols, num_symbols if answer == "symbol" else 2

    @property
    def description(self) -> str:
        """What is asked, how far back, and of what."""
        asked = "Which symbol was" if self.answer == "symbol" else "Whether the same symbol was"
        return (
            f"{asked} shown {self.lag} steps ago, of {self.num_symbols} kinds, asked at every of"
            f" {self.length} steps from step {self.lag} on."
        )

    @property
    def chance(self) -> float:
        """The entropy of what is asked."""
        odds = 1 / self.num_symbols
        if self.answer == "symbol":
            return -math.log(odds)
        return -odds * math.log(odds) - (1 - odds) * math.log(1 - odds)

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Symbols, answers and weights, (b, t) each."""
        symbols = jr.randint(key, (batch, self.length), 0, self.num_symbols, jnp.int32)
        asked = jnp.arange(self.length) >= self.lag
        weights = jnp.broadcast_to(asked.astype(jnp.float32), symbols.shape)
        return Batch(symbols, self._answers(symbols), weights)

    def solve(self, inputs: Int[Array, "b t"]) -> Float[Array, "b t p"]:
        """The answers; at the first steps, where nothing is asked, class 0."""
        return certain(self._answers(inputs), self.output_size)

    def _answers(self, symbols: Int[Array, "b t"]) -> Int[Array, "b t"]:
        before = jnp.roll(symbols, self.lag, axis=1)
        answers = before if self.answer == "symbol" else (before == symbols).astype(jnp.int32)
        asked = jax.lax.broadcasted_iota(jnp.int32, symbols.shape, 1) >= self.lag
        return jnp.where(asked, answers, 0)
