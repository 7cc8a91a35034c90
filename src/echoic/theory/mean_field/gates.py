"""Functions of one pre-activation that the gated families average."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from echoic.theory.gaussian import Rule, expectation, pair_expectation
from echoic.theory.mean_field.family import Gate, Gram, Scalar

Function = Callable[[Array], Array]


def keep(e: Array) -> Array:
    """The sigmoid."""
    return jax.nn.sigmoid(e)


def drop(e: Array) -> Array:
    """One minus the sigmoid, without cancellation."""
    return jax.nn.sigmoid(-e)


def keep_slope(e: Array) -> Array:
    """The derivative of the sigmoid."""
    return jax.nn.sigmoid(e) * jax.nn.sigmoid(-e)


def squash(e: Array) -> Array:
    """The hyperbolic tangent."""
    return jnp.tanh(e)


def squash_slope(e: Array) -> Array:
    """The derivative of tanh, without overflow."""
    return 1 - jnp.tanh(e) ** 2


@functools.cache
def product(*factors: Function) -> Function:
    """The product of functions: the same object each time, so that nothing compiles twice."""

    def function(e: Array) -> Array:
        value = factors[0](e)
        for factor in factors[1:]:
            value = value * factor(e)
        return value

    return function


def moment(gate: Gate, variance: Scalar, rule: Rule, *factors: Function) -> Array:
    """``E[f(e) g(e) ...]`` at a gate of the given variance."""
    return expectation(product(*factors), gate.bias_mean, variance, rule)


def shared(gate: Gate, gram: Gram, rule: Rule, function: Function) -> Array:
    """``E[f(e_a) f(e_b)]`` at a gate of two copies."""
    return pair_expectation(function, function, gate.bias_mean, *gram, rule)


def squares(gate: Gate, gram: Gram, rule: Rule, function: Function) -> Gram:
    """``E[f(e_a) f(e_b)]`` for both copies with themselves and with one another."""
    aa, bb = (moment(gate, variance, rule, function, function) for variance in gram[:2])
    return Gram(aa, bb, shared(gate, gram, rule, function))


def refuse_mean(name: str, gate: Gate) -> None:
    """The theory follows second moments: what enters the state through tanh must be centred."""
    mean = gate.bias_mean
    concrete = isinstance(mean, jax.Array | np.ndarray) and not isinstance(mean, Tracer)
    if concrete and np.any(np.asarray(mean) != 0):
        raise ValueError(
            f"{name}.bias_mean must be 0: the state would have a mean that the theory does not"
            f" follow. Got {mean}."
        )
