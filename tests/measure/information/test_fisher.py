"""Fisher memory against closed forms, dense algebra and simulation, and wrong versions."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.linalg

from echoic.core.cell import AbstractCell, LinearForm
from echoic.core.estimate import Status, UntrustedError
from echoic.measure.information.fisher import fisher_memory
from echoic.measure.information.fisher_bound import fisher_bound
from echoic.measure.information.fisher_spatial import fisher_memory_matrix

KEY = jr.key(0)


class Plain(AbstractCell):
    """h' = W h + V x, or the tanh of it."""

    w: jax.Array
    v: jax.Array
    kind: str = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, w, v, kind="linear"):
        self.w, self.v, self.kind = jnp.asarray(w), jnp.asarray(v), kind
        self.hidden_size, self.input_size = self.v.shape

    def initial_state(self):
        return jnp.zeros(self.hidden_size, self.w.dtype)

    def step(self, state, x):
        total = self.w @ state + self.v @ x
        return jnp.tanh(total) if self.kind == "tanh" else total

    def read(self, state):
        return state

    def linear_form(self):
        """Hidden from the measurement where it is to take the driven path."""
        if self.kind != "linear":
            return None
        return LinearForm(self.w, self.v, jnp.zeros(self.hidden_size, self.w.dtype))


def chain(n, alpha, beta=0.0):
    return alpha * np.eye(n, k=-1) + beta * np.eye(n, k=1)


def source(n):
    return np.eye(n, 1)


def unit(rng, n):
    v = rng.normal(size=(n, 1))
    return v / np.linalg.norm(v)


def chain_curve(n, alpha, lags):
    curve = [1 / sum(float(alpha) ** (-2 * m) for m in range(k + 1)) for k in range(n)]
    return np.array(curve + [0.0] * lags)[: lags + 1]


def dense_curve(w, v, lags, *, mutant=None):
    """J by a long sum and a dense inverse, in 80-bit arithmetic as far as NumPy goes."""
    w, v = np.asarray(w, np.longdouble), np.asarray(v, np.longdouble)
    if mutant == "transposed":
        w = w.T
    c, power = np.eye(len(w), dtype=np.longdouble), w
    for _ in range(14):
        c, power = c + power @ c @ power.T, power @ power
    if mutant == "newest noise left out":
        c = c - np.eye(len(w)) + 1e-9 * np.eye(len(w))
    root = np.zeros_like(c)
    for j in range(len(w)):
        root[j, j] = np.sqrt(c[j, j] - root[j, :j] @ root[j, :j])
        root[j + 1 :, j] = (c[j + 1 :, j] - root[j + 1 :, :j] @ root[j, :j]) / root[j, j]
    curve = []
    for _ in range(lags + 1):
        y = np.zeros_like(v)
        for i in range(len(w)):
            y[i] = (v[i] - root[i, :i] @ y[:i]) / root[i, i]
        curve.append(float(np.sum(y**2)))
        v = w @ v
    return np.array(curve)


# Linear networks


def test_normal_networks_have_a_total_memory_of_one(x64):
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(100, 100)))[0]
    symmetric = rng.normal(size=(100, 100))
    symmetric = symmetric + symmetric.T
    symmetric *= 0.9 / np.linalg.norm(symmetric, 2)
    for w in (0.9 * q, 0.99 * q, 0.9 * np.eye(100), 0.99 * np.eye(100), symmetric):
        curve = fisher_memory(Plain(w, unit(rng, 100)), max_lag=1500)
        assert float(curve.details["total"]) == pytest.approx(1, abs=1e-10)
        assert curve.statuses == Status.OK
        assert np.all(np.asarray(curve.standard_error) == 0)
    skewed = np.triu(symmetric)  # the same claim about one that is not normal
    total = float(fisher_memory(Plain(skewed, unit(rng, 100)), max_lag=1500).details["total"])
    assert total != pytest.approx(1, abs=1e-3)


def test_memory_matrix_shares_out_n_among_directions(x64):
    rng = np.random.default_rng(1)
    for i in range(20):
        w = rng.normal(size=(12, 12))
        w *= rng.uniform(0.3, 0.97) / np.max(np.abs(np.linalg.eigvals(w)))
        m = np.asarray(fisher_memory_matrix(Plain(w, source(12))).value)
        assert np.trace(m) == pytest.approx(12, abs=1e-8)
        if i == 0:
            v = unit(rng, 12)
            total = fisher_memory(Plain(w, v), max_lag=1500).details["total"]
            assert float(total) == pytest.approx((v.T @ m @ v).item(), rel=1e-10)
            dense = np.linalg.inv(scipy.linalg.solve_discrete_lyapunov(w, np.eye(12)))
            expected = scipy.linalg.solve_discrete_lyapunov(w.T, dense)
            np.testing.assert_allclose(m, expected, rtol=1e-7, atol=1e-9)
    q = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    normal = fisher_memory_matrix(Plain(0.9 * q, source(12))).value
    np.testing.assert_allclose(normal, np.eye(12), atol=1e-10)
    of_chain = np.asarray(fisher_memory_matrix(Plain(chain(12, 1.2), source(12))).value)
    best = np.linalg.eigh(of_chain)[1][:, -1]
    np.testing.assert_allclose(np.abs(best), source(12)[:, 0], atol=1e-10)


@pytest.mark.parametrize(
    ("alpha", "total"),
    [
        (0.95, 3.0327),
        (0.99, 4.3909),
        (1.0, 5.187378),
        (1.01, 6.2811),
        (1.02, 7.6060),
        (1.03, 9.0589),
        (1.04, 10.5661),
        (1.05, 12.087272),
        (1.1, 19.4331),
        (1.25, 37.2053),
        (1.5, 56.2303),
        (10.0, 99.0101),
    ],
)
def test_chain_in_closed_form(x64, alpha, total):
    curve = fisher_memory(Plain(chain(100, alpha), source(100)), max_lag=120)
    np.testing.assert_allclose(curve.value, chain_curve(100, alpha, 120), rtol=1e-12, atol=1e-14)
    assert float(curve.details["total"]) == pytest.approx(total, abs=6e-5)
    gain = np.mean([np.sum(float(alpha) ** (2 * np.arange(i + 1))) for i in range(100)])
    assert float(curve.details["noise_gain"]) == pytest.approx(gain, rel=1e-12)
    shifted = np.asarray(curve.value)[1:]
    with pytest.raises(AssertionError):  # lag off by one
        np.testing.assert_allclose(shifted, chain_curve(100, alpha, 119), atol=1e-3)


@pytest.mark.parametrize(
    ("n", "tolerances"),
    [(50, (2e-4, 6e-3)), pytest.param(200, (1e-4, 5e-3), marks=pytest.mark.slow)],
)
def test_memory_of_an_amplifying_chain_is_extensive(n, tolerances, x64):
    """A unit more is worth 1 - a^-2 above a = 1; at 1 it takes twice as many for ln 2 more."""

    def gained(alpha):
        small, large = (
            float(fisher_memory(Plain(chain(m, alpha), source(m)), max_lag=m).details["total"])
            for m in (n, 2 * n)
        )
        return large - small

    each = gained(1.05) / n
    assert each == pytest.approx(1 - 1 / 1.1025, abs=tolerances[0])
    assert each != pytest.approx(1 - 1 / 1.05, abs=tolerances[0])  # amplitudes
    at_one = gained(1.0)
    assert at_one == pytest.approx(math.log(2), abs=tolerances[1])
    assert at_one != pytest.approx(1, abs=tolerances[1])  # in bits


@pytest.mark.parametrize(
    ("beta", "total"),
    [
        (0.01, 4.458),
        (0.02, 4.653),
        (0.03, 4.958),
        (0.04, 5.346),
        (0.05, 5.793),
        (0.06, 6.283),
        (0.07, 6.807),
        (0.1, 8.5264),
        (0.15, 11.7779),
    ],
)
def test_feedback_chain(x64, beta, total):
    curve = fisher_memory(Plain(chain(100, 0.99, beta), source(100)), max_lag=3000)
    # The last two totals are this test's own 80-bit sums; the others have been published.
    assert float(curve.details["total"]) == pytest.approx(total, abs=6e-4)
    assert curve.statuses == Status.OK
    if beta == 0.07:
        expected = dense_curve(chain(100, 0.99, beta), source(100), 130)
        np.testing.assert_allclose(curve.value[:131], expected, rtol=0, atol=1e-10)


def test_mean_over_random_directions_is_one(x64):
    """For any W; a Gaussian one moves memory between directions, a normal one cannot."""
    rng = np.random.default_rng(12)
    w = rng.normal(size=(100, 100))
    w *= 0.9 / np.max(np.abs(np.linalg.eigvals(w)))
    m = np.asarray(fisher_memory_matrix(Plain(w, source(100))).value)
    assert np.trace(m) == pytest.approx(100, abs=1e-4)
    v = rng.normal(size=(2000, 100))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    totals = np.einsum("si,ij,sj->s", v, m, v)
    error = totals.std(ddof=1) / math.sqrt(2000)
    assert abs(totals.mean() - 1) < 3 * error < 0.02
    spectrum = np.linalg.eigvalsh(m)
    assert spectrum[0] < 0.3
    assert spectrum[-1] > 2


def test_finite_time_memory_is_shared_out_too(x64):
    """trace(M_n) = N whatever the spectral radius, M_n = 1 for normal W: over all directions."""
    rng = np.random.default_rng(13)
    directions = np.eye(6)
    q = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    for w, each in ((1.1 * q, 1.0), (rng.normal(size=(6, 6)), None)):
        curves = [fisher_memory(Plain(w, v[:, None]), max_lag=9, steps=10) for v in directions]
        totals = [float(curve.details["total"]) for curve in curves]
        assert sum(totals) == pytest.approx(6, abs=1e-8)
        if each is not None:
            np.testing.assert_allclose(totals, each, atol=1e-9)
        else:
            assert np.ptp(totals) > 0.1


def test_no_network_beats_the_dynamical_bound(x64):
    rng = np.random.default_rng(2)
    late = 0
    for trial in range(300):
        n, delay_line = 8, trial % 4 == 0
        w = np.diag(rng.uniform(0.3, 2, n - 1), -1) if delay_line else rng.normal(size=(n, n))
        if not delay_line:
            w *= rng.uniform(0.3, 0.95) / np.max(np.abs(np.linalg.eigvals(w)))
        v = source(n) if delay_line else unit(rng, n)
        curve = fisher_memory(Plain(w, v), max_lag=7)
        lengths = [np.sum((np.linalg.matrix_power(w, m) @ v) ** 2) for m in range(8)]
        bound = 1 / np.cumsum(1 / np.array(lengths))
        ratio = np.asarray(curve.value) / bound
        assert np.all(ratio <= 1 + 1e-9)
        late += bool(np.any(np.asarray(curve.value)[:-1] > bound[1:] * (1 + 1e-9)))
        if delay_line:
            np.testing.assert_allclose(ratio, 1, atol=1e-9)
        assert float(curve.details["total"]) <= n
    assert late > 100  # wrong: the lag before


@pytest.mark.parametrize("mutant", [None, "transposed", "newest noise left out"])
def test_random_matrix_against_dense_algebra(x64, mutant):
    rng = np.random.default_rng(3)
    w = np.triu(rng.normal(size=(8, 8)), 1) * 0.8 + 0.6 * np.diag(rng.uniform(-1, 1, 8))
    v = rng.normal(size=(8, 1))
    curve = fisher_memory(Plain(w, v), max_lag=30)
    gap = np.max(np.abs(dense_curve(w, v, 30, mutant=mutant) - np.asarray(curve.value)))
    assert (gap < 1e-10) if mutant is None else (gap > 1e-2)


@pytest.mark.parametrize("gain", [pytest.param(1.0, marks=pytest.mark.slow), 1.2])
def test_unstable_networks_have_a_finite_time_memory_only(x64, gain):
    rng = np.random.default_rng(4)
    q = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    cell = Plain(gain * q, unit(rng, 20))
    with pytest.raises(UntrustedError, match="unstable"):
        fisher_memory(cell, max_lag=30)
    stationary = fisher_memory(cell, max_lag=30, throw=False)
    assert Status.UNSTABLE in stationary.statuses
    assert np.all(np.isnan(stationary.value))
    with pytest.raises(UntrustedError, match="unstable"):
        fisher_memory_matrix(cell)
    finite = fisher_memory(cell, max_lag=40, steps=41)
    assert float(finite.details["total"]) == pytest.approx(1, abs=1e-10)
    powers = gain ** (2 * np.arange(41))
    np.testing.assert_allclose(finite.value, powers / powers.sum(), rtol=1e-9)
    np.testing.assert_allclose(finite.details["noise_gain"], powers.sum(), rtol=1e-10)
    with pytest.raises(ValueError, match="steps must lie in 41"):
        fisher_memory(cell, max_lag=40, steps=40)


def test_finite_time_against_dense_algebra(x64):
    rng = np.random.default_rng(5)
    w, v = rng.normal(size=(6, 6)) * 0.5, rng.normal(size=(6, 1))
    powers = [np.linalg.matrix_power(w, k) for k in range(13)]
    inverse = np.linalg.inv(sum(power @ power.T for power in powers))
    expected = [((power @ v).T @ inverse @ power @ v).item() for power in powers[:11]]
    curve = fisher_memory(Plain(w, v), max_lag=10, steps=13)
    np.testing.assert_allclose(curve.value, expected, rtol=1e-9)


@pytest.mark.slow
def test_signals_of_several_channels(x64):
    rng = np.random.default_rng(6)
    w, v = 0.8 * np.linalg.qr(rng.normal(size=(5, 5)))[0], rng.normal(size=(5, 3))
    w[0] *= 0.3
    apart = [np.asarray(fisher_memory(Plain(w, v[:, [j]]), max_lag=12).value) for j in range(3)]
    together = fisher_memory(Plain(w, v), max_lag=12)
    np.testing.assert_allclose(together.value, np.mean(apart, axis=0), rtol=1e-10)
    one = fisher_memory(Plain(w, v), max_lag=12, direction=[0.0, 5.0, 0.0], noise_variance=0.25)
    np.testing.assert_allclose(one.value, 4 * apart[1], rtol=1e-10)
    xs = rng.normal(size=(600, 3)) * [1.0, 2.0, 3.0]
    scaled = fisher_memory(Plain(w, v), xs, max_lag=12, direction=[0, 0, 1], noise_variance=1.0)
    np.testing.assert_allclose(scaled.value, np.var(xs[:, 2]) * apart[2], rtol=1e-10)


@pytest.mark.slow
def test_noise_is_a_tenth_of_the_state_by_default(x64):
    xs = jr.normal(KEY, (4000,))
    cell = Plain([[0.8]], [[1.0]])
    exact = fisher_memory(cell, xs, max_lag=5)
    states = [0.0]
    for x in np.asarray(xs):
        states.append(0.8 * states[-1] + x)
    burn_in = 100
    expected = 0.01 * np.mean(np.square(states[1 + burn_in :]))
    assert float(exact.details["noise_variance"]) == pytest.approx(expected, rel=1e-10)
    assert exact.settings["noise_variance"] == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(
        exact.value, (1 - 0.64) * 0.64 ** np.arange(6) * float(jnp.var(xs)) / expected, rtol=1e-10
    )
    along = fisher_memory(Plain([[0.8]], [[1.0]], "hidden"), xs, max_lag=5, key=KEY)
    np.testing.assert_allclose(along.value, exact.value, rtol=1e-8)


# Along driven trajectories


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.0, 0.15])
def test_linear_network_through_the_driven_path(x64, beta):
    w, v = chain(40, 1.05, beta), source(40)
    xs = jr.normal(KEY, (1700,))
    exact = fisher_memory(Plain(w, v), xs, max_lag=60, noise_variance=1.0)
    along = fisher_memory(
        Plain(w, v, "hidden"),
        xs,
        max_lag=60,
        noise_variance=1.0,
        burn_in=1500,
        key=KEY,
        end_times=5,
    )
    np.testing.assert_allclose(along.value, exact.value, atol=1e-9 if beta == 0 else 1e-6)
    np.testing.assert_allclose(along.standard_error, 0, atol=1e-6)
    for name in ("total", "noise_gain", "input_gain"):
        assert float(along.details[name]) == pytest.approx(float(exact.details[name]), rel=1e-6)
    assert along.statuses == Status.OK


def tanh_run(w, v, xs, burn_in, max_lag, mutant=None):
    """J(k) of the signal at ``burn_in``, with dense covariances and inverses."""
    h, c, curve = np.zeros(len(w)), np.zeros((len(w), len(w))), []
    signal = None
    for time, x in enumerate(xs[: burn_in + max_lag + 1]):
        h = np.tanh(w @ h + v @ x)
        jacobian = (1 - h**2)[:, None] * w
        if mutant == "transposed":
            jacobian = jacobian.T
        old, c = c, jacobian @ c @ jacobian.T
        if mutant == "newest noise left out":
            seen = c + 1e-9 * np.eye(len(w))
        elif mutant == "lag off by one":
            seen = old + np.eye(len(w))
        c = c + np.eye(len(w))
        if mutant not in ("newest noise left out", "lag off by one"):
            seen = c
        if time == burn_in:
            signal = (1 - h**2)[:, None] * v * xs.std(axis=0)
        elif signal is not None:
            signal = jacobian @ signal
        if signal is not None:
            curve.append(np.trace(signal.T @ np.linalg.inv(seen) @ signal) / v.shape[1])
    return np.array(curve)


@pytest.mark.parametrize("mutant", [None, "transposed", "newest noise left out", "lag off by one"])
def test_driven_network_against_dense_algebra(x64, mutant):
    rng = np.random.default_rng(7)
    w, v = 1.3 * rng.normal(size=(6, 6)) / math.sqrt(6), rng.normal(size=(6, 2))
    xs = rng.normal(size=(40 + 8 + 1, 2)) * [1.0, 0.5]
    curve = fisher_memory(
        Plain(w, v, "tanh"), xs, max_lag=8, burn_in=40, key=KEY, noise_variance=0.5
    )
    expected = tanh_run(w, v, xs, 40, 8, mutant) / 0.5
    gap = np.max(np.abs(expected / np.asarray(curve.value) - 1))
    assert (gap < 1e-9) if mutant is None else (gap > 0.01)
    assert Status.SHORT_SERIES in curve.statuses  # room for a single time
    assert np.all(np.isnan(curve.standard_error))
    assert np.all(np.diff(curve.value) <= 0)  # what is forgotten does not come back


@pytest.mark.slow
def test_information_by_simulation(x64):
    """Noise and signal are added for real; their moments are estimated from runs."""
    rng = np.random.default_rng(8)
    n, lag, runs, noise, size = 3, 2, 200_000, 1e-3, 2e-3
    w, v = rng.normal(size=(n, n)) * 0.5, rng.normal(size=(n, 1))
    xs = rng.normal(size=(20 + lag + 1, 1))
    h, signs = np.zeros((runs, n)), rng.choice([-1.0, 1.0], runs)
    for time, x in enumerate(xs):
        moved = x[0] + (size * signs if time == 20 else 0) * np.ones(runs)
        h = np.tanh(h @ w.T + moved[:, None] * v[:, 0]) + noise * rng.normal(size=(runs, n))
    up, down = h[signs > 0], h[signs < 0]
    slope = (up.mean(axis=0) - down.mean(axis=0)) / (2 * size)
    covariance = (np.cov(up.T) + np.cov(down.T)) / 2
    simulated = slope @ np.linalg.solve(covariance, slope) * np.var(xs)
    curve = fisher_memory(
        Plain(w, v, "tanh"), xs, max_lag=lag, burn_in=20, key=KEY, noise_variance=noise**2
    )
    information = float(curve.value[lag])
    one = information / np.var(xs) * size**2  # in units of the signal that was added
    error = information * math.sqrt(4 / (one * runs) + 2 / runs)
    assert abs(simulated - information) < 4 * error + information * n / (one * runs)
    assert error < 0.05 * information  # else the comparison says nothing


@pytest.mark.slow
def test_errors_cover_the_truth(x64):
    rng = np.random.default_rng(9)
    w = 0.7 * np.linalg.qr(rng.normal(size=(4, 4)))[0]
    cell = Plain(w, rng.normal(size=(4, 1)), "tanh")

    def measured(key):
        xs = jr.normal(key, (300,))
        curve = fisher_memory(
            cell, xs, max_lag=20, burn_in=100, key=key, end_times=80, noise_variance=1.0
        )
        return np.stack([curve.value, curve.standard_error])

    found = np.array([measured(jr.key(i)) for i in range(60)])
    for lag in (0, 2, 6):
        value, claimed = found[:, 0, lag], found[:, 1, lag]
        # J is skewed: errors are compared as a whole, and single ones by their median.
        assert np.sqrt(np.mean(claimed**2)) == pytest.approx(value.std(ddof=1), rel=0.6)
        assert 0.4 < np.median(np.abs(value - value.mean()) / claimed) < 1.1


@pytest.mark.slow
@pytest.mark.parametrize("measure", [fisher_memory, fisher_bound])
def test_directions_that_stand_for_many_channels_are_in_the_error(measure, x64):
    """20 channels, a leaky unit each: 8 directions miss their mean by several per cent."""
    leaks, lags = np.linspace(0, 0.95, 20), 3
    cell = Plain(np.diag(leaks), np.eye(20), "driven linear")
    xs = jr.normal(jr.key(1), (200, 20))
    units = np.eye(20)
    if measure is fisher_bound:  # no quadratic form: its mean is over all directions
        units = np.random.default_rng(0).normal(size=(20_000, 20))
        units /= np.linalg.norm(units, axis=1, keepdims=True)
    units = units * np.std(np.asarray(xs), axis=0)
    decay = leaks[:, None] ** (2 * np.arange(lags + 1))
    if measure is fisher_memory:
        each = units**2 @ ((1 - leaks[:, None] ** 2) * decay)
        options = {"end_times": 2}
    else:
        each = 1 / np.cumsum(1 / (units**2 @ decay), axis=1)
        options = {"starts": 2}
    right = np.mean(each, axis=0)

    def found(key):
        curve = measure(cell, xs, max_lag=lags, burn_in=150, noise_variance=1.0, key=key, **options)
        return np.stack([curve.value - right, curve.standard_error])

    gaps, errors = np.sqrt(np.mean([found(jr.key(i)) ** 2 for i in range(20)], axis=0))
    assert np.all(gaps > 0.005 * right)
    assert errors == pytest.approx(gaps, rel=0.5)


@pytest.mark.slow
def test_several_sequences_are_all_followed(x64):
    rng = np.random.default_rng(10)
    w, v = rng.normal(size=(4, 4)) / 2, rng.normal(size=(4, 1))
    xs = rng.normal(size=(3, 46, 1))
    cell = Plain(w, v, "tanh")
    curve = fisher_memory(cell, xs, max_lag=5, burn_in=40, key=KEY, noise_variance=1.0)
    scale = np.var(xs)
    each = [tanh_run(w, v, one, 40, 5) / np.var(one) * scale for one in xs]
    np.testing.assert_allclose(curve.value, np.mean(each, axis=0), rtol=1e-9)
    np.testing.assert_allclose(
        curve.standard_error, np.std(each, axis=0, ddof=1) / math.sqrt(3), rtol=1e-9
    )


@pytest.mark.slow
def test_a_chaotic_network_is_said_to_be_unstable(x64):
    rng = np.random.default_rng(11)
    cell = Plain(
        rng.normal(size=(30, 30)) / math.sqrt(30) * 3, 0.1 * rng.normal(size=(30, 1)), "tanh"
    )
    xs = jr.normal(KEY, (200,))
    curve = fisher_memory(cell, xs, max_lag=30, key=KEY)
    assert Status.UNSTABLE in curve.statuses
    assert np.all(np.isfinite(curve.value))
    assert float(curve.details["noise_gain"]) > 100


@pytest.mark.slow
def test_noise_that_has_not_settled_is_reported(x64):
    slow = Plain(0.9999 * np.eye(2), np.ones((2, 1)), "hidden")
    curve = fisher_memory(slow, jr.normal(KEY, (300,)), max_lag=60, key=KEY)
    assert curve.statuses == Status.NOT_CONVERGED
    # Noise from 101 steps and the lag: nearly one unit a step.
    assert float(curve.value[0] * curve.details["noise_variance"]) == pytest.approx(
        2 * float(jnp.var(jr.normal(KEY, (300,)))) / 130, rel=0.25
    )


def test_wrong_calls_are_refused():
    cell = Plain(0.5 * np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32), "tanh")
    xs = np.random.default_rng(0).normal(size=300)
    with pytest.raises(ValueError, match="pass inputs"):
        fisher_memory(cell, max_lag=5)
    with pytest.raises(ValueError, match="pass key"):
        fisher_memory(cell, xs, max_lag=5)
    with pytest.raises(ValueError, match="constant"):
        fisher_memory(cell, np.ones(300), max_lag=5, key=KEY)
    with pytest.raises(ValueError, match="direction must have shape"):
        fisher_memory(cell, xs, max_lag=5, key=KEY, direction=[1.0, 2.0])
    with pytest.raises(ValueError, match="noise_variance must be positive, got 0"):
        fisher_memory(cell, xs, max_lag=5, key=KEY, noise_variance=0.0)
    with pytest.raises(ValueError, match="at least 351 steps, got 300"):
        fisher_memory(cell, xs, max_lag=250, key=KEY)
    with pytest.raises(ValueError, match="steps is for linear cells"):
        fisher_memory(cell, xs, max_lag=5, key=KEY, steps=50)
    with pytest.raises(ValueError, match="only linear cells"):
        fisher_memory_matrix(cell)


@pytest.mark.slow
def test_not_a_number_stays_one(x64):
    xs = jr.normal(KEY, (300,)).at[150].set(jnp.nan)
    cell = Plain(0.5 * np.eye(2), np.ones((2, 1)), "tanh")
    curve = fisher_memory(cell, xs, max_lag=20, key=KEY, throw=False)
    assert Status.NOT_FINITE in curve.statuses
    assert np.all(np.isnan(curve.value))
    broken = Plain(np.full((2, 2), np.nan), np.ones((2, 1)))
    curve = fisher_memory(broken, max_lag=20, throw=False)
    assert curve.statuses == Status.NOT_FINITE
    assert np.all(np.isnan(curve.value))


@pytest.mark.slow
def test_single_precision_is_good_to_four_digits():
    cell = Plain(chain(30, 1.1).astype(np.float32), source(30).astype(np.float32))
    curve = fisher_memory(cell, max_lag=40)
    assert curve.value.dtype == jnp.float32
    np.testing.assert_allclose(curve.value, chain_curve(30, 1.1, 40), rtol=1e-4, atol=1e-7)
    assert curve.statuses == Status.OK
