"""Questions asked of arguments before work begins. Every refusal names what came and what goes."""

import difflib
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float


def one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    """``value`` if it is allowed; else an error that names the nearest valid one."""
    allowed = list(allowed)
    if value in allowed:
        return value
    near = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown {name} {value!r}.{hint} Valid: {', '.join(allowed)}.")


def at_least(name: str, value: Any, smallest: int, largest: int | None = None) -> int:
    """``value`` if it is an integer in the range, else an error that states the range."""
    allowed = f"{smallest}.." + ("" if largest is None else str(largest))
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name} must be an integer in {allowed}, got {value!r}.")
    if value < smallest or (largest is not None and value > largest):
        raise ValueError(f"{name} must lie in {allowed}, got {value}.")
    return int(value)


def _is_list_of_series(inputs: Any) -> bool:
    """Whether ``inputs`` is a list of one-dimensional arrays: sequences, not steps."""
    return (
        isinstance(inputs, list | tuple)
        and len(inputs) > 0
        and all(getattr(item, "ndim", 0) == 1 for item in inputs)
    )


def channels_of(inputs: Any) -> int:
    """How many channels the inputs have: 0 for None, 1 for a plain series."""
    if inputs is None:
        return 0
    if _is_list_of_series(inputs):
        return 1
    shape = np.shape(inputs[0] if isinstance(inputs, list | tuple) and inputs else inputs)
    plain = len(shape) <= (0 if isinstance(inputs, list | tuple) else 1)
    return 1 if plain else shape[-1]


def sequences(inputs: Any, input_size: int, dtype: Any) -> Float[Array, "b t m"]:
    """Inputs of shape (t,), (t, m) or (b, t, m) as a batch of sequences in ``dtype``.

    A list of arrays (t,) or (t, m) is a batch too, if all are equally long. NaN passes: a
    measurement answers it with NaN.
    """
    if isinstance(inputs, list | tuple):
        shapes = {np.shape(item) for item in inputs}
        if len(shapes) > 1:
            raise ValueError(
                "sequences of one call must have equal shapes, got "
                + ", ".join(str(shape) for shape in sorted(shapes))
            )
        if _is_list_of_series(inputs):
            inputs = np.stack([np.asarray(item) for item in inputs])[:, :, None]
    kind = getattr(inputs, "dtype", None) or np.asarray(inputs).dtype
    if not (jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer)):
        raise ValueError(f"inputs must be real numbers, got dtype {kind}.")
    array = jnp.asarray(inputs, dtype)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise ValueError(f"inputs must have shape (t,), (t, m) or (b, t, m), got {array.shape}.")
    if array.shape[2] != input_size:
        raise ValueError(
            f"the cell takes {input_size} input channel(s), the inputs have {array.shape[2]}:"
            f" got shape {np.shape(inputs)}."
        )
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise ValueError(f"inputs are empty: got shape {np.shape(inputs)}.")
    return array


def refuse_if_larger(what: str, num_bytes: float, limit: float = 8e9) -> None:
    """Refuse work that would need more memory than ``limit`` bytes, and say how much."""
    if num_bytes > limit:
        raise MemoryError(
            f"{what} would take {num_bytes / 1e9:.1f} GB of memory, more than the limit of"
            f" {limit / 1e9:.1f} GB."
        )


def bytes_of(tree: Any) -> float:
    """The memory of all arrays of a tree, which may be those of ``jax.eval_shape``."""
    leaves = [leaf for leaf in jax.tree_util.tree_leaves(tree) if hasattr(leaf, "dtype")]
    return float(sum(leaf.size * leaf.dtype.itemsize for leaf in leaves))


def is_traced(*values: Any) -> bool:
    """Whether any leaf is a tracer, so that nothing can be asked of its numbers."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree_util.tree_leaves(values))


def not_negative(name: str, value: Any) -> None:
    """Refuse a variance, or the like, that is negative anywhere; NaN and traced values pass."""
    if not is_traced(value) and bool(np.any(np.asarray(value) < 0)):
        raise ValueError(f"{name} must be at least 0, got {np.asarray(value).min():g}.")
