"""Every measure by one assertion of its own: the right answer passes, wrong versions do not."""

import importlib.util
import inspect
import math
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import echoic
from echoic import measure
from echoic.core.cell import AbstractCell, LinearForm, cast, without_law
from echoic.core.estimate import Status
from echoic.core.linalg import random_frame

KEY = jr.key(3)
N, BURN_IN, LAGS, STARTS = 3, 20, 5, 7


class Plain(AbstractCell):
    """h' = tanh(W h + V x), or the same without tanh."""

    w: jax.Array
    v: jax.Array
    linear: bool = eqx.field(static=True, default=False)
    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=N)

    def initial_state(self):
        return jnp.zeros_like(self.w[0])

    def step(self, state, x):
        total = self.w @ state + self.v @ x
        return total if self.linear else jnp.tanh(total)

    def read(self, state):
        return state

    def linear_form(self):
        return LinearForm(self.w, self.v, jnp.zeros_like(self.w[0])) if self.linear else None


def weights():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, N)), rng.normal(size=(N, 1))


def tanh_network():
    w, v = weights()
    return Plain(jnp.asarray(w), jnp.asarray(v))


def series(*shape):
    return 1.5 * np.random.default_rng(1).normal(size=shape) + 0.3


# NumPy alone.


def run(w, v, xs):
    """Jacobians dh_t/dh_{t-1} and dh_t/dx_t along a series (t,) from rest."""
    h, jacobians, columns = np.zeros(N), [], []
    for x in xs:
        h = np.tanh(w @ h + v[:, 0] * x)
        slopes = (1 - h**2)[:, None]
        jacobians.append(slopes * w)
        columns.append(slopes * v)
    return np.array(jacobians), np.array(columns)


def exponents(jacobians, *, factors=np.linalg.qr):
    frame, sums = np.asarray(random_frame(KEY, N, N, jnp.float64)), 0
    for t, jacobian in enumerate(jacobians):
        frame, upper = factors(jacobian @ frame)
        if t >= BURN_IN:
            sums = sums + np.log(np.abs(np.diagonal(upper)))
    return np.sort(sums / (len(jacobians) - BURN_IN))[::-1]


def column_norms(frame):
    norms = np.linalg.norm(frame, axis=0)
    return frame / norms, np.diag(norms)


def of_exponents():
    w, v = weights()
    xs = series(BURN_IN + 200)
    measured = echoic.lyapunov_spectrum(
        tanh_network(), xs, burn_in=BURN_IN, key=KEY, orthogonalise_every=1
    )
    jacobians, _ = run(w, v, xs)
    right = exponents(jacobians)
    wrong = {
        "transposed Jacobians": exponents(jacobians.transpose(0, 2, 1)),
        "column norms": exponents(jacobians, factors=column_norms),
        "bits": right / math.log(2),
        "in reverse": exponents(jacobians[::-1]),
    }
    return measured.value, right, wrong, 1e-9


def products(xs, *, late=0, transposed=False):
    """dh_t/dh_{t-k} and dh_t/dx_{t-k} of each series, t - k the step after the burn-in."""
    w, v = weights()
    over_states, over_inputs = [], []
    for one in xs:
        jacobians, columns = run(w, v, one)
        total, column = np.eye(N), columns[BURN_IN - late]
        own, through = [total], [column]
        for jacobian in jacobians[BURN_IN - late + 1 :][:LAGS]:
            total = (jacobian.T if transposed else jacobian) @ total
            own.append(total)
            through.append(total @ column)
        over_states.append(own)
        over_inputs.append(through)
    return np.array(over_states), np.array(over_inputs) * xs.std()


def root_mean_square(matrices):
    return np.sqrt(np.mean(np.sum(matrices**2, axis=(2, 3)), axis=0) / matrices.shape[3])


def reach(measure):
    xs = series(STARTS, BURN_IN + LAGS + 1)
    found = measure(
        tanh_network(),
        xs[..., None],
        max_lag=LAGS,
        burn_in=BURN_IN,
        starts=STARTS,
        exact=True,
        key=KEY,
    )
    return xs, found


def of_gradient_reach():
    xs, measured = reach(echoic.gradient_reach)
    own, _ = products(xs)
    right = root_mean_square(own)
    radius = np.abs(np.linalg.eigvals(own)).max(axis=2).mean(axis=0)
    wrong = {
        "transposed Jacobians": root_mean_square(products(xs, transposed=True)[0]),
        "a power": right**2,
        "not divided by n": right * math.sqrt(N),
        "eigenvalues": radius,
        "windows a step early": root_mean_square(products(xs, late=1)[0]),
    }
    return measured.value, right, wrong, 1e-10


def of_input_reach():
    xs, measured = reach(echoic.input_reach)
    through = products(xs)[1]
    right = root_mean_square(through)
    wrong = {
        "not in units of the spread": right / xs.std(),
        "lags from 1": np.append(right[1:], 0),
        "a power": right**2,
        "transposed Jacobians": root_mean_square(products(xs, transposed=True)[1]),
    }
    return measured.value, right, wrong, 1e-10


def of_coherent_reach():
    xs, measured = reach(echoic.coherent_reach)
    own, _ = products(xs)
    pairs = [(a, b) for a in range(STARTS) for b in range(STARTS) if a != b]
    square = np.mean([np.sum(own[a] * own[b], axis=(1, 2)) for a, b in pairs], axis=0) / N
    right = np.sqrt(np.maximum(square, 0))
    wrong = {
        "average of norms": np.linalg.norm(own, axis=(2, 3)).mean(axis=0) / math.sqrt(N),
        "biased": np.linalg.norm(own.mean(axis=0), axis=(1, 2)) / math.sqrt(N),
        "one window": np.linalg.norm(own[0], axis=(1, 2)) / math.sqrt(N),
    }
    return measured.value, right, wrong, 1e-9


def of_singular_values():
    w, v = weights()
    xs = series(BURN_IN + LAGS)
    measured = echoic.jacobian_singular_values(
        tanh_network(), xs, lag=LAGS, burn_in=BURN_IN, key=KEY
    )
    last = run(w, v, xs)[0][-LAGS:]
    forward, backward = np.eye(N), np.eye(N)
    for jacobian in last:
        forward, backward = jacobian @ forward, backward @ jacobian
    right = np.log(np.linalg.svd(forward, compute_uv=False))
    each = np.log(np.linalg.svd(last, compute_uv=False))
    wrong = {
        "in reverse": np.log(np.linalg.svd(backward, compute_uv=False)),
        "eigenvalues": np.sort(np.log(np.abs(np.linalg.eigvals(forward))))[::-1],
        "products of singular values": each.sum(axis=0),
        "per step": right / LAGS,
    }
    return measured.value, right, wrong, 1e-9


def information(xs, *, transposed=False, newest=1.0, late=0, amplitude=False):
    """b' C^-1 b under unit noise from the first step on, the signal after the burn-in."""
    jacobians, columns = run(*weights(), xs)
    covariance, curve, signal = np.zeros((N, N)), [], None
    for t, jacobian in enumerate(jacobians):
        step = jacobian.T if transposed else jacobian
        older = step @ covariance @ step.T
        covariance = older + np.eye(N)
        if signal is not None:
            signal = step @ signal
        if t == BURN_IN - late:
            signal = columns[t] * (1 if amplitude else xs.std())
        if signal is not None and len(curve) <= LAGS:
            seen = older + newest * np.eye(N)
            curve.append((signal.T @ np.linalg.solve(seen, signal)).item())
    return np.array(curve)


def of_fisher_memory():
    xs = series(BURN_IN + LAGS + 1)
    measured = echoic.fisher_memory(
        tanh_network(), xs, max_lag=LAGS, burn_in=BURN_IN, noise_variance=1.0, key=KEY
    )
    right = information(xs)
    wrong = {
        "transposed Jacobians": information(xs, transposed=True),
        "newest noise left out": information(xs, newest=1e-9),
        "not in units of the spread": information(xs, amplitude=True),
        "a step early": information(xs, late=1),
        "lags from 1": np.append(right[1:], 0),
    }
    return measured.value, right, wrong, 1e-10


def of_linear_recall():
    """v_k' C^-1 v_k, C from a long sum. (That of W' is the same: it is a matter of eigenvalues.)"""
    w, v = weights()
    w = 0.9 * w / np.max(np.abs(np.linalg.eigvals(w)))
    measured = echoic.linear_recall(Plain(w, v, True), max_lag=LAGS, key=KEY)

    def recall(w, v):
        powers = [np.linalg.matrix_power(w, k) @ v for k in range(400)]
        inverse = np.linalg.inv(sum(p @ p.T for p in powers))
        return np.array([(p.T @ inverse @ p).item() for p in powers[: LAGS + 1]])

    right = recall(w, v)
    with_noise = np.linalg.inv(
        sum(np.linalg.matrix_power(w, k) @ np.linalg.matrix_power(w, k).T for k in range(400))
    )
    powers = [np.linalg.matrix_power(w, k) @ v for k in range(LAGS + 1)]
    wrong = {
        "correlation, not its square": np.sqrt(right),
        "lags from 1": np.append(right[1:], 0),
        "W of another gain": recall(0.8 * w, v),
        "Fisher memory": np.array([(p.T @ with_noise @ p).item() for p in powers]),
    }
    return measured.value, right, wrong, 1e-9


def of_raw_recall():
    """Three taps on x_t = f x_{t-1} + noise: 1 for k < 3, then f^(2 (k - 2))."""
    factor, rng, xs = 0.9, np.random.default_rng(2), np.zeros(40_000)
    for t in range(1, len(xs)):
        xs[t] = factor * xs[t - 1] + rng.normal()
    taps = Plain(np.eye(N, k=-1), np.eye(N, 1), True)
    found = echoic.raw_recall(taps, xs, max_lag=LAGS, key=KEY)
    lags = np.arange(LAGS + 1)
    right = factor ** (2.0 * np.maximum(lags - N + 1, 0))
    wrong = {
        "correlation, not its square": np.sqrt(right),
        "lags from 1": np.append(right[1:], 0),
        "recall of a memoryless network": factor ** (2.0 * lags),
        "recall of white input": (lags < N).astype(float),
    }
    tolerance = 5.5 * np.asarray(found.standard_error) + 1e-6
    assert np.max(tolerance) < 0.08
    return found.value, right, wrong, tolerance


def of_reach_curves():
    _, found = reach(echoic.measure.reach_curves)
    names = ("gradient_reach", "input_reach", "coherent_reach")
    single = [reach(getattr(echoic, name))[1].value for name in names]
    wrong = {"another order": single[::-1], "one for all": [single[0]] * 3}
    return np.stack([found[name].value for name in names]), np.stack(single), wrong, 1e-12


ORACLES = {
    "lyapunov_spectrum": of_exponents,
    "gradient_reach": of_gradient_reach,
    "input_reach": of_input_reach,
    "coherent_reach": of_coherent_reach,
    "reach_curves": of_reach_curves,
    "jacobian_singular_values": of_singular_values,
    "fisher_memory": of_fisher_memory,
    "linear_recall": of_linear_recall,
    "raw_recall": of_raw_recall,
}


def neighbours_oracles():
    """Those of the other files of this kind, in the folders below."""
    found = {}
    for path in sorted(pathlib.Path(__file__).parent.rglob("test_oracles_of_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= module.ORACLES
    return found


def test_every_measure_has_an_oracle():
    public = {n for n in measure.__all__ if inspect.isfunction(inspect.unwrap(getattr(measure, n)))}
    assert public == set(ORACLES) | set(neighbours_oracles())


def test_right_passes_and_wrong_does_not(oracle, assert_oracle, x64):
    assert_oracle(*oracle())


# What all measures promise.

CALLS = {
    "lyapunov_spectrum": lambda *a, **k: echoic.lyapunov_spectrum(*a, orthogonalise_every=2, **k),
    "gradient_reach": lambda *a, **k: echoic.gradient_reach(*a, max_lag=LAGS, **k),
    "input_reach": lambda *a, **k: echoic.input_reach(*a, max_lag=LAGS, **k),
    "coherent_reach": lambda *a, **k: echoic.coherent_reach(*a, max_lag=LAGS, **k),
    "jacobian_singular_values": lambda *a, **k: echoic.jacobian_singular_values(*a, lag=LAGS, **k),
    "fisher_memory": lambda *a, **k: echoic.fisher_memory(*a, max_lag=LAGS, **k),
    "linear_recall": lambda *a, **k: echoic.linear_recall(*a, max_lag=LAGS, **k),
    "raw_recall": lambda *a, **k: echoic.raw_recall(*a, max_lag=LAGS, **k),
}
LENGTH = 400


def bare(h, x):
    w, v = weights()
    return jnp.tanh(jnp.asarray(w) @ h + jnp.asarray(v) @ x)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_shapes_of_inputs_and_bare_functions_agree(name, x64):
    xs = series(LENGTH)
    reference = CALLS[name](tanh_network(), xs, key=KEY)
    for shaped in (xs[:, None], xs[None, :, None], jnp.asarray(xs), [xs[:, None]]):
        again = CALLS[name](tanh_network(), shaped, key=KEY)
        np.testing.assert_array_equal(again.value, reference.value)
        np.testing.assert_array_equal(again.standard_error, reference.standard_error)
    by_function = CALLS[name](bare, xs, state=jnp.zeros(N), key=KEY)
    np.testing.assert_allclose(by_function.value, reference.value, atol=1e-10)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "where",
    [
        "input",
        *(
            pytest.param(where, marks=pytest.mark.slow)
            for where in ("input of a linear cell", "weight", "state")
        ),
    ],
)
def test_not_a_number_in_not_a_number_out(name, where, x64):
    xs, cell, state = series(LENGTH), tanh_network(), None
    if where.startswith("input"):
        # In no window: whether a number comes out must not depend on where these happen to lie.
        xs[0] = np.nan
        cell = Plain(cell.w / 4, cell.v, "linear" in where)
    elif where == "weight":
        cell = eqx.tree_at(lambda c: c.w, cell, cell.w.at[0, 0].set(jnp.nan))
    else:
        state = jnp.zeros(N).at[1].set(jnp.nan)
    found = CALLS[name](cell, xs, key=KEY, state=state, throw=False)
    first = 1 if name in ("gradient_reach", "coherent_reach") else 0  # lag 0 takes no step
    assert np.all(np.isnan(found.value[first:]))
    assert Status.NOT_FINITE in found.statuses
    assert not found.statuses.trusted


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CALLS if "recall" not in name])
def test_under_jit_and_vmap(name, x64):
    xs = series(2, LENGTH)

    def value(xs):
        return CALLS[name](tanh_network(), xs, key=KEY).value

    together = jax.jit(jax.vmap(value))(jnp.asarray(xs))
    np.testing.assert_allclose(together, [value(one) for one in xs], atol=1e-9)


@pytest.mark.parametrize("name", [name for name in CALLS if "recall" in name])
def test_recall_refuses_to_be_traced(name, x64):
    with pytest.raises(ValueError, match="cannot be traced"):
        jax.jit(lambda xs: CALLS[name](tanh_network(), xs, key=KEY).value)(series(LENGTH))


@pytest.mark.slow
def test_single_precision():
    """A delay line is remembered to 1e-6, a diagonal map's gains are known to 1e-4 nats."""
    line = Plain(jnp.eye(N, k=-1, dtype=jnp.float32), jnp.eye(N, 1, dtype=jnp.float32), True)
    recall = echoic.linear_recall(line, max_lag=LAGS, key=KEY)
    np.testing.assert_allclose(recall.value, np.arange(LAGS + 1) < N, atol=1e-6)
    moduli = np.array([0.9, 0.5, 0.1], np.float32)
    gains = echoic.jacobian_singular_values(
        lambda h, x: moduli * h, np.zeros(200), state=jnp.ones(N), lag=100, key=KEY
    )
    np.testing.assert_allclose(gains.value, 100 * np.log(moduli.astype(float)), rtol=1e-5)
    for found in (recall, gains):
        assert found.value.dtype == jnp.float32


# The sum rule, for every cell that there is.


@pytest.mark.slow
def test_exponents_of_every_cell_add_up(build_cell, request, x64):
    """To the mean log|det J|, from dense Jacobians, wherever their condition is below 1e8."""
    cell = cast(without_law(build_cell()), jnp.float64)
    steps, burn_in = 200, 40
    xs = jr.normal(jr.key(5), (steps + burn_in, cell.input_size))

    def advance(state, x):
        flat, back = ravel_pytree(state)
        step = lambda v: ravel_pytree(cell.step(back(v), x))[0]  # noqa: E731
        return cell.step(state, x), jax.jacrev(step)(flat)

    _, jacobians = jax.lax.scan(advance, cell.initial_state(), xs)
    jacobians = np.asarray(jacobians)[burn_in:]
    if cell.input_size:
        found = echoic.lyapunov_spectrum(cell, xs, burn_in=burn_in, key=KEY)
    else:
        found = echoic.lyapunov_spectrum(cell, burn_in=burn_in, steps=steps, key=KEY)
    if np.max(np.linalg.cond(jacobians)) >= 1e8:  # dead units, or states that nothing reads
        assert request.node.callspec.id in {"Elman-1", "FullPeepholeLSTM-0", "Network-0"}
        assert Status.SINGULAR in found.statuses
        assert float(found.value[-1]) == -np.inf
        return
    log_det = np.mean(np.linalg.slogdet(jacobians)[1])
    assert float(jnp.sum(found.value)) == pytest.approx(log_det, abs=1e-9)
    assert float(found.details["residual"]) < 1e-9
    assert found.statuses.trusted
