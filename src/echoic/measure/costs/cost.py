"""Costs as functions of a cell, and straight lines of cells along which they are measured.

A cost is any callable ``cost(cell) -> scalar``, differentiable in the arrays of the cell; in place
of a cell any pytree of arrays will do, such as the parameters of a bare step function.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from echoic.core.cell import State, without_law
from echoic.core.checks import at_least, bytes_of
from echoic.core.rollout import rollout
from echoic.core.trainable import trainable_filter

Cost = Callable[[Any], Any]


class _MeanSquared(eqx.Module):
    """A pytree, so that costs of one shape share one compilation."""

    readout: Callable | None
    inputs: Array
    targets: Array
    state: State
    burn_in: int = eqx.field(static=True)

    def __call__(self, cell: Any) -> Float[Array, ""]:
        outputs = rollout(cell, self.inputs, state=self.state).trajectory
        read = outputs if self.readout is None else self.readout(outputs)
        if read.shape != self.targets.shape:
            raise ValueError(
                f"the readout gives shape {read.shape}, the targets have {self.targets.shape}."
            )
        error = read - self.targets.astype(read.dtype)
        return jnp.mean(error[..., self.burn_in :, :] ** 2)


def mean_squared_cost(
    readout: Callable | None, inputs: Any, targets: Any, *, burn_in: int = 0, state: State = None
) -> Cost:
    """The mean squared error of a cell's readout over a sequence, as a function of the cell.

    **Definition.** ``V(cell) = mean over b, t and p of (readout(h_t) - y_t)^2``, without the first
    ``burn_in`` steps.

    **Arguments**
    - `readout`: from outputs (..., n) to (..., p), an `echoic.cells.Readout` say; None reads the
      outputs themselves. It is held fixed.
    - `inputs`: shape (t,), (t, m) or (b, t, m); `targets`: (t, p) or (b, t, p).
    - `state`: the state before the first input, as in `echoic.rollout`; by default the cell's own.

    **Returns** a function ``cost(cell) -> scalar``.

    **Raises** ValueError where shapes do not fit.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic import rollout
    >>> from echoic.cells import Elman
    >>> cell = Elman(1, 3, key=jax.random.key(0))
    >>> xs = jnp.ones((5, 1))
    >>> float(mean_squared_cost(None, xs, rollout(cell, xs).trajectory)(cell))
    0.0
    """
    inputs, targets = jnp.asarray(inputs), jnp.asarray(targets)
    batch = 1 if inputs.ndim == 3 else 0
    if inputs.ndim not in (1, 2, 3) or targets.ndim != 2 + batch:
        raise ValueError(
            "targets must have shape (t, p) beside inputs (t,) or (t, m), and (b, t, p) beside"
            f" (b, t, m); got targets {targets.shape}, inputs {inputs.shape}."
        )
    if targets.shape[: batch + 1] != inputs.shape[: batch + 1]:
        raise ValueError(
            f"targets must be as many and as long as the inputs, {inputs.shape}, got"
            f" {targets.shape}."
        )
    at_least("burn_in", burn_in, 0, inputs.shape[batch] - 1)
    return _MeanSquared(readout, inputs, targets, state, burn_in)


class _Line(eqx.Module):
    cell: Any
    direction: Any

    def __call__(self, s: Any) -> Any:
        return moved(self.cell, [self.direction], [s])


def line_of_cells(cell: Any, direction: Any) -> Callable[[Any], Any]:
    """The straight line of cells ``s -> cell + s direction``; only what is trained moves.

    **Arguments:** ``direction``: a tree like ``cell``, such as a cell itself or a
    [`random_direction`][echoic.measure.random_direction].

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic.cells import Elman
    >>> cell = Elman(1, 3, key=jax.random.key(0))
    >>> bool(jnp.all(line_of_cells(cell, cell)(-1.0).recurrent == 0))
    True
    """
    cell = without_law(cell)
    return _Line(cell, direction_of(cell, direction))


def direction_of(cell: Any, direction: Any) -> PyTree:
    """The part of ``direction`` along which training can move the cell."""
    cell = without_law(cell)
    wanted = trained_part(cell)[0]
    try:
        found = jtu.tree_map(
            lambda trained, d: d if trained else None,
            trainable_filter(cell),
            without_law(direction),
        )
    except ValueError:
        found = None
    if jtu.tree_map(jnp.shape, found) != jtu.tree_map(jnp.shape, wanted):
        raise ValueError(
            "a direction must be a tree like the cell, with arrays"
            f" {jtu.tree_map(jnp.shape, wanted)}, got {jtu.tree_map(jnp.shape, direction)}."
        )
    return found


def moved(cell: Any, directions: list[PyTree], steps: Any) -> Any:
    """``cell + sum of steps * directions``, directions being trained parts."""
    trained, rest = trained_part(cell)
    for direction, step in zip(directions, steps, strict=True):
        trained = jtu.tree_map(
            lambda a, d, step=step: a + jnp.asarray(step, a.dtype) * d.astype(a.dtype),
            trained,
            direction,
        )
    return eqx.combine(trained, rest)


def random_direction(cell: Any, *, key: PRNGKeyArray) -> PyTree:
    """A direction of unit length, uniform over the sphere of the trained parameters."""
    vector, restore, _ = flat_parameters(cell)
    draw = jax.random.normal(key, vector.shape, vector.dtype)
    return restore(draw / jnp.linalg.norm(draw))


def trained_part(cell: Any) -> tuple[PyTree, PyTree]:
    """The trained arrays, and everything else."""
    cell = without_law(cell)
    return eqx.partition(cell, trainable_filter(cell))


def flat_parameters(cell: Any) -> tuple[Float[Array, "n"], Callable[[Array], PyTree], PyTree]:
    """The trained parameters as one vector, the way back to their tree, and everything else."""
    trained, rest = trained_part(cell)
    kinds = sorted({str(leaf.dtype) for leaf in jtu.tree_leaves(trained)})
    if len(kinds) != 1:
        raise ValueError(
            "the trained parameters must be floating arrays of one dtype, got "
            + (", ".join(kinds) or "none")
            + "."
        )
    vector, restore = ravel_pytree(trained)
    return vector, restore, rest


def flat_cost(cost: Cost, cell: Any) -> tuple[Float[Array, "n"], Callable[[Array], Array]]:
    """The trained parameters as one vector, and the cost as a function of such vectors."""
    vector, restore, rest = flat_parameters(cell)
    return vector, lambda v: cost(eqx.combine(restore(v), rest))


def require_scalar(cost: Cost, cell: Any) -> float:
    """Refuse what is no cost, before anything is compiled.

    Returns the bytes of the largest array on its way, such as the states of a run.
    """
    if not callable(cost):
        raise ValueError(f"cost must be a function cost(cell) -> scalar, got {cost!r}.")
    program, result, _ = eqx.filter_make_jaxpr(cost)(cell)
    if getattr(result, "shape", None) != ():
        raise ValueError(f"cost must give a scalar, got {result}.")
    return _largest(program.jaxpr)


def _largest(program: Any) -> float:
    """Of a program and of all inside it; a loop shows what it collects as an array of its own."""
    inner = [part for step in program.eqns for part in jtu.tree_leaves(list(step.params.values()))]
    parts = [getattr(part, "jaxpr", part) for part in inner]
    sizes = [_largest(part) for part in parts if hasattr(part, "eqns")]
    sizes += [bytes_of(out.aval) for step in program.eqns for out in step.outvars]
    return max(sizes, default=0.0)
