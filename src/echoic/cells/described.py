"""What a network is, in JSON and arrays, and the way back.

The description names families out of a table, with sizes, options and the laws of the weights.
"""

import dataclasses
import numbers
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from echoic import init
from echoic.cells.bidirectional import Bidirectional
from echoic.cells.embedding import Embedding
from echoic.cells.families import array_fields, families, rebuild, static_fields
from echoic.cells.network import Network
from echoic.cells.readout import Readout, TiedReadout
from echoic.cells.untied import Untied
from echoic.core.cell import AbstractCell, Law
from echoic.core.model import AbstractModel

Structure = dict[str, Any]
Arrays = dict[str, np.ndarray]


def describe(network: AbstractCell | AbstractModel) -> tuple[Structure, Arrays]:
    """What to write down of a network, and its arrays by name."""
    if isinstance(network, Network):
        return _describe_network(network)
    if isinstance(network, Untied):
        cell, arrays = describe(network.cell)
        structure = {"family": "Untied", "steps": network.steps, "cell": cell}
        return _with_readout(structure, _named("cell", arrays), network.readout)
    if isinstance(network, Bidirectional):
        cells, arrays = _describe_all(part.cell for part in network.parts)
        structure = {"family": "Bidirectional", "cells": cells, "dropout": network.dropout}
        return _with_readout(structure, arrays, network.readout)
    return _describe_cell(network)


def described(structure: Structure, arrays: Mapping[str, Any]) -> Any:
    """The network that [`describe`][] found.

    **Raises** ``ValueError``, ``KeyError`` or ``TypeError`` where something is wrong or missing.
    """
    family = structure["family"]
    if family == "Network":
        # Files of version 1 say nothing of embedding and dropout.
        return Network(
            _all_described(structure["cells"], arrays),
            _readout(structure["readout"], arrays),
            embedding=_embedding(arrays) if structure.get("embedding", False) else None,
            dropout=structure.get("dropout", 0.0),
        )
    if family == "Bidirectional":
        cells = _all_described(structure["cells"], arrays)
        pairs = list(zip(cells[::2], cells[1::2], strict=True))
        readout: Any = _readout(structure["readout"], arrays)
        return Bidirectional(pairs, readout, dropout=structure["dropout"])
    if family == "Untied":
        return _untied(structure, arrays)
    return rebuild(family, structure["static"], arrays, _law_from_json(structure["law"]))


def _describe_cell(cell: AbstractCell | AbstractModel) -> tuple[Structure, Arrays]:
    family = type(cell).__name__
    if not isinstance(cell, AbstractCell) or families().get(family) is not type(cell):
        raise ValueError(
            f"only echoic's own cells can be stored ({', '.join(families())}), got {family}; for"
            " your own use equinox.tree_serialise_leaves."
        )
    static = {name: getattr(cell, name) for name in static_fields(type(cell))}
    arrays = {name: _array(name, getattr(cell, name)) for name in array_fields(type(cell))}
    # The present law only: that of trained weights is history.
    law = cell.hyperparameters()
    return {"family": family, "static": static, "law": _law_to_json(law)}, arrays


def _describe_network(network: Network) -> tuple[Structure, Arrays]:
    cells, arrays = _describe_all(network.cells)
    structure = {"family": "Network", "cells": cells, "dropout": network.dropout}
    structure["embedding"] = network.embedding is not None
    if network.embedding is not None:
        arrays["embedding.weight"] = _array("embedding.weight", network.embedding.weight)
    return _with_readout(structure, arrays, network.readout)


def _describe_all(cells: Iterable[AbstractCell]) -> tuple[list[Structure], Arrays]:
    structures, arrays = [], {}
    for index, cell in enumerate(cells):
        structure, part = describe(cell)
        structures.append(structure)
        arrays |= _named(f"cells.{index}", part)
    return structures, arrays


def _all_described(structures: list[Structure], arrays: Mapping[str, Any]) -> list[Any]:
    return [
        described(structure, _within(f"cells.{index}", arrays))
        for index, structure in enumerate(structures)
    ]


def _with_readout(
    structure: Structure, arrays: Arrays, readout: Readout | TiedReadout | None
) -> tuple[Structure, Arrays]:
    tied = isinstance(readout, TiedReadout)
    if readout is not None:
        for name in ("bias",) if tied else ("weight", "bias"):
            arrays[f"readout.{name}"] = _array(f"readout.{name}", getattr(readout, name))
    return {**structure, "readout": "tied" if tied else readout is not None}, arrays


def _readout(kind: Any, arrays: Mapping[str, Any]) -> Readout | TiedReadout | None:
    if kind is False:
        return None
    if kind not in (True, "tied"):
        raise ValueError(f"unknown readout {kind!r}.")
    bias = arrays["readout.bias"]
    options = {"bias": _as_drawn(bias), "key": jr.key(0), "dtype": bias.dtype}
    if kind == "tied":
        return TiedReadout(*bias.shape, **options)
    weight = arrays["readout.weight"]
    return Readout(*weight.shape[::-1], weight=_as_drawn(weight), **options)


def _embedding(arrays: Mapping[str, Any]) -> Embedding:
    weight = arrays["embedding.weight"]
    drawn, dtype = _as_drawn(weight), weight.dtype
    return Embedding(*weight.shape, weight=drawn, key=jr.key(0), dtype=dtype)


def _untied(structure: Structure, arrays: Mapping[str, Any]) -> Untied:
    steps, stacked = structure["steps"], _within("cell", arrays)
    if any(array.shape[:1] != (steps,) for array in stacked.values()):
        raise ValueError(f"every array of the cell must have {steps} steps.")
    cell = eqx.filter_vmap(lambda arrays: described(structure["cell"], arrays))(
        {name: jnp.asarray(array) for name, array in stacked.items()}
    )
    first = described(structure["cell"], {name: array[0] for name, array in stacked.items()})
    readout: Any = _readout(structure["readout"], arrays)
    model = Untied(lambda key: first, steps, readout=readout, key=jr.key(0))
    return eqx.tree_at(lambda model: model.cell, model, cell)


def _array(name: str, array: Array) -> np.ndarray:
    if array.dtype.name not in ("float32", "float64"):
        raise ValueError(f"{name} has dtype {array.dtype}: cast the cell to float32 first.")
    return np.asarray(array)


def _as_drawn(array: Any) -> Any:
    """An initialiser that gives this array; whoever calls it checks the shape."""
    return lambda key, shape, dtype: jnp.asarray(array)


def _named(prefix: str, arrays: Arrays) -> Arrays:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def _within(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    start = f"{prefix}."
    return {
        name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)
    }


# --- laws -----------------------------------------------------------------------------------------


class _NotPlain(Exception):
    """A value that is neither plain nor one of echoic's initialisers."""


def _initialisers() -> dict[str, type]:
    found = {name: getattr(init, name) for name in init.__all__}
    return {
        name: kind
        for name, kind in found.items()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    }


def _law_to_json(law: Law | None) -> dict[str, Any] | None:
    """The law, or None if it has an initialiser that only its author knows."""
    if law is None:
        return None
    try:
        parameters = [[name, _to_json(value)] for name, value in law.parameters]
    except _NotPlain:
        return None
    return {"family": law.family, "parameters": parameters, "fingerprint": law.fingerprint}


def _law_from_json(stored: dict[str, Any] | None) -> Law | None:
    if stored is None:
        return None
    parameters = tuple((name, _from_json(value)) for name, value in stored["parameters"])
    return Law(stored["family"], parameters, stored["fingerprint"])


def _to_json(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    name = type(value).__name__
    if _initialisers().get(name) is not type(value):
        raise _NotPlain(name)
    return {"init": name, "fields": {k: _to_json(v) for k, v in _fields(value)}}


def _fields(record: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(record):
        if field.init:
            yield field.name, getattr(record, field.name)


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_from_json(item) for item in value)
    if isinstance(value, dict):
        kind = _initialisers()[value["init"]]
        return kind(**{name: _from_json(item) for name, item in value["fields"].items()})
    return value
