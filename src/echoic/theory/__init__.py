"""Predictions: functions of hyperparameters and of the input's statistics only."""

from echoic.theory.delay_line import (
    chain_fisher_memory,
    chain_gradient_reach,
    chain_recall,
    chain_total_fisher_memory,
    delay_line_fisher_memory,
    dynamical_bound,
    fan_out_total,
    feedback_chain_eigenvalues,
    feedback_chain_fisher_memory,
    recall_bound,
)
from echoic.theory.linear_kernel import (
    depth_limit,
    impulse_response_variance,
    lag_weights,
    learning_speed,
    learning_time,
    peak_lag,
)
from echoic.theory.linear_kernel_convolution import ScaledConvolution, wide_kernel
from echoic.theory.linear_kernel_training import (
    TransitionChoice,
    choose_transition_variance,
    largest_learning_rate,
    layer_learning_rates,
    minimum_norm_response,
    parametrisation_warnings,
)
from echoic.theory.residual import (
    coupling_ratio,
    coupling_strength,
    exponent_bounds,
    gain_bounds,
    memory_time_constants,
    predicted_exponents,
)
from echoic.theory.spectrum import (
    ExponentSpectrum,
    exponent_at,
    exponent_spectrum,
    mean_exponent,
    preactivation_variance,
)

__all__ = [
    "ExponentSpectrum",
    "ScaledConvolution",
    "TransitionChoice",
    "chain_fisher_memory",
    "chain_gradient_reach",
    "chain_recall",
    "chain_total_fisher_memory",
    "choose_transition_variance",
    "coupling_ratio",
    "coupling_strength",
    "delay_line_fisher_memory",
    "depth_limit",
    "dynamical_bound",
    "exponent_at",
    "exponent_bounds",
    "exponent_spectrum",
    "fan_out_total",
    "feedback_chain_eigenvalues",
    "feedback_chain_fisher_memory",
    "gain_bounds",
    "impulse_response_variance",
    "lag_weights",
    "largest_learning_rate",
    "layer_learning_rates",
    "learning_speed",
    "learning_time",
    "mean_exponent",
    "memory_time_constants",
    "minimum_norm_response",
    "parametrisation_warnings",
    "peak_lag",
    "preactivation_variance",
    "predicted_exponents",
    "recall_bound",
    "wide_kernel",
]
