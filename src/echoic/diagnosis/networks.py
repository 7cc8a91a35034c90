"""Networks to be trained, by the names of their cell and their initialisation."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.random as jr
import numpy as np

from echoic.cells import Bidirectional, Embedding, Network, Readout
from echoic.cells.symbols import are_symbols
from echoic.core.cell import AbstractCell
from echoic.core.checks import at_least, one_of
from echoic.core.model import AbstractModel
from echoic.diagnosis.candidates import CANDIDATES, shortest_span
from echoic.diagnosis.demands import stated_need
from echoic.diagnosis.task_sequences import held_out
from echoic.prescription.design import design
from echoic.prescription.recipe import Recipe

CLASSES = {
    "elman": "Elman",
    "residual": "Residual",
    "minimal_rnn": "MinimalRNN",
    "gru": "GRU",
    "reset_before_gru": "ResetBeforeGRU",
    "lstm": "LSTM",
    "peephole_lstm": "PeepholeLSTM",
    "full_peephole_lstm": "FullPeepholeLSTM",
    "linear": "LinearRNN",
}


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of cell to train.

    **Fields**

    - ``cell``: such as ``elman``, ``lstm``; ``CLASSES`` lists them.
    - ``init``: ``default`` (what the cell's class does without being told), the name of a built-in
      candidate (``orthogonal``, ``chain``, ``chrono``, ...), ``design`` for the best prescription
      of the cell's family at the horizon, or one of them, ``design/chain``.
    - ``activation``: of an Elman network; None for its default, tanh.
    """

    cell: str = "elman"
    init: str = "default"
    activation: str | None = None

    def __post_init__(self):
        one_of("cell", self.cell, CLASSES)
        if self.activation is not None and self.cell != "elman":
            raise ValueError(f"activation is an option of elman; {self.cell} has none.")
        if not self._designed:
            one_of(f"init of {self.cell}", self.init, [*self._candidates(), "design"])

    @property
    def _designed(self) -> bool:
        return self.init == "design" or self.init.startswith("design/")

    def _candidates(self) -> dict[str, Callable[[int, int], Recipe]]:
        named = {c.init: c.recipe for c in CANDIDATES if c.cell == self.cell}
        return {"default": lambda n, horizon: Recipe(CLASSES[self.cell]), **named}

    def recipe(self, task: Any, hidden_size: int, horizon: int | None, *, seed: int = 0) -> Recipe:
        """What to set in a network of ``hidden_size`` units for a task.

        ``horizon`` is what initialisations with time constants are made for, and what a
        prescription is solved for, under the task's own input; by default what the task states as
        its lag, else the length of its sequences.
        """
        example = held_out(task, _ROWS, key=jr.key(seed))
        if horizon is None:
            horizon = stated_need(task) or example.inputs.shape[1]
        if self._designed:
            recipe = self._prescribed(task, example.inputs, hidden_size, horizon, seed)
        else:
            recipe = self._candidates()[self.init](hidden_size, shortest_span(horizon))
        if self.activation is None:
            return recipe
        return Recipe(recipe.cell, {**recipe.arguments, "activation": self.activation})

    def _prescribed(
        self, task: Any, inputs: jax.Array, hidden_size: int, horizon: int, seed: int
    ) -> Recipe:
        _, _, variant = self.init.partition("/")
        family = f"{self.cell}/{variant}" if variant else self.cell
        if are_symbols(inputs):
            inputs = jax.nn.one_hot(inputs, task.input_size)
        # Theory reads windows longer than the horizon: rows of the task's sequences, joined.
        values = np.asarray(inputs, np.float64).reshape(-1, task.input_size)
        # A prescription is solved for the input as the network will see it.
        return design(
            family, values, horizon=horizon, hidden_size=hidden_size, scale=None, seed=seed
        )[0].recipe


_ROWS = 64


def build_network(
    recipe: Recipe,
    task: Any,
    *,
    hidden_size: int,
    layers: int = 1,
    bidirectional: bool = False,
    embedding: int | None = None,
    tied: bool = False,
    dropout: float = 0.0,
    key: jax.Array,
) -> AbstractModel:
    """A network of ``layers`` cells of one recipe with a readout for the task.

    **Arguments** as the fields of [`Network`][echoic.Network] and
    [`Bidirectional`][echoic.cells.Bidirectional]; ``embedding`` is the length of its vectors.

    **Raises** ValueError for what cannot be combined.
    """
    at_least("layers", layers, 1)
    if bidirectional and (embedding is not None or tied):
        raise ValueError("a bidirectional network has no embedding and no tied readout here.")
    if tied and embedding is None:
        raise ValueError("a tied readout shares the matrix of an embedding: give its size, too.")
    cell_key, back_key, readout_key, embedding_key = jr.split(key, 4)
    if bidirectional:
        ahead, back = (
            _stack(recipe, task.input_size, hidden_size, layers, 2, key=own)
            for own in (cell_key, back_key)
        )
        readout = Readout(2 * hidden_size, task.output_size, key=readout_key)
        return Bidirectional(list(zip(ahead, back, strict=True)), readout, dropout=dropout)
    channels = task.input_size if embedding is None else embedding
    table = None if embedding is None else Embedding(task.input_size, embedding, key=embedding_key)
    readout = "tied" if tied else Readout(hidden_size, task.output_size, key=readout_key)
    cells = _stack(recipe, channels, hidden_size, layers, 1, key=cell_key)
    return Network(cells, readout, embedding=table, dropout=dropout)


def _stack(
    recipe: Recipe, input_size: int, hidden_size: int, layers: int, ways: int, *, key: jax.Array
) -> list[AbstractCell]:
    """Cells one above the other; each but the first reads ``ways`` times its own units."""
    widths = [input_size, *[ways * hidden_size] * (layers - 1)]
    return [
        recipe.build(width, hidden_size, key=own)
        for width, own in zip(widths, jr.split(key, layers), strict=True)
    ]
