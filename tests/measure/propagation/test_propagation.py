"""Propagation in real networks against mean-field theory and networks run in NumPy."""

import functools
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from echoic import cells, init
from echoic.core.cell import AbstractCell
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.propagation.signals import (
    jacobian_moments,
    signal_propagation,
    untied_propagation,
)
from echoic.measure.propagation.timescale import fit_timescale
from echoic.theory import mean_field
from echoic.theory.gaussian import Rule
from echoic.theory.mean_field import Gate, Gram, Minimal, Vanilla

pytestmark = pytest.mark.usefixtures("x64")
R, SIGMA, NU = 0.46, 6.88, 1.39
STEPS = 100
COSINES = np.where(np.arange(STEPS) < 10, 0.0, 1.0)
LAW = {"recurrent_variance": SIGMA**2, "input_variance": NU**2}


def plain(key, n=200, sigma=1.3):
    return cells.Elman(
        3,
        n,
        recurrent=init.gaussian(sigma),
        input=init.normal(0.5),
        bias=init.zeros(),
        key=key,
        dtype=jnp.float64,
    )


def test_trajectories_are_those_of_numpy():
    """One network and two pairs; each wrong version misses by far."""
    cell = plain(jr.key(0), 5)
    first, second = np.random.default_rng(0).normal(size=(2, 2, 4, 3))
    w, v = np.asarray(cell.recurrent), np.asarray(cell.input)

    def cosines(w, centred=False):
        rows = []
        for pair in zip(first, second, strict=True):
            states = np.zeros((2, 5))
            row = []
            for t in range(4):
                states = np.tanh(states @ w.T + np.array([x[t] for x in pair]) @ v.T)
                a, b = states - centred * states.mean(axis=1, keepdims=True)
                row.append(a @ b / math.sqrt((a @ a) * (b @ b)))
            rows.append(row)
        return np.array(rows)

    found = signal_propagation(cell, first, second)
    right = cosines(w)
    assert np.asarray(found.details["runs"]) == pytest.approx(right, abs=1e-12)
    assert np.asarray(found.value) == pytest.approx(right.mean(axis=0), abs=1e-12)
    error = np.abs(right[0] - right[1]) / 2
    assert np.asarray(found.standard_error) == pytest.approx(error, abs=1e-12)
    for wrong in (cosines(w.T), cosines(w, centred=True)):
        assert np.max(np.abs(wrong - right)) > 0.01
    broken = signal_propagation(cell, first * np.nan, second)
    assert np.isnan(broken.value).all()
    assert broken.statuses == Status.NOT_FINITE


def predicted(mu):
    inputs = Gram.of(jnp.full(STEPS, R), jnp.asarray(COSINES))
    net = Minimal(Gate(SIGMA**2, NU**2, mu), rule=Rule(8.0))
    return mean_field.propagate(net, inputs, start=Gram(R, R, 0.0))


# Derived apart, after 21, 51 and 100 steps.
THEORY = {
    -3.0: (0.9975, 1, 1),
    0.0: (0.8973, 0.9752, 0.9895),
    2.0: (0.6618, 0.7673, 0.7723),
    3.5: (0.3995, 0.5369, 0.5477),
    5.5: (0.1106, 0.1986, 0.2736),
}


def recursion(mu, *, mutant=None):
    """C and Q over time by sums over a grid, the theory written out once more."""
    z = np.linspace(-8, 8, 161)
    mass = np.exp(-(z**2) / 2) / np.sum(np.exp(-(z**2) / 2))

    def step(q, c, cosine):
        drive = 0 if mutant == "gate that does not see the input" else NU**2 * R
        variance = SIGMA**2 * q + drive
        share = min(1.0, (SIGMA**2 * q * c + drive * cosine) / variance)
        share = 0.0 if mutant == "gates independent" else share
        rest = math.sqrt(1 - share**2)
        a = 1 / (1 + np.exp(-mu - math.sqrt(variance) * z))[:, None]
        b = 1 / (1 + np.exp(-mu - math.sqrt(variance) * (share * z[:, None] + rest * z)))
        written = a if mutant == "E[u^2] for E[(1 - u)^2]" else 1 - a
        length = q * (mass @ a[:, 0] ** 2) + R * (mass @ written[:, 0] ** 2)
        shared = mass @ (q * c * a * b + R * cosine * (1 - a) * (1 - b)) @ mass
        return length, shared / length

    q, c, rows = R, 0.0, []
    for cosine in COSINES:
        q, c = step(q, c, cosine)
        rows.append((c, q))
    return np.array(rows).T


@pytest.mark.slow
@pytest.mark.parametrize("mu", THEORY)
def test_the_theory_written_out_is_the_library_s(mu):
    run = predicted(mu)
    cosine, length = recursion(mu)
    assert np.asarray(run.cosine) == pytest.approx(cosine, abs=1e-10)
    assert np.asarray(run.length_a) == pytest.approx(length, abs=1e-10)
    assert cosine[[20, 50, 99]] == pytest.approx(np.array(THEORY[mu]), abs=6e-5)


def follow(found, cosine, length, mu):
    """Cosines at all times, and the length once it has settled: to 3 per cent, 10 near the edge."""
    late = slice(60, None)
    ratio = np.mean(found.details["length_a"][late]) / np.mean(length[late])
    in_length = abs(ratio - 1) < (0.1 if mu >= 4.5 else 0.03)
    return np.max(np.abs(found.value - cosine)) <= 0.03 and in_length


def mutants_of(mu):
    """Those that differ: where gates hardly ever open, what they see matters little."""
    yield "gates independent"
    if mu != 0:
        yield "E[u^2] for E[(1 - u)^2]"
    if mu > 0:
        yield "gate that does not see the input"


@pytest.mark.slow
@pytest.mark.parametrize(
    "mu", [pytest.param(mu, marks=pytest.mark.slow if mu != 2 else ()) for mu in THEORY]
)
def test_sampled_untied_networks_follow_the_theory(mu):
    """8192 units, 4 runs, independent inputs for 10 steps and equal ones for 90.

    Seen: cosines to .010, .013, .018, .028 and .016; lengths to .3 per cent, 1.7 at mu = 5.5.
    """
    found = untied_propagation(
        "minimal", R, COSINES, **LAW, bias_mean=mu, size=8192, start=(R, 0.0), key=jr.key(0)
    )
    assert follow(found, *recursion(mu), mu)
    for mutant in mutants_of(mu):
        assert not follow(found, *recursion(mu, mutant=mutant), mu), mutant


class Gated(AbstractCell):
    """The minimal network with as many inputs as units, each written by its own."""

    w: jax.Array
    v: jax.Array
    mu: jax.Array
    input_size: int = 0
    hidden_size: int = 0

    @classmethod
    def draw(cls, n, mu, key):
        w, v = jr.normal(key, (2, n, n), jnp.float64) / math.sqrt(n)
        return cls(SIGMA * w, NU * v, jnp.asarray(mu), n, n)

    def initial_state(self):
        return jnp.zeros(len(self.w))

    def step(self, state, x):
        gate = jax.nn.sigmoid(self.w @ state + self.v @ x + self.mu)
        return gate * state + (1 - gate) * x

    def read(self, state):
        return state


def gated_run(mu, n, runs, *, untied, seed=0):
    """Networks of real matrices from two independent states, on the same schedule of inputs."""
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((2, n)) * math.sqrt(R)
    first, other = rng.standard_normal((2, runs, STEPS, n)) * math.sqrt(R)
    shared = COSINES[:, None]
    second = shared * first + np.sqrt(1 - shared**2) * other
    return signal_propagation(
        functools.partial(Gated.draw, n, mu),
        first,
        second,
        key=jr.key(seed),
        untied=untied,
        state=jnp.asarray(states[0]),
        other_state=jnp.asarray(states[1]),
    )


def gap(found, mu, mutant=None):
    return np.max(np.abs(found.value - recursion(mu, mutant=mutant)[0]))


def length_error(found, mu):
    """Of the length once it has settled, relative to the theory's."""
    late = slice(60, None)
    return abs(np.mean(found.details["length_a"][late]) / np.mean(recursion(mu)[1][late]) - 1)


@pytest.mark.slow
@pytest.mark.parametrize("mu", THEORY)
def test_matrices_of_500_units_redrawn_at_each_step(mu):
    """4 networks. Seen: .040, .038, .048, .049 and .071."""
    found = gated_run(mu, 500, 4, untied=True)
    assert gap(found, mu) <= 0.08
    for mutant in mutants_of(mu):
        assert gap(found, mu, mutant) > 0.08, mutant


@pytest.mark.slow
@pytest.mark.parametrize("mu", [-3.0, 0.0])
def test_matrices_of_1000_units_that_stay(mu):
    """Up to mu = 0 the theory of untied networks tells the cosines of tied ones: .041 and .055."""
    found = gated_run(mu, 1000, 2, untied=False)
    assert gap(found, mu) <= 0.08
    assert gap(found, mu, "gates independent") > 0.08


@pytest.mark.slow
def test_matrices_that_stay_leave_the_theory_as_gates_hold_longer():
    """Beyond mu = 0 it tells the order of tied networks only; no bound is claimed there.

    1000 units, seen at mu = 2, 3.5 and 5.5: cosines off by .11 to .14, .26 to .28, .20 to .22.
    Lengths are off by 2, 8, 26, 52 and 176 per cent at the five values of mu.
    """
    tied = {mu: gated_run(mu, 1000, 2, untied=False) for mu in THEORY}
    assert all(gap(tied[mu], mu) > 0.08 for mu in THEORY if mu > 0)  # redrawn: below, see above
    early = [float(found.value[20]) for found in tied.values()]
    assert np.all(np.diff(early) < 0)
    errors = [length_error(found, mu) for mu, found in tied.items()]
    assert np.all(np.diff(errors) > 0)
    assert errors[0] < 0.03
    assert errors[-1] > 1


def vanilla_inputs(runs, steps, m=3):
    """Independent sequences whose power is exactly 1 per channel."""
    return np.random.default_rng(0).integers(2, size=(2, runs, steps, m)) * 2.0 - 1


@pytest.mark.slow
def test_matrices_drawn_at_each_step_and_kept_ones():
    """500 units: untied networks by the theory's cosines; and not those of another gain."""
    steps, runs = 12, 6
    first, second = vanilla_inputs(runs, steps)

    def draw(key):
        return plain(key, 500)

    theory = Vanilla(Gate(1.3**2, 0.25 * 3))  # V has variance 1/4 for each of three channels
    grams = mean_field.input_grams(np.stack([first[0], second[0]]))
    run = mean_field.propagate(theory, grams)
    alike = [np.broadcast_to(x[:1], x.shape) for x in (first, second)]
    untied = signal_propagation(draw, *alike, key=jr.key(0), untied=True)
    assert np.max(np.abs(untied.value - run.cosine[0])) < 0.08
    length = np.asarray(run.length_a[0])
    assert np.asarray(untied.details["length_a"]) == pytest.approx(length, rel=0.05)
    other = mean_field.propagate(Vanilla(Gate(2.5**2, 0.75)), grams)
    assert np.max(np.abs(untied.details["length_a"] - other.length_a[0])) > 0.1
    tied = signal_propagation(draw, *alike, key=jr.key(0))
    assert np.max(np.abs(tied.value - run.cosine[0])) < 0.25
    sampled = untied_propagation(
        "vanilla",
        jnp.ones(steps),
        np.mean(alike[0][0] * alike[1][0], axis=1),
        recurrent_variance=1.3**2,
        input_variance=0.75,
        size=8192,
        key=jr.key(3),
    )
    assert np.max(np.abs(sampled.value - run.cosine[0])) < 0.03


@pytest.mark.slow
def test_sampled_timescale_under_independent_inputs():
    """The decay to C* = 0 at mu = 5.5 in 8192 units, on steps 15 to 40: xi = 71.7 to 15 per cent.

    From the settled length; the map itself is on xi to 1 per cent there. Seen with other keys:
    1.02, .97 and 1.00 of xi.
    """
    mu, window = 5.5, {"start": 15, "stop": 41}
    net = Minimal(Gate(SIGMA**2, NU**2, mu), rule=Rule(8.0))
    fixed = mean_field.fixed_point(net, R, 0.0)
    limit, xi, length = float(fixed.cosine), float(fixed.timescale), float(fixed.length)
    inputs = Gram.of(jnp.full(41, R), jnp.zeros(41))
    run = np.asarray(mean_field.propagate(net, inputs, start=Gram.of(length, 0.9)).cosine)
    assert float(fit_timescale(run, limit, **window).value) == pytest.approx(xi, rel=0.01)
    found = untied_propagation(
        "minimal",
        R,
        np.zeros(41),
        **LAW,
        bias_mean=mu,
        size=8192,
        runs=8,
        start=(length, 0.9),
        key=jr.key(0),
    )
    assert np.min(np.abs(found.value - limit)) > 0.01  # at no step is it lost in the noise
    fitted = float(fit_timescale(found, limit, **window).value)
    assert fitted == pytest.approx(xi, rel=0.15)
    of_equal_inputs = float(mean_field.fixed_point(net, R, 1.0).timescale)
    at_cosine_one = -1 / math.log(float(fixed.gain))
    for wrong in (of_equal_inputs, at_cosine_one, 2 * xi, xi * math.log(2)):
        assert fitted != pytest.approx(wrong, rel=0.15)


@pytest.mark.slow
def test_sampled_timescale():
    """The decay to C* at mu = 2, 8192 units: that of the map in the same window; later, xi."""
    net = Minimal(Gate(SIGMA**2, NU**2, 2.0), rule=Rule(8.0))
    fixed = mean_field.fixed_point(net, R, 1.0)
    found = untied_propagation(
        "minimal",
        R,
        np.ones(41),
        **LAW,
        bias_mean=2.0,
        size=8192,
        runs=32,
        start=(R, 0.0),
        key=jr.key(7),
    )
    limit, xi = float(fixed.cosine), float(fixed.timescale)
    inputs = Gram.of(jnp.full(200, R), jnp.ones(200))
    run = np.asarray(mean_field.propagate(net, inputs, start=Gram(R, R, 0.0)).cosine)
    fitted = fit_timescale(found, limit, start=15)
    stop = 15 + int(fitted.details["points"])
    early = float(fit_timescale(run, limit, start=15, stop=stop).value)
    assert abs(float(fitted.value) - early) < 4 * float(fitted.standard_error)
    assert float(fitted.standard_error) < 0.1 * xi
    assert float(fit_timescale(run, limit, start=60, stop=120).value) == pytest.approx(xi, rel=0.01)
    assert abs(float(fitted.value) - 2 * xi) > 4 * float(fitted.standard_error)  # an amplitude's


def test_timescale_and_its_verdicts():
    steps = np.arange(30)
    decay = 0.4 + 0.5 * np.exp(-steps / 6.0)
    found = fit_timescale(decay, 0.4)
    assert float(found.value) == pytest.approx(6.0, rel=1e-5)
    assert found.statuses == Status.OK
    assert float(fit_timescale(decay, 0.3).value) > 9  # a wrong limit
    assert fit_timescale(decay, 0.41, stop=24).statuses == Status.NOT_CONVERGED
    growing = fit_timescale(0.4 + 0.01 * np.exp(steps / 6.0), 0.4)
    assert growing.statuses == Status.GROWING
    assert math.isinf(float(growing.value))
    assert fit_timescale(np.full(9, np.nan), 0.4).statuses == Status.NOT_FINITE
    assert fit_timescale(np.full(9, 0.4), 0.4).statuses == Status.BELOW_NOISE


@pytest.mark.slow
def test_jacobian_moments_of_known_matrices():
    """A linear network: powers of W, whatever the inputs; and not those of W + W'."""
    cell = cells.Elman(1, 4, activation="identity", key=jr.key(0), dtype=jnp.float64)
    w = np.asarray(cell.recurrent)

    def moments(w):
        products = [np.linalg.matrix_power(w, T) for T in (1, 2)]
        squares = [np.linalg.svd(p, compute_uv=False) ** 2 for p in products]
        return np.array([[np.mean(s), np.mean(s**2)] for s in squares])

    found = jacobian_moments(lambda key: cell, jnp.ones((2, 4, 1)), steps=2, key=jr.key(0))
    measured = np.stack([found.value, found.details["k2"]], axis=1)
    assert measured == pytest.approx(moments(w), abs=1e-12)
    assert found.standard_error == pytest.approx(np.zeros(2), abs=1e-12)
    assert measured != pytest.approx(moments((w + w.T) / 2), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vanilla", "minimal"])
def test_jacobian_moments_of_untied_networks(name):
    """1000 units, 5 draws, up to 4 steps: k1 to 3 per cent (T = 1) and 10 (T = 4), variance to 15.

    A draw's k2 has heavy tails: of three other keys of the plain network one is off by 3.3 per cent
    in k1, and minimal networks at mu = 0 by up to 20 in the variance, 1.2 standard errors.
    """
    lags = 4
    if name == "vanilla":
        inputs = vanilla_inputs(5, 12 + lags)[0]
        net, power, draw = Vanilla(Gate(1.3**2, 0.75)), 1.0, lambda key: plain(key, 1000)
    else:
        inputs = np.random.default_rng(1).normal(size=(5, 40 + lags, 1000)) * math.sqrt(R)
        net, power = Minimal(Gate(SIGMA**2, NU**2, 2.0), rule=Rule(8.0)), R
        draw = functools.partial(Gated.draw, 1000, 2.0)
    found = jacobian_moments(draw, inputs, steps=lags, key=jr.key(1), untied=True)
    length = mean_field.fixed_point(net, power, 0.0).length

    def moments(**law):
        theory = mean_field.jacobian_moments(net, length, power, steps=lags, **law)
        return tuple(np.asarray(m)[1:] for m in (theory.mean, theory.variance))

    def within(k1, variance):
        error = np.abs(np.asarray(found.value) / k1 - 1)
        spread = np.abs(np.asarray(found.details["variance"]) / variance - 1)
        return np.all(error < [0.03, 0.1, 0.1, 0.1]) and np.all(spread < 0.15)

    k1, variance = moments()
    assert within(k1, variance)
    assert not within(np.sqrt(k1), variance)  # amplitudes
    assert not within(k1, variance + k1**2)  # k2
    if name == "vanilla":
        assert not within(k1, moments(weights="orthogonal")[1])


def test_wrong_calls():
    cell = plain(jr.key(0), 5)
    with pytest.raises(ValueError, match="untied=True needs a function"):
        signal_propagation(cell, np.ones((2, 3)), np.ones((2, 3)), untied=True)
    with pytest.raises(ValueError, match="equal shapes"):
        signal_propagation(cell, np.ones((2, 3)), np.ones((4, 3)))
    with pytest.raises(ValueError, match="unknown model"):
        untied_propagation("gru", R, COSINES, **LAW, key=jr.key(0))
    with pytest.raises(ValueError, match="draw must be a function"):
        jacobian_moments(cell, np.ones((3, 3)), steps=1, key=jr.key(0))


@pytest.mark.slow
def test_under_jit_and_vmap():
    cell = plain(jr.key(0), 5)
    first, second = np.random.default_rng(0).normal(size=(2, 2, 4, 3))
    alone = signal_propagation(cell, first[0], second[0]).value

    def measure(x, y):
        return signal_propagation(cell, x, y).value

    found = jax.jit(jax.vmap(measure))(jnp.asarray(first), jnp.asarray(second))
    assert np.asarray(found[0]) == pytest.approx(np.asarray(alone), abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.003, 0.03])
def test_the_timescale_is_as_right_as_its_error_says(noise):
    """A fit of logarithms with the weights of what was measured lies 0.3 to 0.8 errors high."""
    rng = np.random.default_rng(0)
    decay = 0.5 + 0.3 * np.exp(-np.arange(60) / 7)
    misses = []
    for _ in range(100):
        runs = decay + noise * rng.normal(size=(16, 60))
        error = runs.std(0, ddof=1) / 4
        trajectory = Estimate(runs.mean(0), error, Status.OK, Settings(), {"runs": runs})
        found = fit_timescale(trajectory, 0.5)
        misses.append(float(found.value - 7) / float(found.standard_error))
    assert abs(np.mean(misses)) < 0.3
    assert np.mean(np.abs(misses) < 2) > 0.84
