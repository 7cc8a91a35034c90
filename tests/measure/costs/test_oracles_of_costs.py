"""Measures of smoothness: the right answer passes, wrong versions do not."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import echoic
from echoic.cells import Elman
from echoic.core.estimate import Estimate
from echoic.measure.costs.cost import trained_part

KEY = jr.key(3)
LENGTH, N = 8, 3


def network(size=N):
    return Elman(1, size, key=jr.key(0), dtype=jnp.float64)


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(LENGTH, 1)), rng.normal(size=(LENGTH, N))


def cost_by_hand(parameters):
    """Mean squared error of the same network, parameters in a row: recurrent, input, bias."""
    w, v, b = np.split(np.asarray(parameters), [N * N, N * N + N])
    xs, ys = data()
    h, errors = np.zeros(N), []
    for x, y in zip(xs, ys, strict=True):
        h = np.tanh(w.reshape(N, N) @ h + v * x + b)
        errors.append((h - y) ** 2)
    return np.mean(errors), np.array(errors)


def parameters():
    cell = network()
    return np.concatenate([np.ravel(a) for a in (cell.recurrent, cell.input, cell.bias)])


def gradient_by_differences(point, width=1e-5):
    steps = width * np.eye(point.size)
    return np.array(
        [(cost_by_hand(point + s)[0] - cost_by_hand(point - s)[0]) / (2 * width) for s in steps]
    )


def hessian_by_differences(point, width=1e-4):
    steps = width * np.eye(point.size)
    rows = [gradient_by_differences(point + s) - gradient_by_differences(point - s) for s in steps]
    matrix = np.array(rows) / (2 * width)
    return 0.5 * (matrix + matrix.T)


def the_cost():
    return echoic.mean_squared_cost(None, *data())


def of_mean_squared_cost():
    right, errors = cost_by_hand(parameters())
    wrong = {
        "sum over outputs": right * N,
        "root": math.sqrt(right),
        "half": right / 2,
        "last step alone": errors[-1].mean(),
        "without the first step": errors[1:].mean(),
    }
    return the_cost()(network()), right, wrong, 1e-12


def of_line_of_cells():
    cell, other = network(), Elman(1, N, key=jr.key(1), dtype=jnp.float64)
    found = echoic.line_of_cells(cell, other)(0.3).recurrent
    a, b = np.asarray(cell.recurrent), np.asarray(other.recurrent)
    wrong = {"between the two": 0.7 * a + 0.3 * b, "backwards": a - 0.3 * b, "b + s a": b + 0.3 * a}
    return found, a + 0.3 * b, wrong, 1e-12


def of_random_direction():
    """Unit length over all parameters together, not array by array."""
    found = echoic.random_direction(network(), key=KEY)
    length = math.sqrt(sum(float(jnp.sum(a**2)) for a in jax.tree_util.tree_leaves(found)))
    return length, 1.0, {"array by array": math.sqrt(3), "normal": math.sqrt(15)}, 1e-12


def logistic(theta, target, steps, *, error_bends=True, mixed=True):
    """First and second derivatives of the mean squared error, the recurrences by hand."""
    x = reference = 0.5
    s = d = slope = bend = 0.0
    slopes, bends = [], []
    for n in range(1, steps + 1):
        fx, ft = theta * (1 - 2 * x), x * (1 - x)
        cross = 2 * (1 - 2 * x) * s if mixed else 0.0
        d = fx * d - 2 * theta * s**2 + cross
        s = fx * s + ft
        x = theta * x * (1 - x)
        reference = target * reference * (1 - reference)
        slope += 2 * (x - reference) * s
        bend += 2 * s**2 + (2 * (x - reference) * d if error_bends else 0.0)
        slopes.append(slope / n)
        bends.append(bend / n)
    return np.log(np.abs(slopes)), np.log(np.abs(bends))


def logistic_sensitivity(steps=30):
    x, targets = 0.5, []
    for _ in range(steps):
        x = 3.78 * x * (1 - x)
        targets.append([x])
    return echoic.cost_sensitivity(
        lambda theta: lambda x, _: theta * x * (1 - x),
        3.77,
        targets=np.array(targets),
        state=jnp.full(1, 0.5),
        steps=steps,
    )


def of_cost_sensitivity():
    found = logistic_sensitivity()
    slope, bend = logistic(3.77, 3.78, 30)
    right = np.stack([slope, bend])
    lengths = np.log(np.arange(1, 31))
    wrong = {
        "squares of slopes only": [slope, logistic(3.77, 3.78, 30, error_bends=False)[1]],
        "no mixed derivative": [slope, logistic(3.77, 3.78, 30, mixed=False)[1]],
        "sums, not means": right + lengths,
        "to base 10": right / math.log(10),
        "curvature as the square of the slope": [slope, 2 * slope],
    }
    return np.stack([found.value, found.details["log_curvature"]]), right, wrong, 1e-7


def of_hessian_eigenvalues():
    found = echoic.hessian_eigenvalues(network(), the_cost(), count=2, key=KEY)
    values = np.linalg.eigvalsh(hessian_by_differences(parameters()))
    right = np.concatenate([values[::-1][:2], values[:2]])
    by_modulus = values[np.argsort(-np.abs(values))]
    wrong = {
        "by modulus": by_modulus[:4],
        "moduli": np.abs(right),
        "of the recurrent block": np.linalg.eigvalsh(hessian_by_differences(parameters())[:9, :9])[
            [-1, -2, 0, 1]
        ],
        "of half the cost": right / 2,
        "ascending": right[[1, 0, 2, 3]],
    }
    return np.concatenate([found.value, found.details["smallest"]]), right, wrong, 1e-5


def of_hessian_density():
    """The density's mean and variance, from probes that see every eigenvector: a diagonal matrix.

    For sign vectors the moments of a diagonal matrix have no error at all.
    """
    values = np.array([-1.0, 0.5, 0.5, 2.0, 5.0])
    found = echoic.hessian_density(
        jnp.zeros(5), lambda p: 0.5 * jnp.sum(values * p**2), key=KEY, probes=2, width=0.02
    )
    axis = np.asarray(found.details["eigenvalue"])
    weight = np.gradient(axis)
    mean = np.sum(weight * axis * found.value)
    spread = np.sum(weight * (axis - mean) ** 2 * found.value)
    right = np.array([values.mean(), values.var() + (0.02 * 6) ** 2, values.sum(), values @ values])
    wrong = {
        "sum of the roots": np.array([*right[:3], np.abs(values).sum()]),
        "moments per parameter": np.array([*right[:2], values.mean(), values @ values / 5]),
        "each value once": np.array([1.625, *right[1:]]),
        "variance with ddof": np.array([right[0], values.var(ddof=1) + 0.0144, *right[2:]]),
    }
    measured = [mean, spread, found.details["trace"], found.details["squares"]]
    return np.array([float(m) for m in measured]), right, wrong, 1e-3


def of_cost_slice():
    """Two minima of a double well, at +-1, seen from the middle."""
    axis = np.linspace(-2, 2, 41)
    found = echoic.cost_slice(
        jnp.zeros(2),
        lambda p: (p[0] ** 2 - 1) ** 2 + p[1],
        jnp.array([1.0, 0.5]),
        at=axis,
        batch_size=41,
    )
    values = (axis**2 - 1) ** 2 + 0.5 * axis
    right = np.array([*values, 2.0])
    wrong = {
        "maxima": np.array([*values, 1.0]),
        "borders count": np.array([*(-values), 4.0]),
        "mirrored": np.array([*values[::-1], 2.0]),
        "one side only": np.array([*values, 21.0]),
        "unit direction": np.array(
            [*((axis**2 / 1.25 - 1) ** 2 + 0.5 * axis / np.sqrt(1.25)), 2.0]
        ),
    }
    return np.array([*found.value, found.details["minima"]]), right, wrong, 1e-12


def of_cost_lipschitz():
    """The fourth power of the distance: its constants in a ball are 4 r^3 and 12 r^2."""
    found = echoic.cost_lipschitz(
        jnp.zeros(2), lambda p: jnp.sum(p**2) ** 2, radius=2.0, samples=200, products=2, key=KEY
    )
    right = np.array([32.0, 48.0])
    wrong = {
        "mean over the ball": np.array([12.8, 24.0]),
        "at the centre": np.zeros(2),
        "radius of one": np.array([4.0, 12.0]),
        "diameter for radius": np.array([256.0, 192.0]),
        "trace for norm": np.array([32.0, 64.0]),
        "sum for the norm of the gradient": np.array([45.25, 48.0]),
    }
    measured = np.array([found.value, found.details["smoothness"]])
    assert np.all(measured <= right)
    return measured / right, np.ones(2), {k: v / right for k, v in wrong.items()}, 0.05


def of_growth_rate():
    """Sensitivities V_N = 3 exp(.4 N) / N, as those of a mean of N terms are: .4."""
    lengths = np.arange(1, 13)
    logs = math.log(3) + 0.4 * lengths - np.log(lengths)
    found = echoic.measure.growth_rate(Estimate(jnp.asarray(logs)), 4, 12)
    wrong = {"of the mean": np.polyfit(lengths[3:], logs[3:], 1)[0], "bits": 0.4 / math.log(2)}
    return found, 0.4, wrong, 1e-12


def of_strict_minima():
    values = np.array([0.0, 2, 1, 2, 2, 3, 1.5, 4, -1])
    right = np.array([0, 0, 1, 0, 0, 0, 1, 0, 0])
    wrong = {
        "borders too": np.array([1, 0, 1, 0, 0, 0, 1, 0, 1]),
        "plateaus too": np.array([0, 0, 1, 0, 1, 0, 1, 0, 0]),
        "maxima": np.array([0, 1, 0, 0, 0, 1, 0, 1, 0]),
    }
    return echoic.measure.strict_minima(jnp.asarray(values)).astype(float), right, wrong, 0


def of_filter_normalised():
    cell, rng = network(), np.random.default_rng(0)
    draw = jax.tree.map(lambda w: jnp.asarray(rng.normal(size=w.shape)), trained_part(cell)[0])
    found = echoic.measure.filter_normalised(cell, draw)
    w, d = np.asarray(cell.recurrent), np.asarray(draw.recurrent)

    def scaled(axis):
        ratio = np.linalg.norm(w, axis=axis) / np.linalg.norm(d, axis=axis)
        return np.append(d * (ratio if axis is None else np.expand_dims(ratio, axis)), np.zeros(N))

    wrong = {
        "columns": scaled(0),
        "as a whole": scaled(None),
        "biases too": np.append(scaled(1)[: N * N], draw.bias),
    }
    return np.append(found.recurrent, found.bias), scaled(1), wrong, 1e-12


ORACLES = {
    "growth_rate": of_growth_rate,
    "strict_minima": of_strict_minima,
    "filter_normalised": of_filter_normalised,
    "mean_squared_cost": of_mean_squared_cost,
    "line_of_cells": of_line_of_cells,
    "random_direction": of_random_direction,
    "cost_sensitivity": of_cost_sensitivity,
    "hessian_eigenvalues": of_hessian_eigenvalues,
    "hessian_density": of_hessian_density,
    "cost_slice": of_cost_slice,
    "cost_lipschitz": of_cost_lipschitz,
}


# Their compilations take long, and they share their core with those that always run.
SLOW = ("mean_squared_cost", "random_direction", "hessian_density", "cost_lipschitz")


def test_right_passes_and_wrong_does_not(oracle, assert_oracle, x64):
    assert_oracle(*oracle())
