"""How much of its context a network uses: the loss when the input at a lag is another sample's."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.cell import State, without_law
from echoic.core.checks import at_least, bytes_of, is_traced, one_of, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.horizon import DEMAND_SHARE, demand_horizon
from echoic.core.loss import TargetLoss, at_last_step, target_loss
from echoic.core.model import AbstractModel
from echoic.core.task import Batch
from echoic.measure.demand.asked import checked, each_loss, name_of

# What the predictions of some steps may take at once.
_READOUT_BYTES = 32e6


def context_ablation(
    model: AbstractModel | Callable[[Array], Array],
    batch: Batch,
    loss: str | TargetLoss,
    *,
    lags: int | Sequence[int] | np.ndarray,
    key: PRNGKeyArray,
    mode: str = "one",
    positions: int = 64,
    share: float = DEMAND_SHARE,
    state: State = None,
    throw: bool = True,
) -> Estimate:
    """How much the loss rises when the input k steps back is replaced by another sample's.

    **Definition.** ``A(k) = < L_t(x with x_{t-k} from another sequence) - L_t(x) >``, in nats for
    cross entropy. L_t is the loss of the one target at step t; the average runs over sequences and
    targets, by the batch's weights, all of them with the largest lag or more before them. The other
    sequence is another row of the batch, at the same step. With ``mode="from"`` all inputs at lag k
    and before are replaced: what is lost if the context were no longer than k steps.

    **Arguments**

    - ``model``: any model, causal or not; or a function from inputs to predictions, such as the
      perfect solver of a task, ``task.solve``.
    - ``batch``: two sequences or more, of numbers or symbols.
    - ``loss``: ``"cross_entropy"``, ``"mean_squared_error"``, or one's own function
      ``loss(predictions, targets)`` that gives one loss for each target.
    - ``lags``: the largest one, or all that are wanted, ascending; targets before the largest are
      not looked at.
    - ``key``: chooses steps to replace, and the sequences to take from.
    - ``mode``: ``"one"`` or ``"from"``.
    - ``positions``: at how many steps inputs are replaced, at random; each serves all targets that
      follow it. More than that where a lag would be left without a target.
    - ``share``: see ``horizon`` below.
    - ``state``: the state before the first input, each leaf with a leading b.
    - ``throw``: raise when a loss is not finite.

    **Returns** an `Estimate` over the lags. The standard error is that of the paired differences,
    over sequences, each of which is asked and taken from. Details: ``lag``; ``loss``, what it is
    with all inputs in place; ``horizon``: the last lag at which the rise less two standard errors
    stands at or above ``share`` of the largest rise, or of the loss itself where that is larger; -1
    if none does.

    **Raises** ValueError where shapes do not fit, or no target lies so late, and under tracing;
    MemoryError where the outputs of all sequences need more than 8 GB; UntrustedError, see
    ``throw``.

    **Misleads.** It tells what the network *uses*, which is what the task needs only once the
    network has learned it, and no more than that. What can be told from other inputs is not missed:
    in a text a replaced letter is often guessed from its neighbours, so ``"from"`` rises
    earlier than the sum of ``"one"``. A sample from elsewhere makes the input unlikely, which alone
    can cost. The one replaced in its place may be the same symbol: the rise is then 0.
    A few lags in a hundred rise above two standard errors by chance: see that they are small
    beside ``share``.

    **Cost.** A run of the batch for each of the ``positions``, whatever the number of lags; where
    the batch asks for its last step, one for every lag.

    **Reference.** Khandelwal, He, Qi & Jurafsky (2018), Sharp nearby, fuzzy far away, ACL, who
    perturb the context of trained language models.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic.core.task import Batch
    >>> recall = lambda symbols: 50 * jax.nn.one_hot(jnp.roll(symbols, 2, axis=1), 4)
    >>> symbols = jax.random.randint(jax.random.key(0), (64, 9), 0, 4)
    >>> batch = Batch(symbols, jnp.roll(symbols, 2, axis=1))
    >>> rise = context_ablation(recall, batch, "cross_entropy", lags=5, key=jax.random.key(1))
    >>> [bool(value > 30) for value in rise.value], int(rise.details["horizon"])
    ([False, False, True, False, False, False], 2)
    """
    one_of("mode", mode, ("one", "from"))
    positions = at_least("positions", positions, 1)
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}.")
    if is_traced(model, state, key):
        raise ValueError(
            "context_ablation cannot be traced (jit, vmap, grad): it compares runs on the host."
        )
    wanted = _lags(lags)
    inputs, targets, counts = checked(batch, int(wanted[-1]))
    if len(inputs) < 2:
        raise ValueError("inputs are replaced by another sample's: give two sequences or more.")
    if state is not None and not isinstance(model, AbstractModel):
        raise ValueError("a function from inputs to predictions takes no state.")
    place_key, ring_key = jr.split(key)
    places = _places(place_key, wanted, counts, positions)
    run = _Run(without_law(model), target_loss(loss), inputs, targets, state)
    _refuse_long_runs(run)
    intact, value, error = _rises(run, wanted, counts, places, mode == "from", ring_key)
    horizon = demand_horizon(wanted, value, error, intact, share)
    flags = Status.OK if horizon is not None else Status.NOT_FINITE
    if horizon is not None and horizon.last < 0:
        flags = Status.BELOW_NOISE
    settings = Settings(
        mode=mode,
        sequences=len(inputs),
        positions=len(places),
        share=share,
        loss=name_of(loss),
    )
    details = {
        "lag": jnp.asarray(wanted),
        "horizon": jnp.asarray(-1 if horizon is None else horizon.last),
        "loss": jnp.asarray(intact),
    }
    estimate = Estimate(value, error, flags, settings, details)
    return estimate.throw(*((Status.NOT_FINITE,) if throw else ()))


class _Run(eqx.Module):
    """What is run again and again, with other inputs."""

    model: Any
    loss: TargetLoss
    inputs: Array
    targets: Array
    state: State


def _refuse_long_runs(run: _Run) -> None:
    """Refuse a batch whose outputs at all steps do not fit into memory."""
    if isinstance(run.model, AbstractModel):
        last = at_last_step(run.targets)
        outputs = eqx.filter_eval_shape(run.model.run, run.inputs, state=run.state, last=last)
    else:
        outputs = eqx.filter_eval_shape(run.model, run.inputs)
    refuse_if_larger("the outputs of all sequences", bytes_of(outputs))


def _lags(lags: Any) -> Int[np.ndarray, "k"]:
    if np.ndim(lags) == 0:
        return np.arange(at_least("lags", lags, 1) + 1)
    found = np.asarray(lags)
    if found.ndim != 1 or not found.size or found.dtype.kind != "i":
        raise ValueError(f"lags must be whole numbers from 0 on, got {lags!r}.")
    if found[0] < 0 or (np.diff(found) <= 0).any():
        raise ValueError(f"lags must ascend from 0 or later, got {found.tolist()}.")
    return found


def _places(
    key: PRNGKeyArray, lags: Int[np.ndarray, "k"], counts: Float[np.ndarray, "b t"], positions: int
) -> Int[np.ndarray, "p"]:
    """The steps to replace: a random choice of those that a target lies one of the lags behind.

    Random and not evenly spaced, since targets may come with a period.
    """
    asked = np.flatnonzero(counts.any(0))
    pairs = asked[:, None] - lags[None]
    useful = np.asarray(jr.permutation(key, np.unique(pairs)))
    chosen = useful[:positions]
    for column in range(len(lags)):
        if not np.isin(pairs[:, column], chosen).any():
            # The first in the random order that serves this lag.
            chosen = np.append(chosen, useful[np.isin(useful, pairs[:, column])][0])
    return np.sort(chosen)


def _rises(
    run: _Run,
    lags: Int[np.ndarray, "k"],
    counts: Float[np.ndarray, "b t"],
    places: Int[np.ndarray, "p"],
    before: bool,
    key: PRNGKeyArray,
) -> tuple[float, Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
    """The mean loss with all in place; its rise at each lag, with the standard error."""
    rows, length = counts.shape
    ring = np.asarray(jr.permutation(key, rows))
    # Nothing is replaced at step -1. One compiled program runs all: between two there would be
    # differences of rounding, which are no rise.
    intact = _losses(run, ring, np.array(-1, np.int32), np.array(before))
    sums = _Sums(rows, len(lags))
    for i, place in enumerate(places):
        others = _others(ring, i)
        changed = _losses(run, others, np.array(place, np.int32), np.array(before))
        rise = np.broadcast_to(changed - intact, counts.shape)
        late = np.flatnonzero(place + lags < length)
        steps = (place + lags)[late]
        sums.add(late, others, rise[:, steps], counts[:, steps])
    loss = float(np.sum(counts * intact) / np.sum(counts))
    return loss, *sums.mean()


class _Sums:
    """Weighted sums of the rises by lag, of each sequence as the one asked and as the one taken.

    A sequence stands in both places, so that two rises are independent only if they share none. The
    variance of their sum is that of all pairs that share one (Fafchamps & Gubert 2007): the squared
    sums over what has a sequence in it, less the squares that are counted twice.
    """

    def __init__(self, rows: int, lags: int):
        self.total = np.zeros((2, rows, lags))
        self.weight = np.zeros((2, rows, lags))
        self.squares = np.zeros((3, lags))

    def add(self, late: np.ndarray, others: np.ndarray, rise: np.ndarray, count: np.ndarray):
        """The rises (b, late) of some lags, for sequences that took from ``others``."""
        rows = np.arange(len(others))
        part = np.where(count > 0, count * rise, 0)
        for role, who in enumerate((rows, others)):
            self.total[role, who[:, None], late] += part
            self.weight[role, who[:, None], late] += count
        both = (part**2, part * count, count**2)
        self.squares[:, late] += np.stack([one.sum(0) for one in both])

    def mean(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean rise and its standard error."""
        weight = self.weight[0].sum(0)
        value = self.total[0].sum(0) / weight
        apart = self.total - self.weight * value
        square, product, count = self.squares
        twice = square - 2 * value * product + value**2 * count
        shared = (apart.sum(0) ** 2).sum(0) - twice
        rows = apart.shape[1]
        # It is an estimate, and may fall below what the sequences alone scatter by.
        variance = np.maximum(shared, (apart[0] ** 2).sum(0)) * rows / (rows - 1)
        return value, np.sqrt(variance) / weight


def _others(ring: Int[np.ndarray, "b"], turn: int) -> Int[np.ndarray, "b"]:
    """For each sequence another one, never itself: so many further on a ring.

    Less than half round: no two take from each other, whose rises would hang together twice.
    """
    away = 1 + turn % max(1, (len(ring) - 1) // 2)
    return ring[(np.argsort(ring) + away) % len(ring)]


def _losses(run: _Run, others: np.ndarray, place: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The loss (b, t) of every step, or (b, 1), of the last one; NumPy's arrays, traced."""
    return np.asarray(_compiled_losses(run, others, place, before), float)


@eqx.filter_jit
def _compiled_losses(run: _Run, others: Any, place: Any, before: Any) -> Float[Array, "b s"]:
    """With others' inputs at step ``place``, and with ``before`` at all steps before it."""
    steps = jnp.arange(run.inputs.shape[1], dtype=jnp.int32)
    hit = (steps == place) | (before & (steps < place))
    hit = hit.reshape(1, -1, *(1,) * (run.inputs.ndim - 2))
    inputs = jnp.where(hit, run.inputs[others], run.inputs)
    last = at_last_step(run.targets)
    if not isinstance(run.model, AbstractModel):
        predicted = run.model(inputs)
        losses = each_loss(run.loss, predicted, run.targets)
        return losses[:, None] if last else losses
    outputs = run.model.run(inputs, state=run.state, last=last).trajectory
    if last:
        return each_loss(run.loss, run.model.predict(outputs), run.targets)[:, None]

    def at_step(item: tuple[Array, Array]) -> Array:
        return each_loss(run.loss, run.model.predict(item[0]), item[1])

    by_time = jnp.swapaxes(outputs, 0, 1), jnp.swapaxes(run.targets, 0, 1)
    one = jax.eval_shape(run.model.predict, outputs[:, 0])
    at_once = max(1, int(_READOUT_BYTES // (one.size * one.dtype.itemsize)))
    return jnp.swapaxes(jax.lax.map(at_step, by_time, batch_size=at_once), 0, 1)
