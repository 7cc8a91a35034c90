"""Training: from a fresh network to a trained one, resumable and deterministic."""

from echoic.training.checkpoint import CheckpointWarning
from echoic.training.diagnostics import Diagnostics
from echoic.training.folder import TrainingWarning
from echoic.training.history import History
from echoic.training.optimiser import Optimiser
from echoic.training.result import TrainingRun
from echoic.training.run import train
from echoic.training.session import Outcome

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
