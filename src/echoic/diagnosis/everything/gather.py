"""All questions, asked and answered."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from echoic.core.cell import AbstractCell, cast, without_law
from echoic.core.finding import Finding
from echoic.core.records import NetworkRecord
from echoic.diagnosis.effort import settling_steps
from echoic.diagnosis.everything import (
    attractors,
    carriers,
    cost,
    exponents,
    information,
    learning,
    matrices,
)
from echoic.diagnosis.everything.subject import Asked, Subject
from echoic.diagnosis.examine import side_by_side
from echoic.diagnosis.plan import Plan

IN_THE_CURVES = {
    "coherent_reach": "memory curve",
    "fisher_memory": "memory curve",
    "gradient_reach": "memory curve",
    "input_reach": "memory curve",
    "jacobian_singular_values": "figure",
    "linear_recall": "memory curve",
    "raw_recall": "memory curve",
    "reach_curves": "memory curves",
}
# What one network under one signal does not answer.
NEEDS_MORE = {
    "context_ablation": "a task and its loss",
    "floss": "an optimiser: it changes the network",
    "flossing_penalty": "an optimiser: it changes the network",
    "join_runs": "several runs of the same network",
    "jacobian_moments": "a law that networks are drawn from",
    "kernel_distance": "two kernels",
    "kernel_drift": "snapshots of training",
    "lag_kernel": "the three matrices of a linear network",
    "learned_response": "the network before and after training",
    "linear_tangent_kernel": "the three matrices of a linear network",
    "lyapunov_from_jacobians": "Jacobians from elsewhere",
    "lyapunov_until": "the error that is asked for",
    "orbit_diagram": "a parameter that is varied",
    "pseudospectrum": "a grid in the complex plane; the Kreiss constant stands for it",
    "task_gradient_reach": "a task and its loss",
    "untied_propagation": "a law that networks are drawn from",
}


def findings_of(
    cell: AbstractCell,
    values: np.ndarray,
    plan: Plan,
    record: NetworkRecord,
    *,
    key: jax.Array,
    notify: Callable[[str], None] = lambda stage: None,
) -> tuple[Finding, ...]:
    """What all measures say of one network, by question; those that do not answer say why."""
    with jax.enable_x64(True):
        subject = Subject(
            without_law(cast(cell, jnp.float64)),
            jnp.asarray(values, jnp.float64),
            plan,
            settling_steps(plan.horizon, plan.max_lag, values.shape[1]),
            record,
            jax.random.fold_in(key, 0),
        )
        every = _every(subject)
        answers = side_by_side({one.label: one.answer for one in every}, notify)
    found = [finding for one in every for finding in answers[one.label]]
    order = list(dict.fromkeys(finding.question for finding in found))
    return tuple(sorted(found, key=lambda finding: order.index(finding.question)))


def _every(subject: Subject) -> list[Asked]:
    """In the order of the report; what the memory is carried by comes first."""
    parts = (carriers, exponents, matrices, information, attractors, cost, learning)
    return [one for part in parts for one in part.asked(subject)]
