"""Where lengths and cosines settle, and how fast."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from echoic.core.checks import at_least, is_traced
from echoic.theory.mean_field.family import AbstractFamily, Gram, Scalar, number, standing

_SMALLEST = 1e-14  # of the bound on lengths: where the search for fixed points ends
_RUNGS = 200
_NO_DECAY = 1e-12


class LengthFixedPoints(eqx.Module):
    """All lengths at which a network may stay, in rising order, NaN where there are no more.

    ``slope`` is that of the length map: below 1 in modulus the fixed point is stable, and
    ``timescale = -1 / log |slope|`` steps long.
    """

    length: Float[Array, "k"]
    slope: Float[Array, "k"]
    stable: Bool[Array, "k"]
    timescale: Float[Array, "k"]


class FixedPoint(eqx.Module):
    """Where two copies of a network settle.

    **Fields**, each a scalar, or a grid in a phase diagram:

    - ``length``: Q*, the state's second moment per unit; ``length_slope`` of the length map there,
      ``length_timescale`` in steps: how long Q itself takes to settle.
    - ``cosine``: C* between the copies; NaN if Q* = 0.
    - ``chi``: rate at which C returns to C*.
    - ``timescale``: xi = -1 / log chi in steps, inf if C does not return.
    - ``gain``: chi_1, the mean squared singular value of one step's Jacobian.
    """

    length: Float[Array, "..."]
    cosine: Float[Array, "..."]
    chi: Float[Array, "..."]
    timescale: Float[Array, "..."]
    gain: Float[Array, "..."]
    length_slope: Float[Array, "..."]
    length_timescale: Float[Array, "..."]


def timescale(chi: Scalar) -> Float[Array, "..."]:
    """Steps in which a *power* falls to 1/e when it shrinks by ``chi`` at each step.

    **Definition.** ``xi = -1 / log |chi|``; inf where ``1 - |chi| < 1e-12``.

    **When it misleads:** cosines, covariances and squared gains are powers. Amplitudes (a
    gradient's norm, the coherent reach) fall as ``exp(-k / (2 xi))``.

    ??? example
        ```python
        >>> import math
        >>> from echoic.theory import mean_field
        >>> bool(abs(mean_field.timescale(math.exp(-0.1)) - 10) < 1e-4)
        True

        ```
    """
    chi = jnp.abs(number(chi))
    decays = ~(1 - chi < _NO_DECAY)  # so that NaN stays NaN
    rate = jnp.log1p(jnp.where(decays, chi, 0.5) - 1)
    return jnp.where(decays, -1 / rate, jnp.inf)


def length_fixed_points(
    family: AbstractFamily,
    power: Scalar,
    *,
    mean: Scalar = 0.0,
    largest_number: int = 8,
    grid: int = 400,
) -> LengthFixedPoints:
    """All fixed points of the length map, stable or not.

    **Definition.** The roots of ``F(Q) - Q``, Q -> F(Q) the length map at constant input power,
    between 0 and ``family.length_bound``.

    **Arguments:** ``power``: R, the input's second moment; ``mean``: see `AbstractFamily`;
    ``largest_number``: how many to make room for; ``grid``: the search looks for changes of sign
    between so many lengths, evenly spaced in the logarithm over 14 decades.

    **When it misleads:** two fixed points within one step of the grid (a factor of 1.08) are both
    missed.

    **Cost:** ``grid`` evaluations of the length map.

    ??? example
        ```python
        >>> from echoic.theory import mean_field
        >>> free = mean_field.Vanilla(mean_field.Gate(4.0))      # no input: silence is unstable
        >>> mean_field.length_fixed_points(free, 0.0).stable[:2].tolist()
        [False, True]

        ```
    """
    at_least("largest_number", largest_number, 1)
    at_least("grid", grid, 2)
    return _all_lengths(family, number(power), standing(mean), largest_number, grid)


def fixed_point(
    family: AbstractFamily,
    power: Scalar,
    cosine: Scalar,
    *,
    mean: Scalar = 0.0,
    start: Scalar | None = None,
) -> FixedPoint:
    """Where two copies of a network settle whose inputs have a constant cosine.

    **Definition.** Q* is where the length goes from ``start``; C* the smallest solution of
    ``C'(C) = C`` at Q*, which is the one reached from C = 0; ``chi = dC'/dC`` there.

    **Arguments:** ``power``: R, the input's second moment; ``cosine``: Sigma, in [-1, 1], between
    the inputs of the two copies: 1 for equal inputs, 0 for independent ones; ``mean``: what of R
    stays over time, see `AbstractFamily`; ``start``: the length at the beginning, by default
    ``family.length_bound``, from where the largest fixed point is reached.

    **Returns:** a `FixedPoint` of scalars. It can be differentiated in all numbers (through the
    implicit function theorem) and vectorised; for grids take `phase_diagram`.

    **Raises:** ValueError for a cosine outside [-1, 1] or a negative power.

    **When it misleads:** of two fixed points of the length within a factor of 1.17 the search may
    step over both. Always state Sigma: at the same weights xi may be .7 for independent and
    820 for equal inputs. Where lengths have several fixed points, ask [`length_fixed_points`][].
    A ``length_timescale`` of hundreds of steps means that a simulation is not there yet.

    **Cost:** some 50 averages in one dimension, some 20 over a pair.

    **Reference:** Chen, Pennington & Schoenholz (2018), for the timescale.

    ??? example
        ```python
        >>> from echoic.theory import mean_field
        >>> net = mean_field.Vanilla(mean_field.Gate(0.8, 0.1))
        >>> found = mean_field.fixed_point(net, 1.0, 1.0)      # equal inputs: equal states
        >>> bool(abs(found.cosine - 1) < 1e-4), bool(abs(found.chi - found.gain) < 1e-4)
        (True, True)

        ```
    """
    check_inputs(power, cosine)
    start = family.length_bound(power) if start is None else start
    return _settle(family, number(power), number(cosine), standing(mean), number(start), _RUNGS)


def check_inputs(power: Scalar, cosine: Scalar) -> None:
    """Refuse second moments that no input has; NaN and traced values pass."""
    for name, value, low, high in (("power", power, 0, np.inf), ("cosine", cosine, -1, 1)):
        if is_traced(value):
            continue
        values = np.asarray(value)
        if np.any((values < low) | (values > high)):
            raise ValueError(f"{name} must lie between {low} and {high}, got {value}.")


def settle(
    family: AbstractFamily, power: Array, cosine: Array, mean: Scalar, start: Array, rungs: int
) -> FixedPoint:
    """[`fixed_point`][] without its questions, inside jit and vmap."""
    length = length_from(family, power, mean, start, rungs)
    slope = _slope(lambda q: family.length_map(q, power, mean), length)
    gain = family.gain(length, power, mean)
    c = _cosine(family, length, power, cosine, mean)
    chi = family.cosine_map(length, power, cosine, mean)(c)[1]
    chi = jnp.where(length == 0, gain, chi)
    return FixedPoint(length, c, chi, timescale(chi), gain, slope, timescale(slope))


_settle = eqx.filter_jit(settle)


@eqx.filter_jit
def _all_lengths(family, power, mean, largest_number, grid) -> LengthFixedPoints:
    def excess(q):
        return family.length_map(q, power, mean) - q

    bound = family.length_bound(power)
    steps = jnp.logspace(jnp.log10(_SMALLEST), 0, grid, dtype=bound.dtype)
    # A little above the bound, where a linear network's only fixed point is.
    lengths = jnp.concatenate([jnp.zeros(1, bound.dtype), 1.01 * bound * steps])
    values = jax.lax.map(excess, lengths)
    crossing = values[:-1] * values[1:] < 0
    (place,) = jnp.nonzero(crossing, size=largest_number, fill_value=-1)
    roots = jax.vmap(lambda i: bracketed(excess, lengths[i], lengths[i + 1]))(place)
    roots = jnp.where(place >= 0, roots, jnp.nan)
    silent = jnp.where(values[0] == 0, jnp.zeros_like(bound), jnp.nan)
    roots = jnp.sort(jnp.append(silent, roots))[:largest_number]
    roots = jax.vmap(lambda root: implicit(excess, root))(roots)
    slope = jax.vmap(lambda q: _slope(lambda q: family.length_map(q, power, mean), q))(roots)
    return LengthFixedPoints(roots, slope, jnp.abs(slope) < 1, timescale(slope))


def length_from(family, power, mean, start, rungs=_RUNGS) -> Array:
    """The first fixed point on the way from ``start``: down if the length shrinks there, or up.

    The way down ends after 14 decades, in ``rungs`` equal factors.
    """

    def excess(q):
        return family.length_map(q, power, mean) - q

    start = jax.lax.stop_gradient(start)
    at_start = jax.lax.stop_gradient(excess(start))
    shrinks = at_start <= 0
    top = jax.lax.stop_gradient(jnp.maximum(1.01 * family.length_bound(power), 1.02 * start))
    factor = jnp.where(shrinks, _SMALLEST, top / start) ** (1 / rungs)

    def going(carry):
        _, _, value, count = carry
        return (jnp.sign(value) == jnp.sign(at_start)) & (count < rungs)

    def walk(carry):
        _, q, _, count = carry
        further = q * factor
        return q, further, jax.lax.stop_gradient(excess(further)), count + 1

    before, after, value, _ = jax.lax.while_loop(going, walk, (start, start, at_start, 0))
    crossed = (jnp.sign(value) != jnp.sign(at_start)) & (value == value)
    root = bracketed(excess, before, after)
    # Nothing on the way down: silence, if it is a fixed point.
    silent = shrinks & (excess(jnp.zeros_like(start)) == 0)
    root = jnp.where(crossed, root, jnp.where(silent, 0, jnp.nan))
    root = jnp.where(at_start == 0, start, root)
    return implicit(excess, root)


def _cosine(family, length, power, cosine, mean) -> Array:
    """The fixed point of the cosine map that is reached from 0."""
    arguments = (family, length, power, cosine, mean)
    arrays, rest = eqx.partition(arguments, eqx.is_inexact_array)
    frozen = eqx.combine(jax.lax.stop_gradient(arrays), rest)
    advance = frozen[0].cosine_map(*frozen[1:])
    eps = jnp.finfo(length.dtype).eps

    def improve(carry):
        c, low, high, _, count = carry
        new, chi = advance(c)
        excess = new - c
        low, high = jnp.where(excess > 0, c, low), jnp.where(excess > 0, high, c)
        # The map is convex for inputs of positive cosine: from the left Newton never overshoots.
        newton = c + excess / (1 - chi)
        inside = (newton >= low) & (newton <= high)
        target = jnp.where(inside, newton, (low + high) / 2)
        going = (jnp.abs(excess) > 4 * eps) & (jnp.abs(target - c) > 4 * eps)
        # An excess that is only rounding is not worth a step along a flat map.
        target = jnp.where(jnp.abs(excess) > 2 * eps, target, c)
        return target, low, high, going, count + 1

    zero = jnp.zeros_like(advance(jnp.zeros_like(length))[0])
    carry = (zero, zero - 1, zero + 1, jnp.ones_like(zero, bool), 0)
    c = jax.lax.while_loop(lambda carry: carry[3] & (carry[4] < 100), improve, carry)[0]
    c = jnp.where(jnp.isnan(advance(zero)[0]), jnp.nan, c)

    def excess(c):
        state, inputs = Gram.of(length, c), Gram.of(power, cosine)
        return family.covariance_map(state, inputs, mean) / length - c

    return implicit(excess, c)


def _slope(function: Callable, at: Array) -> Array:
    return jax.jvp(function, (at,), (jnp.ones_like(at),))[1]


def implicit(excess: Callable, root: Array) -> Array:
    """The root as a function of all that ``excess`` closes over."""
    return jax.lax.custom_root(
        excess,
        jax.lax.stop_gradient(root),
        lambda _, guess: guess,
        lambda linear, y: y / linear(jnp.ones_like(y)),
    )


def bracketed(function: Callable, left: Array, right: Array) -> Array:
    """A root between two values of opposite sign, to rounding; NaN if there is none.

    Inverse quadratic interpolation where it can be trusted, else bisection: Chandrupatla (1997),
    Advances in Engineering Software 28.
    """

    def function_(q):
        return jax.lax.stop_gradient(function(q))

    left, right = jax.lax.stop_gradient((left, right))
    eps = jnp.finfo(left.dtype).eps
    f_left, f_right = function_(left), function_(right)

    def going(carry):
        a, b, _, fa, fb, _, _, count = carry
        return (jnp.abs(b - a) > 2 * eps * jnp.abs(b)) & (fb != 0) & (fa != 0) & (count < 100)

    def improve(carry):
        a, b, c, fa, fb, fc, t, count = carry
        x = a + t * (b - a)
        fx = function_(x)
        same = jnp.sign(fx) == jnp.sign(fa)
        c, fc = jnp.where(same, a, b), jnp.where(same, fa, fb)
        b, fb = jnp.where(same, b, a), jnp.where(same, fb, fa)
        a, fa = x, fx
        best = jnp.where(jnp.abs(fa) < jnp.abs(fb), a, b)
        tolerance = eps * jnp.abs(best) / jnp.abs(b - a)
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        trusted = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
        step = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        t = jnp.where(trusted, step, 0.5)
        t = jnp.clip(t, jnp.minimum(tolerance, 0.5), jnp.maximum(1 - tolerance, 0.5))
        return a, b, c, fa, fb, fc, t, count + 1

    start = (left, right, left, f_left, f_right, f_left, jnp.full_like(left, 0.5), 0)
    a, b, _, fa, fb, _, _, _ = jax.lax.while_loop(going, improve, start)
    root = jnp.where(jnp.abs(fa) < jnp.abs(fb), a, b)
    opposite = jnp.sign(f_left) * jnp.sign(f_right) <= 0
    return jnp.where(opposite, root, jnp.nan)
