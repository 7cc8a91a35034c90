"""The unit of the theory of tied networks that a cell's weights stand for."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from echoic import cells, theory
from echoic.core.cell import AbstractCell
from echoic.theory import tied

# Four populations of 64 units: gated and minimal networks come out within 2 %.
UNITS, POPULATIONS = 256, 4


class Known(NamedTuple):
    """The unit, and where it comes from: the law of the weights, or their moments."""

    unit: tied.Unit
    note: str


def unit_of(cell: AbstractCell, *, units: int = UNITS) -> Known:
    """The theory's unit for ``cell``, in double precision under ``jax.enable_x64``.

    Weights drawn by a law that the cell still knows give the unit of that law. Of all others
    (trained, or somebody else's) each recurrent matrix is asked whether it looks random: if all do,
    their standard deviations and the biases and input weights as they are take the law's place.

    **Raises:** [`NoTheory`][echoic.theory.tied.NoTheory] with the reason, in one sentence.
    """
    law = cell.hyperparameters()
    if law is not None:
        unit = tied.unit_of(
            law,
            input_size=cell.input_size,
            hidden_size=cell.hidden_size,
            units=units,
            key=jr.key(0),
            dtype=_dtype(),
        )
        return Known(unit, "From the law of the weights.")
    build = _FROM_WEIGHTS.get(type(cell))
    if build is None:
        raise tied.NoTheory(f"no theory applies: none covers {type(cell).__name__}.")
    unit = build(cell, _Moments(cell, units))
    return Known(unit, "From moments of the weights, which pass for random ones.")


class _Moments:
    """What a cell's arrays say: the spread of each recurrent matrix, and the units' own numbers."""

    def __init__(self, cell: AbstractCell, units: int):
        size = cell.hidden_size
        self.blocks = {name: np.asarray(block) for name, block in cell.recurrent_blocks().items()}
        # Whole units are taken again and again, so that their numbers stay together.
        self.taken = np.arange(units) % size

    def sigma(self, *names: str) -> tuple[Array, float]:
        """Standard deviations in units of 1/sqrt(n), and the coupling of each unit to itself."""
        if next(iter(self.blocks.values())).shape[0] < 32:
            raise tied.NoTheory("no theory applies: fewer than 32 units tell no law of weights.")
        found = [theory.identify_weight_law(self.blocks[name]) for name in names]
        for name, law in zip(names, found, strict=True):
            if not law.applies:
                raise tied.NoTheory(f"no theory applies to the weights {name!r}: {law.reason}")
        own = {law.self_coupling for law in found}
        if len(found) > 1 and own != {0.0}:
            raise tied.NoTheory("no theory applies: a gate's units are coupled to themselves.")
        return jnp.asarray([law.gain for law in found], _dtype()), found[0].self_coupling

    def units(self, array: Any, gates: int = 1) -> Array:
        """An array with one row a gate and unit, as (gates, units, ...)."""
        array = np.asarray(array)
        stacked = array.reshape(gates, -1, *array.shape[1:])
        return jnp.asarray(stacked[:, self.taken], _dtype())


def _dtype() -> Any:
    return jnp.zeros(()).dtype


def _elman(cell: cells.Elman, moments: _Moments) -> tied.Unit:
    sigma, coupling = moments.sigma("recurrent")
    own = jnp.full(len(moments.taken), coupling, _dtype()) if coupling else None
    return tied.Vanilla(
        sigma=sigma,
        bias=moments.units(cell.bias),
        input=moments.units(cell.input),
        self_coupling=own,
        activation=cell.activation,
    )


def _minimal(cell: cells.MinimalRNN, moments: _Moments) -> tied.Unit:
    moments.blocks["input"] = np.asarray(cell.input)
    return tied.Minimal(
        sigma=moments.sigma(*moments.blocks)[0],
        bias=moments.units(cell.bias),
        input=moments.units(cell.embedding),
        embedding_bias=moments.units(cell.embedding_bias)[0],
        activation=cell.activation,
    )


def _gated(cell: Any, moments: _Moments) -> dict[str, Any]:
    gates = len(moments.blocks)
    return {
        "sigma": moments.sigma(*moments.blocks)[0],
        "bias": moments.units(cell.bias, gates),
        "input": moments.units(cell.input, gates),
    }


def _gru(cell: cells.GRU, moments: _Moments) -> tied.Unit:
    candidate = moments.units(cell.candidate_bias)[0]
    return tied.GRU(**_gated(cell, moments), candidate_bias=candidate)


def _reset_before(cell: cells.ResetBeforeGRU, moments: _Moments) -> tied.Unit:
    return tied.ResetBeforeGRU(**_gated(cell, moments))


def _lstm(cell: cells.LSTM, moments: _Moments) -> tied.Unit:
    return tied.LSTM(**_gated(cell, moments))


def _peephole(cell: cells.PeepholeLSTM, moments: _Moments) -> tied.Unit:
    return tied.LSTM(**_gated(cell, moments), peephole=moments.units(cell.peephole, 3))


def _full_peephole(cell: cells.FullPeepholeLSTM, moments: _Moments) -> tied.Unit:
    return tied.LSTM(**_gated(cell, moments), reads="c")


_FROM_WEIGHTS: dict[type, Callable[[Any, _Moments], tied.Unit]] = {
    cells.Elman: _elman,
    cells.MinimalRNN: _minimal,
    cells.GRU: _gru,
    cells.ResetBeforeGRU: _reset_before,
    cells.LSTM: _lstm,
    cells.PeepholeLSTM: _peephole,
    cells.FullPeepholeLSTM: _full_peephole,
}
