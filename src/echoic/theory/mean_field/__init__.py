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
from echoic.theory.mean_field.vanilla import Vanilla

__all__ = [
    "AbstractFamily",
    "FixedPoint",
    "Gate",
    "Gram",
    "LengthFixedPoints",
    "Minimal",
    "Vanilla",
    "fixed_point",
    "length_fixed_points",
    "timescale",
]
