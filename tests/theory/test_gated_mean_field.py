"""Gated mean-field theory against networks drawn from their law, in NumPy."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic import init
from echoic.core.estimate import Status
from echoic.theory.mean_field import (
    GRU,
    LSTM,
    Chosen,
    FullPeepholeLSTM,
    Gate,
    Gram,
    ResetBeforeGRU,
    critical_gru,
    critical_lstm,
    fixed_point,
    isometry_slope,
    lstm_population,
)

# (sigma^2, nu^2, mu, rho^2) by gate.
GRU_LAW = ((2.0, 0.5, 1.0, 0.1), (1.0, 1.0, 0.5, 0.1), (3.0, 0.5, 0.0, 0.1))
# A reset that is nearly open or shut: its second moment is far from the square of its first.
SWITCHING = ((1.0, 0.5, 1.0, 0.1), (0.5, 25.0, 0.0, 0.0), (9.0, 0.2, 0.0, 0.0))
LSTM_LAW = ((1.0, 0.5, 1.0, 0.1), (1.0, 0.5, 0.0, 0.1), (2.0, 0.5, 0.0, 0.1), (1.0, 0.5, 0.0, 0.1))
COSINE = 0.5


def gates(law):
    return [Gate(*numbers) for numbers in law]


def sigmoid(e):
    return 1 / (1 + np.exp(-e))


class Sampler:
    """Pairs of copies of a network, pre-activations drawn from their exact law at each step."""

    def __init__(self, law, seed, size=8192, cosine=COSINE):
        self.law, self.size = law, size
        self.rng, self.cosine = np.random.default_rng(seed), cosine
        self.state = np.zeros((2, size))

    def draw(self, gate, seen, power=1.0, input_part=True):
        sigma, nu, mean, rho = self.law[gate]
        covariance = sigma * (seen @ seen.T) / self.size
        if input_part:
            covariance = covariance + nu * power * np.array([[1, self.cosine], [self.cosine, 1]])
            covariance = covariance + rho
        root = np.linalg.cholesky(covariance + 1e-12 * np.eye(2))
        return mean + root @ self.rng.normal(size=(2, self.size))

    def blend(self, candidate):
        keep = sigmoid(self.draw(0, self.state))
        self.state = keep * self.state + (1 - keep) * candidate

    def reset_before(self):
        reset = sigmoid(self.draw(1, self.state))
        self.blend(np.tanh(self.draw(2, reset * self.state)))

    def reset_after(self):
        reset = sigmoid(self.draw(1, self.state))
        inside = self.draw(2, self.state, input_part=False)
        self.blend(np.tanh(self.draw(2, 0 * self.state) + reset * inside))

    def full_peephole(self):
        keep, write = sigmoid(self.draw(0, self.state)), sigmoid(self.draw(1, self.state))
        self.state = keep * self.state + write * np.tanh(self.draw(2, self.state))

    def run(self, step, burn_in=60, steps=150):
        found = []
        for time in range(burn_in + steps):
            getattr(self, step)()
            if time >= burn_in:
                found.append((self.state @ self.state.T / self.size)[[0, 0], [0, 1]])
        length, overlap = np.mean(found, axis=0)
        return length, overlap / length


FAMILIES = {
    "reset_before": (ResetBeforeGRU, GRU_LAW),
    "reset_after": (GRU, GRU_LAW),
    "full_peephole": (FullPeepholeLSTM, LSTM_LAW[:3]),
}


@eqx.filter_jit
def stationary(family, inputs):
    """Q and C by plain iteration, chi there and chi_1."""
    length = jax.lax.fori_loop(
        0, 400, lambda _, q: family.length_map(q, inputs.aa), jnp.ones_like(inputs.aa)
    )
    cosine = jax.lax.fori_loop(
        0,
        80,
        lambda _, c: family.covariance_map(Gram.of(length, c), inputs) / length,
        jnp.zeros_like(length),
    )
    step = 1e-5
    nearby = Gram.of(length, jnp.stack([cosine - step, cosine + step]))
    low, high = jax.vmap(
        lambda ab: family.covariance_map(Gram(length, length, ab), inputs) / length
    )(nearby.ab)
    chi = family.chi(Gram.of(length, cosine), inputs)
    itself = family.chi(Gram.of(length, 1.0), Gram.of(inputs.aa, 1.0))
    return length, cosine, chi, (high - low) / (2 * step), family.gain(length, 1.0), itself


def solved(name):
    kind, law = FAMILIES[name]
    one = jnp.asarray(1.0)
    return [float(x) for x in stationary(kind(*gates(law)), Gram(one, one, one * COSINE))]


KNOWN = {
    "reset_before": (0.0786, 0.4765, 0.58016, 0.62525),
    "full_peephole": (0.2468, 0.4501, 0.71856, 0.80701),
}


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "name",
    [
        "full_peephole",
        pytest.param("reset_before", marks=pytest.mark.slow),
        pytest.param("reset_after", marks=pytest.mark.slow),
    ],
)
def test_stationary_pairs_are_those_of_the_sampler(name):
    length, cosine, chi, difference, gain, itself = solved(name)
    sampled = np.array([Sampler(FAMILIES[name][1], seed).run(name) for seed in range(2)])
    assert length == pytest.approx(sampled[:, 0].mean(), rel=0.01)
    assert cosine == pytest.approx(sampled[:, 1].mean(), rel=0.01)
    assert chi == pytest.approx(difference, abs=1e-6)
    assert itself == pytest.approx(gain, rel=1e-5)
    if name in KNOWN:
        assert (length, cosine, chi, gain) == pytest.approx(KNOWN[name], rel=3e-4)
    # Wrong: chi without the term of the candidate, or without that of the old state.
    assert chi - 0.05 != pytest.approx(difference, abs=0.02)


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_fixed_points_of_gated_families(name):
    """What serves the plain and the minimal network serves these."""
    kind, law = FAMILIES[name]
    found = fixed_point(kind(*gates(law)), 1.0, COSINE)
    length, cosine, chi, _, gain, _ = solved(name)
    values = [float(x) for x in (found.length, found.cosine, found.chi, found.gain)]
    assert values == pytest.approx([length, cosine, chi, gain], rel=1e-6)
    assert float(found.timescale) == pytest.approx(-1 / math.log(chi), rel=1e-5)
    grid = kind(*gates(law)).length_map(jnp.linspace(0.1, 0.2, 3), 1.0)
    assert grid.shape == (3,)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_lengths_and_gains_of_gated_units():
    """At large gains: by averages over a million draws, with all that a unit does written out."""
    rng = np.random.default_rng(0)
    length, size = 0.15, 400_000

    def draw(gate, state=length, given=None):
        sigma, nu, mean, rho = SWITCHING[gate] if given is None else given
        return mean + math.sqrt(sigma * state + nu + rho) * rng.normal(size=size)

    h = math.sqrt(length) * rng.normal(size=size)
    f, r = sigmoid(draw(0)), sigmoid(draw(1))
    (s_f, *_), (s_r, *_), (s_n, nu_n, *_) = SWITCHING
    inside = math.sqrt(s_n * length) * rng.normal(size=size)
    through_reset = (r * (1 - r) * inside) ** 2 * s_r
    after = np.tanh(math.sqrt(nu_n) * rng.normal(size=size) + r * inside)
    rows = (s_n * r**2 + through_reset) * (1 - after**2) ** 2
    cases = [(GRU, after, rows)]
    before = np.tanh(math.sqrt(s_n * length * np.mean(r**2) + nu_n) * rng.normal(size=size))
    factor = np.mean(r**2) + s_r * np.mean((r * (1 - r)) ** 2) * length
    cases.append((ResetBeforeGRU, before, s_n * factor * (1 - before**2) ** 2))
    lengths, gains = {}, {}
    for kind, n, rows in cases:
        family = kind(*gates(SWITCHING))
        new = np.mean((f * h + (1 - f) * n) ** 2)
        gain = np.mean(f**2 + s_f * (f * (1 - f) * (h - n)) ** 2 + (1 - f) ** 2 * rows)
        lengths[kind], gains[kind] = (
            float(family.length_map(length, 1.0)),
            float(family.gain(length, 1.0)),
        )
        assert lengths[kind] == pytest.approx(new, rel=0.01)
        assert gains[kind] == pytest.approx(gain, rel=0.01)
    # Wrong: E[r]^2 for E[r^2]; a Gaussian pre-activation although the reset comes after.
    wrong = np.tanh(math.sqrt(s_n * length * np.mean(r) ** 2 + nu_n) * rng.normal(size=size))
    wrong_length = np.mean((f * h + (1 - f) * wrong) ** 2)
    assert lengths[ResetBeforeGRU] != pytest.approx(wrong_length, rel=0.01)
    assert lengths[GRU] != pytest.approx(lengths[ResetBeforeGRU], rel=0.01)
    # The moments of what is written, the fourth of g among them, by the same draws.
    n, rows = cases[0][1:]
    expected = [n**2, n**4, rows, rows**2, n**2 * rows]
    found = GRU(*gates(SWITCHING)).written(length, 1.0)
    assert np.allclose([float(x) for x in found[:5]], np.mean(expected, axis=1), rtol=0.02)
    assert float(sum(found.slopes)) == pytest.approx(float(found.slope), rel=1e-9)


@pytest.mark.usefixtures("x64")
def test_gated_families_refuse_what_they_do_not_follow():
    with pytest.raises(ValueError, match=r"candidate\.bias_mean must be 0"):
        ResetBeforeGRU(Gate(1.0), Gate(1.0), Gate(1.0, bias_mean=0.5))
    with pytest.raises(ValueError, match=r"power must be one number"):
        lstm_population(LSTM(*gates(LSTM_LAW)), jnp.ones(3), key=jr.key(0))


def lstm_by_hand(law, peepholes, size, steps, seed, lags=()):
    """Means of c^2, h^2 and the reach of (h, c), matrices redrawn at each step, white inputs."""
    rng = np.random.default_rng(seed)
    peeps = [math.sqrt(variance) * rng.normal(size=size) for variance in peepholes]
    h, c = np.zeros(size), np.zeros(size)
    moments, powers, tangent = [], [], None
    burn_in = steps - max(lags, default=0)
    for time in range(steps):
        if time == burn_in:
            tangent = np.eye(2 * size)  # rows: h, then c
        totals, matrices = [], []
        for sigma, nu, mean, rho in law:
            matrix = None
            product = math.sqrt(sigma * (h @ h) / size) * rng.normal(size=size)
            if tangent is not None:
                matrix = math.sqrt(sigma / size) * rng.normal(size=(size, size))
                product = matrix @ h
            totals.append(mean + product + math.sqrt(nu + rho) * rng.normal(size=size))
            matrices.append(matrix)
        f, i = sigmoid(totals[0] + peeps[0] * c), sigmoid(totals[1] + peeps[1] * c)
        g, new = np.tanh(totals[2]), None
        new = f * c + i * g
        o = sigmoid(totals[3] + peeps[2] * new)
        if tangent is not None:
            df, di, dg, do = f * (1 - f), i * (1 - i), 1 - g**2, o * (1 - o)
            by_h = (
                (df * c)[:, None] * matrices[0]
                + (di * g)[:, None] * matrices[1]
                + (i * dg)[:, None] * matrices[2]
            )
            within = f + df * peeps[0] * c + di * peeps[1] * g
            rows_c = by_h @ tangent[:size] + within[:, None] * tangent[size:]
            t = np.tanh(new)
            rows_h = (do * t)[:, None] * (matrices[3] @ tangent[:size])
            rows_h += (o * (1 - t**2) + do * peeps[2] * t)[:, None] * rows_c
            tangent = np.concatenate([rows_h, rows_c])
            powers.append((tangent**2).sum() / (2 * size))
        c, h = new, o * np.tanh(new)
        if time > steps // 3:
            moments.append((c @ c / size, h @ h / size))
    return np.mean(moments, axis=0), np.array(powers)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_a_population_of_units_with_full_peepholes_has_the_closed_form():
    law = LSTM(*gates(LSTM_LAW), sees="cell")
    options = {"key": jr.key(1), "max_lag": 20, "burn_in": 40, "units": 1024}
    found = lstm_population(law, 1.0, COSINE, **options)
    # From the sampler's values above; 2/units for the bias of a finite population.
    length, cosine, chi, gain = 0.246837, 0.450073, 0.718563, 0.807009
    for estimate, value in (
        (found.cell_square, length),
        (found.cell_overlap, length * cosine),
        (found.chi, chi),
        (found.gain, gain),
    ):
        assert abs(estimate.value - value) < 4 * estimate.standard_error + 2 / 1024
        assert 0 < estimate.standard_error < 0.02 * estimate.value
        assert estimate.statuses is Status.OK
    # Wrong: gates that see h, and a power taken for an amplitude.
    usual = lstm_population(LSTM(*gates(LSTM_LAW)), 1.0, COSINE, **options)
    assert abs(usual.cell_square.value - length) > 0.1 * length
    ratio = found.gradient_reach.value[1:] / found.gradient_reach.value[:-1]
    assert ratio[-1] == pytest.approx(math.sqrt(gain), rel=0.01)
    assert ratio[-1] != pytest.approx(gain, rel=0.05)
    assert usual.cell_square.statuses is Status.OK


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("peepholes", [(0.0, 0.0, 0.0), (0.1, 0.1, 0.1)])
def test_a_population_of_lstm_units_against_networks(peepholes):
    """The same compiled run as above; networks of 150 units whose weights are redrawn."""
    found = lstm_population(
        LSTM(*gates(LSTM_LAW), peepholes=peepholes),
        1.0,
        COSINE,
        key=jr.key(2),
        max_lag=20,
        burn_in=40,
        units=1024,
    )
    seeds, size, lags = range(6), 150, (1, 2, 3, 4)
    runs = [lstm_by_hand(LSTM_LAW, peepholes, size, 60, seed, lags) for seed in seeds]
    powers = np.array([run[1] for run in runs])
    reach, error = np.sqrt(powers.mean(0)), powers.std(0, ddof=1) / 2 / math.sqrt(len(runs))
    expected = found.gradient_reach.value[1 : len(lags) + 1]
    assert np.all(np.abs(expected - reach) < 4 * error / reach + 1 / size)
    square, output = np.mean(
        [lstm_by_hand(LSTM_LAW, peepholes, 20_000, 60, seed)[0] for seed in (8, 9)], axis=0
    )
    assert found.cell_square.value == pytest.approx(square, rel=0.02)
    assert found.output_square.value == pytest.approx(output, rel=0.02)


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
def test_the_rate_of_a_population_is_that_of_its_overlap():
    """The timescale of the linear map against how a disturbed overlap comes back."""
    law, steps, disturbed = LSTM(*gates(LSTM_LAW)), 60, 39
    steady = jnp.full(steps, COSINE)
    options = {"key": jr.key(3), "units": 4096}

    def overlap_at(cosine, step):
        # The run is the same, with the same random numbers; only the window of the mean differs.
        sums = [
            lstm_population(
                law, 1.0, cosine, burn_in=b, max_lag=steps - b, **options
            ).output_overlap.value
            * (steps - b)
            for b in (step, step + 1)
        ]
        return float(sums[0] - sums[1])

    changed = steady.at[disturbed].set(COSINE + 0.1)
    left = [
        overlap_at(changed, step) - overlap_at(steady, step)
        for step in (disturbed + 3, disturbed + 6)
    ]
    settled = lstm_population(law, 1.0, COSINE, burn_in=30, max_lag=30, **options)
    rate = (left[1] / left[0]) ** (1 / 3)
    assert rate == pytest.approx(float(settled.chi.value), rel=0.02)
    assert rate != pytest.approx(float(settled.gain.value), rel=0.02)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_critical_points_solve_their_equations():
    chosen = Chosen(1.0, 3.0, 0.01, 0.5), Chosen(1.0, 0.5, 0.0, 0.5), Chosen(3.0)
    found = critical_gru(*chosen, 1.0)
    family, length = found.family, found.length
    assert bool(found.feasible)
    assert float(family.gain(length, 1.0)) == pytest.approx(1, abs=1e-9)
    assert float(family.length_map(length, 1.0)) == pytest.approx(float(length), rel=1e-9)
    assert float(family.candidate_variance(length, 1.0)) == pytest.approx(3, rel=1e-9)
    # Where the recurrent and bias variances alone exceed what is asked of the keep gate.
    many = critical_gru(Chosen(jnp.array([0.01, 1.0]), 3.0, 0.01, 0.5), *chosen[1:], 1.0)
    assert many.feasible.tolist() == [False, True]
    slopes = []
    for bias in (1.0, 3.0, 5.0, 7.0):
        spread = math.exp(-bias)
        found = critical_lstm(
            Chosen(spread, bias), Chosen(spread, -1.0), Chosen(0.2 * spread + 0.01), 1.0
        )
        family, length = found.family, found.length
        assert float(family.gain(length, 1.0)) == pytest.approx(1, abs=1e-9)
        assert float(family.length_map(length, 1.0)) == pytest.approx(float(length), rel=1e-9)
        slopes.append(float(isometry_slope(family, length, 1.0)))
    # chi_1 = 1 alone is no isometry; a large keep bias makes it one.
    assert slopes == sorted(slopes, reverse=True)
    assert slopes[-1] < 0.1 * slopes[0]


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
def test_gradient_reach_of_a_real_lstm():
    """One network with weights that stay, driven by white inputs, over the full state (h, c).

    Its paths from c through W at different times add up as amplitudes, not as powers: from a few
    steps on it remembers more than the theory says.
    """
    size, channels, lags = 300, 20, 12
    gate = {"recurrent": init.gaussian(1.0), "input": init.gaussian(1.0), "bias": init.zeros()}
    cell = echoic.cells.LSTM(channels, size, **gate, key=jr.key(0), dtype=jnp.float64)
    inputs = jr.normal(jr.key(1), (4, 300, channels))
    measured = echoic.gradient_reach(cell, inputs, max_lag=lags, key=jr.key(2), burn_in=60)
    law = (1.0, float(jnp.mean(cell.input**2)) * channels)
    found = lstm_population(
        LSTM(*(Gate(*law) for _ in range(4))),
        1.0,
        key=jr.key(3),
        max_lag=20,
        burn_in=40,
        units=1024,
    )
    ratio = measured.value / found.gradient_reach.value[: lags + 1]
    assert np.all(np.abs(ratio[:4] - 1) < 0.02)
    assert np.all(ratio[5:] > 1.05)
    # A power taken for an amplitude would be wrong from the first step on.
    assert np.all(np.abs(measured.value[1:4] / found.gradient_reach.value[1:4] ** 2 - 1) > 0.2)
