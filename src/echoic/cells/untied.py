"""A network whose weights are drawn anew at every step: what mean-field theory speaks of."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.cells.embedding import one_hot
from echoic.cells.readout import Readout
from echoic.cells.stacking import refuse_other_width, refuse_what_is_no_layer, required
from echoic.cells.symbols import are_symbols, checked, precision
from echoic.core.cell import AbstractCell, State, without_law
from echoic.core.checks import at_least
from echoic.core.model import AbstractModel
from echoic.core.rollout import Rollout


class Untied(AbstractModel):
    """A network with weights of its own at every step, all drawn from one law.

    **Definition.** ``s_k = step_k(s_{k-1}, x_k)`` with the cells ``step_1 .. step_T`` drawn
    independently. Its pre-activations are exactly Gaussian in the limit of wide networks, so the
    mean-field theory of signal propagation is exact for it and an approximation for tied weights.

    **Arguments**
    - `build`: ``key -> cell``, such as ``lambda key: Elman(2, 100, key=key)``.
    - `steps`: T, the number of cells and the longest sequence that it can read.
    - `readout`: a [`Readout`][echoic.cells.Readout] of the output, the same at every step, or None.
    - `key`: a JAX random key.

    **Fields**
    - `cell`: all cells as one, each of its arrays with a leading axis of `steps`.

    **Misleads.** Every run begins with the first step's weights, whatever state it is given: two
    runs of half the length are not one of the whole. It is no cell: no weights are there for a step
    of unknown number.

    **Reference.** Chen, Pennington & Schoenholz (2018).

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic.cells import Elman, Untied
    >>> model = Untied(lambda key: Elman(1, 3, key=key), steps=4, key=jax.random.key(0))
    >>> model.cell.recurrent.shape, model.run(jnp.ones((2, 4, 1))).trajectory.shape
    ((4, 3, 3), (2, 4, 3))
    """

    cell: AbstractCell
    readout: Readout | None
    steps: int = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        build: Callable[[PRNGKeyArray], AbstractCell],
        steps: int,
        *,
        readout: Readout | None = None,
        key: PRNGKeyArray,
    ):
        self.steps = at_least("steps", steps, 1)
        self.cell = without_law(eqx.filter_vmap(build)(jr.split(key, self.steps)))
        refuse_what_is_no_layer(self.cell)
        size = self.cell.hidden_size
        refuse_other_width(readout, size, f"each cell has {size} units")
        self.readout = readout
        self.input_size = self.cell.input_size
        self.hidden_size = size

    def run(
        self,
        inputs: Array,
        *,
        state: State = None,
        last: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Rollout:
        """The outputs and the last state of sequences of at most `steps` steps.

        ``state`` is that before the first input; the weights are those of the first steps in any
        case.
        """
        del key  # nothing is left out
        inputs = checked(inputs, self.input_size)
        length = inputs.shape[1]
        if length > self.steps:
            raise ValueError(
                f"this network has weights for {self.steps} steps, the inputs have {length}."
            )
        stacked, shared = eqx.partition(self.cell, eqx.is_array)
        stacked = jtu.tree_map(lambda leaf: leaf[:length], stacked)
        first = eqx.combine(jtu.tree_map(lambda leaf: leaf[0], stacked), shared)
        if state is None:
            state = jtu.tree_map(
                lambda leaf: jnp.broadcast_to(leaf, (inputs.shape[0], *leaf.shape)),
                first.initial_state(),
            )
        dtype = precision(state)

        # The cells are scanned over, not indexed: their gradient then comes out step by step, in
        # place of additions to the whole stack in each.
        def step(state: State, item: tuple) -> tuple[State, Array | None]:
            arrays, x = item
            cell = eqx.combine(arrays, shared)
            x = one_hot(x, self.input_size, dtype) if are_symbols(x) else x.astype(dtype)
            new = jax.vmap(cell.step)(state, x)
            return new, None if last else jax.vmap(cell.output)(new)

        final, trajectory = jax.lax.scan(step, state, (stacked, jnp.swapaxes(inputs, 0, 1)))
        if trajectory is None:
            end = eqx.combine(jtu.tree_map(lambda leaf: leaf[-1], stacked), shared)
            return Rollout(jax.vmap(end.output)(final), final)
        return Rollout(jnp.swapaxes(trajectory, 0, 1), final)

    def predict(self, outputs: Float[Array, "*batch n"]) -> Float[Array, "*batch p"]:
        """The readout applied to outputs, any number of leading axes."""
        readout = required(self.readout, "Untied(build, steps, readout=Readout(...), key=key)")
        return readout(outputs)
