"""How smooth a stated cost is: slopes, curvature, and their growth with the length of sequences.

The cost is one that any network has: the mean over its outputs is to tell the mean over the input
channels of one horizon ago, in mean squared error over a stretch of two horizons.
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from echoic.core.cell import FunctionCell
from echoic.core.finding import Drawing, Finding, Line
from echoic.diagnosis.everything.subject import Asked, Subject, doubts, number
from echoic.measure.costs.cost import line_of_cells, mean_squared_cost, random_direction
from echoic.measure.costs.hessian import hessian_density, hessian_eigenvalues
from echoic.measure.costs.landscape import cost_slice
from echoic.measure.costs.lipschitz import cost_lipschitz
from echoic.measure.costs.sensitivity import cost_sensitivity, growth_rate

QUESTION = "How smooth is the cost?"
STATED = "mean output against the mean input one horizon ago"
_MOST_STEPS = 500
_POINTS = 101
_WIDTH = 0.1  # of the length of all weights, to either side
_PRODUCTS = 40


def asked(subject: Subject) -> list[Asked]:
    """The questions, the longest to answer first."""
    bare = isinstance(subject.cell, FunctionCell)
    refusal = "a step function does not say what its weights are" if bare else ""
    if subject.cell.input_size == 0:
        refusal = refusal or "there is no input to be told"
    if not refusal and _span(subject) < subject.plan.horizon + 2:
        refusal = f"the series leaves {subject.room} steps, more than a horizon is needed"
    return [
        Asked(
            QUESTION,
            "largest curvature",
            ("hessian_eigenvalues", "mean_squared_cost"),
            lambda: _hessian(subject),
            refusal,
        ),
        Asked(
            QUESTION,
            "density of curvatures",
            ("hessian_density",),
            lambda: _density(subject),
            refusal,
        ),
        Asked(
            QUESTION,
            "growth with the length",
            ("cost_sensitivity", "growth_rate", "line_of_cells", "random_direction"),
            lambda: _growth(subject),
            refusal,
        ),
        Asked(
            QUESTION,
            "cost along a line",
            ("cost_slice", "filter_normalised", "strict_minima"),
            lambda: _slice(subject),
            refusal,
        ),
        Asked(
            QUESTION,
            "steepest slope nearby",
            ("cost_lipschitz",),
            lambda: _lipschitz(subject),
            refusal,
        ),
    ]


def _span(subject: Subject) -> int:
    """Steps of the stretch that the cost looks at."""
    return min(2 * subject.plan.horizon, subject.room, max(_MOST_STEPS, subject.plan.horizon + 50))


def _mean_output(outputs: jax.Array) -> jax.Array:
    return jnp.mean(outputs, axis=-1, keepdims=True)


def _data(subject: Subject) -> tuple[jax.Array, jax.Array, int]:
    """Inputs, targets, and the steps before the first that has one."""
    steps, lag = _span(subject), subject.plan.horizon
    xs = subject.inputs[0, subject.settle : subject.settle + steps]
    signal = jnp.mean(xs, axis=1, keepdims=True)
    return xs, jnp.concatenate([jnp.zeros((lag, 1), xs.dtype), signal[:-lag]]), lag


def _cost(subject: Subject) -> Callable[[Any], jax.Array]:
    xs, ys, lag = _data(subject)
    return mean_squared_cost(_mean_output, xs, ys, burn_in=lag)


def _about(subject: Subject) -> str:
    return f"{STATED}, over {_span(subject)} steps"


def _weights(subject: Subject) -> float:
    """The length of all weights."""
    leaves = jax.tree.leaves(eqx.filter(subject.cell, eqx.is_inexact_array))
    return math.sqrt(sum(float(jnp.sum(leaf**2)) for leaf in leaves))


def _hessian(subject: Subject) -> Finding:
    found = hessian_eigenvalues(subject.cell, _cost(subject), key=subject.key_for(50))
    largest, smallest = float(found.value[0]), float(found.details["smallest"][0])
    rate = f"gradient descent with a rate above {number(2 / largest)} is unstable"
    return Finding(
        QUESTION,
        "largest eigenvalue of the Hessian",
        ("hessian_eigenvalues", "mean_squared_cost"),
        largest,
        text=f"smallest {number(smallest)}; {rate if largest > 0 else 'nothing curves upwards'}."
        f" The cost: {_about(subject)}",
        notes=doubts(found),
    )


def _density(subject: Subject) -> Finding:
    found = hessian_density(
        subject.cell, _cost(subject), key=subject.key_for(51), products=_PRODUCTS, probes=4
    )
    return Finding(
        QUESTION,
        "trace of the Hessian",
        ("hessian_density",),
        float(found.details["trace"]),
        float(found.details["trace_error"]),
        text="the sum of all curvatures, by random probes",
        notes=doubts(found),
    )


def _growth(subject: Subject) -> Finding:
    xs, ys, _ = _data(subject)
    direction = random_direction(subject.cell, key=subject.key_for(52))
    found = cost_sensitivity(
        line_of_cells(subject.cell, direction), 0.0, xs, ys, readout=_mean_output
    )
    steps = len(xs)
    slope = np.exp(np.asarray(found.value))
    bend = np.exp(np.asarray(found.details["log_curvature"]))
    rate = float(growth_rate(found, max(1, steps // 4), steps - 1))
    lengths = np.arange(1, steps + 1)
    return Finding(
        QUESTION,
        "growth of the slope with the length",
        ("cost_sensitivity", "growth_rate", "line_of_cells", "random_direction"),
        rate,
        unit="nats per step",
        text=f"along a random direction of weights; {number(slope[-1])} after {steps} steps,"
        f" curvature {number(bend[-1])}. Near 0 the cost stays smooth however long the sequence",
        notes=doubts(found),
        drawing=Drawing(
            "Slope and curvature",
            "length of the sequence",
            "absolute value",
            (
                Line("slope", lengths, np.where(slope > 0, slope, np.nan)),
                Line("curvature", lengths, np.where(bend > 0, bend, np.nan)),
            ),
            "Derivatives of the cost along one direction of weights. A straight rise is rugged: it"
            " doubles again and again as sequences grow.",
            (False, True),
            mark=float(subject.plan.horizon),
        ),
    )


def _slice(subject: Subject) -> Finding:
    direction = random_direction(subject.cell, key=subject.key_for(53))
    at = np.linspace(-_WIDTH, _WIDTH, _POINTS)
    found = cost_slice(subject.cell, _cost(subject), direction, at=jnp.asarray(at), normalise=True)
    value = np.asarray(found.value)
    return Finding(
        QUESTION,
        "strict minima along a random line",
        ("cost_slice", "filter_normalised", "strict_minima"),
        float(found.details["minima"]),
        text=f"of {_POINTS} points within {_WIDTH:.0%} of each row's weights; the cost goes from"
        f" {number(np.nanmin(value))} to {number(np.nanmax(value))}",
        notes=doubts(found),
        drawing=Drawing(
            "The cost along a line",
            "distance, in lengths of the weights",
            "mean squared error",
            (Line("cost", at, np.where(np.isfinite(value), value, np.nan)),),
            "A random direction, each row scaled to the weights' own. A smooth bowl trains; a comb"
            " does not.",
            mark=0.0,
        ),
    )


def _lipschitz(subject: Subject) -> Finding:
    radius = 0.01 * _weights(subject)
    found = cost_lipschitz(
        subject.cell, _cost(subject), key=subject.key_for(54), radius=radius, samples=12, products=6
    )
    return Finding(
        QUESTION,
        "steepest slope nearby",
        ("cost_lipschitz",),
        float(found.value),
        text=f"at least, of 12 networks within {number(radius)} of it (1 % of its weights);"
        f" curvature {number(found.details['smoothness'])} at least",
        notes=doubts(found),
    )
