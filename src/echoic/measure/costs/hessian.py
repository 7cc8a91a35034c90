"""The curvature of a cost in all its parameters: extreme eigenvalues and spectral density."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import without_law
from echoic.core.checks import at_least, bytes_of, one_of, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.costs import lanczos
from echoic.measure.costs.cost import Cost, flat_cost, flat_parameters, require_scalar

# An array on the way of a cost that is worth asking what derivatives keep of it.
_LARGE_BYTES = 1e8


def hessian_eigenvalues(
    cell: Any,
    cost: Cost,
    *,
    key: PRNGKeyArray,
    count: int = 1,
    tolerance: float | None = None,
    max_products: int = 100,
    ends: Literal["both", "largest"] = "both",
) -> Estimate:
    """The largest and smallest eigenvalues of the Hessian of a cost.

    **Definition.** The eigenvalues of ``d^2 cost / d theta^2``, theta all trained parameters of the
    cell, by Lanczos with full re-orthogonalisation on Hessian-vector products (forward over reverse
    mode). The largest one above 2 / rate makes gradient descent with that rate unstable.

    **Arguments**
    - `cell`: a cell, or any pytree of floating arrays that ``cost`` takes.
    - `cost`: ``cost(cell) -> scalar``, e.g.
      [`mean_squared_cost`][echoic.measure.mean_squared_cost].
    - `count`: how many from either end, with ``2 count`` at most the number of parameters.
    - `tolerance`: of the eigenvalues, relative to the largest modulus, as far as residuals and gaps
      bound their error; 1e-10 in float64, 1e-5 in float32 by default.
    - `max_products`: when to give up.
    - `ends`: with ``"largest"`` it ends as soon as the largest are known, in fewer products;
      the others are then as good as their residuals say.

    **Returns** an `Estimate`: the value is (count,), the largest first; ``details["smallest"]``
    the other end, the smallest first; ``details["residual"]`` (2 count,) bounds the distance of
    each, in this order, from an eigenvalue; ``details["products"]`` how many it took. The status is
    NOT_CONVERGED where ``max_products`` did not do, NOT_FINITE for NaN.

    **Raises** ValueError for wrong sizes; MemoryError where the basis, or what products
    keep of the run, would exceed 8 GB.

    **Misleads.** Eigenvalues that are equal are found once. A piecewise linear network has the
    Hessian of its present piece.

    **Cost** one product is about 4 gradients; memory ``max_products`` times the parameters.

    **Reference** Parlett (1998), The Symmetric Eigenvalue Problem; Pearlmutter (1994), Neural
    Computation 6, for the products.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> found = hessian_eigenvalues(jnp.ones(3), lambda p: jnp.sum(jnp.arange(3.0) * p**2),
    ...                             key=jax.random.key(0))
    >>> bool(jnp.allclose(found.value, 4.0)), bool(jnp.abs(found.details["smallest"][0]) < 1e-5)
    (True, True)
    """
    cell = without_law(cell)
    largest = require_scalar(cost, cell)
    size, dtype = _size(cell)
    at_least("count", count, 1, max(1, size // 2))
    most = min(at_least("max_products", max_products, 2 * count), size)
    if tolerance is None:
        tolerance = 1e-10 if dtype == jnp.float64 else 1e-5
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie between 0 and 1, got {tolerance}.")
    one_of("ends", ends, ("both", "largest"))
    refuse_if_larger("the Lanczos basis", float((most + 1) * size * dtype.itemsize))
    refuse_long_runs(cost, cell, largest)
    found = _eigenvalues(cell, cost, key, count, tolerance, most, ends == "both")
    finite = jnp.all(jnp.isfinite(found.largest))
    status = jnp.where(
        finite,
        jnp.where(found.converged, int(Status.OK), int(Status.NOT_CONVERGED)),
        int(Status.NOT_FINITE),
    )
    settings = Settings(count=count, tolerance=tolerance, max_products=max_products, ends=ends)
    details = {
        "smallest": found.smallest,
        "residual": found.residual,
        "products": found.products,
    }
    return Estimate(found.largest, None, status, settings, details)


@eqx.filter_jit
def _eigenvalues(cell, cost, key, count, tolerance, most, both) -> lanczos.Extremes:
    gradient, apply = hessian_product(cost, cell)
    start_key, restart_key = jr.split(key)
    noise = jr.normal(start_key, gradient.shape, gradient.dtype)
    # The gradient comes with the products and lies near the steepest directions: it saves one or
    # two. The noise sees what the gradient does not, and stands alone where that vanishes.
    share = 0.1 * jnp.linalg.norm(gradient) / jnp.linalg.norm(noise)
    start = gradient + jnp.where(share > 0, share, jnp.ones_like(share)) * noise
    return lanczos.extremes(
        apply, start, count=count, most=most, tolerance=tolerance, both=both, key=restart_key
    )


def hessian_density(
    cell: Any,
    cost: Cost,
    *,
    key: PRNGKeyArray,
    products: int = 30,
    probes: int = 10,
    points: int = 201,
    width: float = 0.01,
) -> Estimate:
    """The spectral density of the Hessian of a cost.

    **Definition.** ``rho(x) = (1/n) sum_i g(x - lambda_i)`` over the n eigenvalues, g a normal
    density of standard deviation ``width`` times their range (times their modulus where all are
    equal), by stochastic Lanczos quadrature:
    the mean over random probes of the Gauss rule of ``products`` nodes. Moments of the rule are
    unbiased up to degree ``2 products - 1``.

    **Arguments:** as [`hessian_eigenvalues`][echoic.measure.hessian_eigenvalues];
    ``probes``: random sign vectors, 2 at least; ``points``: of the axis.

    **Returns** an `Estimate`: the density (points,) at ``details["eigenvalue"]``, integrating to 1,
    with its standard error over probes. ``details`` further: ``"nodes"`` and ``"weights"`` (probes,
    products), weights of a probe adding up to 1; ``"trace"`` and ``"squares"``, estimates of the
    trace and of the sum of squared eigenvalues, with ``"trace_error"`` and ``"squares_error"``.

    **Raises** ValueError for wrong sizes; MemoryError where the basis, or what products
    keep of the run, would exceed 8 GB.

    **Misleads.** Few outliers among many parameters weigh 1/n each: their place is right, their
    height is noisy. The width is a choice; the moments do not depend on it.

    **Cost** ``products * probes`` Hessian-vector products, one probe after the other.

    **Reference** Ubaru, Chen and Saad (2017), SIAM J. Matrix Anal. Appl. 38; Ghorbani, Krishnan and
    Xiao (2019), ICML.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> found = hessian_density(jnp.ones(3), lambda p: jnp.sum(jnp.arange(3.0) * p**2),
    ...                         key=jax.random.key(0), products=3, probes=2)
    >>> bool(jnp.allclose(found.details["trace"], 6.0, atol=1e-4))
    True
    """
    cell = without_law(cell)
    largest = require_scalar(cost, cell)
    size, dtype = _size(cell)
    products = min(at_least("products", products, 1), size)
    at_least("probes", probes, 2)
    at_least("points", points, 2)
    if not 0 < width < 1:
        raise ValueError(f"width must lie between 0 and 1, got {width}.")
    refuse_if_larger("the Lanczos basis", float((products + 1) * size * dtype.itemsize))
    refuse_long_runs(cost, cell, largest)
    density, error, details = _density(cell, cost, key, products, probes, points, width)
    finite = jnp.all(jnp.isfinite(details["nodes"]))
    return Estimate(
        density,
        error,
        jnp.where(finite, int(Status.OK), int(Status.NOT_FINITE)),
        Settings(products=products, probes=probes, points=points, width=width),
        details,
    )


@eqx.filter_jit
def _density(cell, cost, key, products, probes, points, width):
    """The density, its standard error, and the details."""
    nodes, weights = _quadrature(cell, cost, key, products, probes)
    low, high = jnp.min(nodes), jnp.max(nodes)
    largest = jnp.maximum(jnp.abs(low), jnp.abs(high))
    apart = high - low > 1e3 * jnp.finfo(low.dtype).eps * largest
    alike = jnp.where(largest > 0, largest, jnp.ones_like(largest))
    spread = width * jnp.where(apart, high - low, alike)
    axis = jnp.linspace(low - 4 * spread, high + 4 * spread, points)
    details = {"eigenvalue": axis, "nodes": nodes, "weights": weights}
    size = _size(cell)[0]
    for name, power in (("trace", 1), ("squares", 2)):
        moments = size * jnp.sum(weights * nodes**power, axis=1)
        details[name], details[f"{name}_error"] = _mean(moments)
    return *_mean(_smoothed(axis, nodes, weights, spread)), details


def _quadrature(cell, cost, key, products, probes) -> tuple[Array, Array]:
    """Nodes and weights (probes, products)."""
    gradient, apply = hessian_product(cost, cell)

    def one(key):
        start_key, restart_key = jr.split(key)
        krylov = lanczos.begin(jr.rademacher(start_key, gradient.shape, gradient.dtype), products)
        krylov = jax.lax.fori_loop(
            0, products, lambda _, now: lanczos.extend(apply, now, restart_key), krylov
        )
        values, vectors = lanczos.tridiagonal(krylov)
        return values, vectors[0] ** 2

    return jax.lax.map(one, jr.split(key, probes))


def hessian_product(cost: Cost, cell: Any):
    """The gradient of a cost in all its parameters, and ``v -> H v`` there."""
    vector, function = flat_cost(cost, cell)
    return jax.linearize(jax.grad(function), vector)


def refuse_long_runs(cost: Cost, cell: Any, largest: float) -> None:
    """Refuse a cost of which a product with the Hessian keeps too much: a long run's states.

    It keeps some ten arrays like the largest: while that is small there is nothing to ask.
    """
    if largest < _LARGE_BYTES:
        return
    _, apply = eqx.filter_eval_shape(hessian_product, cost, cell)
    refuse_if_larger("what products with the Hessian keep of the run", bytes_of(apply))


def _size(cell: Any):
    vector = eqx.filter_eval_shape(lambda cell: flat_parameters(cell)[0], cell)
    return vector.size, vector.dtype


def _smoothed(axis, nodes, weights, spread) -> Float[Array, "probes points"]:
    distance = (axis[None, :, None] - nodes[:, None, :]) / spread
    heights = jnp.exp(-0.5 * distance**2) / (spread * (2 * jnp.pi) ** 0.5)
    return jnp.sum(heights * weights[:, None, :], axis=-1)


def _mean(samples: Float[Array, "probes ..."]):
    """The mean, and its standard error."""
    error = jnp.std(samples, axis=0, ddof=1) / len(samples) ** 0.5
    return jnp.mean(samples, axis=0), error
