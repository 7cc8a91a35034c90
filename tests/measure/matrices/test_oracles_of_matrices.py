"""Measures of one matrix and of linear networks: the right answer passes, wrong ones do not."""

import math

import jax.numpy as jnp
import jax.random as jr
import numpy as np

import echoic

N, LAGS = 5, 4


def matrix(radius=0.9):
    w = np.random.default_rng(0).normal(size=(N, N))
    return w * radius / np.abs(np.linalg.eigvals(w)).max()


def source():
    return np.random.default_rng(1).normal(size=N)


def powers(w, count=300):
    return np.array([np.linalg.matrix_power(w, k) for k in range(count)])


def of_henrici_departure(measure=echoic.henrici_departure):
    w = matrix()
    spectrum, norm = np.linalg.eigvals(w), np.linalg.norm(w)
    right = math.sqrt(norm**2 - np.sum(np.abs(spectrum) ** 2))
    wrong = {
        "not a root": right**2,
        "squares, not moduli": math.sqrt(norm**2 - np.sum(spectrum**2).real),
        "relative": right / norm,
        "singular values": math.sqrt(abs(norm**2 - np.linalg.norm(w, 2) ** 2)),
        "commutator": np.linalg.norm(w.T @ w - w @ w.T),
    }
    return measure(w).value, right, wrong, 1e-9


def of_nonnormality():
    return of_henrici_departure(echoic.nonnormality)


def of_schur_profile():
    """A triangle whose eigenvalues stand in order is its own Schur form."""
    w = np.triu(np.random.default_rng(0).normal(size=(N, N)), 1) + np.diag(0.9 ** np.arange(N))
    right = np.array([np.sum(np.diagonal(w, d) ** 2) for d in range(N)])
    wrong = {
        "ascending order": np.array([np.sum(np.diagonal(w[::-1, ::-1], d) ** 2) for d in range(N)]),
        "amplitudes": np.sqrt(right),
        "means": right / (N - np.arange(N)),
        "from the first super-diagonal": np.append(right[1:], 0),
    }
    return echoic.schur_profile(w).value, right, wrong, 1e-9


def of_numerical_radius():
    w = matrix()
    turns = np.exp(1j * np.linspace(0, np.pi, 4001))[:, None, None] * w
    right = np.linalg.eigvalsh(0.5 * (turns + turns.conj().transpose(0, 2, 1)))[:, -1].max()
    wrong = {
        "spectral norm": np.linalg.norm(w, 2),
        "spectral radius": 0.9,
        "half the norm": 0.5 * np.linalg.norm(w, 2),
    }
    return echoic.numerical_radius(w).value, right, wrong, 1e-6


def of_pseudospectrum():
    w, axis = matrix(), np.linspace(-1.5, 1.5, 5)
    z = (axis[None] + 1j * axis[:, None])[:, :, None, None]

    def smallest(z, w):
        return np.linalg.svd(z * np.eye(N) - w, compute_uv=False)[:, :, -1]

    right = smallest(z, w)
    spectrum = np.linalg.eigvals(w)
    wrong = {
        "distance to the spectrum": np.min(np.abs(z[..., 0] - spectrum), axis=2),
        "resolvent norm": 1 / right,
        "axes exchanged": right.T,
        "W + z": smallest(-z, w),
    }
    return echoic.pseudospectrum(w, extent=1.5, points=5).value, right, wrong, 1e-9


def of_kreiss_constant():
    """``(r - 1) / sigma_min(r - W)`` of a line: the same all around each circle."""
    w, radii = 3 * np.eye(N, k=-1), 1 + np.geomspace(1e-3, 30, 20_000)
    smallest = np.linalg.svd(radii[:, None, None] * np.eye(N) - w, compute_uv=False)[:, -1]
    right = np.max((radii - 1) / smallest)
    wrong = {
        "continuous time": np.max(radii / smallest),
        "growth": 3.0 ** (N - 1),
        "normal": 1.0,
        "at |z| = 2": 1 / np.interp(2, radii, smallest),
    }
    return echoic.kreiss_constant(w).value, right, wrong, 1e-5 * right


def of_transient_growth():
    w = matrix() + 1.2 * np.eye(N, k=-1)
    w *= 0.95 / np.abs(np.linalg.eigvals(w)).max()
    each = powers(w)
    norms = np.linalg.norm(each, 2, axis=(1, 2))
    right = norms.max()
    wrong = {
        "Frobenius norms": np.linalg.norm(each, axis=(1, 2)).max(),
        "numerical abscissa": np.linalg.eigvalsh(0.5 * (w + w.T))[-1],
        "the norm alone": norms[1],
        "in nats": math.log(right),
    }
    assert np.argmax(norms) > 1
    return echoic.transient_growth(w).value, right, wrong, 1e-9


def of_effective_spectral_radius():
    w = matrix()
    leaky = 0.7 * np.eye(N) + 0.3 * w
    right = np.abs(np.linalg.eigvals(leaky)).max()
    found = echoic.effective_spectral_radius(
        lambda h, x: 0.7 * h + 0.3 * jnp.tanh(jnp.asarray(w) @ h + x), state=jnp.zeros(N)
    )
    wrong = {
        "of W": 0.9,
        "leak and radius": 0.7 + 0.3 * 0.9,
        "norm": np.linalg.norm(leaky, 2),
    }
    return found.value, right, wrong, 1e-9


def of_chain_motif():
    """A delay line with random lesser weights that do not alter the order of the peaks."""
    rng = np.random.default_rng(2)
    order = rng.permutation(N)
    w = np.zeros((N, N))
    w[order[1:], order[:-1]] = 0.9 + 0.1 * rng.uniform(size=N - 1)
    w[order[0], order[1:]] = 1e-3 * rng.normal(size=N - 1)
    feed = np.eye(N)[order[0]]
    found = echoic.chain_motif(
        lambda h, x: jnp.asarray(w) @ h + jnp.asarray(feed) * x,
        matrix=w,
        state=jnp.zeros(N),
        key=jr.key(0),
        steps=20,
        permutations=19,
    )

    def profile(w, order):
        ordered = w[np.ix_(order, order)]
        return np.array([np.mean(np.diagonal(ordered, -d)) for d in range(1 - N, N)])

    right = profile(w, order)
    wrong = {
        "row form": profile(w.T, order),
        "late units first": profile(w, order[::-1]),
        "no order": profile(w, np.arange(N)),
        "magnitudes": profile(np.abs(w), order),
    }
    return found.value, right, wrong, 1e-9


def memory_matrix(w, steps, noise=0):
    each = powers(w, steps)
    inverse = np.linalg.inv(np.sum(each[noise:] @ each[noise:].transpose(0, 2, 1), axis=0))
    return np.sum(each.transpose(0, 2, 1) @ inverse @ each, axis=0)


def of_fisher_capacity():
    w, v = matrix(), source()
    m, size = memory_matrix(w, 400), v @ v
    right = v @ m @ v / size
    wrong = {
        "v as it is": v @ m @ v,
        "W transposed": v @ memory_matrix(w.T, 400) @ v / size,
        "newest noise left out": v @ memory_matrix(w, 400, 1) @ v / size,
        "mean over directions": np.trace(m) / N,
        "best direction": np.linalg.eigvalsh(m)[-1],
    }
    return echoic.fisher_capacity(w, source=v).value, right, wrong, 1e-8


def of_fisher_bound():
    w, v = matrix(), source()
    power = np.sum((powers(w, LAGS + 1) @ v) ** 2, axis=1)
    right = 1 / np.cumsum(1 / power)
    found = echoic.fisher_bound(
        lambda h, x: jnp.asarray(w) @ h + jnp.asarray(v) * x,
        np.tile([1.0, -1.0], 60),
        state=jnp.zeros(N),
        max_lag=LAGS,
        key=jr.key(0),
        noise_variance=1.0,
        burn_in=10,
        starts=2,
    )
    wrong = {
        "power": power,
        "amplitudes": 1 / np.cumsum(power**-0.5),
        "a step late": np.append(right[1:], 0),
        "mean, not sum": right * np.arange(1, LAGS + 2),
    }
    return found.value, right, wrong, 1e-9


def of_noisy_recall():
    w, v, eps = matrix(), source(), 0.3
    each = powers(w, 400)

    def recall(signal, noise, each=each):
        total = signal * each @ np.outer(v, v) @ each.transpose(0, 2, 1)
        total = np.sum(total + noise * each @ each.transpose(0, 2, 1), axis=0)
        b = each[: LAGS + 1] @ v
        return np.einsum("kn,nk->k", b, np.linalg.solve(total, b.T))

    right = recall(1, eps)
    wrong = {
        "Fisher memory": recall(0, eps),
        "noise of the newest step only": recall(1, 0.01 * eps),
        "amplitude for variance": recall(1, eps**0.5),
        "W transposed": recall(1, eps, each.transpose(0, 2, 1)),
    }
    found = echoic.noisy_recall(w, source=v, noise_variance=eps, max_lag=LAGS)
    return found.value, right, wrong, 1e-9


def of_fisher_memory_matrix():
    w = matrix()
    each = powers(w)
    noise = np.linalg.inv(np.sum(each @ each.transpose(0, 2, 1), axis=0))
    right = np.sum(each.transpose(0, 2, 1) @ noise @ each, axis=0)
    wrong = {
        "of W transposed": np.sum(each @ noise @ each.transpose(0, 2, 1), axis=0),
        "the newest input alone": noise,
        "no noise on the way": np.sum(each.transpose(0, 2, 1) @ each, axis=0),
        "a normal matrix's": np.eye(N),
    }
    return echoic.fisher_memory_matrix(w).value, right, wrong, 1e-9


ORACLES = {
    "henrici_departure": of_henrici_departure,
    "nonnormality": of_nonnormality,
    "schur_profile": of_schur_profile,
    "numerical_radius": of_numerical_radius,
    "pseudospectrum": of_pseudospectrum,
    "kreiss_constant": of_kreiss_constant,
    "transient_growth": of_transient_growth,
    "effective_spectral_radius": of_effective_spectral_radius,
    "chain_motif": of_chain_motif,
    "fisher_capacity": of_fisher_capacity,
    "fisher_memory_matrix": of_fisher_memory_matrix,
    "fisher_bound": of_fisher_bound,
    "noisy_recall": of_noisy_recall,
}


def test_right_passes_and_wrong_does_not(oracle, assert_oracle, x64):
    assert_oracle(*oracle())
