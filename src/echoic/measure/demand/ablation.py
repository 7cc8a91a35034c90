"""How much of its context a network uses: the loss when the input at a lag is another sample's."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from echoic.core.cell import State, without_law
from echoic.core.checks import at_least, one_of
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.horizon import DEMAND_SHARE, demand_horizon
from echoic.core.loss import TargetLoss, target_loss
from echoic.core.model import AbstractModel
from echoic.core.task import Batch
from echoic.measure.demand.asked import Asked, asked, at_times, each_loss, name_of


def context_ablation(
    model: AbstractModel | Callable[[Array], Array],
    batch: Batch,
    loss: str | TargetLoss,
    *,
    lags: int | Sequence[int] | np.ndarray,
    key: PRNGKeyArray,
    mode: str = "one",
    times: int = 4,
    share: float = DEMAND_SHARE,
    state: State = None,
    throw: bool = True,
) -> Estimate:
    """How much the loss rises when the input k steps back is replaced by another sample's.

    **Definition.** ``A(k) = < L_t(x with x_{t-k} from another sequence) - L_t(x) >``, in nats for
    cross entropy. L_t is the loss of the one target at step t; the average runs over sequences and
    target times, the same ones at all lags. The other sequence is another row of the batch, at the
    same step. With ``mode="from"`` all inputs at lag k and before are replaced: what is lost if the
    context were no longer than k steps.

    **Arguments**

    - ``model``: any model, causal or not; or a function from inputs to predictions, such as the
      perfect solver of a task, ``task.solve``.
    - ``batch``: two sequences or more, of numbers or symbols.
    - ``loss``: ``"cross_entropy"``, ``"mean_squared_error"``, or one's own function
      ``loss(predictions, targets)`` that gives one loss for each target.
    - ``lags``: the largest one, or all that are wanted, ascending; targets before the largest are
      not looked at.
    - ``key``: chooses target times and the sequences to take from.
    - ``mode``: ``"one"`` or ``"from"``.
    - ``times``: how many target times of each sequence, drawn by the batch's weights and spread
      evenly.
    - ``share``: see ``horizon`` below.
    - ``state``: the state before the first input, each leaf with a leading b.
    - ``throw``: raise when a loss is not finite.

    **Returns** an `Estimate` over the lags. The standard error is that of the paired differences,
    over sequences. Details: ``lag``; ``horizon`` (the last lag at which the rise less two standard
    errors stands at or above ``share`` of the largest rise, -1 if none does); ``loss``, what it is
    with all inputs in place.

    **Raises** ValueError where shapes do not fit, or no target lies so late; UntrustedError, see
    ``throw``.

    **Misleads.** It tells what the network *uses*, which is what the task needs only once the
    network has learned it, and no more than that. What can be told from other inputs is not missed:
    in a text a replaced letter is often guessed from its neighbours, so ``"from"`` rises
    earlier than the sum of ``"one"``. A sample from elsewhere makes the input unlikely, which alone
    can cost. The one replaced in its place may be the same symbol: the rise is then 0.
    A few lags in a hundred rise above two standard errors by chance: see that they are small
    beside ``share``.

    **Cost.** One run of the batch for every lag and each of the ``times``.

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
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}.")
    wanted = _lags(lags)
    chosen = asked(batch, earliest=int(wanted[-1]), times=times, state=state, key=key)
    rows = chosen.inputs.shape[0]
    if rows < 2:
        raise ValueError("inputs are replaced by another sample's: give two sequences or more.")
    if state is not None and not isinstance(model, AbstractModel):
        raise ValueError("a function from inputs to predictions takes no state.")
    own, others = target_loss(loss), _others(jr.fold_in(key, 1), rows, chosen.times.shape[1])
    # A lag beyond the first step replaces nothing. It goes the same way as the others: two compiled
    # programs would differ by rounding, which is no rise.
    every = jnp.asarray([*wanted, chosen.inputs.shape[1]], jnp.int32)
    before = jnp.asarray(mode == "from")
    losses = np.asarray(_losses(without_law(model), own, chosen, others, every, before))
    intact = losses[-1:]
    paired = (losses[:-1] - intact).mean(2)
    value, error = paired.mean(1), paired.std(1, ddof=1) / rows**0.5
    horizon = demand_horizon(wanted, value, error, share)
    flags = Status.OK if horizon is not None else Status.NOT_FINITE
    if horizon is not None and horizon.last < 0:
        flags = Status.BELOW_NOISE
    settings = Settings(
        mode=mode,
        sequences=rows,
        times=chosen.times.shape[1],
        share=share,
        loss=name_of(loss),
    )
    details = {
        "lag": jnp.asarray(wanted),
        "horizon": jnp.asarray(-1 if horizon is None else horizon.last),
        "loss": jnp.asarray(intact.mean()),
    }
    estimate = Estimate(value, error, flags, settings, details)
    return estimate.throw(*((Status.NOT_FINITE,) if throw else ()))


def _lags(lags: Any) -> Int[np.ndarray, "k"]:
    if np.ndim(lags) == 0:
        return np.arange(at_least("lags", lags, 1) + 1, dtype=np.int32)
    found = np.asarray(lags)
    if found.ndim != 1 or not found.size or found.dtype.kind != "i":
        raise ValueError(f"lags must be whole numbers from 0 on, got {lags!r}.")
    if found[0] < 0 or (np.diff(found) <= 0).any():
        raise ValueError(f"lags must ascend from 0 or later, got {found.tolist()}.")
    return found.astype(np.int32)


def _others(key: PRNGKeyArray, rows: int, times: int) -> Int[Array, "b j"]:
    """For each sequence and target another sequence, never itself: neighbours on a random ring."""
    ring = np.asarray(jr.permutation(key, rows))
    away = 1 + np.arange(times) % (rows - 1)
    return jnp.asarray(ring[(np.argsort(ring)[:, None] + away) % rows], jnp.int32)


@eqx.filter_jit
def _losses(
    network, loss: TargetLoss, chosen: Asked, others, lags, before: Bool[Array, ""]
) -> Float[Array, "k b j"]:
    """The loss of every target with its context replaced at each of the lags."""
    steps = jnp.arange(chosen.inputs.shape[1], dtype=jnp.int32)

    def one(item):
        lag, j = item
        times, targets = chosen.times[:, j], chosen.targets[:, j]
        place = (times - lag)[:, None]
        hit = (steps[None] == place) | (before & (steps[None] < place))
        hit = hit.reshape(hit.shape + (1,) * (chosen.inputs.ndim - 2))
        changed = jnp.where(hit, chosen.inputs[others[:, j]], chosen.inputs)
        predictions = _predictions(network, chosen, changed, times[:, None])
        return each_loss(loss, predictions, targets[:, None])[:, 0]

    count = chosen.times.shape[1]
    pairs = jnp.repeat(lags, count), jnp.tile(jnp.arange(count, dtype=jnp.int32), lags.size)
    losses = jax.lax.map(one, pairs)
    return jnp.swapaxes(losses.reshape(lags.size, count, -1), 1, 2)


def _predictions(
    network, chosen: Asked, inputs: Array, times: Int[Array, "b j"]
) -> Float[Array, "b j p"]:
    """What is predicted at the target times."""
    if isinstance(network, AbstractModel):
        ran = network.run(inputs, state=chosen.state, last=chosen.last).trajectory
        return network.predict(ran[:, None] if chosen.last else at_times(ran, times))
    predicted = network(inputs)
    return predicted[:, None] if chosen.last else at_times(predicted, times)
