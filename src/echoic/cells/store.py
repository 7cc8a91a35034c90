"""Networks in files: safetensors, with a JSON header that says what they are.

Nothing in a file is ever run. The header names a cell family out of a table, its arguments and the
laws of its weights; the checksum covers header and arrays.
"""

import dataclasses
import hashlib
import json
import numbers
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from echoic import init
from echoic.cells.bidirectional import Bidirectional, Direction, outputs, seen_inputs
from echoic.cells.families import array_fields, families, rebuild, static_fields
from echoic.cells.network import Network, Readout
from echoic.cells.state_dict import StoreWarning, from_state_dict
from echoic.cells.tensors import TensorFile, write_tensors
from echoic.core.cell import AbstractCell, Law

__all__ = [
    "Bidirectional",
    "Direction",
    "StoreWarning",
    "load",
    "outputs",
    "read_metadata",
    "save",
    "seen_inputs",
]

FORMAT_VERSION = 1
ENTRY = "echoic"


def save(
    network: AbstractCell | Bidirectional,
    path: str | Path,
    *,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Store a cell or a [`Network`][echoic.Network] in a file.

    The file is written whole or not at all: beside its place first, flushed to the disk, then
    moved there. The law of the weights goes with it if they are still those that it drew and all
    its initialisers are echoic's own.

    **Arguments**

    - ``path``: must end in ``.safetensors``.
    - ``metadata``: whatever else is to be kept, as JSON takes it; [`read_metadata`][] gives it
      back.

    **Returns** the path.

    **Raises** ``ValueError`` for a cell that is not echoic's, another ending, metadata that JSON
    does not take; ``OSError`` when it cannot be written.

    Cost: one copy of the weights.

    ```python
    >>> import tempfile, pathlib, jax, echoic
    >>> cell = echoic.cells.LSTM(1, 4, key=jax.random.key(0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = echoic.save(cell, pathlib.Path(folder) / "lstm.safetensors")
    ...     again = echoic.load(path)
    >>> bool((again.recurrent == cell.recurrent).all()) and again.hyperparameters() == cell.law
    True

    ```
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {str(path)!r}.")
    structure, arrays = _describe(network)
    header = {
        "version": FORMAT_VERSION,
        "network": structure,
        "metadata": dict(metadata or {}),
    }
    try:
        text = json.dumps(header, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must be what JSON takes: {error}.") from error
    stored = {ENTRY: text, "checksum": _checksum(text, arrays)}
    write_tensors(path, arrays, stored)
    return path


def load(
    path: str | Path, *, nonlinearity: str | None = None, prefix: str | None = None
) -> AbstractCell | Bidirectional:
    """Read a network: a file of [`save`][], or a torch ``state_dict`` saved as safetensors.

    Of torch, ``torch.nn.RNN``, ``GRU`` and ``LSTM`` are understood, with any number of layers,
    with or without biases, anywhere in a larger model; torch itself is not needed. Tensors that
    belong to something else (an embedding, a head) are left out, with a warning. Half-precision
    weights come as float32; float64 ones stay so inside ``jax.enable_x64``.

    **Arguments**

    - ``nonlinearity``: ``"tanh"`` or ``"relu"``, of a ``torch.nn.RNN``, whose file does not tell.
      If it is not given, tanh is assumed, with a warning.
    - ``prefix``: which recurrent module of a torch file, such as ``"encoder.rnn"``, if there are
      several.

    **Returns** a cell; a [`Network`][echoic.Network] for several layers; a ``Bidirectional`` for a
    bidirectional module, which is no cell, as it looks into the future.

    **Raises** ``ValueError`` for a file that is a pickle, damaged, foreign, of a newer format, or
    whose checksum is wrong; ``FileNotFoundError``.
    """
    file = TensorFile(path)
    if ENTRY not in file.metadata:
        return from_state_dict(file, nonlinearity, prefix)
    header = _verified(file)
    for name, value in [("nonlinearity", nonlinearity), ("prefix", prefix)]:
        if value is not None:
            raise ValueError(f"{name} is for torch files; {file.path} is an echoic file.")
    try:
        return _rebuilt(file, header["network"], "")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file.path}: the header is incomplete ({error!r}).") from error
    except ValueError as error:
        raise ValueError(f"{file.path}: {error}") from error


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What was given to [`save`][] as ``metadata``; the file's own for a torch file."""
    file = TensorFile(path)
    return _verified(file)["metadata"] if ENTRY in file.metadata else dict(file.metadata)


def _verified(file: TensorFile) -> dict[str, Any]:
    """The header, once version and checksum have been found right."""
    text = file.metadata[ENTRY]
    try:
        header = json.loads(text)
        version = header["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file.path}: the header is damaged.") from error
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{file.path} has format version {version}; this echoic reads version"
            f" {FORMAT_VERSION}: use a newer one."
        )
    if file.metadata.get("checksum") != _checksum(text, file.arrays(file.names)):
        raise ValueError(f"{file.path} is damaged: its checksum does not match.")
    return header


def _checksum(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


# --- what a network is, in JSON and arrays --------------------------------------------------------


def _describe(
    network: AbstractCell | Bidirectional,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if isinstance(network, Bidirectional):
        raise ValueError("a bidirectional stack is not stored: keep the file it was read from.")
    if not isinstance(network, Network):
        return _describe_cell(network)
    cells, arrays = [], {}
    for index, cell in enumerate(network.cells):
        structure, part = _describe(cell)
        cells.append(structure)
        arrays |= {f"cells.{index}.{name}": array for name, array in part.items()}
    if network.readout is not None:
        arrays["readout.weight"] = np.asarray(network.readout.weight)
        arrays["readout.bias"] = np.asarray(network.readout.bias)
    structure = {"family": "Network", "cells": cells, "readout": network.readout is not None}
    return structure, arrays


def _describe_cell(cell: AbstractCell) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    family = type(cell).__name__
    if families().get(family) is not type(cell):
        raise ValueError(
            f"only echoic's own cells can be stored ({', '.join(families())}), got {family}; for"
            " your own use equinox.tree_serialise_leaves."
        )
    static = {name: getattr(cell, name) for name in static_fields(type(cell))}
    arrays = {name: np.asarray(getattr(cell, name)) for name in array_fields(type(cell))}
    for name, array in arrays.items():
        if array.dtype.name not in ("float32", "float64"):
            raise ValueError(f"{name} has dtype {array.dtype}: cast the cell to float32 first.")
    # The present law only: that of trained weights is history.
    law = cell.hyperparameters()
    return {"family": family, "static": static, "law": _law_to_json(law)}, arrays


def _rebuilt(file: TensorFile, structure: dict[str, Any], prefix: str) -> AbstractCell:
    family = structure["family"]
    if family == "Network":
        cells = [
            _rebuilt(file, part, f"{prefix}cells.{index}.")
            for index, part in enumerate(structure["cells"])
        ]
        readout = _readout(file, prefix) if structure["readout"] else None
        return Network(cells, readout)
    names = {name.removeprefix(prefix): name for name in file.names if name.startswith(prefix)}
    arrays = {short: file.array(name) for short, name in names.items()}
    return rebuild(family, structure["static"], arrays, _law_from_json(structure["law"]))


def _readout(file: TensorFile, prefix: str) -> Readout:
    weight, bias = (
        jnp.asarray(file.array(f"{prefix}readout.{name}")) for name in ("weight", "bias")
    )
    return Readout(
        *weight.shape[::-1],
        weight=lambda key, shape, dtype: weight,
        bias=lambda key, shape, dtype: bias,
        key=jr.key(0),
        dtype=weight.dtype,
    )


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
