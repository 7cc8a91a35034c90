"""What is made of Lyapunov exponents: the right answer passes, wrong ones do not."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import echoic
from echoic.core.cell import AbstractCell
from echoic.core.linalg import random_frame

KEY = jr.key(3)
BURN_IN, STEPS = 20, 100


class Unit(AbstractCell):
    """h' = tanh(w h + x), one unit."""

    w: jax.Array
    input_size: int = 1
    hidden_size: int = 1

    def initial_state(self):
        return jnp.zeros_like(self.w)

    def step(self, state, x):
        return jnp.tanh(self.w * state + x)

    def read(self, state):
        return state


def unit(w):
    return Unit(jnp.array([w]))


def logs(w, xs):
    """log|dh'/dh| of the unit at each step after the burn-in, by NumPy."""
    h, found = 0.0, []
    for x in xs:
        h = math.tanh(w * h + x)
        found.append(math.log(abs(w * (1 - h * h))))
    return np.array(found[BURN_IN:])


def series(*shape):
    return np.random.default_rng(1).normal(size=shape) + 0.3


def delayed(h, _):
    """The delayed logistic map on its closed curve: never the same, and no chaos that would make
    rounding grow."""
    return jnp.array([2.1 * h[0] * (1 - h[1]), h[0]])


def delayed_exponents(steps, burn_in, factors=np.linalg.qr):
    h, sums = np.full(2, 0.1), np.zeros(2)
    frame = np.asarray(random_frame(KEY, 2, 2, jnp.float64))
    for t in range(steps + burn_in):
        jacobian = np.array([[2.1 * (1 - h[1]), -2.1 * h[0]], [1.0, 0.0]])
        h = np.array([2.1 * h[0] * (1 - h[1]), h[0]])
        frame, upper = factors(jacobian @ frame)
        sums += np.log(np.abs(np.diagonal(upper))) * (t >= burn_in)
    return sums / steps


def of_join_runs():
    """Two runs of unequal lengths are one without a break."""
    settings = {"state": jnp.full(2, 0.1), "key": KEY}
    first = echoic.lyapunov_spectrum(delayed, steps=40, burn_in=BURN_IN, **settings)
    second = echoic.lyapunov_spectrum(delayed, steps=80, resume=first, **settings)
    right = delayed_exponents(120, BURN_IN)
    wrong = {
        "the second alone": second.value,
        "equal weights": (first.value + second.value) / 2,
        "without burn-in": delayed_exponents(120, 0),
        "bits": right / math.log(2),
    }
    return echoic.join_runs(first, second).value, right, wrong, 1e-8


def of_until():
    """The rule stops after the second of three chunks, or goes on to the last."""
    settings = {"state": jnp.full(2, 0.1), "key": KEY, "chunk": 40, "burn_in": BURN_IN}
    loose = echoic.lyapunov_until(delayed, tolerance=10.0, max_steps=120, **settings)
    tight = echoic.lyapunov_until(delayed, tolerance=0.0, max_steps=120, **settings)

    def both(early, late):
        return np.array([early, late])

    exponents = {steps: delayed_exponents(steps, BURN_IN) for steps in (40, 80, 120)}
    wrong = {
        "the first chunk is enough": both(exponents[40], exponents[120]),
        "never stops": both(exponents[120], exponents[120]),
        "always stops": both(exponents[80], exponents[80]),
    }
    right = both(exponents[80], exponents[120])
    return both(loose.value, tight.value), right, wrong, 1e-8


def made_up_run(rates, *, complete=True):
    """A result of `lyapunov_spectrum` with the given growth (b, blocks, k)."""
    k = rates.shape[2]
    details = {
        "growth": jnp.asarray(rates),
        "block_steps": jnp.full(rates.shape[1], 50),
        "final_frame": jnp.zeros((rates.shape[0], k if complete else k + 1, k)),
    }
    return echoic.Estimate(np.mean(rates, axis=(0, 1)), None, 0, None, details)


def correlated_rates():
    """Blocks of three exponents, of which the first two go up and down together."""
    rng = np.random.default_rng(4)
    common, own = rng.normal(size=(2, 1, 24, 1))
    mean = np.array([0.5, 0.1, -1.0])
    return mean + 0.02 * np.concatenate([common, common, own], axis=2)


def of_convergence():
    """An error of twice the wanted one needs four times as many steps."""
    rates = correlated_rates()
    error = np.std(rates[0], axis=0, ddof=1) / 24**0.5
    found = echoic.lyapunov_convergence(made_up_run(rates), 0.5 * float(error[0]))
    gap = rates[0] - rates[0].mean(axis=0)
    correlation = (gap[1:] * gap[:-1]).sum(axis=0) / (gap**2).sum(axis=0)
    halves = rates[0, :12], rates[0, 12:]
    variance = sum(half.var(axis=0, ddof=1) / 12 for half in halves)
    drift = np.abs(halves[0].mean(axis=0) - halves[1].mean(axis=0)) / np.sqrt(variance)
    steps = np.ceil(24 * 50 * (error / (0.5 * error[0])) ** 2)
    right = np.array([steps, correlation, drift, rates[0, :5].mean(axis=0)])
    measured = np.array([found.steps_needed, found.correlation, found.drift, found.running[4]])
    wrong = {
        "errors fall like 1/T": np.array([steps / 2, *right[1:]]),
        "in blocks": np.array([steps / 50, *right[1:]]),
        "of one half": np.array([*right[:2], drift * 2**0.5, right[3]]),
        "block by block": np.array([*right[:3], rates[0, 4]]),
    }
    return measured, right, wrong, 1e-9


def of_dimension():
    """Known spectra, and the error that correlated exponents leave: a jackknife over blocks."""
    known = [
        [0.5, 0.0, -1.0],
        [0.9056, 0.0, -14.5723],  # Lorenz 1963: Sprott 2003 gives 2.06215
        [-0.1, -0.2, -math.inf],
        [-math.inf] * 3,
        [-1.0, 0.3, 0.2],
        [0.2, 0.1, 0.1],
    ]
    rates = correlated_rates()
    found = echoic.kaplan_yorke_dimension(made_up_run(rates))
    values = [float(echoic.kaplan_yorke_dimension(np.array(each)).value) for each in known]
    measured = np.array([*values, float(found.value), 1e3 * float(found.standard_error)])

    def dimension(exponents):
        return 2 + (exponents[0] + exponents[1]) / -exponents[2]

    blocks = rates[0]
    mean = blocks.mean(axis=0)
    left_out = np.array([dimension(np.delete(blocks, i, axis=0).mean(axis=0)) for i in range(24)])
    error = math.sqrt(23 / 24 * np.sum((left_out - left_out.mean()) ** 2))
    each = blocks.std(axis=0, ddof=1) / 24**0.5
    alone = math.sqrt(each[0] ** 2 + each[1] ** 2 + (mean[:2].sum() * each[2]) ** 2)
    right = np.array([2.5, 2.06215, 0, 0, 2.5, 3, dimension(mean), 1e3 * error])
    wrong = {
        "number of positive ones": np.array([1, 1, 0, 0, 2, 3, 2, 1e3 * error]),
        "over the last exponent": np.array([1.5, 1.06215, 0, 0, 1.5, 3, *right[6:]]),
        "unsorted": np.array([*right[:4], 0, *right[5:]]),
        "errors as if independent": np.array([*right[:7], 1e3 * alone]),
    }
    return measured, right, wrong, 2e-2


def of_entropy():
    rates = correlated_rates()
    found = echoic.entropy_rate(made_up_run(rates))
    known = [[0.5, 0.25, -1.0], [-1.0, 0.25, 0.5], [-0.1, -math.inf, -2.0]]
    values = [float(echoic.entropy_rate(np.array(each)).value) for each in known]
    measured = np.array([*values, float(found.value), float(found.standard_error)])
    total = rates[0, :, :2].sum(axis=1)
    error = total.std(ddof=1) / 24**0.5
    right = np.array([0.75, 0.75, 0, total.mean(), error])
    wrong = {
        "the largest alone": np.array([0.5, 0.5, 0, 0.5, error]),
        "of all": np.array([-0.25, -0.25, -math.inf, total.mean() - 1, error]),
        "bits": right / math.log(2),
        "errors as if independent": np.array([*right[:4], error / 2**0.5]),
    }
    return measured, right, wrong, 1e-9


def of_jacobians():
    """A product of random matrices, by QR at every step."""
    matrices = np.random.default_rng(0).normal(size=(BURN_IN + STEPS, 3, 3))

    def exponents(jacobians, factors=np.linalg.qr):
        frame, sums = np.asarray(random_frame(KEY, 3, 3, jnp.float64)), 0
        for t, jacobian in enumerate(jacobians):
            frame, upper = factors(jacobian @ frame)
            sums = sums + np.log(np.abs(np.diagonal(upper))) * (t >= BURN_IN)
        return np.sort(sums / STEPS)[::-1]

    found = echoic.lyapunov_from_jacobians(matrices, burn_in=BURN_IN, key=KEY)
    wrong = {
        "transposed": exponents(matrices.transpose(0, 2, 1)),
        "newest first": exponents(matrices[::-1]),
        "identities for states": np.zeros(3),
    }
    return found.value, exponents(matrices), wrong, 1e-9


def of_ensemble():
    """Mean, error of the mean, and the scatter over networks and over inputs."""
    xs, ws = series(2, BURN_IN + STEPS), (0.7, -1.3)
    found = echoic.lyapunov_ensemble(
        [unit(w) for w in ws], xs[:, :, None], burn_in=BURN_IN, key=KEY
    )
    measured = np.array([
        found.value[0], found.standard_error[0],
        found.details["between_networks"][0], found.details["between_inputs"][0],
    ])  # fmt: skip
    each = np.array([[logs(w, x).mean() for x in xs] for w in ws])
    networks = each.mean(axis=1).std(ddof=1)
    inputs = math.sqrt(each.var(axis=1, ddof=1).mean())
    right = np.array([each.mean(), networks / 2**0.5, networks, inputs])
    wrong = {
        "the median of absolute weights": np.array([math.log(1.0), *right[1:]]),
        "scatter for error": np.array([right[0], networks, *right[2:]]),
        "error over all runs": np.array([right[0], each.std(ddof=1) / 2, *right[2:]]),
        "biased variance": np.array([*right[:3], inputs / 2**0.5]),
    }
    return measured, right, wrong, 1e-9


def of_input_effect():
    """Driven less at rest, with the input at zero and at its mean."""
    xs, w = series(2, BURN_IN + STEPS), 0.7

    def difference(rest):
        found = echoic.driven_minus_autonomous(
            unit(w), xs[:, :, None], rest=rest, burn_in=BURN_IN, key=KEY
        )
        return float(found.value[0])

    def exponent(driven):
        return np.mean([logs(w, x).mean() for x in driven])

    at_mean = np.broadcast_to(xs.mean(axis=1, keepdims=True), xs.shape)
    driven, still, mean = exponent(xs), exponent(0 * xs), exponent(at_mean)
    right = np.array([driven - still, driven - mean])
    wrong = {
        "the other way round": -right,
        "driven alone": np.array([driven, driven]),
        "zero for mean": np.array([driven - still, driven - still]),
        "the mean of all": np.array([driven - still, driven - exponent(xs * 0 + xs.mean())]),
    }
    return np.array([difference("zero"), difference("mean")]), right, wrong, 1e-9


def of_windows():
    """Sums of logarithms over windows of 5 steps."""
    xs, w, window = series(2, BURN_IN + STEPS), 0.7, 5
    found = echoic.finite_time_exponents(
        unit(w), xs[:, :, None], window=window, burn_in=BURN_IN, key=KEY
    )
    each = np.array([logs(w, x) for x in xs])
    right = each.reshape(2, -1, window).mean(axis=2)
    variance = window * right.var(ddof=1)
    measured = np.append(found.value[:, :, 0], found.details["variance"])
    wrong = {
        "sums": np.append(window * right, variance),
        "running averages": np.append(
            np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1), variance
        ),
        "variance of the average": np.append(right, right.var(ddof=1)),
    }
    return measured, np.append(right, variance), wrong, 1e-9


def of_covariant_vectors():
    """Eigenvectors of a matrix that is not normal, as projectors."""
    basis = np.array([[1.0, 0.8], [0.0, 0.6]])
    matrix = basis @ np.diag([0.9, 0.3]) @ np.linalg.inv(basis)
    found = echoic.covariant_vectors(
        lambda h, _: jnp.asarray(matrix) @ h, state=jnp.zeros(2), steps=3, key=KEY
    )

    def projectors(vectors):
        vectors = vectors / np.linalg.norm(vectors, axis=0)
        return np.einsum("ik,jk->kij", vectors, vectors)

    wrong = {
        "the frame": projectors(np.eye(2)),
        "left eigenvectors": projectors(np.linalg.inv(basis).T),
        "the smallest first": projectors(basis[:, ::-1]),
    }
    return projectors(np.asarray(found.details["vectors"][1])), projectors(basis), wrong, 1e-9


def penalty_of(w, xs, target=-0.2):
    return (logs(w, xs).mean() - target) ** 2


def of_flossing_penalty():
    """Value and slope in the weight; the trajectory moves with it."""
    xs, w, step = series(BURN_IN + STEPS), 0.7, 1e-6
    settings = {"burn_in": BURN_IN, "key": KEY}

    def penalty(w):
        return echoic.flossing_penalty(Unit(w), xs[:, None], target=-0.2, **settings)

    value, slope = jax.value_and_grad(penalty)(jnp.array([w]))
    exponent, value_by_hand = logs(w, xs).mean(), penalty_of(w, xs)
    difference = (penalty_of(w + step, xs) - penalty_of(w - step, xs)) / (2 * step)
    wrong = {
        "a frozen trajectory": [value_by_hand, 2 * (exponent + 0.2) / w],
        "no target": [exponent**2, difference],
        "target of the other sign": [penalty_of(w, xs, 0.2), difference],
        "half the slope": [value_by_hand, difference / 2],
    }
    measured, right = np.array([value, slope[0]]), np.array([value_by_hand, difference])
    return measured, right, wrong, 1e-7


def of_floss():
    """Adam's first step is as long as the learning rate, downhill."""
    xs, w, rate = series(BURN_IN + STEPS), 0.7, 0.01
    flossed, penalty = echoic.floss(
        unit(w), xs[:, None], target=-0.2, iterations=1, learning_rate=rate,
        burn_in=BURN_IN, key=KEY,
    )  # fmt: skip
    value = penalty_of(w, xs)
    slope = (penalty_of(w + 1e-6, xs) - penalty_of(w - 1e-6, xs)) / 2e-6
    wrong = {
        "uphill": [w + rate * np.sign(slope), value],
        "steepest descent": [w - rate * slope, value],
        "stands still": [w, value],
    }
    right = np.array([w - rate * np.sign(slope), value])
    return np.array([flossed.w[0], penalty[0]]), right, wrong, 1e-7


ORACLES = {
    "join_runs": of_join_runs,
    "lyapunov_until": of_until,
    "lyapunov_convergence": of_convergence,
    "kaplan_yorke_dimension": of_dimension,
    "entropy_rate": of_entropy,
    "lyapunov_from_jacobians": of_jacobians,
    "lyapunov_ensemble": of_ensemble,
    "driven_minus_autonomous": of_input_effect,
    "finite_time_exponents": of_windows,
    "covariant_vectors": of_covariant_vectors,
    "flossing_penalty": of_flossing_penalty,
    "floss": of_floss,
}


# These compile a loop of their own each.
SLOW = {
    "lyapunov_from_jacobians",
    "lyapunov_ensemble",
    "driven_minus_autonomous",
    "finite_time_exponents",
    "covariant_vectors",
    "flossing_penalty",
    "floss",
}


def test_right_passes_and_wrong_does_not(oracle, assert_oracle, x64):
    assert_oracle(*oracle())
