"""Lyapunov spectra against closed forms, random-matrix theory and a plain NumPy loop."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.special import digamma, polygamma

from echoic.cells import GRU, LSTM, Elman, MinimalRNN, PeepholeLSTM, Residual
from echoic.core.cell import FunctionCell, PointwiseCell
from echoic.core.estimate import Status, UntrustedError
from echoic.core.linalg import random_frame
from echoic.core.tangent import jacobian
from echoic.measure.lyapunov import spectrum, tangent_run
from echoic.measure.lyapunov.jacobian_sequence import lyapunov_from_jacobians
from echoic.measure.lyapunov.spectrum import lyapunov_spectrum
from echoic.measure.lyapunov.unit_by_unit import acts_unit_by_unit, linearise_unit_by_unit

KEY = jr.key(7)


def linear(matrix):
    matrix = jnp.asarray(matrix)
    return lambda h, _: matrix @ h


def multiply(h, x):
    """A random matrix product: the input is the matrix."""
    n = h.shape[0]
    return x.reshape(n, n) @ h


def autonomous(step, n, **settings):
    return lyapunov_spectrum(step, state=jnp.full(n, 0.1), key=KEY, **settings)


def slow_but(quick, *families):
    """All of them, the others than ``quick`` among the slow tests."""
    return [f if f is quick else pytest.param(f, marks=pytest.mark.slow) for f in families]


# Closed forms.


def is_largest_modulus(found, moduli):
    return float(found.value[0]) == pytest.approx(math.log(max(moduli)), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("moduli", [(0.9, 0.5), (0.5, 0.9)])
def test_largest_exponent_of_a_diagonal_map(moduli, x64):
    step = linear(np.diag(moduli))
    assert is_largest_modulus(autonomous(step, 2, steps=200, num_exponents=1), moduli)


@pytest.mark.slow
def test_identity_start_frame_is_rejected(x64, monkeypatch):
    """Mutant: a diagonal map leaves the identity's columns alone; the first one is no leader."""
    # 3 units: another shape than above, so that nothing compiled there is used again.
    moduli = (0.5, 0.7, 0.9)
    monkeypatch.setattr(spectrum, "random_frame", lambda key, n, k, dtype: jnp.eye(n, k))
    step = linear(np.diag(moduli))
    assert not is_largest_modulus(autonomous(step, 3, steps=200, num_exponents=1), moduli)


@pytest.mark.slow
def test_log_moduli_of_a_block_map(x64):
    """Rotations and a contraction, in an orthogonal basis of their own."""
    blocks = np.zeros((5, 5))
    for at, (modulus, angle) in {0: (1.1, 0.3), 2: (0.6, 2.0)}.items():
        c, s = math.cos(angle), math.sin(angle)
        blocks[at : at + 2, at : at + 2] = modulus * np.array([[c, -s], [s, c]])
    blocks[4, 4] = 0.01
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    found = autonomous(linear(basis @ blocks @ basis.T), 5, steps=300)
    np.testing.assert_allclose(found.value, np.log([1.1, 1.1, 0.6, 0.6, 0.01]), atol=1e-9)
    assert found.statuses == Status.OK
    assert float(found.details["residual"]) < 1e-11


def test_logistic_map_at_four(x64):
    found = lyapunov_spectrum(
        lambda h, _: 4 * h * (1 - h), state=jnp.array([0.3]), steps=20_000, key=KEY
    )
    error = float(found.standard_error[0])
    assert abs(float(found.value[0]) - math.log(2)) < 4 * error < 2e-3


def henon(h, _):
    return jnp.array([1 - 1.4 * h[0] ** 2 + h[1], 0.3 * h[0]])


def test_henon_map(x64):
    found = autonomous(henon, 2, steps=20_000)
    assert float(jnp.sum(found.value)) == pytest.approx(math.log(0.3), abs=1e-10)
    gap = np.abs(np.asarray(found.value) - [0.4192, -1.6232])
    assert np.all(gap < 4 * np.asarray(found.standard_error) + 1e-4)
    assert float(found.standard_error[0]) < 4e-3


@pytest.mark.slow
def test_products_of_gaussian_matrices(x64):
    """Newman (1986): the exponents, and with them the size of the error bars."""
    n, t = 8, 4000
    sigma = n**-0.5
    inputs = sigma * jr.normal(jr.key(1), (t, n * n))
    found = lyapunov_spectrum(multiply, inputs, state=jnp.ones(n), burn_in=50, key=KEY)
    degrees = n - np.arange(n)
    exact = 0.5 * (math.log(2) + digamma(degrees / 2)) + math.log(sigma)
    scatter = np.sqrt(0.25 * polygamma(1, degrees / 2) / (t - 50))
    assert np.all(np.abs(np.asarray(found.value) - exact) < 4 * scatter)
    # A standard deviation from 20 blocks is known to 16 percent: four of these.
    np.testing.assert_allclose(found.standard_error, scatter, rtol=0.65)
    assert found.statuses == Status.OK
    in_bits = np.asarray(found.value) / math.log(2)  # mutant: base-2 logarithm
    assert not np.all(np.abs(in_bits - exact) < 4 * scatter)


# Singular and strongly non-normal Jacobians.


def test_chain_has_no_finite_exponent(x64):
    found = autonomous(linear(np.diag(np.full(29, 1.02), -1)), 30, steps=200)
    assert bool(jnp.all(found.value == -jnp.inf))
    assert found.statuses == Status.SINGULAR
    assert float(found.details["residual"]) == 0


@pytest.mark.slow
def test_one_singular_direction(x64):
    matrix = np.random.default_rng(1).normal(size=(5, 5)) / 2
    matrix[3] = 0
    found = autonomous(linear(matrix), 5, steps=400, burn_in=400)
    moduli = np.sort(np.abs(np.linalg.eigvals(matrix)))[::-1]
    assert float(found.value[-1]) == -np.inf
    assert Status.SINGULAR in found.statuses
    assert float(jnp.sum(found.value[:4])) == pytest.approx(np.log(moduli[:4]).sum(), abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_dense_singular_matrix(seed, x64):
    """Its determinant is a rounded zero, about e^-36, beside which -inf is no mistake."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(4, 3)) @ rng.normal(size=(3, 4)) / 3
    found = lyapunov_from_jacobians(np.tile(matrix, (400, 1, 1)), key=KEY)
    assert float(found.value[3]) == -np.inf
    moduli = np.sort(np.abs(np.linalg.eigvals(matrix)))[::-1]
    assert float(jnp.sum(found.value[:3])) == pytest.approx(np.log(moduli[:3]).sum(), abs=1e-6)
    assert found.statuses == Status.SINGULAR


@pytest.mark.slow
def test_a_rounded_zero_is_no_exponent(x64):
    """Where rounding keeps the dead direction alive, the sum rule does not vouch for it."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(4, 3)) @ rng.normal(size=(3, 4)) / 3
    found = lyapunov_from_jacobians(np.tile(matrix, (400, 1, 1)), key=KEY)
    assert -40 < float(found.value[3]) < -30
    assert Status.SUM_RULE_BROKEN in found.statuses


@pytest.mark.slow
def test_a_death_that_no_jacobian_explains_breaks_the_sum_rule(x64, monkeypatch):
    """Mutant: a factorisation that takes every second pivot for a zero."""

    def killing(a):
        frame, upper = true_triangularise(a)
        return frame, upper.at[1, 1].set(0)

    true_triangularise = tangent_run.triangularise
    monkeypatch.setattr(tangent_run, "triangularise", killing)
    found = autonomous(lambda h, _: jnp.array([0.9, 0.7, 0.5]) * h, 3, steps=47)
    assert float(found.value[2]) == -np.inf
    assert Status.SUM_RULE_BROKEN in found.statuses


@pytest.mark.slow
def test_feedback_chain_is_not_trusted(x64):
    """QR says -0.3 here, the truth is -0.92; the sum rule shows that something is wrong."""
    n = 100
    chain = np.diag(np.full(n - 1, 0.99), -1) + np.diag(np.full(n - 1, 0.04), 1)
    found = autonomous(linear(chain), n, steps=300)
    assert Status.SUM_RULE_BROKEN in found.statuses
    assert not found.statuses.trusted
    assert float(found.details["residual"]) > 1


# Against a plain loop.


def sigmoid(u):
    return 1 / (1 + np.exp(-u))


def lstm_jacobians(cell, inputs):
    """By hand, over (h, c)."""
    n = cell.hidden_size
    w, v, b = (np.asarray(a) for a in (cell.recurrent, cell.input, cell.bias))
    h, c, found = np.zeros(n), np.zeros(n), []
    for x in np.asarray(inputs):
        u = w @ h + v @ x + b
        i, f, o = (sigmoid(u[j * n : (j + 1) * n]) for j in (0, 1, 3))
        g = np.tanh(u[2 * n : 3 * n])
        wi, wf, wg, wo = (w[j * n : (j + 1) * n] for j in range(4))
        new = f * c + i * g
        dc = (g * i * (1 - i))[:, None] * wi + (c * f * (1 - f))[:, None] * wf
        dc = dc + (i * (1 - g**2))[:, None] * wg
        slope = o * (1 - np.tanh(new) ** 2)
        dh = slope[:, None] * dc + (np.tanh(new) * o * (1 - o))[:, None] * wo
        found.append(np.block([[dh, np.diag(slope * f)], [dc, np.diag(f)]]))
        h, c = o * np.tanh(new), new
    return found


def qr_history(jacobians, frame, ends):
    """Block exponents by QR at every step; the blocks end where ``ends`` says."""
    logs, blocks, length = np.zeros(frame.shape[1]), [], 0
    for t, matrix in enumerate(jacobians, start=1):
        frame, r = np.linalg.qr(matrix @ frame)
        logs, length = logs + np.log(np.abs(np.diag(r))), length + 1
        if t in ends:
            blocks.append(logs / length)
            logs, length = np.zeros(frame.shape[1]), 0
    return np.array(blocks)


def norm_history(jacobians, frame, ends):
    """Mutant: averages of column norms."""
    logs, blocks, length = np.zeros(frame.shape[1]), [], 0
    for t, matrix in enumerate(jacobians, start=1):
        frame = matrix @ frame
        norms = np.linalg.norm(frame, axis=0)
        frame, logs, length = frame / norms, logs + np.log(norms), length + 1
        if t in ends:
            blocks.append(logs / length)
            logs, length = np.zeros(frame.shape[1]), 0
    return np.array(blocks)


@pytest.mark.slow
def test_lstm_against_a_plain_loop(x64):
    """Every block of a driven LSTM, over (h, c), to rounding; and what must not pass."""
    n, t, burn_in = 6, 240, 40
    cell = LSTM(2, n, key=jr.key(2), dtype=jnp.float64)
    inputs = jr.normal(jr.key(3), (t, 2))
    found = lyapunov_spectrum(cell, inputs, burn_in=burn_in, key=KEY)
    assert found.value.shape == (2 * n,)
    assert found.statuses == Status.OK

    jacobians = lstm_jacobians(cell, inputs)
    frame = np.asarray(random_frame(KEY, 2 * n, 2 * n, jnp.float64))
    ends = range(10, t + 1, 10)
    warm = burn_in // 10

    def agrees(history):
        order = np.argsort(-history.mean(axis=0))
        return np.allclose(history[:, order], found.details["history"], atol=1e-9)

    right = qr_history(jacobians, frame, ends)[warm:]
    assert agrees(right)
    np.testing.assert_allclose(found.value, np.sort(right.mean(axis=0))[::-1], atol=1e-10)
    np.testing.assert_allclose(
        found.standard_error, right.std(axis=0, ddof=1)[np.argsort(-right.mean(0))] / 20**0.5
    )
    transposed = [matrix.T for matrix in jacobians]
    assert not agrees(qr_history(transposed, frame, ends)[warm:])
    assert not agrees(right / math.log(2))  # bits
    assert not agrees(qr_history(jacobians, np.eye(2 * n), ends)[warm:])  # another start
    assert not agrees(norm_history(jacobians, frame, ends)[warm:])  # averages of norms
    assert not agrees(qr_history(jacobians, frame, ends)[:-warm])  # no burn-in
    cold = qr_history(jacobians[burn_in:], frame, ends)
    assert not agrees(cold)  # the state was warmed up, the frame was not


@pytest.mark.slow
def test_burn_in_matters(x64):
    """The transient of a map that starts far out is not part of the answer; without a burn-in
    it is (mutant)."""

    def step(h, _):
        return jnp.array([0.5 * h[0], 0.9 * jnp.tanh(h[1]) - 5 * jnp.tanh(h[0])])

    warm = lyapunov_spectrum(step, state=jnp.array([8.0, 8.0]), steps=200, burn_in=400, key=KEY)
    cold = lyapunov_spectrum(step, state=jnp.array([8.0, 8.0]), steps=200, burn_in=0, key=KEY)
    exact = np.log([0.9, 0.5])
    np.testing.assert_allclose(warm.value, exact, atol=1e-9)
    assert np.max(np.abs(np.asarray(cold.value) - exact)) > 1e-3


@pytest.mark.slow
def test_transposed_jacobian_is_rejected(x64, monkeypatch):
    """Mutant, in the code itself."""
    matrices = jr.normal(jr.key(4), (60, 9)) / 2
    right = lyapunov_spectrum(multiply, matrices, state=jnp.ones(3), burn_in=0, key=KEY)
    frame = np.asarray(random_frame(KEY, 3, 3, jnp.float64))
    jacobians = np.asarray(matrices).reshape(60, 3, 3)
    plain = qr_history(jacobians, frame, range(3, 61, 3))

    def agrees(found):
        history = np.asarray(found.details["history"])
        return np.allclose(np.sort(history, axis=1), np.sort(plain, axis=1), atol=1e-9)

    assert agrees(right)

    def transposed(cell, state, x):
        new, push = true_linearise(cell, state, x)
        pull = jax.linear_transpose(push, state)
        return new, lambda v: pull(v)[0]

    true_linearise = tangent_run.linearise
    monkeypatch.setattr(tangent_run, "linearise", transposed)

    def again(h, x):
        return multiply(h, x)

    assert not agrees(lyapunov_spectrum(again, matrices, state=jnp.ones(3), burn_in=0, key=KEY))


# The sum rule and the interval.


@pytest.mark.parametrize("family", slow_but(GRU, Elman, MinimalRNN, GRU, LSTM, Residual))
def test_sum_rule(family, x64):
    cell = family(1, 8, key=jr.key(5), dtype=jnp.float64)
    inputs = jr.normal(jr.key(6), (300, 1))
    found = lyapunov_spectrum(cell, inputs, key=KEY)
    assert Status.SUM_RULE_BROKEN not in found.statuses
    assert float(found.details["residual"]) < 1e-9

    def one(state, x):
        flat, back = ravel_pytree(state)
        new, pushed = cell.step(state, x), lambda v: ravel_pytree(cell.step(back(v), x))[0]
        return new, jnp.linalg.slogdet(jax.jacrev(pushed)(flat))[1]

    _, log_dets = jax.lax.scan(one, cell.initial_state(), inputs)
    assert float(jnp.sum(found.value)) == pytest.approx(float(jnp.mean(log_dets[75:])), abs=1e-9)


def chaotic(n, gain):
    weight = gain * jr.normal(jr.key(8), (n, n)) / n**0.5
    return lambda h, _: weight @ jnp.tanh(h), jr.normal(jr.key(9), (n,))


@pytest.mark.slow
def test_interval_is_found_and_a_long_one_is_seen(x64):
    """With factorisations every 10 steps the contracting half of a chaotic spectrum is noise."""
    step, state = chaotic(40, 3.0)
    settings = {"state": state, "steps": 200, "burn_in": 100, "key": KEY}
    by_itself = lyapunov_spectrum(step, **settings)
    assert by_itself.settings["orthogonalise_every"] == 1
    assert float(by_itself.details["residual"]) < 1e-8
    assert by_itself.statuses == Status.OK
    forced = lyapunov_spectrum(step, orthogonalise_every=10, **settings)
    assert Status.SUM_RULE_BROKEN in forced.statuses
    assert float(forced.value[0]) == pytest.approx(float(by_itself.value[0]), abs=1e-9)
    assert float(forced.value[-1]) > float(by_itself.value[-1]) + 1


@pytest.mark.slow
def test_calm_network_needs_few_factorisations(x64):
    weight = 0.5 * jnp.eye(40) + 0.2 * jr.normal(jr.key(8), (40, 40)) / 40**0.5
    found = autonomous(linear(weight), 40, steps=400)
    every_step = autonomous(linear(weight), 40, steps=400, orthogonalise_every=1)
    assert found.settings["orthogonalise_every"] > 4
    np.testing.assert_allclose(found.value, every_step.value, atol=1e-9)


@pytest.mark.slow
def test_broken_interval_leads_to_a_rerun(x64):
    """Calm in the warm-up, harsh afterwards: the interval that was found is too long."""
    inputs = jnp.concatenate([jnp.zeros(200), jnp.full(200, 1.5)])

    def step(h, x):
        return jnp.exp(-jnp.arange(4.0) * x) * h

    found = lyapunov_spectrum(step, inputs, state=jnp.ones(4), burn_in=150, key=KEY)
    assert found.settings["reruns"] > 0
    assert float(found.details["residual"]) < 1e-9


@pytest.mark.slow
def test_graded_columns_are_balanced(x64):
    """Saturation before the product: J D with D from 1 to 1e-9; LU alone loses the digits."""
    weight = jr.normal(jr.key(10), (30, 30)) / 30**0.5
    sizes = 10.0 ** jnp.linspace(0, -9, 30)
    shuffled = jr.permutation(jr.key(11), sizes)
    found = autonomous(lambda h, _: weight @ (shuffled * h), 30, steps=150)
    exact = float(jnp.linalg.slogdet(weight)[1] + jnp.sum(jnp.log(sizes)))
    assert float(jnp.sum(found.value)) == pytest.approx(exact, abs=1e-8)


@pytest.mark.slow
def test_huge_contraction(x64):
    """Exponents down to -60 a step, far below rounding of the largest, by their own names."""
    sizes = np.exp(-np.linspace(0, 60, 16))
    found = autonomous(linear(np.diag(np.random.default_rng(2).permutation(sizes))), 16, steps=200)
    np.testing.assert_allclose(found.value, np.log(sizes), atol=1e-9)


# Batches, tracing, statuses, refusals.


@pytest.mark.slow
def test_batch_averages_sequences(x64):
    cell = Elman(1, 5, key=jr.key(12), dtype=jnp.float64)
    inputs = jr.normal(jr.key(13), (3, 120, 1))
    found = lyapunov_spectrum(cell, inputs, key=KEY, orthogonalise_every=2)
    alone = [lyapunov_spectrum(cell, x, key=KEY, orthogonalise_every=2).value for x in inputs]
    np.testing.assert_allclose(found.value, np.mean(alone, axis=0), atol=1e-10)
    between = np.std(alone, axis=0, ddof=1) / 3**0.5
    assert np.all(np.asarray(found.standard_error) >= between - 1e-12)


@pytest.mark.slow
def test_under_vmap_and_jit(x64):
    inputs = jr.normal(jr.key(13), (120, 1))

    def leading(key):
        cell = Elman(1, 5, key=key, dtype=jnp.float64)
        return lyapunov_spectrum(cell, inputs, key=KEY, orthogonalise_every=3).value

    keys = jr.split(jr.key(14), 3)
    together = jax.jit(jax.vmap(leading))(keys)
    np.testing.assert_allclose(together, [leading(key) for key in keys], atol=1e-10)


@pytest.mark.slow
def test_gradient_of_an_exponent(x64):
    def leading(scale):
        step = linear(np.array([[0.8, 0.3], [-0.1, 0.5]]))
        return lyapunov_spectrum(
            lambda h, _: scale * step(h, _), state=jnp.ones(2), steps=20, burn_in=10, key=KEY
        ).value[0]

    assert float(jax.grad(leading)(0.7)) == pytest.approx(1 / 0.7, abs=1e-9)


def test_resume_goes_on_where_it_stopped(x64):
    whole = autonomous(henon, 2, steps=200, burn_in=20)
    first = autonomous(henon, 2, steps=80, burn_in=20)
    second = lyapunov_spectrum(henon, state=jnp.zeros(2), steps=120, key=jr.key(0), resume=first)
    assert second.settings["burn_in"] == 0
    pooled = 0.4 * first.value + 0.6 * second.value
    np.testing.assert_allclose(pooled, whole.value, atol=1e-8)


@pytest.mark.slow
def test_nan_in_nan_out(x64):
    cell = Elman(1, 5, key=jr.key(12), dtype=jnp.float64)
    inputs = jr.normal(jr.key(13), (120, 1)).at[60].set(jnp.nan)
    found = lyapunov_spectrum(cell, inputs, key=KEY, throw=False)
    assert bool(jnp.all(jnp.isnan(found.value)))
    assert Status.NOT_FINITE in found.statuses
    with pytest.raises(UntrustedError, match="finite"):
        lyapunov_spectrum(cell, inputs, key=KEY)


@pytest.mark.slow
def test_infinite_input_is_no_number(x64):
    """tanh(inf) is 1 with slope 0, which would look like an exponent of -inf."""
    cell = Elman(1, 5, key=jr.key(12), dtype=jnp.float64)
    inputs = jr.normal(jr.key(13), (120, 1)).at[60].set(jnp.inf)
    found = lyapunov_spectrum(cell, inputs, key=KEY, throw=False)
    assert bool(jnp.all(jnp.isnan(found.value)))


@pytest.mark.slow
def test_single_precision():
    found = autonomous(linear(np.diag([0.9, 0.5]).astype(np.float32)), 2, steps=200)
    np.testing.assert_allclose(found.value, np.log([0.9, 0.5]), atol=1e-5)
    assert found.value.dtype == jnp.float32
    assert found.statuses == Status.LOW_PRECISION
    leading = autonomous(
        linear(np.diag([0.9, 0.5]).astype(np.float32)), 2, steps=200, num_exponents=1
    )
    assert leading.statuses == Status.OK


@pytest.mark.slow
def test_drift_is_not_converged(x64):
    found = lyapunov_spectrum(
        lambda h, x: (1 + x) * h,
        jnp.linspace(0, 1, 200),
        state=jnp.ones(1),
        burn_in=0,
        key=KEY,
    )
    assert Status.NOT_CONVERGED in found.statuses


@pytest.mark.slow
def test_cells_of_one_family_share_a_compilation(x64):
    inputs = jr.normal(jr.key(13), (120, 1))
    traces = []

    class Probe(FunctionCell):
        def step(self, state, x):
            traces.append(None)
            return super().step(state, x)

    def leak(h, x):
        return 0.5 * h + x

    for start in (0.0, 1.0, 2.0):
        lyapunov_spectrum(Probe(leak, jnp.full(3, start), 1), inputs, key=KEY)
        if start == 0.0:
            once = len(traces)
    assert len(traces) == once


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_exponents": 6}, r"num_exponents must lie in 1..5, got 6"),
        ({"burn_in": 119}, r"burn_in \+ steps must lie in 2..120"),
        ({"burn_in": -1}, "burn_in must lie in 0"),
        ({"orthogonalise_every": 0}, "orthogonalise_every must lie in 1"),
        ({"num_blocks": 1}, "num_blocks must lie in 2"),
    ],
)
def test_wrong_arguments(settings, message, x64):
    cell = Elman(1, 5, key=jr.key(12), dtype=jnp.float64)
    with pytest.raises(ValueError, match=message):
        lyapunov_spectrum(cell, jnp.zeros((120, 1)), key=KEY, **settings)


def test_autonomous_needs_steps(x64):
    with pytest.raises(ValueError, match="steps must be given"):
        lyapunov_spectrum(henon, state=jnp.zeros(2), key=KEY)
    cell = Elman(1, 5, key=jr.key(12), dtype=jnp.float64)
    silent = lyapunov_spectrum(cell, steps=100, key=KEY)
    zeros = lyapunov_spectrum(cell, jnp.zeros((200, 1)), burn_in=100, key=KEY)
    np.testing.assert_allclose(silent.value, zeros.value, atol=1e-12)


# One matrix for all gates.


@pytest.mark.slow
@pytest.mark.parametrize("family", [Elman, MinimalRNN, GRU, LSTM, PeepholeLSTM, Residual])
def test_sum_of_gates_is_the_jacobian(family, x64):
    cell = family(2, 6, key=jr.key(2), dtype=jnp.float64)
    x = jnp.array([0.3, -1.0])
    state = jax.tree.map(lambda leaf: leaf + 0.4, cell.initial_state())
    assert bool(acts_unit_by_unit(cell, state, x))
    new, push_all = linearise_unit_by_unit(cell, state, x)
    expected, dense = jacobian(cell, state, x)
    np.testing.assert_allclose(push_all(jnp.eye(len(dense))), dense, atol=1e-14)
    np.testing.assert_allclose(ravel_pytree(new)[0], ravel_pytree(expected)[0], atol=1e-15)


class Normalised(PointwiseCell):
    """It mixes its products, and so breaks the promise of its class."""

    recurrent: jax.Array
    input_size: int = 1
    hidden_size: int = 4

    def initial_state(self):
        return jnp.full(4, 0.1)

    def read(self, state):
        return state

    def project(self, xs):
        return xs[..., :1]

    def combine(self, state, drive, product):
        return jnp.tanh(product - jnp.mean(product) + drive)


@pytest.mark.slow
def test_mixed_products_are_found_out(x64):
    cell = Normalised(jr.normal(jr.key(0), (4, 4)))
    inputs = jr.normal(jr.key(1), (200, 1))
    assert not bool(acts_unit_by_unit(cell, cell.initial_state(), inputs[0]))
    found = lyapunov_spectrum(cell, inputs, key=KEY, num_exponents=3)
    bare = lyapunov_spectrum(
        lambda h, x: cell.step(h, x),
        inputs,
        state=cell.initial_state(),
        key=KEY,
        num_exponents=3,
    )
    np.testing.assert_allclose(found.value, bare.value, atol=1e-9)
