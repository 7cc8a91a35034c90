"""Initialisers: frozen records of hyperparameters, callable as ``(key, shape, dtype) -> array``.

The call is that of ``jax.nn.initializers``, so either kind goes wherever the other does. Cells call
them once per gate, never on a stacked matrix.

Those whose entries follow one law say so by ``entry_moments(shape)``, which is all that a
mean-field theory needs of them.
"""

from echoic.init.dense import constant, gaussian, normal, uniform, zeros
from echoic.init.gates import chrono, forget, opposite
from echoic.init.nonnormal import chain, cycle, feedback_chain
from echoic.init.orthogonal import identity, orthogonal
from echoic.init.parameters import EntryMoments
from echoic.init.residual import (
    heterogeneous,
    heterogeneous_decay,
    heterogeneous_rotation,
    rotation,
    uniform_decay,
    weakly_coupled,
)
from echoic.init.source import source
from echoic.init.spectrum import ResidualSpectrum

__all__ = [
    "EntryMoments",
    "ResidualSpectrum",
    "chain",
    "chrono",
    "constant",
    "cycle",
    "feedback_chain",
    "forget",
    "gaussian",
    "heterogeneous",
    "heterogeneous_decay",
    "heterogeneous_rotation",
    "identity",
    "normal",
    "opposite",
    "orthogonal",
    "rotation",
    "source",
    "uniform",
    "uniform_decay",
    "weakly_coupled",
    "zeros",
]
