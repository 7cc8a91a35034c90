"""What networks are trained on: generators and data sets, each with its chance level."""

from echoic.core.task import AbstractDataTask, AbstractStreamTask, AbstractTask, Batch
from echoic.tasks.adding import Adding
from echoic.tasks.copying import Copy
from echoic.tasks.order import TemporalOrder
from echoic.tasks.phase import Phase
from echoic.tasks.recall import DelayedRecall, NBack
from echoic.tasks.sine import Sine, SineGrid
from echoic.tasks.table import TASKS, build, options

__all__ = [
    "TASKS",
    "AbstractDataTask",
    "AbstractStreamTask",
    "AbstractTask",
    "Adding",
    "Batch",
    "Copy",
    "DelayedRecall",
    "NBack",
    "Phase",
    "Sine",
    "SineGrid",
    "TemporalOrder",
    "build",
    "options",
]
