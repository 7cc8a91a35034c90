"""A stack that reads its input in both directions of time."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.cells.dropout import dropped, rate
from echoic.cells.parts import Part
from echoic.cells.readout import Readout
from echoic.cells.stacking import (
    refuse_other_inputs,
    refuse_other_width,
    refuse_what_is_no_layer,
    required,
    states_of,
)
from echoic.cells.symbols import as_numbers, checked, entered
from echoic.core.cell import AbstractCell, State
from echoic.core.model import AbstractModel
from echoic.core.rollout import Rollout, rollout


class Bidirectional(AbstractModel):
    """A stack of pairs of cells, one of which reads the sequence from its end.

    **Definition.** At time t a layer puts out what its forward cell makes of steps 1..t and what
    its backward cell makes of steps T..t, side by side, forward first; the layer above reads both.
    It is no cell: its output depends on the future, so it has no step function and no memory of its
    own. Each of its cells has one, under the input which that cell truly sees, see
    [`seen_inputs`][].

    **Arguments**
    - `pairs`: (forward, backward) for each layer, of any kind and size.
    - `readout`: a [`Readout`][echoic.cells.Readout] of the last layer, both directions side by
      side: for two cells of n units it takes 2n numbers, which is this network's `hidden_size`.
    - `dropout`: the share of numbers left out between the layers and of the output, as in
      [`Network`][echoic.Network].

    **Raises** ValueError where sizes do not fit.

    **Misleads.** The output at the last step, where a forward cell has seen everything, holds what
    a backward cell makes of its very first step. ``run(last=True)`` therefore gives both at their
    own ends, as users of PyTorch take them from ``h_n``: forward after the last step, backward
    after the first one.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic.cells import GRU
    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> net = Bidirectional([(GRU(1, 3, key=keys[0]), GRU(1, 3, key=keys[1]))],
    ...                     Readout(6, 2, key=keys[2]))
    >>> net.predict(net.run(jnp.ones((4, 9, 1)), last=True).trajectory).shape
    (4, 2)
    """

    pairs: tuple[tuple[AbstractCell, AbstractCell], ...]
    readout: Readout | None
    dropout: float = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        pairs: Sequence[Sequence[AbstractCell]],
        readout: Readout | None = None,
        *,
        dropout: float = 0.0,
    ):
        stack = [tuple(pair) for pair in pairs]
        if not stack or any(len(pair) != 2 for pair in stack):
            raise ValueError("pairs must be one (forward cell, backward cell) a layer, or more.")
        for pair in stack:
            for cell in pair:
                refuse_what_is_no_layer(cell)
        width, below = stack[0][0].input_size, "the forward cell of layer 0 takes"
        for layer, pair in enumerate(stack):
            for name, cell in zip(("forward", "backward"), pair, strict=True):
                what = f"the {name} cell of layer {layer}"
                refuse_other_inputs(what, cell, width, f"{below} {width}")
            width, below = pair[0].hidden_size + pair[1].hidden_size, "the layer below puts out"
        refuse_other_width(readout, width, f"the last layer puts out {width}")
        self.pairs = tuple((forward, backward) for forward, backward in stack)
        self.readout = readout
        self.dropout = rate(dropout)
        self.input_size = stack[0][0].input_size
        self.hidden_size = width

    @property
    def num_layers(self) -> int:
        """The number of layers, each of two cells."""
        return len(self.pairs)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Forward and backward cell of layer 0, then of layer 1, and so on."""
        return tuple(
            Part(layer, cell, direction)
            for layer, pair in enumerate(self.pairs)
            for cell, direction in zip(pair, ("forward", "backward"), strict=True)
        )

    def run(
        self,
        inputs: Array,
        *,
        state: State = None,
        last: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Rollout:
        """The last layer's outputs in the input's time, and the cells' states at their own ends.

        States are one (forward, backward) a layer. With `last` the outputs of both directions at
        their own ends, (b, 2n). With ``key``, under dropout.
        """
        below = checked(inputs, self.input_size)
        states = states_of(state, (None, None), self.num_layers)
        keys = jr.split(key, self.num_layers) if key is not None and self.dropout else None
        final = []
        for layer, (pair, starts) in enumerate(zip(self.pairs, states, strict=True)):
            short = last and layer + 1 == self.num_layers
            ahead, behind = _run_pair(pair, below, starts, "nothing" if short else "outputs")
            final.append((ahead.final, behind.final))
            sides = ahead.trajectory, behind.trajectory
            if short:
                ends = zip(pair, final[-1], strict=True)
                sides = tuple(jax.vmap(cell.output)(end) for cell, end in ends)
            else:
                sides = sides[0], jnp.flip(sides[1], axis=1)
            below = jnp.concatenate(sides, axis=-1)
            if keys is not None:
                below = dropped(below, self.dropout, keys[layer])
        return Rollout(below, tuple(final))

    def seen_inputs(self, inputs: Array) -> list[Float[Array, "b t k"]]:
        """What each cell is driven by, one entry for each of `parts`.

        **Definition.** Layer 0 sees the input; each layer above sees the outputs of both directions
        of the layer below, forward first. A backward cell sees its sequence reversed in time: step
        0 of its entry is the last step of the input.

        **Misleads.** A lag k of a backward cell is k steps into the *future*. Above layer 0 both
        directions see outputs that already know past and future; their reach over their own input
        is not the reach over the network's input.

        **Cost.** One run of the network without its last layer.
        """
        below = as_numbers(self.pairs[0][0], checked(inputs, self.input_size))
        seen = []
        for pair in self.pairs:
            seen += [below, jnp.flip(below, axis=1)]
            if len(seen) < 2 * self.num_layers:
                ahead, behind = _run_pair(pair, below, (None, None), "outputs")
                sides = ahead.trajectory, jnp.flip(behind.trajectory, axis=1)
                below = jnp.concatenate(sides, axis=-1)
        return seen

    def predict(self, outputs: Float[Array, "*batch n"]) -> Float[Array, "*batch p"]:
        """The readout applied to outputs of the last layer, any number of leading axes."""
        return required(self.readout, "Bidirectional(pairs, Readout(...))")(outputs)


def _run_pair(
    pair: tuple[AbstractCell, AbstractCell], below: Array, starts: State, collect: str
) -> tuple[Rollout, Rollout]:
    """The runs of both cells, each in its own time."""
    (forward, backward), (first, end) = pair, starts
    cell, xs = entered(forward, below)
    ahead = rollout(cell, xs, state=first, collect=collect)
    cell, xs = entered(backward, jnp.flip(below, axis=1))
    return ahead, rollout(cell, xs, state=end, collect=collect)
