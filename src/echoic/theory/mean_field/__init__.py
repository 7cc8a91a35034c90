"""Signals in wide random networks: lengths, cosines, timescales and gains."""

from echoic.theory.mean_field.family import AbstractFamily, Gate, Gram
from echoic.theory.mean_field.fixed_points import (
    FixedPoint,
    LengthFixedPoints,
    fixed_point,
    length_fixed_points,
    timescale,
)
from echoic.theory.mean_field.minimal import Minimal
from echoic.theory.mean_field.phase import (
    Critical,
    critical_minimal,
    critical_vanilla,
    edge_of_chaos,
    phase_diagram,
    smallest_critical_variance,
)
from echoic.theory.mean_field.propagation import (
    Propagation,
    input_grams,
    predicted_coherent_reach,
    predicted_gradient_reach,
    propagate,
    reach_of,
)
from echoic.theory.mean_field.vanilla import Vanilla

__all__ = [
    "AbstractFamily",
    "Critical",
    "FixedPoint",
    "Gate",
    "Gram",
    "LengthFixedPoints",
    "Minimal",
    "Propagation",
    "Vanilla",
    "critical_minimal",
    "critical_vanilla",
    "edge_of_chaos",
    "fixed_point",
    "input_grams",
    "length_fixed_points",
    "phase_diagram",
    "predicted_coherent_reach",
    "predicted_gradient_reach",
    "propagate",
    "reach_of",
    "smallest_critical_variance",
    "timescale",
]
