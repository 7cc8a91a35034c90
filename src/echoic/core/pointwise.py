"""The fast way through a pointwise cell: batched by nature, differentiated by hand.

For ``s' = combine(s, d, W read(s))`` plain reverse mode through ``lax.scan`` forms the gradient of
W as one small product a step and stores every intermediate of ``combine``. Here the sequence is cut
into blocks, small enough for the processor's cache. Within a block

- forward, the inputs are projected at once, and a step is one product and what ``combine`` does;
- backward, a reverse scan collects the cotangents of the products, and one large product of them
  with what was read is the block's share in the gradient of W.

What the backward pass needs of ``combine`` (its inputs, and the values in `_COSTLY`) is kept by
step on a `_Tape`. Without ``Plan.remember`` the tape is made again from the state at the start of
each block.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import Array, Float, PyTree

from echoic.core.blocks import cut, join, scan
from echoic.core.cell import AbstractCell, PointwiseCell, State

# What is kept rather than computed again; sums and products are cheaper than the memory they take.
_COSTLY = (
    *("tanh", "logistic", "exp", "exp2", "expm1", "log", "log1p", "erf", "erfc", "erf_inv"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh", "acosh"),
    *("atanh", "pow", "sqrt", "rsqrt", "cbrt", "dot_general"),
)


class Plan(NamedTuple):
    """How to run: what to collect, the steps in a block, and whether to keep the tape."""

    collect: str
    block: int
    remember: bool


def collected(cell: AbstractCell, state: State, collect: str) -> PyTree:
    """What a state adds to the trajectory."""
    if collect == "outputs":
        return cell.output(state)
    if collect == "states":
        return state
    if collect == "nothing":
        return None
    raise ValueError(f"unknown collect {collect!r}.")


@eqx.filter_custom_vjp
def run(
    arguments: tuple[PointwiseCell, State, Float[Array, "t b m"]], plan: Plan
) -> tuple[State, PyTree]:
    """The last state and the trajectory (t, b, ...) of (cell, state with batch axis, inputs)."""
    cell, state, xs = arguments
    return _forward(cell, state, xs, plan, keep=False)[0]


@run.def_fwd
def _run_forward(perturbed, arguments, plan):
    del perturbed
    cell, state, xs = arguments
    return _forward(cell, state, xs, plan, keep=plan.remember)


@run.def_bwd
def _run_backward(kept, cotangent, perturbed, arguments, plan):
    cell, start, xs = arguments
    final, trajectory = cotangent
    (head, tail), (kept_head, kept_tail) = cut((xs, trajectory), plan.block), kept
    inputs_matter = any(jtu.tree_leaves(perturbed[2]))

    def block(carry, item):
        (cotangent, gradient), ((xs, trajectory), (start, tape)) = carry, item
        if tape is None:
            tape = _advance(cell, start, xs, plan.collect, keep=True)[1][1]
        cotangent, share, inputs = _pull(cell, tape, start, xs, cotangent, trajectory, plan)
        return (cotangent, _add(gradient, share)), inputs if inputs_matter else None

    nothing = jtu.tree_map(jnp.zeros_like, _floating(cell))
    (cotangent, gradient), *inputs = scan(
        block,
        (_zeros_where_none(final, start), nothing),
        (head, kept_head),
        None if tail is None else (tail, kept_tail),
        reverse=True,
    )
    return gradient, cotangent, join(*inputs) if inputs_matter else None


def _forward(cell, state, xs, plan, *, keep):
    """((last state, trajectory), by block: its first state and its tape)."""

    def block(state, xs):
        new, (trajectory, tape) = _advance(cell, state, xs, plan.collect, keep=keep)
        return new, (trajectory, (state, tape))

    final, head, tail = scan(block, state, *cut(xs, plan.block))
    (first, kept_head), (last, kept_tail) = head, (None, None) if tail is None else tail
    return (final, join(first, last)), (kept_head, kept_tail)


def _advance(cell, state, xs, collect, *, keep):
    """One block: (last state, (trajectory, tape or None))."""
    transposed = cell.recurrent.T
    update = eqx.filter_checkpoint(_combine, policy=_is_costly, prevent_cse=False)
    read = eqx.filter_checkpoint(_read, policy=_is_costly, prevent_cse=False)

    def step(state, drive):
        if not keep:
            product = _read(cell, state) @ transposed
            new, out = _combine(cell, state, drive, product, collect)
            return new, (out, None)
        seen, pull_read = eqx.filter_vjp(read, cell, state)
        (new, out), pull = eqx.filter_vjp(
            lambda c, s, d, p: update(c, s, d, p, collect), cell, state, drive, seen @ transposed
        )
        return new, (out, _Tape.of((seen, pull_read, pull), cell=cell, old=state, new=new))

    return jax.lax.scan(step, state, cell.project(xs))


def _pull(cell, tape, start, xs, cotangent, trajectory, plan):
    """One block backward: cotangents of its first state, of the cell, and of the inputs."""
    columns, rebuild = tape.open(cell, start)
    zero = jtu.tree_map(jnp.zeros_like, _floating(cell))
    output = jax.eval_shape(
        lambda s: jax.vmap(lambda s: collected(cell, s, plan.collect))(s), start
    )

    def step(carry, item):
        (cotangent, gradient), (column, out) = carry, item
        _, pull_read, pull = rebuild(column)
        by_combine, state, drive, product = pull((cotangent, _zeros_where_none(out, output)))
        by_read, state_read = pull_read(product @ cell.recurrent)
        gradient = _add(gradient, by_combine, by_read)
        return (_add(state, state_read), gradient), (drive, product)

    (cotangent, gradient), (drive, product) = jax.lax.scan(
        step, (cotangent, zero), (columns, trajectory), reverse=True
    )
    over_steps_and_batch = (((0, 1), (0, 1)), ((), ()))
    recurrent = jax.lax.dot_general(product, rebuild(columns)[0], over_steps_and_batch)
    by_project, inputs = eqx.filter_vjp(lambda cell, xs: cell.project(xs), cell, xs)[1](drive)
    gradient = _add(gradient, by_project)
    gradient = eqx.tree_at(lambda g: g.recurrent, gradient, gradient.recurrent + recurrent)
    return cotangent, gradient, inputs


def _read(cell, state):
    return jax.vmap(cell.read)(state)


def _combine(cell, state, drive, product, collect):
    new = jax.vmap(cell.combine)(state, drive, product)
    return new, jax.vmap(lambda state: collected(cell, state, collect))(new)


def _is_costly(primitive, *_, **__):
    return primitive.name in _COSTLY


class _Tape(eqx.Module):
    """A tree of arrays made in each step of a scan, with everything stored once.

    A leaf that is an array of the cell is not stored, one that is a leaf of the new state is stored
    as such, and one of the old state is found there as well, a step earlier. Leaves are told apart
    by identity: one that is not recognised is stored as it is, which costs memory only.
    """

    stored: dict[tuple[str, int], Array]
    sources: tuple[tuple[str, int], ...] = eqx.field(static=True)
    structure: Any = eqx.field(static=True)

    @staticmethod
    def of(tree: PyTree, **known: PyTree) -> "_Tape":
        """Called within the step; ``known`` are the cell, the old and the new state."""
        arrays = {(k, i): a for k, t in known.items() for i, a in enumerate(_arrays(t))}
        names = {id(array): name for name, array in arrays.items()}
        leaves, structure = jtu.tree_flatten(tree)
        sources, stored = [], {}
        for leaf in leaves:
            source = names.setdefault(id(leaf), ("own", len(names)))
            sources.append(source)
            if source[0] in ("old", "new"):
                stored["new", source[1]] = arrays["new", source[1]]
            elif source[0] == "own":
                stored[source] = leaf
        return _Tape(stored, tuple(sources), structure)

    def open(self, cell: PyTree, start: PyTree) -> tuple[PyTree, Callable[[PyTree], PyTree]]:
        """What a scan over the steps needs, and the way from there to the tree.

        The way works on whole columns as on single steps. ``start`` is the state before the first.
        """
        constants, first = _arrays(cell), _arrays(start)
        columns = {source: self.stored[source] for source in self.sources if source in self.stored}
        for name, i in self.sources:
            if name == "old":
                later = self.stored["new", i][:-1]
                columns["old", i] = jnp.concatenate([first[i][None], later])

        def rebuild(columns):
            leaves = [constants[i] if k == "cell" else columns[k, i] for k, i in self.sources]
            return jtu.tree_unflatten(self.structure, leaves)

        return columns, rebuild


def _arrays(tree: PyTree) -> list[Array]:
    return [leaf for leaf in jtu.tree_leaves(tree) if eqx.is_array(leaf)]


def _floating(tree: PyTree) -> PyTree:
    return eqx.filter(tree, eqx.is_inexact_array)


def _add(*trees: PyTree) -> PyTree:
    return jtu.tree_map(lambda *leaves: sum(leaves[1:], leaves[0]), *trees)


def _zeros_where_none(cotangent: PyTree, like: PyTree) -> PyTree:
    """Cotangents of the floating leaves of ``like``, those that were symbolic zeros filled in."""
    return jtu.tree_map(
        lambda leaf, c: jnp.zeros(leaf.shape, leaf.dtype) if c is None else c,
        eqx.filter(like, lambda a: jnp.issubdtype(a.dtype, jnp.inexact)),
        cotangent,
    )
