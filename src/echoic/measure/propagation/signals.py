"""How the states of two input sequences come together or part in real networks.

Beside networks with fixed weights stand untied ones, whose weights are drawn anew at each step: for
those the mean-field theory is exact as they grow wide.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import AbstractCell, as_cell, flatten_state, without_law
from echoic.core.checks import at_least, channels_of, one_of, sequences
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.tangent import all_finite, push_frame


def signal_propagation(
    cell: Any,
    first: Any,
    second: Any,
    *,
    key: PRNGKeyArray | None = None,
    untied: bool = False,
    state: Any = None,
    other_state: Any = None,
) -> Estimate:
    """Length and cosine over time of the states that two input sequences lead to.

    **Definition.** ``Q_ab = h_a . h_b / n`` with h what the recurrent weight multiplies
    (``read``), after each input; the value is the cosine ``C_t = Q_ab / sqrt(Q_aa Q_bb)``.

    **Arguments**
    - `cell`: a cell; a bare ``step(state, x)``, then with `state`; or, with `key`, a function
      ``draw(key) -> cell``: every pair of sequences gets a network of its own.
    - `first`, `second`: the inputs, shape (t,), (t, m) or (b, t, m): b pairs.
    - `untied`: draw the weights anew at each step; needs a function ``draw``.
    - `state`, `other_state`: the states before the first inputs, of all pairs alike; by default
      the cell's own, and `state`.

    **Returns** an `Estimate` of shape (t,): the mean over pairs with its standard error (NaN for a
    single pair). ``details``: ``"length_a"``, ``"length_b"``, ``"covariance"`` (means over
    pairs) and ``"runs"``, the cosines (b, t). The cosine of a state of length 0 is NaN.

    **Raises** ValueError where shapes do not fit.

    **Misleads.** One network is one draw: at n units a cosine scatters by about n^-1/2. Fixed
    weights follow the theory of untied ones in kind only.

    **Cost** 2 b t steps; untied, as many draws of all weights.

    **Reference** Chen, Pennington and Schoenholz (2018) for the two kinds of networks.

    **Example** A map that keeps directions.
    >>> import jax.numpy as jnp
    >>> found = signal_propagation(lambda s, x: s + x, jnp.ones((3, 2)),
    ...                            jnp.array([[1.0, 0.0]] * 3), state=jnp.zeros(2))
    >>> bool(jnp.allclose(found.value, 0.5**0.5))
    True
    """
    drawn = _is_draw(cell, key, untied)
    if drawn:
        example = eqx.filter_eval_shape(lambda k: without_law(cell(k)), key)
        start = without_law(cell(key)).initial_state() if state is None else state
    else:
        example = cell = without_law(as_cell(cell, state, channels_of(first)))
        start = cell.initial_state() if state is None else state
    dtype = flatten_state(start)[0].dtype
    xs, ys = (sequences(x, example.input_size, dtype) for x in (first, second))
    if xs.shape != ys.shape:
        raise ValueError(f"first and second must have equal shapes, got {xs.shape}, {ys.shape}.")
    keys = jr.split(jr.key(0) if key is None else key, len(xs))
    starts = (start, start if other_state is None else other_state)
    aa, bb, ab = _grams(cell, starts, xs, ys, keys, drawn, untied)
    return _as_estimate(aa, bb, ab, untied=untied)


def untied_propagation(
    model: str,
    power: Any,
    cosine: Any,
    *,
    recurrent_variance: float,
    input_variance: float,
    bias_mean: float = 0.0,
    bias_variance: float = 0.0,
    size: int = 4096,
    runs: int = 4,
    start: tuple[float, float] = (0.0, 0.0),
    key: PRNGKeyArray,
) -> Estimate:
    """Lengths and cosines in untied networks, drawn from their exact law without a matrix.

    **Definition.** Given the states, the pre-activations of weights drawn at this step are
    Gaussian, independent between units, with covariance ``sigma_w^2 Q + sigma_v^2 R + sigma_b^2``
    of the two copies. ``"vanilla"``: ``h' = tanh(e)``. ``"minimal"``: ``u = sigmoid(e)``,
    ``h' = u h + (1 - u) x``; its inputs are drawn too, Gaussian.

    **Arguments**
    - `power`, `cosine`: of the two inputs, scalars or shape (t,): R = power, and its share S.
    - `start`: length Q and cosine C of the Gaussian states before the first input.
    - `size`, `runs`: units of a network, and how many networks.

    **Returns** an `Estimate` as `signal_propagation` does.

    **Cost** O(size) for each step and run.

    **Reference** Chen, Pennington and Schoenholz (2018) for the networks.

    **Example** Equal inputs and equal states stay equal.
    >>> import jax, jax.numpy as jnp
    >>> found = untied_propagation("vanilla", jnp.ones(3), 1.0, recurrent_variance=1.0,
    ...                            input_variance=1.0, size=64, key=jax.random.key(0))
    >>> bool(jnp.allclose(found.value, 1.0, atol=1e-4))
    True
    """
    one_of("model", model, ("vanilla", "minimal"))
    at_least("size", size, 1)
    at_least("runs", runs, 1)
    dtype = jnp.result_type(float)
    rows = jnp.broadcast_arrays(*(jnp.asarray(value, dtype) for value in (power, cosine)))
    if rows[0].ndim != 1 or len(rows[0]) == 0:
        raise ValueError(f"power and cosine must make a series (t,), got {rows[0].shape}.")
    numbers = (recurrent_variance, input_variance, bias_mean, bias_variance)
    law = jnp.asarray(numbers, dtype)
    found = _sampled(model, rows, law, jnp.asarray(start, dtype), size, jr.split(key, runs))
    return _as_estimate(*found, untied=True)


def jacobian_moments(
    draw: Any, inputs: Any, *, steps: int, key: PRNGKeyArray, untied: bool = True
) -> Estimate:
    """Moments of the squared singular values of products of real Jacobians.

    **Definition.** With ``M = J_{t0+T} ... J_{t0+1}`` over the state of N numbers,
    ``k1 = tr M M' / N`` and ``k2 = tr (M M')^2 / N`` for T = 1..steps: the last steps of the
    inputs, those before being the burn-in.

    **Arguments:** ``draw(key) -> cell``; ``inputs`` (t,), (t, m) or (b, t, m), a network for each
    of the b sequences; ``steps`` < t; ``untied``: weights drawn anew at each step.

    **Returns** an `Estimate` of shape (steps,), k1, mean over networks with its standard error;
    ``details``: ``"k2"``, ``"k2_error"`` and ``"variance"``, the mean of k2 - k1^2.

    **Misleads.** Near the edge of chaos k2 has heavy tails: average over networks.

    **Cost** steps b N^3.

    **Example** Of the identity both moments are 1.
    >>> import jax, jax.numpy as jnp
    >>> from echoic import init
    >>> from echoic.cells import Elman
    >>> draw = lambda key: Elman(1, 2, recurrent=init.identity(1.0), activation="identity", key=key)
    >>> found = jacobian_moments(draw, jnp.ones(3), steps=2, key=jax.random.key(0))
    >>> bool(jnp.allclose(found.value, 1.0))
    True
    """
    if isinstance(draw, AbstractCell) or not callable(draw):
        raise ValueError(f"draw must be a function from a key to a cell, got {draw!r}.")
    start = without_law(draw(key)).initial_state()
    size = eqx.filter_eval_shape(draw, key).input_size
    xs = sequences(inputs, size, flatten_state(start)[0].dtype)
    at_least("steps", steps, 1, xs.shape[1] - 1)
    k1, k2 = _moments(draw, start, xs, jr.split(key, len(xs)), steps, untied)
    count = math.sqrt(len(xs))
    error = [
        jnp.std(k, axis=0, ddof=1) / count if len(xs) > 1 else k[0] * jnp.nan for k in (k1, k2)
    ]
    value, second = jnp.mean(k1, axis=0), jnp.mean(k2, axis=0)
    details = {"k2": second, "k2_error": error[1], "variance": jnp.mean(k2 - k1**2, axis=0)}
    status = jnp.where(jnp.isfinite(k2).all(), int(Status.OK), int(Status.NOT_FINITE))
    return Estimate(value, error[0], status, Settings(steps=steps, untied=untied), details)


def _is_draw(cell, key, untied) -> bool:
    if untied and (isinstance(cell, AbstractCell) or key is None):
        raise ValueError("untied=True needs a function draw(key) -> cell, and key=...")
    return key is not None and not isinstance(cell, AbstractCell)


def _as_estimate(aa, bb, ab, *, untied: bool) -> Estimate:
    runs = ab / jnp.sqrt(aa * bb)
    count = len(runs)
    mean = jnp.mean(runs, axis=0)
    error = jnp.std(runs, axis=0, ddof=1) / math.sqrt(count) if count > 1 else mean * jnp.nan
    status = jnp.where(jnp.isfinite(mean).all(), int(Status.OK), int(Status.NOT_FINITE))
    names = ("length_a", "length_b", "covariance")
    details = {k: jnp.mean(v, axis=0) for k, v in zip(names, (aa, bb, ab), strict=True)}
    settings = Settings(runs=count, untied=untied)
    return Estimate(mean, error, status, settings, {**details, "runs": runs})


def _products(a: Array, b: Array) -> tuple[Array, Array, Array]:
    return jnp.mean(a * a), jnp.mean(b * b), jnp.mean(a * b)


@eqx.filter_jit
def _grams(cell, starts, xs, ys, keys, drawn, untied):
    def one(item):
        x, y, key = item
        fixed = without_law(cell(key)) if drawn and not untied else cell

        def step(states, item):
            x, y, key = item
            net = without_law(cell(key)) if untied else fixed
            a, b = net.step(states[0], x), net.step(states[1], y)
            return (a, b), _products(net.read(a), net.read(b))

        return jax.lax.scan(step, starts, (x, y, jr.split(key, len(x))))[1]

    return jax.lax.map(one, (xs, ys, keys))


class _Pair(NamedTuple):
    a: Float[Array, "n"]
    b: Float[Array, "n"]


def _gaussian_pair(key, size, aa, bb, ab) -> _Pair:
    """Two rows of Gaussian numbers of given second moments; of none where a power is 0."""
    z = jr.normal(key, (2, size), jnp.result_type(aa))
    share = jnp.where(aa > 0, ab / jnp.sqrt(jnp.where(aa > 0, aa, 1)), aa * 0)
    return _Pair(jnp.sqrt(aa) * z[0], share * z[0] + jnp.sqrt(jnp.maximum(bb - share**2, 0)) * z[1])


@eqx.filter_jit
def _sampled(model, rows, law, start, size, keys):
    recurrent, drive, mean, spread = law

    def one(key):
        first, rest = jr.split(key)
        states = _gaussian_pair(first, size, start[0], start[0], start[0] * start[1])

        def step(states, item):
            power, cosine, key = item
            input_key, weight_key = jr.split(key)
            moments = [power, power, power * cosine]
            inputs = states
            if model == "minimal":
                inputs = _gaussian_pair(input_key, size, *moments)
                moments = _products(*inputs)
            total = [
                recurrent * q + drive * r + spread
                for q, r in zip(_products(*states), moments, strict=True)
            ]
            e = _gaussian_pair(weight_key, size, *total)
            if model == "minimal":
                gates = [jax.nn.sigmoid(mean + part) for part in e]
                new = [u * h + (1 - u) * x for u, h, x in zip(gates, states, inputs, strict=True)]
            else:
                new = [jnp.tanh(mean + part) for part in e]
            return _Pair(*new), _products(*new)

        return jax.lax.scan(step, states, (*rows, jr.split(rest, len(rows[0]))))[1]

    return jax.lax.map(one, keys)


@eqx.filter_jit
def _moments(draw, start, xs, keys, steps, untied):
    def one(item):
        xs, key = item
        net_key, rest = jr.split(key)
        fixed = without_law(draw(net_key))
        step_keys = jr.split(rest, len(xs))

        def network(key):
            return without_law(draw(key)) if untied else fixed

        def run(state, item):
            x, key = item
            return network(key).step(state, x), None

        def push(carry, item):
            (state, product), (x, key) = carry, item
            new, product = push_frame(network(key), state, x, product)
            inner = product.T @ product
            return (new, product), (jnp.trace(inner) / size, jnp.sum(inner**2) / size)

        split = len(xs) - steps
        state, _ = jax.lax.scan(run, start, (xs[:split], step_keys[:split]))
        flat = flatten_state(start)[0]
        size = flat.size
        carry = (state, jnp.eye(size, dtype=flat.dtype))
        (last, _), found = jax.lax.scan(push, carry, (xs[split:], step_keys[split:]))
        finite = all_finite(last, xs)
        return jax.tree.map(lambda moment: jnp.where(finite, moment, jnp.nan), found)

    return jax.lax.map(one, (xs, keys))
