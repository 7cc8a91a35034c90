"""Mean-field maps and fixed points: values derived apart from this code, and wrong theories."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from echoic.theory import mean_field
from echoic.theory.gaussian import Rule, derivative, expectation
from echoic.theory.mean_field import Gate, Gram, Minimal, Vanilla

pytestmark = pytest.mark.usefixtures("x64")

R = 0.46
# sigma: q*, chi, xi, chi_1 at nu = .025, inputs independent (no bias)
VANILLA = {
    0.5: (0.00038, 0.2498, 0.72, 0.2498),
    0.9: (0.0015, 0.8076, 4.68, 0.8076),
    0.95: (0.0028, 0.8975, 9.24, 0.8975),
    1.0: (0.0122, 0.9763, 41.8, 0.9766),
    1.03: (0.0357, 0.9913, 114, 0.9933),
    1.05: (0.0563, 0.9933, 149, 0.9981),
    1.06: (0.0673, 0.9936, 155.6, 1.00003),
    1.1: (0.1145, 0.9924, 131, 1.008),
    1.2: (0.2505, 0.983, 58, 1.033),
    1.5: (0.794, 0.943, 17, 1.139),
    2.0: (2.12, 0.882, 8.0, 1.363),
    3.0: (6.31, 0.807, 4.7, 1.860),
    5.0: (20.7, 0.740, 3.3, 2.900),
}
VANILLA_EQUAL = {0.5: 1, 1.05: 1, 1.06: 0.995, 1.1: 0.359, 1.2: 0.067, 1.5: 0.006}  # C*
# mu: Q*, q*, chi_1, xi with independent inputs, C* with equal ones; sigma 6.88, nu 1.39
MINIMAL = {
    -4.0: (0.3970, 19.68, 0.5449, 0.31, 1),
    -3.0: (0.3812, 18.93, 0.6639, 0.37, 1),
    -2.0: (0.3629, 18.07, 0.7843, 0.45, 1),
    0.0: (0.3179, 15.94, 0.9988, 0.72, 1),
    2.0: (0.2572, 13.06, 1.1213, 1.35, 0.772),
    3.5: (0.1912, 9.94, 1.1189, 2.74, 0.548),
    4.0: (0.1591, 8.42, 1.0958, 3.92, 0.479),
    5.5: (0.0045, 1.104, 0.9889, 71.7, 1),
    6.0: (0.0025, 1.006, 0.9928, 123, 1),
    8.0: (0.0003, 0.903, 0.99896, 950, 1),
}
# mu: smallest q*, sigma there
SMALLEST = {
    -2.0: (27.37, 8.57),
    0.0: (14.293, 6.765),
    1.0: (8.98, 5.92),
    2.0: (4.815, 5.336),
    3.0: (2.321, 5.67),
    4.0: (1.418, 7.86),
    5.0: (1.146, 12.3),
    6.0: (1.054, 19.96),
    8.0: (1.007, 53.8),
    10.0: (1.001, 146),
}
COSINES = np.array([[0.0], [1.0]])


def minimal(mu, **rest):
    return Minimal(Gate(6.88**2, 1.39**2, mu), **rest)


@functools.cache
def minimal_plane():
    """Rows: independent and equal inputs; columns: the biases."""
    return mean_field.phase_diagram(minimal(jnp.array([list(MINIMAL)])), R, COSINES)


@functools.cache
def vanilla_plane():
    sigma = jnp.array([[*VANILLA, 1.064]])
    return mean_field.phase_diagram(Vanilla(Gate(sigma**2, 0.025**2)), R, COSINES)


@functools.cache
def point():
    """One compiled fixed point of the minimal network, by the trapezoid rule."""
    return jax.jit(
        lambda sigma, mu, cosine: mean_field.fixed_point(
            Minimal(Gate(sigma**2, 1.39**2, mu), rule=Rule(8.0)), R, cosine
        )
    )


def column(table, k):
    return np.array([row[k] for row in table.values()])


def test_vanilla_values():
    plane = vanilla_plane()
    sigma = np.array([*VANILLA])
    variance = sigma**2 * plane.length[0, :-1] + 0.025**2 * R
    assert variance == pytest.approx(column(VANILLA, 0), rel=0.04)  # given to two figures
    assert plane.chi[0, :-1] == pytest.approx(column(VANILLA, 1), abs=6e-4)
    assert plane.timescale[0, :-1] == pytest.approx(column(VANILLA, 2), rel=0.02)
    assert plane.gain[0, :-1] == pytest.approx(column(VANILLA, 3), abs=6e-4)
    assert plane.cosine[0] == pytest.approx(np.zeros(14), abs=1e-14)


def test_vanilla_has_a_transition_for_equal_inputs_only():
    plane = vanilla_plane()
    for sigma, cosine in VANILLA_EQUAL.items():
        assert plane.cosine[1, [*VANILLA].index(sigma)] == pytest.approx(cosine, abs=6e-4)
    assert np.all(plane.chi[0] < 1)
    assert plane.timescale[0, -1] == pytest.approx(156.1, rel=1e-3)  # the largest of all
    assert np.max(plane.timescale[0, :-1]) < plane.timescale[0, -1]


def test_minimal_values():
    plane = minimal_plane()
    length = np.asarray(plane.length[0])
    assert length == pytest.approx(column(MINIMAL, 0), abs=6e-5)
    variance = 6.88**2 * length + 1.39**2 * R
    assert variance == pytest.approx(column(MINIMAL, 1), rel=5e-4)
    assert plane.gain[0] == pytest.approx(column(MINIMAL, 2), abs=6e-5)
    assert plane.timescale[0] == pytest.approx(column(MINIMAL, 3), rel=0.016)
    assert plane.cosine[1] == pytest.approx(column(MINIMAL, 4), abs=6e-4)
    assert plane.length_slope[0, [-3, -2]] == pytest.approx([0.990, 0.993], abs=6e-4)


def test_a_timescale_depends_on_the_cosine_of_the_inputs():
    xi = minimal_plane().timescale[:, [*MINIMAL].index(0.0)]
    assert xi == pytest.approx([0.7213, 819], rel=2e-3)


def test_grids_agree_with_the_trapezoid_rule():
    """Series and two-dimensional rule, at cosines between: 1e-6 and better."""
    found = mean_field.phase_diagram(minimal(np.array([list(MINIMAL)] * 2)), R, 0.5 + 0 * COSINES)
    for k, mu in enumerate(MINIMAL):
        alone = point()(6.88, mu, 0.5)
        for name in ("length", "cosine", "chi", "timescale", "gain", "length_timescale"):
            assert getattr(found, name)[0, k] == pytest.approx(
                float(getattr(alone, name)), rel=1e-8
            )


def test_the_cosine_is_a_fixed_point_and_chi_its_slope():
    net = minimal(3.5)
    found = point()(6.88, 3.5, 0.5)

    @jax.jit
    def advance(c):
        state, inputs = Gram.of(found.length, c), Gram.of(R, 0.5)
        return net.covariance_map(state, inputs) / found.length, net.chi(state, inputs)

    at, chi = advance(found.cosine)
    step = 1e-5
    slope = (advance(found.cosine + step)[0] - advance(found.cosine - step)[0]) / (2 * step)
    assert at == pytest.approx(float(found.cosine), abs=1e-13)
    assert chi == pytest.approx(float(found.chi), abs=1e-13)
    assert slope == pytest.approx(float(chi), rel=1e-7)


@pytest.mark.slow
def test_derivatives_of_the_timescale():
    def xi(sigma, mu, cosine):
        return point()(sigma, mu, cosine).timescale

    at, step = (6.88, 5.5, 0.5), 1e-5
    gradient = jax.jit(jax.grad(xi, (0, 1, 2)))(*at)
    for k in range(3):
        ends = [[x + sign * step * (i == k) for i, x in enumerate(at)] for sign in (1, -1)]
        difference = (xi(*ends[0]) - xi(*ends[1])) / (2 * step)
        assert gradient[k] == pytest.approx(float(difference), rel=1e-6)


# ---- critical laws ----


def test_the_published_setting_is_the_closed_form():
    """Quoted sigma = 6.88, nu = 1.39 at mu = 0, q* = 16, R = .46: R was rounded."""
    law = mean_field.critical_minimal(0.0, 16.0, jnp.array([0.46, 0.46157]))
    sigma, nu = np.sqrt(law.recurrent_variance), np.sqrt(law.input_variance)
    assert sigma == pytest.approx([6.892, 6.880], abs=1e-3)
    assert nu == pytest.approx([1.392, 1.390], abs=1e-3)
    net = Minimal(Gate(law.recurrent_variance, law.input_variance))
    power = jnp.array([0.46, 0.46157])
    assert net.gain(law.length, power) == pytest.approx(1, abs=1e-9)
    assert net.length_map(law.length, power) == pytest.approx(np.asarray(law.length), abs=1e-12)
    assert net.gate.covariance(law.length, power) == pytest.approx(16, abs=1e-10)


def test_the_smallest_variance_with_a_critical_point():
    mu = jnp.array([*SMALLEST])
    q = mean_field.smallest_critical_variance(mu)
    assert q == pytest.approx(column(SMALLEST, 0), rel=6e-4)
    above = mean_field.critical_minimal(mu, q * 1.0001, R)
    below = mean_field.critical_minimal(mu, q * 0.9999, R)
    assert np.sqrt(above.recurrent_variance) == pytest.approx(column(SMALLEST, 1), rel=3e-3)
    assert np.all(above.feasible)
    assert not np.any(below.feasible)
    assert np.all(np.isnan(below.input_variance))


@pytest.mark.slow
def test_critical_vanilla():
    nu = jnp.array([0.025, 0.01, 0.05])
    law = mean_field.critical_vanilla(nu**2, R)
    assert np.sqrt(law.recurrent_variance) == pytest.approx([1.05985, 1.03253, 1.09479], abs=6e-6)
    assert law.variance == pytest.approx([0.06712, 0.0347, 0.1132], abs=5e-5)
    net = Vanilla(Gate(law.recurrent_variance, nu**2))
    assert net.length_map(law.length, R) == pytest.approx(np.asarray(law.length), abs=1e-14)
    silent = mean_field.critical_vanilla(0.0, R)
    assert (silent.recurrent_variance, silent.variance) == (pytest.approx(1.0, abs=1e-12), 0)


@pytest.mark.slow
def test_edges():
    """The same place as the closed form; two for the minimal network; NaN where there is none."""
    edge = mean_field.edge_of_chaos(lambda s: Vanilla(Gate(s**2, 0.025**2)), R, 0.5, 2.0)
    assert edge == pytest.approx(1.05985, abs=6e-6)
    ends = jnp.array([[-1.0, 1.0], [3.0, 6.0], [-3.0, -1.0]])
    edges = jax.vmap(lambda low, high: mean_field.edge_of_chaos(minimal, R, low, high))(*ends.T)
    assert edges[:2] == pytest.approx([0.0136, 4.597], abs=1e-3)
    assert np.isnan(edges[2])


# ---- several lengths, no lengths ----


def test_all_fixed_points_of_the_length():
    """Silence is one, stable below sigma = 1; a bias of the right size makes three."""
    find = mean_field.length_fixed_points
    loud, quiet = find(Vanilla(Gate(4.0)), 0.0), find(Vanilla(Gate(0.81)), 0.0)
    assert np.count_nonzero(~np.isnan(loud.length)) == 2
    assert (loud.length[0], loud.stable[0], loud.stable[1]) == (0, False, True)
    assert loud.slope[0] == pytest.approx(4.0)
    assert loud.length[1] == pytest.approx(
        float(Vanilla(Gate(4.0)).length_map(loud.length[1], 0.0)), abs=1e-14
    )
    assert quiet.length[0] == 0
    assert np.all(np.isnan(quiet.length[1:]))
    assert quiet.timescale[0] == pytest.approx(-1 / math.log(0.81))


class Steps(mean_field.AbstractFamily):
    """Three lengths at 1/4, 1/2 and 3/4; the middle one is unstable."""

    rule: mean_field.family.Rule = mean_field.family.DEFAULT_RULE

    def length_bound(self, power):
        return jnp.ones_like(jnp.asarray(power))

    def length_map(self, length, power, mean=0.0):
        return length - 4 * (length - 0.25) * (length - 0.5) * (length - 0.75)

    def covariance_map(self, state, inputs, mean=0.0):
        return 0.5 * state.ab + 0.25 * state.aa * inputs.ab

    def chi(self, state, inputs, mean=0.0):
        return 0.5 + 0 * state.ab

    def gain(self, length, power, mean=0.0):
        return 0.5 + 0 * length


@pytest.mark.slow
def test_which_length_is_reached_depends_on_the_start():
    every = mean_field.length_fixed_points(Steps(), 1.0)
    assert every.length[:3] == pytest.approx([0.25, 0.5, 0.75], abs=1e-12)
    assert every.stable[:3].tolist() == [True, False, True]
    for start, length in ((None, 0.75), (0.9, 0.75), (0.55, 0.75), (0.45, 0.25), (0.01, 0.25)):
        found = mean_field.fixed_point(Steps(), 1.0, 0.6, start=start)
        assert found.length == pytest.approx(length, abs=1e-12)
        assert found.cosine == pytest.approx(0.25 * 0.6 / 0.5, abs=1e-12)


def test_a_linear_network_is_known_in_closed_form():
    net = Vanilla(Gate(0.64, 0.5, 0.0, 0.1), activation="identity")
    found = mean_field.fixed_point(net, 2.0, -0.4)
    assert found.length == pytest.approx((0.5 * 2 + 0.1) / 0.36, rel=1e-12)
    assert found.cosine == pytest.approx((0.5 * 2 * -0.4 + 0.1) / (0.5 * 2 + 0.1), abs=1e-12)
    assert (found.chi, found.gain) == (pytest.approx(0.64), pytest.approx(0.64))
    growing = Vanilla(Gate(1.21, 0.5, 0.0, 0.1), activation="identity")
    assert np.isnan(mean_field.fixed_point(growing, 2.0, -0.4).length)


@pytest.mark.slow
def test_silence_has_a_gain_but_no_cosine():
    found = mean_field.fixed_point(Vanilla(Gate(0.49)), 0.0, 0.0)
    assert (found.length, found.chi) == (0, pytest.approx(0.49))
    assert np.isnan(found.cosine)


def test_gaps_and_wrong_calls():
    found = point()(6.88, jnp.nan, 0.5)
    assert all(np.isnan(leaf) for leaf in jax.tree.leaves(found))
    with pytest.raises(ValueError, match=r"cosine must lie between -1 and 1, got 1.5"):
        mean_field.fixed_point(minimal(0.0), R, 1.5)
    with pytest.raises(ValueError, match=r"power must lie between 0 and inf, got -1"):
        mean_field.phase_diagram(minimal(0.0), -1.0, 0.5)
    with pytest.raises(ValueError, match="b >= 2"):
        mean_field.input_grams(np.ones((1, 5)))
    with pytest.raises(ValueError, match=r"burn_in must lie in 0..3"):
        mean_field.reach_of(jnp.ones(5), 2, burn_in=4)


# ---- over time ----


@functools.cache
def relaxation(mu):
    """From nearly the fixed point, where the decay is exponential, under equal inputs."""
    k = [*MINIMAL].index(mu)
    length, cosine = minimal_plane().length[1, k], minimal_plane().cosine[1, k]
    inputs = Gram.of(jnp.full(60, R), 1.0)
    return mean_field.propagate(minimal(mu), inputs, start=Gram.of(length, 0.98 * cosine))


def rate(cosine, limit):
    """Decay per step of C - C*, fitted between steps 15 and 40."""
    t = np.arange(15, 41)
    return -np.polyfit(t, np.log(np.abs(np.asarray(cosine)[t] - limit)), 1)[0]


@pytest.mark.parametrize("mu", [2.0, 3.5])
def test_cosines_relax_with_the_timescale(mu):
    k = [*MINIMAL].index(mu)
    plane = minimal_plane()
    found = rate(relaxation(mu).cosine, float(plane.cosine[1, k]))
    xi = float(plane.timescale[1, k])
    assert found == pytest.approx(1 / xi, rel=0.01)
    assert found != pytest.approx(1 / (2 * xi), rel=0.01)  # that of an amplitude


@pytest.mark.slow
def test_reach_is_an_amplitude():
    """Constant inputs: the product over steps is the power of one, and its root is returned."""
    net = minimal(2.0)
    k = [*MINIMAL].index(2.0)
    plane = minimal_plane()
    lags = np.arange(11)
    gradient = mean_field.predicted_gradient_reach(net, R, max_lag=10)
    coherent = mean_field.predicted_coherent_reach(net, R, 1.0, max_lag=10)
    xi, gain = float(plane.timescale[1, k]), float(plane.gain[1, k])
    assert gradient == pytest.approx(gain ** (lags / 2), rel=1e-10)
    assert coherent == pytest.approx(np.exp(-lags / (2 * xi)), rel=1e-8)
    assert coherent != pytest.approx(np.exp(-lags / xi), rel=1e-8)
    run = relaxation(2.0)
    given = mean_field.reach_of(run.gain, 10, burn_in=40)
    assert given == pytest.approx(gain ** (lags / 2), rel=1e-9)


def test_reach_averages_powers_over_starting_times():
    powers = np.random.default_rng(0).uniform(0.2, 1.5, (3, 30))
    found = mean_field.reach_of(jnp.asarray(powers), 4, burn_in=5)
    starts = range(5, 30 - 4 + 1)
    wanted = [
        np.sqrt(np.mean([[np.prod(row[t : t + k]) for t in starts] for row in powers]))
        for k in range(5)
    ]
    assert found == pytest.approx(np.array(wanted), rel=1e-12)


# ---- wrong theories ----


def average(function, mu, q):
    return float(expectation(function, mu, q))


def kept_square(mu, q):
    return average(lambda e: jax.nn.sigmoid(e) ** 2, mu, q)


def lost_square(mu, q):
    return average(lambda e: jax.nn.sigmoid(-e) ** 2, mu, q)


def gate_slope_square(mu, q):
    slope = derivative(jax.nn.sigmoid)
    return average(lambda e: slope(e) ** 2, mu, q)


def right_gain(mu, length, q):
    return kept_square(mu, q) + 6.88**2 * (length + R) * gate_slope_square(mu, q)


def gain_without_the_gate(mu, length, q):
    return 6.88**2 * (length + R) * gate_slope_square(mu, q)


def gain_by_gauss_hermite(mu, length, q):
    x, w = np.polynomial.hermite.hermgauss(32)
    u = 1 / (1 + np.exp(-(mu + math.sqrt(2 * q) * x)))
    w = w / math.sqrt(math.pi)
    return w @ u**2 + 6.88**2 * (length + R) * (w @ (u * (1 - u)) ** 2)


def right_length(mu, q):
    return R * lost_square(mu, q) / (1 - kept_square(mu, q))


def length_with_the_kept_share(mu, q):
    return R * kept_square(mu, q) / (1 - kept_square(mu, q))


def agrees_with_gains(gain):
    return all(
        abs(gain(mu, row[0], row[1]) - row[2]) < 2e-4
        for mu, row in MINIMAL.items()
        if mu in (-4.0, 0.0, 2.0)
    )


def agrees_with_lengths(length):
    return all(
        abs(length(mu, row[1]) / row[0] - 1) < 2e-3
        for mu, row in MINIMAL.items()
        if mu in (-4.0, 0.0, 2.0)
    )


def test_wrong_theories_are_rejected():
    assert agrees_with_gains(right_gain)
    assert not agrees_with_gains(gain_without_the_gate)
    assert not agrees_with_gains(gain_by_gauss_hermite)
    assert agrees_with_lengths(right_length)
    assert not agrees_with_lengths(length_with_the_kept_share)


def test_timescales_of_powers():
    chi = jnp.array([math.exp(-0.01), 1.0, 1 - 1e-13, 1.2, -0.5, 0.0, jnp.nan])
    wanted = np.array([100, np.inf, np.inf, np.inf, 1 / math.log(2), 0, np.nan])
    assert mean_field.timescale(chi) == pytest.approx(wanted, rel=1e-9, nan_ok=True)


@pytest.mark.slow
def test_single_precision():
    """The same code in float32, to four figures."""
    with jax.enable_x64(False):
        found = mean_field.phase_diagram(minimal(jnp.array([0.0, 3.5])), R, 1.0, terms=128)
    assert found.length.dtype == jnp.float32
    assert found.cosine[1] == pytest.approx(0.548, abs=6e-4)
    assert found.gain == pytest.approx([0.9988, 1.1189], abs=2e-4)


@pytest.mark.parametrize("name", ["recurrent_variance", "input_variance", "bias_variance"])
def test_negative_variances_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 0"):
        mean_field.Gate(**{"recurrent_variance": 1.0, name: -1.0})


def test_critical_laws_refuse_negative_variances():
    with pytest.raises(ValueError, match="variance must be at least 0"):
        mean_field.critical_minimal(0.0, -3.0, 0.4)
    with pytest.raises(ValueError, match="power must be at least 0"):
        mean_field.critical_vanilla(0.1, -0.4)
