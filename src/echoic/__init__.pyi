from . import (
    cells,
    data,
    diagnosis,
    init,
    measure,
    prediction,
    prescription,
    reports,
    tasks,
    testing,
    theory,
    training,
)
from .cells.bidirectional import Bidirectional
from .cells.network import Network
from .cells.store import load, save
from .cells.untied import Untied
from .core.cell import AbstractCell, PointwiseCell
from .core.estimate import Estimate, Status, UntrustedError
from .core.horizon import Thresholds, horizon_of
from .core.rollout import Rollout, rollout
from .core.trainable import trainable_filter
from .diagnosis.checkup import checkup
from .diagnosis.compare import compare
from .diagnosis.report import Report
from .measure.attractors.basins import basin_fractions
from .measure.attractors.fixed_points import fixed_points
from .measure.attractors.orbits import orbit_diagram
from .measure.carriers.channels import channel_reach, channel_recall
from .measure.carriers.modes import mode_time_constants
from .measure.carriers.slow_subspace import slow_subspace
from .measure.carriers.units import unit_time_constants
from .measure.carriers.visibility import readout_visibility
from .measure.costs.cost import line_of_cells, mean_squared_cost, random_direction
from .measure.costs.hessian import hessian_density, hessian_eigenvalues
from .measure.costs.landscape import cost_slice
from .measure.costs.lipschitz import cost_lipschitz
from .measure.costs.sensitivity import cost_sensitivity
from .measure.demand.ablation import context_ablation
from .measure.demand.task_gradient import task_gradient_reach
from .measure.gain.impulse_response import impulse_response, learned_response
from .measure.gain.reach import coherent_reach, gradient_reach, input_reach
from .measure.gain.singular_values import jacobian_singular_values
from .measure.information.fisher import fisher_memory
from .measure.information.fisher_bound import fisher_bound
from .measure.information.fisher_spatial import fisher_capacity, fisher_memory_matrix
from .measure.information.noisy_recall import noisy_recall
from .measure.information.recall import linear_recall, raw_recall
from .measure.kernels.linear import lag_kernel, linear_tangent_kernel
from .measure.kernels.tangent import kernel_distance, kernel_drift, tangent_kernel
from .measure.lyapunov.blocks import join_runs, lyapunov_convergence
from .measure.lyapunov.covariant import covariant_vectors
from .measure.lyapunov.dimension import entropy_rate, kaplan_yorke_dimension
from .measure.lyapunov.ensembles import (
    driven_minus_autonomous,
    finite_time_exponents,
    lyapunov_ensemble,
)
from .measure.lyapunov.flossing import floss, flossing_penalty
from .measure.lyapunov.jacobian_sequence import lyapunov_from_jacobians
from .measure.lyapunov.spectrum import lyapunov_spectrum
from .measure.lyapunov.until import lyapunov_until
from .measure.matrices.chain_motif import chain_motif
from .measure.matrices.effective_radius import effective_spectral_radius
from .measure.matrices.nonnormality import henrici_departure, nonnormality
from .measure.matrices.numerical_range import numerical_radius
from .measure.matrices.pseudospectrum import kreiss_constant, pseudospectrum
from .measure.matrices.schur import schur_profile
from .measure.matrices.transient import transient_growth
from .measure.propagation.signals import (
    jacobian_moments,
    signal_propagation,
    untied_propagation,
)
from .measure.propagation.timescale import fit_timescale
from .prescription.design import design
from .prescription.prescription import Prescription
from .training.optimiser import Optimiser
from .training.result import TrainingRun
from .training.run import train

__version__: str

__all__ = [
    "AbstractCell",
    "Bidirectional",
    "Estimate",
    "Network",
    "Optimiser",
    "PointwiseCell",
    "Prescription",
    "Report",
    "Rollout",
    "Status",
    "Thresholds",
    "TrainingRun",
    "Untied",
    "UntrustedError",
    "basin_fractions",
    "cells",
    "chain_motif",
    "channel_reach",
    "channel_recall",
    "checkup",
    "coherent_reach",
    "compare",
    "context_ablation",
    "cost_lipschitz",
    "cost_sensitivity",
    "cost_slice",
    "covariant_vectors",
    "data",
    "design",
    "diagnosis",
    "driven_minus_autonomous",
    "effective_spectral_radius",
    "entropy_rate",
    "finite_time_exponents",
    "fisher_bound",
    "fisher_capacity",
    "fisher_memory",
    "fisher_memory_matrix",
    "fit_timescale",
    "fixed_points",
    "floss",
    "flossing_penalty",
    "gradient_reach",
    "henrici_departure",
    "hessian_density",
    "hessian_eigenvalues",
    "horizon_of",
    "impulse_response",
    "init",
    "input_reach",
    "jacobian_moments",
    "jacobian_singular_values",
    "join_runs",
    "kaplan_yorke_dimension",
    "kernel_distance",
    "kernel_drift",
    "kreiss_constant",
    "lag_kernel",
    "learned_response",
    "line_of_cells",
    "linear_recall",
    "linear_tangent_kernel",
    "load",
    "lyapunov_convergence",
    "lyapunov_ensemble",
    "lyapunov_from_jacobians",
    "lyapunov_spectrum",
    "lyapunov_until",
    "mean_squared_cost",
    "measure",
    "mode_time_constants",
    "noisy_recall",
    "nonnormality",
    "numerical_radius",
    "orbit_diagram",
    "prediction",
    "prescription",
    "pseudospectrum",
    "random_direction",
    "raw_recall",
    "readout_visibility",
    "reports",
    "rollout",
    "save",
    "schur_profile",
    "signal_propagation",
    "slow_subspace",
    "tangent_kernel",
    "task_gradient_reach",
    "tasks",
    "testing",
    "theory",
    "train",
    "trainable_filter",
    "training",
    "transient_growth",
    "unit_time_constants",
    "untied_propagation",
]
