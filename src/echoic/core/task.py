"""What a task is: batches of inputs and targets, a loss, and what knowing nothing would cost."""

import abc
from typing import Any, Literal, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float, Int, PRNGKeyArray

Loss = Literal["cross_entropy", "mean_squared_error"]
Split = Literal["validation", "test"]


class Batch(NamedTuple):
    """Sequences and what is asked of them.

    **Fields**

    - ``inputs``: numbers (b, t, m), or symbols (b, t) as integers 0..m-1, which a network sees as
      one-hot vectors or through its embedding.
    - ``targets``: at every step (b, t, p), or classes (b, t) as integers; or at the last step only,
      (b, p) or classes (b,).
    - ``weights``: (b, t), how much each step counts in the loss; None where all count alike.
    """

    inputs: Float[Array, "b t m"] | Int[Array, "b t"]
    targets: Float[Array, "b *t p"] | Int[Array, "b *t"]
    weights: Float[Array, "b t"] | None = None


class AbstractTask(eqx.Module):
    """A task that draws as many fresh sequences as are wanted.

    Subclasses are final. A task of one's own need not derive from this class: an object with
    ``input_size``, ``output_size`` and ``sample(key, batch)`` is enough.
    """

    name: eqx.AbstractClassVar[str]
    loss: eqx.AbstractClassVar[Loss]
    input_size: eqx.AbstractVar[int]
    output_size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """A batch of fresh sequences. Pure, and traceable by JAX."""

    @property
    @abc.abstractmethod
    def chance(self) -> float:
        """The expected loss of the best prediction that does not look at the input."""

    def solve(self, inputs: Array) -> Array | None:
        """The predictions of a perfect solver, shaped like a network's; None if there is none.

        Of a classification these are logits, large ones.
        """
        return None

    @property
    def description(self) -> str:
        """What exactly is asked, in one sentence."""
        return self.name

    def held_out(self, split: Split) -> "AbstractTask":
        """The task that draws the sequences of a validation or test.

        It is this one, as long as no two draws have anything in common. A task that dresses up the
        members of a set anew each time, such as images followed by noise, answers with the same
        task on members that ``sample`` never draws.
        """
        return self


class AbstractDataTask(AbstractTask):
    """A task on a fixed set of sequences, split in three parts that share none.

    ``sample`` draws from the training part with replacement; training itself goes through it epoch
    by epoch, in a new order each time.
    """

    train: eqx.AbstractVar[Batch]
    validation: eqx.AbstractVar[Batch]
    test: eqx.AbstractVar[Batch]


class AbstractStreamTask(AbstractTask):
    """A task on one long sequence, cut into a batch of rows that are read from left to right.

    The state of the network is carried from one segment to the next (truncated backpropagation).
    """

    @abc.abstractmethod
    def num_segments(self, batch: int, split: Split | Literal["train"] = "train") -> int:
        """How many segments each of ``batch`` rows has."""

    @abc.abstractmethod
    def segment(self, index: Any, batch: int, split: Split | Literal["train"] = "train") -> Batch:
        """Segment ``index`` of every row; a traced index will do."""
