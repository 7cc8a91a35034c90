"""The cost along one or two directions through a cell, and how many minima it has there."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from echoic.core.cell import without_law
from echoic.core.checks import at_least, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.costs.cost import Cost, direction_of, moved, require_scalar, trained_part


def cost_slice(
    cell: Any,
    cost: Cost,
    *directions: PyTree,
    at: Any,
    normalise: bool = False,
    batch_size: int = 64,
) -> Estimate:
    """The cost on a line or a plane through a cell.

    **Definition.** ``V(s) = cost(cell + s d)`` on the axis ``at``, or with two directions
    ``V(s, r) = cost(cell + s d + r e)`` on the grid of the two axes ``at``. A strict local minimum
    is a point inside that lies below both neighbours, on a plane below all eight.

    **Arguments**
    - `cell`, `cost`: as in [`hessian_eigenvalues`][echoic.measure.hessian_eigenvalues].
    - `directions`: one or two trees like the cell: another cell, a
      [`random_direction`][echoic.measure.random_direction].
    - `at`: an array (k,), or a pair of arrays (k,), (l,).
    - `normalise`: scale each row of every matrix of a direction to the norm of the same row of the
      cell, and leave vectors (biases) where they are, so that slices of networks with different
      scales of weights can be compared.
    - `batch_size`: how many points at once.

    **Returns** an `Estimate`, value (k,) or (k, l). ``details["minima"]`` is their number, NaN
    where the value has NaN; ``details["is_minimum"]`` marks them; ``"at"`` or ``"at_0"``,
    ``"at_1"`` are the axes.

    **Raises** ValueError for directions that do not fit and axes of fewer than 3 points;
    MemoryError where the points of a batch need more than 8 GB: make it smaller.

    **Misleads.** The number of minima grows with the resolution where the cost is rugged; along a
    flat stretch rounding makes minima of its own, in float32 above all. A random direction through
    n parameters sees the mean curvature, not the largest.

    **Cost** one forward run for each point.

    **Reference** Li, Xu, Taylor, Studer and Goldstein (2018), NeurIPS, for the normalisation;
    Ribeiro, Tiels, Aguirre and Schön (2020), AISTATS, PMLR 108, for slices of chaotic networks.

    **Example**
    >>> import jax.numpy as jnp
    >>> axis = jnp.linspace(0.0, 6.5, 131)
    >>> found = cost_slice(jnp.zeros(1), lambda p: jnp.cos(p[0] * 2), jnp.ones(1), at=axis)
    >>> int(found.details["minima"])
    2
    """
    cell = without_law(cell)
    largest = require_scalar(cost, cell)
    if len(directions) not in (1, 2):
        raise ValueError(f"directions must be one or two, got {len(directions)}.")
    at_least("batch_size", batch_size, 1)
    refuse_if_larger(f"batch_size={batch_size} costs at once", batch_size * largest)
    axes = [at] if len(directions) == 1 else list(at)
    if len(axes) != len(directions):
        raise ValueError(f"at must hold one axis for each direction, got {len(axes)} axes.")
    dtype = jtu.tree_leaves(trained_part(cell)[0])[0].dtype
    axes = [jnp.asarray(axis).astype(dtype) for axis in axes]
    if any(axis.ndim != 1 or axis.size < 3 for axis in axes):
        raise ValueError(
            "an axis must have shape (k,) with k at least 3, got "
            + ", ".join(str(axis.shape) for axis in axes)
            + "."
        )
    lines = [direction_of(cell, direction) for direction in directions]
    if normalise:
        lines = [filter_normalised(cell, direction) for direction in lines]
    grid = jnp.stack([axis.reshape(-1) for axis in jnp.meshgrid(*axes, indexing="ij")], axis=1)
    value = _costs(cell, cost, lines, grid, batch_size).reshape([axis.size for axis in axes])
    minima = strict_minima(value)
    whole = ~jnp.any(jnp.isnan(value))
    count = jnp.sum(minima).astype(value.dtype)
    names = ["at"] if len(axes) == 1 else ["at_0", "at_1"]
    return Estimate(
        value,
        None,
        jnp.where(jnp.all(jnp.isfinite(value)), int(Status.OK), int(Status.NOT_FINITE)),
        Settings(normalise=normalise),
        {
            "minima": jnp.where(whole, count, jnp.full_like(count, jnp.nan)),
            "is_minimum": minima,
            **dict(zip(names, axes, strict=True)),
        },
    )


@eqx.filter_jit
def _costs(cell, cost, directions, grid, batch_size) -> Float[Array, "points"]:
    # Points of equal shapes throughout: in a chaotic network the last bit of a product decides, and
    # it may depend on the size of the batch.
    short = -len(grid) % batch_size
    grid = jnp.concatenate([grid, jnp.broadcast_to(grid[-1:], (short, grid.shape[1]))])
    blocks = grid.reshape(-1, batch_size, grid.shape[1])
    one = jax.vmap(lambda steps: cost(moved(cell, directions, list(steps))))
    return jax.lax.map(one, blocks).reshape(-1)[: len(grid) - short]


@eqx.filter_jit
def strict_minima(values: Float[Array, "..."]) -> Bool[Array, "..."]:
    """Where an array of one or two axes is below all its neighbours; never at its border."""
    if values.ndim not in (1, 2):
        raise ValueError(f"values must have one or two axes, got shape {values.shape}.")
    inside = tuple(slice(1, -1) for _ in range(values.ndim))
    centre = values[inside]
    lower = jnp.ones(centre.shape, bool)
    for shift in np.ndindex(*(3,) * values.ndim):
        if all(step == 1 for step in shift):
            continue
        neighbour = tuple(
            slice(step, step + size) for step, size in zip(shift, centre.shape, strict=True)
        )
        lower = lower & (centre < values[neighbour])
    return jnp.zeros(values.shape, bool).at[inside].set(lower)


def filter_normalised(cell: Any, direction: PyTree) -> PyTree:
    """The direction with rows of matrices as long as the cell's, and vectors set to zero."""

    def scaled(weight: Array, d: Array) -> Array:
        if weight.ndim < 2:
            return jnp.zeros_like(d)
        axes = tuple(range(1, weight.ndim))
        own = jnp.sqrt(jnp.sum(weight**2, axis=axes, keepdims=True))
        its = jnp.sqrt(jnp.sum(d**2, axis=axes, keepdims=True))
        return d * jnp.where(its > 0, own / jnp.where(its > 0, its, jnp.ones_like(its)), its)

    return jtu.tree_map(scaled, trained_part(cell)[0], direction)
