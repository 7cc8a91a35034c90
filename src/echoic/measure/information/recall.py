"""What a linear readout of the present state can tell of the past: recall, lag by lag."""

import math
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, LinearForm, State, Step, flatten_state
from echoic.core.checks import at_least, is_traced, one_of, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.rollout import rollout
from echoic.measure.information.allpass import white_recall
from echoic.measure.information.readout import Recall, held_out_recall, moments
from echoic.measure.windows import Driven, burn_in_for, prepare, spread

FOLDS = 10
FUTURE = 128  # lags -1 to -FUTURE: probes yet to come, which show what pure chance gives
FEW_SAMPLES_PER_FEATURE = 10


def linear_recall(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    max_lag: int,
    key: PRNGKeyArray,
    probe: float = 0.1,
    steps: int = 20_000,
    burn_in: int | None = None,
    state: State = None,
    exact: Literal["auto", "always", "never"] = "auto",
    throw: bool = True,
) -> Estimate:
    """How well a linear readout of the state recovers a white probe from k steps ago.

    **Definition.** A white Gaussian probe p is added to the input. ``MC(k)`` is the R^2 of the
    best linear readout (with intercept) of ``p_{t-k}`` from the output of the cell at time t, the
    state after ``x_t`` was read: lag 0 is the newest input. It lies between 0 and 1, and adds up
    to at most n over all lags and channels (Jaeger 2001). Of several channels, each has a probe
    of its own, and squared errors and variances are added up over the channels.

    The readout sees the output alone: neither the input nor a second run without the probe. What
    the input leaves in the state is noise to it, however well it could be predicted. A difference
    of two runs would cancel that noise, and measure what no readout can see.

    **Arguments:**

    - ``cell``: a cell, or a function ``step(state, x) -> state`` with its initial ``state``.
    - ``inputs``: shape (t,), (t, m) or (b, t, m). None: the probe alone drives the cell.
    - ``max_lag``: the largest lag.
    - ``key``: draws the probe. The exact answer does not depend on it.
    - ``probe``: standard deviation of the probe, in units of each channel's own; absolute where
      the input does not vary.
    - ``steps``: how many states the readout is fitted to and tested on, in ten windows (or one a
      sequence, if there are more), spread over the inputs; fewer if the inputs are shorter.
    - ``burn_in``: steps from the initial state to the oldest probe that counts. Default:
      ``max_lag``, but no more than a quarter of the series and no less than 100.
    - ``exact``: ``auto`` takes the exact answer for linear cells without inputs.
    - ``throw``: raise for a linear cell that is not stable, and where numbers are not finite.

    **Returns:** an `Estimate` over the lags 0 to ``max_lag``. Sampled: the mean of the R^2 on the
    data of the fit and on held-out blocks, whose biases cancel to first order (so that it may lie
    a little below 0); the standard error is that of ten held-out blocks. Details: ``floor``, the
    95 % quantile of what chance gives, found from future probes; ``by_channel`` (m, k), with
    ``channel_error`` and ``channel_floor``, see [`channel_recall`][echoic.channel_recall]. Status
    ``BELOW_NOISE`` if no lag exceeds it. An unstable linear cell has no stationary recall: with
    ``throw=False`` the exact path returns that of an input that began ``max_lag`` steps ago, at
    rest.

    **Raises:** ValueError when the inputs are too short; MemoryError for more than 8 GB;
    UntrustedError, see ``throw``.

    **When it misleads.** The sum over lags says little: generic linear networks all reach n, and
    that of non-linear ones is set by the size of the input. The exact answer counts every
    direction of the state, however faint; noise of one part in 10^6 wipes out much of it in a
    generic network (not in a chain or a cycle). White inputs of standard deviation 1 hide a probe
    of 0.1 in noise of 100 times its power: R^2 is then below 0.01 at every lag.

    **Cost.** Exact: O(n^3 + n m^2 k), little for chains and cycles, whose eigenvalues are not
    needed. Sampled: the run, then O(steps n^2 + m k n^2).

    **Reference.** Jaeger 2001, *Short term memory in echo state networks*, GMD report 152; Dambre
    et al. 2012, doi:10.1038/srep00514 (bias of estimates); Ballarin, Grigoryeva & Ortega 2023,
    arXiv:2305.01457 (why common estimates are wrong).

    ```python
    >>> import jax, jax.numpy as jnp, echoic
    >>> ring = lambda h, x: 0.5 * jnp.roll(h, 1).at[0].add(2 * x[0])
    >>> recall = echoic.linear_recall(
    ...     ring, jnp.zeros(900), state=jnp.zeros(4), max_lag=8, key=jax.random.key(0)
    ... )
    >>> lags = jnp.arange(9)
    >>> exact = 0.25 ** (4 * (lags // 4)) * (1 - 0.25**4)
    >>> bool(jnp.all(jnp.abs(recall.value - exact) < 0.05))
    True

    ```
    """
    at_least("max_lag", max_lag, 0)
    at_least("steps", steps, FOLDS)
    one_of("exact", exact, ("auto", "always", "never"))
    if not 0 < probe < math.inf:
        raise ValueError(f"probe must be a positive number, got {probe}.")
    driven = _prepare(cell, inputs, state, "linear_recall")
    form = driven.cell.linear_form()
    if exact == "always" and (form is None or inputs is not None):
        raise ValueError(
            "exact='always' needs a cell with a linear_form() and inputs=None (white input); got "
            + ("a cell without one." if form is None else "inputs.")
        )
    dtype = flatten_state(driven.state)[0].dtype
    status = Status.OK
    if form is not None:
        answer = _stationary(form, max_lag, dtype, throw)
        status = answer.statuses
        if inputs is None and exact != "never":
            return answer

    layout = _layout(inputs, driven.inputs, max_lag, steps, burn_in)
    stretches = _cut(driven.inputs, layout) if inputs is not None else _silence(driven, layout)
    shape = (*stretches.shape[:1], stretches.shape[1] + FUTURE, stretches.shape[2])
    size = probe * (spread(driven.inputs) if driven.driven else jnp.ones(shape[2], dtype))
    probes = jr.normal(key, shape, dtype) * size[None, None]
    refuse_if_larger("linear_recall", _memory(driven.cell, layout, FUTURE))
    outputs = _run(driven, stretches + probes[:, : stretches.shape[1]], layout.run_in)
    found = _regress(np.asarray(outputs), np.asarray(probes)[:, layout.burn_in :], layout, FUTURE)
    past, future = found.value[FUTURE:], found.value[:FUTURE]
    floor = np.quantile(future, 0.95)
    status |= _doubts(found, layout, outputs.shape[2])
    status |= Status.BELOW_NOISE if np.all(past <= floor) else Status.OK
    settings = Settings(
        max_lag=max_lag,
        method="sampled",
        probe=probe,
        steps=layout.samples,
        windows=len(layout.first),
        burn_in=layout.burn_in,
        ridge=found.ridge,
        throw=throw,
    )
    estimate = Estimate(
        jnp.asarray(past, dtype),
        jnp.asarray(found.standard_error[FUTURE:], dtype),
        status,
        settings,
        {
            "floor": jnp.full(max_lag + 1, floor, dtype),
            "by_channel": jnp.asarray(found.by_channel[FUTURE:].T, dtype),
            "channel_error": jnp.asarray(found.channel_error[FUTURE:].T, dtype),
            "channel_floor": jnp.asarray(np.quantile(found.by_channel[:FUTURE], 0.95, 0), dtype),
        },
    )
    return estimate.throw(Status.NOT_FINITE) if throw else estimate


def _stationary(form: LinearForm, max_lag: int, dtype: Any, throw: bool) -> Estimate:
    """The exact recall of white input by a linear cell."""
    recurrent, drive = (np.asarray(part, float) for part in form[:2])
    each, stable = white_recall(recurrent, drive, max_lag)
    status = Status.OK if stable else Status.UNSTABLE
    if not np.all(np.isfinite(each)):
        status |= Status.NOT_FINITE
    zeros = jnp.asarray(np.zeros(max_lag + 1), dtype)  # jnp.zeros compiles for every length
    answer = Estimate(
        jnp.asarray(each.mean(axis=1), dtype),
        zeros,
        status,
        Settings(max_lag=max_lag, method="exact", inputs="white", throw=throw),
        {
            "floor": zeros,
            "by_channel": jnp.asarray(each.T, dtype),
            "channel_error": jnp.asarray(np.zeros(each.T.shape), dtype),
            "channel_floor": jnp.asarray(np.zeros(each.shape[1]), dtype),
        },
    )
    return answer.throw(Status.UNSTABLE, Status.NOT_FINITE) if throw else answer


def raw_recall(
    cell: AbstractCell | Step,
    inputs: Any,
    *,
    max_lag: int,
    key: PRNGKeyArray,
    steps: int = 20_000,
    burn_in: int | None = None,
    state: State = None,
    throw: bool = True,
) -> Estimate:
    """How well a linear readout of the state recovers the input itself from k steps ago.

    **Definition.** The R^2 of the best linear readout (with intercept) of ``x_{t-k}`` from the
    output of the cell at time t. Lag 0 is the newest input; squared errors and variances are
    added up over the channels. Not a measure of memory by itself: an input that predicts its own
    past can be "recalled" by a network that has forgotten it. Hence two curves beside it, found in
    the same way on the same data:

    - ``details["memoryless"]``: from ``x_t`` together with one step of the same cell, taken from
      its initial state with ``x_t``: the network with its memory cut. What the recall exceeds it
      by is memory.
    - ``details["memoryless_linear"]``: from ``x_t`` alone; for one channel the squared
      autocorrelation.

    **Arguments:** as for [`linear_recall`][echoic.linear_recall]; ``key`` is not used (no probe
    is drawn) and is there for a common call. ``throw``: raise where numbers are not finite.

    **Returns:** an `Estimate` over the lags 0 to ``max_lag``, with the errors and the correction
    of bias of `linear_recall`. A strongly autocorrelated input holds few independent samples:
    believe the standard error, not the number of steps.

    **Raises:** ValueError when the inputs are too short or missing; MemoryError above 8 GB;
    UntrustedError, see ``throw``.

    **Cost.** The run, then O(steps n^2 + m k n^2).

    **Reference.** Jaeger 2001, *Short term memory in echo state networks*, GMD report 152.

    ```python
    >>> import jax, jax.numpy as jnp, echoic
    >>> forgetful = lambda h, x: jnp.tanh(jnp.array([0.3, -0.7]) * x[0])
    >>> wave = jnp.sin(0.3 * jnp.arange(3000.0))
    >>> recall = echoic.raw_recall(
    ...     forgetful, wave, state=jnp.zeros(2), max_lag=8, key=jax.random.key(0)
    ... )
    >>> bool(jnp.all(jnp.abs(recall.value - recall.details["memoryless"]) < 0.01))
    True

    ```
    """
    at_least("max_lag", max_lag, 0)
    at_least("steps", steps, FOLDS)
    if inputs is None:
        raise ValueError("raw_recall needs inputs: shape (t,), (t, m) or (b, t, m).")
    driven = _prepare(cell, inputs, state, "raw_recall")
    layout = _layout(inputs, driven.inputs, max_lag, steps, burn_in)
    stretches = _cut(driven.inputs, layout)
    refuse_if_larger("raw_recall", _memory(driven.cell, layout, 0))
    now = stretches[:, layout.run_in :]
    outputs = _run(driven, stretches, layout.run_in)
    cut_off = jnp.concatenate([now, _single_steps(driven, now)], axis=2)
    targets = np.asarray(stretches)[:, layout.burn_in :]
    found, memoryless, linear = (
        _regress(np.asarray(features), targets, layout, 0) for features in (outputs, cut_off, now)
    )
    settings = Settings(
        max_lag=max_lag,
        steps=layout.samples,
        windows=len(layout.first),
        burn_in=layout.burn_in,
        ridge=found.ridge,
        throw=throw,
    )
    details = {
        "memoryless": jnp.asarray(memoryless.value, outputs.dtype),
        "memoryless_linear": jnp.asarray(linear.value, outputs.dtype),
    }
    estimate = Estimate(
        jnp.asarray(found.value, outputs.dtype),
        jnp.asarray(found.standard_error, outputs.dtype),
        _doubts(found, layout, outputs.shape[2]),
        settings,
        details,
    )
    return estimate.throw(Status.NOT_FINITE) if throw else estimate


class _Layout(NamedTuple):
    """Which stretches of the inputs are run: ``run_in`` steps, then ``length`` that count."""

    sequence: np.ndarray
    first: np.ndarray
    burn_in: int
    max_lag: int
    length: int

    @property
    def run_in(self) -> int:
        return self.burn_in + self.max_lag

    @property
    def samples(self) -> int:
        return self.length * len(self.first)


def _prepare(cell: Any, inputs: Any, state: State, name: str) -> Driven:
    if is_traced(cell, inputs, state):
        raise ValueError(f"{name} cannot be traced (jit, vmap, grad): call it on plain arrays.")
    driven = prepare(cell, inputs, state, None if inputs is not None else 1)
    if driven.cell.input_size == 0:
        raise ValueError(
            f"{name} needs a cell that takes an input, got input_size 0."
            " For a bare step function pass inputs, for example jnp.zeros((1000, m))."
        )
    return driven


def _layout(
    given: Any, inputs: Float[Array, "b t m"], max_lag: int, steps: int, burn_in: int | None
) -> _Layout:
    if given is None:
        burn_in = max(100, max_lag) if burn_in is None else at_least("burn_in", burn_in, 0)
        zeros = np.zeros(FOLDS, int)
        return _Layout(zeros, zeros, burn_in, max_lag, -(-steps // FOLDS))
    batch, length, _ = inputs.shape
    burn_in = burn_in_for(burn_in, max_lag, length)
    room = length - burn_in - max_lag
    used = min(batch, max(FOLDS, -(-steps // room)))
    per = -(-FOLDS // used)
    if room < per:
        raise ValueError(
            f"{batch} sequence(s) of {length} steps leave {room} after burn_in={burn_in} and"
            f" max_lag={max_lag}, too few for {FOLDS} windows. Give longer inputs or more of them."
        )
    span = min(room // per, -(-steps // (used * per)))
    first = np.linspace(0, room - span, per).astype(int) if per > 1 else np.array([0])
    which = np.linspace(0, batch - 1, used).astype(int)
    return _Layout(np.repeat(which, per), np.tile(first, used), burn_in, max_lag, span)


def _cut(inputs: Float[Array, "b t m"], layout: _Layout) -> Float[Array, "w s m"]:
    times = layout.first[:, None] + np.arange(layout.run_in + layout.length)
    return inputs[layout.sequence[:, None], times]


def _silence(driven: Driven, layout: _Layout) -> Float[Array, "w s m"]:
    shape = (len(layout.first), layout.run_in + layout.length, driven.cell.input_size)
    return jnp.zeros(shape, driven.inputs.dtype)


def _memory(cell: AbstractCell, layout: _Layout, future: int) -> float:
    """Bytes at the peak: the outputs (thrice, while they are centred) and the correlations."""
    lags = (layout.max_lag + 1 + future) * max(cell.input_size, 1)
    return 8.0 * cell.hidden_size * (3 * layout.samples + (FOLDS + 4) * lags)


@eqx.filter_jit
def _run(driven: Driven, xs: Float[Array, "w s m"], run_in: int) -> Float[Array, "w t p"]:
    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(xs), *leaf.shape)), driven.state)
    settled = rollout(driven.cell, xs[:, :run_in], state=start, collect="nothing").final
    return rollout(driven.cell, xs[:, run_in:], state=settled).trajectory


@eqx.filter_jit
def _single_steps(driven: Driven, xs: Float[Array, "w t m"]) -> Float[Array, "w t p"]:
    """The output after one step from the initial state, for every input."""
    step = jax.vmap(jax.vmap(lambda x: driven.cell.output(driven.cell.step(driven.state, x))))
    return step(xs)


def _regress(outputs: np.ndarray, targets: np.ndarray, layout: _Layout, future: int) -> Recall:
    """In double precision whatever the network's: normal equations square the condition number."""
    lags = layout.max_lag + 1 + future
    if not (np.all(np.isfinite(outputs)) and np.all(np.isfinite(targets))):
        none = np.full(lags, np.nan)
        each = np.full((lags, targets.shape[2]), np.nan)
        return Recall(none, none, math.nan, each, each)
    outputs, targets = outputs.astype(float), targets.astype(float)
    folds = min(FOLDS, len(layout.first))
    sums = moments(outputs, targets, layout.max_lag, future, folds)
    return held_out_recall(sums, layout.samples, future)


def _doubts(found: Recall, layout: _Layout, features: int) -> Status:
    status = Status.OK
    if layout.samples < FEW_SAMPLES_PER_FEATURE * features:
        status |= Status.SHORT_SERIES
    if not np.all(np.isfinite(found.value)):
        status |= Status.NOT_FINITE
    return status
