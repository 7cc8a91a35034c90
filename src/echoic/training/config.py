"""What a run was started with, as plain values: written down, and compared before it goes on."""

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from echoic.core.files import write_whole
from echoic.training.optimiser import Optimiser, Rule

VERSION = 1
# Written down for the reader, and free to differ when a run goes on.
_REMARKS = ("versions", "chance", "initialiser")


def describe_task(task: Any, *, compared: bool) -> dict[str, Any]:
    """Its class and what its fields hold; of arrays a hash, if it is to be compared one day."""
    fields = (
        {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
        if dataclasses.is_dataclass(task)
        else dict(vars(task))
        if hasattr(task, "__dict__")
        else {}
    )
    plain = {name: _plain(value, compared) for name, value in fields.items()}
    return {"class": type(task).__name__} | plain


def describe_models(models: Sequence[Any]) -> dict[str, Any]:
    """The form that they share, and a hash of the weights that each begins with."""
    arrays, rest = eqx.partition(models[0], eqx.is_array)
    shapes = {
        jtu.keystr(path): f"{leaf.dtype} {leaf.shape}"
        for path, leaf in jtu.tree_leaves_with_path(arrays)
    }
    options = {jtu.keystr(path): repr(leaf) for path, leaf in jtu.tree_leaves_with_path(rest)}
    return {
        "class": type(models[0]).__name__,
        "arrays": shapes,
        "options": {name: _without_address(text) for name, text in options.items()},
        "static": _digest(_without_address(str(jtu.tree_structure(models[0]))).encode()),
        "initial weights": [hash_of_arrays(model) for model in models],
    }


def describe_rules(rules: Sequence[Rule], weights: PyTree) -> dict[str, Any]:
    """The record; of a transformation of somebody else's only the form of its state is known.

    What differs between members is a list.
    """
    first = rules[0]
    if not isinstance(first, Optimiser):
        state = jax.eval_shape(first.init, weights)
        return {"name": "optax transformation", "state": _without_address(str(state))}
    records = [dataclasses.asdict(rule) for rule in rules if isinstance(rule, Optimiser)]
    values = {name: [record[name] for record in records] for name in records[0]}
    return {name: of[0] if len(set(of)) == 1 else of for name, of in values.items()}


def describe_loss(loss: Any) -> str:
    """Its name; of a function of somebody's own the function's."""
    return loss if isinstance(loss, str) else getattr(loss, "__qualname__", type(loss).__name__)


def describe_key(key: PRNGKeyArray) -> dict[str, Any]:
    """Its numbers, and how random bits are made of them."""
    return {
        "numbers": np.ravel(np.asarray(jr.key_data(key))).tolist(),
        "kind": str(jr.key_impl(key)),
    }


def versions() -> dict[str, str]:
    """Of what decides the bits of a result."""
    return {name: importlib.metadata.version(name) for name in ("echoic", "jax", "jaxlib", "optax")}


def hash_of_arrays(tree: PyTree) -> str:
    """A hash of all arrays, bit for bit."""
    digest = hashlib.sha256()
    for path, leaf in jtu.tree_leaves_with_path(eqx.filter(tree, eqx.is_array_like)):
        array = np.asarray(leaf)
        digest.update(f"{jtu.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _without_address(text: str) -> str:
    """``<function f at 0x7f...>`` without the place in memory, which changes every time."""
    return text if " at 0x" not in text else text.split(" at 0x")[0] + ">"


def _plain(value: Any, compared: bool) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if any(map(eqx.is_array_like, jtu.tree_leaves(value))):
        # Of a large set it takes a second.
        return {"hash": hash_of_arrays(value) if compared else "not taken"}
    return _without_address(repr(value))


def write_config(folder: pathlib.Path, config: dict[str, Any]) -> None:
    """Write ``config.json``."""
    write_whole(
        folder / "config.json", json.dumps(_finite(config), indent=1, sort_keys=True) + "\n"
    )


def read_config(folder: pathlib.Path) -> dict[str, Any] | None:
    """What stands in ``config.json``, or None if there is none."""
    path = folder / "config.json"
    if not path.exists():
        return None
    try:
        config = json.loads(path.read_text())
        version = config["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
    if version != VERSION:
        raise ValueError(f"{path} has format version {version}; this echoic reads {VERSION}.")
    return config


def refuse_other_config(folder: pathlib.Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    """A run may go on only with what it was started with; more ``steps`` are allowed at times.

    They are where nothing else depends on their number: with a constant learning rate.
    """
    then, now = _flat(_finite(then)), _flat(json.loads(json.dumps(_finite(now))))
    free = set()
    if now.get("optimiser.schedule", "constant") == "constant" and now["steps"] >= then["steps"]:
        free = {"steps"}
    changed = [
        f"{name} was {then.get(name)!r} and is now {now.get(name)!r}"
        for name in sorted(then.keys() | now.keys())
        if name.split(".")[0] not in _REMARKS
        and name not in free
        and then.get(name) != now.get(name)
    ]
    if changed:
        raise ValueError(
            f"the run in {str(folder)!r} was started otherwise: {'; '.join(changed)}. Resume it as"
            " it was, or train in another folder."
        )


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    found = {}
    for key, part in value.items():
        found |= _flat(part, f"{name}.{key}" if name else str(key))
    return found


def _finite(value: Any) -> Any:
    """JSON has no infinities and no NaN: they are words."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
