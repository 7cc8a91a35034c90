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
from .cells.trainable import trainable_filter
from .core.cell import AbstractCell, PointwiseCell
from .core.estimate import Estimate, Status, UntrustedError
from .core.horizon import Thresholds
from .core.rollout import Rollout, rollout
from .diagnosis.checkup import checkup
from .diagnosis.compare import compare
from .diagnosis.report import Report
from .measure.fisher import fisher_memory
from .measure.jacobian import jacobian_singular_values
from .measure.lyapunov import lyapunov_spectrum
from .measure.reach import coherent_reach, gradient_reach, input_reach
from .measure.recall import linear_recall, raw_recall
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
    "cells",
    "checkup",
    "coherent_reach",
    "compare",
    "data",
    "design",
    "diagnosis",
    "fisher_memory",
    "gradient_reach",
    "init",
    "input_reach",
    "jacobian_singular_values",
    "linear_recall",
    "load",
    "lyapunov_spectrum",
    "measure",
    "prediction",
    "prescription",
    "raw_recall",
    "reports",
    "rollout",
    "save",
    "testing",
    "theory",
    "trainable_filter",
]
