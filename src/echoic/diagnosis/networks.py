"""Networks to be trained, by the names of their cell and their initialisation."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.random as jr
import numpy as np

from echoic.core.cell import AbstractCell
from echoic.core.checks import one_of
from echoic.diagnosis.candidates import CANDIDATES, shortest_span
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

    def recipe(
        self, hidden_size: int, horizon: int, inputs: Any = None, *, seed: int = 0
    ) -> Recipe:
        """What to set.

        ``inputs``, numbers (b, t, m), are what a prescription is solved for; only ``design`` needs
        them.
        """
        if self._designed:
            _, _, variant = self.init.partition("/")
            family = f"{self.cell}/{variant}" if variant else self.cell
            values = np.asarray(inputs, np.float64)
            # A prescription is solved for the input as the network will see it.
            best = design(
                family, values, horizon=horizon, hidden_size=hidden_size, scale=None, seed=seed
            )[0]
            recipe = best.recipe
        else:
            recipe = self._candidates()[self.init](hidden_size, shortest_span(horizon))
        if self.activation is None:
            return recipe
        return Recipe(recipe.cell, {**recipe.arguments, "activation": self.activation})


def stack_of_cells(
    recipe: Recipe, input_size: int, hidden_size: int, layers: int, *, key: jax.Array
) -> list[AbstractCell]:
    """``layers`` cells of one recipe, each fed by the one below."""
    keys = jr.split(key, layers)
    widths = [input_size, *[hidden_size] * (layers - 1)]
    return [recipe.build(m, hidden_size, key=own) for m, own in zip(widths, keys, strict=True)]
