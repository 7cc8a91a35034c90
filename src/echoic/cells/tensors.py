"""Arrays in a safetensors file: read without running code, written whole or not at all."""

import json
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")
CONVERT = (
    "`from safetensors.torch import save_file; save_file(model.state_dict(), 'model.safetensors')`"
)
# bfloat16 is the upper half of a float32; NumPy does not know it.
DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}


class TensorFile:
    """The names, shapes and metadata of a safetensors file; the arrays are read when asked for."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        _refuse_pickles(self.path)
        header = _header(self.path)
        self.metadata: dict[str, str] = header.pop("__metadata__", None) or {}
        self.names = tuple(header)
        self._entries = header

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return tuple(self._entries[name]["shape"])

    def array(self, name: str) -> np.ndarray:
        """A floating tensor; half precision comes as float32."""
        kind = self._entries[name]["dtype"]
        if kind not in DTYPES:
            raise ValueError(
                f"{self.path}: {name!r} has dtype {kind}; weights must be floating numbers"
                f" ({', '.join(DTYPES)})."
            )
        begin, end = self._entries[name]["data_offsets"]
        with open(self.path, "rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
            file.seek(start + begin)
            raw = np.frombuffer(file.read(end - begin), DTYPES[kind])
        if kind == "BF16":
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        elif kind == "F16":
            raw = raw.astype(np.float32)
        return raw.reshape(self.shape(name))

    def arrays(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Several tensors by name."""
        return {name: self.array(name) for name in names}


def _refuse_pickles(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a file.")
    with open(path, "rb") as file:
        start = file.read(9)
    # What torch.save writes: a zip archive today, a bare pickle in former days.
    # The length of a safetensors header may begin with the same bytes, but then comes a brace.
    pickled = start[:4] == b"PK\x03\x04" or start[:2] in (b"\x80\x02", b"\x80\x04")
    if path.suffix in PICKLES or (pickled and start[8:] != b"{"):
        raise ValueError(
            f"{path} is a pickle, which could run code when it is loaded, so it is not opened."
            f" Convert it where it was made: {CONVERT}."
        )


def _header(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty: it has no bytes.")
    try:
        # Checks lengths, offsets and dtypes against the size of the file.
        with safe_open(str(path), framework="numpy"):
            pass
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged, cut short, or not a safetensors file: {error}."
        ) from error
    with open(path, "rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(8), "little")))


def write_tensors(
    path: str | Path, arrays: Mapping[str, np.ndarray], metadata: dict[str, str]
) -> None:
    """Write a safetensors file beside its place, flush it to the disk, then move it there.

    **Raises** ``OSError`` when it cannot be written; whatever was at ``path`` is then untouched.
    """
    from safetensors.numpy import save

    path = Path(path)
    content = save({name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            with open(draft, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        _flush_folder(path.parent)
    except OSError as error:
        raise OSError(f"{path} could not be written: {error.strerror or error}.") from error


def _flush_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
