"""State noise that a network accumulates, kept as a square root of its covariance.

The noise has unit variance in every coordinate and step. Its covariance C = L L' is never formed
where that costs digits: ``[L, A]`` is a root of ``L L' + A A'``, and a QR factorisation makes it
square again. Rows of a root may differ by many orders of magnitude (delay lines that amplify):
the factorisation is accurate row by row, which neither C nor its inverse would be.

In units of the noise, ``w = L^-1 h``, every step is a contraction: what a state knows of a past
input can only fall.
"""

import math
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

from echoic.core.cell import AbstractCell, State, flatten_state
from echoic.core.tangent import linearise
from echoic.measure.windows import Windows

Matrix = Float[Array, "n n"]


class Root(NamedTuple):
    """A lower-triangular root of ``sum_k W^k W'^k``, and whether the sum settled."""

    root: Matrix
    settled: Bool[Array, ""]


class Whitened(NamedTuple):
    """A linear network in units of its stationary noise.

    ``step = L^-1 W L``, ``inverse = L^-1``. ``defect`` is by how much the rows of C fail
    ``C = W C W' + I``, relative to themselves.
    """

    step: Matrix
    inverse: Matrix
    root: Matrix
    defect: Float[Array, ""]


def join(root: Matrix, added: Matrix) -> Matrix:
    """The lower-triangular root, positive on its diagonal, of ``root root' + added added'``."""
    r = jnp.linalg.qr(jnp.concatenate([root, added], axis=1).T, mode="r")
    return r.T * _signs(r)[None]


def _signs(r: Matrix) -> Float[Array, "n"]:
    """A root is unique up to these; two that differ in them must not be mixed."""
    return jnp.where(jnp.diagonal(r) < 0, -1, 1).astype(r.dtype)


def stationary_root(w: Matrix) -> Root:
    """The root of the stationary covariance, by doubling: T terms, then 2 T.

    W is taken for unstable when the sum does not settle. That is what to ask: eigenvalues of
    strongly non-normal matrices come out of double precision wrong in the first digit. The
    doublings end where rounding would make a spectral radius of 1 look stable.
    """
    eps = float(jnp.finfo(w.dtype).eps)
    most = int(math.log2(0.01 / eps))
    eye = jnp.eye(w.shape[0], dtype=w.dtype)

    def unsettled(carry):
        _, root, settled, count = carry
        return ~settled & (count < most) & jnp.all(jnp.isfinite(root))

    def double(carry):
        power, root, _, count = carry
        added = power @ root
        root, power = join(root, added), power @ power
        share = jnp.max(_row_lengths(added) / _row_lengths(root))
        # A small share alone may be the calm before an amplification.
        return power, root, (share <= eps) & (jnp.linalg.norm(power) <= 1), count + 1

    _, root, settled, _ = jax.lax.while_loop(
        unsettled, double, (w, eye, jnp.asarray(False), jnp.asarray(0))
    )
    return Root(root, settled & jnp.all(jnp.isfinite(root)))


def finite_root(w: Matrix, steps: Int[Array, ""]) -> Matrix:
    """The root of the covariance after ``steps`` steps from rest, for any W.

    Doubling by the binary digits of ``steps``.
    """
    eye = jnp.eye(w.shape[0], dtype=w.dtype)
    digits = (steps >> jnp.arange(30, -1, -1, dtype=steps.dtype)) & 1

    def extend(carry, digit):
        power, root = carry
        power, root = power @ power, join(root, power @ root)
        one_more = w @ power, join(w @ root, eye)
        return jax.tree.map(lambda a, b: jnp.where(digit == 1, a, b), one_more, (power, root)), None

    return jax.lax.scan(extend, (eye, jnp.zeros_like(w)), digits)[0][1]


def whiten(w: Matrix, root: Matrix) -> Whitened:
    """Go over to units of the stationary noise without inverting anything.

    In ``[W L, I]' = Q L'`` the two blocks of Q are the step and the inverse root themselves, and
    columns of Q are orthonormal to rounding: the step contracts whatever the condition of C.
    """
    size = w.shape[0]
    stacked = jnp.concatenate([w @ root, jnp.eye(size, dtype=w.dtype)], axis=1).T
    q, r = jnp.linalg.qr(stacked)
    q = q * _signs(r)[None]
    defect = jnp.max(jnp.abs(1 - (_row_lengths(r.T) / _row_lengths(root)) ** 2))
    return Whitened(q[:size].T, q[size:].T, root, defect)


class NoisyRun(NamedTuple):
    """What is known along a driven trajectory. Axes: windows, then time or start.

    ``information`` is ``||L^-1 dh_{s+k}/dx_s||^2`` for each start s, lag k and direction of the
    input; ``injected`` is ``||dh_s/dx_s||^2``, the mean over those; ``noise`` is trace(C)/n at each
    time. ``separation`` is the smallest share of a coordinate's variance that the coordinates
    before it leave unexplained.
    """

    information: Float[Array, "r e k q"]
    injected: Float[Array, "r t"]
    noise: Float[Array, "r t"]
    separation: Float[Array, ""]


@eqx.filter_jit
def push_noise(
    cell: AbstractCell,
    inputs: Float[Array, "b t m"],
    state: State,
    windows: Windows,
    starts: Int[Array, "r e"],
    input_directions: Float[Array, "q m"],
    length: int,
    max_lag: int,
    method: Literal["cholesky", "qr"],
) -> NoisyRun:
    """Linearise along windows of ``length`` steps; push noise, and signals from each start."""

    def one_window(sequence, first, starts):
        def advance(carry, time):
            state, root, signals = carry
            x = inputs[sequence, first + time]
            injected = _injected(cell, state, x, input_directions)
            state, push = linearise(cell, state, x)
            pushed = jax.vmap(push)(root.T).T
            root = _grow(pushed, method)
            # Whitened by the old root, pushed, whitened by the new one; a start takes its input.
            begins = (starts == time)[None, :, None]
            old = jnp.einsum("ij,jeq->ieq", pushed, signals)
            new = jnp.where(begins, injected[:, None, :], old).reshape(root.shape[0], -1)
            signals = solve_triangular(root, new, lower=True).reshape(signals.shape)
            rows = _row_lengths(root)
            facts = (
                jnp.sum(signals**2, axis=0),
                jnp.mean(jnp.sum(injected**2, axis=0)),
                jnp.mean(rows**2),
                jnp.min(jnp.abs(jnp.diagonal(root)) / rows) ** 2,
            )
            return (state, root, signals), facts

        vector, _ = flatten_state(state)
        silence = jnp.zeros((vector.size, starts.size, input_directions.shape[0]), vector.dtype)
        times = jnp.arange(length, dtype=jnp.int32)
        begin = (state, jnp.zeros((vector.size, vector.size), vector.dtype), silence)
        _, (information, *others) = jax.lax.scan(advance, begin, times)
        lags = jnp.arange(max_lag + 1, dtype=jnp.int32)
        index = jnp.arange(starts.size, dtype=jnp.int32)[:, None]
        return information[starts[:, None] + lags[None], index], *others

    *along, separation = jax.vmap(one_window)(windows.sequence, windows.first, starts)
    return NoisyRun(*along, separation=jnp.min(separation))


def _injected(cell, state, x, input_directions) -> Float[Array, "n q"]:
    _, push = jax.linearize(lambda x: flatten_state(cell.step(state, x))[0], x)
    return jax.vmap(push, out_axes=1)(input_directions)


def _grow(pushed: Matrix, method: Literal["cholesky", "qr"]) -> Matrix:
    """The root after one more step of noise. By Cholesky: a fourth of the time, half the digits."""
    eye = jnp.eye(pushed.shape[0], dtype=pushed.dtype)
    if method == "cholesky":
        return jnp.linalg.cholesky(pushed @ pushed.T + eye, symmetrize_input=False)
    return join(pushed, eye)


def _row_lengths(matrix: Matrix) -> Float[Array, "n"]:
    return jnp.sqrt(jnp.sum(matrix**2, axis=1))
