"""Weakly coupled residual networks at 32 units, every family, every seed: relations of Dubinin &
Effenberger (2024). The form of the network and all sizes are a reconstruction."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from echoic import init
from echoic.cells import Residual
from echoic.core.cell import without_law
from echoic.measure.information.recall import raw_recall
from echoic.measure.lyapunov.spectrum import lyapunov_spectrum
from echoic.theory import exponent_bounds, predicted_exponents

KEY = jr.key(7)
SEEDS = range(5)
BURN_IN, STEPS = 300, 1000


def network(residual, coupling, seed, gain=1.0, **kind):
    return Residual(
        1,
        32,
        residual=residual,
        coupling=coupling,
        recurrent=init.gaussian(gain),
        input=init.normal(1.0),
        bias=init.zeros(),
        key=jr.key(seed),
        dtype=jnp.float64,
        **kind,
    )


def drive(seed):
    return np.random.default_rng(100 + seed).uniform(size=(BURN_IN + STEPS, 1))


def exponents(cell, inputs, **settings):
    found = lyapunov_spectrum(cell, inputs, burn_in=BURN_IN, key=KEY, **settings)
    assert float(found.details["residual"]) < 1e-9  # sum rule
    return np.asarray(found.value)


FAMILIES = {
    "scaled .9": init.identity(0.9),
    "scaled .98": init.identity(0.98),
    "scaled 1": init.identity(1.0),
    "rotation .9": init.rotation(0.9, 28.0),
    "rotation .98": init.rotation(0.98, 28.0),
    "rotation 1": init.rotation(1.0, 28.0),
    "decay": init.heterogeneous_decay(50.0),
    "uniform decay": init.uniform_decay(0.9, 1.0),
    "wide uniform decay": init.uniform_decay(0.5, 0.98),
    "angles": init.heterogeneous_rotation(0.95),
    "decay and angles": init.heterogeneous(50.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_weak_coupling_leaves_the_residual_its_spectrum(family, x64):
    for seed in SEEDS:
        cell = network(FAMILIES[family], 0.01, seed)
        found, moduli = exponents(cell, drive(seed)), np.asarray(cell.residual_moduli())

        def left_alone(predicted, found=found):
            gap = found - predicted
            return np.max(np.abs(gap)) < 0.015 and abs(np.mean(gap)) < 0.002

        assert left_alone(predicted_exponents(moduli))
        assert not left_alone(predicted_exponents(moduli + 0.01))  # wrong: the coupling added
        if np.min(moduli) < 0.99:
            assert not left_alone(predicted_exponents(moduli) / math.log(2))  # in bits


@pytest.mark.parametrize("driven", [True, False])
@pytest.mark.parametrize("modulus", [0.9, 1.0, 1.05])
def test_bound_has_no_exception(modulus, driven, x64):
    """R = lam Q: all exponents in [log(lam - e), log(lam + e)], e = coupling ||W||_2 < lam."""
    narrowest = math.inf
    for residual in (init.identity(modulus), init.rotation(modulus, 28.0)):
        for coupling in (0.003, 0.03, 0.1, 0.3, 0.45):
            for seed in SEEDS:
                cell = network(residual, coupling, seed)
                strength = coupling * np.linalg.norm(cell.recurrent, 2)
                if not strength < modulus:
                    continue
                low, high = exponent_bounds(np.full(32, modulus), strength)
                assert low == pytest.approx(math.log(modulus - strength))
                start = None if driven else 0.01 * jr.normal(jr.key(seed), (32,))
                found = exponents(cell, drive(seed) * driven, state=start)
                assert low <= found[-1]
                assert found[0] <= high
                narrowest = min(narrowest, (high - found[0]) / (high - low))
    assert narrowest < 0.5  # the bound is not far away


def test_exact_without_coupling(x64):
    for family in ("scaled .9", "scaled .98", "scaled 1", "rotation .9", "rotation 1"):
        cell = network(FAMILIES[family], 0.0, 0)
        expected = predicted_exponents(cell.residual_moduli())
        found = exponents(cell, drive(0))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        coupled = exponents(network(FAMILIES[family], 1e-3, 0), drive(0))
        assert np.max(np.abs(coupled - expected)) > 1e-6  # so close by itself it is not


@eqx.filter_jit
def states(cell, start, inputs):
    return jax.lax.scan(lambda h, x: (cell.step(h, x),) * 2, start, inputs)[1]


def trajectory(cell, seed):
    return np.asarray(states(without_law(cell), jnp.zeros(32), jnp.asarray(drive(seed))))


def mean_slope(cell, seed):
    h, w, v = trajectory(cell, seed)[:-1], np.asarray(cell.recurrent), np.asarray(cell.input)
    slopes = 1 - np.tanh(h @ w.T + drive(seed)[1:] @ v.T) ** 2
    return slopes[BURN_IN:].mean()


def test_deviation_grows_with_the_coupling_until_saturation(x64):
    """It rises for every seed up to gamma = .1; at 1 it is more than ten times that at .01.

    In between it may pause: once ``e`` exceeds 1 - lam the state stands on its own and saturates
    tanh. What counts is the coupling times the mean slope, which then hardly grows any more.
    """
    couplings = (0.01, 0.05, 0.1, 0.3, 1.0)
    rising = 0
    for seed in SEEDS:
        cells = [network(init.identity(0.9), coupling, seed) for coupling in couplings]
        spectra = [exponents(cell, drive(seed)) for cell in cells]
        deviation = [np.max(np.abs(value - math.log(0.9))) for value in spectra]
        assert np.all(np.diff(deviation[:3]) > 0)
        assert deviation[-1] > 10 * deviation[0]
        rising += bool(np.all(np.diff(deviation) > 0))
        slopes = [mean_slope(cell, seed) for cell in cells]
        assert slopes[0] > 0.7
        assert slopes[3] < 0.5
        effective = np.array(couplings) * slopes
        assert effective[3] / effective[2] < 0.75 * couplings[3] / couplings[2]
    assert rising >= 4


@pytest.mark.parametrize("seed", SEEDS)
def test_three_regimes(seed, x64):
    """Of the largest exponent and of the state: bounded, growing slowly, exponentially."""
    leading, sizes = [], []
    for modulus in (0.9, 1.0, 1.05):
        cell = network(init.identity(modulus), 0.01, seed)
        leading.append(exponents(cell, drive(seed))[0])
        sizes.append(np.linalg.norm(trajectory(cell, seed), axis=1))
    assert leading[0] < -0.05
    assert abs(leading[1]) < 0.01
    assert leading[2] > 0.03
    fading, critical, growing = sizes
    assert fading[-300:].max() < 1.2 * fading[300:600].max()
    assert 1.3 * critical[299] < critical[-1]
    assert critical[-1] - critical[299] < 0.01 * math.sqrt(32) * 1000  # at most linear
    rate = np.polyfit(np.arange(300, 1300), np.log(growing[300:]), 1)[0]
    assert rate == pytest.approx(math.log(1.05), abs=1e-3)


@eqx.filter_jit
def rates_of_approach(cell, start, apart, inputs, pulled_apart: bool):
    """Logarithms of the ratio of successive distances of two copies of a network."""

    def both(pair, x):
        first, second = pair
        before = jnp.linalg.norm(second - first)
        first, second = cell.step(first, x), cell.step(second, x)
        gap = second - first
        after = jnp.linalg.norm(gap)
        # Pulled apart again at each step, two copies can be watched for as long as one likes.
        second = first + gap * 1e-7 / after if pulled_apart else second
        return (first, second), jnp.log(after / before)

    return jax.lax.scan(both, (start, start + 1e-7 * apart), inputs)[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_two_copies_approach_at_the_largest_exponent(seed, x64):
    leading = []
    apart = jr.normal(KEY, (32,))
    apart = apart / jnp.linalg.norm(apart)
    for modulus in (0.9, 0.95, 0.98):
        cell = network(init.identity(modulus), 0.01, seed)
        leading.append(exponents(cell, drive(seed))[0])
        arguments = without_law(cell), jnp.zeros(32), apart, jnp.asarray(drive(seed))
        rates = np.asarray(rates_of_approach(*arguments, True))
        assert rates[BURN_IN:].mean() == pytest.approx(leading[-1], abs=1.5e-3)
        assert rates[BURN_IN:].mean() != pytest.approx(math.log(modulus), abs=1.5e-3)
        log_distance = np.cumsum(np.asarray(rates_of_approach(*arguments, False)))
        # Left alone at lam = .9 the two are equal after some 110 steps, and by then the leading
        # direction, which gains .02 a step on the last, has only just won: .0053 seen.
        left_out, tolerance = (50, 0.006) if modulus == 0.9 else (100, 0.004)
        seen = np.flatnonzero(log_distance > math.log(1e-5))[left_out:]
        slope = np.polyfit(seen, log_distance[seen], 1)[0]
        assert slope == pytest.approx(leading[-1], abs=tolerance)
        assert slope != pytest.approx(leading[-1] / 2, abs=tolerance)  # wrong: of the root
    assert np.all(np.diff(leading) > 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_heterogeneity_widens_memory(seed, x64):
    """Recall of white input, summed over lags 1 to 60, of networks that were not trained.

    Decay times of 1 to 50 hold more than twice what one decay does, many angles more than three
    times what one does. The first is close: 2.1 to 2.3 for these weak inputs, 2.0 to 2.25 for
    inputs twice as strong, 1.9 to 2.1 for Gaussian ones, whose tails saturate tanh.
    """
    inputs = np.random.default_rng(seed).uniform(-0.5, 0.5, 20_400)

    def recalled(residual):
        cell = network(residual, 0.1, seed, gain=0.1)
        return float(np.sum(raw_recall(cell, inputs, max_lag=60, key=KEY).value[1:]))

    decay, angle = recalled(init.identity(0.95)), recalled(init.rotation(0.95, 28.0))
    assert recalled(init.heterogeneous_decay(50.0)) > 2 * decay
    assert recalled(init.heterogeneous_rotation(0.95)) > 3 * angle
    # Not for want of the right decay, or of the right period.
    assert recalled(init.identity(0.98)) < 2 * decay
    assert recalled(init.rotation(0.95, 8.0)) < 3 * angle


@pytest.mark.parametrize("seed", SEEDS)
def test_saturating_residual_has_no_growing_regime(seed, x64):
    near = 0.1 * jr.normal(jr.key(seed), (32,))
    for modulus in (0.9, 0.98):
        cell = network(init.identity(modulus), 0.01, seed, path="tanh")
        value = exponents(cell, 0 * drive(seed), state=near)
        assert np.max(np.abs(value - math.log(modulus))) < 0.02
    straight = network(init.identity(1.1), 0.01, seed)
    assert exponents(straight, 0 * drive(seed), state=near)[0] > 0
    cell = network(init.identity(1.1), 0.01, seed, path="tanh")
    for inputs in (0 * drive(seed), drive(seed)):
        assert exponents(cell, inputs, state=near)[0] < 0
