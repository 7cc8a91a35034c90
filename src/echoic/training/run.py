"""``echoic.train``: from a fresh network to a trained one."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from echoic.core.cell import AbstractCell
from echoic.core.checks import at_least
from echoic.core.loss import TargetLoss
from echoic.core.model import AbstractModel
from echoic.core.task import Loss
from echoic.training.ensemble import Engine, Together, make_groups, mode_of
from echoic.training.held_back import Judges, judges_of
from echoic.training.history import History
from echoic.training.loop import Recipe
from echoic.training.members import Build, build_models, take_apart
from echoic.training.optimiser import Optimiser, as_rule, without_numbers
from echoic.training.stream import source_of


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """What training leaves.

    **Fields**

    - ``networks``: of each member that with the lowest validation loss; ``last``: that after the
      last update.
    - ``history``: the table of losses; ``status``: how each member ended, in a sentence.
    - ``best_step``, ``best_loss``: when the validation loss was lowest, and what it was.
    - ``test_loss``, ``test_accuracy``: of ``networks``, on sequences that had no say in anything.
    - ``chance``: the loss of knowing nothing, NaN where the task does not tell.
    """

    networks: tuple[AbstractModel, ...]
    last: tuple[AbstractModel, ...]
    history: History
    status: tuple[str, ...]
    best_step: np.ndarray
    best_loss: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    chance: float

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
    optimiser: Optimiser | str | optax.GradientTransformation = "adam",
    seeds: int | Sequence[int] = 1,
    every: int | None = None,
    validation_size: int = 256,
    loss: Loss | TargetLoss | None = None,
    together: Together = "auto",
) -> TrainingRun:
    """Train networks on a task.

    **Arguments**
    - `model`: a cell, to which a default readout is added; a network; a function ``key -> cell or
      network``, for several seeds; or a list of networks, one for each seed.
    - `task`: one of ``echoic.tasks``, or an object with ``input_size``, ``output_size`` and
      ``sample(key, batch)`` that returns inputs and targets.
    - `steps`, `batch`: how many updates, of how many sequences each.
    - `optimiser`: an [`Optimiser`][echoic.training.Optimiser], the name of one, or a transformation
      of optax.
    - `seeds`: how many members, or which: member s has the same weights and batches whoever
      trains beside it.
    - `every`: the updates between two lines of the history, each with an examination on validation
      sequences; by default a hundredth of `steps`, but at least 20.
    - `validation_size`: how many sequences are held back where the task has no such part.
    - `loss`: where the task does not name it: by default ``"cross_entropy"`` for integer targets.

    **Raises** ValueError for what does not fit together.

    **Example**
    >>> import jax, jax.numpy as jnp, echoic
    >>> class Mean:  # a task of one's own
    ...     input_size, output_size = 1, 1
    ...     def sample(self, key, batch):
    ...         xs = jax.random.normal(key, (batch, 5, 1))
    ...         return xs, xs.mean(1)
    >>> run = train(lambda key: echoic.cells.Elman(1, 8, key=key), Mean(), steps=100, batch=16,
    ...             key=jax.random.key(0), optimiser=Optimiser(learning_rate=0.01))
    >>> bool(run.test_loss[0] < 0.05), run.network.hidden_size
    (True, 8)
    """
    at_least("steps", steps, 1)
    every = max(steps // 100, min(steps, 20)) if every is None else at_least("every", every, 1)
    rule = as_rule(optimiser)
    keys = _keys(key)
    seeds = range(at_least("seeds", seeds, 1)) if isinstance(seeds, int) else tuple(seeds)
    by_member = [jr.split(jr.fold_in(keys["members"], seed), 3) for seed in seeds]
    build_keys, data_keys, dropout_keys = zip(*by_member, strict=True)
    models = build_models(model, task.output_size, build_keys)
    source = source_of(task, batch, keys["example"])
    judges = judges_of(
        task, source, validation_size, validation_key=keys["validation"], test_key=keys["test"]
    )
    static, weights, constants = take_apart(models, [rule] * len(models), data_keys, dropout_keys)
    recipe = Recipe(static, _loss_of(task, loss, judges), without_numbers(rule), steps)
    groups = make_groups(recipe, source, weights, constants, mode_of(together, len(models)))
    engine = Engine(recipe, source, groups)
    rows = []
    started = time.perf_counter()
    for boundary in [*range(every, steps, every), steps]:
        engine.advance(boundary, lambda: None)
        rows += _examine(engine, judges, boundary, time.perf_counter() - started)
    return _result(engine, constants, judges, task, rows)


def _keys(key: PRNGKeyArray) -> dict[str, PRNGKeyArray]:
    names = ("members", "validation", "test", "example")
    return dict(zip(names, jr.split(key, len(names)), strict=True))


def _loss_of(task: Any, loss: Any, judges: Judges) -> Loss | TargetLoss:
    if loss is not None:
        return loss
    named = getattr(task, "loss", None)
    if named is not None:
        return named
    targets = judges.validation.batches.targets
    return "cross_entropy" if jnp.issubdtype(targets.dtype, jnp.integer) else "mean_squared_error"


def _examine(engine: Engine, judges: Judges, step: int, seconds: float) -> list[dict[str, Any]]:
    loss, accuracy = engine.examine(judges.validation)
    sums = engine.take_sums()
    return [
        {
            "step": step,
            "member": member,
            "train_loss": sums.loss[member] / max(1, sums.updates[member]),
            "validation_loss": loss[member],
            "accuracy": accuracy[member],
            "gradient_norm": sums.norm[member] / max(1, sums.updates[member]),
            "largest_gradient_norm": sums.largest_norm[member],
            "seconds": seconds,
        }
        for member in range(engine.num_members)
    ]


def _result(engine: Engine, constants, judges: Judges, task: Any, rows: list) -> TrainingRun:
    def networks(best: bool) -> tuple[AbstractModel, ...]:
        weights = engine.weights(best=best)
        return tuple(map(engine.recipe.model, weights, constants))

    test_loss, test_accuracy = engine.examine(judges.test, of_best=True)
    return TrainingRun(
        networks(best=True),
        networks(best=False),
        History.of(rows),
        ("finished",) * engine.num_members,
        np.zeros(0),
        np.zeros(0),
        test_loss,
        test_accuracy,
        float(getattr(task, "chance", np.nan)),
    )
