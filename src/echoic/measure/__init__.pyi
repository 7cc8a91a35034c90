from . import (
    attractors,
    carriers,
    costs,
    demand,
    gain,
    information,
    kernels,
    lyapunov,
    matrices,
    propagation,
)
from .attractors.basins import basin_fractions
from .attractors.fixed_points import fixed_points
from .attractors.orbits import orbit_diagram
from .attractors.periods import Orbit
from .attractors.stability import Stability
from .carriers.channels import channel_reach, channel_recall
from .carriers.modes import mode_time_constants
from .carriers.slow_subspace import slow_subspace
from .carriers.units import unit_time_constants
from .carriers.visibility import readout_visibility
from .costs.cost import line_of_cells, mean_squared_cost, random_direction
from .costs.hessian import hessian_density, hessian_eigenvalues
from .costs.landscape import cost_slice, filter_normalised, strict_minima
from .costs.lipschitz import cost_lipschitz
from .costs.sensitivity import cost_sensitivity, growth_rate
from .demand.ablation import context_ablation
from .demand.task_gradient import task_gradient_reach
from .gain.impulse_response import impulse_response, learned_response
from .gain.reach import coherent_reach, gradient_reach, input_reach, reach_curves
from .gain.singular_values import jacobian_singular_values
from .information.fisher import fisher_memory
from .information.fisher_bound import fisher_bound
from .information.fisher_spatial import fisher_capacity, fisher_memory_matrix
from .information.noisy_recall import noisy_recall
from .information.recall import linear_recall, raw_recall
from .kernels.linear import lag_kernel, linear_tangent_kernel
from .kernels.tangent import kernel_distance, kernel_drift, tangent_kernel
from .lyapunov.blocks import Convergence, join_runs, lyapunov_convergence
from .lyapunov.covariant import covariant_vectors
from .lyapunov.dimension import entropy_rate, kaplan_yorke_dimension
from .lyapunov.ensembles import driven_minus_autonomous, finite_time_exponents, lyapunov_ensemble
from .lyapunov.flossing import floss, flossing_penalty
from .lyapunov.jacobian_sequence import lyapunov_from_jacobians
from .lyapunov.spectrum import lyapunov_spectrum
from .lyapunov.until import lyapunov_until
from .matrices.chain_motif import chain_motif
from .matrices.effective_radius import effective_spectral_radius
from .matrices.nonnormality import henrici_departure, nonnormality
from .matrices.numerical_range import numerical_radius
from .matrices.pseudospectrum import kreiss_constant, pseudospectrum
from .matrices.schur import schur_profile
from .matrices.transient import transient_growth
from .propagation.signals import jacobian_moments, signal_propagation, untied_propagation
from .propagation.timescale import fit_timescale

__all__ = [
    "Convergence",
    "Orbit",
    "Stability",
    "attractors",
    "basin_fractions",
    "carriers",
    "chain_motif",
    "channel_reach",
    "channel_recall",
    "coherent_reach",
    "context_ablation",
    "cost_lipschitz",
    "cost_sensitivity",
    "cost_slice",
    "costs",
    "covariant_vectors",
    "demand",
    "driven_minus_autonomous",
    "effective_spectral_radius",
    "entropy_rate",
    "filter_normalised",
    "finite_time_exponents",
    "fisher_bound",
    "fisher_capacity",
    "fisher_memory",
    "fisher_memory_matrix",
    "fit_timescale",
    "fixed_points",
    "floss",
    "flossing_penalty",
    "gain",
    "gradient_reach",
    "growth_rate",
    "henrici_departure",
    "hessian_density",
    "hessian_eigenvalues",
    "impulse_response",
    "information",
    "input_reach",
    "jacobian_moments",
    "jacobian_singular_values",
    "join_runs",
    "kaplan_yorke_dimension",
    "kernel_distance",
    "kernel_drift",
    "kernels",
    "kreiss_constant",
    "lag_kernel",
    "learned_response",
    "line_of_cells",
    "linear_recall",
    "linear_tangent_kernel",
    "lyapunov",
    "lyapunov_convergence",
    "lyapunov_ensemble",
    "lyapunov_from_jacobians",
    "lyapunov_spectrum",
    "lyapunov_until",
    "matrices",
    "mean_squared_cost",
    "mode_time_constants",
    "noisy_recall",
    "nonnormality",
    "numerical_radius",
    "orbit_diagram",
    "propagation",
    "pseudospectrum",
    "random_direction",
    "raw_recall",
    "reach_curves",
    "readout_visibility",
    "schur_profile",
    "signal_propagation",
    "slow_subspace",
    "strict_minima",
    "tangent_kernel",
    "task_gradient_reach",
    "transient_growth",
    "unit_time_constants",
    "untied_propagation",
]
