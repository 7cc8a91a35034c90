"""What ``echoic train`` left in a folder, made ready to be measured."""

import pathlib
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from echoic.cli.settings import NAME, parsed_options

if TYPE_CHECKING:
    import numpy as np

# What recall and exponents are averaged over.
_STEPS, _FEWEST_ROWS = 20_000, 64


class RunFolder(NamedTuple):
    """The best network of the first seed: its file, its task's own input, and a horizon."""

    network: pathlib.Path
    inputs: "np.ndarray"
    horizon: int


def network_in(folder: pathlib.Path) -> pathlib.Path:
    """The file of the best network of the first seed.

    **Raises** ValueError where the folder is none of a training run, or none was kept yet.
    """
    files = sorted(folder.glob("seed-*.safetensors"), key=lambda file: int(file.stem[5:]))
    if files:
        return files[0]
    if not (folder / "config.json").exists():
        raise ValueError(f"{folder} is a folder, but not that of a training run.")
    raise ValueError(f"the training run in {folder} has kept no network yet: let it go on.")


def open_run(folder: pathlib.Path) -> RunFolder:
    """The network, sequences of its task that nobody trained on, and the lag that is asked.

    **Raises** ValueError where the folder does not tell the task: a run that was started in Python
    needs ``--data``.
    """
    network = network_in(folder)
    path = folder / NAME
    if not path.exists():
        raise ValueError(f"{path} is missing, so the task is not known: name the signal by --data.")
    settings = tomllib.loads(path.read_text(encoding="utf-8"))
    import jax.random as jr
    import numpy as np

    from echoic import load, tasks
    from echoic.cells.symbols import as_numbers
    from echoic.diagnosis.demands import stated_need
    from echoic.diagnosis.task_sequences import held_out

    task = tasks.build(settings["task"], **parsed_options(settings.get("set", [])))
    key = jr.key(settings.get("seed", 0))
    length = held_out(task, 1, key=key, length=1_000).inputs.shape[1]
    rows = max(_FEWEST_ROWS, _STEPS // length)
    batch = held_out(task, rows, key=key, length=1_000)
    numbers: Any = as_numbers(load(network), batch.inputs)  # pyright: ignore[reportArgumentType]
    horizon = _reported(folder) or stated_need(task) or max(1, numbers.shape[1] // 2)
    return RunFolder(network, np.asarray(numbers), min(horizon, numbers.shape[1] - 1))


def _reported(folder: pathlib.Path) -> int | None:
    """The horizon of the run's own report, so that the two can be compared."""
    from echoic import reports

    path = folder / "report.json"
    return reports.load(path).horizon if path.exists() else None
