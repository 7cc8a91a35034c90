"""Phase diagrams of the minimal network, beside SciPy's quad and brentq point by point.

A grid of 100 x 100 networks over sigma (1 to 10) and mu (-4 to 8), nu = 1.39, R = .46, for equal,
independent and half-correlated inputs. The peer solves for Q* by brentq, for C* by brentq, and
takes chi from the formula, one- and two-dimensional averages by quad and dblquad; it does so at a
few points only, and its time is scaled to the grid, which is said beside it. Equal inputs need no
average over pairs where C* = 1, independent ones none at all: there the peer is at its fastest.
"""

import math
import time

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import dblquad, quad
from scipy.optimize import brentq
from scipy.special import expit

from echoic.theory import mean_field

SIDE = 100
SIGMA, MU = np.linspace(1, 10, SIDE), np.linspace(-4, 8, SIDE)
NU, POWER = 1.39, 0.46
POINTS = {0.0: 40, 1.0: 10, 0.5: 2}
MOST_SECONDS = {0.0: 3.0, 1.0: 3.0, 0.5: 30.0}
MOST_ERROR = 1e-6
LEAST_RATIO = 100
_EDGE = 10  # standard deviations


def average(function, mu: float, q: float) -> float:
    def integrand(z):
        return function(mu + math.sqrt(q) * z) * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    return quad(integrand, -_EDGE, _EDGE, epsabs=1e-14, epsrel=1e-11, limit=200)[0]


def pair(f, mu: float, q: float, c: float) -> float:
    rest = math.sqrt(max(0.0, 1 - c**2))

    def integrand(y, z):
        product = f(mu + math.sqrt(q) * z) * f(mu + math.sqrt(q) * (c * z + rest * y))
        return product * math.exp(-(z**2 + y**2) / 2) / (2 * math.pi)

    return dblquad(integrand, -8, 8, -8, 8, epsabs=1e-9, epsrel=1e-8)[0]


def slope(e):
    return expit(e) * expit(-e)


def peer(sigma: float, mu: float, cosine: float) -> float:
    """chi at the fixed point."""

    def variance(length):
        return sigma**2 * length + NU**2 * POWER

    def excess(length):
        q = variance(length)
        kept = average(lambda e: expit(e) ** 2, mu, q)
        taken = average(lambda e: expit(-e) ** 2, mu, q)
        return length * kept + POWER * taken - length

    length = brentq(excess, 1e-12, POWER, xtol=1e-15, rtol=1e-12)
    q = variance(length)
    if cosine == 0:
        return average(expit, mu, q) ** 2  # C* = 0, and the pre-activations are independent
    gain = average(lambda e: expit(e) ** 2, mu, q)
    gain += sigma**2 * (length + POWER) * average(lambda e: slope(e) ** 2, mu, q)
    if cosine == 1 and gain <= 1:
        return gain

    def correlation(c):
        return min(1.0, (sigma**2 * length * c + NU**2 * POWER * cosine) / q)

    def drift(c):
        rho = correlation(c)
        kept = length * c * pair(expit, mu, q, rho)
        taken = POWER * cosine * pair(lambda e: expit(-e), mu, q, rho)
        return (kept + taken) / length - c

    c = brentq(drift, 0.0, 1.0 if cosine < 1 else 1 - 1e-3, xtol=1e-10)
    steering = sigma**2 * (length * c + POWER * cosine)
    return pair(expit, mu, q, correlation(c)) + steering * pair(slope, mu, q, correlation(c))


def main() -> None:
    print(
        f"{SIDE} x {SIDE} minimal networks over sigma and mu: seconds for the grid\n"
        f"{'cosine':>7}{'first call':>12}{'compiled':>10}{'peer, scaled':>14}{'points':>8}"
        f"{'ratio':>9}{'largest error of chi, xi':>28}"
    )
    failed = []
    with jax.enable_x64(True):
        gate = mean_field.Gate(SIGMA[:, None] ** 2, NU**2, MU[None, :])
        for cosine in POINTS:
            failed += _compare(mean_field.Minimal(gate), cosine)
    print(
        f"\nWithin {MOST_SECONDS[0.0]:g} s (cosine 0 and 1) and {MOST_SECONDS[0.5]:g} s, errors"
        f" below {MOST_ERROR:g}, {LEAST_RATIO} times the peer's speed:"
        f" {'FAILED: ' + ', '.join(failed) if failed else 'all'}"
    )


def _compare(family: mean_field.Minimal, cosine: float) -> list[str]:
    times = []
    for _ in range(4):
        started = time.perf_counter()
        found = jax.block_until_ready(mean_field.phase_diagram(family, POWER, cosine))
        times.append(time.perf_counter() - started)
    ours = min(times[1:])
    # Anywhere on the grid: for equal inputs some need averages over pairs, most do not.
    rows, columns = np.random.default_rng(0).integers(0, SIDE, (2, POINTS[cosine]))
    started = time.perf_counter()
    chi = np.array([peer(SIGMA[i], MU[j], cosine) for i, j in zip(rows, columns, strict=True)])
    scaled = (time.perf_counter() - started) / len(rows) * SIDE**2
    errors = [
        np.max(np.abs(np.asarray(found.chi)[rows, columns] / chi - 1)),
        np.max(np.abs(np.asarray(found.timescale)[rows, columns] / (-1 / np.log(chi)) - 1)),
    ]
    print(
        f"{cosine:7g}{times[0]:12.2f}{ours:10.2f}{scaled:14.0f}{len(rows):8}{scaled / ours:8.0f}x"
        f"{errors[0]:18.1e}{errors[1]:10.1e}",
        flush=True,
    )
    verdicts = {
        f"time at {cosine:g}": ours < MOST_SECONDS[cosine],
        f"error at {cosine:g}": max(errors) < MOST_ERROR,
        f"ratio at {cosine:g}": scaled / ours > LEAST_RATIO,
    }
    assert bool(jnp.all(jnp.isfinite(found.chi)))
    return [name for name, holds in verdicts.items() if not holds]


if __name__ == "__main__":
    main()
