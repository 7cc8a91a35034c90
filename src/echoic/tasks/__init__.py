"""What networks are trained on: generators and data sets, each with its chance level."""

from echoic.core.task import AbstractDataTask, AbstractStreamTask, AbstractTask, Batch
from echoic.tasks.adding import Adding
from echoic.tasks.copying import Copy
from echoic.tasks.forecasting import Forecasting
from echoic.tasks.images import image_set
from echoic.tasks.noise import DigitThenNoise
from echoic.tasks.order import TemporalOrder
from echoic.tasks.own import Sequences, fixed, from_arrays
from echoic.tasks.phase import Phase
from echoic.tasks.pixels import Pixels
from echoic.tasks.recall import DelayedRecall, NBack
from echoic.tasks.series import SystemIdentification
from echoic.tasks.sine import Sine, SineGrid
from echoic.tasks.speech import SpokenDigits
from echoic.tasks.table import TASKS, build, options
from echoic.tasks.text import Text
from echoic.tasks.vocabulary import Vocabulary

__all__ = [
    "TASKS",
    "AbstractDataTask",
    "AbstractStreamTask",
    "AbstractTask",
    "Adding",
    "Batch",
    "Copy",
    "DelayedRecall",
    "DigitThenNoise",
    "Forecasting",
    "NBack",
    "Phase",
    "Pixels",
    "Sequences",
    "Sine",
    "SineGrid",
    "SpokenDigits",
    "SystemIdentification",
    "TemporalOrder",
    "Text",
    "Vocabulary",
    "build",
    "fixed",
    "from_arrays",
    "image_set",
    "options",
]
