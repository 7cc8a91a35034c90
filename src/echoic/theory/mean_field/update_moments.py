"""What one unit does to a perturbation, in the averages that the Jacobian's moments need.

Every update here is ``h' = A h + Y`` for each unit, A and Y drawn anew and independent of h, and
its Jacobian ``diag(A)`` plus products of diagonal and fresh random matrices, whose rows have the
mean square ``S = S_0 + S_1 h + S_2 h^2``. Odd moments vanish: h and Y are symmetric.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from echoic.theory.mean_field.family import AbstractFamily, Gate, Rule, Scalar
from echoic.theory.mean_field.gates import (
    drop,
    keep,
    keep_slope,
    moment,
    squash,
    squash_slope,
)
from echoic.theory.mean_field.gru import ResetBeforeGRU, Written
from echoic.theory.mean_field.gru_reset_after import GRU
from echoic.theory.mean_field.lstm import FullPeepholeLSTM
from echoic.theory.mean_field.minimal import Minimal
from echoic.theory.mean_field.vanilla import Vanilla


def _gaussian(e: Array) -> Array:
    return 2 / math.sqrt(math.pi) * jnp.exp(-(e**2))


def _itself(e: Array) -> Array:
    return e


_ACTIVATIONS = {
    "tanh": (squash, squash_slope),
    "erf": (jax.scipy.special.erf, _gaussian),
    "identity": (_itself, jnp.ones_like),
}


class InnerMoments(NamedTuple):
    """A second random matrix inside the first: ``W_n (r h)`` with r = r(W_r h).

    **Fields:** ``outer`` E[B^2] sigma_n^2 of the matrix outside; inside, ``keep`` E[r^2], ``keep4``
    E[r^4], ``slope`` sigma_r^2 E[r'^2], ``slope_square`` sigma_r^4 E[r'^4], ``both``
    sigma_r^2 E[r^2 r'^2].
    """

    outer: Array
    keep: Array
    keep4: Array
    slope: Array
    slope_square: Array
    both: Array


class UpdateMoments(NamedTuple):
    """Averages over A, Y and S of ``h' = A h + Y``; names say the powers of A, Y, S_0, S_1, S_2.

    ``length`` is E[h^2]; ``matrices`` holds E[S] of each random matrix that acts on the state by
    itself.
    """

    length: Any
    a2: Any
    a4: Any
    a2y2: Any
    y4: Any
    s0: Any
    s2: Any
    s0s0: Any
    s1s1: Any
    s2s2: Any
    s0s2: Any
    a2s0: Any
    a2s2: Any
    s0y2: Any
    s1ay: Any
    s2y2: Any
    matrices: tuple[Any, ...]
    inner: InnerMoments | None = None

    @property
    def fourth(self) -> Array:
        """E[h^4] of the stationary state, which is not Gaussian."""
        return (6 * self.a2y2 * self.length + self.y4) / (1 - self.a4)

    @property
    def row(self) -> Array:
        """E[S], with A^2 the mean squared singular value of the Jacobian."""
        return self.s0 + self.s2 * self.length

    @property
    def row_square(self) -> Array:
        """E[S^2]."""
        mixed = (self.s1s1 + 2 * self.s0s2) * self.length
        return self.s0s0 + mixed + self.s2s2 * self.fourth


@functools.singledispatch
def update_moments(
    family: AbstractFamily, length: Scalar, power: Scalar, input_fourth: Scalar | None = None
) -> UpdateMoments:
    """The averages at the state's second moment Q and the input's R.

    ``input_fourth`` is the fourth moment of the input, which the minimal network passes on as it
    is; by default that of a Gaussian, ``3 R^2``.
    """
    raise ValueError(f"no Jacobian moments are known for {type(family).__name__}.")


@update_moments.register
def _(family: Vanilla, length, power, input_fourth=None) -> UpdateMoments:
    phi, slope = _ACTIVATIONS[family.activation]
    gate, rule = family.gate, family.rule
    variance, sigma = gate.covariance(length, power), gate.recurrent_variance

    def average(*factors):
        return moment(gate, variance, rule, *factors)

    s0 = sigma * average(slope, slope)
    none = jnp.zeros_like(s0)
    return UpdateMoments(length + none, *(15 * (none,)), matrices=(s0,))._replace(
        y4=average(phi, phi, phi, phi),
        s0=s0,
        s0s0=sigma**2 * average(slope, slope, slope, slope),
        s0y2=sigma * average(slope, slope, phi, phi),
    )


@update_moments.register
def _(family: Minimal, length, power, input_fourth=None) -> UpdateMoments:
    fourth = 3 * power**2 if input_fourth is None else input_fourth
    like = jnp.zeros_like(family.gate.covariance(length, power))
    written = Written(power + like, fourth + like, like, like, like, ())
    return _blend(family.gate, family.rule, length, power, written)


@update_moments.register
def _(family: GRU, length, power, input_fourth=None) -> UpdateMoments:
    written = family.written(length, power)
    return _blend(family.keep, family.rule, length, power, written)


@update_moments.register
def _(family: ResetBeforeGRU, length, power, input_fourth=None) -> UpdateMoments:
    written = family.written(length, power)
    blended = _blend(family.keep, family.rule, length, power, written)
    q_r = family.reset.covariance(length, power)
    sigma = family.reset.recurrent_variance

    def average(*factors):
        return moment(family.reset, q_r, family.rule, *factors)

    inner = InnerMoments(
        outer=blended.matrices[1]
        / (average(keep, keep) + sigma * length * average(keep_slope, keep_slope)),
        keep=average(keep, keep),
        keep4=average(*(4 * (keep,))),
        slope=sigma * average(keep_slope, keep_slope),
        slope_square=sigma**2 * average(*(4 * (keep_slope,))),
        both=sigma * average(keep, keep, keep_slope, keep_slope),
    )
    return blended._replace(matrices=blended.matrices[:1], inner=inner)


@update_moments.register
def _(family: FullPeepholeLSTM, length, power, input_fourth=None) -> UpdateMoments:
    f, i, g = (
        _averages(gate, gate.covariance(length, power), family.rule, value, slope)
        for gate, value, slope in (
            (family.keep, keep, keep_slope),
            (family.write, keep, keep_slope),
            (family.candidate, squash, squash_slope),
        )
    )
    sigma_f, sigma_i, sigma_g = (
        gate.recurrent_variance for gate in (family.keep, family.write, family.candidate)
    )
    s0 = (sigma_i * i.slope2 * g.value2, sigma_g * i.value2 * g.slope2)
    s0s0 = sigma_i**2 * i.slope4 * g.value4 + sigma_g**2 * i.value4 * g.slope4
    s2 = sigma_f * f.slope2
    return UpdateMoments(
        length=length + jnp.zeros_like(s2),
        a2=f.value2,
        a4=f.value4,
        a2y2=f.value2 * i.value2 * g.value2,
        y4=i.value4 * g.value4,
        s0=sum(s0),
        s2=s2,
        s0s0=s0s0 + 2 * sigma_i * sigma_g * i.both * g.both,
        s1s1=jnp.zeros_like(s2),
        s2s2=sigma_f**2 * f.slope4,
        s0s2=sum(s0) * s2,
        a2s0=f.value2 * sum(s0),
        a2s2=sigma_f * f.both,
        s0y2=sigma_i * i.both * g.value4 + sigma_g * i.value4 * g.both,
        s1ay=jnp.zeros_like(s2),
        s2y2=s2 * i.value2 * g.value2,
        matrices=(s2 * length, *s0),
    )


def _blend(
    gate: Gate, rule: Rule, length: Scalar, power: Scalar, written: Written
) -> UpdateMoments:
    """``h' = f h + (1 - f) n``: the minimal network (n the input) and both GRUs."""
    variance, sigma = gate.covariance(length, power), gate.recurrent_variance

    def average(*factors):
        return moment(gate, variance, rule, *factors)

    slope2 = average(keep_slope, keep_slope)
    slope2_keep2 = average(*(4 * (keep,)), drop, drop)
    slope2_drop2 = average(*(4 * (drop,)), keep, keep)
    slope2_keep_drop = average(*(3 * (keep,)), *(3 * (drop,)))
    slope4 = average(*(4 * (keep_slope,)))
    drop2, drop4 = average(drop, drop), average(*(4 * (drop,)))
    n2, n4, s, ss, n2s, each = written
    return UpdateMoments(
        length=length + jnp.zeros_like(slope2),
        a2=average(keep, keep),
        a4=average(*(4 * (keep,))),
        a2y2=slope2 * n2,
        y4=drop4 * n4,
        s0=sigma * slope2 * n2 + drop2 * s,
        s2=sigma * slope2,
        s0s0=sigma**2 * slope4 * n4 + 2 * sigma * slope2_drop2 * n2s + drop4 * ss,
        s1s1=4 * sigma**2 * slope4 * n2,
        s2s2=sigma**2 * slope4,
        s0s2=sigma**2 * slope4 * n2 + sigma * slope2_drop2 * s,
        a2s0=sigma * slope2_keep2 * n2 + slope2 * s,
        a2s2=sigma * slope2_keep2,
        s0y2=sigma * slope2_drop2 * n4 + drop4 * n2s,
        s1ay=-2 * sigma * slope2_keep_drop * n2,
        s2y2=sigma * slope2_drop2 * n2,
        matrices=(sigma * slope2 * (length + n2), *(drop2 * s for s in each)),
    )


class _Averages(NamedTuple):
    value2: Array
    value4: Array
    slope2: Array
    slope4: Array
    both: Array


def _averages(gate: Gate, variance: Scalar, rule: Rule, value, slope) -> _Averages:
    def average(*factors):
        return moment(gate, variance, rule, *factors)

    return _Averages(
        value2=average(value, value),
        value4=average(*(4 * (value,))),
        slope2=average(slope, slope),
        slope4=average(*(4 * (slope,))),
        both=average(value, value, slope, slope),
    )
