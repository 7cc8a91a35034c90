"""Updates that PyTorch does not have, against their formulas written out in NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic import init
from echoic.cells import (
    LSTM,
    Elman,
    FullPeepholeLSTM,
    LinearRNN,
    LSTMState,
    MinimalRNN,
    Network,
    PeepholeLSTM,
    Readout,
    ResetBeforeGRU,
    Residual,
)

KEY = jr.key(2)
M, N = 2, 4
RNG = np.random.default_rng(0)
H, C, X = RNG.standard_normal(N), RNG.standard_normal(N), RNG.standard_normal(M)


def sigmoid(u):
    return 1 / (1 + np.exp(-u))


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13)


def build(kind, **options):
    return kind(M, N, key=KEY, dtype=jnp.float64, **options)


def step(cell, state):
    return cell.step(jax.tree_util.tree_map(jnp.asarray, state), jnp.asarray(X))


def numpy_weights(cell):
    return np.asarray(cell.recurrent), np.asarray(cell.input), np.asarray(cell.bias)


def test_modrelu_thresholds_the_modulus(x64):
    cell = build(Elman, activation="modrelu", bias=init.constant(-0.5))
    W, V, b = numpy_weights(cell)
    u = W @ H + V @ X
    assert_close(step(cell, H), np.sign(u) * np.maximum(np.abs(u) + b, 0))
    assert (np.maximum(np.abs(u) + b, 0) == 0).any()  # or the threshold was not tested


def test_elu(x64):
    cell = build(Elman, activation="elu")
    W, V, b = numpy_weights(cell)
    u = W @ H + V @ X + b
    assert_close(step(cell, H), np.where(u > 0, u, np.expm1(u)))


def test_residual_adds_weak_coupling(x64):
    cell = build(Residual, residual=init.heterogeneous(20.0), coupling=0.2)
    W, V, b = numpy_weights(cell)
    R = np.asarray(cell.residual.matrix())
    inside = np.tanh(W @ H + V @ X + b)
    assert_close(step(cell, H), R @ H + 0.2 * inside)
    cell = build(Residual, residual=init.heterogeneous(20.0), coupling=0.2, path="tanh")
    assert_close(step(cell, H), np.tanh(R @ H) + 0.2 * inside)


def test_residual_of_an_odd_number_of_units(x64):
    cell = Residual(M, 5, residual=init.uniform_decay(), coupling=0.0, key=KEY, dtype=jnp.float64)
    h = np.arange(5.0)
    assert_close(cell.step(jnp.asarray(h), jnp.asarray(X)), np.asarray(cell.moduli) * h)


def test_residual_tells_its_eigenvalues(x64):
    cell = build(Residual, residual=init.rotation(0.9, period=8))
    assert_close(cell.residual_moduli(), 0.9)
    assert_close(
        np.sort(np.angle(cell.residual_eigenvalues())), np.pi / 4 * np.array([-1, -1, 1, 1])
    )


def test_minimal_rnn(x64):
    cell = build(MinimalRNN, bias=init.normal(1.0), embedding_bias=init.normal(1.0))
    W, V, b = numpy_weights(cell)
    z = np.tanh(np.asarray(cell.embedding) @ X + np.asarray(cell.embedding_bias))
    u = sigmoid(W @ H + V @ z + b)
    assert_close(step(cell, H), u * H + (1 - u) * z)
    cell = build(MinimalRNN, activation="identity")
    W, V, b = numpy_weights(cell)
    z = np.asarray(cell.embedding) @ X
    u = sigmoid(W @ H + V @ z)
    assert_close(step(cell, H), u * H + (1 - u) * z)


def test_linear_rnn_in_both_parametrisations(x64):
    for parametrisation, scale in (("scaled", N**-0.5), ("standard", 1.0)):
        cell = build(LinearRNN, parametrisation=parametrisation)
        W, V = np.asarray(cell.recurrent), np.asarray(cell.input)
        assert_close(step(cell, H), scale * W @ H + V @ X)
        form = cell.linear_form()
        assert_close(form.recurrent, scale * W)
        assert_close(form.input, V)
        assert_close(form.bias, 0)
        assert_close(cell.recurrent_blocks()["recurrent"], scale * W)


def test_linear_rnn_has_its_variances():
    cell = LinearRNN(3, 150, recurrent=init.normal(0.6**0.5), key=KEY)
    assert float(cell.recurrent.var()) == pytest.approx(0.6, rel=0.04)
    default = LinearRNN(3, 150, parametrisation="standard", key=KEY)
    assert np.abs(np.linalg.eigvals(default.recurrent)).max() == pytest.approx(0.9, abs=0.09)
    scaled = LinearRNN(3, 150, key=KEY).linear_form().recurrent
    assert np.abs(np.linalg.eigvals(scaled)).max() == pytest.approx(0.9, abs=0.09)


def lstm_gates(cell, seen):
    W, V, b = numpy_weights(cell)
    return np.split(W @ seen + V @ X + b, 4)


def test_peephole_lstm_shows_the_new_cell_to_the_output_gate(x64):
    cell = build(PeepholeLSTM)
    i, f, g, o = lstm_gates(cell, H)
    p_i, p_f, p_o = np.split(np.asarray(cell.peephole), 3)
    c = sigmoid(f + p_f * C) * C + sigmoid(i + p_i * C) * np.tanh(g)
    new = step(cell, LSTMState(H, C))
    assert_close(new.c, c)
    assert_close(new.h, sigmoid(o + p_o * c) * np.tanh(c))
    old_cell = sigmoid(o + p_o * C) * np.tanh(c)  # mutant: the output gate sees the old cell
    assert np.abs(np.asarray(new.h) - old_cell).max() > 1e-3


def test_peephole_lstm_without_peepholes_is_the_lstm(x64):
    peephole = build(PeepholeLSTM, peephole=init.zeros())
    plain = eqx.tree_at(
        lambda c: (c.recurrent, c.input, c.bias),
        build(LSTM),
        (peephole.recurrent, peephole.input, peephole.bias),
    )
    for ours, theirs in zip(
        step(peephole, LSTMState(H, C)), step(plain, LSTMState(H, C)), strict=True
    ):
        assert_close(ours, theirs)


def test_full_peephole_lstm_reads_the_cell_state(x64):
    cell = build(FullPeepholeLSTM)
    i, f, g, o = lstm_gates(cell, C)
    c = sigmoid(f) * C + sigmoid(i) * np.tanh(g)
    new = step(cell, LSTMState(H, C))
    assert_close(new.c, c)
    assert_close(new.h, sigmoid(o) * np.tanh(c))
    assert_close(cell.read(new), c)
    assert_close(cell.output(new), new.h)


def test_reset_before_gru(x64):
    cell = build(ResetBeforeGRU)
    (W_r, W_z, W_n), (V_r, V_z, V_n), (b_r, b_z, b_n) = (
        np.split(part, 3) for part in numpy_weights(cell)
    )
    r, z = sigmoid(W_r @ H + V_r @ X + b_r), sigmoid(W_z @ H + V_z @ X + b_z)
    new = np.tanh(W_n @ (r * H) + V_n @ X + b_n)
    assert_close(step(cell, H), (1 - z) * new + z * H)


def test_network_passes_outputs_up_in_the_same_step(x64):
    keys = jr.split(KEY, 3)
    below = FullPeepholeLSTM(M, N, key=keys[0], dtype=jnp.float64)
    above = Elman(N, 3, key=keys[1], dtype=jnp.float64)
    readout = Readout(3, 2, key=keys[2], dtype=jnp.float64)
    net = Network([below, above], readout)
    xs = jr.normal(KEY, (5, 6, M), jnp.float64)
    hidden = echoic.rollout(below, xs).trajectory
    expected = echoic.rollout(above, hidden).trajectory
    outputs = echoic.rollout(net, xs).trajectory
    assert_close(outputs, expected)
    weight, bias = np.asarray(readout.weight), np.asarray(readout.bias)
    assert_close(net.predict(outputs), np.asarray(expected) @ weight.T + bias)
    assert net.state_size == 2 * N + 3
    assert set(net.recurrent_blocks()) == {"0.i", "0.f", "0.g", "0.o", "1.recurrent"}
    delayed = echoic.rollout(above, jnp.roll(hidden, 1, axis=1)).trajectory  # mutant: a step late
    assert np.abs(np.asarray(outputs - delayed)).max() > 1e-3
