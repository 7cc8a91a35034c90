"""Roots of many copies of one square system at once, and the least of its residual elsewhere.

Every start is a loop of its own (``lax.map``): it stops when it is done, and its branches are
branches. One vectorised loop over all starts would run until the slowest of them is done.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# A start that has not halved its residual in so many steps sits in a minimum that is no root.
_PATIENCE = 10


class Root(NamedTuple):
    """Where a search ended, and how far from a root."""

    point: Float[Array, "n"]
    residual: Float[Array, ""]
    iterations: Array


class _Walk(NamedTuple):
    """Where a search stands, and the step that it will try next."""

    point: Array
    value: Array
    matrix: Array
    step: Array
    radius: Array
    best: Array
    since: Array
    iterations: Array


def find_root(
    residual: Callable[[Array], tuple[Array, Array]],
    start: Float[Array, "n"],
    tolerance: Array,
    max_iterations: Array,
) -> Root:
    """Powell's dogleg: Newton's step within a trust region, else one bent to steepest descent.

    ``residual(point)`` gives the residual r and its Jacobian A. Ends when ``|r|`` falls to
    ``tolerance (1 + |point|)``, when it has not halved in ten steps, or is not finite. The factors
    of A are the whole cost; no step needs a second factorisation.

    Reference: Powell 1970; Nocedal & Wright 2006, algorithms 4.1 and 11.5.
    """

    def searching(walk):
        norm = jnp.linalg.norm(walk.value)
        close = norm <= tolerance * (1 + jnp.linalg.norm(walk.point))
        stuck = (walk.since >= _PATIENCE) | (walk.iterations >= max_iterations)
        return (walk.iterations == 0) | (~close & ~stuck & jnp.isfinite(norm))

    def advance(walk):
        first = walk.iterations == 0
        point = walk.point + walk.step
        value, matrix = residual(point)
        now, then = jnp.linalg.norm(value), jnp.linalg.norm(walk.value)
        expected = jnp.linalg.norm(walk.value + walk.matrix @ walk.step)
        ratio = (then**2 - now**2) / (then**2 - expected**2)
        length = jnp.linalg.norm(walk.step)
        # A NaN compares false: the step is refused and the region shrinks.
        radius = jnp.where(ratio > 0.25, walk.radius, 0.25 * length)
        radius = jnp.where(ratio > 0.75, jnp.maximum(radius, 2 * length), radius)
        # To begin with, as far as the point is from zero, or as its residual is large.
        radius = jnp.where(first, jnp.maximum(jnp.linalg.norm(point), now), radius)
        better = (ratio > 1e-4) | first
        value = jnp.where(better, value, walk.value)
        matrix = jnp.where(better, matrix, walk.matrix)
        norm = jnp.where(better, now, then)
        progress = (norm < 0.5 * walk.best) | first
        return _Walk(
            point=jnp.where(better, point, walk.point),
            value=value,
            matrix=matrix,
            step=_dogleg(matrix, value, radius),
            radius=radius,
            best=jnp.where(progress, norm, walk.best),
            since=jnp.where(progress, 0, walk.since + 1),
            iterations=walk.iterations + 1,
        )

    # The first turn looks at the start itself, so that the residual is compiled in one place.
    nothing, zero = jnp.zeros_like(start), jnp.zeros((), start.dtype)
    matrix = jnp.zeros((start.size, start.size), start.dtype)
    none = jnp.zeros((), jnp.int32)
    walk = _Walk(start, nothing, matrix, nothing, zero, zero, none, none)
    walk = jax.lax.while_loop(searching, advance, walk)
    return Root(walk.point, jnp.linalg.norm(walk.value), walk.iterations)


def _dogleg(matrix, value, radius) -> Array:
    """The step: Newton's if it is short enough, else along the bend, else steepest descent."""
    newton = -jnp.linalg.solve(matrix, value)
    slope = matrix.T @ value
    along = matrix @ slope
    steepest = -slope * (slope @ slope) / (along @ along)
    far, near = jnp.linalg.norm(newton), jnp.linalg.norm(steepest)
    bend = newton - steepest
    a, b, c = bend @ bend, steepest @ bend, near**2 - radius**2
    share = (-b + jnp.sqrt(jnp.maximum(b * b - a * c, 0))) / a
    # An exactly singular matrix has no Newton step: what is left of the path is its first part.
    bent = jnp.where(jnp.isfinite(far), steepest + share * bend, steepest)
    return jnp.where(
        far <= radius, newton, jnp.where(near >= radius, steepest * (radius / near), bent)
    )


class Minimum(NamedTuple):
    """Where a descent ended; ``settled`` if no direction from there leads down."""

    point: Float[Array, "n"]
    settled: Array


def find_minimum(
    function: Callable[[Array], Array], start: Float[Array, "n"], max_iterations: Array
) -> Minimum:
    """A local minimum by Newton's method with the exact Hessian, made positive and damped.

    Each step solves ``(|H| + mu) d = -g`` with the moduli of the Hessian's eigenvalues, which
    turns away from saddles; ``mu`` falls where the function does, and grows where it does not.
    """
    eps = jnp.finfo(start.dtype).eps
    gradient, hessian = jax.grad(function), jax.jacfwd(jax.grad(function))

    def searching(carry):
        _, value, damping, settled, iterations = carry
        return ~settled & (iterations < max_iterations) & jnp.isfinite(value) & (damping < 1e12)

    def advance(carry):
        point, value, damping, _, iterations = carry
        slope = gradient(point)
        moduli, frame = jnp.linalg.eigh(hessian(point))
        scale = jnp.max(jnp.abs(moduli))
        seen = frame.T @ slope
        step = -frame @ (seen / (jnp.abs(moduli) + (damping + eps) * scale))
        new = function(point + step)
        better = new <= value
        small = jnp.linalg.norm(step) <= 10 * jnp.sqrt(eps) * (1 + jnp.linalg.norm(point))
        bowl = jnp.min(moduli) >= -jnp.sqrt(eps) * scale
        damping = jnp.where(better, 0.1 * damping, jnp.maximum(10 * damping, 1e-6))
        # Where rounding leaves nothing to gain the last step is not better, and yet the end.
        return (
            jnp.where(better, point + step, point),
            jnp.where(better, new, value),
            damping,
            small & bowl & (better | (damping <= 1e-5)),
            iterations + 1,
        )

    begin = (start, function(start), jnp.asarray(1e-3, start.dtype), jnp.asarray(False))
    point, _, _, settled, _ = jax.lax.while_loop(
        searching, advance, (*begin, jnp.zeros((), jnp.int32))
    )
    return Minimum(point, settled)
