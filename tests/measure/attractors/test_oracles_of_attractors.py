"""Measures of where a network ends up: the right answer passes, wrong ones do not."""

import math

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import scipy.optimize

import echoic

KEY = jr.key(3)


def of_fixed_points():
    """Two tanh units, one driving the other: roots of one unknown, one after the other."""
    w = np.array([[1.5, 0.0], [0.7, 1.8]])
    found = echoic.fixed_points(
        lambda h, _: jnp.tanh(w @ h), state=jnp.zeros(2), starts=2 * jr.normal(KEY, (200, 2))
    )

    def roots(gain, drive):
        grid = np.linspace(-1, 1, 2000)
        gap = np.tanh(gain * grid + drive) - grid
        edges = np.flatnonzero(gap[1:] * gap[:-1] < 0)
        return [
            scipy.optimize.brentq(
                lambda h: math.tanh(gain * h + drive) - h, grid[i], grid[i + 1], xtol=1e-14
            )
            for i in edges
        ]

    points = np.array([[a, b] for a in roots(1.5, 0.0) for b in roots(1.8, 0.7 * a)])
    jacobians = (1 - points**2)[:, :, None] * w

    def table(jacobians, values=np.linalg.eigvals):
        return np.concatenate([points, np.sort(values(jacobians), axis=1)], axis=1)

    def in_a_row(rows):
        return np.array(sorted(map(tuple, np.round(rows, 12))))

    measured = np.concatenate(
        [found.value, np.sort(np.asarray(found.details["multipliers"]).real, axis=1)], axis=1
    )
    right = table(jacobians)
    wrong = {
        "of F(h) - h": table(jacobians - np.eye(2)),
        "singular values": table(jacobians, lambda j: np.linalg.svd(j, compute_uv=False)),
        "slopes at the product": table((1 - np.tanh(points) ** 2)[:, :, None] * w),
        "at the origin": table(np.broadcast_to(w, jacobians.shape)),
    }
    wrong = {name: in_a_row(rows) for name, rows in wrong.items()}
    return in_a_row(measured), in_a_row(right), wrong, 1e-9


def of_orbits():
    """Multipliers of the logistic map's point and cycle of two, per step."""
    rates = np.array([2.7, 3.2, 3.4])
    found = echoic.orbit_diagram(
        lambda r: lambda h, _: r * h * (1 - h),
        rates,
        state=jnp.full(1, 0.4),
        key=KEY,
        samples=8,
        max_period=4,
        exponent_steps=2000,
    )
    measured = np.stack([found.details["period"][:, 0], found.details["exponent"][:, 0]])
    turn = np.log(np.abs([2 - rates[0], *(4 + 2 * rates - rates**2)[1:]]))
    periods = np.array([1.0, 2.0, 2.0])
    right = np.stack([periods, turn / periods])
    wrong = {
        "of a whole turn": np.stack([periods, turn]),
        "bits": np.stack([periods, turn / periods / math.log(2)]),
        "twice the period": np.stack([2 * periods, turn / periods]),
        "of the point alone": np.stack([periods, np.log(np.abs(2 - rates))]),
    }
    return measured, right, wrong, 1e-6


def of_basins():
    """tanh(2 h + 0.2) rises: what starts above its unstable point ends at the upper one."""
    starts = 0.6 * np.random.default_rng(3).normal(size=300)
    found = echoic.basin_fractions(
        lambda h, _: jnp.tanh(2 * h + 0.2),
        state=jnp.zeros(1),
        starts=starts[:, None],
        key=KEY,
        samples=8,
        max_period=2,
        exponent_steps=10,
    )
    edge = scipy.optimize.brentq(lambda h: math.tanh(2 * h + 0.2) - h, -0.5, 0)

    def parted(edge):
        above = np.mean(starts > edge)
        return np.array([above, 1 - above])

    wrong = {
        "parted at zero": parted(0),
        "parted at the mirror image": parted(-edge),
        "the larger one last": parted(edge)[::-1],
        "counts": 300 * parted(edge),
    }
    return found.value, parted(edge), wrong, 1e-12


ORACLES = {
    "fixed_points": of_fixed_points,
    "orbit_diagram": of_orbits,
    "basin_fractions": of_basins,
}


def test_right_passes_and_wrong_does_not(oracle, assert_oracle, x64):
    assert_oracle(*oracle())
