"""A stack of cells, with or without a readout: itself a cell."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.cells.weights import Initialiser, affine, draw
from echoic.core.cell import AbstractCell, Law, LinearForm, State
from echoic.core.checks import at_least
from echoic.core.model import AbstractModel
from echoic.core.rollout import Rollout, rollout
from echoic.init.dense import uniform


class Readout(eqx.Module):
    """A dense readout ``y = C h + d``; the default is that of ``torch.nn.Linear``.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic import init
    >>> readout = Readout(3, 1, weight=init.constant(1.0), bias=init.zeros(), key=jax.random.key(0))
    >>> readout(jnp.ones(3)).tolist()
    [3.0]
    """

    weight: Float[Array, "p n"]
    bias: Float[Array, "p"]

    def __init__(
        self,
        hidden_size: int,
        output_size: int,
        *,
        weight: Initialiser | None = None,
        bias: Initialiser | None = None,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        n = at_least("hidden_size", hidden_size, 1)
        p = at_least("output_size", output_size, 1)
        weight_key, bias_key = jr.split(key)
        default = uniform(1 / math.sqrt(n))
        self.weight = draw("weight", weight or default, weight_key, (p, n), dtype)
        self.bias = draw("bias", bias or default, bias_key, (p,), dtype)

    @property
    def output_size(self) -> int:
        """How many numbers are read out."""
        return self.weight.shape[0]

    def __call__(self, outputs: Float[Array, "*batch n"]) -> Float[Array, "*batch p"]:
        """``C h + d`` for any number of leading axes."""
        return affine(self.weight, self.bias, outputs)


class Network(AbstractCell, AbstractModel):
    """A stack of cells with an optional readout; it is a cell too, and measured like one.

    In each time step cell i + 1 reads the output of cell i of the same step. The state is the tuple
    of the cells' states; `read` and `output` are those of the last cell.

    **Arguments**
    - `cells`: one cell or more, each taking as many inputs as the one before has units.
    - `readout`: a [`Readout`][echoic.cells.Readout] of the last cell's output, or None.

    **Raises** ValueError where sizes do not fit.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic.cells import Elman
    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> net = Network([Elman(1, 4, key=keys[0]), Elman(4, 3, key=keys[1])],
    ...               Readout(3, 2, key=keys[2]))
    >>> state = net.step(net.initial_state(), jnp.ones(1))
    >>> net.predict(net.output(state)).shape
    (2,)
    """

    cells: tuple[AbstractCell, ...]
    readout: Readout | None
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        cells: AbstractCell | Sequence[AbstractCell],
        readout: Readout | None = None,
    ):
        stack = (cells,) if isinstance(cells, AbstractCell) else tuple(cells)
        if not stack or not all(isinstance(cell, AbstractCell) for cell in stack):
            raise ValueError(f"cells must be one cell or more, got {cells!r}.")
        for i, (below, above) in enumerate(itertools.pairwise(stack)):
            if above.input_size != below.hidden_size:
                raise ValueError(
                    f"cell {i + 1} takes {above.input_size} inputs, but cell {i} has"
                    f" {below.hidden_size} units: they must be equal."
                )
        if readout is not None and readout.weight.shape[-1] != stack[-1].hidden_size:
            raise ValueError(
                f"the readout takes {readout.weight.shape[-1]} numbers, but the last cell has"
                f" {stack[-1].hidden_size} units: they must be equal."
            )
        self.cells = stack
        self.readout = readout
        self.input_size = stack[0].input_size
        self.hidden_size = stack[-1].hidden_size

    def initial_state(self) -> State:
        """The cells' initial states."""
        return tuple(cell.initial_state() for cell in self.cells)

    def step(self, state: State, x: Float[Array, "m"]) -> State:
        """One step of every cell, from the input upwards."""
        new = []
        for cell, part in zip(self.cells, state, strict=True):
            part = cell.step(part, x)
            x = cell.output(part)
            new.append(part)
        return tuple(new)

    def read(self, state: State) -> Float[Array, "n"]:
        """What the last cell's recurrent weight multiplies."""
        return self.cells[-1].read(state[-1])

    def output(self, state: State) -> Float[Array, "n"]:
        """The last cell's output."""
        return self.cells[-1].output(state[-1])

    def layers(self) -> tuple[AbstractCell, ...]:
        """The cells, each of which a rollout can take through the whole sequence at once."""
        return self.cells

    def run(
        self,
        inputs: Array,
        *,
        state: State = None,
        last: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Rollout:
        """The last cell's outputs, and the last state."""
        if jnp.issubdtype(inputs.dtype, jnp.integer):
            inputs = jax.nn.one_hot(inputs, self.input_size)
        ran = rollout(self, inputs, state=state, collect="nothing" if last else "outputs")
        if not last:
            return ran
        return Rollout(jax.vmap(self.output)(ran.final), ran.final)

    def predict(self, outputs: Float[Array, "*batch n"]) -> Float[Array, "*batch p"]:
        """The readout applied to outputs of the last cell, any number of leading axes."""
        if self.readout is None:
            raise ValueError(
                "this network has no readout: build it as Network(cells, Readout(...))."
            )
        return self.readout(outputs)

    def linear_form(self) -> LinearForm | None:
        """That of the only cell; None for a deeper stack."""
        return self.cells[0].linear_form() if len(self.cells) == 1 else None

    def recurrent_blocks(self) -> dict[str, Float[Array, "n n"]]:
        """The cells' blocks, named ``layer.block`` in a deeper stack."""
        if len(self.cells) == 1:
            return self.cells[0].recurrent_blocks()
        return {
            f"{i}.{name}": block
            for i, cell in enumerate(self.cells)
            for name, block in cell.recurrent_blocks().items()
        }

    def hyperparameters(self) -> Law | None:
        """That of the only cell; None for a deeper stack."""
        return self.cells[0].hyperparameters() if len(self.cells) == 1 else None
