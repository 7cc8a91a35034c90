"""Lyapunov spectra beside lyapax and beside a NumPy loop with Jacobians written by hand.

Accuracy comes first: a time counts if the sum of all exponents meets the mean of log|det J|, taken
from a closed form along the same trajectory, within 1e-8 nats a step. Each peer gets the longest
interval between its orthogonalisations that passes; ours finds its own, and the search is part of
its time. float64, the smallest of several times, the first call (with its compilation) apart.
"""

import contextlib
import warnings

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from benchmarks._timing import timed
from echoic import init
from echoic.cells import GRU, LSTM
from echoic.measure.lyapunov.spectrum import lyapunov_spectrum

GATE = 1e-8
INTERVALS = (50, 20, 10, 5, 2, 1)
KEY = jr.key(0)


def row(what: str, who: str, interval: int, residual: float, seconds: float, first: float) -> None:
    verdict = "" if residual < GATE or residual != residual else "  FAILS THE GATE"
    print(
        f"{what:34s} {who:16s} every {interval:3d}  residual {residual:8.1e}"
        f"  {seconds * 1e3:10.2f} ms  (first {first:5.2f} s){verdict}"
    )


def ratio(what: str, theirs: float, ours: float, wanted: float) -> None:
    print(f"{what:34s} ratio {theirs / ours:.2f}, wanted {wanted:g}\n")


# Autonomous maps, against lyapax.


def network(form: str, size: int, gain: float):
    weight = gain * jr.normal(jr.key(size), (size, size)) / size**0.5
    log_det = jnp.linalg.slogdet(weight)[1]

    def step(x, _=None):
        return weight @ jnp.tanh(x) if form == "J tanh x" else jnp.tanh(weight @ x)

    def log_det_at(x):
        slope = 1 - jnp.tanh(x if form == "J tanh x" else weight @ x) ** 2
        return log_det + jnp.sum(jnp.log(slope))

    return step, log_det_at, jr.normal(jr.key(size + 1), (size,))


def mean_log_det(step, log_det_at, state, burn_in: int, steps: int) -> float:
    def advance(x, _):
        return step(x), log_det_at(x)

    _, logs = jax.lax.scan(advance, state, length=burn_in + steps)
    return float(jnp.mean(logs[burn_in:]))


def against_lyapax(form: str, size: int, gain: float, steps: int, burn_in: int, wanted: float):
    import lyapax

    step, log_det_at, state = network(form, size, gain)
    exact = mean_log_det(step, log_det_at, state, burn_in, steps)
    name = f"{form}, g = {gain}, all of {size}"
    for interval in INTERVALS:

        def peer(x, interval=interval):
            return lyapax.lyapunov_spectrum(
                step, x, 1.0, steps, renorm_every=interval, t_transient=float(burn_in)
            ).exponents

        compiled = jax.jit(peer)
        residual = abs(float(jnp.sum(compiled(state))) - exact)
        if residual < GATE:
            break
    jax.clear_caches()
    _, first, theirs = timed(lambda: compiled(state), 5)
    row(name, "lyapax", interval, residual, theirs, first)

    def call():
        return lyapunov_spectrum(step, state=state, steps=steps, burn_in=burn_in, key=KEY)

    found, first, ours = timed(call, 5)
    residual = abs(float(jnp.sum(found.value)) - exact)
    row(name, "echoic", found.settings["orthogonalise_every"], residual, ours, first)
    ratio(name, theirs, ours, wanted)


def leading_against_all() -> None:
    step, log_det_at, state = network("tanh(J x)", 512, 3.0)
    exact = mean_log_det(step, log_det_at, state, 50, 100)
    times = {}
    for k in (512, 8):

        def call(k=k):
            return lyapunov_spectrum(
                step, state=state, steps=100, burn_in=50, num_exponents=k, key=KEY
            )

        found, first, times[k] = timed(call, 3)
        residual = abs(float(jnp.sum(found.value)) - exact) if k == 512 else float("nan")
        interval = found.settings["orthogonalise_every"]
        row(f"tanh(J x), g = 3.0, {k} of 512", "echoic", interval, residual, times[k], first)
    ratio("leading 8 of 512", times[512], times[8], 100)


# Driven gated networks, against NumPy.


def sigmoid(u):
    return 1 / (1 + np.exp(-u))


def lstm_step(w, v, b, state, x):
    n = w.shape[1]
    h, c = state[:n], state[n:]
    u = w @ h + v @ x + b
    i, f, o = sigmoid(u[:n]), sigmoid(u[n : 2 * n]), sigmoid(u[3 * n :])
    g = np.tanh(u[2 * n : 3 * n])
    new = f * c + i * g
    out = np.tanh(new)
    jacobian = np.zeros((2 * n, 2 * n))
    dc = (g * i * (1 - i))[:, None] * w[:n] + (c * f * (1 - f))[:, None] * w[n : 2 * n]
    dc += (i * (1 - g**2))[:, None] * w[2 * n : 3 * n]
    slope = o * (1 - out**2)
    jacobian[:n, :n] = slope[:, None] * dc + (out * o * (1 - o))[:, None] * w[3 * n :]
    jacobian[n:, :n] = dc
    jacobian[np.arange(n), np.arange(n, 2 * n)] = slope * f
    jacobian[np.arange(n, 2 * n), np.arange(n, 2 * n)] = f
    return np.concatenate([o * out, new]), jacobian


def gru_step(w, v, b, candidate_bias, h, x):
    n = w.shape[1]
    product, drive = w @ h, v @ x + b
    r = sigmoid(product[:n] + drive[:n])
    z = sigmoid(product[n : 2 * n] + drive[n : 2 * n])
    inner = product[2 * n :] + candidate_bias
    new = np.tanh(drive[2 * n :] + r * inner)
    slope = (1 - z) * (1 - new**2)
    jacobian = (slope * r)[:, None] * w[2 * n :]
    jacobian += (slope * inner * r * (1 - r))[:, None] * w[:n]
    jacobian += ((h - new) * z * (1 - z))[:, None] * w[n : 2 * n]
    jacobian[np.arange(n), np.arange(n)] += z
    return (1 - z) * new + z * h, jacobian


def numpy_spectrum(step, state, inputs, frame, burn_in: int, interval: int) -> np.ndarray:
    logs = np.zeros(frame.shape[1])
    for t, x in enumerate(inputs, start=1):
        state, jacobian = step(state, x)
        frame = jacobian @ frame
        if t % interval == 0 or t in (burn_in, len(inputs)):
            frame, r = np.linalg.qr(frame)
            if t > burn_in:
                logs += np.log(np.abs(np.diagonal(r)))
    return np.sort(logs / (len(inputs) - burn_in))[::-1]


def exact_sum(step, state, inputs, burn_in: int) -> float:
    total = 0.0
    for t, x in enumerate(inputs):
        state, jacobian = step(state, x)
        total += np.linalg.slogdet(jacobian)[1] if t >= burn_in else 0.0
    return total / (len(inputs) - burn_in)


def against_numpy(family, size: int, length: int, burn_in: int) -> None:
    cell = family(1, size, bias=init.forget(1.0), key=KEY, dtype=jnp.float64)
    inputs = jr.normal(jr.key(1), (length, 1))
    if family is LSTM:
        weights = [np.asarray(a) for a in (cell.recurrent, cell.input, cell.bias)]
        step, n = lambda state, x: lstm_step(*weights, state, x), 2 * size
    else:
        weights = [
            np.asarray(a) for a in (cell.recurrent, cell.input, cell.bias, cell.candidate_bias)
        ]
        step, n = lambda state, x: gru_step(*weights, state, x), size
    series = np.asarray(inputs)
    exact = exact_sum(step, np.zeros(n), series, burn_in)
    frame = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    interval, residual = 1, float("nan")
    for interval in INTERVALS:
        sums = numpy_spectrum(step, np.zeros(n), series, frame, burn_in, interval).sum()
        residual = abs(sums - exact)
        if residual < GATE:
            break
    for k, wanted in ((n, 2), (8, 15)):
        name = f"driven {family.__name__}, n = {size}, {k} of {n}"
        every = interval if k == n else INTERVALS[0]

        def peer(k=k, every=every):
            return numpy_spectrum(step, np.zeros(n), series, frame[:, :k], burn_in, every)

        theirs_found, first, theirs = timed(peer, 3)
        missed = residual if k == n else float("nan")
        row(name, "NumPy loop", every, missed, theirs, first)

        def call(k=k):
            return lyapunov_spectrum(cell, inputs, burn_in=burn_in, num_exponents=k, key=KEY)

        found, first, ours = timed(call, 5)
        missed = abs(float(jnp.sum(found.value)) - exact) if k == n else float("nan")
        row(name, "echoic", found.settings["orthogonalise_every"], missed, ours, first)
        gap = float(np.max(np.abs(np.asarray(found.value)[:3] - theirs_found[:3])))
        print(f"{name:34s} leading three differ by {gap:.1e} nats (frames of different keys)")
        ratio(name, theirs, ours, wanted)


@contextlib.contextmanager
def _double_precision():
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    """Print the tables."""
    print(__doc__)
    with _double_precision():
        against_lyapax("J tanh x", 64, 3.0, 1000, 200, wanted=1)
        against_lyapax("tanh(J x)", 64, 3.0, 1000, 200, wanted=1)
        against_lyapax("J tanh x", 256, 3.0, 300, 50, wanted=1.5)
        against_lyapax("tanh(J x)", 256, 3.0, 300, 50, wanted=1.5)
        against_lyapax("J tanh x", 64, 1.05, 1000, 200, wanted=1)
        against_lyapax("J tanh x", 256, 1.05, 1000, 200, wanted=1)
        leading_against_all()
        for family in (LSTM, GRU):
            against_numpy(family, 128, 500, 100)


if __name__ == "__main__":
    main()
