"""Fixed points beside one ``scipy.optimize.root`` (MINPACK hybr) for each start.

The peer searches three times from the same starts, points of trajectories: with the cell's own step
and Jacobian (compiled), with NumPy code written by hand for this one cell, and with that but
without the Jacobian. Ours shares the starts among all cores, the peer has one. Accuracy first: a
root counts if ``|F(h) - h| < 1e-10``; printed are the share of starts that end in a root, how many
roots differ, and the time for each start and each success. float64, the smallest of several times,
the first call (with its compilation) apart.
"""

import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

import echoic
from echoic import init
from echoic.cells import LSTM, Elman
from echoic.core.cell import flatten_state

GATE = 1e-10
KEY = jax.random.key(0)


def distinct(points: np.ndarray) -> int:
    left, count = np.asarray(points), 0
    while len(left):
        left = left[np.linalg.norm(left - left[0], axis=1) > 1e-6 * (1 + np.linalg.norm(left[0]))]
        count += 1
    return count


def row(what: str, who: str, found: int, roots: int, starts: int, seconds: float, note: str = ""):
    each = 1e3 * seconds / starts
    print(
        f"{what:26s} {who:22s} roots {roots:3d}  success {found / starts:5.2f}"
        f"  {each:8.3f} ms a start, {each * starts / max(found, 1):8.3f} ms a success  {note}"
    )


def peer(gap, jacobian, starts, tolerance=1e-13):
    """The roots found, and the time."""
    best, roots = float("inf"), []
    for _ in range(3):
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ends = [
                scipy.optimize.root(gap, h, jac=jacobian, method="hybr", tol=tolerance).x
                for h in starts
            ]
        best = min(best, time.perf_counter() - began)
    roots = [h for h in ends if np.linalg.norm(gap(h)) < GATE]
    return np.array(roots), best


def compare(what: str, cell, states, starts, gap, jacobian, others: int) -> None:
    """Ours on all starts, the peer on the first ``others``."""
    began = time.perf_counter()
    found = echoic.fixed_points(cell, starts=states)
    first, best = time.perf_counter() - began, float("inf")
    for _ in range(5):
        began = time.perf_counter()
        found = echoic.fixed_points(cell, starts=states)
        best = min(best, time.perf_counter() - began)
    worst = max(np.linalg.norm(gap(h)) for h in np.asarray(found.value))
    success = len(starts) - int(found.details["lost"])
    note = f"(first {first:.2f} s, worst residual {worst:.0e})"
    note += "" if worst < GATE else "  FAILS THE GATE"
    row(what, "echoic", success, len(found.value), len(starts), best, note)
    few = starts[:others]
    _, restore = flatten_state(cell.initial_state())
    drive = jnp.zeros(cell.input_size)
    own = jax.jit(lambda v: flatten_state(cell.step(restore(v), drive))[0] - v)
    slope = jax.jit(jax.jacfwd(own))
    peers = {
        "hybr, the cell itself": (lambda v: np.asarray(own(v)), lambda v: np.asarray(slope(v))),
        "hybr, by hand": (gap, jacobian),
        "hybr, without Jacobian": (gap, None),
    }
    for who, functions in peers.items():
        roots, seconds = peer(*functions, few)
        row(what, who, len(roots), distinct(roots), others, seconds)
        ratio = (seconds / others) / (best / len(starts))
        share = (seconds / max(len(roots), 1)) / (best / max(success, 1))
        print(f"{what:26s} ratio {ratio:.2f} a start, {share:.2f} a success; wanted 5\n")


def sampled(cell, count: int):
    """States of trajectories from random beginnings, without input."""
    rng = np.random.default_rng(0)
    begin = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=(64, *leaf.shape))), cell.initial_state()
    )

    def advance(states, _):
        states = jax.vmap(lambda s: cell.step(s, jnp.zeros(cell.input_size)))(states)
        return states, states

    run = jax.lax.scan(advance, begin, length=32)[1]
    picks = rng.choice(64 * 32, count, replace=False)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[picks], run)


def elman(size: int, gain: float, count: int, others: int) -> None:
    cell = Elman(1, size, recurrent=init.gaussian(gain), key=KEY, dtype=jnp.float64)
    weight, bias = np.asarray(cell.recurrent), np.asarray(cell.bias)
    states = sampled(cell, count)

    def gap(h):
        return np.tanh(weight @ h + bias) - h

    def jacobian(h):
        out = (1 - np.tanh(weight @ h + bias) ** 2)[:, None] * weight
        out.flat[:: size + 1] -= 1
        return out

    starts = np.asarray(states)
    compare(f"tanh, n = {size}, g = {gain}", cell, states, starts, gap, jacobian, others)


def hopfield(size: int, patterns: int, count: int, others: int) -> None:
    """Stored patterns: many attractors."""
    rng = np.random.default_rng(1)
    signs = rng.choice([-1.0, 1.0], size=(patterns, size))
    weight = 2.0 * (signs.T @ signs) / size
    cell = Elman(
        1,
        size,
        recurrent=lambda *_: jnp.asarray(weight),
        bias=init.zeros(),
        key=KEY,
        dtype=jnp.float64,
    )
    states = sampled(cell, count)

    def gap(h):
        return np.tanh(weight @ h) - h

    def jacobian(h):
        out = (1 - np.tanh(weight @ h) ** 2)[:, None] * weight
        out.flat[:: size + 1] -= 1
        return out

    starts = np.asarray(states)
    compare(f"Hopfield, n = {size}", cell, states, starts, gap, jacobian, others)


def sigmoid(u):
    return 1 / (1 + np.exp(-u))


def lstm(size: int, gain: float, count: int, others: int) -> None:
    cell = LSTM(1, size, recurrent=init.gaussian(gain), key=KEY, dtype=jnp.float64)
    weight, bias = np.asarray(cell.recurrent), np.asarray(cell.bias)
    states = sampled(cell, count)
    n = size

    def gates(h):
        u = weight @ h + bias
        return sigmoid(u[:n]), sigmoid(u[n : 2 * n]), np.tanh(u[2 * n : 3 * n]), sigmoid(u[3 * n :])

    def gap(s):
        i, f, g, o = gates(s[:n])
        c = f * s[n:] + i * g
        return np.concatenate([o * np.tanh(c), c]) - s

    def jacobian(s):
        i, f, g, o = gates(s[:n])
        out = np.tanh(f * s[n:] + i * g)
        dc = (g * i * (1 - i))[:, None] * weight[:n]
        dc += (s[n:] * f * (1 - f))[:, None] * weight[n : 2 * n]
        dc += (i * (1 - g**2))[:, None] * weight[2 * n : 3 * n]
        slope = o * (1 - out**2)
        full = np.zeros((2 * n, 2 * n))
        full[:n, :n] = slope[:, None] * dc + (out * o * (1 - o))[:, None] * weight[3 * n :]
        full[n:, :n] = dc
        full[np.arange(n), np.arange(n, 2 * n)] = slope * f
        full[np.arange(n, 2 * n), np.arange(n, 2 * n)] = f
        full.flat[:: 2 * n + 1] -= 1
        return full

    starts = np.concatenate([np.asarray(states.h), np.asarray(states.c)], axis=1)
    compare(f"LSTM, n = {size}, g = {gain}", cell, states, starts, gap, jacobian, others)


def main() -> None:
    """Print the table."""
    print(__doc__)
    with jax.enable_x64(True):
        elman(8, 2.0, 512, 128)
        elman(32, 1.5, 512, 64)
        elman(64, 1.5, 256, 32)
        elman(128, 1.2, 128, 16)
        hopfield(64, 4, 256, 32)
        lstm(32, 2.0, 256, 32)


if __name__ == "__main__":
    main()
