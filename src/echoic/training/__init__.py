"""Training: from a fresh network to a trained one, resumable and deterministic."""

from echoic.training.checkpoint import CheckpointWarning
from echoic.training.diagnostics import Diagnostics
from echoic.training.history import History
from echoic.training.optimiser import Optimiser
from echoic.training.run import TrainingRun, train
from echoic.training.session import Outcome, TrainingWarning

__all__ = [
    "CheckpointWarning",
    "Diagnostics",
    "History",
    "Optimiser",
    "Outcome",
    "TrainingRun",
    "TrainingWarning",
    "train",
]
