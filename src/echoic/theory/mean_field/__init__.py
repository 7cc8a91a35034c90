"""Signals in wide random networks: lengths, cosines, timescales and gains."""

from echoic.theory.mean_field.critical_gates import (
    Chosen,
    CriticalGRU,
    CriticalLSTM,
    critical_gru,
    critical_lstm,
)
from echoic.theory.mean_field.family import AbstractFamily, Gate, Gram
from echoic.theory.mean_field.fixed_points import (
    FixedPoint,
    LengthFixedPoints,
    fixed_point,
    length_fixed_points,
    timescale,
)
from echoic.theory.mean_field.gru import ResetBeforeGRU
from echoic.theory.mean_field.gru_reset_after import GRU
from echoic.theory.mean_field.jacobian import (
    JacobianMoments,
    isometry_slope,
    jacobian_moments,
)
from echoic.theory.mean_field.lstm import FullPeepholeLSTM
from echoic.theory.mean_field.minimal import Minimal
from echoic.theory.mean_field.phase import (
    Critical,
    critical_minimal,
    critical_vanilla,
    edge_of_chaos,
    phase_diagram,
    smallest_critical_variance,
)
from echoic.theory.mean_field.population import LSTM, LSTMPopulation, lstm_population
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
    "GRU",
    "LSTM",
    "AbstractFamily",
    "Chosen",
    "Critical",
    "CriticalGRU",
    "CriticalLSTM",
    "FixedPoint",
    "FullPeepholeLSTM",
    "Gate",
    "Gram",
    "JacobianMoments",
    "LSTMPopulation",
    "LengthFixedPoints",
    "Minimal",
    "Propagation",
    "ResetBeforeGRU",
    "Vanilla",
    "critical_gru",
    "critical_lstm",
    "critical_minimal",
    "critical_vanilla",
    "edge_of_chaos",
    "fixed_point",
    "input_grams",
    "isometry_slope",
    "jacobian_moments",
    "length_fixed_points",
    "lstm_population",
    "phase_diagram",
    "predicted_coherent_reach",
    "predicted_gradient_reach",
    "propagate",
    "reach_of",
    "smallest_critical_variance",
    "timescale",
]
