"""``echoic.train``: from a fresh network to a trained one."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from echoic.core.cell import AbstractCell
from echoic.core.checks import at_least
from echoic.core.loss import TargetLoss, target_loss
from echoic.core.model import AbstractModel
from echoic.core.task import AbstractStreamTask, Batch
from echoic.training import config as config_
from echoic.training.checkpoint import checkpoints_in
from echoic.training.diagnostics import Diagnostics, refuse_what_is_no_cell
from echoic.training.ensemble import Engine, make_groups, mode_of
from echoic.training.events import Finished, Observer, Started
from echoic.training.held_back import judges_of, parts_of
from echoic.training.history import History
from echoic.training.loop import Recipe
from echoic.training.members import Build, build_models, take_apart
from echoic.training.optimiser import as_rules, without_numbers
from echoic.training.session import Outcome, Rules, Session
from echoic.training.stream import source_of
from echoic.training.validity import refuse_bad_batch, refuse_other_sizes


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """What training leaves.

    **Fields**

    - ``networks``: of each member that with the lowest validation loss; ``last``: that after the
      last update; ``initial``: that before the first.
    - ``history``: the table of losses, see [`History`][echoic.training.History].
    - ``outcomes``: how each member ended: ``kind`` is ``"finished"``, ``"stopped"`` (early) or
      ``"diverged"``, ``sentence`` says why.
    - ``best_loss``, ``best_step``: the lowest validation loss, and after how many updates.
    - ``test_loss``, ``test_accuracy``: of ``networks``, on sequences that had no say in anything.
    - ``chance``: the loss of the best prediction that ignores the input; NaN where the task does
      not tell.
    - ``config``: all that the run was started with.
    - ``folder``: where it was kept, or None.
    """

    networks: tuple[AbstractModel, ...]
    last: tuple[AbstractModel, ...]
    initial: tuple[AbstractModel, ...]
    history: History
    outcomes: tuple[Outcome, ...]
    best_loss: Float[np.ndarray, "s"]
    best_step: Int[np.ndarray, "s"]
    test_loss: Float[np.ndarray, "s"]
    test_accuracy: Float[np.ndarray, "s"]
    chance: float
    config: dict[str, Any]
    folder: pathlib.Path | None

    @property
    def network(self) -> AbstractModel:
        """The best of the first member."""
        return self.networks[0]


def train(
    model: AbstractCell | AbstractModel | Build | Sequence[Any],
    task: Any,
    *,
    steps: int,
    key: PRNGKeyArray,
    batch: int = 64,
    optimiser: Any = "adam",
    seeds: int | Sequence[int] = 1,
    every: int | None = None,
    validation_size: int = 256,
    patience: int | None = None,
    target_loss: float | None = None,
    loss: str | TargetLoss | None = None,
    diagnostics: Diagnostics | None = None,
    together: str = "auto",
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 60.0,
    keep: int = 2,
    observers: Sequence[Observer] = (),
) -> TrainingRun:
    """Train networks on a task.

    The network of the lowest validation loss is kept; the test sequences are looked at once, at the
    end. Everything is a function of ``key``. A member whose loss, gradient or update is not finite
    keeps its last finite weights and trains no further; the others go on.

    **Arguments**
    - `model`: a cell, to which a default readout is added; a network; a function ``key -> cell or
      network``, for several seeds; or a list of networks, one for each seed.
    - `task`: one of ``echoic.tasks``, or an object with ``input_size``, ``output_size`` and
      ``sample(key, batch)`` that returns inputs and targets, of JAX or of NumPy.
    - `steps`, `batch`: how many updates, of how many sequences each.
    - `optimiser`: an [`Optimiser`][echoic.Optimiser], the name of one, or a transformation of
      optax. A list, one for each seed, may differ in learning rate, clip and weight decay.
    - `seeds`: how many members, or which: member s has the same weights and batches whoever
      trains beside it.
    - `every`: updates between two lines of the history, each with an examination on validation
      sequences; by default a hundredth of `steps`, but at least 20.
    - `validation_size`: how many sequences are held back where the task has no such part.
    - `patience`: stop after so many updates without a better validation loss; `target_loss`: stop
      once it is so low.
    - `loss`: by default what the task names, or ``"cross_entropy"`` for integer targets and
      ``"mean_squared_error"`` for others; or one's own, see ``echoic.core.loss.target_loss``.
    - `diagnostics`: measurements on the way, see [`Diagnostics`][echoic.training.Diagnostics].
    - `together`: how several members are trained. ``"threads"``: one by one through one compiled
      program, on as many threads as there are cores, each with the bits that it would have alone;
      ``"stacked"``: all in one vectorised program, equal to rounding; ``"auto"``: the faster,
      which is the first on CPUs and the second on accelerators.
    - `folder`: where ``config.json``, ``metrics.csv``, ``checkpoints/`` and the best networks
      ``seed-0.safetensors``, ... go; `resume`: go on with the run that lies there, bit for bit,
      or begin it if none does. With a constant learning rate ``steps`` may have grown.
    - `checkpoint_seconds`: time between two checkpoints; `keep`: how many are left there.
    - `observers`: functions of an event, see ``echoic.training.events``.

    **Returns** a [`TrainingRun`][echoic.TrainingRun].

    **Raises** ValueError for what does not fit together, and for a run that was started otherwise;
    OSError where nothing can be written.

    **Misleads.** The best of many examinations on few validation sequences is a little lucky: the
    test loss is the number to quote.

    **Cost** a call of XLA's compiler, of seconds; then 3 runs of the network an update.

    **Example**
    >>> import jax, echoic
    >>> class Mean:  # a task of one's own
    ...     input_size, output_size = 1, 1
    ...     def sample(self, key, batch):
    ...         xs = jax.random.normal(key, (batch, 5, 1))
    ...         return xs, xs.mean(1)
    >>> run = echoic.train(lambda key: echoic.cells.Elman(1, 8, key=key), Mean(), steps=100,
    ...                    optimiser=echoic.Optimiser(learning_rate=0.01), key=jax.random.key(0))
    >>> bool(run.test_loss[0] < 0.05), run.outcomes[0].sentence
    (True, 'finished after 100 steps')
    """
    at_least("steps", steps, 1)
    every = max(steps // 100, min(steps, 20)) if every is None else at_least("every", every, 1)
    at_least("validation_size", validation_size, 1)
    if patience is not None:
        at_least("patience", patience, 1)
    numbers = _seeds(seeds)
    rules = as_rules(optimiser, len(numbers))
    keys = _keys(key)
    by_member = [jr.split(jr.fold_in(keys["members"], number), 3) for number in numbers]
    build_keys, data_keys, dropout_keys = zip(*by_member, strict=True)

    source = source_of(task, batch, keys["example"])
    parts = parts_of(
        task,
        source,
        validation_size,
        validation_key=keys["validation"],
        test_key=keys["test"],
    )
    models = build_models(model, task.output_size, build_keys)
    kind = _loss_of(task, loss, parts["validation"])
    refuse_other_sizes(models[0], task)
    refuse_what_is_no_cell(models[0], diagnostics)
    _refuse_bad_data(task, parts, kind, batch)

    static, weights, constants = take_apart(models, rules, steps, data_keys, dropout_keys)
    mode = mode_of(together, len(numbers))
    recipe = Recipe(static, kind, without_numbers(rules[0]))
    engine = Engine(recipe, source, make_groups(recipe, source, weights, constants, mode), steps)
    plan = Rules(steps, every, patience, target_loss, diagnostics, checkpoint_seconds, keep)
    chance = float(getattr(task, "chance", math.nan))
    config = {
        "version": config_.VERSION,
        "steps": steps,
        "batch": batch,
        "every": every,
        "validation_size": validation_size,
        "patience": patience,
        "target_loss": target_loss,
        "seeds": list(numbers),
        "mode": mode,
        "loss": kind
        if isinstance(kind, str)
        else getattr(kind, "__qualname__", type(kind).__name__),
        "key": config_.describe_key(key),
        "optimiser": config_.describe_rules(rules, weights[0]),
        "diagnostics": None if diagnostics is None else dataclasses.asdict(diagnostics),
        "task": config_.describe_task(task),
        "model": config_.describe_models(models),
        "chance": chance,
        "versions": config_.versions(),
    }
    place = None if folder is None else pathlib.Path(folder)
    session = Session(
        engine,
        constants,
        judges_of(source, parts),
        parts["validation"],
        plan,
        tuple(observers),
        place,
        numbers,
        keys["diagnostics"],
    )
    _open(session, config, resume=resume)
    session.tell(Started(session.step, steps, len(numbers), config))
    session.run()
    return _result(session, models, chance, config)


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, int):
        return tuple(range(at_least("seeds", seeds, 1)))
    numbers = tuple(at_least("seeds", seed, 0) for seed in seeds)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"seeds must be one or more numbers, all different, got {seeds!r}.")
    return numbers


def _keys(key: PRNGKeyArray) -> dict[str, PRNGKeyArray]:
    names = ("members", "validation", "test", "example", "diagnostics")
    return dict(zip(names, jr.split(key, len(names)), strict=True))


def _loss_of(task: Any, loss: Any, validation: Batch) -> Any:
    named = getattr(task, "loss", None) if loss is None else loss
    if named is None:
        classes = jnp.issubdtype(validation.targets.dtype, jnp.integer)
        return "cross_entropy" if classes else "mean_squared_error"
    target_loss(named)
    return named


def _refuse_bad_data(task: Any, parts: dict[str, Batch], loss: Any, batch: int) -> None:
    if isinstance(task, AbstractStreamTask):
        parts = {"training": task.segment(0, batch)} | parts
    elif hasattr(task, "train"):
        parts = {"training": task.train} | parts
    for name, data in parts.items():
        refuse_bad_batch(f"{name} data", data, task, loss)


def _open(session: Session, config: dict[str, Any], *, resume: bool) -> None:
    """Make the run's folder, or go on with the run that lies there."""
    folder = session.folder
    if folder is None:
        if resume:
            raise ValueError("resume=True needs the folder of the run.")
        return
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    then = config_.read_config(folder)
    if not resume and (then is not None or checkpoints_in(folder / "checkpoints")):
        raise ValueError(
            f"there is a run in {str(folder)!r} already: resume=True goes on with it, another"
            " folder begins anew."
        )
    if then is not None:
        config_.refuse_other_config(folder, then, config)
    config_.write_config(folder, config)
    if resume:
        session.resume()


def _result(
    session: Session, models: Sequence[AbstractModel], chance: float, config: dict[str, Any]
) -> TrainingRun:
    best_loss, best_step = session.engine.best
    test_loss, test_accuracy = session.engine.examine(session.judges.test, of_best=True)
    session.tell(
        Finished(tuple(test_loss.tolist()), tuple(test_accuracy.tolist()), session.seconds)
    )
    return TrainingRun(
        session.models(best=True),
        session.models(best=False),
        tuple(models),
        History.of(session.rows),
        tuple(session.outcomes[member] for member in range(session.engine.num_members)),
        best_loss,
        best_step,
        test_loss,
        test_accuracy,
        chance,
        config,
        session.folder,
    )
