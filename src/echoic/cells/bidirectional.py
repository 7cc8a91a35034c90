"""A stack that reads its input in both directions of time, taken apart into causal cells."""

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import jax.tree_util as jtu
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from echoic.core.cell import AbstractCell, without_law
from echoic.core.rollout import rollout


class Direction(eqx.Module):
    """One cell of a bidirectional stack: its layer (from 0), and which way it reads time."""

    layer: int = eqx.field(static=True)
    direction: Literal["forward", "backward"] = eqx.field(static=True)
    cell: AbstractCell

    @property
    def name(self) -> str:
        """Such as ``layer 0, backward``."""
        return f"layer {self.layer}, {self.direction}"


class Bidirectional(eqx.Module):
    """A bidirectional stack.

    It is no cell: its output at time t depends on the future, so it has no step function and no
    memory of its own. Each of its cells has one, under the input which that cell truly sees:
    [`seen_inputs`][echoic.cells.bidirectional.seen_inputs].

    **Fields**

    - ``parts``: forward and backward cell of layer 0, then of layer 1, and so on.
    """

    parts: tuple[Direction, ...]

    @property
    def input_size(self) -> int:
        """The number of input channels."""
        return self.parts[0].cell.input_size

    @property
    def hidden_size(self) -> int:
        """The units of one direction of the last layer."""
        return self.parts[-1].cell.hidden_size

    @property
    def num_layers(self) -> int:
        """The number of layers, each of two cells."""
        return self.parts[-1].layer + 1


def seen_inputs(network: Bidirectional, inputs: ArrayLike) -> list[Float[Array, "*b t k"]]:
    """What each cell of the stack is driven by, one entry for each of ``network.parts``.

    **Definition.** Layer 0 sees the input; each layer above sees the outputs of both directions of
    the layer below, side by side, forward first. A backward cell sees its sequence reversed in
    time: step 0 of its entry is the last step of the input.

    **Arguments**

    - ``inputs``: (t,), (t, m) or (b, t, m); they are brought to the network's precision.

    **Misleads.** A lag k of a backward cell is k steps into the *future*. Above layer 0 both
    directions see outputs that already know past and future; their reach over their own input is
    not the reach over the network's input.

    Cost: one run of the network without its last layer.
    """
    return _run(without_law(network), _checked(network, inputs))[0]


def outputs(network: Bidirectional, inputs: ArrayLike) -> Float[Array, "*b t k"]:
    """The last layer's outputs, forward and backward side by side, both in the input's time."""
    return _run(without_law(network), _checked(network, inputs))[1]


def _checked(network: Bidirectional, inputs: ArrayLike) -> Array:
    (dtype,) = {leaf.dtype for leaf in jtu.tree_leaves(eqx.filter(network, eqx.is_inexact_array))}
    array = jnp.asarray(inputs, dtype)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim not in (2, 3) or array.shape[-1] != network.input_size:
        raise ValueError(
            f"inputs must have shape (t, {network.input_size}) or (b, t, {network.input_size}),"
            f" got {jnp.shape(inputs)}."
        )
    return array


@eqx.filter_jit
def _run(network: Bidirectional, inputs: Array) -> tuple[list[Array], Array]:
    seen, below = [], inputs
    for forward, backward in zip(network.parts[::2], network.parts[1::2], strict=True):
        reversed_ = jnp.flip(below, axis=-2)
        seen += [below, reversed_]
        ahead = rollout(forward.cell, below).trajectory
        behind = rollout(backward.cell, reversed_).trajectory
        below = jnp.concatenate([ahead, jnp.flip(behind, axis=-2)], axis=-1)
    return seen, below
