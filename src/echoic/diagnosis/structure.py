"""What the weights alone give away: a chain, and whether the input enters at its source."""

import jax
import jax.numpy as jnp
import numpy as np

from echoic.core.cell import AbstractCell, PointwiseCell

# The share of the squared weight on one side diagonal above which a matrix is called a chain. A
# dense random matrix of 10 units has 9 % there; a feedback chain 0.99/0.04 has 99.8 %.
_CHAIN_SHARE = 0.9
_SOURCE_SHARE = 0.5


def structure_warnings(cell: AbstractCell) -> tuple[str, ...]:
    """Warnings on the structure of the weights.

    A delay line passes on only what enters at its first unit. A chain that runs from the last
    unit to the first (a transposed weight, which row-form and column-form code mix up) while the
    input enters the first one remembers as many steps as there are channels.
    """
    blocks = cell.recurrent_blocks()
    if len(blocks) != 1:
        return ()
    weight = np.asarray(next(iter(blocks.values())))
    size = len(weight)
    energy = float((weight**2).sum())
    if size < 3 or not energy > 0:
        return ()
    forward = float((np.diagonal(weight, -1) ** 2).sum()) / energy
    backward = float((np.diagonal(weight, 1) ** 2).sum()) / energy
    if max(forward, backward) < _CHAIN_SHARE:
        return ()
    entry = _input_energy(cell)
    if entry is None:
        return ()
    channels = cell.input_size
    source = entry[:channels] if forward > backward else entry[-channels:]
    fed = float(source.sum() / entry.sum())
    if fed >= _SOURCE_SHARE:
        return ()
    direction = "first unit to the last" if forward > backward else "last unit to the first"
    return (
        f"The recurrent weight is a chain from the {direction}, but only {100 * fed:.0f} % of the"
        " input's power enters at its source: the rest of the chain stays empty. Feed the source"
        " (echoic.init.source), or transpose the weight.",
    )


def _input_energy(cell: AbstractCell) -> np.ndarray | None:
    """The squared input weight of every unit, for cells whose drive is one affine map."""
    if not isinstance(cell, PointwiseCell) or not cell.input_size:
        return None
    at = jnp.eye(cell.input_size, dtype=cell.recurrent.dtype)
    drive, rest = cell.project(at), cell.project(jnp.zeros_like(at))
    if not isinstance(drive, jax.Array) or drive.shape[-1] != cell.hidden_size:
        return None
    return ((np.asarray(drive) - np.asarray(rest)) ** 2).sum(0)
