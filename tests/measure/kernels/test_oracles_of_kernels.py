"""Tangent kernels and responses of one unit, derived by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import echoic
from echoic.core.cell import AbstractCell

W, F, C = 0.6, 1.3, 0.8
X = np.array([0.7, -1.1, 0.4])


class Unit(AbstractCell):
    """h' = act(w h + f x)."""

    w: jax.Array
    f: jax.Array
    saturates: bool = eqx.field(static=True, default=False)
    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return jnp.zeros_like(self.w)

    def step(self, state, x):
        total = self.w * state + self.f * x
        return jnp.tanh(total) if self.saturates else total

    def read(self, state):
        return state


def unit(w=W, f=F, saturates=False):
    return Unit(jnp.array([w]), jnp.array([f]), saturates)


def derivatives(w=W, f=F, x=X):
    """Of each output in w and f: dh_t/dw = h_{t-1} + w dh_{t-1}/dw, and so for f."""
    h, by_w, by_f, rows = 0.0, 0.0, 0.0, []
    for now in x:
        by_w, by_f, h = h + w * by_w, now + w * by_f, w * h + f * now
        rows.append((by_w, by_f))
    return np.array(rows)


def kernel(w=W, x=X):
    rows = derivatives(w, x=x)
    return rows @ rows.T


def of_tangent_kernel():
    rows = derivatives()
    wrong = {
        "of the recurrent weight alone": np.outer(rows[:, 0], rows[:, 0]),
        "of the input weight alone": np.outer(rows[:, 1], rows[:, 1]),
        "times in reverse": kernel()[::-1, ::-1],
        "no recurrence": kernel(0.0),
    }
    return echoic.tangent_kernel(unit(), X).value[:, 0, :, 0], kernel(), wrong, 1e-12


def lags(a=W, f=F, c=C, rates=(1, 1, 1)):
    """d L_j / d (a, f, c) of L_j = c a^j f, weighted by the roots of the rates."""
    rows = [(j * c * a ** (j - 1) * f if j else 0, c * a**j, a**j * f) for j in range(3)]
    return np.array(rows) * np.sqrt(rates)


def of_lag_kernel():
    rows, rates = lags(rates=(0.5, 1, 2)), (0.5, 1, 2)
    wrong = {
        "rates of others": lags(rates=(2, 1, 0.5)) @ lags(rates=(2, 1, 0.5)).T,
        "one rate": lags() @ lags().T,
        "rates, not their roots": (rows * np.sqrt(rates)) @ (rows * np.sqrt(rates)).T,
        "W untrained": rows[:, 1:] @ rows[:, 1:].T,
    }
    found = echoic.lag_kernel([[W]], [[F]], [[C]], 2, rates=(0.5, 2, 1)), rows @ rows.T
    moved = echoic.lag_kernel([[W]], [[F]], [[C]], 2, rates=rates)[:, 0, 0, :, 0, 0]
    assert not np.allclose(found[0][:, 0, 0, :, 0, 0], moved)  # their order: W, F, C
    return moved, rows @ rows.T, wrong, 1e-12


def of_linear_tangent_kernel():
    def outputs(x):
        return np.array([sum(lags()[j] * x[t - j] for j in range(t + 1)) for t in range(len(x))])

    right = outputs(X) @ outputs(X).T
    wrong = {
        "input in reverse": outputs(X[::-1]) @ outputs(X[::-1]).T,
        "lags in reverse": right[::-1, ::-1],
        "amplitudes": np.sign(right) * np.sqrt(np.abs(right)),
    }
    found = echoic.linear_tangent_kernel([[W]], [[F]], [[C]], X, rates=(1, 1, 1))
    return found[:, 0, :, 0], right, wrong, 1e-12


def distance(first, second):
    norm, other = np.linalg.norm(first), np.linalg.norm(second)
    return np.array(
        [np.linalg.norm(second - first) / norm, 1 - np.sum(first * second) / norm / other]
    )


def of_kernel_distance():
    first, second = kernel(), kernel(0.2)
    right = distance(first, second)
    wrong = {
        "the other way round": distance(second, first),
        "spectral norms": np.linalg.norm(second - first, 2) / np.linalg.norm(first, 2),
        "squares": right**2,
    }
    return np.array(echoic.kernel_distance(first, second)), right, wrong, 1e-12


def of_kernel_drift():
    found = echoic.kernel_drift([unit(), unit(0.2), unit(0.5)], X)
    others = [distance(kernel(), kernel(w))[0] for w in (W, 0.2, 0.5)]
    steps = [0, others[1], distance(kernel(0.2), kernel(0.5))[0]]
    wrong = {"from the one before": steps, "from the last": others[::-1]}
    return found.value, np.array(others), wrong, 1e-12


def response(w=W, f=F):
    """d h_2 / d x_{2-j} of the saturating unit."""
    h, slopes = 0.0, []
    for now in X:
        h = np.tanh(w * h + f * now)
        slopes.append(1 - h**2)
    return np.array(
        [
            f * slopes[2],
            w * slopes[2] * f * slopes[1],
            w * slopes[2] * w * slopes[1] * f * slopes[0],
        ]
    )


def of_impulse_response():
    wrong = {
        "oldest first": response()[::-1],
        "at rest": F * W ** np.arange(3),
        "per unit of drive": response() / F,
    }
    found = echoic.impulse_response(unit(saturates=True), X, max_lag=2)
    return found.value[:, 0, 0], response(), wrong, 1e-12


def of_learned_response():
    before, after = response(), response(0.7, 1.2)
    wrong = {"what was there": before, "what is there": after, "unlearned": before - after}
    both = unit(saturates=True), unit(0.7, 1.2, saturates=True)
    found = echoic.learned_response(*both, X, max_lag=2)
    return found.value[:, 0, 0], after - before, wrong, 1e-12


ORACLES = {
    "tangent_kernel": of_tangent_kernel,
    "lag_kernel": of_lag_kernel,
    "linear_tangent_kernel": of_linear_tangent_kernel,
    "kernel_distance": of_kernel_distance,
    "kernel_drift": of_kernel_drift,
    "impulse_response": of_impulse_response,
    "learned_response": of_learned_response,
}
SLOW = ("kernel_drift", "learned_response")  # they repeat what stands before them


def test_right_passes_and_wrong_does_not(oracle, assert_oracle, x64):
    assert_oracle(*oracle())
