"""Propagation of two inputs, in NumPy alone."""

import math

import jax.numpy as jnp
import jax.random as jr
import numpy as np

import echoic

N, STEPS = 3, 4


def weights():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, N)), rng.normal(size=(N, 1)), *rng.normal(size=(2, STEPS))


def of_signal_propagation():
    w, v, first, second = weights()

    def cosines(w, centred=False):
        states, found = np.zeros((2, N)), []
        for pair in zip(first, second, strict=True):
            states = np.tanh(states @ w.T + np.array(pair)[:, None] * v[:, 0])
            a, b = states - centred * states.mean(axis=1, keepdims=True)
            found.append(a @ b / math.sqrt((a @ a) * (b @ b)))
        return np.array(found)

    wrong = {
        "W transposed": cosines(w.T),
        "means taken off": cosines(w, centred=True),
        "squares": cosines(w) ** 2,
        "untied from the state": cosines(0 * w),
    }

    def step(h, x):
        return jnp.tanh(jnp.asarray(w) @ h + jnp.asarray(v) @ x)

    found = echoic.signal_propagation(step, first, second, state=jnp.zeros(N))
    return found.value, cosines(w), wrong, 1e-12


def of_untied_propagation():
    """One step from silence: E[tanh a tanh b] / E[tanh^2 a] of Gaussians, by quadrature."""
    nodes, mass = np.polynomial.hermite_e.hermegauss(60)
    mass = np.outer(mass, mass) / np.sum(mass) ** 2
    a = nodes[:, None]

    def cosine(spread, share):
        first = np.tanh(spread * a + 0 * nodes)
        second = np.tanh(spread * (share * a + math.sqrt(1 - share**2) * nodes))
        return np.sum(mass * first * second) / np.sum(mass * first**2)

    found = echoic.untied_propagation(
        "vanilla",
        jnp.full(1, 0.8),
        0.5,
        recurrent_variance=1.0,
        input_variance=4.0,
        size=200_000,
        key=jr.key(0),
    )
    spread = math.sqrt(4.0 * 0.8)
    wrong = {
        "linear": 0.5,
        "a correlation of inputs' squares": cosine(spread, 0.25),
        "variance for deviation": cosine(spread**2, 0.5),
    }
    return found.value[0], cosine(spread, 0.5), wrong, 0.004


def of_jacobian_moments():
    w, v, *_ = weights()

    class Line(echoic.AbstractCell):
        input_size: int = 1
        hidden_size: int = N

        def initial_state(self):
            return jnp.zeros(N)

        def step(self, state, x):
            return jnp.asarray(w) @ state + jnp.asarray(v) @ x

        def read(self, state):
            return state

    products = [np.linalg.matrix_power(w, k) for k in (1, 2)]
    right = np.array([np.sum(p**2) / N for p in products])
    spectrum = np.abs(np.linalg.eigvals(w))
    wrong = {
        "eigenvalues": np.array([np.mean(spectrum ** (2 * k)) for k in (1, 2)]),
        "sums": N * right,
        "powers of one step": right[0] ** np.array([1, 2]),
    }
    found = echoic.jacobian_moments(lambda key: Line(), np.ones(4), steps=2, key=jr.key(0))
    return found.value, right, wrong, 1e-12


def of_fit_timescale():
    decay = 0.4 - 0.5 * np.exp(-np.arange(30) / 6)
    wrong = {"a rate": 1 / 6, "in twos": 6 * math.log(2), "of the square": 3.0}
    return echoic.fit_timescale(decay, 0.4).value, 6.0, wrong, 1e-9


ORACLES = {
    "signal_propagation": of_signal_propagation,
    "untied_propagation": of_untied_propagation,
    "jacobian_moments": of_jacobian_moments,
    "fit_timescale": of_fit_timescale,
}


def test_right_passes_and_wrong_does_not(oracle, assert_oracle, x64):
    assert_oracle(*oracle())
