"""Rebuilding a cell from its family's name, its sizes and its arrays. No code comes from a file."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

from echoic.core.cell import AbstractCell, Law
from echoic.core.checks import one_of


def families() -> dict[str, type[AbstractCell]]:
    """The cells that echoic can store and rebuild, by name; stacks are not among them."""
    from echoic import cells

    found = {name: getattr(cells, name) for name in cells.__all__}
    return {
        name: kind
        for name, kind in found.items()
        if isinstance(kind, type) and issubclass(kind, AbstractCell) and name != "Network"
    }


def rebuild(
    family: str,
    static: Mapping[str, Any],
    arrays: Mapping[str, Any],
    law: Law | None = None,
) -> AbstractCell:
    """The cell with these arrays.

    The family's own constructor checks the arguments and says which shapes must come; nothing is
    drawn.

    **Arguments**

    - ``static``: the constructor's arguments that are no arrays, both sizes among them.
    - ``arrays``: NumPy's or JAX's, one for each field that holds an array. They keep their dtype,
      but for float64, which is float32 outside ``jax.enable_x64``.

    **Raises** ``ValueError`` for an unknown family, a wrong argument, a missing, unexpected or
    misshapen array.
    """
    kind = families()[one_of("cell family", family, families())]
    if set(static) != set(static_fields(kind)):
        raise ValueError(f"{family} cannot be built from {dict(static)}.")
    build: Any = functools.partial(kind, **static)
    skeleton = eqx.filter_eval_shape(lambda: build(key=jr.key(0)))
    expected = {name: getattr(skeleton, name) for name in array_fields(kind)}
    if set(arrays) != set(expected):
        raise ValueError(
            f"{family} has the arrays {', '.join(sorted(expected))}, got"
            f" {', '.join(sorted(arrays)) or 'none'}."
        )
    for name, spec in expected.items():
        if arrays[name].shape != spec.shape:
            raise ValueError(
                f"{name} of {family} must have shape {spec.shape}, got {arrays[name].shape}."
            )
    names = [*expected, "law"]
    fields = [_canonical(arrays[name]) for name in expected]
    return eqx.tree_at(
        lambda cell: [getattr(cell, name) for name in names], skeleton, [*fields, law]
    )


def _canonical(array: Any) -> Array:
    return jnp.asarray(array, jax.dtypes.canonicalize_dtype(array.dtype))


def array_fields(kind: type[AbstractCell]) -> list[str]:
    """The fields of a cell that hold arrays."""
    return [
        field.name
        for field in dataclasses.fields(kind)
        if not field.metadata.get("static", False) and field.name != "law"
    ]


def static_fields(kind: type[AbstractCell]) -> list[str]:
    """The fields of a cell that hold none: its sizes and options."""
    return [field.name for field in dataclasses.fields(kind) if field.metadata.get("static", False)]
