"""Checkpoints: everything that a run needs to go on, in one file that is whole or not there.

A file holds the arrays of a tree by their paths, and a JSON header with the rest; a checksum covers
both. Reading it runs no code: the arrays fill a tree of the same form that was built anew.
"""

import hashlib
import json
import pathlib
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PyTree

from echoic.core.files import write_whole

VERSION = 1
_ENTRY = "echoic_checkpoint"
_COLUMN = "column "
_SUFFIX = ".safetensors"


class CheckpointWarning(UserWarning):
    """A checkpoint could not be read, and an older one was."""


class Checkpoint(NamedTuple):
    """What was stored: a tree of arrays, a table of any length by column, and plain values."""

    arrays: PyTree
    table: dict[str, np.ndarray]
    header: dict[str, Any]


def path_of(folder: pathlib.Path, step: int) -> pathlib.Path:
    """The name of the checkpoint of a step; names sort as their steps do."""
    return folder / f"step-{step:010d}{_SUFFIX}"


def checkpoints_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """All checkpoints, the newest first."""
    return sorted(folder.glob(f"step-*{_SUFFIX}"), reverse=True)


def save_checkpoint(
    folder: pathlib.Path, step: int, stored: Checkpoint, *, keep: int
) -> pathlib.Path:
    """Write a checkpoint, and delete all but the newest ``keep``.

    **Raises** OSError where it cannot be written; the older ones are then untouched.
    """
    from safetensors.numpy import save

    arrays = {name: _to_numpy(leaf) for name, leaf in _by_path(stored.arrays).items()}
    arrays |= {_COLUMN + name: np.asarray(column) for name, column in stored.table.items()}
    header = json.dumps({"version": VERSION, **stored.header}, allow_nan=False)
    content = save(arrays, {_ENTRY: header, "checksum": _checksum(header, arrays)})
    path = write_whole(path_of(folder, step), content)
    for old in checkpoints_in(folder)[keep:]:
        old.unlink(missing_ok=True)
    return path


def load_newest(folder: pathlib.Path, template: PyTree) -> Checkpoint | None:
    """The newest checkpoint that is whole; None if there is none at all.

    Warns of each that is damaged.

    **Raises** ValueError where all are damaged, and for one whose arrays do not fit ``template``.
    """
    found = checkpoints_in(folder)
    for path in found:
        try:
            return load_checkpoint(path, template)
        except DamagedError as error:
            warnings.warn(f"{error} Going on from the one before.", CheckpointWarning, stacklevel=2)
    if found:
        raise ValueError(f"all {len(found)} checkpoints in {str(folder)!r} are damaged.")
    return None


class DamagedError(ValueError):
    """The bytes of a checkpoint are not those that were written."""


def load_checkpoint(path: pathlib.Path, template: PyTree) -> Checkpoint:
    """Read a checkpoint into a tree of the form of ``template``."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = path.read_bytes()
    try:
        arrays = load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        text, checksum = metadata[_ENTRY], metadata["checksum"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"the checkpoint {str(path)!r} is damaged ({error}).") from error
    if checksum != _checksum(text, arrays):
        raise DamagedError(f"the checkpoint {str(path)!r} is damaged: its checksum is wrong.")
    header = json.loads(text)
    if header["version"] != VERSION:
        raise ValueError(
            f"{path} has format version {header['version']}; this echoic reads {VERSION}."
        )
    table = {
        name.removeprefix(_COLUMN): arrays.pop(name)
        for name in list(arrays)
        if name.startswith(_COLUMN)
    }
    return Checkpoint(_filled(path, template, arrays), table, header)


def _filled(path: pathlib.Path, template: PyTree, arrays: dict[str, np.ndarray]) -> PyTree:
    wanted = _by_path(template)
    if set(wanted) != set(arrays):
        odd = sorted(set(wanted) ^ set(arrays))
        raise ValueError(f"{path} is of another run: {', '.join(odd[:5])} are not in both.")
    leaves = [_from_numpy(path, name, arrays[name], like) for name, like in wanted.items()]
    return jtu.tree_unflatten(jtu.tree_structure(template), leaves)


def _by_path(tree: PyTree) -> dict[str, Any]:
    return {jtu.keystr(path): leaf for path, leaf in jtu.tree_leaves_with_path(tree)}


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_numpy(leaf: Any) -> np.ndarray:
    """The array; one of a type that NumPy does not have (bfloat16) as its bytes."""
    array = np.asarray(jr.key_data(leaf) if _is_key(leaf) else leaf, order="C")
    if array.dtype.kind in "biuf" and not array.dtype.name.startswith("bfloat"):
        return array
    return array.view(f"u{array.dtype.itemsize}")


def _from_numpy(path: pathlib.Path, name: str, array: np.ndarray, like: Any) -> Any:
    wanted = _to_numpy(like)
    if array.shape != wanted.shape or array.dtype != wanted.dtype:
        raise ValueError(
            f"{path} is of another run: {name} is {array.dtype} {array.shape}, not"
            f" {wanted.dtype} {wanted.shape}."
        )
    if _is_key(like):
        return jr.wrap_key_data(jnp.asarray(array), impl=jr.key_impl(like))
    array = array.view(np.asarray(like).dtype)
    # A copy into memory of JAX's own: it is given away in the first call.
    return jnp.array(array, copy=True) if isinstance(like, jax.Array) else array.copy()


def _checksum(header: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
