"""LSTMs whose gates see the output h: their law has no closed form, and is followed by sampling.

The cell state c is not Gaussian, and h = o tanh(c) enters the gates by its second moment alone. A
population of units, each with the cell states of two copies a and b of the network, is advanced
with pre-activations drawn from their exact law at width infinity. Beside its state each unit
carries how long its row of the Jacobian is (and how much of it both copies share), so that the gain
of the *full* state (h, c) comes out as the measured one is defined, with all correlations between
a unit's state and its row.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.checks import at_least, one_of
from echoic.core.estimate import Estimate, Settings, Status
from echoic.theory.mean_field.family import Gate, Gram, Scalar, number

_DRIFT = 0.02  # between the halves of the run; what is smaller than 4 standard errors passes too


def _three(variances: tuple[Scalar, Scalar, Scalar]) -> tuple[Array, Array, Array]:
    first, second, third = variances
    return number(first), number(second), number(third)


class LSTM(eqx.Module):
    """The laws of an LSTM's weights; all hyperparameters are single numbers.

    **Definition.** ``c' = f c + i tanh(u_g)``, ``h' = o tanh(c')``, gates
    ``f = sigmoid(u_f + p_f c)``, ``i = sigmoid(u_i + p_i c)``, ``o = sigmoid(u_o + p_o c')``, and
    ``u = W h + V x + b``.

    **Fields:** the gates ``keep`` (f), ``write`` (i), ``candidate`` (g) and ``output`` (o);
    ``peepholes``: the variances of p_f, p_i, p_o, which every unit keeps (Gers et al.; zeros for
    the usual LSTM); ``sees``: what the matrices W multiply, ``"output"`` h or ``"cell"`` c, the
    full peepholes of the mean-field literature.
    """

    keep: Gate
    write: Gate
    candidate: Gate
    output: Gate
    peepholes: tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]] = eqx.field(
        converter=_three, default=(0.0, 0.0, 0.0)
    )
    sees: Literal["output", "cell"] = eqx.field(static=True, default="output")

    def __check_init__(self):
        one_of("sees", self.sees, ("output", "cell"))


class LSTMPopulation(NamedTuple):
    """What a population of LSTM units says, each with its sampling error.

    **Fields**

    - ``cell_square``, ``output_square``: Q = E[c^2] and H = E[h^2]; ``cell_overlap``,
      ``output_overlap``: E[c_a c_b] and E[h_a h_b].
    - ``gain``: chi_1, the factor per step of the mean squared singular value, in the end; ``chi``:
      that of what both copies share. Powers: the timescale is ``-1 / log chi``, an amplitude's
      is twice that.
    - ``gradient_reach``, ``coherent_reach``: root-mean-square amplitudes over the full state
      (h, c), by lag, 1 at lag 0.
    """

    cell_square: Estimate
    output_square: Estimate
    cell_overlap: Estimate
    output_overlap: Estimate
    gain: Estimate
    chi: Estimate
    gradient_reach: Estimate
    coherent_reach: Estimate


def lstm_population(
    law: LSTM,
    power: Scalar,
    cosine: Scalar = 0.0,
    *,
    key: PRNGKeyArray,
    max_lag: int = 100,
    burn_in: int = 300,
    units: int = 2048,
    groups: int = 8,
    kept_biases: bool = False,
) -> LSTMPopulation:
    """Stationary law, timescale and reach of an LSTM by population dynamics.

    **Definition.** Units i are drawn independently: ``c_i' = f_i c_i + i_i g_i`` with
    pre-activations of covariance ``sigma^2 H_ab + nu^2 R_ab + rho^2``, H_ab the population's
    mean of ``h_a h_b``. A unit's row of dc_t/d(h, c)_{t-k} has the squared length p,
    ``p' = a_a a_b p + S_ab e``, where ``a = dc'/dc`` within the unit, S_ab sums
    ``sigma^2 (dc'/du)_a (dc'/du)_b`` over the gates and e is the mean squared length of the rows
    that W multiplies. The largest eigenvalue of this linear map, for a = b and for both copies, is
    ``gain`` and ``chi``; for (Q, H) alone the law of c would have to be guessed.

    **Arguments:** ``law``; ``power``, ``cosine``: R and the cosine of the inputs of both copies,
    numbers or shape (burn_in + max_lag,) for a given sequence; ``key``; ``max_lag``; ``burn_in``:
    steps from c = 0 to lag 0; ``units`` in each of ``groups`` independent populations;
    ``kept_biases``: every unit keeps its bias, as in a real network, instead of drawing it anew
    at each step, as in the theories with closed forms.

    **Returns:** `LSTMPopulation`. Standard errors come from the groups; the bias of a finite
    population, of order ``1 / units``, is not in them. Status NOT_CONVERGED where the second
    moments still drift: give a longer ``burn_in``.

    **When it misleads:** W and V are drawn anew at each step. A real network keeps them, and what
    passes through W at different times adds up in amplitude, not in power: its reach agrees for
    the first steps, then decays more slowly (with unit variances, no bias and white inputs to 1 %
    at lag 3, larger by a factor of 2.5 at lag 12). ``gain``
    and ``chi`` are taken from the last half of the lags, and need ``max_lag`` of several
    timescales of the slowest units. For the moments beyond the mean (the spread of the singular
    values of (h, c)) nothing is derived here.

    **Cost:** O(groups units (burn_in + max_lag)); a second for the defaults.

    **Reference:** the theory is in the spirit of Gilboa et al. (2019), arXiv:1901.08987; this
    algorithm is ours.

    ??? example
        ```python
        >>> import jax.numpy as jnp, jax.random as jr
        >>> law = LSTM(Gate(0.0, bias_mean=1.0), Gate(0.0), Gate(0.0), Gate(0.0))
        >>> found = lstm_population(law, 1.0, key=jr.key(0), max_lag=4, burn_in=1, units=2)
        >>> bool(jnp.isclose(found.gain.value, (1 / (1 + jnp.exp(-1.0))) ** 2, rtol=1e-4))
        True

        ```
    """
    max_lag, burn_in = at_least("max_lag", max_lag, 2), at_least("burn_in", burn_in, 1)
    units, groups = at_least("units", units, 1), at_least("groups", groups, 2)
    length = burn_in + max_lag
    power, cosine = _sequence("power", power, length), _sequence("cosine", cosine, length)
    begin = jnp.asarray(burn_in, jnp.int32)
    run = _run(law, power, cosine, key, begin, units, groups, kept_biases)
    run = jtu.tree_map(lambda moments: moments[:, burn_in:], run)
    settings = Settings(
        max_lag=max_lag, burn_in=burn_in, units=units, groups=groups, kept_biases=kept_biases
    )
    return _summary(run, settings)


def _sequence(name: str, value: Scalar, length: int) -> Array:
    value = number(value)
    if value.shape not in ((), (length,)):
        raise ValueError(
            f"{name} must be one number or have shape (burn_in + max_lag,) = ({length},),"
            f" got shape {value.shape}."
        )
    return jnp.broadcast_to(value, (length,))


class _Tangents(NamedTuple):
    """Of one copy with itself, and of both: squared rows, divided by the scale's exponential."""

    rows: Float[Array, "u"]
    seen: Float[Array, ""]
    log_scale: Float[Array, ""]


class _State(NamedTuple):
    cells: Float[Array, "2 u"]
    seen: Gram
    own: _Tangents
    both: _Tangents


class _Kept(NamedTuple):
    """What a unit keeps: its peepholes and biases (f, i, g, o)."""

    peepholes: tuple[Array, ...]
    biases: tuple[Array, ...]


class _Moments(NamedTuple):
    cell: Any
    output: Any
    cell_overlap: Any
    output_overlap: Any
    log_own: Array
    log_both: Array


@eqx.filter_jit
def _run(law, power, cosine, key, burn_in: Int[Array, ""], units, groups, kept_biases) -> _Moments:
    """Moments after every step, those before lag 1 included; shape (groups, t) each."""
    newborn = _start(units, power.dtype)

    def one(key):
        first_key, kept_key = jr.split(key)
        kept = _draw_kept(law, units, kept_biases, kept_key)

        def step(state, xs):
            key, power, cosine, begins = xs
            own, both = (
                jtu.tree_map(lambda new, old: jnp.where(begins, new, old), start, tangents)
                for start, tangents in ((newborn.own, state.own), (newborn.both, state.both))
            )
            state = state._replace(own=own, both=both)
            return _step(law, kept, state, key, power, cosine, kept_biases=kept_biases)

        begins = jnp.arange(power.size, dtype=jnp.int32) == burn_in
        xs = (jr.split(first_key, power.size), power, cosine, begins)
        return jax.lax.scan(step, newborn, xs)[1]

    return jax.vmap(one)(jr.split(key, groups))


def _start(units: int, dtype) -> _State:
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    tangents = _Tangents(jnp.ones(units, dtype), one, zero)
    return _State(jnp.zeros((2, units), dtype), Gram(zero, zero, zero), tangents, tangents)


def _draw_kept(law: LSTM, units: int, kept_biases: bool, key) -> _Kept:
    gates = (law.keep, law.write, law.candidate, law.output)
    variances = [*law.peepholes, *(gate.bias_variance for gate in gates)]
    draws = [
        jnp.sqrt(variance) * jr.normal(k, (units,), variance.dtype)
        for k, variance in zip(jr.split(key, 7), variances, strict=True)
    ]
    biases = draws[3:] if kept_biases else [0 * draw for draw in draws[3:]]
    return _Kept(tuple(draws[:3]), tuple(biases))


def _preactivations(gate: Gate, bias: Array, state: _State, inputs: Gram, fresh: float, z: Array):
    """Those of both copies, shape (2, units), from normal numbers z of that shape."""
    spread = gate.gram(state.seen, inputs)
    aa, bb, ab = (covariance - (1 - fresh) * gate.bias_variance for covariance in spread)
    root = jnp.sqrt(aa)
    tilt = ab / jnp.where(root > 0, root, 1)
    rest = jnp.sqrt(jnp.maximum(bb - tilt**2, 0))
    return gate.bias_mean + bias[None] + jnp.stack([root * z[0], tilt * z[0] + rest * z[1]])


def _step(law: LSTM, kept: _Kept, state: _State, key, power, cosine, *, kept_biases: bool):
    """One step of all units of one group; arrays of a unit have shape (2, units)."""
    inputs, fresh = Gram.of(power, cosine), 0.0 if kept_biases else 1.0
    gates = (law.keep, law.write, law.candidate, law.output)
    normal = jr.normal(key, (4, *state.cells.shape), state.cells.dtype)
    u_f, u_i, u_g, u_o = (
        _preactivations(gate, bias, state, inputs, fresh, z)
        for gate, bias, z in zip(gates, kept.biases, normal, strict=True)
    )
    peep_f, peep_i, peep_o = (p[None] for p in kept.peepholes)
    c = state.cells
    f, i, g = jax.nn.sigmoid(u_f + peep_f * c), jax.nn.sigmoid(u_i + peep_i * c), jnp.tanh(u_g)
    df, di, dg = f * (1 - f), i * (1 - i), 1 - g**2
    new = f * c + i * g
    o, squashed = jax.nn.sigmoid(u_o + peep_o * new), jnp.tanh(new)
    do = o * (1 - o)
    h = o * squashed
    within = f + df * peep_f * c + di * peep_i * g
    outward = o * (1 - squashed**2) + do * peep_o * squashed
    through = (df * c, di * g, i * dg)

    def push(tangents: _Tangents, a: int, b: int) -> _Tangents:
        rows = within[a] * within[b] * tangents.rows
        for gate, slope in zip(gates, through, strict=False):
            rows += gate.recurrent_variance * slope[a] * slope[b] * tangents.seen
        output = outward[a] * outward[b] * rows
        output += (
            law.output.recurrent_variance * (do * squashed)[a] * (do * squashed)[b] * tangents.seen
        )
        cell, output = jnp.mean(rows), jnp.mean(output)
        seen = output if law.sees == "output" else cell
        # Rounding may leave nothing; a scale of 1 keeps the zeros that are left.
        total = (cell + output) / 2
        scale = jnp.where(total > 0, total, 1)
        log_scale = tangents.log_scale + jnp.log(total)
        return _Tangents(rows / scale, seen / scale, log_scale)

    def gram(v: Array) -> Gram:
        return Gram(jnp.mean(v[0] ** 2), jnp.mean(v[1] ** 2), jnp.mean(v[0] * v[1]))

    cells, outputs = gram(new), gram(h)
    own, both = push(state.own, 0, 0), push(state.both, 0, 1)
    moments = _Moments(
        (cells.aa + cells.bb) / 2,
        (outputs.aa + outputs.bb) / 2,
        cells.ab,
        outputs.ab,
        own.log_scale,
        both.log_scale,
    )
    return _State(new, outputs if law.sees == "output" else cells, own, both), moments


@eqx.filter_jit
def _summary(run: _Moments, settings: Settings) -> LSTMPopulation:
    groups, lags = run.cell.shape
    half = lags // 2

    def over_groups(values, status: Any = Status.OK) -> Estimate:
        error = jnp.std(values, axis=0, ddof=1) / groups**0.5
        return Estimate(jnp.mean(values, axis=0), error, status, settings)

    def steady(values) -> Estimate:
        drift = jnp.mean(values[:, half:], axis=1) - jnp.mean(values[:, :half], axis=1)
        error = jnp.std(drift, ddof=1) / groups**0.5
        drift, size = jnp.abs(jnp.mean(drift)), jnp.abs(jnp.mean(values))
        moving = (drift > 4 * error) & (drift > _DRIFT * size)
        status = jnp.where(moving, int(Status.NOT_CONVERGED), 0).astype(jnp.int32)
        return over_groups(jnp.mean(values, axis=1), status)

    def rate(logs) -> Estimate:
        # The slope of a power's logarithm over the last half of the lags.
        return over_groups(jnp.exp((logs[:, -1] - logs[:, half - 1]) / (lags - half)))

    def reach(logs) -> Estimate:
        powers = jnp.exp(jnp.concatenate([jnp.zeros_like(logs[:, :1]), logs], axis=1))
        power = over_groups(powers)
        value = jnp.sqrt(power.value)
        error = power.standard_error / jnp.where(value > 0, 2 * value, 1)
        return Estimate(value, error, Status.OK, settings)

    return LSTMPopulation(
        steady(run.cell),
        steady(run.output),
        steady(run.cell_overlap),
        steady(run.output_overlap),
        rate(run.log_own),
        rate(run.log_both),
        reach(run.log_own),
        reach(run.log_both),
    )
