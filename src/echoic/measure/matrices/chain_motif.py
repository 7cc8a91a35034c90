"""The hidden chain: whether units that peak one after another also drive one another."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, as_cell, without_law
from echoic.core.checks import at_least, is_traced, one_of, refuse_if_larger
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.rollout import rollout
from echoic.measure.matrices.square_matrix import power_of_two, recurrent_matrix

_NEAR = 5  # order differences that count as a link of the chain
_SILENT = 1e-12  # peaks below this share of the largest are no response


def chain_motif(
    cell: AbstractCell | Step,
    *,
    key: PRNGKeyArray,
    matrix: Any = None,
    block: str | None = None,
    input_size: int = 1,
    direction: Any = None,
    pulse: float = 1.0,
    steps: int = 100,
    activity: str = "deviation",
    max_difference: int = 50,
    permutations: int = 999,
    state: State = None,
) -> Estimate:
    """Mean recurrent weight between units, by how much later one peaks than the other.

    **Definition.** One pulse of input, then ``steps`` steps of silence. Units are put in the order
    of the time of their largest activity, ties at random. Entry D + d of the value is the mean of
    ``W_ij`` over all pairs in which unit i comes d places after unit j, D the largest difference:
    positive d are weights that run with the wave. A chain has one peak, at d = 1.

    **Arguments:**

    - ``cell``: a cell, or a function ``step(state, x) -> state`` with its initial ``state`` and
      ``input_size``.
    - ``key``: draws the order of ties and the permutations.
    - ``matrix``: W, shape (n, n), for a function; a cell's own by default, ``block`` naming the
      gate.
    - ``direction``: shape (m,), the channels' share in the pulse; all alike by default, of unit
      length. ``pulse``: its size.
    - ``steps``: silent steps after the pulse.
    - ``activity``: ``"deviation"``, the absolute deviation from a run without the pulse, or
      ``"absolute"``, the plain absolute value,
      of what the network's readout sees of each unit.
    - ``max_difference``: D, n - 1 at most.
    - ``permutations``: random orders that the true one is compared with.

    **Returns:** an `Estimate`, shape (2 D + 1,); its standard error is that of a mean over pairs.
    Details: ``order_difference`` (-D to D), ``band_low`` and ``band_high`` (2.5 and 97.5 % of
    random orders, at each d), ``asymmetry`` (mean of the profile over d = 1..5 minus that over
    -5..-1), ``p_value`` (share of random orders, the true one included, whose asymmetry is as
    large), ``order`` (units, earliest first), ``peak_time`` (-1: silent). Units that do not respond
    are left out and counted in ``silent``. Status BELOW_NOISE: fewer than 2 respond, all is NaN.

    **Raises:** ValueError for wrong shapes, for a function without ``matrix``, and under tracing.

    **When the number misleads:** the order comes from W itself: what drives a unit makes it peak
    later, so that a random W shows a weak motif too. Compare with the network before training, not
    with 0. A gate's block may show one without the cell being a chain.

    **Cost:** ``steps`` steps, and n D operations a permutation; n = 1000: seconds.

    **Reference:** Orhan & Pitkow (2020), ICLR, section on trained networks, after Rajan, Harvey &
    Tank (2016), Neuron 90. The permutation test and the band are ours.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> w = 0.9 * jnp.eye(12, k=-1)
        >>> step = lambda h, x: w @ h + jnp.eye(12)[0] * x
        >>> found = chain_motif(step, matrix=w, state=jnp.zeros(12), key=jax.random.key(0))
        >>> int(found.details["order_difference"][found.value.argmax()])
        1

        ```
    """
    one_of("activity", activity, ("deviation", "absolute"))
    steps, permutations = at_least("steps", steps, 1), at_least("permutations", permutations, 19)
    network = without_law(as_cell(cell, state=state, input_size=input_size))
    if matrix is None and not isinstance(cell, AbstractCell):
        raise ValueError("a step function does not show its recurrent matrix: pass matrix=...")
    weights = recurrent_matrix(network if matrix is None else matrix, block)
    response = _response(network, direction, pulse, steps, activity, state)
    if weights.ndim != 2 or weights.shape[0] != response.shape[1]:
        raise ValueError(
            f"matrix must have shape ({response.shape[1]}, {response.shape[1]}), one row a"
            f" unit that the readout sees, got {weights.shape}."
        )
    size = len(weights)
    largest = min(at_least("max_difference", max_difference, 1), max(size - 1, 1))
    refuse_if_larger("the chain motif", 8.0 * permutations * (2 * largest + 1) + 24.0 * size**2)
    tie_key, order_key = jr.split(key)
    details, status = _motif(
        weights.astype(float), response, largest, permutations, tie_key, order_key
    )
    settings = Settings(
        steps=steps,
        pulse=float(pulse),
        activity=activity,
        permutations=permutations,
        band=0.95,
    )
    real = jnp.asarray(weights).dtype if weights.dtype.kind != "i" else jnp.result_type(float)
    kept = {
        name: jnp.asarray(each, real if np.asarray(each).dtype.kind == "f" else None)
        for name, each in details.items()
    }
    return Estimate(kept.pop("value"), kept.pop("error"), status, settings, kept)


def _response(network, direction, pulse, steps, activity, state) -> np.ndarray:
    """What each unit does, shape (steps + 1, n): its absolute activity from the pulse on."""
    channels = max(network.input_size, 1)
    share = np.ones(channels) if direction is None else np.asarray(direction, float)
    if share.shape != (channels,):
        raise ValueError(f"direction must have shape ({channels},), got {share.shape}.")
    length = np.linalg.norm(share)
    if not 0 < length < np.inf:
        raise ValueError(f"direction must be finite and not zero, got {direction!r}.")
    series = np.zeros((2, steps + 1, channels))
    series[1, 0] = pulse * share / length
    if state is not None:
        state = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 2), state)
    run = rollout(network, series, state=state, collect="states").trajectory
    seen = jax.vmap(jax.vmap(network.read))(run)
    if is_traced(seen):
        raise ValueError("the chain motif is sorted on the host and cannot be traced.")
    silent, pulsed = np.asarray(seen, float)
    return np.abs(pulsed - silent if activity == "deviation" else pulsed)


def _motif(weights, response, largest, permutations, tie_key, order_key):
    """The profile, its band and the test, as arrays by name; and the status."""
    size = len(weights)
    peak = response.max(axis=0)
    responds = peak > _SILENT * np.max(peak, initial=0.0)
    time = np.where(responds, response.argmax(axis=0), -1)
    jitter = np.asarray(jr.uniform(tie_key, (size,)))
    order = np.lexsort((jitter, time))
    order = order[time[order] >= 0]
    differences = np.arange(-largest, largest + 1)
    nothing = np.full(2 * largest + 1, np.nan)
    finite = bool(np.all(np.isfinite(weights)) and np.all(np.isfinite(response)))
    details = {
        "value": nothing,
        "error": nothing,
        "order_difference": differences,
        "band_low": nothing,
        "band_high": nothing,
        "asymmetry": np.nan,
        "p_value": np.nan,
        "order": np.concatenate([order, np.setdiff1d(np.arange(size), order)]),
        "peak_time": time,
        "silent": size - len(order),
    }
    if not finite:
        return details, Status.NOT_FINITE
    if len(order) < 2:
        return details, Status.BELOW_NOISE
    scale = power_of_two(weights)
    weights = weights / scale
    value, error = profile(weights, order, largest)
    # Random orders of the same units; a generator of the host, seeded by the key.
    seed = np.asarray(jr.bits(order_key, (4,), jnp.uint32))
    draws = np.random.default_rng(seed)
    others = np.array(
        [profile(weights, draws.permutation(order), largest)[0] for _ in range(permutations)]
    )
    known = np.isfinite(value)
    low, high = nothing.copy(), nothing.copy()
    low[known], high[known] = np.quantile(others[:, known], (0.025, 0.975), axis=0)
    asymmetry = _asymmetry(value, largest)
    # A share of the weights, not of the asymmetry, which would raise a negative threshold.
    rounding = 1e-12 * np.abs(weights).max()
    as_large = np.sum(_asymmetry(others, largest) >= asymmetry - rounding)
    details |= {
        "value": scale * value,
        "error": scale * error,
        "band_low": scale * low,
        "band_high": scale * high,
        "asymmetry": scale * asymmetry,
        "p_value": (1 + as_large) / (1 + permutations),
    }
    return details, Status.OK


def profile(weights: np.ndarray, order: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of ``W_ij`` over pairs with equal place(i) - place(j), and its standard error."""
    value, error = np.full((2, 2 * largest + 1), np.nan)
    count = len(order)
    for d in range(min(largest, count - 1) + 1):
        late, early = order[d:], order[: count - d]
        for sign, pairs in ((1, weights[late, early]), (-1, weights[early, late])):
            value[largest + sign * d] = pairs.mean()
            if len(pairs) > 1:
                error[largest + sign * d] = pairs.std(ddof=1) / len(pairs) ** 0.5
    return value, error


def _asymmetry(profiles: np.ndarray, largest: int) -> Any:
    near = min(_NEAR, largest)
    after = profiles[..., largest + 1 : largest + 1 + near]
    before = profiles[..., largest - near : largest]
    return np.nanmean(after, axis=-1) - np.nanmean(before, axis=-1)
