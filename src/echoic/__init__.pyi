from . import (
    cells,
    data,
    diagnosis,
    init,
    measure,
    prediction,
    prescription,
    reports,
    testing,
    theory,
)
from .cells.network import Network
from .cells.store import load, save
from .core.cell import AbstractCell, PointwiseCell
from .core.estimate import Estimate, Status, UntrustedError
from .core.horizon import Thresholds
from .core.rollout import Rollout, rollout
from .core.trainable import trainable_filter
from .diagnosis.checkup import checkup
from .diagnosis.compare import compare
from .diagnosis.report import Report
from .measure.basins import basin_fractions
from .measure.chain_motif import chain_motif
from .measure.cost import line_of_cells, mean_squared_cost, random_direction
from .measure.covariant import covariant_vectors
from .measure.effective_radius import effective_spectral_radius
from .measure.fisher import fisher_memory
from .measure.fisher_bound import fisher_bound
from .measure.fisher_spatial import fisher_capacity
from .measure.fixed_points import fixed_points
from .measure.flossing import floss, flossing_penalty
from .measure.hessian import hessian_density, hessian_eigenvalues
from .measure.jacobian import jacobian_singular_values
from .measure.jacobian_sequence import lyapunov_from_jacobians
from .measure.landscape import cost_slice
from .measure.lipschitz import cost_lipschitz
from .measure.lyapunov import lyapunov_spectrum
from .measure.lyapunov_batch import (
    driven_minus_autonomous,
    finite_time_exponents,
    lyapunov_ensemble,
)
from .measure.lyapunov_blocks import join_runs, lyapunov_convergence
from .measure.lyapunov_dimension import entropy_rate, kaplan_yorke_dimension
from .measure.lyapunov_until import lyapunov_until
from .measure.noisy_recall import noisy_recall
from .measure.nonnormality import henrici_departure, nonnormality
from .measure.numerical_range import numerical_radius
from .measure.orbits import orbit_diagram
from .measure.pseudospectrum import kreiss_constant, pseudospectrum
from .measure.reach import coherent_reach, gradient_reach, input_reach
from .measure.recall import linear_recall, raw_recall
from .measure.schur import schur_profile
from .measure.sensitivity import cost_sensitivity
from .measure.transient import transient_growth
from .prescription.design import design
from .prescription.prescription import Prescription

__version__: str

__all__ = [
    "AbstractCell",
    "Estimate",
    "Network",
    "PointwiseCell",
    "Prescription",
    "Report",
    "Rollout",
    "Status",
    "Thresholds",
    "UntrustedError",
    "basin_fractions",
    "cells",
    "chain_motif",
    "checkup",
    "coherent_reach",
    "compare",
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
    "fixed_points",
    "floss",
    "flossing_penalty",
    "gradient_reach",
    "henrici_departure",
    "hessian_density",
    "hessian_eigenvalues",
    "init",
    "input_reach",
    "jacobian_singular_values",
    "join_runs",
    "kaplan_yorke_dimension",
    "kreiss_constant",
    "line_of_cells",
    "linear_recall",
    "load",
    "lyapunov_convergence",
    "lyapunov_ensemble",
    "lyapunov_from_jacobians",
    "lyapunov_spectrum",
    "lyapunov_until",
    "mean_squared_cost",
    "measure",
    "noisy_recall",
    "nonnormality",
    "numerical_radius",
    "orbit_diagram",
    "prediction",
    "prescription",
    "pseudospectrum",
    "random_direction",
    "raw_recall",
    "reports",
    "rollout",
    "save",
    "schur_profile",
    "testing",
    "theory",
    "trainable_filter",
    "transient_growth",
]
