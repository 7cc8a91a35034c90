"""The spectrum of the Jacobian over many steps: mean and variance of its squared singular values.

The moments of the product of T Jacobians with freshly drawn matrices obey a recursion of four
numbers, exact in the limit of large widths:

- ``k1 = tr(J J')/n``, the mean squared singular value, and ``k2 = tr((J J')^2)/n``;
- ``d2``, the mean square of the diagonal entries p_i of J J';
- ``b = E[p h^2]``: a unit that has kept its perturbation has kept its state too.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from echoic.core.checks import at_least, one_of
from echoic.theory.mean_field.family import AbstractFamily, Scalar, number
from echoic.theory.mean_field.update_moments import InnerMoments, UpdateMoments, update_moments

WEIGHTS = ("gaussian", "orthogonal")


class JacobianMoments(NamedTuple):
    """By number of steps, from 0 (the identity) on a new last axis.

    **Fields:** ``mean`` and ``variance`` of the squared singular values; ``diagonal``: the mean
    square of the diagonal of J J', squared row lengths.
    """

    mean: Float[Array, "... k"]
    variance: Float[Array, "... k"]
    diagonal: Float[Array, "... k"]

    @property
    def gradient_reach(self) -> Float[Array, "... k"]:
        """Root mean square singular value: an amplitude, where ``mean`` is a power."""
        return jnp.sqrt(self.mean)


class _State(NamedTuple):
    k1: Any
    k2: Any
    d2: Any
    b: Any


def jacobian_moments(
    family: AbstractFamily,
    length: Scalar,
    power: Scalar,
    *,
    steps: int,
    weights: str = "gaussian",
    input_fourth: Scalar | None = None,
) -> JacobianMoments:
    """Mean and variance of the squared singular values of dh_t/dh_{t-k}, k up to ``steps``.

    **Definition.** ``k1(k) = E tr(J J')/n``, variance ``k2 - k1^2``, at width infinity with
    matrices drawn anew at each step. The mean is ``chi_1^k``.

    **Arguments:** ``family``; ``length``: the stationary second moment Q of the state; ``power``:
    that of the input, R; ``steps``; ``weights``: ``"gaussian"`` or ``"orthogonal"`` recurrent
    matrices of the same mean square; ``input_fourth``: the fourth moment of the minimal network's
    embedded input, by default a Gaussian's.

    **Returns:** `JacobianMoments`. For `FullPeepholeLSTM` the state is c alone.

    **Raises:** ValueError for a family without moments; [`lstm_population`][] gives the mean for
    LSTMs whose gates see h.

    **When it misleads:** a real network keeps its weights. In gated ones, what passes through W at
    different times then adds up in amplitude, not in power, and mean and variance decay more
    slowly after the first few steps. In the minimal network and at large gains few units
    carry most of the variance: samples of a thousand units scatter by a tenth.

    **Reference:** the method is that of Chen, Pennington & Schoenholz (2018) and Gilboa et al.
    (2019). The recursion is derived here, with the correlation of p and h, which both make small.

    ??? example
        ```python
        >>> from echoic.theory.mean_field import Gate, Vanilla
        >>> linear = Vanilla(Gate(1.0), activation="identity")
        >>> spectrum = jacobian_moments(linear, 1.0, 0.0, steps=3)
        >>> bool(jnp.allclose(spectrum.variance, jnp.arange(4.0), atol=1e-4))
        True

        ```
    """
    at_least("steps", steps, 0)
    one_of("weights", weights, WEIGHTS)
    # Numbers as arrays: as Python floats they would be compiled anew each time.
    fourth = None if input_fourth is None else number(input_fourth)
    return _jacobian_moments(family, number(length), number(power), steps, weights, fourth)


@eqx.filter_jit
def _jacobian_moments(family, length, power, steps, weights, input_fourth):
    moments = update_moments(family, length, power, input_fourth)
    one = jnp.ones_like(moments.row)

    def advance(state, _):
        state = _advance(state, moments, orthogonal=weights == "orthogonal")
        return state, state

    first = _State(one, one, one, moments.length * one)
    _, later = jax.lax.scan(advance, first, None, length=steps)
    k1, k2, d2, _ = (
        jnp.moveaxis(jnp.concatenate([start[None], path]), 0, -1)
        for start, path in zip(first, later, strict=True)
    )
    return JacobianMoments(k1, k2 - k1**2, d2)


def _advance(state: _State, m: UpdateMoments, *, orthogonal: bool) -> _State:
    """One more factor on the left: row i becomes ``A_i row_i + noise of variance S_i k1``."""
    k1, k2, d2, b = state
    chi = m.a2 + m.row
    # The mean squares of A^2 p + S k1, in which A alone is independent of p.
    crossed = 2 * k1 * (m.a2s0 * k1 + m.a2s2 * b)
    new_d2 = m.a4 * d2 + crossed + m.row_square * k1**2
    # Off the diagonal all factors are independent.
    new_k2 = chi**2 * k2 - m.a2**2 * d2 + new_d2
    if orthogonal:
        # An orthogonal matrix leaves the identity's part of J J' as it is.
        new_k2 = new_k2 - sum(row**2 for row in m.matrices) * k1**2
    if m.inner is not None:
        new_k2 = new_k2 + _through_inner(m.inner, m, state, orthogonal=orthogonal)
    kept = m.a2s0 * m.length + m.a2s2 * m.fourth + 2 * m.s1ay * m.length
    written = m.s0y2 + m.s2y2 * m.length
    new_b = m.a4 * b + (m.a2y2 + kept + written) * k1
    return _State(chi * k1, new_k2, new_d2, new_b)


def _through_inner(
    inner: InnerMoments, m: UpdateMoments, state: _State, *, orthogonal: bool
) -> Array:
    """What k2 gains since the candidate's matrix sees r h, not h: two factors in one step."""
    k1, k2, d2, b = state
    gate = inner.slope * m.length
    chi = inner.keep + gate
    inside = chi**2 * k2 + (inner.keep4 - inner.keep**2) * d2
    inside = inside + 2 * inner.both * b * k1 + inner.slope_square * m.fourth * k1**2
    whole = chi**2 * k2
    if orthogonal:
        inside = inside - gate**2 * k1**2
        whole = whole + chi**2 * k1**2
    return inner.outer**2 * (inside - whole)


def isometry_slope(
    family: AbstractFamily,
    length: Scalar,
    power: Scalar,
    *,
    weights: str = "gaussian",
    input_fourth: Scalar | None = None,
) -> Float[Array, "..."]:
    """By how much the variance of the squared singular values grows with each step, in the end.

    **Definition.** ``lim d/dT var(s^2) / mean(s^2)^2`` over T steps, s the singular values of
    dh_t/dh_{t-T}. Meant for critical networks (chi_1 = 1), where the variance grows linearly; 0 is
    dynamical isometry. NaN where the ratio grows geometrically.

    Arguments and errors as for [`jacobian_moments`][].

    **Reference:** Chen, Pennington & Schoenholz (2018), for the criterion; the formula follows
    from the recursion here.

    ??? example
        ```python
        >>> from echoic.theory.mean_field import Gate, Vanilla
        >>> linear = Vanilla(Gate(1.0), activation="identity")
        >>> bool(abs(isometry_slope(linear, 1.0, 0.0, weights="orthogonal")) < 1e-5)
        True

        ```
    """
    one_of("weights", weights, WEIGHTS)
    fourth = None if input_fourth is None else number(input_fourth)
    return _isometry_slope(family, number(length), number(power), weights, fourth)


@eqx.filter_jit
def _isometry_slope(family, length, power, weights, input_fourth):
    m = update_moments(family, length, power, input_fourth)
    chi, zero = m.a2 + m.row, jnp.zeros_like(m.row)
    one = zero + 1

    def advance(d2, b):
        return _advance(_State(one, zero, d2, b), m, orthogonal=weights == "orthogonal")

    # b/k1 and d2/k1^2 go to fixed points of recursions that are linear in them.
    b = advance(zero, zero).b / (chi - m.a4)
    d2 = advance(zero, b).d2 / (chi**2 - m.a4)
    slope = advance(d2, b).k2 / chi**2
    return jnp.where(chi**2 > m.a4, slope, jnp.nan)
