"""The compiled programs: many updates in one call, and an examination on sequences held back.

How many updates a call makes is an argument, not a constant of the program. One compilation thus
serves calls of any length, and a run that is cut into other calls still has the same bits.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from echoic.core.cell import State
from echoic.core.loss import TargetLoss
from echoic.core.model import AbstractModel
from echoic.training.held_back import HeldBack, HeldBackStream
from echoic.training.objective import Metrics, Totals, metrics, totals
from echoic.training.optimiser import (
    Numbers,
    Optimiser,
    Rule,
    descend,
    global_norm,
    initialise,
)
from echoic.training.stream import AbstractSource


class Sums(NamedTuple):
    """What has come up since the last line of the history."""

    loss: Float[Array, "*s"]
    norm: Float[Array, "*s"]
    largest_norm: Float[Array, "*s"]
    updates: Int[Array, "*s"]


class Member(NamedTuple):
    """What the next update of one network needs; stacked, with a leading s, for several.

    ``diverged`` is the step whose loss, gradient or update was not finite, -1 if none was: from
    then on the weights stay what they were before it.
    """

    weights: PyTree
    optimiser: PyTree
    carry: State
    sums: Sums
    diverged: Int[Array, "*s"]


class Best(NamedTuple):
    """The weights of the lowest validation loss so far."""

    weights: PyTree
    loss: Float[Array, "*s"]
    step: Int[Array, "*s"]


class Constants(NamedTuple):
    """What of a member never changes."""

    fixed: PyTree
    numbers: Numbers
    data_key: PRNGKeyArray
    dropout_key: PRNGKeyArray


class Recipe(eqx.Module):
    """What all members share, and what a program is compiled for."""

    static: PyTree
    loss: str | TargetLoss = eqx.field(static=True)
    rule: Rule

    def model(self, weights: PyTree, constants: Constants) -> AbstractModel:
        """The network of a member."""
        return eqx.combine(weights, constants.fixed, self.static)


@eqx.filter_jit
def begin(recipe: Recipe, source: AbstractSource, constants: Constants, weights: PyTree) -> Member:
    """Members before their first update, all stacked."""

    def alone(constants, weights):
        model = recipe.model(weights, constants)
        zero = jnp.zeros((), constants.numbers.learning_rate.dtype)
        return Member(
            weights,
            initialise(recipe.rule, weights),
            _first_state(model, source.size) if source.carries else None,
            Sums(zero, zero, zero, jnp.zeros((), jnp.int32)),
            jnp.full((), -1, jnp.int32),
        )

    # A copy: these arrays are given away in the first call, and the others belong to somebody else.
    return jtu.tree_map(jnp.copy, over_members(alone)(constants, weights))


@eqx.filter_jit
def nothing_yet(members: Member) -> Best:
    """The best weights before any was examined."""
    shape = members.diverged.shape
    return Best(
        jtu.tree_map(jnp.copy, members.weights),
        jnp.full(shape, jnp.inf, members.sums.loss.dtype),
        jnp.zeros(shape, jnp.int32),
    )


def _first_state(model: Any, size: int) -> State:
    return jtu.tree_map(
        lambda leaf: jnp.broadcast_to(leaf, (size, *leaf.shape)), model.initial_state()
    )


@eqx.filter_jit(donate="all-except-first")
def advance(
    given: tuple[Recipe, AbstractSource, Constants, PyTree, Array, Array, Array, Array],
    members: Member,
) -> Member:
    """Make the updates from step ``start`` up to ``stop`` for every member that is active.

    The arrays of ``members`` are given away: their memory is where the new ones go.
    """
    recipe, source, constants, feed, active, start, stop, feed_start = given

    def alone(constants, feed, active, member):
        def body(step, member):
            batch = source.batch(feed, constants.data_key, step, feed_start)
            return _update(recipe, source, constants, member, batch, step, active)

        return jax.lax.fori_loop(start, stop, body, member)

    return over_members(alone)(constants, feed, active, members)


def over_members(function: Any) -> Any:
    """``jax.vmap``, but one member alone computes as if there were no leading axis."""

    def run(*stacked: PyTree) -> PyTree:
        (size,) = {leaf.shape[0] for leaf in jtu.tree_leaves(stacked)}
        if size > 1:
            return jax.vmap(function)(*stacked)
        single = jtu.tree_map(lambda leaf: leaf[0], stacked)
        return jtu.tree_map(lambda leaf: leaf[None], function(*single))

    return run


def _update(recipe, source, constants, member, batch, step, active) -> Member:
    carry = member.carry
    if source.carries:
        first = _first_state(recipe.model(member.weights, constants), source.size)
        carry = _where(source.restarts(step), first, carry)

    def mean_loss(weights):
        model = recipe.model(weights, constants)
        key = jr.fold_in(constants.dropout_key, step)
        sums, final = totals(model, batch, recipe.loss, state=carry, key=key)
        return metrics(sums).loss, final if source.carries else None

    (loss, carry), gradient = jax.value_and_grad(mean_loss, has_aux=True)(member.weights)
    norm = global_norm(gradient)
    weights, optimiser = descend(
        recipe.rule,
        constants.numbers,
        gradient,
        member.optimiser,
        member.weights,
        step=step,
    )
    # A second moment that overflows would freeze its weight for good, without any other sign.
    made = (weights, optimiser if _is_ours(recipe.rule) else None)
    sound = jnp.isfinite(loss) & jnp.isfinite(norm) & _all_finite(made)
    going = active & (member.diverged < 0)
    sums = Sums(
        member.sums.loss + loss.astype(member.sums.loss.dtype),
        member.sums.norm + norm.astype(member.sums.norm.dtype),
        jnp.maximum(member.sums.largest_norm, norm.astype(member.sums.norm.dtype)),
        member.sums.updates + 1,
    )
    new = Member(weights, optimiser, carry, sums, member.diverged)
    stays = member._replace(
        diverged=jnp.where(going & ~sound, step.astype(jnp.int32), member.diverged)
    )
    return _where(going & sound, new, stays)


def _is_ours(rule: Rule) -> bool:
    # The state of somebody else's transformation may well begin with infinities.
    return isinstance(rule, Optimiser)


def _all_finite(tree: PyTree) -> Bool[Array, ""]:
    floating = jtu.tree_leaves(eqx.filter(tree, eqx.is_inexact_array))
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in floating]))


def _where(condition: Any, yes: PyTree, no: PyTree) -> PyTree:
    return jtu.tree_map(lambda a, b: jnp.where(condition, a, b), yes, no)


@eqx.filter_jit
def examine(
    recipe: Recipe, held_back: HeldBack | HeldBackStream, constants: Constants, weights: PyTree
) -> Metrics:
    """The metrics of every member's weights on what was held back."""

    def alone(constants, weights):
        model = recipe.model(weights, constants)
        if isinstance(held_back, HeldBackStream):
            return metrics(_along_stream(model, held_back, recipe.loss))
        return metrics(_over_batches(model, held_back, recipe.loss))

    return over_members(alone)(constants, weights)


def _over_batches(model, held_back, kind) -> Totals:
    def batch(item):
        batch, counts = item
        sums = totals(model, batch, kind)[0]
        return jtu.tree_map(lambda part: jnp.where(counts, part, 0), sums)

    return jax.lax.map(batch, (held_back.batches, held_back.counts))


def _along_stream(model, held_back, kind) -> Totals:
    def segment(state, index):
        batch = held_back.task.segment(index, held_back.size, held_back.split)
        sums, state = totals(model, batch, kind, state=state)
        return state, sums

    first = _first_state(model, held_back.size)
    return jax.lax.scan(segment, first, jnp.arange(held_back.num_segments))[1]


@eqx.filter_jit
def keep_best(best: Best, weights: PyTree, loss: Float[Array, "s"], step: Int[Array, "s"]) -> Best:
    """The best so far, or the present weights where their loss is lower (NaN is not)."""
    better = loss < best.loss

    def choose(new, old):
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return Best(
        jtu.tree_map(choose, weights, best.weights),
        jnp.where(better, loss, best.loss),
        jnp.where(better, step, best.step),
    )
