"""The contract of a recurrent cell, and the adapter that lets any step function pass for one."""

import abc
import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

State = PyTree
Step = Callable[[State, Any], State]


class LinearForm(NamedTuple):
    """The matrices of an affine cell ``h' = W h + V x + b``."""

    recurrent: Float[Array, "n n"]
    input: Float[Array, "n m"]
    bias: Float[Array, "n"]


@dataclasses.dataclass(frozen=True)
class Law:
    """From which distributions a cell's weights were drawn.

    It travels with the cell as one opaque leaf. ``fingerprint`` is a hash of the drawn weights:
    once they change (by training, say) the law is no longer theirs and the cell stops reporting
    it. It is None for weights that were drawn under tracing, which are taken at their word.
    """

    family: str
    parameters: tuple[tuple[str, Any], ...]
    fingerprint: str | None = None

    @staticmethod
    def of(family: str, parameters: Mapping[str, Any], weights: PyTree) -> "Law":
        """The law of freshly drawn ``weights``."""
        return Law(family, tuple(parameters.items()), fingerprint(weights))


def fingerprint(weights: PyTree) -> str | None:
    """A hash of all arrays in ``weights``, the same in float32 and float64; None under tracing."""
    leaves = [leaf for leaf in jtu.tree_leaves(weights) if eqx.is_array(leaf)]
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        return None
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(np.asarray(leaf).astype(np.float32).tobytes())
    return digest.hexdigest()[:16]


class AbstractCell(eqx.Module):
    """A deterministic, unbatched state update.

    A cell is pure: no hidden randomness, nothing stored between steps. Batches are made by
    ``jax.vmap`` or by [`rollout`][echoic.rollout].

    Subclasses are final. They give the two sizes, [`initial_state`][], [`step`][] and [`read`][];
    the other methods are traits that a cell offers where it can.
    """

    input_size: eqx.AbstractVar[int]
    hidden_size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def initial_state(self) -> State:
        """The state before the first input: any pytree of arrays."""

    @abc.abstractmethod
    def step(self, state: State, x: Float[Array, "m"]) -> State:
        """The next state. Pure, and differentiable in ``state`` and ``x``."""

    @abc.abstractmethod
    def read(self, state: State) -> Float[Array, "n"]:
        """What the recurrent weight multiplies, and what a readout sees."""

    @property
    def state_size(self) -> int:
        """How many floating numbers the state holds: 2n for an LSTM."""
        state = jax.eval_shape(self.initial_state)
        return sum(
            int(np.prod(leaf.shape))
            for leaf in jtu.tree_leaves(state)
            if jnp.issubdtype(leaf.dtype, jnp.floating)
        )

    @property
    def num_parameters(self) -> int:
        """How many floating numbers the cell holds, trained or not."""
        return sum(leaf.size for leaf in jtu.tree_leaves(eqx.filter(self, eqx.is_inexact_array)))

    def output(self, state: State) -> Float[Array, "p"]:
        """What a readout sees; the same as [`read`][] but for cells whose gates see another."""
        return self.read(state)

    def layers(self) -> "tuple[AbstractCell, ...]":
        """The cells of a stack, from the input upwards; empty for a cell that is none.

        Of a stack's cells each reads the output of the one below in the same step. Its state is
        the tuple of theirs, its output that of the last.
        """
        return ()

    def linear_form(self) -> LinearForm | None:
        """The matrices of the cell if its update is affine in state and input, else None."""
        return None

    def recurrent_blocks(self) -> dict[str, Float[Array, "n n"]]:
        """The square recurrent matrices by name, one a gate."""
        return {}

    def hyperparameters(self) -> Law | None:
        """The law that the present weights were drawn from, or None if nobody knows it."""
        return None


class PointwiseCell(AbstractCell):
    """A cell that is pointwise in the recurrent product.

    Its update is ``combine(state, drive, W read(state))`` with ``drive = project(x)``, where W is
    the field ``recurrent``, one row a gate and unit. [`rollout`][echoic.rollout] projects whole
    stretches of the sequence outside the loop, and forms the gradient of W by large products.
    """

    recurrent: eqx.AbstractVar[Float[Array, "r n"]]

    @abc.abstractmethod
    def project(self, xs: Float[Array, "*batch m"]) -> PyTree:
        """What the inputs contribute, any number of leading axes at once."""

    @abc.abstractmethod
    def combine(self, state: State, drive: PyTree, product: Float[Array, "r"]) -> State:
        """The next state from the projected input and the recurrent product."""

    def step(self, state: State, x: Float[Array, "m"]) -> State:
        """The next state."""
        return self.combine(state, self.project(x), self.recurrent @ self.read(state))


class FunctionCell(AbstractCell):
    """A bare ``step(state, x) -> state`` with its initial state, made to look like a cell."""

    function: Step = eqx.field(static=True)
    state: State
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, function: Step, state: State, input_size: int = 0):
        self.function = function
        self.state = jtu.tree_map(jnp.asarray, state)
        self.input_size = input_size
        self.hidden_size = sum(
            leaf.size for leaf in jtu.tree_leaves(eqx.filter(self.state, eqx.is_inexact_array))
        )

    def initial_state(self) -> State:
        """The state that was given."""
        return self.state

    def step(self, state: State, x: Any) -> State:
        """Call the function; without inputs, ``x`` is None."""
        return self.function(state, x if self.input_size else None)

    def read(self, state: State) -> Float[Array, "n"]:
        """All floating numbers of the state, in a row."""
        return flatten_state(state)[0]


def as_cell(cell: Any, state: State = None, input_size: int = 0) -> AbstractCell:
    """Return ``cell`` if it is one; else wrap the step function with its initial ``state``."""
    if isinstance(cell, AbstractCell):
        return cell
    if not callable(cell):
        raise ValueError(
            f"cell must be an AbstractCell or a function step(state, x) -> state, got {cell!r}."
        )
    if state is None:
        raise ValueError("a bare step function needs its initial state: pass state=...")
    return FunctionCell(cell, state, input_size)


def without_law(tree: PyTree) -> PyTree:
    """Drop all laws: what is left compiles once for cells that differ in their weights only."""
    return jtu.tree_map(lambda leaf: None if isinstance(leaf, Law) else leaf, tree)


def cast(tree: PyTree, dtype: Any) -> PyTree:
    """All floating arrays of ``tree`` in another precision."""
    return jtu.tree_map(
        lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, tree
    )


def flatten_state(state: State) -> tuple[Float[Array, "n"], Callable[[Array], State]]:
    """The floating numbers of a state as one vector, and the way back.

    The way back fills whatever is not floating (counters, keys) with what ``state`` holds.
    """
    floating, rest = eqx.partition(state, eqx.is_inexact_array)
    leaves, treedef = jtu.tree_flatten(floating)
    if len({leaf.dtype for leaf in leaves}) > 1:
        raise ValueError(
            "all floating leaves of a state must have one dtype, got "
            + ", ".join(sorted({str(leaf.dtype) for leaf in leaves}))
        )
    shapes = [leaf.shape for leaf in leaves]
    cuts = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

    def restore(vector: Array) -> State:
        parts = jnp.split(vector, cuts)
        leaves = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        return eqx.combine(jtu.tree_unflatten(treedef, leaves), rest)

    return jnp.concatenate([leaf.reshape(-1) for leaf in leaves]), restore
