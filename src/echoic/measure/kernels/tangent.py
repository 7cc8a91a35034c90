"""The empirical tangent kernel of any network: how training on one output moves another.

No Jacobian over the weights is formed. A column of the kernel is the gradient of one output, pushed
forward as a change of the weights: ``K_ts = J_t J_s'``. A few outputs are in work at a time. The
gradient of a pointwise cell's recurrent matrix is not formed either: it is ``sum_l d_l r_l'`` with
the signals d_l at the product W r_l, and changes it at step k by ``sum_l (r_k . r_l) d_l``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import Array, Float

from echoic.core.cell import (
    AbstractCell,
    FunctionCell,
    PointwiseCell,
    as_cell,
    flatten_state,
    without_law,
)
from echoic.core.checks import refuse_if_larger, sequences
from echoic.core.estimate import Estimate, Settings, Status
from echoic.core.model import own_readout
from echoic.core.trainable import trainable_filter

# How many numbers the weights' gradients of the outputs in work at one time may take.
_NUMBERS_AT_ONCE = 2**19


class KernelDistance(NamedTuple):
    """How far two kernels are apart: ``relative``, in size; ``direction``, up to a factor."""

    relative: Float[Array, ""]
    direction: Float[Array, ""]


def tangent_kernel(
    cell: Any,
    inputs: Any,
    others: Any = None,
    *,
    readout: Any = None,
    state: Any = None,
) -> Estimate:
    """The empirical tangent kernel between all outputs of two sequences.

    **Definition.** ``K[t, i, s, j] = < d y_t,i(x) / d theta, d y_s,j(x') / d theta >`` over all
    trained weights theta of the cell and its readout, each in the parametrisation it is stored in.
    A gradient step of rate lr on a loss changes ``y_t(x)`` by ``-lr sum_s K_ts dLoss/dy_s(x')``,
    to first order.

    **Arguments**
    - `cell`: a cell or a `Network`; a bare step function has no weights to train and is refused.
    - `inputs`: x, shape (t,) or (t, m); `others`: x', of the same length or not; by default x.
    - `readout`: a callable from an output (n,) to (p,); its arrays count as weights. By default
      the network's own readout, a tied one with the embedding's matrix, whose gradient then comes
      from both of its uses; else the output itself, so that p = n.
    - `state`: the state before the first input of both. It is not trained.

    **Returns** an `Estimate` of shape (t, p, s, p), exact.

    **Raises** ValueError where shapes do not fit or nothing is trained; MemoryError where the
    kernel itself takes more than 8 GB.

    **Misleads.** It describes training by plain gradient descent, and only while it does not move:
    see [`kernel_drift`][]. A factor such as n^-1/2 inside or outside a weight changes it.

    **Cost** O(t^2 p n^2 + t^3 p n) for a pointwise cell, O(t^2 p |theta|) for others, all passes
    over the sequence. Memory: the states, the kernel, and a few gradients. A NaN among the inputs
    makes the whole kernel NaN.

    **Reference** Jacot, Gabriel and Hongler (2018) for the kernel; Emami et al. (2021) for that
    of the linear recurrent network.

    **Example** An output that is linear in its only weight.
    >>> import jax, jax.numpy as jnp
    >>> from echoic import init
    >>> from echoic.cells import LinearRNN
    >>> cell = LinearRNN(1, 1, recurrent=init.zeros(), key=jax.random.key(0))
    >>> kernel = tangent_kernel(cell, jnp.array([2.0]), jnp.array([3.0]))
    >>> bool(jnp.allclose(kernel.value, 6.0))
    True
    """
    cell, readout = _with_weights(cell, readout)
    start = cell.initial_state() if state is None else state
    dtype = flatten_state(start)[0].dtype
    first = _one_sequence(inputs, "inputs", cell, dtype)
    second = None if others is None else _one_sequence(others, "others", cell, dtype)
    size = jax.eval_shape(lambda s: _output(cell, readout, s), start).size
    longest = len(first) if second is None else len(second)
    refuse_if_larger("The kernel", float(len(first) * longest * size**2 * dtype.itemsize))
    value = _kernel(cell, readout, start, first, second)
    status = jnp.where(jnp.isfinite(value).all(), int(Status.OK), int(Status.NOT_FINITE))
    return Estimate(value, None, status, Settings(steps=len(first), outputs=size))


def kernel_distance(first: Any, second: Any) -> KernelDistance:
    """How far the kernel ``second`` is from ``first``.

    **Definition.** ``relative = |K_2 - K_1| / |K_1|`` and ``direction = 1 - <K_1, K_2> / (|K_1|
    |K_2|)`` with Frobenius norms; the second does not see a factor.

    **Arguments:** two arrays or estimates of equal shape.

    **Reference** Fort et al. (2020) for the direction.

    **Example**
    >>> import jax.numpy as jnp
    >>> found = kernel_distance(jnp.eye(2), 3 * jnp.eye(2))
    >>> bool(jnp.allclose(jnp.stack(found), jnp.array([2.0, 0.0]), atol=1e-6))
    True
    """
    a, b = (jnp.asarray(k.value if isinstance(k, Estimate) else k) for k in (first, second))
    if a.shape != b.shape:
        raise ValueError(f"two kernels must have equal shapes, got {a.shape} and {b.shape}.")
    relative = jnp.linalg.norm((b - a).reshape(-1)) / jnp.linalg.norm(a.reshape(-1))
    cosine = jnp.sum(a * b) / (jnp.linalg.norm(a.reshape(-1)) * jnp.linalg.norm(b.reshape(-1)))
    return KernelDistance(relative, 1 - cosine)


def kernel_drift(
    snapshots: Sequence[Any],
    inputs: Any,
    *,
    readouts: Sequence[Any] | None = None,
    state: Any = None,
) -> Estimate:
    """How far training has moved the tangent kernel from that of the first snapshot.

    **Definition.** The ``relative`` [`kernel_distance`][] of each snapshot's kernel to the first
    one's. In the regime where the kernel theory holds it stays small: O(n^-1/2).

    **Arguments:** ``snapshots``: cells or networks at several stages of training; ``readouts``:
    one for each, by default the networks' own; the rest as for [`tangent_kernel`][].

    **Returns** an `Estimate` of shape (snapshots,), 0 for the first; ``details["direction"]``.
    """
    if len(snapshots) < 1:
        raise ValueError("snapshots must hold one network at least, got none.")
    readouts = [None] * len(snapshots) if readouts is None else readouts
    if len(readouts) != len(snapshots):
        raise ValueError(
            f"readouts must be as many as snapshots, {len(snapshots)}, got {len(readouts)}."
        )
    kernels = [
        tangent_kernel(cell, inputs, readout=readout, state=state)
        for cell, readout in zip(snapshots, readouts, strict=True)
    ]
    found = [kernel_distance(kernels[0], kernel) for kernel in kernels]
    status = jnp.stack([kernel.status for kernel in kernels])
    return Estimate(
        jnp.stack([one.relative for one in found]),
        None,
        status,
        Settings(snapshots=len(snapshots)),
        {"direction": jnp.stack([one.direction for one in found])},
    )


def _with_weights(cell: Any, readout: Any) -> tuple[AbstractCell, Any]:
    if not isinstance(cell, AbstractCell) or isinstance(cell, FunctionCell):
        raise ValueError(
            "tangent_kernel needs a cell: a bare step function does not say what its weights are,"
            f" got {cell!r}. Write it as a subclass of echoic.AbstractCell."
        )
    cell = without_law(as_cell(cell))
    if not any(jtu.tree_leaves(trainable_filter((cell, readout)))):
        raise ValueError("nothing is trained: neither the cell nor its readout has weights.")
    return cell, readout


def _one_sequence(inputs: Any, name: str, cell: AbstractCell, dtype: Any) -> Array:
    batch = sequences(inputs, cell.input_size, dtype)
    if batch.shape[0] != 1:
        raise ValueError(f"{name} must be one sequence (t,) or (t, m), got {batch.shape}.")
    return batch[0]


def _output(cell: AbstractCell, readout: Any, state: Any) -> Float[Array, "p"]:
    output = cell.output(state)
    # Read out by the network that is differentiated, of which each weight counts once: a readout
    # taken out of it would miss the matrix that it shares with an embedding, or count a copy.
    readout = own_readout(cell) if readout is None else readout
    return output if readout is None else jnp.reshape(readout(output), (-1,))


class _Run(NamedTuple):
    """One sequence: states before and after each step, inputs, and what W multiplied."""

    before: Any
    after: Any
    xs: Float[Array, "k m"]
    reads: Float[Array, "k n"] | None


@eqx.filter_jit
def _kernel(cell, readout, start, first, second) -> Float[Array, "t p s q"]:
    trained, fixed = eqx.partition((cell, readout), trainable_filter((cell, readout)))
    rows = 0
    if isinstance(cell, PointwiseCell) and trained[0].recurrent is not None:
        rows = cell.recurrent.shape[0]
        trained = eqx.tree_at(lambda both: both[0].recurrent, trained, None)
        fixed = eqx.tree_at(
            lambda both: both[0].recurrent, fixed, cell.recurrent, is_leaf=lambda x: x is None
        )
    left = _run(cell, start, first, rows)
    right = left if second is None else _run(cell, start, second, rows)
    shared = left.reads @ right.reads.T if rows else None  # pyright: ignore
    step, output = _local(fixed, rows)

    def one_output(s):
        gradient, signals = _backward(step, output, trained, right, s, rows)
        forces = jnp.zeros((len(left.xs), *signals.shape[1:]), signals.dtype)
        if rows:
            forces = jnp.einsum("kl,lqr->kqr", shared, signals)
        return _forward(step, output, trained, left, gradient, forces)

    length = len(right.xs)
    p = jax.eval_shape(lambda s: _output(cell, readout, s), start).size
    numbers = sum(leaf.size for leaf in jtu.tree_leaves(trained)) + 2 * length * rows
    at_once = min(length, max(1, _NUMBERS_AT_ONCE // (p * max(1, numbers))))
    columns = jax.lax.map(one_output, jnp.arange(length), batch_size=at_once)
    return jnp.transpose(columns, (1, 3, 0, 2))  # (s, t, q, p) -> (t, p, s, q)


def _run(cell, start, xs, rows) -> _Run:
    def forward(state, x):
        new = cell.step(state, x)
        return new, (state, new)

    _, (before, after) = jax.lax.scan(forward, start, xs)
    return _Run(before, after, xs, jax.vmap(cell.read)(before) if rows else None)


def _local(fixed, rows):
    """One step and one output as functions of weights and floating state.

    ``force`` is added to the product W h of a pointwise cell; it has no length for other cells.
    """

    def step(weights, vector, force, old, x):
        cell, _ = eqx.combine(weights, fixed)
        state = flatten_state(old)[1](vector)
        if not rows:
            return flatten_state(cell.step(state, x))[0]
        product = cell.recurrent @ cell.read(state) + force
        return flatten_state(cell.combine(state, cell.project(x), product))[0]

    def output(weights, vector, new):
        cell, readout = eqx.combine(weights, fixed)
        return _output(cell, readout, flatten_state(new)[1](vector))

    return step, output


def _backward(step, output, trained, run: _Run, s, rows):
    """Of the outputs at time s: their gradients, W's apart, and the signals at W h, (l, q, r)."""
    after = jtu.tree_map(lambda leaf: leaf[s], run.after)
    vector = flatten_state(after)[0]
    y, pull = jax.vjp(lambda weights, v: output(weights, v, after), trained, vector)
    gradient, own = jax.vmap(pull)(jnp.eye(y.size, dtype=y.dtype))

    def back(carry, item):
        (signal, total), (old, x, k) = carry, item
        signal = jnp.where(k == s, own, signal)
        no_force = jnp.zeros(rows, vector.dtype)
        _, pull = jax.vjp(
            lambda weights, v, force: step(weights, v, force, old, x),
            *(trained, flatten_state(old)[0], no_force),
        )
        share, through, at_product = jax.vmap(pull)(signal)
        return (through, jtu.tree_map(jnp.add, total, share)), at_product

    items = (run.before, run.xs, jnp.arange(len(run.xs)))
    carry = (jnp.zeros_like(own), gradient)
    (_, gradient), signals = jax.lax.scan(back, carry, items, reverse=True)
    return gradient, signals


def _forward(step, output, trained, run: _Run, gradient, forces) -> Float[Array, "t q p"]:
    """What a step along each gradient does to all outputs: tangents pushed through the run."""

    def push(tangent, item):
        old, new, x, force = item
        no_force = jnp.zeros(force.shape[1:], force.dtype)
        _, along = jax.linearize(
            lambda weights, v, f: step(weights, v, f, old, x),
            *(trained, flatten_state(old)[0], no_force),
        )
        tangent = jax.vmap(along)(gradient, tangent, force)
        _, seen = jax.linearize(
            lambda weights, v: output(weights, v, new), trained, flatten_state(new)[0]
        )
        return tangent, jax.vmap(seen)(gradient, tangent)

    flat = flatten_state(jtu.tree_map(lambda leaf: leaf[0], run.before))[0]
    still = jnp.zeros((forces.shape[1], flat.size), flat.dtype)
    return jax.lax.scan(push, still, (run.before, run.after, run.xs, forces))[1]
