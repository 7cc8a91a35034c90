"""Training: from a fresh network to a trained one, resumable and deterministic."""

from echoic.training.history import History
from echoic.training.optimiser import Optimiser
from echoic.training.run import TrainingRun, train

__all__ = ["History", "Optimiser", "TrainingRun", "train"]
