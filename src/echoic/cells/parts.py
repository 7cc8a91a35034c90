"""The cells of a deep network, by their place."""

from typing import Literal

import equinox as eqx

from echoic.core.cell import AbstractCell


class Part(eqx.Module):
    """One cell of a deep network: its layer (from 0), and which way it reads time."""

    layer: int = eqx.field(static=True)
    cell: AbstractCell
    direction: Literal["forward", "backward"] | None = eqx.field(static=True, default=None)

    @property
    def name(self) -> str:
        """Such as ``layer 0``, or ``layer 0, backward`` where both directions are read."""
        return f"layer {self.layer}" + (f", {self.direction}" if self.direction else "")
