"""Networks in files: safetensors, with a JSON header that says what they are.

Nothing in a file is ever run. The header names a cell family out of a table, its arguments and the
laws of its weights; the checksum covers header and arrays.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from echoic.cells.described import describe, described
from echoic.cells.state_dict import StoreWarning, from_state_dict
from echoic.cells.tensors import TensorFile, write_tensors
from echoic.core.cell import AbstractCell
from echoic.core.model import AbstractModel

__all__ = ["StoreWarning", "load", "read_metadata", "save"]

FORMAT_VERSION = 2
_READABLE = (1, 2)  # version 1 has neither embeddings nor dropout, nor other models than Network
ENTRY = "echoic"


def save(
    network: AbstractCell | AbstractModel,
    path: str | Path,
    *,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Store a cell, a [`Network`][echoic.Network] or another model in a file.

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
    structure, arrays = describe(network)
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
) -> AbstractCell | AbstractModel:
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
        return described(header["network"], file.arrays(file.names))
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
    if version not in _READABLE:
        raise ValueError(
            f"{file.path} has format version {version}; this echoic reads up to version"
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
