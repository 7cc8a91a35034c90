"""The limit equations solved by a population: fields drawn from its own histories.

See the package for the theory. One population of M units stands for the infinite network: the field
of a gate is a random mixture of what the units show, so that its covariance over times, replicas
and perturbations is that of the population, as the equations ask.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from echoic.theory.tied.units import Unit

Mixtures = tuple[Float[Array, "_ n n"], ...]


class Grams(NamedTuple):
    """Products of responses of replicas a and b, lags first: ``exp(2 shift)`` times each.

    ``direct`` stayed on the unit where it began, ``passed`` went through the fields at least once,
    ``hops`` is ``passed`` weighted by how often. ``variance`` is that over units of the squared
    response, ``coherent_variance`` that of the mean product of different replicas. ``input`` is the
    response to the newest input.
    """

    shift: Float[Array, "k"]
    direct: Float[Array, "k b b"]
    passed: Float[Array, "k b b"]
    hops: Float[Array, "k"]
    variance: Float[Array, "k"]
    coherent_variance: Float[Array, "k"]
    input_shift: Float[Array, "k"] | None
    input: Float[Array, "k b b"] | None


class Columns(NamedTuple):
    """Tangents of every replica: the identity and the probes on their own units, and in all."""

    seeds: Float[Array, "b j d n"]
    own: Float[Array, "b p d n"]
    total: Float[Array, "b p d n"]
    slope: Float[Array, "b q d n"]  # derivative of ``total`` by the logarithm of all sigma


def split_groups(unit: Unit, matrices: Float[Array, "k n n"]) -> Mixtures:
    """Standard normal matrices, scaled by sigma, in the groups that the unit asks for."""
    size = matrices.shape[1]
    scaled = matrices * (unit.sigma / size**0.5)[:, None, None]
    cuts = [sum(unit.groups[: i + 1]) for i in range(len(unit.groups) - 1)]
    return tuple(jnp.split(scaled, cuts))


def _fields(mixtures: Mixtures, *, frozen: bool = False) -> Any:
    def fields(group, read):
        return mixtures[group] @ (jax.lax.stop_gradient(read) if frozen else read)

    return fields


def _linearise(unit, mixtures, state, x):
    """The next state of one replica, and how its tangents are pushed: in all, on their own units"""
    new, push = jax.linearize(lambda s: unit.step(s, x, _fields(mixtures)), state)
    _, stay = jax.linearize(lambda s: unit.step(s, x, _fields(mixtures, frozen=True)), state)
    return new, push, stay


def settle(
    unit: Unit, mixtures: Mixtures, inputs: Float[Array, "t b m"]
) -> tuple[Float[Array, "b d n"], Float[Array, "b d n"], Float[Array, "t"]]:
    """Drive all replicas from zero; the last states but one, the last, and all mean squares."""
    size = unit.bias.shape[1]
    start = jnp.zeros((inputs.shape[1], unit.state_numbers, size), unit.bias.dtype)

    def advance(carry, xs):
        _, states = carry
        new = jax.vmap(lambda s, x: unit.step(s, x, _fields(mixtures)))(states, xs)
        return (states, new), jnp.mean(new**2)

    (before, last), squares = jax.lax.scan(advance, (start, start), inputs)
    return before, last, squares


def first_columns(unit: Unit, signs: Float[Array, "p d n"], replicas: int) -> Columns:
    """The identity, block by block, and random signs; nothing has passed yet."""
    _, numbers, size = signs.shape
    place = jnp.arange(size) % unit.block
    member = (place[None] == jnp.arange(unit.block)[:, None]).astype(signs.dtype)
    seeds = jnp.eye(numbers, dtype=signs.dtype)[:, None, :, None] * member[None, :, None, :]
    seeds = seeds.reshape(-1, numbers, size)
    seeds, signs = (jnp.broadcast_to(a, (replicas, *a.shape)) for a in (seeds, signs))
    return Columns(seeds, signs, signs, jnp.zeros_like(signs[:, :1]))


def push(
    unit: Unit,
    mixtures: Mixtures,
    states: Float[Array, "b d n"],
    columns: Columns,
    entered: Float[Array, "b q d n"] | None,
    xs: Float[Array, "b m"],
) -> tuple[Float[Array, "b d n"], Columns, Float[Array, "b q d n"] | None]:
    """One step of everything; a single product with the mixtures."""
    passes = columns.slope.shape[1]

    def one(state, columns, entered, x):
        new, push_all, stay = _linearise(unit, mixtures, state, x)
        ahead = (columns.total, columns.slope) + (() if entered is None else (entered,))
        cuts = [columns.total.shape[0], columns.total.shape[0] + passes]
        pushed = jnp.split(jax.vmap(push_all)(jnp.concatenate(ahead)), cuts)
        total, slope, *rest = pushed
        stayed = jax.vmap(stay)(jnp.concatenate([columns.seeds, columns.own]))
        seeds, own = jnp.split(stayed, [columns.seeds.shape[0]])
        slope = slope + total[:passes] - jax.vmap(stay)(columns.total[:passes])
        return new, Columns(seeds, own, total, slope), rest[0] if entered is not None else None

    return jax.vmap(one)(states, columns, entered, xs)


def run(
    unit: Unit,
    mixtures: Mixtures,
    states: Float[Array, "b d n"],
    columns: Columns,
    entered: Float[Array, "b q d n"] | None,
    inputs: Float[Array, "k b m"],
) -> Grams:
    """Push all tangents from lag 0 on, and take their products at every lag."""

    def advance(carry, xs):
        states, columns, entered, log, log_entered = carry
        columns, log = _rescale(columns, log, columns.seeds, columns.total)
        grams = _products(columns)
        gram = None
        if entered is not None:
            entered, log_entered = _rescale(entered, log_entered, entered)
            gram = _gram(entered) / entered.shape[1]
        states, columns, entered = push(unit, mixtures, states, columns, entered, xs)
        return (states, columns, entered, log, log_entered), (log, grams, log_entered, gram)

    zero = jnp.zeros((), states.dtype)
    carry = (states, columns, entered, zero, None if entered is None else zero)
    _, (log, grams, log_entered, gram) = jax.lax.scan(advance, carry, inputs)
    return Grams(log, *grams, log_entered, gram)


def _rescale(tree: Any, log: Array, *measured: Array) -> tuple[Any, Array]:
    """Tangents of unit size, one scale for all replicas. Zero stays zero and NaN stays NaN."""
    size = jnp.sqrt(sum(jnp.mean(part**2) for part in measured))
    size = jnp.where(size > 0, size, jnp.ones_like(size))
    return jax.tree.map(lambda a: a / size, tree), log + jnp.log(size)


def _gram(columns: Float[Array, "b p d n"]) -> Float[Array, "b b"]:
    flat = columns.reshape(columns.shape[0], -1)
    return flat @ flat.T / columns.shape[-1]


def _products(columns: Columns) -> tuple[Array, Array, Array, Array, Array]:
    numbers, probes = columns.seeds.shape[2], columns.own.shape[1]
    passed = columns.total - columns.own
    passes = columns.slope.shape[1]
    hops = jnp.mean(jnp.sum(passed[:, :passes] * columns.slope, axis=(1, 2))) / (passes * numbers)
    own, pairs = _over_units(columns.seeds)
    through, through_pairs = _over_units(passed)
    variance = jnp.var(own + through / probes) / numbers**2
    coherent = jnp.var(pairs + through_pairs / probes) / numbers**2
    direct, passed = _gram(columns.seeds) / numbers, _gram(passed) / (probes * numbers)
    return direct, passed, hops, variance, coherent


def _over_units(columns: Float[Array, "b p d n"]) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    """Each unit's squared response, averaged over replicas and over pairs of different ones."""
    replicas = columns.shape[0]
    squares = jnp.sum(columns**2, axis=(0, 1, 2))
    whole = jnp.sum(jnp.sum(columns, axis=0) ** 2, axis=(0, 1))
    return squares / replicas, (whole - squares) / max(replicas * (replicas - 1), 1)


def run_memoryless(
    unit: Unit,
    mixtures: Mixtures,
    states: Float[Array, "b d n"],
    inputs: Float[Array, "k b m"],
) -> Grams:
    """The same where nothing stays on a unit: every step passes through W to fresh units.

    Then ``D_ab' = sigma^2 <B_a B_b> D_ab`` with B the derivative of the unit by its field.
    """
    size, dtype = states.shape[-1], states.dtype
    sigma_square = unit.sigma.astype(dtype)[0] ** 2

    def gain(state, x):
        frozen = _fields(mixtures, frozen=True)

        def nudged(amount):
            return unit.step(state, x, lambda group, read: frozen(group, read) + amount)

        start = jnp.zeros((1, size), dtype)
        return jax.jvp(nudged, (start,), (jnp.ones_like(start),))

    def advance(carry, xs):
        states, gram, log = carry
        scale = jnp.mean(jnp.diagonal(gram))
        scale = jnp.where(scale > 0, scale, jnp.ones_like(scale))
        gram, log = gram / scale, log + jnp.log(scale) / 2
        states, slopes = jax.vmap(gain)(states, xs)
        slopes = slopes.reshape(slopes.shape[0], -1)
        ahead = gram * (sigma_square * (slopes @ slopes.T / size))
        return (states, ahead, log), (log, gram)

    start = jnp.ones((states.shape[0], states.shape[0]), dtype)
    _, (log, gram) = jax.lax.scan(advance, (states, start, jnp.zeros((), dtype)), inputs)
    lags = jnp.arange(log.size)
    first = (lags == 0).astype(dtype)[:, None, None]
    power = jnp.mean(jnp.diagonal(gram, axis1=1, axis2=2), axis=1)
    hops = lags.astype(dtype) * power
    nothing = jnp.zeros_like(log)
    return Grams(log, gram * first, gram * (1 - first), hops, nothing, nothing, None, None)


def inject(
    unit: Unit,
    mixtures: Mixtures,
    states: Float[Array, "b d n"],
    xs: Float[Array, "b m"],
    directions: Float[Array, "q m"],
) -> Float[Array, "b q d n"]:
    """How the step that takes ``xs`` answers a change of its input."""

    def one(state, x):
        _, respond = jax.linearize(lambda x: unit.step(state, x, _fields(mixtures)), x)
        return jax.vmap(respond)(directions)

    return jax.vmap(one)(states, xs)


class Draws(NamedTuple):
    """The random numbers of all populations: matrices to mix by, and signs to probe with."""

    matrices: Float[Array, "s k n n"]
    signs: Float[Array, "s p d n"]


@eqx.filter_jit
def solve(
    unit: Unit,
    windows: Float[Array, "b t m"],
    directions: Float[Array, "q m"] | None,
    draws: Draws,
    *,
    burn_in: int,
) -> tuple[Grams, Float[Array, "s"]]:
    """All populations, one after the other; and the mean square of each one's states."""
    inputs = jnp.swapaxes(windows, 0, 1)
    quenched, rest = eqx.partition(unit, _quenched(unit))
    populations = draws.signs.shape[0]
    shares = jax.tree.map(lambda leaf: _share(leaf, unit, populations), quenched)
    # What follows the last lag is not looked at: any input will do.
    ahead = jnp.concatenate([inputs[burn_in + 1 :], inputs[-1:]])

    def one(share_and_draws):
        share, draws = share_and_draws
        unit = eqx.combine(share, rest)
        mixtures = split_groups(unit, draws.matrices)
        before, states, squares = settle(unit, mixtures, inputs[: burn_in + 1])
        square = jnp.mean(squares[(burn_in + 1) // 2 :])
        entered = None
        if directions is not None:
            entered = inject(unit, mixtures, before, inputs[burn_in], directions)
        if unit.memoryless and entered is None:
            return run_memoryless(unit, mixtures, states, ahead), square
        columns = first_columns(unit, draws.signs, inputs.shape[1])
        through = run(unit, mixtures, states, columns, entered, ahead)
        if not unit.memoryless:
            return through, square
        grams = run_memoryless(unit, mixtures, states, ahead)
        return grams._replace(input_shift=through.input_shift, input=through.input), square

    return jax.lax.map(one, (shares, draws))


def _quenched(unit: Unit) -> Any:
    """True for the arrays over units: all but sigma and scalars."""
    marked = jax.tree.map(lambda leaf: eqx.is_array(leaf) and leaf.ndim > 0, unit)
    return eqx.tree_at(lambda unit: unit.sigma, marked, False)


def _share(leaf: Array, unit: Unit, populations: int) -> Array:
    """The leaf's units dealt out to the populations in turn, neighbours that push kept together."""
    axis = 0 if leaf.ndim == 1 else 1
    size = leaf.shape[axis]
    together = unit.block if size == unit.bias.shape[1] else 1
    cards = leaf.reshape(*leaf.shape[:axis], -1, populations, together, *leaf.shape[axis + 1 :])
    dealt = jnp.moveaxis(cards, axis + 1, 0)
    return dealt.reshape(populations, *leaf.shape[:axis], -1, *leaf.shape[axis + 1 :])
