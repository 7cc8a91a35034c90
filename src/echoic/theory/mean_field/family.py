"""What a wide random network must say about itself for its signals to be predicted.

Widths go to infinity, weights are redrawn at every step (*untied*): pre-activations are then
exactly Gaussian given the state's second moments, and two copies of the network driven by two
sequences a and b are described by three numbers, their [`Gram`][] matrix. A real network keeps
its weights; the theory agrees with it where biases keep the gates from lasting correlations,
and only in kind elsewhere.
"""

import abc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from echoic.core.checks import not_negative
from echoic.theory.gaussian import DEFAULT_RULE, Rule, Scalar

CosineMap = Callable[[Array], tuple[Array, Array]]


def number(value: Scalar) -> Float[Array, "..."]:
    """A hyperparameter as a floating array; the precision of arrays is kept."""
    value = jnp.asarray(value)
    return value if jnp.issubdtype(value.dtype, jnp.inexact) else value.astype(float)


def standing(mean: Scalar) -> Scalar:
    """The part of the inputs that stays; 0.0 itself is kept, so that its terms can be skipped."""
    return mean if isinstance(mean, float) and mean == 0.0 else number(mean)


class Gram(NamedTuple):
    """Second moments of two vectors: ``aa = |v_a|^2 / n``, ``bb``, and ``ab = v_a . v_b / n``."""

    aa: Scalar
    bb: Scalar
    ab: Scalar

    @staticmethod
    def of(power: Scalar, cosine: Scalar) -> "Gram":
        """Both of the same power, with the given cosine between them."""
        return Gram(power, power, power * cosine)


class Gate(eqx.Module):
    """The law of one pre-activation ``u = W h + V x + b``.

    **Fields**, any shapes that broadcast, so that grids of networks are one object:

    - ``recurrent_variance``: sigma^2, entries of W have variance sigma^2 / n.
    - ``input_variance``: nu^2, entries of V have variance nu^2 / m, m the size of x.
    - ``bias_mean``: mu; ``bias_variance``: rho^2.
    """

    recurrent_variance: Float[Array, "..."] = eqx.field(converter=number)
    input_variance: Float[Array, "..."] = eqx.field(converter=number, default=0.0)
    bias_mean: Float[Array, "..."] = eqx.field(converter=number, default=0.0)
    bias_variance: Float[Array, "..."] = eqx.field(converter=number, default=0.0)

    def __check_init__(self):
        for name in ("recurrent_variance", "input_variance", "bias_variance"):
            not_negative(name, getattr(self, name))

    def covariance(self, state: Scalar, inputs: Scalar) -> Float[Array, "..."]:
        """``sigma^2 Q_ab + nu^2 R_ab + rho^2``, of which the variance is the case a = b."""
        return self.recurrent_variance * state + self.input_variance * inputs + self.bias_variance

    def gram(self, state: Gram, inputs: Gram) -> Gram:
        """The covariances of the pre-activations of both copies."""
        return Gram(*(self.covariance(q, r) for q, r in zip(state, inputs, strict=True)))


class AbstractFamily(eqx.Module):
    """A kind of recurrent network with the laws of its weights.

    Hyperparameters are array fields; all methods take and return arrays of shape () (or shapes
    that broadcast with the fields) and can be differentiated and vectorised. ``inputs`` are second
    moments per coordinate of what the input weights multiply. ``mean`` is that part of them that
    stays from one time to another, ``x_t . x_s / m`` for t != s: 0 for inputs of zero mean that
    are fresh at each step. It matters only where the input enters the state without a random
    matrix of its own (the minimal network).

    Subclasses are final.
    """

    rule: eqx.AbstractVar[Rule]

    @abc.abstractmethod
    def length_bound(self, power: Scalar) -> Float[Array, "..."]:
        """A number that no fixed point of [`length_map`][] exceeds, at input power R."""

    def largest_variance(self, power: Scalar) -> Float[Array, "..."]:
        """What ``rule.largest_variance`` must be for all lengths up to the bound.

        The largest variance of a pre-activation in front of tanh, a quarter of it in front of a
        sigmoid, which is half as steep. A family that does not say keeps its rule's.
        """
        return jnp.asarray(self.rule.largest_variance)

    @abc.abstractmethod
    def length_map(self, length: Scalar, power: Scalar, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """The state's second moment Q one step later."""

    @abc.abstractmethod
    def covariance_map(self, state: Gram, inputs: Gram, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """The covariance Q_ab of the states of two copies one step later."""

    @abc.abstractmethod
    def chi(self, state: Gram, inputs: Gram, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``dQ_ab' / dQ_ab`` at fixed Q_aa and Q_bb: how a covariance is passed on.

        It is also the power of the part that the Jacobians of both copies share.
        """

    @abc.abstractmethod
    def gain(self, length: Scalar, power: Scalar, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``chi`` of a copy with itself, chi_1: the mean squared singular value of dh'/dh."""

    def cosine_map(
        self, length: Scalar, power: Scalar, cosine: Scalar, mean: Scalar = 0.0
    ) -> CosineMap:
        """``C -> (C', dC'/dC)`` between copies of equal length Q, inputs of the given cosine.

        A family may prepare what does not depend on C; root finders call the result often.
        """

        def advance(c):
            state, inputs = Gram.of(length, c), Gram.of(power, cosine)
            new = self.covariance_map(state, inputs, mean) / length
            return new, self.chi(state, inputs, mean)

        return advance


__all__ = ["DEFAULT_RULE", "AbstractFamily", "CosineMap", "Gate", "Gram", "Rule", "Scalar"]
