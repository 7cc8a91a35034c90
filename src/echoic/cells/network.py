"""A stack of cells, with or without a readout: itself a cell."""

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.cells.dropout import dropped, rate
from echoic.cells.embedding import Embedding
from echoic.cells.parts import Part
from echoic.cells.readout import Readout, TiedReadout
from echoic.cells.stacking import (
    refuse_other_inputs,
    refuse_other_width,
    refuse_what_is_no_layer,
    required,
    states_of,
)
from echoic.cells.symbols import as_numbers, checked, entered
from echoic.core.cell import AbstractCell, Law, LinearForm, State
from echoic.core.checks import one_of
from echoic.core.model import AbstractModel
from echoic.core.rollout import Rollout, rollout


class Network(AbstractCell, AbstractModel):
    """A stack of cells with an optional readout; it is a cell too, and measured like one.

    In each time step cell i + 1 reads the output of cell i of the same step. The state is the tuple
    of the cells' states; `read` and `output` are those of the last cell.

    **Arguments**
    - `cells`: one cell or more, each taking as many inputs as the one before has units.
    - `readout`: a [`Readout`][echoic.cells.Readout] of the last cell's output, or None; with an
      embedding also ``"tied"``, or a [`TiedReadout`][echoic.cells.TiedReadout], which share the
      embedding's matrix and want its vectors as long as the last cell has units.
    - `embedding`: an [`Embedding`][echoic.cells.Embedding] of symbols, which the first cell then
      reads. As a cell the network takes one-hot vectors: `input_size` is the vocabulary's.
    - `dropout`: the share of numbers left out, when `run` gets a key: of the embedded input,
      between the layers and of the output, afresh at every step and never of the state that is
      carried (Zaremba, Sutskever & Vinyals 2014). Without an embedding the input stays whole, as in
      ``torch.nn.LSTM``, which leaves the output whole, too.

    **Raises** ValueError where sizes do not fit.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic.cells import Elman
    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> net = Network([Elman(1, 4, key=keys[0]), Elman(4, 3, key=keys[1])],
    ...               Readout(3, 2, key=keys[2]))
    >>> state = net.step(net.initial_state(), jnp.ones(1))
    >>> net.predict(net.output(state)).shape
    (2,)

    A language model over five symbols, with one matrix for input and output:
    >>> net = Network(Elman(3, 3, key=keys[0]), "tied", embedding=Embedding(5, 3, key=keys[1]))
    >>> net.predict(net.run(jnp.array([[0, 4, 2]])).trajectory).shape
    (1, 3, 5)
    """

    cells: tuple[AbstractCell, ...]
    readout: Readout | TiedReadout | None
    embedding: Embedding | None
    dropout: float = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        cells: AbstractCell | Sequence[AbstractCell],
        readout: Readout | TiedReadout | str | None = None,
        *,
        embedding: Embedding | None = None,
        dropout: float = 0.0,
    ):
        stack = (cells,) if isinstance(cells, AbstractCell) else tuple(cells)
        if not stack:
            raise ValueError("cells must be one cell or more, got none.")
        for cell in stack:
            refuse_what_is_no_layer(cell)
        for i, (below, above) in enumerate(itertools.pairwise(stack)):
            size = below.hidden_size
            refuse_other_inputs(f"cell {i + 1}", above, size, f"cell {i} has {size} units")
        if embedding is not None:
            size = embedding.size
            refuse_other_inputs("cell 0", stack[0], size, f"the embedding's vectors have {size}")
        self.cells = stack
        self.embedding = embedding
        self.readout = _fitting(readout, embedding, stack[-1].hidden_size)
        self.dropout = rate(dropout)
        self.input_size = stack[0].input_size if embedding is None else embedding.vocabulary
        self.hidden_size = stack[-1].hidden_size

    def initial_state(self) -> State:
        """The cells' initial states."""
        return tuple(cell.initial_state() for cell in self.cells)

    def step(self, state: State, x: Float[Array, "m"]) -> State:
        """One step of every cell, from the input upwards."""
        x = x if self.embedding is None else self.embedding(x)
        new = []
        for cell, part in zip(self.cells, state, strict=True):
            part = cell.step(part, x)
            x = cell.output(part)
            new.append(part)
        return tuple(new)

    def read(self, state: State) -> Float[Array, "n"]:
        """What the last cell's recurrent weight multiplies."""
        return self.cells[-1].read(state[-1])

    def output(self, state: State) -> Float[Array, "n"]:
        """The last cell's output."""
        return self.cells[-1].output(state[-1])

    def layers(self) -> tuple[AbstractCell, ...]:
        """The cells, each of which a rollout can take through the whole sequence at once.

        None with an embedding, which stands before the first.
        """
        return self.cells if self.embedding is None else ()

    def run(
        self,
        inputs: Array,
        *,
        state: State = None,
        last: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Rollout:
        """The last cell's outputs, and the last state; with ``key``, under dropout."""
        first, xs = self._enter(checked(inputs, self.input_size))
        stack = (first, *self.cells[1:])
        collect = "nothing" if last else "outputs"
        keys = None if key is None or not self.dropout else jr.split(key, len(stack) + 1)
        if keys is None:
            ran = rollout(Network(stack), xs, state=state, collect=collect)
        else:
            if self.embedding is not None:
                xs = dropped(xs, self.dropout, keys[0])
            ran = self._run_dropping(stack, xs, state, collect, keys[1:])
        outputs = jax.vmap(self.output)(ran.final) if last else ran.trajectory
        if keys is not None:
            outputs = dropped(outputs, self.dropout, keys[-1])
        return Rollout(outputs, ran.final)

    def _enter(self, inputs: Array) -> tuple[AbstractCell, Float[Array, "b t k"]]:
        """The first cell, or what stands for it, and the numbers that it reads."""
        if self.embedding is None:
            return entered(self.cells[0], inputs)
        return self.cells[0], self.embedding(inputs)

    def _run_dropping(
        self,
        stack: tuple[AbstractCell, ...],
        xs: Float[Array, "b t m"],
        state: State,
        collect: str,
        keys: Array,
    ) -> Rollout:
        """Layer after layer, with numbers left out in between."""
        states = states_of(state, None, len(stack))
        final = []
        for i, (cell, part) in enumerate(zip(stack, states, strict=True)):
            above = i + 1 < len(stack)
            ran = rollout(cell, xs, state=part, collect="outputs" if above else collect)
            xs = dropped(ran.trajectory, self.dropout, keys[i]) if above else ran.trajectory
            final.append(ran.final)
        return Rollout(xs, tuple(final))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The cells by their place."""
        return tuple(Part(layer, cell) for layer, cell in enumerate(self.cells))

    def seen_inputs(self, inputs: Array) -> list[Float[Array, "b t k"]]:
        """What each cell is driven by, one entry for each of `parts`.

        Layer 0 sees the input, embedded where there is an embedding; each layer above sees the
        outputs of the one below. Cost: one run of the network without its last layer.
        """
        inputs = checked(inputs, self.input_size)
        embedded = None if self.embedding is None else self.embedding(inputs)
        seen = [as_numbers(self.cells[0], inputs) if embedded is None else embedded]
        for cell in self.cells[:-1]:
            seen.append(rollout(cell, seen[-1]).trajectory)
        return seen

    def predict(self, outputs: Float[Array, "*batch n"]) -> Float[Array, "*batch p"]:
        """The readout applied to outputs of the last cell, any number of leading axes."""
        readout = required(self.readout, "Network(cells, Readout(...))")
        if isinstance(readout, TiedReadout):
            assert self.embedding is not None
            return readout(outputs, self.embedding.weight)
        return readout(outputs)

    def linear_form(self) -> LinearForm | None:
        """That of the only cell, its input embedded; None for a deeper stack."""
        form = self.cells[0].linear_form() if len(self.cells) == 1 else None
        if form is None or self.embedding is None:
            return form
        return form._replace(input=form.input @ self.embedding.weight.T)

    def recurrent_blocks(self) -> dict[str, Float[Array, "n n"]]:
        """The cells' blocks, named ``layer.block`` in a deeper stack."""
        if len(self.cells) == 1:
            return self.cells[0].recurrent_blocks()
        return {
            f"{i}.{name}": block
            for i, cell in enumerate(self.cells)
            for name, block in cell.recurrent_blocks().items()
        }

    def hyperparameters(self) -> Law | None:
        """That of the only cell; None for a deeper stack, and behind an embedding."""
        alone = len(self.cells) == 1 and self.embedding is None
        return self.cells[0].hyperparameters() if alone else None


def _fitting(
    readout: Readout | TiedReadout | str | None, embedding: Embedding | None, width: int
) -> Readout | TiedReadout | None:
    """The readout, found to fit what it reads; a tied one is made where its name stands."""
    if isinstance(readout, str):
        one_of("readout", readout, ["tied"])
    if readout is None or isinstance(readout, Readout):
        refuse_other_width(readout, width, f"the last cell has {width} units")
        return readout
    if embedding is None:
        raise ValueError("a tied readout shares the matrix of an embedding: pass embedding=...")
    if embedding.size != width:
        raise ValueError(
            f"a tied readout wants vectors as long as the last cell has units, {width}, but those"
            f" of the embedding have {embedding.size} numbers."
        )
    if isinstance(readout, str):
        # The bias is zero whatever the key.
        key, dtype = jr.key(0), embedding.weight.dtype
        return TiedReadout(embedding.vocabulary, key=key, dtype=dtype)
    if readout.output_size != embedding.vocabulary:
        raise ValueError(
            f"the tied readout has {readout.output_size} outputs, the embedding"
            f" {embedding.vocabulary} symbols: they must be equal."
        )
    return readout
