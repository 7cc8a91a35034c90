"""Whole planes of hyperparameters, and the lines on which signals neither die nor grow."""

import dataclasses
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Bool, Float

from echoic.core.checks import at_least, is_traced, not_negative
from echoic.theory.gaussian import DEFAULT_RULE, Rule, derivative, expectation
from echoic.theory.mean_field.family import AbstractFamily, Scalar, number, standing
from echoic.theory.mean_field.fixed_points import (
    FixedPoint,
    bracketed,
    check_inputs,
    fixed_point,
    implicit,
    length_from,
    settle,
)

_RUNGS = 33  # of the search for lengths: far fewer than for single networks, for speed
_BATCH = 1000  # networks at a time: their series fit into a few megabytes


def phase_diagram(
    family: AbstractFamily,
    power: Scalar,
    cosine: Scalar,
    *,
    mean: Scalar = 0.0,
    terms: int = 512,
) -> FixedPoint:
    """[`fixed_point`][] on a whole grid of hyperparameters.

    **Arguments:** ``family``: its hyperparameters are arrays that broadcast: for a plane of two,
    one of shape (k, 1) and one of shape (1, l), all others scalars; ``power``, ``cosine``,
    ``mean``: as for [`fixed_point`][], numbers or arrays that broadcast too; ``terms``: of the
    Hermite series, in which averages over pairs are taken here.

    **Returns:** a `FixedPoint` of arrays of the common shape, each network starting from its
    bound, so that the largest length is reached.

    **When it misleads:** as [`fixed_point`][], but that fixed points of the length within a factor
    of 2.7 may be stepped over. The number of nodes follows from the largest
    pre-activation variance of the grid, which its steepest corner sets for all.

    **Cost:** for each network some 50 averages in one dimension and one Hermite series.

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> from echoic.theory import mean_field
        >>> gains, drives = jnp.array([[0.5], [0.9]]), jnp.array([[0.1, 0.2, 0.4]])
        >>> plane = mean_field.phase_diagram(
        ...     mean_field.Vanilla(mean_field.Gate(gains, drives)), 1.0, 0.0, terms=64)
        >>> plane.timescale.shape, bool((plane.timescale[1] > plane.timescale[0]).all())
        ((2, 3), True)

        ```
    """
    check_inputs(power, cosine)
    at_least("terms", terms, 1)
    power, cosine = number(power), number(cosine)
    mean = standing(mean)
    family = dataclasses.replace(family, rule=_rule(family, power, terms))
    arrays, rest = eqx.partition((family, power, cosine, mean), eqx.is_inexact_array)
    shape = jnp.broadcast_shapes(*(leaf.shape for leaf in jtu.tree_leaves(arrays)))
    flat = jtu.tree_map(lambda leaf: jnp.broadcast_to(leaf, shape).reshape(-1), arrays)
    found = _settle_all(flat, rest)
    return jtu.tree_map(lambda leaf: leaf.reshape(shape), found)


def _rule(family: AbstractFamily, power: Array, terms: int) -> Rule:
    """Nodes for the largest variance of the grid, rounded up so that few rules are compiled."""
    largest = family.largest_variance(power)
    if is_traced(largest):
        return Rule(family.rule.largest_variance, terms)
    finite = np.asarray(largest)[np.isfinite(np.asarray(largest))]
    highest = max(1.0, float(finite.max())) if finite.size else 1.0
    return Rule(2.0 ** math.ceil(math.log2(highest)), terms)


@eqx.filter_jit
def _settle_all(flat, rest) -> FixedPoint:
    def one(arrays):
        family, power, cosine, mean = eqx.combine(arrays, rest)
        return settle(family, power, cosine, mean, family.length_bound(power), _RUNGS)

    count = jtu.tree_leaves(flat)[0].shape[0]
    return jax.lax.map(one, flat, batch_size=min(_BATCH, count))


def edge_of_chaos(
    build: Callable[[Array], AbstractFamily],
    power: Scalar,
    lower: Scalar,
    upper: Scalar,
    *,
    cosine: Scalar | None = None,
    mean: Scalar = 0.0,
) -> Float[Array, ""]:
    """The value of one hyperparameter at which chi_1 = 1: the mean squared gain is 1.

    **Arguments:** ``build``: from the hyperparameter to the family; ``power``: R; ``lower``,
    ``upper``: between which to look. With ``cosine``, the chi of two copies with inputs of that
    cosine takes the place of chi_1.

    **Returns:** the value; NaN if chi - 1 has the same sign at both ends. To be vectorised by
    ``jax.vmap`` over what ``build`` closes over, and differentiable in it.

    **When it misleads:** gated networks may cross the edge twice: choose the ends so that one
    crossing lies between them.

    ??? example
        ```python
        >>> from echoic.theory import mean_field
        >>> gain = edge_of_chaos(lambda s: mean_field.Vanilla(mean_field.Gate(s**2)), 0.0, 0.5, 2.0)
        >>> bool(abs(gain - 1) < 1e-3)
        True

        ```
    """

    def excess(value):
        family = build(value)
        if cosine is not None:
            return fixed_point(family, power, cosine, mean=mean).chi - 1
        length = length_from(family, number(power), mean, family.length_bound(power))
        return family.gain(length, power, mean) - 1

    @jax.jit
    def solve(low, high):
        return implicit(excess, bracketed(excess, low, high))

    return solve(number(lower), number(upper))


class Critical(eqx.Module):
    """A law of weights at which the mean squared singular value of one step is exactly 1.

    ``recurrent_variance`` and ``input_variance`` are sigma^2 and nu^2 (without bias variance),
    ``length`` is Q*, ``variance`` q* that of the pre-activation. ``feasible`` says whether
    nu^2 >= 0; where not, ``input_variance`` is NaN.
    """

    recurrent_variance: Float[Array, "..."]
    input_variance: Float[Array, "..."]
    length: Float[Array, "..."]
    variance: Float[Array, "..."]
    feasible: Bool[Array, "..."]


def critical_minimal(
    bias_mean: Scalar, variance: Scalar, power: Scalar, *, rule: Rule = DEFAULT_RULE
) -> Critical:
    """Critical initialisation of the minimal network, in closed form.

    **Definition.** With u = sigmoid(e), e ~ N(mu, q*): ``Q* = R E[(1-u)^2] / (1 - E[u^2])``,
    ``sigma^2 = (1 - E[u^2]) / ((Q* + R) E[u'^2])``, ``nu^2 = (q* - sigma^2 Q*) / R``.

    **Arguments:** ``bias_mean``: mu; ``variance``: q*, that of the pre-activation; ``power``: R,
    of the embedded input.

    **Returns:** a `Critical`; not feasible below [`smallest_critical_variance`][].

    **When it misleads:** a mean squared singular value of 1 is not isometry: the spread of the
    singular values vanishes only as the bias grows.

    **Reference:** Chen, Pennington & Schoenholz (2018), for the method; the formula is derived
    here.

    ??? example
        ```python
        >>> from echoic.theory import mean_field
        >>> law = critical_minimal(0.0, 16.0, 0.46)
        >>> net = mean_field.Minimal(mean_field.Gate(law.recurrent_variance, law.input_variance))
        >>> bool(abs(net.gain(law.length, 0.46) - 1) < 1e-5)
        True

        ```
    """
    for name, value in (("variance", variance), ("power", power)):
        not_negative(name, value)
    mu, q, power = _broadcast(bias_mean, variance, power)
    return _critical_minimal(mu, q, power, rule)


@eqx.filter_jit
def _critical_minimal(mu: Array, q: Array, power: Array, rule: Rule) -> Critical:
    taken, lost, slope = _gate_moments(mu, q, rule)
    length = power * taken / lost
    recurrent = lost / ((length + power) * slope)
    inputs = (q - recurrent * length) / power
    # At the very edge of feasibility rounding must not decide.
    tiny = 8 * jnp.finfo(q.dtype).eps * q / power
    inputs = jnp.where(jnp.abs(inputs) <= tiny, 0, inputs)
    feasible = inputs >= 0
    return Critical(recurrent, jnp.where(feasible, inputs, jnp.nan), length, q, feasible)


def smallest_critical_variance(
    bias_mean: Scalar, *, rule: Rule = DEFAULT_RULE
) -> Float[Array, "..."]:
    """The smallest q* for which the minimal network has a critical point, at nu = 0.

    **Definition.** The root of ``q = R / (Q* + R) E[(1-u)^2] / E[u'^2]``, which does not depend on
    R. It falls to 1 as the bias grows.

    ??? example
        ```python
        >>> bool(abs(smallest_critical_variance(0.0) - 14.293) < 1e-2)
        True

        ```
    """
    mu = number(bias_mean)
    return _smallest_variances(mu.reshape(-1), rule).reshape(mu.shape)


@eqx.filter_jit
def _smallest_variances(mu: Float[Array, "k"], rule: Rule) -> Float[Array, "k"]:
    def solve(mu):
        def excess(q):
            taken, lost, slope = _gate_moments(mu, q, rule)
            return q - lost / (lost + taken) * taken / slope

        largest = jnp.asarray(4 * rule.largest_variance, mu.dtype)
        return implicit(excess, bracketed(excess, jnp.full_like(mu, 0.1), largest))

    return jax.vmap(solve)(mu)


def critical_vanilla(
    input_variance: Scalar,
    power: Scalar,
    *,
    bias_variance: Scalar = 0.0,
    rule: Rule = DEFAULT_RULE,
) -> Critical:
    """The critical recurrent variance of the plain tanh network.

    **Definition.** ``sigma^2 = 1 / E[phi'^2]`` at the q* that solves
    ``q = sigma^2 E[phi^2] + nu^2 R + rho^2``: chi_1 = 1. Towards no drive,
    ``sigma^2 ~ 1 + 2 q*`` and ``q* ~ (3 nu^2 R / 4)^(1/3)``.

    **Arguments:** nu^2, R, rho^2.

    **Returns:** a `Critical`, always feasible.

    **When it misleads:** for inputs that differ, chi < 1 here and everywhere: there is no
    transition, and xi has its largest value a little above.

    **Reference:** Poole et al. (2016), NeurIPS, for chi_1; Chen, Pennington & Schoenholz (2018).

    ??? example
        ```python
        >>> bool(abs(critical_vanilla(0.025**2, 0.46).recurrent_variance ** 0.5 - 1.05985) < 1e-3)
        True

        ```
    """
    for name, value in (
        ("input_variance", input_variance),
        ("power", power),
        ("bias_variance", bias_variance),
    ):
        not_negative(name, value)
    nu2, power, rho2 = _broadcast(input_variance, power, bias_variance)
    found = _critical_vanilla(nu2.reshape(-1), (nu2 * power + rho2).reshape(-1), rule)
    return jtu.tree_map(lambda leaf: leaf.reshape(nu2.shape), found)


@eqx.filter_jit
def _critical_vanilla(nu2: Float[Array, "k"], drive: Float[Array, "k"], rule: Rule) -> Critical:
    def solve(drive):
        def excess(q):
            square = expectation(lambda e: jnp.tanh(e) ** 2, 0.0, q, rule)
            return square / _slope_square(q, rule) + drive - q

        # q* rises with the drive, from (3 drive / 4)^(1/3).
        low = jnp.minimum(0.5 * (0.75 * drive) ** (1 / 3), drive)
        high = jnp.asarray(rule.largest_variance, drive.dtype)
        root = implicit(excess, bracketed(excess, low, high))
        return jnp.where(drive == 0, 0, root)

    q = jax.vmap(solve)(drive)
    length = expectation(lambda e: jnp.tanh(e) ** 2, 0.0, q, rule)
    return Critical(1 / _slope_square(q, rule), nu2, length, q, jnp.ones_like(q, bool))


def _slope_square(q: Array, rule: Rule) -> Array:
    slope = derivative(jnp.tanh)
    return expectation(lambda e: slope(e) ** 2, 0.0, q, rule)


def _gate_moments(mu: Array, q: Array, rule: Rule) -> tuple[Array, Array, Array]:
    """``E[(1-u)^2]``, ``1 - E[u^2]`` and ``E[u'^2]``."""

    def average(function):
        return expectation(function, mu, q, rule)

    keep = jax.nn.sigmoid
    slope = derivative(keep)
    taken = average(lambda e: keep(-e) ** 2)
    lost = average(lambda e: keep(-e) * (1 + keep(e)))  # has digits left at large biases
    return taken, lost, average(lambda e: slope(e) ** 2)


def _broadcast(*values: Scalar) -> tuple[Array, ...]:
    return tuple(jnp.broadcast_arrays(*(number(value) for value in values)))
