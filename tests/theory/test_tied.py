"""Tied weights: closed forms that the population must reproduce, and wrong theories it must not."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from echoic import cells, init
from echoic.theory import tied

UNITS, MANY = 256, 1024
MAX_LAG = 20
LAGS = np.arange(MAX_LAG + 1)


def normals(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def signs(number, seed=0):
    """Windows of a fair coin."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], (number, 2 * MAX_LAG + 1, 1))


def minimal(bias, gate=0.0, recurrent=0.0):
    """z = tanh(x) in every unit, so that its field in the gate is one normal number a unit."""
    return tied.Minimal(
        sigma=jnp.array([recurrent, gate]),
        bias=jnp.asarray(bias, jnp.float32)[None],
        input=jnp.ones((1, UNITS, 1)),
        embedding_bias=jnp.zeros(UNITS),
    )


def residual(modulus, coupling, drive=1e-6):
    return tied.Residual(
        sigma=jnp.ones(1),
        bias=jnp.zeros((1, MANY)),
        input=drive * jnp.asarray(normals(1, 1, MANY, 1), jnp.float32),
        moduli=jnp.full(MANY, modulus),
        coupling=jnp.asarray(coupling),
    )


def reach(unit, windows, **options):
    options = {
        "max_lag": MAX_LAG,
        "burn_in": MAX_LAG,
        "key": jr.key(3),
        "with_input": False,
    } | options
    return tied.reach(unit, windows, **options)


# --- closed forms ---------------------------------------------------------------------------------


def binomial_law(modulus, coupling):
    """E ||(modulus + coupling W)^k||^2 / n for Gaussian W, k = 0, 1, ... as n grows."""
    return np.array(
        [
            sum(
                math.comb(k, hops) ** 2 * modulus ** (2 * (k - hops)) * coupling ** (2 * hops)
                for hops in range(k + 1)
            )
            for k in LAGS
        ]
    )


def test_kicks_through_one_weight_at_different_times_add_as_amplitudes():
    """The linear residual network has a closed form; the one-time (mass) equation misses it."""
    modulus, coupling = 0.9, 0.1
    curve = reach(residual(modulus, coupling), signs(4))
    exact = np.sqrt(binomial_law(modulus, coupling))
    error = 4 * curve.gradient_reach_error + 0.02 * exact
    assert np.all(np.abs(curve.gradient_reach - exact) <= error)
    np.testing.assert_allclose(curve.coherent_reach, curve.gradient_reach, rtol=1e-3)  # linear
    one_time = np.sqrt(modulus**2 + coupling**2) ** LAGS
    passes_dropped = modulus**LAGS
    for wrong in (one_time, passes_dropped, exact**2):
        assert np.abs(wrong - exact)[-1] > 2 * error[-1]
        assert np.abs(curve.gradient_reach - wrong)[-1] > error[-1]
    share = 1 - modulus ** (2 * LAGS) / exact**2
    np.testing.assert_allclose(curve.recurrent_share, share, atol=0.08)


def test_passes_are_counted():
    modulus, coupling, step = 0.9, 0.1, 1e-4
    curve = reach(residual(modulus, coupling), signs(4))
    up, down = (binomial_law(modulus, coupling * math.exp(s)) for s in (step, -step))
    expected = (np.log(up) - np.log(down)) / (4 * step)
    np.testing.assert_allclose(curve.hops, expected, rtol=0.3, atol=0.01)
    powers_of_amplitudes = 2 * expected
    assert np.abs(curve.hops - powers_of_amplitudes)[-1] > 0.3 * powers_of_amplitudes[-1]


def test_quenched_time_constants_are_not_averaged_before_they_are_multiplied():
    """Without recurrence a chrono population forgets as the mean of u^2k, not as mean(u^2)^k."""
    keep = 1 / (1 + np.exp(-np.log(1 + 48 * (np.arange(UNITS) + 0.5) / UNITS)))
    curve = reach(minimal(np.log(keep / (1 - keep))), signs(32))
    exact = np.sqrt(np.mean(keep[:, None] ** (2 * LAGS), axis=0))
    np.testing.assert_allclose(curve.gradient_reach, exact, rtol=2e-4)
    np.testing.assert_allclose(curve.coherent_reach, exact, rtol=2e-4)
    untied = np.mean(keep**2) ** (LAGS / 2)
    power = exact**2
    for wrong in (untied, power):
        assert not np.allclose(curve.gradient_reach, wrong, rtol=0.02)
    assert np.all(curve.recurrent_share == 0)
    assert curve.trusted_lag(4) == MAX_LAG


def test_coherent_reach_is_the_mean_over_inputs():
    """u = sigmoid(b + nu g tanh(x)), g normal and kept, x a fair coin: integrals over g.

    The windows hold every sequence of five coins once: their averages are exact.
    """
    bias, gate, coins = 2.0, 4.0, 5
    windows = signs(2**coins)
    every = np.indices((2,) * coins).reshape(coins, -1).T * 2 - 1
    windows[:, MAX_LAG + 1 : MAX_LAG + 1 + coins, 0] = every
    curve = reach(minimal(np.full(UNITS, bias), gate=gate), windows)
    g, weight = np.polynomial.hermite_e.hermegauss(201)
    weight = weight / weight.sum()
    field = gate * math.tanh(1.0) * g
    high, low = (1 / (1 + np.exp(-(bias + s * field))) for s in (1, -1))
    lags = LAGS[: coins + 1]
    square = weight @ ((high**2 + low**2) / 2)[:, None] ** lags
    mean = weight @ ((high + low) / 2)[:, None] ** (2 * lags)
    pairs = (mean * len(windows) - square) / (len(windows) - 1)  # without those of equal windows
    gain, coherent = curve.gradient_reach[lags], curve.coherent_reach[lags]
    np.testing.assert_allclose(gain, np.sqrt(square), rtol=0.03)
    np.testing.assert_allclose(coherent, np.sqrt(pairs), rtol=0.05)
    one_replica, without_correction = gain, np.sqrt(mean)
    gates_not_kept = (weight @ ((high + low) / 2)) ** lags
    for wrong in (one_replica, gates_not_kept, pairs):
        assert abs(wrong / np.sqrt(pairs) - 1)[-1] > 0.1
    assert abs(without_correction / np.sqrt(pairs) - 1)[-1] < 0.05
    assert np.all(curve.coherent_reach_error[1:] > 0)


def test_plain_network_is_that_of_mean_field_theory():
    """White input, no bias: chi_1 = sigma^2 E[tanh'^2], chi_C = sigma^2 E[tanh']^2 at q*."""
    sigma, drive = 1.5, 0.6
    z, weight = np.polynomial.hermite_e.hermegauss(201)
    weight = weight / weight.sum()
    q = 1.0
    for _ in range(500):
        q = sigma**2 * (weight @ np.tanh(np.sqrt(q) * z) ** 2) + drive**2
    slope = 1 / np.cosh(np.sqrt(q) * z) ** 2
    chi, chi_coherent = sigma**2 * (weight @ slope**2), sigma**2 * (weight @ slope) ** 2
    channels, units = 64, 512  # many channels: replicas are orthogonal, and the input's power sharp
    unit = tied.Vanilla(
        sigma=jnp.array([sigma]),
        bias=jnp.zeros((1, units)),
        input=jnp.asarray(drive * normals(2, 1, units, channels) / channels**0.5, jnp.float32),
    )
    curve = reach(unit, normals(3, 16, 31, channels), max_lag=10, populations=2)
    lags = np.arange(11)
    width = 1 / math.sqrt(units / 2)  # of one population, in each factor
    for value, error, exact in (
        (curve.gradient_reach, curve.gradient_reach_error, chi ** (lags / 2)),
        (curve.coherent_reach, curve.coherent_reach_error, chi_coherent ** (lags / 2)),
    ):
        assert np.all(np.abs(value - exact) <= 4 * error + exact * np.expm1(lags * width / 4))
    assert abs(curve.gradient_reach[10] - chi**10) > 0.05  # a power is no amplitude
    assert abs(curve.coherent_reach[10] - curve.gradient_reach[10]) > 0.1
    np.testing.assert_allclose(curve.hops, lags, rtol=1e-5)
    assert curve.trusted_lag(16) == 4
    assert curve.trusted_lag(1024) == 10


@pytest.mark.slow
def test_input_reach_is_a_length_in_units_of_the_spread():
    """A linear network: the length of V diag(s) / sqrt(m), times sigma^k."""
    sigma, channels, width = 0.9, 5, 100
    spread = np.array([0.5, 1.0, 2.0, 0.0, 1.0])
    weights = normals(4, 1, UNITS, channels) / width**0.5
    unit = tied.Vanilla(
        sigma=jnp.array([sigma]),
        bias=jnp.zeros((1, UNITS)),
        input=jnp.asarray(weights, jnp.float32),
        activation="identity",
    )
    windows = normals(5, 2, 11, channels) * spread
    curve = reach(
        unit, windows, max_lag=5, burn_in=5, with_input=True, input_spread=spread, populations=1
    )
    first = math.sqrt(width * np.mean((weights[0] * spread) ** 2))
    lags = np.arange(6)
    np.testing.assert_allclose(curve.input_reach(width), first * sigma**lags, rtol=0.25)
    per_network_of_one = curve.input_reach(1)
    not_per_channel = curve.input_reach(width) * channels**0.5
    for wrong in (per_network_of_one, not_per_channel):
        assert not np.any(np.isclose(wrong, first * sigma**lags, rtol=0.25))
    np.testing.assert_allclose(curve.gradient_reach, sigma**lags, rtol=1e-4)
    without = reach(minimal(np.zeros(UNITS)), signs(32))
    with pytest.raises(ValueError, match="no input reach"):
        without.input_reach(4)


# --- the equations of the units -------------------------------------------------------------------

SIZE, CHANNELS = 6, 3
KEYS = jr.split(jr.key(5), 8)
OPTIONS = {
    "vanilla": (cells.Elman, {}),
    "relu": (cells.Elman, {"activation": "relu"}),
    "elu": (cells.Elman, {"activation": "elu"}),
    "modrelu": (cells.Elman, {"activation": "modrelu"}),
    "linear": (cells.Elman, {"activation": "identity"}),
    "residual": (cells.Residual, {"coupling": 0.3, "residual": init.heterogeneous(5.0)}),
    "saturating": (cells.Residual, {"coupling": 0.3, "path": "tanh"}),
    "minimal": (cells.MinimalRNN, {"embedding_bias": init.normal(1.0)}),
    "affine minimal": (cells.MinimalRNN, {"activation": "identity"}),
    "gru": (cells.GRU, {}),
    "reset before": (cells.ResetBeforeGRU, {}),
    "lstm": (cells.LSTM, {}),
    "peephole": (cells.PeepholeLSTM, {"peephole": init.normal(1.0)}),
    "full peephole": (cells.FullPeepholeLSTM, {}),
}


def same_weights(name):
    """A cell and the unit with that cell's own numbers, with what its matrices are."""
    family, options = OPTIONS[name]
    wide = init.normal(1.0)
    options = {"recurrent": wide, "input": wide, "bias": wide} | options
    cell = family(CHANNELS, SIZE, key=KEYS[0], **options)
    unit = tied.unit_of(
        cell.hyperparameters(), input_size=CHANNELS, hidden_size=SIZE, units=SIZE, key=KEYS[1]
    )
    gates = unit.bias.shape[0]
    numbers = {
        "bias": cell.bias.reshape(gates, SIZE),
        "input": cell.input.reshape(gates, SIZE, -1),
    }
    matrices = cell.recurrent.reshape(-1, SIZE, SIZE)
    if name.endswith("minimal"):
        numbers |= {"input": cell.embedding[None], "embedding_bias": cell.embedding_bias}
        matrices = jnp.stack([cell.recurrent, cell.input])
    for name in ("moduli", "angles", "candidate_bias"):
        if hasattr(cell, name) and getattr(unit, name) is not None:
            numbers[name] = getattr(cell, name)
    if isinstance(cell, cells.PeepholeLSTM):
        numbers["peephole"] = cell.peephole.reshape(3, SIZE)
    fields = {f.name: getattr(unit, f.name) for f in dataclasses.fields(unit)}
    unit = type(unit)(**(fields | numbers))
    cuts = np.cumsum(unit.groups)[:-1]
    groups = jnp.split(matrices, [int(cut) for cut in cuts])
    return cell, unit, lambda group, read: groups[group] @ read


@pytest.mark.parametrize("name", OPTIONS)
def test_a_unit_obeys_the_equations_of_its_cell(name):
    cell, unit, fields = same_weights(name)
    x = jr.normal(KEYS[2], (CHANNELS,))
    leaves, structure = jax.tree.flatten(cell.initial_state())
    state = [jr.normal(key, leaf.shape) for key, leaf in zip(KEYS[3:], leaves, strict=False)]
    new = cell.step(jax.tree.unflatten(structure, state), x)
    expected = jnp.stack(jax.tree.leaves(new))
    got = unit.step(jnp.stack(state), x, fields)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)
    crossed = unit.step(jnp.stack(state), x, lambda group, read: fields(group, read)[::-1, ::-1])
    assert not np.allclose(crossed, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_laws_in_units_of_the_width():
    def sigma(family, **options):
        law = family(CHANNELS, SIZE, key=KEYS[0], **options).hyperparameters()
        unit = tied.unit_of(
            law, input_size=CHANNELS, hidden_size=SIZE, units=10 * SIZE, key=KEYS[1]
        )
        return unit, np.asarray(unit.sigma)

    unit, default = sigma(cells.GRU, bias=init.chrono(30.0))
    np.testing.assert_allclose(default, 3**-0.5, rtol=1e-6)
    largest = abs(np.asarray(unit.input)).max()
    assert 0.9 / SIZE**0.5 < largest <= 1 / SIZE**0.5  # the bound of 6 units, not of 60
    np.testing.assert_allclose(np.mean(np.exp(unit.bias[1])), 15.0, rtol=1e-4)
    unit, _ = sigma(cells.LSTM, bias=init.chrono(30.0))
    np.testing.assert_array_equal(unit.bias[0], -unit.bias[1])  # i mirrors f, unit by unit
    assert sigma(cells.Elman, recurrent=init.orthogonal(1.3))[1] == pytest.approx([1.3])
    assert sigma(cells.MinimalRNN, recurrent=init.gaussian(2.0))[1][0] == pytest.approx(2.0)
    unit, weak = sigma(cells.Elman, recurrent=init.weakly_coupled(init.identity(0.9), 0.1))
    assert weak == pytest.approx([0.1])
    assert not unit.memoryless
    np.testing.assert_allclose(unit.self_coupling, 0.9)
    assert sigma(cells.LinearRNN)[1] == pytest.approx([0.9])
    assert sigma(cells.LinearRNN, parametrisation="standard")[1] == pytest.approx([0.9])
    unit, _ = sigma(cells.Elman, recurrent=init.rotation(0.9, period=8))
    assert unit.block == 2


@pytest.mark.parametrize(
    "options",
    [
        {"recurrent": init.chain(1.0)},
        {"recurrent": init.constant(0.1)},
        {"recurrent": lambda key, shape, dtype: jnp.zeros(shape, dtype)},
        {"recurrent": init.weakly_coupled(init.chain(1.0), 0.1)},
        {"input": init.source(1.0)},
    ],
)
def test_structured_weights_have_no_theory(options):
    law = cells.Elman(1, 8, key=KEYS[0], **options).hyperparameters()
    with pytest.raises(tied.NoTheory):
        tied.unit_of(law, input_size=1, hidden_size=8, units=8, key=KEYS[1])


# --- bad input ------------------------------------------------------------------------------------


def test_nan_makes_nan():
    windows = signs(32)
    windows[3, -1] = np.nan
    curve = reach(minimal(np.zeros(UNITS)), windows)
    assert np.all(np.isnan(curve.gradient_reach[1:]))
    assert np.all(np.isnan(curve.coherent_reach[1:]))
    assert curve.trusted_lag(100) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_lag": 0}, "max_lag"),
        ({"burn_in": -1}, "burn_in"),
        ({"max_lag": 30}, "at least 51 steps"),
        ({"populations": 5}, "multiple of"),
        ({"probes": 0}, "probes"),
    ],
)
def test_wrong_calls_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        reach(minimal(np.zeros(UNITS)), signs(2), **options)


def test_windows_come_from_every_part():
    series = np.arange(1000.0)
    windows = tied.windows_of(series, number=4, max_lag=9, burn_in=10)
    assert windows.shape == (4, 20, 1)
    assert np.all(np.diff(windows[:, :, 0], axis=1) == 1)
    assert np.all(windows[:, 0, 0] // 245.25 == np.arange(4))
    batch = tied.windows_of(np.stack([series, -series])[..., None], number=3, max_lag=9, burn_in=10)
    assert batch.shape == (3, 20, 1)
    with pytest.raises(ValueError, match="at least 20 steps"):
        tied.windows_of(series[:19], number=1, max_lag=9, burn_in=10)
