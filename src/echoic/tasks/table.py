"""Tasks by name, built from plain values: for command lines and configuration files."""

import inspect
from collections.abc import Callable
from typing import Any

from echoic.core.checks import one_of
from echoic.core.task import AbstractTask
from echoic.tasks.adding import Adding
from echoic.tasks.copying import Copy
from echoic.tasks.forecasting import Forecasting
from echoic.tasks.noise import DigitThenNoise
from echoic.tasks.order import TemporalOrder
from echoic.tasks.phase import Phase
from echoic.tasks.pixels import Pixels
from echoic.tasks.recall import DelayedRecall, NBack
from echoic.tasks.series import SystemIdentification
from echoic.tasks.sine import Sine, SineGrid
from echoic.tasks.speech import SpokenDigits
from echoic.tasks.text import Text

TASKS: dict[str, Callable[..., AbstractTask]] = {
    "copy": Copy,
    "adding": Adding,
    "temporal_order": TemporalOrder,
    "delayed_recall": DelayedRecall,
    "n_back": NBack,
    "sine": Sine,
    "sine_grid": SineGrid,
    "phase": Phase,
    "digit_then_noise": DigitThenNoise,
    "pixels": Pixels,
    "spoken_digits": SpokenDigits,
    "text": Text,
    "system_identification": SystemIdentification,
    "forecasting": Forecasting,
}


def options(name: str) -> dict[str, Any]:
    """The options of a task and their defaults.

    **Raises** ValueError for an unknown name; the message tells the nearest one.

    **Example**
    >>> options("delayed_recall")
    {'delay': 50, 'noise': 0.1}
    """
    task = TASKS[one_of("task", name, TASKS)]
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(task).parameters.values()
    }


def build(name: str, **chosen: Any) -> AbstractTask:
    """A task by its name.

    **Arguments**

    - ``name``: a key of ``TASKS``.
    - ``chosen``: options of that task, plain values; those left out keep their defaults.

    **Raises** ValueError for an unknown name or option, which tells the nearest one, and for values
    that the task refuses.

    **Example**
    >>> build("copy", total_length=80).delay
    60
    >>> build("copy", dealy=60)
    Traceback (most recent call last):
      ...
    ValueError: unknown option of copy 'dealy'. Did you mean 'delay'? Valid: delay, ...
    """
    known = options(name)
    for option in chosen:
        one_of(f"option of {name}", option, known)
    return TASKS[name](**chosen)
