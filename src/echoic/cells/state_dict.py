"""The ``state_dict`` of a ``torch.nn`` RNN, GRU or LSTM, read without torch.

PyTorch keeps two biases where one acts: they are added, but for the candidate of the GRU, whose
second bias stands inside the reset.
"""

import re
import warnings
from typing import Any, NamedTuple

import numpy as np

from echoic.cells.bidirectional import Bidirectional
from echoic.cells.families import rebuild
from echoic.cells.network import Network
from echoic.cells.tensors import TensorFile
from echoic.core.cell import AbstractCell
from echoic.core.checks import one_of

KEY = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<kind>weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)"
    r"(?:_l(?P<layer>\d+)(?P<reverse>_reverse)?)?"
)
FAMILIES = {4: "LSTM", 3: "GRU", 1: "Elman"}
TORCH_NAMES = {"LSTM": "torch.nn.LSTM", "GRU": "torch.nn.GRU", "Elman": "torch.nn.RNN"}


class StoreWarning(UserWarning):
    """Something about a file that its reader should know."""


class Place(NamedTuple):
    """Where a weight belongs."""

    layer: int
    reverse: bool


Weights = dict[Place, dict[str, str]]


def from_state_dict(
    file: TensorFile, nonlinearity: str | None, prefix: str | None
) -> AbstractCell | Bidirectional:
    """The cell, the stack, or the bidirectional stack that the file holds."""
    modules = find_modules(file)
    chosen = _choose(file, modules, prefix)
    weights = modules[chosen]
    family = _family(file, weights)
    static: dict[str, Any] = {}
    if family == "Elman":
        static["activation"] = _activation(file, nonlinearity)
    elif nonlinearity is not None:
        raise ValueError(
            f"nonlinearity is for a torch.nn.RNN; {file.path} holds a {TORCH_NAMES[family]}."
        )
    cells = {place: _cell(file, family, weights[place], static) for place in sorted(weights)}
    used = {name for names in weights.values() for name in names.values()}
    others = [name for name in file.names if name not in used]
    if others:
        shown = ", ".join(others[:8]) + (", ..." if len(others) > 8 else "")
        warnings.warn(
            f"{file.path}: left out, for they are no part of the recurrent module: {shown}.",
            StoreWarning,
            stacklevel=4,
        )
    return _stacked(file, cells)


def find_modules(file: TensorFile) -> dict[str, Weights]:
    """The recurrent modules of a file by prefix, and the names of their weights."""
    modules: dict[str, Weights] = {}
    for name in file.names:
        match = KEY.fullmatch(name)
        if match:
            place = Place(int(match["layer"] or 0), bool(match["reverse"]))
            module = modules.setdefault(match["prefix"], {})
            module.setdefault(place, {})[match["kind"]] = name
    return modules


def _choose(file: TensorFile, modules: dict[str, Weights], prefix: str | None) -> str:
    if not modules:
        shown = ", ".join(file.names[:8]) + (", ..." if len(file.names) > 8 else "")
        raise ValueError(
            f"{file.path} holds neither an echoic network nor the weights of a torch.nn.RNN, GRU"
            f" or LSTM. Its tensors: {shown or 'none'}."
        )
    listed = ", ".join(repr(name) for name in modules)
    if prefix is not None:
        for candidate in (prefix, prefix + "."):
            if candidate in modules:
                return candidate
        raise ValueError(
            f"{file.path} has no recurrent module with the prefix {prefix!r}. Prefixes: {listed}."
        )
    if len(modules) > 1:
        raise ValueError(
            f"{file.path} holds several recurrent modules: choose one with prefix= (--prefix)."
            f" Prefixes: {listed}."
        )
    return next(iter(modules))


def _family(file: TensorFile, weights: Weights) -> str:
    """The family, from how many rows of gates a unit has; all parts are checked for one form."""
    directions = 2 if any(place.reverse for place in weights) else 1
    layers = 1 + max(place.layer for place in weights)
    wanted = {Place(layer, bool(back)) for layer in range(layers) for back in range(directions)}
    if set(weights) != wanted:
        place = min(wanted - set(weights))
        raise ValueError(
            f"{file.path}: the weights of layer {place.layer}"
            f"{', reverse' if place.reverse else ''} are missing."
        )
    kinds = set(weights[Place(0, False)])
    if "weight_hr" in kinds:
        raise ValueError(
            f"{file.path}: an LSTM with projections (proj_size, weight_hr) is not supported: what"
            " it feeds back is not its hidden state."
        )
    for place, names in weights.items():
        missing = ({"weight_ih", "weight_hh"} | kinds) ^ set(names)
        if missing or len(kinds & {"bias_ih", "bias_hh"}) == 1:
            raise ValueError(
                f"{file.path}: layer {place.layer}{', reverse' if place.reverse else ''} has"
                f" {', '.join(sorted(names))}; it needs weight_ih and weight_hh, and both biases"
                " or none, like all the others."
            )
    shape = file.shape(weights[Place(0, False)]["weight_hh"])
    ratio = shape[0] // shape[1] if len(shape) == 2 and shape[1] else 0
    if ratio not in FAMILIES or shape[0] != ratio * shape[1]:
        raise ValueError(
            f"{file.path}: weight_hh has shape {shape}; it should be (n, n) for an RNN, (3n, n)"
            " for a GRU, (4n, n) for an LSTM."
        )
    _refuse_misfits(file, weights, ratio, shape[1], directions)
    return FAMILIES[ratio]


def _refuse_misfits(
    file: TensorFile, weights: Weights, ratio: int, units: int, directions: int
) -> None:
    first = file.shape(weights[Place(0, False)]["weight_ih"])
    channels = first[1] if len(first) == 2 else 0
    rows = ratio * units
    for place, names in weights.items():
        columns = channels if place.layer == 0 else units * directions
        for kind, name in names.items():
            shape = {"weight_ih": (rows, columns), "weight_hh": (rows, units)}.get(kind, (rows,))
            if file.shape(name) != shape:
                raise ValueError(
                    f"{file.path}: {name!r} must have shape {shape}, got {file.shape(name)}."
                )


def _activation(file: TensorFile, nonlinearity: str | None) -> str:
    if nonlinearity is None:
        warnings.warn(
            f"{file.path}: the file of a torch.nn.RNN does not tell its nonlinearity; taken as"
            " tanh. For the other one pass nonlinearity='relu' (--nonlinearity relu).",
            StoreWarning,
            stacklevel=5,
        )
        return "tanh"
    return one_of("nonlinearity", nonlinearity, ["tanh", "relu"])


def _cell(
    file: TensorFile, family: str, names: dict[str, str], static: dict[str, Any]
) -> AbstractCell:
    stored = {kind: file.array(name) for kind, name in names.items()}
    dtype = np.result_type(*(array.dtype for array in stored.values()))
    weights = {kind: array.astype(dtype) for kind, array in stored.items()}
    recurrent, input = weights["weight_hh"], weights["weight_ih"]
    units = recurrent.shape[1]
    none = np.zeros(len(recurrent), dtype)
    from_input, from_state = weights.get("bias_ih", none), weights.get("bias_hh", none)
    arrays = {"recurrent": recurrent, "input": input, "bias": from_input + from_state}
    if family == "GRU":
        gates = (from_input + from_state)[: 2 * units]
        arrays["bias"] = np.concatenate([gates, from_input[2 * units :]])
        arrays["candidate_bias"] = from_state[2 * units :]
    sizes = {"input_size": input.shape[1], "hidden_size": units}
    return rebuild(family, sizes | static, arrays)


def _stacked(file: TensorFile, cells: dict[Place, AbstractCell]) -> AbstractCell | Bidirectional:
    if any(place.reverse for place in cells):
        layers = sorted({place.layer for place in cells})
        pairs = [(cells[Place(layer, False)], cells[Place(layer, True)]) for layer in layers]
        return Bidirectional(pairs)
    return next(iter(cells.values())) if len(cells) == 1 else Network(list(cells.values()))
