"""Certified bounds hold for Jacobians of the real cells, and the projections enforce them."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

from echoic import cells, init
from echoic.core.cell import without_law
from echoic.theory import (
    clip_rows,
    clip_spectral,
    clip_stable_lstm,
    contracting_scale,
    drive_bound,
    elman_certificate,
    gru_certificate,
    lstm_certificate,
    minimal_certificate,
    residual_certificate,
    stable_lstm_rate,
)

N, M, SAMPLES = 5, 2, 256


def build(kind, seed, scale):
    """A cell with Gaussian weights of some scale, in double precision."""
    keys = jr.split(jr.key(seed), 2)
    weights = {"recurrent": init.gaussian(scale), "input": init.gaussian(scale)}
    options = {"key": keys[0], "dtype": jnp.float64, "bias": init.normal(scale)}
    if kind == "residual":
        options["residual"] = init.identity(0.7)
        options["coupling"] = 0.4
    if kind == "gru":
        options["candidate_bias"] = init.normal(scale)
    classes = {
        "elman": cells.Elman,
        "residual": cells.Residual,
        "minimal": cells.MinimalRNN,
        "gru": cells.GRU,
        "gru before": cells.ResetBeforeGRU,
        "lstm": cells.LSTM,
    }
    return classes[kind](M, N, **weights, **options)


def certify(kind, cell, recurrent=None):
    recurrent = np.asarray(cell.recurrent if recurrent is None else recurrent)
    drive = drive_bound(cell.input, cell.bias)
    if kind == "elman":
        return elman_certificate(recurrent)
    if kind == "residual":
        return residual_certificate(np.full(N, 0.7), 0.4, recurrent)
    if kind == "minimal":
        return minimal_certificate(recurrent, drive)
    if kind == "gru":
        return gru_certificate(recurrent, drive, np.asarray(cell.candidate_bias))
    if kind == "gru before":
        return gru_certificate(recurrent, drive, reset="before")
    return lstm_certificate(recurrent, drive)


def largest_c(cell):
    sums = np.abs(np.asarray(cell.recurrent)).sum(axis=1) + drive_bound(cell.input, cell.bias)
    i, f = (1 / (1 + np.exp(-part)) for part in np.split(sums, 4)[:2])
    return i / (1 - f)


@jax.jit
def jacobians_of(cell, states, xs):
    template = cell.initial_state()
    restore = ravel_pytree(template)[1]

    def step(flat, x):
        return ravel_pytree(cell.step(restore(flat), x))[0]

    return jax.vmap(jax.jacfwd(step))(states, xs)


def sample(kind, cell, seed):
    """Jacobians at states of the box, corners included, and inputs up to 1."""
    rng = np.random.default_rng(seed)
    size = 2 * N if kind == "lstm" else N
    states = rng.uniform(-1, 1, (SAMPLES, size))
    states[::2] = np.sign(states[::2])
    if kind == "lstm":
        states[:, N:] *= largest_c(cell)
    xs = np.sign(rng.uniform(-1, 1, (SAMPLES, M)))
    xs[::3] *= rng.uniform(0, 1)
    return np.asarray(jacobians_of(without_law(cell), jnp.asarray(states), jnp.asarray(xs)))


def norms(jacobians, certificate):
    """The five figures of a certificate, as the sampled Jacobians have them."""
    order = 2 if certificate.norm == "euclidean" else np.inf
    v = certificate.weights
    return {
        "euclidean": np.linalg.norm(jacobians, 2, axis=(1, 2)).max(),
        "maximum": np.linalg.norm(jacobians, np.inf, axis=(1, 2)).max(),
        "total": np.linalg.norm(jacobians, 1, axis=(1, 2)).max(),
        "rate": np.linalg.norm(jacobians * v / v[:, None], order, axis=(1, 2)).max(),
    }


@pytest.mark.parametrize("kind", ["elman", "residual", "minimal", "gru", "gru before", "lstm"])
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.05, 4.0))
def test_no_jacobian_exceeds_its_certificate(kind, seed, scale):
    with jax.enable_x64(True):
        cell = build(kind, seed, scale)
        certificate = certify(kind, cell)
        for name, found in norms(sample(kind, cell, seed), certificate).items():
            assert found <= getattr(certificate, name) * (1 + 1e-9), name
        assert certificate.rate <= certificate.maximum
        assert np.all(certificate.weights > 0)


@pytest.mark.parametrize("kind", ["elman", "residual", "minimal", "gru", "gru before", "lstm"])
def test_a_certified_cell_forgets_its_state(kind, x64):
    """Scaled until contraction is proved: two runs come together at the rate, or faster."""
    cell = build(kind, 1, 1.5)
    weights = np.asarray(cell.recurrent)
    target = {"lstm": 0.97, "residual": 0.95}.get(kind, 0.9)
    if kind == "lstm":  # with free forget input and bias no scale of W would do
        names = (cell.recurrent, cell.input, cell.bias)
        clipped = clip_stable_lstm(*names)
        cell = cell_with(cell, *clipped)
        weights = np.asarray(clipped[0])
    else:
        cell = cell_with(cell, cell.recurrent, 0.2 * cell.input, 0.2 * cell.bias)
    scale = contracting_scale(lambda s: certify(kind, cell, s * weights), target)
    assert 0 < scale <= 1
    certificate = certify(kind, cell, scale * weights)
    assert certificate.contracts
    assert certificate.rate <= target
    if scale < 1:  # and not much smaller than it need be
        assert certify(kind, cell, min(1, scale + 0.01) * weights).rate > target
    cell = cell_with(cell, jnp.asarray(scale * weights), cell.input, cell.bias)
    states = [np.ones(N), -np.ones(N)]
    if kind == "lstm":
        states = [np.concatenate([s, s * largest_c(cell)]) for s in states]
    xs = np.random.default_rng(0).uniform(-1, 1, (40, M))
    restore = ravel_pytree(cell.initial_state())[1]
    start = float(np.max(np.abs(states[0] - states[1])))
    step = jax.jit(lambda flat, x: ravel_pytree(cell.step(restore(flat), x))[0])
    for k, x in enumerate(xs, start=1):
        states = [step(jnp.asarray(s), jnp.asarray(x)) for s in states]
        distance = float(np.max(np.abs(states[0] - states[1])))
        allowed = certificate.distortion * math.sqrt(2 * N) * start * certificate.rate**k
        assert distance <= allowed * (1 + 1e-9)


def cell_with(cell, recurrent, input, bias):
    import equinox as eqx

    where = lambda c: (c.recurrent, c.input, c.bias)  # noqa: E731
    return eqx.tree_at(where, cell, (recurrent, input, bias))


def test_exact_cases():
    """Bounds that are attained."""
    swap = np.array([[0.0, 4.0], [0.25, 0.0]])  # spectral radius 1, norm 4
    found = elman_certificate(swap)
    assert found.euclidean == pytest.approx(4.0)
    assert (found.maximum, found.total) == (4.0, 4.0)
    assert found.rate == pytest.approx(1.0, abs=1e-3)  # Perron
    assert not found.contracts
    chain = elman_certificate(1.02 * np.eye(30, k=-1), max_distortion=1e6)
    assert chain.euclidean == pytest.approx(1.02)
    assert chain.rate < 1.02 * 10 ** (-5 / 30)
    assert chain.distortion <= 1e6 * (1 + 1e-9)
    assert residual_certificate([0.5, 0.9], -0.1, np.eye(2)).euclidean == pytest.approx(1.0)
    # Without recurrence: minimalRNN keeps u, the LSTM f, the GRU z.
    third = math.log(2.0)  # sigmoid 2/3
    assert minimal_certificate(np.zeros((3, 3)), np.full(3, third)).rate == pytest.approx(2 / 3)
    assert gru_certificate(np.zeros((9, 3)), np.full(9, third)).rate == pytest.approx(2 / 3)
    assert lstm_certificate(np.zeros((12, 3)), np.full(12, third)).rate == pytest.approx(
        2 / 3, abs=1e-3
    )
    # One unit: u + 2 u (1 - u) w is largest at u = (1 + 2 w) / (4 w).
    w, u = 1.0, 0.75
    one = minimal_certificate([[w]], [10.0])
    assert one.maximum == pytest.approx(u + 2 * u * (1 - u) * w)


def test_threshold_of_the_minimal_rnn():
    """2 u_max r = 1 and nothing else decides."""
    w = np.full((4, 4), 0.14)  # row sums .56
    drive = np.log(1 / (2 * 0.56) / (1 - 1 / (2 * 0.56))) - 0.56  # u_max = 1 / (2 r)
    assert minimal_certificate(w, np.full(4, drive - 0.01)).rate < 1
    assert minimal_certificate(w, np.full(4, drive + 0.01)).rate >= 1


# Wrong versions of a bound, each exceeded by a real Jacobian.


def test_wrong_bounds_are_exceeded(x64):
    exceeded = dict.fromkeys(("radius", "columns", "candidate bias", "cell state", "gap"), False)
    for seed in range(6):
        cell = build("elman", seed, 1.5)
        found = norms(sample("elman", cell, seed), certify("elman", cell))
        w = np.asarray(cell.recurrent)
        exceeded["radius"] |= found["euclidean"] > np.abs(np.linalg.eigvals(w)).max()
        exceeded["columns"] |= found["maximum"] > np.abs(w).sum(axis=0).max()
        cell = build("gru", seed, 0.3)
        cell = cell_with(cell, cell.recurrent, cell.input, 0 * cell.bias)
        cell = _candidate_bias(cell, 20.0)
        cell = cell_with(cell, cell.recurrent, cell.input, cell.bias.at[2 * N :].set(-10.0))
        found = norms(sample("gru", cell, seed), certify("gru", cell))
        wrong = gru_certificate(np.asarray(cell.recurrent), drive_bound(cell.input, cell.bias))
        exceeded["candidate bias"] |= found["maximum"] > wrong.maximum
        cell = build("lstm", seed, 1.0)
        jacobians = sample("lstm", cell, seed)
        right = certify("lstm", cell)
        unit = lstm_with_unit_cell_state(cell)
        exceeded["cell state"] |= norms(jacobians, right)["maximum"] > unit
        cell = build("minimal", seed, 3.0)
        jacobians = sample("minimal", cell, seed)
        half = minimal_certificate(cell.recurrent / 2, drive_bound(cell.input, cell.bias))
        exceeded["gap"] |= norms(jacobians, half)["maximum"] > half.maximum  # |h - z| <= 1
    assert all(exceeded.values()), exceeded


def _candidate_bias(cell, value):
    import equinox as eqx

    return eqx.tree_at(lambda c: c.candidate_bias, cell, jnp.full(N, value))


def lstm_with_unit_cell_state(cell):
    """The LSTM's bound as it would be if |c| <= 1."""
    w = np.abs(np.asarray(cell.recurrent))
    upper = 1 / (1 + np.exp(-(w.sum(axis=1) + drive_bound(cell.input, cell.bias))))
    w_i, w_f, w_g, w_o = (part.sum(axis=1) for part in np.split(w, 4))
    i, f, _, o = np.split(upper, 4)
    into = w_f / 4 + w_i / 4 + i * w_g
    return max(np.max(into + f), np.max(o * (into + f) + np.tanh(1) * w_o / 4))


@pytest.mark.parametrize("forget", [0.6, 0.8, 0.99])
def test_clipped_lstm_contracts_at_the_stated_rate(forget, x64):
    rng = np.random.default_rng(3)
    weights = [5 * rng.normal(size=shape) for shape in ((4 * N, N), (4 * N, M), (4 * N,))]
    clipped = clip_stable_lstm(*map(jnp.asarray, weights), forget=forget, input_max=2.0)
    recurrent, input, bias = map(np.asarray, clipped)
    found = lstm_certificate(recurrent, drive_bound(input, bias, 2.0))
    assert found.rate <= stable_lstm_rate(forget) + 1e-3
    # Already inside: nothing changes.
    again = clip_stable_lstm(*clipped, forget=forget, input_max=2.0)
    for once, twice in zip(clipped, again, strict=True):
        np.testing.assert_allclose(once, twice, rtol=1e-12)
    # Other gates' input and bias are free.
    np.testing.assert_array_equal(bias[:N], weights[2][:N])
    # Wrong: a free forget bias, or free forget input, breaks the certificate.
    assert not lstm_certificate(recurrent, drive_bound(input, weights[2], 2.0)).contracts
    assert not lstm_certificate(recurrent, drive_bound(weights[1], bias, 2.0)).contracts


def test_the_recalled_constants_are_close_to_the_proved_ones():
    """Row sums .395, .155, .099, .395 and |U_f| u + |b_f| <= .25: forget gates of .6."""
    limits = np.repeat([0.395, 0.155, 0.099, 0.395], 3)
    recurrent = np.tile(limits[:, None] / 3, (1, 3))
    drive = np.concatenate([np.full(3, 50.0), np.full(3, 0.25), np.full(6, 50.0)])
    found = lstm_certificate(recurrent, drive)
    assert found.rate == pytest.approx(0.93, abs=0.005)
    assert found.rate < stable_lstm_rate(0.6)


def test_clipping(x64):
    rng = np.random.default_rng(0)
    matrix = jnp.asarray(rng.normal(size=(6, 6)))
    rows = np.asarray(clip_rows(matrix, 1.5))
    assert np.abs(rows).sum(axis=1).max() == pytest.approx(1.5)
    spectral = np.asarray(clip_spectral(matrix, 1.5))
    assert np.linalg.norm(spectral, 2) == pytest.approx(1.5)
    scaled = np.asarray(matrix) * 1.5 / np.linalg.norm(matrix, 2)
    assert np.linalg.norm(spectral - matrix) < np.linalg.norm(scaled - matrix)  # nearer
    small = 0.01 * matrix
    np.testing.assert_allclose(clip_rows(small, 1.5), small)
    np.testing.assert_allclose(clip_spectral(small, 1.5), small, atol=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: elman_certificate(np.ones((2, 3))), "recurrent must have shape"),
        (lambda: elman_certificate(np.eye(2), max_distortion=0.5), "max_distortion"),
        (lambda: residual_certificate([0.5], 0.1, np.eye(2)), "size 2"),
        (lambda: minimal_certificate(np.eye(2), np.ones(3)), r"drive must have shape \(2,\)"),
        (lambda: gru_certificate(np.ones((4, 2)), np.ones(4)), r"\(3n, n\)"),
        (lambda: gru_certificate(np.ones((6, 2)), np.ones(6), reset="never"), "after"),
        (lambda: stable_lstm_rate(0.3), "forget must lie in"),
        (lambda: contracting_scale(lambda s: minimal_certificate([[s]], [9.0]), 0.5), "rate must"),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert math.isnan(elman_certificate(np.full((2, 2), np.nan)).rate)
