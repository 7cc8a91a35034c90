"""Observers that pass the history on to TensorBoard or Weights & Biases as it grows."""

import importlib
import math
import os
import pathlib
from typing import Any

from echoic.core.checks import one_of
from echoic.training.events import Event, Examined, Finished, Observer, Started

NAMES = ("tensorboard", "wandb")


def by_name(name: str, folder: str | os.PathLike[str]) -> Observer:
    """The tracker of this name, keeping what it writes in the folder of the run."""
    one_of("tracker", name, NAMES)
    if name == "tensorboard":
        return tensorboard(folder)
    return wandb(dir=str(folder), name=pathlib.Path(folder).name)


def tensorboard(folder: str | os.PathLike[str]) -> Observer:
    """Write the history for TensorBoard, one tag for each member and column.

    **Arguments**
    - `folder`: of the run; the files go to ``tensorboard/`` in it.

    **Raises** ImportError without the extra ``echoic[track]``.
    """
    Writer = _required("tensorboard.summary").Writer
    writer = Writer(os.fspath(pathlib.Path(folder) / "tensorboard"))

    def observe(event: Event) -> None:
        if isinstance(event, Examined):
            for tag, value in _by_tag(event).items():
                writer.add_scalar(tag, value, event.step)
            writer.flush()
        elif isinstance(event, Finished):
            for member, loss in enumerate(event.test_loss):
                writer.add_scalar(f"member {member}/test_loss", loss, 0)
            writer.close()

    return observe


def wandb(**options: Any) -> Observer:
    """Send the history to Weights & Biases; a run that is resumed begins a new one there.

    **Arguments**
    - `options`: of ``wandb.init``, such as ``project`` or ``mode="offline"``.

    **Raises** ImportError without the extra ``echoic[track]``.
    """
    module = _required("wandb")
    runs: list[Any] = []

    def observe(event: Event) -> None:
        if isinstance(event, Started):
            runs.append(module.init(**({"config": event.config} | options)))
        elif isinstance(event, Examined):
            runs[-1].log(_by_tag(event), step=event.step)
        elif isinstance(event, Finished):
            for member, loss in enumerate(event.test_loss):
                runs[-1].summary[f"member {member}/test_loss"] = loss
            runs[-1].finish()

    return observe


def _required(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        raise ImportError(
            f"{name} is not installed: pip install 'echoic[track]', or train without it."
        ) from error


def _by_tag(event: Examined) -> dict[str, float]:
    """The numbers of an examination; what was not taken is left out."""
    return {
        f"member {row['member']}/{column}": float(value)
        for row in event.rows
        for column, value in row.items()
        if column not in ("step", "member") and not math.isnan(value)
    }
