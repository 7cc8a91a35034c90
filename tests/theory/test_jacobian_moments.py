"""Moments of the many-step Jacobian against sampled units, finite networks and closed forms."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from echoic.theory.mean_field import (
    GRU,
    FullPeepholeLSTM,
    Gate,
    Minimal,
    ResetBeforeGRU,
    Vanilla,
    isometry_slope,
    jacobian_moments,
)
from echoic.theory.mean_field.update_moments import update_moments

# (sigma^2, nu^2, mu, rho^2) by gate, and the power of the input.
LAWS = {
    "vanilla": (Vanilla, ((1.5, 0.5, 0.0, 0.1),), 0.46),
    "minimal": (Minimal, ((6.88**2, 1.39**2, 0.0, 0.0),), 0.46),
    "reset_before": (
        ResetBeforeGRU,
        ((2.0, 0.5, 1.0, 0.1), (4.0, 1.0, 0.5, 0.1), (9.0, 0.5, 0.0, 0.1)),
        1.0,
    ),
    "reset_after": (
        GRU,
        ((2.0, 0.5, 1.0, 0.1), (4.0, 1.0, 0.5, 0.1), (9.0, 0.5, 0.0, 0.1)),
        1.0,
    ),
    "full_peephole": (
        FullPeepholeLSTM,
        ((3.0, 0.5, 1.0, 0.1), (3.0, 0.5, 0.0, 0.1), (4.0, 0.5, 0.0, 0.1)),
        1.0,
    ),
}
STEPS = 3


def sigmoid(e):
    return 1 / (1 + np.exp(-e))


class Units:
    """Independent units of one kind: what they keep, what they write, and their matrices' rows."""

    def __init__(self, name, size, seed):
        _, self.law, self.power = LAWS[name]
        self.name, self.size, self.rng = name, size, np.random.default_rng(seed)

    def draw(self, gate, square, inputs=True):
        sigma, nu, mean, rho = self.law[gate]
        variance = sigma * square + (nu * self.power + rho if inputs else 0)
        return (mean if inputs else 0) + math.sqrt(variance) * self.rng.normal(size=self.size)

    def step(self, h):
        """A, Y and S of every unit."""
        return getattr(self, self.name)(h, float(h @ h) / self.size, [g[0] for g in self.law])

    def vanilla(self, h, square, sigma):
        y = np.tanh(self.draw(0, square))
        return 0 * h, y, sigma[0] * (1 - y**2) ** 2

    def minimal(self, h, square, sigma):
        x = math.sqrt(self.power) * self.rng.normal(size=self.size)
        u = sigmoid(self.draw(0, square))
        return u, (1 - u) * x, sigma[0] * (u * (1 - u) * (h - x)) ** 2

    def reset_before(self, h, square, sigma):
        f, r = sigmoid(self.draw(0, square)), sigmoid(self.draw(1, square))
        n = np.tanh(self.draw(2, square * np.mean(r**2)))
        inner = np.mean(r**2) + sigma[1] * np.mean((r * (1 - r) * h) ** 2)
        rows = sigma[0] * (f * (1 - f) * (h - n)) ** 2
        return f, (1 - f) * n, rows + sigma[2] * ((1 - f) * (1 - n**2)) ** 2 * inner

    def reset_after(self, h, square, sigma):
        f, r = sigmoid(self.draw(0, square)), sigmoid(self.draw(1, square))
        g = self.draw(2, square, inputs=False)
        n = np.tanh(self.draw(2, 0.0) + r * g)
        rows = sigma[0] * (f * (1 - f) * (h - n)) ** 2
        inner = sigma[2] * r**2 + sigma[1] * (r * (1 - r) * g) ** 2
        return f, (1 - f) * n, rows + ((1 - f) * (1 - n**2)) ** 2 * inner

    def full_peephole(self, h, square, sigma):
        f, i = sigmoid(self.draw(0, square)), sigmoid(self.draw(1, square))
        g = np.tanh(self.draw(2, square))
        rows = sigma[0] * (f * (1 - f) * h) ** 2 + sigma[1] * (i * (1 - i) * g) ** 2
        return f, i * g, rows + sigma[2] * (i * (1 - g**2)) ** 2


def sampled(name, size=200_000, burn_in=40):
    """k1, k2 and d2 of one kind, from units that carry the squared length of their row."""
    units = Units(name, size, 0)
    h = np.zeros(size)
    for _ in range(burn_in):
        keep, write, _ = units.step(h)
        h = keep * h + write
    p, k1, k2, found = np.ones(size), 1.0, 1.0, []
    for _ in range(STEPS):
        keep, write, rows = units.step(h)
        d2, p = np.mean(p**2), keep**2 * p + rows * k1
        k2 = np.mean(keep**2 + rows) ** 2 * k2 - np.mean(keep**2) ** 2 * d2 + np.mean(p**2)
        h, k1 = keep * h + write, np.mean(p)
        found.append((k1, k2, np.mean(p**2)))
    return np.array(found).T, np.mean(h**2), np.mean(h**4)


def family_of(name):
    kind, law, power = LAWS[name]
    return kind(*(Gate(*numbers) for numbers in law)), power


def predicted(name, steps=STEPS, **options):
    family, power = family_of(name)
    length = jnp.asarray(0.3)
    length = jax.jit(
        lambda family: jax.lax.fori_loop(0, 400, lambda _, q: family.length_map(q, power), length)
    )(family)
    moments = jacobian_moments(family, length, power, steps=steps, **options)
    k2 = moments.variance + moments.mean**2
    return np.array([moments.mean, k2, moments.diagonal])[:, 1:], family, float(length), power


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "name",
    [
        "full_peephole",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("vanilla", "minimal", "reset_before", "reset_after")
        ),
    ],
)
def test_moments_are_those_of_sampled_units(name):
    """All averages that enter, with every correlation between a unit's row and its state."""
    found, family, length, power = predicted(name)
    expected, square, fourth = sampled(name)
    assert length == pytest.approx(square, rel=0.01)
    assert float(update_moments(family, length, power).fourth) == pytest.approx(fourth, rel=0.02)
    assert np.allclose(found[0], expected[0], rtol=0.01)
    assert np.allclose(found[2], expected[2], rtol=0.03)
    if name != "reset_before":  # two matrices in a row: finite networks, below
        assert np.allclose(found[1], expected[1], rtol=0.02)
    if name == "full_peephole":
        # Wrong: chi^2 k2 without E[S]; the product of A^2 and S forgotten.
        m = update_moments(family, length, power)
        assert float(found[1][0]) == pytest.approx(
            float((m.a2 + m.row) ** 2 - m.a2**2 + m.a4)
            + float(2 * (m.a2s0 + m.a2s2 * length))
            + float(m.row_square)
        )
        for missing in ((m.a2 + m.row) ** 2 - m.a2**2, 2 * (m.a2s0 + m.a2s2 * length)):
            wrong = found[1][0] - float(missing)
            assert wrong != pytest.approx(expected[1][0], rel=0.02)


def matrix(rng, sigma, size, weights):
    draw = rng.normal(size=(size, size))
    if weights == "gaussian":
        return math.sqrt(sigma / size) * draw
    q, r = np.linalg.qr(draw)
    return math.sqrt(sigma) * q * np.sign(np.diagonal(r))


def network(name, size, seed, *, steps=STEPS, weights="gaussian", burn_in=60):
    """k1 and k2 of the product of Jacobians of a finite network with redrawn matrices."""
    rng = np.random.default_rng(seed)
    _, law, power = LAWS[name]
    h, product, found = np.zeros(size), None, []

    def preactivation(gate, read):
        sigma, nu, mean, rho = law[gate]
        if product is None:
            w, total = None, math.sqrt(sigma * (read @ read) / size) * rng.normal(size=size)
        else:
            w = matrix(rng, sigma, size, weights)
            total = w @ read
        drive = math.sqrt(nu * (x @ x) / size + rho) * rng.normal(size=size)
        return w, total, mean + drive

    for time in range(burn_in + steps):
        product = np.eye(size) if time == burn_in else product
        x = math.sqrt(power) * rng.normal(size=size)
        parts = []  # (diagonal, matrix) of the Jacobian, besides the unit's own part
        w, total, drive = preactivation(0, h)
        if name == "vanilla":
            new, keep = np.tanh(total + drive), 0 * h
            parts.append((1 - new**2, w))
        else:
            keep = sigmoid(total + drive)
            slope = keep * (1 - keep)
        if name == "minimal":
            new = keep * h + (1 - keep) * x
            parts.append((slope * (h - x), w))
        elif name == "full_peephole":
            w_i, total, drive = preactivation(1, h)
            write = sigmoid(total + drive)
            w_g, total, drive = preactivation(2, h)
            g = np.tanh(total + drive)
            new = keep * h + write * g
            parts += [
                (slope * h, w),
                (write * (1 - write) * g, w_i),
                (write * (1 - g**2), w_g),
            ]
        elif name.startswith("reset"):
            w_r, total, drive = preactivation(1, h)
            r = sigmoid(total + drive)
            before = name == "reset_before"
            w_n, total, drive = preactivation(2, r * h if before else h)
            n = np.tanh(drive + (total if before else r * total))
            new = keep * h + (1 - keep) * n
            parts.append((slope * (h - n), w))
            outer = (1 - keep) * (1 - n**2)
            if product is not None and before:
                inner = np.diag(r) + (r * (1 - r) * h)[:, None] * w_r
                parts.append((outer, w_n @ inner))
            else:
                parts += [(outer * r, w_n), (outer * r * (1 - r) * total, w_r)]
        h = new
        if product is not None:
            jacobian = np.diag(keep) + sum(d[:, None] * w for d, w in parts)
            product = jacobian @ product
            gram = product @ product.T
            found.append((np.trace(gram) / size, (gram**2).sum() / size))
    return np.array(found).T


def agree(found, runs, size, tolerance):
    """Within 4 standard errors, and a relative term for the width."""
    mean, error = runs.mean(0), runs.std(0, ddof=1) / math.sqrt(len(runs))
    return np.all(np.abs(found - mean) < 4 * error + tolerance * mean + 2 / size)


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("name", LAWS)
def test_moments_are_those_of_finite_networks(name, weights):
    size = 250
    found = predicted(name, weights=weights)[0][:2]
    runs = np.array([network(name, size, seed, weights=weights) for seed in range(16)])
    assert agree(found, runs, size, 0.01)
    if name != "minimal":  # a few of its units carry most of k2
        assert np.allclose(found, runs.mean(0), rtol=0.05)
    if name == "vanilla":
        other = "orthogonal" if weights == "gaussian" else "gaussian"
        assert not agree(predicted(name, weights=other)[0][:2], runs, size, 0.01)


@pytest.mark.usefixtures("x64")
def test_products_of_gaussian_and_orthogonal_matrices():
    """Linear networks: variance T for Gaussian factors, 0 for orthogonal ones."""
    linear = Vanilla(Gate(1.0), activation="identity")
    gaussian = jacobian_moments(linear, 1.0, 0.0, steps=STEPS)
    assert np.allclose(gaussian.variance, np.arange(STEPS + 1.0))
    assert np.allclose(gaussian.mean, 1)
    orthogonal = jacobian_moments(linear, 1.0, 0.0, steps=STEPS, weights="orthogonal")
    assert np.allclose(orthogonal.variance, 0)
    gain = Vanilla(Gate(0.81), activation="identity")
    spectrum = jacobian_moments(gain, 1.0, 0.0, steps=STEPS)
    # The reach is an amplitude, not the power.
    assert np.allclose(spectrum.gradient_reach, 0.9 ** np.arange(STEPS + 1.0))
    with pytest.raises(ValueError, match="Valid: gaussian, orthogonal"):
        jacobian_moments(gain, 1.0, 0.0, steps=STEPS, weights="uniform")


@pytest.mark.usefixtures("x64")
def test_without_recurrent_weights_only_the_forget_gate_is_left():
    """J = diag(f): mean E[f^2]^T, variance E[f^4]^T - E[f^2]^(2T)."""
    family = FullPeepholeLSTM(Gate(0.0, 0.5, 1.0), Gate(0.0, 0.5), Gate(0.0, 0.5))
    f = sigmoid(1 + math.sqrt(0.5) * np.polynomial.hermite_e.hermegauss(60)[0])
    weight = np.polynomial.hermite_e.hermegauss(60)[1] / math.sqrt(2 * math.pi)
    second, fourth = weight @ f**2, weight @ f**4
    moments = jacobian_moments(family, 0.2, 1.0, steps=STEPS)
    times = np.arange(STEPS + 1)
    assert np.allclose(moments.mean, second**times)
    assert np.allclose(moments.variance, fourth**times - second ** (2 * times))


# mu, q*, sigma_w at which the minimal network needs no input to its gate and chi_1 = 1 (R = .46),
# and the growth of the variance per step with Gaussian matrices where row and state are taken
# as independent: (q* of the least input) and slopes from a recursion without b.
EDGE = [
    (0.0, 14.293, 6.765, 3.94, 3.59),
    (2.0, 4.815, 5.336, 1.35, 1.23),
    (3.0, 2.321, 5.67, 0.561, 0.532),
    (4.0, 1.418, 7.86, 0.201, 0.197),
    (5.0, 1.146, 12.3, 0.0671, 0.0666),
    (6.0, 1.054, 19.96, 0.0216, 0.0215),
    (8.0, 1.007, 53.8, 0.0024, 0.0024),
    (10.0, 1.001, 146.0, 0.0003, 0.0003),
]


@pytest.mark.usefixtures("x64")
def test_isometry_of_the_minimal_network_along_the_critical_curve():
    bias, variance, deviation, gaussian, orthogonal = np.array(EDGE).T
    family = Minimal(Gate(jnp.asarray(deviation**2), 0.0, jnp.asarray(bias)))
    length = jnp.asarray(variance / deviation**2)
    assert np.allclose(family.gain(length, 0.46), 1, atol=5e-4)
    slopes = isometry_slope(family, length, 0.46)
    assert np.all(np.diff(slopes) < 0)
    assert np.allclose(slopes, gaussian, rtol=0.03, atol=5e-5)
    narrow = isometry_slope(family, length, 0.46, weights="orthogonal")
    assert np.allclose(narrow, orthogonal, rtol=0.03, atol=5e-5)
    assert np.all(narrow < slopes)


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
def test_isometry_of_the_plain_network_needs_orthogonal_matrices():
    for drive, deviation, q, orthogonal in (
        (0.01, 1.03253, 0.0347, 0.0071),
        (0.025, 1.05985, 0.06712, 0.0215),
        (0.05, 1.09479, 0.1132, 0.0476),
    ):
        family = Vanilla(Gate(deviation**2, drive**2))
        length = (q - drive**2 * 0.46) / deviation**2
        assert float(family.gain(length, 0.46)) == pytest.approx(1, abs=2e-4)
        narrow = float(isometry_slope(family, length, 0.46, weights="orthogonal"))
        assert narrow == pytest.approx(orthogonal, rel=0.01)
        wide = float(isometry_slope(family, length, 0.46))
        assert wide == pytest.approx(1 + narrow, abs=5e-4)  # 1 = chi_1^2


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["minimal", "vanilla"])
def test_moments_at_a_width_of_a_thousand(name):
    """Up to 4 steps; 2 standard errors of five networks come on top of the allowance."""
    steps = 4
    found = predicted(name, steps=steps)[0]
    runs = np.array([network(name, 1000, seed, steps=steps, burn_in=300) for seed in range(5)])
    variance = found[1] - found[0] ** 2
    sampled_variance = runs[:, 1] - runs[:, 0] ** 2
    for expected, values, allowed in (
        (found[0], runs[:, 0], np.array([0.03, 0.06, 0.1, 0.1])),
        (variance, sampled_variance, 0.15),
    ):
        error = values.std(0, ddof=1) / math.sqrt(len(values))
        assert np.all(np.abs(values.mean(0) / expected - 1) < allowed + 2 * error / expected)


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
def test_fifty_steps_of_critical_plain_networks(monkeypatch):
    """Orthogonal matrices keep the singular values together, Gaussian ones scatter them."""
    law = ((1.05985**2, 0.025**2, 0.0, 0.0),)
    monkeypatch.setitem(LAWS, "vanilla", (Vanilla, law, 0.46))
    steps, variances = 50, {}
    length = (0.06712 - 0.025**2 * 0.46) / 1.05985**2
    for weights, tolerance, known in (("orthogonal", 0.1, 1.075), ("gaussian", 0.25, 51.1)):
        family = Vanilla(Gate(*law[0]))
        expected = jacobian_moments(family, length, 0.46, steps=steps, weights=weights)
        assert float(expected.variance[-1]) == pytest.approx(known, rel=0.01)
        runs = [
            network("vanilla", 500, seed, steps=steps, weights=weights, burn_in=400)[:, -1]
            for seed in range(3)
        ]
        # Of each network by itself, and relative to its mean: at the critical point the length of
        # a finite network wanders, and the mean over 50 steps with it (0.7 to 1.0 seen).
        variances[weights] = np.mean([k2 / k1**2 - 1 for k1, k2 in runs])
        assert variances[weights] == pytest.approx(known, rel=tolerance)
    assert variances["gaussian"] > 30 * variances["orthogonal"]
