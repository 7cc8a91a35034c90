"""Drawing a cell's weights gate by gate, and knowing whether they are still those that were drawn.

Initialisers are consumed here: a cell keeps arrays, and its law as a record only. Kept as static
fields they would make every candidate compile anew.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, Law, fingerprint
from echoic.core.checks import at_least, one_of
from echoic.init.gates import Role

Initialiser = Callable[..., Array]
GateInitialiser = Initialiser | Mapping[str, Initialiser]


def sizes(input_size: int, hidden_size: int) -> tuple[int, int]:
    """Both sizes, checked."""
    return at_least("input_size", input_size, 1), at_least("hidden_size", hidden_size, 1)


def per_gate(
    name: str,
    initialiser: Any,
    gates: tuple[str, ...],
    default: Mapping[str, Initialiser],
) -> dict[str, Initialiser]:
    """One initialiser a gate: the same for all, or by name with defaults for those left out."""
    if isinstance(initialiser, Mapping):
        for gate in initialiser:
            one_of(f"gate in {name}", gate, gates)
        chosen: dict[str, Any] = {gate: initialiser.get(gate, default[gate]) for gate in gates}
    else:
        chosen = {gate: initialiser for gate in gates}
    for gate, draw in chosen.items():
        if not callable(draw):
            raise ValueError(
                f"{name} of gate {gate!r} must be an initialiser (key, shape, dtype) -> array,"
                f" such as echoic.init.gaussian(1.0), got {draw!r}."
            )
    return chosen


def draw(
    name: str, initialiser: Initialiser, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any
) -> Float[Array, "..."]:
    """One array from one initialiser, its shape checked."""
    if not callable(initialiser):
        raise ValueError(
            f"{name} must be an initialiser (key, shape, dtype) -> array,"
            f" such as echoic.init.gaussian(1.0), got {initialiser!r}."
        )
    array = jnp.asarray(initialiser(key, shape, dtype), dtype)
    if array.shape != shape:
        raise ValueError(f"{name} must draw shape {shape}, {initialiser!r} drew {array.shape}.")
    return array


def draw_stack(
    name: str,
    initialisers: Mapping[str, Initialiser],
    key: PRNGKeyArray,
    shape: tuple[int, ...],
    dtype: Any,
) -> Float[Array, "r ..."]:
    """One block a gate, each drawn by itself, stacked along the rows."""
    keys = jr.split(key, len(initialisers))
    return jnp.concatenate(
        [
            draw(f"{name} of gate {gate!r}", initialiser, gate_key, shape, dtype)
            for (gate, initialiser), gate_key in zip(initialisers.items(), keys, strict=True)
        ]
    )


def draw_biases(
    bias: Any,
    roles: Mapping[str, Role],
    default: Mapping[str, Initialiser],
    key: PRNGKeyArray,
    size: int,
    dtype: Any,
) -> tuple[Float[Array, "r"], Mapping[str, Initialiser]]:
    """The stacked biases and their laws: by gate, or by a law that ties gates together (chrono)."""
    if hasattr(bias, "gates"):
        drawn = bias.gates(key, roles, size, dtype)
        return jnp.concatenate([drawn[gate].astype(dtype) for gate in roles]), bias.laws(roles)
    laws = per_gate("bias", bias, tuple(roles), default)
    return draw_stack("bias", laws, key, (size,), dtype), laws


def record(**laws: Any) -> dict[str, Any]:
    """The parameters of a law: mappings by gate become entries named ``what.gate``."""
    flat = {}
    for name, value in laws.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}.{gate}": part for gate, part in value.items()})
        else:
            flat[name] = value
    return flat


def present_law(law: Law | None, weights: Any) -> Law | None:
    """``law`` if the weights are still those that it drew.

    Traced weights cannot be compared, so nothing is claimed of them.
    """
    if law is None or law.fingerprint is None or law.fingerprint == fingerprint(weights):
        return law
    return None


def blocks(stack: Float[Array, "r n"], gates: tuple[str, ...]) -> dict[str, Float[Array, "n n"]]:
    """A stacked matrix by gate."""
    return dict(zip(gates, jnp.split(stack, len(gates)), strict=True))


def affine(
    weight: Float[Array, "r m"], bias: Float[Array, "r"], xs: Float[Array, "*batch m"]
) -> Float[Array, "*batch r"]:
    """``weight x + bias`` for any number of leading axes."""
    product = xs @ weight.T
    return product + jnp.broadcast_to(bias, product.shape)


def start(cell: AbstractCell, dtype: Any) -> Float[Array, "n"]:
    """The zero state of a cell's units."""
    return jnp.zeros(cell.hidden_size, dtype)
