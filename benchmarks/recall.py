"""Linear recall of networks whose recall is known, beside reservoirpy's memory capacity.

Both get the same W and Win. The peer runs and regresses: once on its own series (10 k_max steps),
once on 20,000 steps; lags 1 to 2 n. Accuracy comes first: the largest error of the curve, and the
error of its sum, against the closed form. Times are the smallest of several, first call apart.
The peer's error falls with the root of its steps: no length of series reaches that of the exact
path, so that a ratio compares a right answer with a rough one. Beyond 64 units both networks are
answered without the eigenvalues of W. Other networks need them, and then they set the time.
"""

import logging

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import echoic
from benchmarks._timing import timed
from echoic.core.cell import AbstractCell, LinearForm

SIZES = (20, 50, 100, 200, 400)
GAIN = 0.9
STEPS = 20_000
MOST_ERROR = 1e-9
LEAST_RATIO = 20


class Linear(AbstractCell):
    recurrent: jax.Array
    drive: jax.Array
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, recurrent, drive):
        self.recurrent, self.drive = jnp.asarray(recurrent), jnp.asarray(drive)
        self.hidden_size, self.input_size = self.drive.shape

    def initial_state(self):
        return jnp.zeros(self.hidden_size, self.recurrent.dtype)

    def step(self, state, x):
        return self.recurrent @ state + self.drive @ x

    def read(self, state):
        return state

    def linear_form(self):
        return LinearForm(self.recurrent, self.drive, jnp.zeros_like(self.recurrent[0]))


def cycle(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A ring of gain r, and its recall ``r^(2 n floor(k / n)) (1 - r^2n)``."""
    lags = np.arange(2 * size + 1)
    exact = GAIN ** (2.0 * size * (lags // size)) * (1 - GAIN ** (2 * size))
    return GAIN * np.roll(np.eye(size), 1, axis=0), exact


def delay_line(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Random weights between .5 and 1.5, and its recall: 1 for k < n, then 0."""
    weights = np.random.default_rng(0).uniform(0.5, 1.5, size - 1)
    return np.diag(weights, -1), (np.arange(2 * size + 1) < size).astype(float)


def peer(recurrent: np.ndarray, drive: np.ndarray, series: np.ndarray | None) -> np.ndarray:
    from reservoirpy.nodes import Reservoir, Ridge
    from reservoirpy.observables import memory_capacity

    size = len(recurrent)
    reservoir = Reservoir(
        units=size, W=recurrent, Win=drive, bias=np.zeros(size), activation="identity", lr=1.0
    )
    model = reservoir >> Ridge(ridge=1e-8)
    return memory_capacity(model, k_max=2 * size, as_list=True, series=series, seed=0)


def main() -> None:
    logging.getLogger("reservoirpy").setLevel(logging.ERROR)
    print(
        "Linear recall, lags 1..2n: largest error of the curve, error of the sum, seconds (first"
        f" call)\n{'network':14}{'n':>5}  {'by':32}{'curve':>9}{'sum':>9}{'seconds':>10}"
        f"{'first':>9}{'ratio':>9}"
    )
    slow, wrong = [], []
    with jax.enable_x64(True):
        for name, network in (("cycle", cycle), ("delay line", delay_line)):
            for size in SIZES:
                error, ratio = _compare(name, size, *network(size))
                wrong += [f"{name} {size}"] if not error < MOST_ERROR else []
                slow += [f"{name} {size} ({ratio:.0f}x)"] if ratio < LEAST_RATIO else []
    print(f"\nErrors below {MOST_ERROR:g}: {'FAILED at ' + ', '.join(wrong) if wrong else 'all'}")
    print(
        f"At least {LEAST_RATIO} times as fast as the peer's {STEPS} steps:"
        f" {'FAILED at ' + ', '.join(slow) if slow else 'all'}"
    )


def _compare(name: str, size: int, recurrent: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    drive = np.eye(size, 1)
    cell = Linear(recurrent, drive)

    def ours() -> np.ndarray:
        recall = echoic.linear_recall(cell, max_lag=2 * size, key=jr.key(0))
        return np.asarray(recall.value)[1:]

    found, first, seconds = timed(ours, 5)
    _row(name, size, "echoic, exact", found, exact, seconds, first, None)
    error = np.max(np.abs(found - exact[1:]))
    long_series = np.random.default_rng(0).uniform(-0.8, 0.8, (STEPS, 1))
    ratio = 0.0
    for label, series in (("own series", None), (f"{STEPS} steps", long_series)):
        answer, peer_first, peer_seconds = timed(
            lambda series=series: peer(recurrent, drive, series), 1 if size > 100 else 3
        )
        ratio = peer_seconds / seconds
        _row(name, size, f"reservoirpy, {label}", answer, exact, peer_seconds, peer_first, ratio)
    return float(error), ratio


def _row(name, size, label, found, exact, seconds, first, ratio) -> None:
    curve = np.max(np.abs(found - exact[1:]))
    total = abs(found.sum() - exact[1:].sum())
    tail = "" if ratio is None else f"{ratio:8.0f}x"
    print(
        f"{name:14}{size:5}  {label:32}{curve:9.1e}{total:9.1e}{seconds:10.4f}{first:9.4f}{tail}",
        flush=True,
    )


if __name__ == "__main__":
    main()
