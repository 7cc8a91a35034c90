"""``echoic.train``: from a fresh network to a trained one."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import PRNGKeyArray

from echoic.core.cell import AbstractCell
from echoic.core.checks import at_least
from echoic.core.loss import TargetLoss
from echoic.core.loss import target_loss as target_loss_
from echoic.core.model import AbstractModel
from echoic.core.task import AbstractDataTask, AbstractStreamTask, Batch
from echoic.training import config as config_
from echoic.training.diagnostics import Diagnostics, refuse_what_is_no_cell
from echoic.training.ensemble import Engine, make_groups, mode_of
from echoic.training.events import Finished, Observer, Started
from echoic.training.folder import RunFolder
from echoic.training.held_back import judges_of, parts_of
from echoic.training.history import History
from echoic.training.loop import Recipe
from echoic.training.members import Build, build_models, take_apart
from echoic.training.optimiser import as_rules, without_numbers
from echoic.training.result import TrainingRun
from echoic.training.session import Rules, Session
from echoic.training.stream import AbstractSource, source_of
from echoic.training.validity import (
    refuse_bad_batch,
    refuse_numbers_for_an_embedding,
    refuse_other_sizes,
    refuse_what_carries_no_state,
)


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
    at_least("validation_size", validation_size, 1)
    numbers = _seeds(seeds)
    rules = as_rules(optimiser, len(numbers))
    plan = Rules(
        at_least("steps", steps, 1),
        max(steps // 100, min(steps, 20)) if every is None else at_least("every", every, 1),
        None if patience is None else at_least("patience", patience, 1),
        target_loss,
        diagnostics,
        checkpoint_seconds,
    )
    if target_loss is not None and math.isnan(target_loss):
        raise ValueError("target_loss must be a number, got NaN.")
    if not checkpoint_seconds >= 0:
        raise ValueError(f"checkpoint_seconds must be at least 0, got {checkpoint_seconds!r}.")
    if resume and folder is None:
        raise ValueError("resume=True needs the folder of the run.")
    place = None
    if folder is not None:
        place = RunFolder(pathlib.Path(folder), numbers, keep=at_least("keep", keep, 1))

    if not hasattr(key, "dtype"):
        raise ValueError(f"key must be a random key, such as jax.random.key(0), got {key!r}.")
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jr.wrap_key_data(key)
    keys = _keys(key, numbers)
    source = source_of(task, batch, keys.example)
    parts = parts_of(
        task, source, validation_size, validation_key=keys.validation, test_key=keys.test
    )
    models = build_models(model, task.output_size, keys.build)
    kind = _loss_of(task, loss, parts["validation"])
    _refuse_what_does_not_fit(models[0], task, source, parts, kind)
    refuse_what_is_no_cell(models[0], diagnostics)

    static, weights, constants = take_apart(models, rules, steps, keys.data, keys.dropout)
    recipe = Recipe(static, kind, without_numbers(rules[0]))
    mode = mode_of(together, len(numbers))
    engine = Engine(recipe, source, make_groups(recipe, source, weights, constants, mode), steps)
    config = {
        "version": config_.VERSION,
        "steps": steps,
        "batch": batch,
        "every": plan.every,
        "validation_size": validation_size,
        "patience": patience,
        "target_loss": target_loss,
        "seeds": list(numbers),
        "mode": mode,
        "loss": config_.describe_loss(kind),
        "key": config_.describe_key(key),
        "optimiser": config_.describe_rules(rules, weights[0]),
        "diagnostics": None if diagnostics is None else dataclasses.asdict(diagnostics),
        "task": config_.describe_task(task, compared=place is not None),
        "model": config_.describe_models(models),
        "chance": float(getattr(task, "chance", math.nan)),
        "versions": config_.versions(),
    }
    judges = judges_of(source, parts)
    session = Session(
        engine, judges, parts["validation"], plan, tuple(observers), place, keys.diagnostics
    )
    if place is not None:
        place.begin(config, resume=resume)
    if resume:
        session.resume()
    session.tell(Started(session.step, steps, len(numbers), config))
    session.run()
    return _result(session, models, config)


class _Keys(NamedTuple):
    """One key for each use; the last three are lists, one for each member."""

    validation: PRNGKeyArray
    test: PRNGKeyArray
    example: PRNGKeyArray
    diagnostics: PRNGKeyArray
    build: list[PRNGKeyArray]
    data: list[PRNGKeyArray]
    dropout: list[PRNGKeyArray]


def _keys(key: PRNGKeyArray, numbers: tuple[int, ...]) -> _Keys:
    members, *shared = jr.split(key, 5)
    by_member = [jr.split(jr.fold_in(members, number), 3) for number in numbers]
    return _Keys(*shared, *map(list, zip(*by_member, strict=True)))


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, int):
        return tuple(range(at_least("seeds", seeds, 1)))
    numbers = tuple(at_least("seeds", seed, 0, 2**32 - 1) for seed in seeds)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"seeds must be one or more numbers, all different, got {seeds!r}.")
    return numbers


def _loss_of(task: Any, loss: Any, validation: Batch) -> Any:
    named = getattr(task, "loss", None) if loss is None else loss
    if named is None:
        classes = jnp.issubdtype(validation.targets.dtype, jnp.integer)
        return "cross_entropy" if classes else "mean_squared_error"
    target_loss_(named)
    return named


def _refuse_what_does_not_fit(
    model: AbstractModel, task: Any, source: AbstractSource, parts: dict[str, Batch], loss: Any
) -> None:
    refuse_other_sizes(model, task)
    refuse_numbers_for_an_embedding(model, parts["validation"])
    refuse_what_carries_no_state(model, source)
    if isinstance(task, AbstractStreamTask):
        parts = {"training": task.segment(0, source.size)} | parts
    elif isinstance(task, AbstractDataTask):
        parts = {"training": task.train} | parts
    for name, data in parts.items():
        refuse_bad_batch(f"{name} data", data, task, loss)


def _result(
    session: Session, models: Sequence[AbstractModel], config: dict[str, Any]
) -> TrainingRun:
    engine = session.engine
    best_loss, best_step = engine.best
    test_loss, test_accuracy = engine.examine(session.judges.test, of_best=True)
    loss, accuracy = tuple(test_loss.tolist()), tuple(test_accuracy.tolist())
    session.tell(Finished(loss, accuracy, session.seconds))
    return TrainingRun(
        networks=engine.models(best=True),
        last=engine.models(best=False),
        initial=tuple(models),
        history=History.of(session.rows),
        outcomes=tuple(session.outcomes[member] for member in range(engine.num_members)),
        best_loss=best_loss,
        best_step=best_step,
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        chance=config["chance"],
        config=config,
        folder=None if session.folder is None else session.folder.path,
    )
