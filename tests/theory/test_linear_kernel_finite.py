"""The kernel of linear networks of finite width: exact, against its limit, and how it fails."""

import itertools

import numpy as np
import pytest

from echoic.theory import depth_limit, impulse_response_variance, wide_kernel


def draw(size, variances, rng, channels=(1, 1)):
    """W, F, C of ``h_t = n^-1/2 W h_{t-1} + F x_t``, ``y_t = n^-1/2 C h_t``."""
    transition, entrance, exit_ = variances
    return (
        rng.normal(size=(size, size)) * np.sqrt(transition),
        rng.normal(size=(size, channels[0])) * np.sqrt(entrance),
        rng.normal(size=(channels[1], size)) * np.sqrt(exit_),
    )


def sides(network, lags):
    """``A^j F`` (lags, n, m) and ``A'^j C'`` (lags, n, p), ``A = n^-1/2 W``."""
    w, f, c = network
    forward, backward = [f], [c.T]
    for _ in range(lags - 1):
        forward.append(w @ forward[-1] / np.sqrt(len(w)))
        backward.append(w.T @ backward[-1] / np.sqrt(len(w)))
    return np.array(forward), np.array(backward)


def exact_kernel(network, inputs, others, *, skip=0):
    """``K[t, p, s, q]`` from inner products of forward and backward vectors; no gradients.

    ``skip=1`` is wrong: it leaves out the newest factor of W's gradient.
    """
    lags, size = max(len(inputs), len(others)), len(network[0])
    forward, backward = sides(network, lags)
    q = np.einsum("jnx,kny->jkxy", forward, forward) / size
    p = np.einsum("jnp,knq->jkpq", backward, backward) / size
    tensor = np.einsum("pq,jkxy->jkpxqy", np.eye(p.shape[2]), q)
    tensor += np.einsum("xy,jkpq->jkpxqy", np.eye(q.shape[2]), p)
    for j, k in itertools.product(range(1, lags), range(1, lags)):
        inner = q[j - 1 :: -1, k - 1 :: -1] if j > 0 else q[:0]
        tensor[j, k] += np.einsum("abpq,abxy->pxqy", p[skip:j, skip:k], inner[skip:j, skip:k])
    result = np.zeros((len(inputs), p.shape[2], len(others), p.shape[2]))
    for t, s in itertools.product(range(len(inputs)), range(len(others))):
        result[t, :, s] = np.einsum(
            "jx,jkpxqy,ky->pq", inputs[t::-1], tensor[: t + 1, : s + 1], others[s::-1]
        )
    return result


def outputs(network, inputs):
    w, f, c = network
    state, found = np.zeros(len(w)), []
    for x in inputs:
        state = w @ state / np.sqrt(len(w)) + f @ x
        found.append(c @ state / np.sqrt(len(w)))
    return np.array(found)


def differences(network, inputs, step=1e-5):
    """d y / d (every weight) by central differences: (t, p, weights)."""
    columns = []
    for part in network:
        for index in np.ndindex(part.shape):
            kept = part[index]
            part[index] = kept + step
            up = outputs(network, inputs)
            part[index] = kept - step
            columns.append((up - outputs(network, inputs)) / (2 * step))
            part[index] = kept
    return np.stack(columns, axis=-1)


def test_exact_kernel_is_that_of_finite_differences():
    """n = 7, t = 5, two inputs, three outputs: every entry, every pair of outputs."""
    rng = np.random.default_rng(0)
    network = draw(7, (0.8, 1.3, 0.7), rng, (2, 3))
    inputs, others = rng.normal(size=(2, 5, 2))
    right = np.einsum("tpw,sqw->tpsq", differences(network, inputs), differences(network, others))
    found = exact_kernel(network, inputs, others)
    assert np.max(np.abs(found - right)) < 1e-8
    assert np.max(np.abs(found)) > 1
    assert np.max(np.abs(exact_kernel(network, inputs, others, skip=1) - right)) > 0.1
    transposed = (network[0].T, *network[1:])
    assert np.max(np.abs(exact_kernel(transposed, inputs, others) - right)) > 0.1


def relative_errors(size, transition, seed, limits):
    """Of one network's kernel to each limit, T = 10."""
    rng = np.random.default_rng([seed, size])
    network = draw(size, (transition, 1.0, 1.0), rng)
    inputs, others = rng.normal(size=(2, 10, 1))
    found = exact_kernel(network, inputs, others)[:, 0, :, 0]
    expected = [limit(inputs, others, transition) for limit in limits]
    return [np.linalg.norm(found - one) / np.linalg.norm(one) for one in expected]


def without_the_transition(inputs, others, transition):
    """Wrong: the part of C and F alone."""
    gram = inputs @ others.T
    result = np.zeros_like(gram)
    for lag in range(len(gram)):
        shifted = gram[: len(gram) - lag, : len(gram) - lag]
        result[lag:, lag:] += 2 * transition**lag * shifted
    return result


def without_causality(inputs, others, transition):
    """Wrong: lag weights by output time, not by lag."""
    return wide_kernel(inputs[::-1], others[::-1], transition)


def test_kernel_tends_to_its_limit_like_the_root_of_the_width(widening):
    """8 networks a width. Seen over four: slopes -.55 and -.51, errors .054 and .121 at 1024."""
    limits = (wide_kernel, without_the_transition, without_causality)
    errors = [
        np.mean(
            [relative_errors(n, widening.transition, seed, limits) for seed in range(8)], axis=0
        )
        for n in widening.sizes
    ]
    right, *wrong = np.transpose(errors)
    assert widening.accepts(right)
    for one in wrong:
        assert not widening.accepts(one)


def test_untrained_responses_are_independent_gaussians():
    """n = 256, 3000 draws: the variance of each lag within 8 %, lags uncorrelated, no tails.

    Seen: ratios .97 to 1.05, correlations up to .047.
    """
    rng, lags, variances = np.random.default_rng(0), 6, (0.6, 1.5, 0.8)
    # One W serves many independent (F, C): given W the entries differ in them alone.
    found = []
    for _ in range(60):
        w, f, c = draw(256, variances, rng, (50, 50))
        for_all = [f]
        for _ in range(lags - 1):
            for_all.append(w @ for_all[-1] / 16)
        found.append(np.einsum("pn,jnp->pj", c, np.array(for_all)) / 16)
    found = np.concatenate(found)
    law = impulse_response_variance(
        0.6, lags - 1, input_weight_variance=1.5, output_weight_variance=0.8
    )
    variance = np.mean(found**2, axis=0)

    def within(expected):
        return np.all(np.abs(variance / expected - 1) < 0.08)

    assert within(law)
    assert not within(1.2 * np.sqrt(0.6) ** np.arange(lags))  # nu_W^(j/2)
    assert not within(1.5 * 0.6 ** np.arange(lags))  # the output's variance forgotten
    assert not within(law[0] * 0.6 ** (2 * np.arange(lags)))  # W's once too often
    assert np.max(np.abs(np.corrcoef(found.T) - np.eye(lags))) < 0.08
    assert np.max(np.abs(np.corrcoef(np.cumsum(found, axis=1).T) - np.eye(lags))) > 0.08
    kurtosis = np.mean(found**4, axis=0) / variance**2 - 3
    assert np.all(np.abs(kurtosis) < 0.4)


def growth(size, lag, draws, seed):
    """Mean of ``|A^lag f|^2 / (n nu^lag)``, 1 in the limit."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(draws):
        w = rng.normal(size=(size, size)) / np.sqrt(size)
        vectors = rng.normal(size=(size, 16))
        for _ in range(lag):
            vectors = w @ vectors
        found.append(np.mean(vectors**2))
    return np.mean(found)


def test_depth_is_limited_by_the_width():
    """At lag 16 the limit fails for 64 units and holds for 1024; `depth_limit` is on the safe side.

    The mean over networks has heavy tails when it fails, so that many are drawn.
    """
    assert growth(64, 16, 600, 0) > 2
    assert growth(1024, 16, 6, 1) == pytest.approx(1, abs=0.12)
    safe = int(depth_limit(64))
    assert safe == 4
    assert growth(64, safe, 600, 2) == pytest.approx(1, abs=0.08)


@pytest.mark.slow
def test_depth_limit_at_a_thousand_units():
    assert growth(1024, 16, 60, 3) == pytest.approx(1, abs=0.05)


def test_wide_kernel_by_hand():
    """t = 3, two channels: ``K_ts = sum_j rho_j <x_{t-j}, x'_{s-j}>`` written out."""
    rng = np.random.default_rng(0)
    x, other = rng.normal(size=(3, 2)), rng.normal(size=(2, 2))
    rho = [2.0, 1.6, 0.78]
    expected = [
        [sum(rho[j] * x[t - j] @ other[s - j] for j in range(min(t, s) + 1)) for s in range(2)]
        for t in range(3)
    ]
    np.testing.assert_allclose(wide_kernel(x, other, 0.3), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="equally many channels"):
        wide_kernel(x, other[:, 0], 0.3)
    with pytest.raises(ValueError, match="inputs must have shape"):
        wide_kernel(np.zeros((2, 2, 2)), other, 0.3)
    assert np.isnan(wide_kernel([np.nan, 1.0], [1.0, 1.0], 0.3)).any()
