"""Lipschitz and smoothness constants of a cost over a region, from samples: lower bounds."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PRNGKeyArray

from echoic.core.cell import without_law
from echoic.core.checks import at_least, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.costs import lanczos
from echoic.measure.costs.cost import Cost, flat_cost, flat_parameters, require_scalar
from echoic.measure.costs.hessian import refuse_long_runs


def cost_lipschitz(
    cell: Any,
    cost: Cost,
    *,
    key: PRNGKeyArray,
    radius: float,
    samples: int = 100,
    products: int = 12,
) -> Estimate:
    """How steep and how curved a cost is within a ball around a cell.

    **Definition.** ``L = sup |grad cost|`` and ``beta = sup |Hessian|_2`` over all cells whose
    trained parameters differ by less than ``radius`` (Euclidean) from those given. They are the
    smallest constants with ``|cost(p) - cost(q)| <= L |p - q|`` and ``|grad cost(p) - grad cost(q)|
    <= beta |p - q|`` in the ball. The value is the largest gradient norm of ``samples`` points,
    the centre and others uniform over the ball: a **lower bound** of L.

    **Arguments**
    - `cell`, `cost`: as in [`hessian_eigenvalues`][echoic.measure.hessian_eigenvalues].
    - `radius`: above 0.
    - `products`: Hessian-vector products of each point, by which
      Lanczos bounds its norm from below.

    **Returns** an `Estimate`; no error can be given, as a supremum may hide between samples.
    ``details["smoothness"]`` is the lower bound of beta; ``details["gradient_norm"]`` and
    ``details["curvature"]`` (samples,) are those of each point, the centre first.

    **Raises** ValueError for wrong sizes; MemoryError where the basis, or what products
    keep of the run, would exceed 8 GB.

    **Misleads.** A ball in n dimensions has nearly all its points near the surface. Certified upper
    bounds of one step of a cell are in [`echoic.theory.certificates`][].

    **Cost** ``samples`` gradients and ``samples * products`` Hessian-vector products.

    **Reference** Ribeiro, Tiels, Aguirre and Schön (2020), AISTATS, PMLR 108.

    **Example** A quadratic has one Hessian everywhere.
    >>> import jax, jax.numpy as jnp
    >>> found = cost_lipschitz(jnp.zeros(2), lambda p: p[0] ** 2 - 2 * p[1] ** 2, radius=1.0,
    ...                        samples=10, key=jax.random.key(0))
    >>> bool(jnp.allclose(found.details["smoothness"], 4.0)), bool(found.value <= 4.0)
    (True, True)
    """
    cell = without_law(cell)
    largest = require_scalar(cost, cell)
    vector = eqx.filter_eval_shape(lambda cell: flat_parameters(cell)[0], cell)
    if not radius > 0:
        raise ValueError(f"radius must be above 0, got {radius}.")
    at_least("samples", samples, 1)
    products = min(at_least("products", products, 1), vector.size)
    refuse_if_larger(
        "the Lanczos basis", float((products + 1) * vector.size * vector.dtype.itemsize)
    )
    refuse_long_runs(cost, cell, largest)
    slopes, curvatures = _samples(
        cell, cost, key, jnp.asarray(radius, vector.dtype), samples, products
    )
    value = jnp.max(slopes)
    smoothness = jnp.max(curvatures)
    finite = jnp.isfinite(value) & jnp.isfinite(smoothness)
    return Estimate(
        value,
        jnp.full_like(value, jnp.nan),
        jnp.where(finite, int(Status.OK), int(Status.NOT_FINITE)),
        Settings(radius=radius, samples=samples, products=products),
        {"smoothness": smoothness, "gradient_norm": slopes, "curvature": curvatures},
    )


@eqx.filter_jit
def _samples(cell, cost, key, radius, samples, products) -> tuple[Array, Array]:
    """Gradient norm and Hessian norm at every point."""
    centre, function = flat_cost(cost, cell)
    gradient = jax.grad(function)
    place_key, start_key = jr.split(key)
    steps = radius * jr.ball(place_key, centre.size, shape=(samples,), dtype=centre.dtype)
    steps = steps.at[0].set(jnp.zeros_like(centre))

    def one(data):
        step, key = data
        slope, apply = jax.linearize(gradient, centre + step)
        begin_key, restart_key = jr.split(key)
        krylov = lanczos.begin(jr.normal(begin_key, centre.shape, centre.dtype), products)
        krylov = jax.lax.fori_loop(
            0, products, lambda _, now: lanczos.extend(apply, now, restart_key), krylov
        )
        ritz, _ = lanczos.tridiagonal(krylov)
        return jnp.linalg.norm(slope), jnp.max(jnp.abs(ritz))

    return jax.lax.map(one, (steps, jr.split(start_key, samples)))
