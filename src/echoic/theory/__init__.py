"""Predictions: functions of hyperparameters and of the input's statistics only."""

from echoic.theory.delay_line import (
    chain_fisher_memory,
    chain_gradient_reach,
    chain_total_fisher_memory,
    delay_line_fisher_memory,
    dynamical_bound,
    fan_out_total,
    feedback_chain_eigenvalues,
    feedback_chain_fisher_memory,
)
from echoic.theory.linear_kernel import (
    depth_limit,
    impulse_response_variance,
    lag_weights,
    learning_speed,
    learning_time,
    peak_lag,
)
from echoic.theory.residual import (
    coupling_ratio,
    coupling_strength,
    exponent_bounds,
    gain_bounds,
    memory_time_constants,
    predicted_exponents,
)

__all__ = [
    "chain_fisher_memory",
    "chain_gradient_reach",
    "chain_total_fisher_memory",
    "coupling_ratio",
    "coupling_strength",
    "delay_line_fisher_memory",
    "depth_limit",
    "dynamical_bound",
    "exponent_bounds",
    "fan_out_total",
    "feedback_chain_eigenvalues",
    "feedback_chain_fisher_memory",
    "gain_bounds",
    "impulse_response_variance",
    "lag_weights",
    "learning_speed",
    "learning_time",
    "memory_time_constants",
    "peak_lag",
    "predicted_exponents",
]
