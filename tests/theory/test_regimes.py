"""Growth of a cost's slope and curvature with the horizon, against systems that attain it."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import lambertw

from echoic.theory import cost_growth, growth_law, longest_horizon, lstm_certificate

CASES = list(itertools.product(("separate", "joint"), ("bounded", "growing")))


def plain_sums(lipschitz, horizon, convention, loss_slope, k=1.0, c=1.0):
    """The recursions term by term, as they stand in the module's head."""
    s = d = total = bent = 0.0
    gradients, smoothnesses = [], []
    for t in range(1, horizon + 1):
        d = lipschitz * d + c * (1 + s**2)
        if convention == "separate":
            s = k * sum(lipschitz**i for i in range(t))
        else:
            s = math.sqrt(sum(lipschitz ** (2 * i) for i in range(1, t + 1)))
        e = s if loss_slope == "growing" else 1.0
        total, bent = total + e * s, bent + s**2 + e * d
        gradients.append(total / t)
        smoothnesses.append(bent / t)
    return np.array(gradients), np.array(smoothnesses)


@pytest.mark.parametrize(("convention", "loss_slope"), CASES)
@pytest.mark.parametrize("lipschitz", [0.0, 0.7, 1.0, 1.2])
def test_bounds_are_the_sums(lipschitz, convention, loss_slope):
    slopes = {"parameter_slope": 0.3, "curvature": 2.0}
    found = cost_growth(lipschitz, 30, convention=convention, loss_slope=loss_slope, **slopes)
    k = 0.3 if convention == "separate" else 1.0
    expected = plain_sums(lipschitz, 30, convention, loss_slope, k, 2.0)
    np.testing.assert_allclose(np.exp(found.log_gradient), expected[0], rtol=1e-10)
    np.testing.assert_allclose(np.exp(found.log_smoothness), expected[1], rtol=1e-10)


@pytest.mark.parametrize(("convention", "loss_slope"), CASES)
def test_orders_of_growth(convention, loss_slope):
    options = {"convention": convention, "loss_slope": loss_slope}
    marginal, expanding = growth_law(1.0, **options), growth_law(1.1, **options)
    names = [("log_gradient", "gradient"), ("log_smoothness", "smoothness")]
    for log_name, name in names:
        bound = getattr(cost_growth(1.0, 1 << 14, **options), log_name)
        power = (bound[-1] - bound[(1 << 13) - 1]) / math.log(2)
        assert power == pytest.approx(getattr(marginal, f"{name}_power"), abs=0.01)
        bound = getattr(cost_growth(1.1, 2000, **options), log_name)
        rate, shift = getattr(expanding, f"{name}_rate"), math.log(2000 / 1000)
        power = getattr(expanding, f"{name}_power")
        assert bound[1999] - bound[999] - 1000 * rate - power * shift == pytest.approx(0, abs=1e-6)
        bound = getattr(cost_growth(0.8, 4000, **options), log_name)
        assert bound[-1] - bound[1999] < 0.01
    assert growth_law(0.8, **options)[1:] == (0, 0, 0, 0)


def test_nothing_overflows():
    found = cost_growth(3.0, 5000)
    assert found.log_smoothness[-1] == pytest.approx(2 * 5000 * math.log(3), rel=0.01)
    assert found.log_smoothness[-1] > math.log(np.finfo(float).max)


def test_wrong_sums_are_told_apart():
    right, bent = plain_sums(1.1, 30, "separate", "bounded")
    counts = np.arange(1, 31)
    found = cost_growth(1.1, 30)
    for wrong in (
        right * counts,  # the sum, not the mean
        plain_sums(1.1, 30, "joint", "bounded")[0],
        plain_sums(1.1, 30, "separate", "growing")[0],
    ):
        assert not np.allclose(np.exp(found.log_gradient), wrong, rtol=0.01)
    for wrong in (
        plain_sums(1.1, 30, "separate", "bounded", c=0.0)[1],  # no curvature of the dynamics
        bent - np.cumsum(1.1**counts) / counts,  # the constant part of D forgotten
        right**2,
    ):
        assert not np.allclose(np.exp(found.log_smoothness), wrong, rtol=0.01)


def scalar_system(a, horizon):
    """``f = a x + theta + x^2 / 2`` along x = 0, loss slope 1: V' and V'' for every N."""
    first = second = 0.0
    firsts, seconds = [], []
    for _ in range(horizon):
        first, second = a * first + 1, a * second + first**2
        firsts.append(first)
        seconds.append(second)
    counts = np.arange(1, horizon + 1)
    return np.cumsum(firsts) / counts, np.cumsum(seconds) / counts


def test_a_scalar_system_attains_the_separate_bound():
    first, second = scalar_system(1.0, 512)
    law = growth_law(1.0)
    assert math.log2(first[511] / first[255]) == pytest.approx(law.gradient_power, abs=0.02)
    assert math.log2(second[511] / second[255]) == pytest.approx(law.smoothness_power, abs=0.03)
    first, second = scalar_system(1.1, 2000)
    law = growth_law(1.1)
    for values, name in ((first, "gradient"), (second, "smoothness")):
        rate = math.log(values[1999] * 2000 / values[1899] / 1900) / 100
        assert rate == pytest.approx(getattr(law, f"{name}_rate"), abs=0.001 * math.log(1.1))
        # Wrong: the two rates exchanged; one lambda too many.
        assert abs(rate - 2 * law.gradient_rate) > 0.05 or name == "smoothness"
        assert abs(rate - 3 * law.gradient_rate) > 0.05
    for a in (0.8, 1.0, 1.1):
        first, second = scalar_system(a, 300)
        bound = cost_growth(a, 300)
        np.testing.assert_allclose(np.log(first), bound.log_gradient, rtol=1e-9, atol=1e-9)
        assert np.all(np.log(second[1:]) <= bound.log_smoothness[1:])
    assert scalar_system(0.8, 4000)[0][-1] == pytest.approx(5, rel=0.01)  # 1 / (1 - a)


@pytest.mark.parametrize("lipschitz", [0.9, 1.0, 1.1])
def test_a_shift_register_attains_the_joint_bound(lipschitz):
    """``x' = L (P x + e_1 theta)``: the stacked Jacobian L [P e_1] has norm L."""
    n, sensitivity, total = 60, np.zeros(60), 0.0
    shift, entry = np.eye(60, k=-1), np.eye(60)[0]
    stacked = lipschitz * np.column_stack([shift, entry])
    assert np.linalg.norm(stacked, 2) == pytest.approx(lipschitz)
    bound = np.exp(cost_growth(lipschitz, n, convention="joint").log_gradient)
    separate = np.exp(cost_growth(lipschitz, n, parameter_slope=lipschitz).log_gradient)
    for t in range(1, n + 1):
        sensitivity = lipschitz * (shift @ sensitivity + entry)
        total += np.linalg.norm(sensitivity)
        assert total / t == pytest.approx(bound[t - 1], rel=1e-12)
    assert separate[-1] > 1.5 * bound[-1]  # the other convention is no sharper
    # Wrong: lags from 0, that is L^0 + ... in place of L^2 + ...
    if lipschitz != 1:
        assert abs(total / n - bound[-1] / lipschitz) > 0.05


def test_random_networks_stay_below_the_joint_bound():
    rng = np.random.default_rng(0)
    for _ in range(5):
        weights = rng.normal(size=(6, 6)) * 0.5
        direction = rng.normal(size=6) * 0.3
        lipschitz = float(np.linalg.norm(np.column_stack([weights, direction]), 2))
        bound = cost_growth(lipschitz, 40, convention="joint").log_gradient
        x, s, total = rng.normal(size=6), np.zeros(6), 0.0
        for t in range(1, 41):
            x = np.tanh(weights @ x + direction * 0.7)
            s = (1 - x**2) * (weights @ s + direction)
            total += np.linalg.norm(s)
            assert math.log(total / t) <= bound[t - 1] + 1e-12


def test_longest_horizon():
    assert longest_horizon(50.0, 1.0) == 99
    assert longest_horizon(0.5, 1.0) == 0
    for (convention, loss_slope), lipschitz, quantity in itertools.product(
        CASES, (0.97, 1.0, 1.05), ("gradient", "smoothness")
    ):
        options = {"convention": convention, "loss_slope": loss_slope}
        bound = np.exp(cost_growth(lipschitz, 100, **options)[quantity == "smoothness"])
        limit = float(bound[59] * bound[60]) ** 0.5
        assert longest_horizon(limit, lipschitz, quantity=quantity, **options) == 60
    # Contracting: never, or late, by the closed form 1/(1-L) [1 - L (1 - L^N) / (N (1 - L))].
    assert longest_horizon(10.0, 0.9) == math.inf
    assert longest_horizon(10 * (1 - 1e-7), 0.9) == pytest.approx(9e7, rel=1e-5)
    assert longest_horizon(9.99, 0.9) == pytest.approx(9000, abs=1)


def test_horizons_beyond_what_can_be_added_up():
    assert longest_horizon(1e9, 1.0) == pytest.approx(2e9, rel=1e-3)
    assert longest_horizon(1e10, 1.0, convention="joint") == pytest.approx(2.25e20, rel=1e-3)
    # Expanding: (e^y - 1) / y = c with y = N log L solved by Lambert's function.
    step = 1e-4
    for limit in (1e60, 1e300):
        c = (limit * step + 1) * step / ((1 + step) * math.log1p(step))
        y = -1 / c - lambertw(-math.exp(-1 / c) / c, -1).real
        assert longest_horizon(limit, 1 + step) == pytest.approx(y / math.log1p(step), rel=1e-3)
    # Curvature 1 + s^2 with a tiny s: K^2 N^3 / 12.
    found = longest_horizon(1e30, 1.0, quantity="smoothness", parameter_slope=1e-8)
    assert found == pytest.approx((12e46) ** (1 / 3), rel=1e-3)


# Systems whose growth is typical, not extreme: the rates by the largest exponent.


def logistic(theta, horizon, theta_data=3.78):
    """V, V', V'' of the squared error for every N, exact sensitivities; theta may be an array."""
    theta = np.asarray(theta, float)
    x = np.full(theta.shape, 0.5)
    first, second, y = np.zeros(theta.shape), np.zeros(theta.shape), 0.5
    slopes, bends = [], []
    for _ in range(horizon):
        f_x, parabola = theta * (1 - 2 * x), x * (1 - x)
        second = f_x * second - 2 * theta * first**2 + 2 * (1 - 2 * x) * first
        first, x = f_x * first + parabola, theta * parabola
        y = theta_data * y * (1 - y)
        slopes.append((x - y) * first)
        bends.append(first**2 + (x - y) * second)
    counts = np.arange(1, horizon + 1).reshape(-1, *[1] * theta.ndim)
    return np.cumsum(slopes, axis=0) / counts, np.cumsum(bends, axis=0) / counts


def logistic_exponent(theta, steps=100_000):
    x, total = 0.5, 0.0
    for _ in range(steps):
        total += math.log(abs(theta * (1 - 2 * x)) or 1e-300)
        x = theta * x * (1 - x)
    return total / steps


def test_logistic_map_grows_at_its_exponent():
    exponent = logistic_exponent(3.77)
    law = growth_law(math.exp(exponent))
    first, second = logistic(3.77, 200)
    counts = np.arange(20, 200)
    for values, rate in ((first, law.gradient_rate), (second, law.smoothness_rate)):
        heights = np.log(np.abs(values[20:]) * (counts + 1))
        slope = np.polyfit(counts, heights, 1)[0]
        assert slope == pytest.approx(rate, rel=0.15)
        assert not abs(slope - 2 * rate) < 0.15 * rate
    thetas = np.linspace(2.2, 2.8, 601)
    assert growth_law(math.exp(logistic_exponent(2.5, 2000))).regime == "contracting"
    first, second = logistic(thetas, 200)
    assert np.abs(first[199]).max() == pytest.approx(np.abs(first[49]).max(), rel=0.1)
    assert np.abs(second[199]).max() < 0.3
    rough = logistic(np.linspace(3.7, 3.8, 401), 200)[0]
    assert np.abs(rough[199]).max() > 1e30


def test_the_chaotic_lstm_is_rough_where_it_is_chaotic():
    """Two units, no bias, no input: dV/ds along theta = s theta_chaotic, target at s = 1."""
    blocks = np.array(
        [
            [[-1, -4], [-3, -2]],
            [[-2, 6], [0, -6]],
            [[-1, -6], [6, -9]],
            [[4, 1], [-9, -7]],
        ],
        float,
    )

    def run(scales, steps):
        s = np.append(scales, 1.0)  # the reference runs along: chaos amplifies rounding
        h, c = np.full((len(s), 2), 0.5), np.full((len(s), 2), 0.5)
        dh, dc = np.zeros_like(h), np.zeros_like(c)
        total, slopes = np.zeros(len(s)), []
        for _ in range(steps):
            pre = np.einsum("gij,bj->gbi", blocks, h)
            dpre = pre + s[:, None] * np.einsum("gij,bj->gbi", blocks, dh)
            i, f, g, o = s[:, None] * pre
            i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
            g = np.tanh(g)
            d_i, d_f, d_o = (v * (1 - v) * d for v, d in ((i, dpre[0]), (f, dpre[1]), (o, dpre[3])))
            dc = d_f * c + f * dc + d_i * g + i * (1 - g**2) * dpre[2]
            c = f * c + i * g
            dh = d_o * np.tanh(c) + o * (1 - np.tanh(c) ** 2) * dc
            h = o * np.tanh(c)
            total = total + np.mean(2 * (h - h[-1]) * dh, axis=1)
            slopes.append(total[:-1])
        return np.abs(slopes).max(axis=1) / np.arange(1, steps + 1)

    rough = run(np.linspace(0.95, 1.05, 101), 400)
    rate = math.log(rough[399] / rough[99]) / 300
    assert 0.15 < rate < 0.30
    assert rate == pytest.approx(growth_law(math.exp(0.232)).gradient_rate, abs=0.05)
    fading = run(np.linspace(0.55, 0.70, 31), 400)
    assert fading[399] < 0.1 * fading[24]
    flat = run(np.linspace(1.6, 1.9, 31), 400)
    assert flat[399] == pytest.approx(flat[24], rel=0.2)
    # A certified bound lies above all of it.
    certified = lstm_certificate(1.05 * blocks.reshape(8, 2), np.zeros(8))
    assert growth_law(certified.maximum).gradient_rate > rate


def tanh_network(gain, seed, horizon, n=32):
    """|dV/dW| for V = mean |x_t|^2 / 2 at two horizons, by backpropagation, and the exponent."""
    rng = np.random.default_rng(seed)
    weights = gain * rng.normal(size=(n, n)) / math.sqrt(n)
    x, states = rng.normal(size=n), []
    for _ in range(horizon):
        x = np.tanh(weights @ x)
        states.append(x)
    gradients = []
    for length in (horizon // 4, horizon):
        back, gradient = np.zeros(n), np.zeros((n, n))
        for t in range(length - 1, 0, -1):
            local = (1 - states[t] ** 2) * (back + states[t])
            gradient += np.outer(local, states[t - 1])
            back = weights.T @ local
        gradients.append(np.linalg.norm(gradient) / length)
    vector, total = rng.normal(size=n), 0.0
    x = states[-1]
    for t in range(4000):
        x = np.tanh(weights @ x)
        vector = (1 - x**2) * (weights @ vector)
        size = np.linalg.norm(vector)
        vector, total = vector / size, total + (math.log(size) if t >= 500 else 0)
    return gradients, total / 3500


@pytest.mark.slow
@pytest.mark.parametrize("gain", [2.0, 3.0])
def test_gradients_of_chaotic_networks_grow_at_the_exponent(gain):
    rates, exponents = [], []
    for seed in range(16):
        (short, long), exponent = tanh_network(gain, seed, 400)
        if exponent > 0.01:  # some small networks end in a limit cycle
            rates.append(math.log(long * 4 / short) / 300)
            exponents.append(growth_law(math.exp(exponent)).gradient_rate)
    assert len(rates) > 6
    assert abs(np.mean(rates) - np.mean(exponents)) < 0.03


def test_gradients_of_fading_networks_only_average_out():
    for seed in range(4):
        (short, long), exponent = tanh_network(0.5, seed, 200)
        assert long * 200 == pytest.approx(short * 50, rel=0.05)
        assert growth_law(math.exp(exponent)).regime == "contracting"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: growth_law(-1.0), "lipschitz must be"),
        (lambda: growth_law(math.nan), "lipschitz must be"),
        (lambda: growth_law(1.0, convention="both"), "Valid: separate, joint"),
        (lambda: cost_growth(1.0, 0), "horizon must lie in 1.."),
        (lambda: cost_growth(1.0, 5, curvature=-1.0), "curvature must be"),
        (lambda: longest_horizon(0.0, 1.0), "limit must be"),
        (lambda: longest_horizon(1.0, 1.0, quantity="slope"), "Valid: gradient, smoothness"),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
