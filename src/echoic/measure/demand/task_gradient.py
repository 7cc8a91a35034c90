"""How far back the gradient of the user's own loss reaches."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from echoic.core.blocks import cut, divisor_near, scan
from echoic.core.cell import AbstractCell, State, without_law
from echoic.core.checks import at_least, is_traced
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.loss import TargetLoss, target_loss
from echoic.core.model import AbstractModel
from echoic.core.task import Batch
from echoic.measure.demand.asked import Asked, asked, each_loss, name_of

_CLEARLY_GROWN = 1.05
# How far two ways to compute the same few steps may lie apart.
_SAME = 1e-3
_STEPS_COMPARED = 3


def task_gradient_reach(
    model: Any,
    batch: Batch,
    loss: str | TargetLoss,
    *,
    max_lag: int,
    key: PRNGKeyArray,
    times: int = 4,
    state: State = None,
    throw: bool = True,
) -> Estimate:
    """How much of the gradient of a task's own loss is left after k steps back in time.

    **Definition.** ``D(k) = sqrt(< |dL_t/dh_{t-k}|^2 >)`` over the full state h of all layers,
    relative to lag 0. L_t is the loss of the *one* target at step t, not the sum over all targets;
    the average runs over sequences and target times. Lag 0 is the state that the readout sees, so
    that D(0) is the gradient of readout and loss alone.

    **Arguments**

    - ``model``: a network with a readout that is a cell as well, such as
      [`Network`][echoic.Network], of any number of layers.
    - ``batch``: sequences of the task; the targets may stand at the last step or at every step.
    - ``loss``: ``"cross_entropy"``, ``"mean_squared_error"``, or one's own function
      ``loss(predictions, targets)`` that gives one loss for each target.
    - ``max_lag``: the largest lag; targets before that step are not looked at.
    - ``key``: chooses the target times.
    - ``times``: how many target times of each sequence, drawn by the batch's weights and spread
      evenly.
    - ``state``: the state before the first input, each leaf with a leading b; by default the
      network's own.
    - ``throw``: raise when the trajectory leaves the finite numbers.

    **Returns** an `Estimate` over the lags 0 to ``max_lag``; the standard error is over sequences,
    NaN of a single one. Details: ``raw`` (D in units of the loss) with ``raw_standard_error``,
    ``log_value`` (natural, where the value under- or overflows), ``typical`` (the logarithm
    averaged in place of the square: what one target sees), ``lag``.

    **Raises** ValueError for a model that is no cell, or that reads a sequence otherwise than step
    by step, which cannot be asked of a traced one; where shapes do not fit; where no target lies so
    late; for a traced batch or key, whose numbers choose the targets. UntrustedError, see
    ``throw``.

    **Misleads.** A gradient that arrives can be one that points nowhere useful: see the coherent
    reach. Of a network that has learned its task the few targets that it still gets wrong rule
    the average; where the loss has no gradient left at all the answer is NaN.

    **Cost.** The forward pass three times, ``times`` times the backward pass in the state alone. It
    holds ``t / segment + segment`` states with a segment of about sqrt(t), and no graph.

    **Reference.** Pascanu, Mikolov & Bengio (2013), ICML, whose factors of dL_t/dh_{t-k} these are.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic import Network, cells, init
    >>> from echoic.core.task import Batch
    >>> cell = cells.Elman(1, 2, recurrent=init.identity(0.5), activation="identity",
    ...                    key=jax.random.key(0))
    >>> net = Network(cell, cells.Readout(2, 1, key=jax.random.key(1)))
    >>> batch = Batch(jnp.ones((3, 9, 1)), jnp.zeros((3, 1)))
    >>> reach = task_gradient_reach(net, batch, "mean_squared_error", max_lag=5,
    ...                             key=jax.random.key(2))
    >>> bool(jnp.allclose(reach.value, 0.5 ** jnp.arange(6.0), rtol=1e-4))
    True
    """
    max_lag = at_least("max_lag", max_lag, 1)
    network = without_law(_stepwise(model))
    chosen = asked(batch, earliest=max_lag, times=times, state=state, key=key)
    _refuse_unlike_its_steps(network, chosen)
    own = target_loss(loss)
    length = chosen.inputs.shape[1]
    segment = divisor_near(length, round(1.5 * length**0.5))
    logs = _log_norms(network, own, chosen, max_lag, segment)
    value, error, flags, details = _summary(logs)
    settings = Settings(
        max_lag=max_lag,
        sequences=chosen.inputs.shape[0],
        times=chosen.times.shape[1],
        loss=name_of(loss),
    )
    estimate = Estimate(value, error, flags, settings, details)
    return estimate.throw(*((Status.NOT_FINITE,) if throw else ()))


def _stepwise(model: Any) -> Any:
    """The model, if it has states to differentiate in."""
    if not (isinstance(model, AbstractCell) and isinstance(model, AbstractModel)):
        raise ValueError(
            "the gradient in the state needs a model that is a cell as well, such as"
            f" echoic.Network; got a {type(model).__name__}. echoic.context_ablation takes any"
            " model."
        )
    return model


def _refuse_unlike_its_steps(network: Any, chosen: Asked) -> None:
    """Refuse a model whose run is not its step, repeated: one that sees the future, or is untied.

    The first steps tell. Later on rounding alone would set two runs of a chaotic network apart.
    A traced network has no numbers to compare, and is taken at its word.
    """
    if is_traced(network):
        return
    few = chosen._replace(inputs=chosen.inputs[:, : _STEPS_COMPARED + 1])
    whole, stepwise = _both_ways(network, few)
    size = jnp.max(jnp.abs(whole))
    if jnp.max(jnp.abs(whole - stepwise)) > _SAME * jnp.maximum(size, 1e-6):
        raise ValueError(
            f"this {type(network).__name__} gives other outputs when it is run step by step: the"
            " gradient in the state is defined for causal networks with the same weights at every"
            " step."
        )


@eqx.filter_jit
def _both_ways(network, few: Asked):
    start = _start(network, few)
    whole = network.run(few.inputs, state=start).trajectory
    _, stepwise = jax.lax.scan(
        lambda state, x: (new := _advance(network, state, x), jax.vmap(network.output)(new)),
        start,
        jnp.swapaxes(few.inputs, 0, 1),
    )
    return whole, jnp.swapaxes(stepwise, 0, 1)


def _start(network, chosen: Asked) -> State:
    if chosen.state is not None:
        return chosen.state
    count = chosen.inputs.shape[0]
    return jtu.tree_map(
        lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), network.initial_state()
    )


def _advance(network, state: State, x: Array) -> State:
    """One step of all sequences; as a cell, a network takes symbols as one-hot vectors."""
    if jnp.issubdtype(x.dtype, jnp.integer):
        (dtype,) = {leaf.dtype for leaf in jtu.tree_leaves(eqx.filter(state, eqx.is_inexact_array))}
        x = jax.nn.one_hot(x, network.input_size, dtype=dtype)
    return jax.vmap(network.step)(state, x)


@eqx.filter_jit
def _log_norms(
    network, loss: TargetLoss, chosen: Asked, max_lag: int, segment: int
) -> Float[Array, "k b j"]:
    """Natural logarithms of |dL_t/dh_{t-k}|, by one sweep forwards and one backwards in time."""
    steps = jnp.arange(chosen.inputs.shape[1], dtype=jnp.int32)
    head, tail = cut((steps, jnp.swapaxes(chosen.inputs, 0, 1)), segment)
    forward, starts = _forwards(network, chosen, head, tail)
    injected = _at_lag_zero(network, loss, forward, chosen.targets)

    def block(carry, item):
        (steps, xs), start = item

        def remember(state, x):
            return _advance(network, state, x), state

        _, before = jax.lax.scan(remember, start, xs)

        def back(carry, item):
            step, x, state = item
            here = chosen.times == step
            vector, log = carry
            vector = jtu.tree_map(lambda new, old: _where(here, new, old), injected, vector)
            vector, grown = _unit(vector)
            log = jnp.where(here, 0, log) + grown
            return (_pulled(network, state, x, vector), log), log

        carry, logs = jax.lax.scan(back, carry, (steps, xs, before), reverse=True)
        return carry, logs

    nothing = jtu.tree_map(jnp.zeros_like, injected)
    never = jnp.full(chosen.times.shape, -jnp.inf, jtu.tree_leaves(injected)[0].dtype)
    starts_head, starts_tail = starts
    _, logs, last = scan(
        block,
        (nothing, never),
        (head, starts_head),
        None if tail is None else (tail, starts_tail),
        reverse=True,
    )
    logs = logs.reshape(-1, *logs.shape[2:])
    logs = logs if last is None else jnp.concatenate([logs, last])
    places = chosen.times[None] - jnp.arange(max_lag + 1, dtype=jnp.int32)[:, None, None]
    return jnp.take_along_axis(logs, places, axis=0)


def _forwards(network, chosen: Asked, head, tail):
    """The states at the target times, (b, j, ...), and those at the start of every block."""
    start = _start(network, chosen)
    held = jtu.tree_map(
        lambda leaf: jnp.broadcast_to(leaf[:, None], (*chosen.times.shape, *leaf.shape[1:])), start
    )

    def block(carry, item):
        def step(carry, item):
            (state, held), (step, x) = carry, item
            new = _advance(network, state, x)
            here = chosen.times == step
            keep = jtu.tree_map(lambda a, b: _where(here, a[:, None], b), new, held)
            return (new, keep), None

        return jax.lax.scan(step, carry, item)[0], carry[0]

    (_, held), *starts = scan(block, (start, held), head, tail)
    return held, starts


def _at_lag_zero(network, loss: TargetLoss, states: State, targets: Array) -> PyTree:
    """dL_t/dh_t for every target by itself."""
    floating, rest = eqx.partition(states, eqx.is_inexact_array)

    def total(floating):
        outputs = jax.vmap(jax.vmap(network.output))(eqx.combine(floating, rest))
        # The sum's gradient is that of each target in its own copy of the state.
        return jnp.sum(each_loss(loss, network.predict(outputs), targets))

    return jax.grad(total)(floating)


def _pulled(network, state: State, x: Array, vector: PyTree) -> PyTree:
    """The adjoints of all targets one step further back."""
    floating, rest = eqx.partition(state, eqx.is_inexact_array)

    def advance(floating):
        new = _advance(network, eqx.combine(floating, rest), x)
        return eqx.filter(new, eqx.is_inexact_array)

    _, pull = jax.vjp(advance, floating)
    return jax.vmap(lambda v: pull(v)[0], in_axes=1, out_axes=1)(vector)


def _unit(vector: PyTree) -> tuple[PyTree, Float[Array, "b j"]]:
    """Adjoints at length 1, so that none under- or overflows, and the logarithms of their norms."""
    square = sum(jnp.sum(leaf**2, range(2, leaf.ndim)) for leaf in jtu.tree_leaves(vector))
    length = jnp.sqrt(jnp.asarray(square))
    divisor = jnp.where(length == 0, jnp.ones_like(length), length)
    return jtu.tree_map(lambda leaf: leaf / _like(divisor, leaf), vector), jnp.log(length)


def _where(mask: Array, new: Array, old: Array) -> Array:
    return jnp.where(_like(mask, old), jnp.broadcast_to(new, old.shape), old)


def _like(mask: Array, leaf: Array) -> Array:
    return jnp.broadcast_to(mask.reshape(mask.shape + (1,) * (leaf.ndim - 2)), leaf.shape)


@eqx.filter_jit
def _summary(
    logs: Float[Array, "k b j"],
) -> tuple[Array, Array, Int[Array, ""], dict[str, Array]]:
    count = logs.shape[1]
    shift = jnp.max(logs, axis=(1, 2), keepdims=True)
    shift = jnp.where(jnp.isfinite(shift), shift, jnp.zeros_like(shift))
    squares = jnp.mean(jnp.exp(2 * (logs - shift)), axis=2)
    mean = jnp.mean(squares, axis=1)
    log_raw = shift[:, 0, 0] + jnp.log(mean) / 2
    log_value = log_raw - log_raw[:1]
    value = jnp.exp(log_value)
    parts = squares / jnp.where(mean == 0, jnp.ones_like(mean), mean)[:, None]
    degrees = np.nan if count < 2 else count * (count - 1)
    raw_spread = jnp.sqrt(jnp.sum((parts - 1) ** 2, axis=1) / degrees)
    # Numerator and denominator come from the same sequences: their errors go together.
    spread = jnp.sqrt(jnp.sum((parts - parts[:1]) ** 2, axis=1) / degrees)
    raw = jnp.exp(log_raw)
    typical = jnp.mean(logs, axis=(1, 2))
    details = {
        "raw": raw,
        "raw_standard_error": raw * raw_spread / 2,
        "log_value": log_value,
        "typical": jnp.exp(typical - typical[:1]),
        "lag": jnp.arange(value.size),
    }
    error = value * spread / 2
    lost = jnp.any(jnp.isnan(log_raw) | jnp.isposinf(log_raw))
    silent = jnp.isneginf(log_raw[0])
    grown = value[-1] - 2 * error[-1] > _CLEARLY_GROWN
    flags = jnp.zeros((), jnp.int32)
    for flag, is_set in (
        (Status.NOT_FINITE, lost),
        (Status.BELOW_NOISE, silent),
        (Status.GROWING, grown),
    ):
        flags += jnp.where(is_set, int(flag), 0).astype(jnp.int32)
    return value, error, flags, details
