"""What to set: a cell and the laws of its weights. It builds the network and writes code for it."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax

from echoic import cells
from echoic.cells.families import families
from echoic.core.cell import AbstractCell
from echoic.core.checks import one_of
from echoic.prescription.torch_code import torch_code


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A cell by name and the arguments of its constructor but for the sizes and the key.

    ``arguments`` are initialisers of [`echoic.init`][], mappings from gate to initialiser, numbers
    and words; what is left out keeps the cell's default.

    ```python
    >>> import jax, echoic
    >>> recipe = Recipe("Elman", {"recurrent": echoic.init.chain(1.5), "bias": echoic.init.zeros()})
    >>> recipe.build(1, 3, key=jax.random.key(0)).recurrent[1, 0].item()
    1.5
    >>> recipe.settings()
    {'recurrent': 'chain(alpha=1.5)', 'bias': 'zeros()'}

    ```
    """

    cell: str
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        one_of("cell", self.cell, families())

    def build(self, input_size: int, hidden_size: int, *, key: jax.Array) -> AbstractCell:
        """The network, drawn with ``key``."""
        return getattr(cells, self.cell)(input_size, hidden_size, **self.arguments, key=key)

    def snippets(self, input_size: int, hidden_size: int) -> dict[str, str]:
        """The code that builds the network, by framework; JAX always, PyTorch where it has one."""
        code = {"JAX": self._jax(input_size, hidden_size)}
        other = torch_code(self.cell, self.arguments, input_size, hidden_size)
        return code | ({"PyTorch": other} if other else {})

    def settings(self) -> dict[str, str]:
        """What to set, in words of code, by argument."""
        return {
            name: expression(value).replace("echoic.init.", "")
            for name, value in self.arguments.items()
        }

    def _jax(self, m: int, n: int) -> str:
        arguments = [f"{name}={expression(value)}" for name, value in self.arguments.items()]
        call = ", ".join([str(m), str(n), *arguments, "key=key"])
        return f"import echoic\n\ncell = echoic.cells.{self.cell}({call})\n"


def expression(value: Any) -> str:
    """The code of an argument, ``echoic.init.chain(alpha=1.5)``; defaults are left out."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{k}": {expression(v)}' for k, v in value.items()) + "}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = [
            f"{field.name}={expression(getattr(value, field.name))}"
            for field in dataclasses.fields(value)
            if getattr(value, field.name) != field.default
        ]
        return f"echoic.init.{type(value).__name__}({', '.join(shown)})"
    if isinstance(value, float):
        # Nine digits: a decay of 0.9996 must keep its distance from 1.
        return repr(float(f"{value:.9g}")) if math.isfinite(value) else repr(value)
    return repr(value)
