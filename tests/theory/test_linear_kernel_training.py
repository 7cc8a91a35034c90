"""Training of wide linear networks: paths, times and ends of gradient descent, and what to choose.

The networks here are trained by exact gradients through the impulse response, in NumPy.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import echoic
from echoic.theory import (
    ScaledConvolution,
    choose_transition_variance,
    depth_limit,
    lag_weights,
    largest_learning_rate,
    layer_learning_rates,
    learning_time,
    minimum_norm_response,
    parametrisation_warnings,
    peak_lag,
)


class LinearNetwork:
    """``h_t = n^-1/2 W h_{t-1} + F x_t``, ``y_t = n^-1/2 C h_t``; ``L_j = n^-1/2 C A^j F``."""

    def __init__(self, size, transition, seed):
        rng = np.random.default_rng([seed, size])
        self.root = math.sqrt(size)
        self.w = rng.normal(size=(size, size)) * math.sqrt(transition)
        self.f, self.c = rng.normal(size=(2, size))

    def sides(self, lags):
        forward, backward = [self.f], [self.c]
        for _ in range(lags - 1):
            forward.append(self.w @ forward[-1] / self.root)
            backward.append(backward[-1] @ self.w / self.root)
        return np.array(forward), np.array(backward)

    def response(self, lags):
        return self.sides(lags)[0] @ self.c / self.root

    def descend(self, forward, backward, slopes, rate):
        """One step down, given ``dLoss/dL_j``."""
        lags = len(slopes)
        hankel = np.array([np.append(slopes[a + 1 :], np.zeros(a + 1)) for a in range(lags)])
        self.w -= rate / self.root**2 * (backward.T @ (hankel @ forward))
        self.f = self.f - rate / self.root * slopes @ backward
        self.c = self.c - rate / self.root * slopes @ forward


def lagged(inputs, lags):
    """Rows ``x_t, x_{t-1}, ...``, silence before the first input."""
    return np.array([np.append(inputs[t::-1], np.zeros(lags))[:lags] for t in range(len(inputs))])


def gaps(size, transition, design, targets, rate, steps, seed, weights):
    """Largest gap between the losses of a network and of each convolution, by the first loss."""
    lags, count = design.shape[1], len(targets)
    network = LinearNetwork(size, transition, seed)
    convolutions = np.repeat(network.response(lags)[None], len(weights), axis=0)
    losses = []
    for _ in range(steps):
        forward, backward = network.sides(lags)
        response = forward @ network.c / network.root
        errors = [design @ one - targets for one in (response, *convolutions)]
        losses.append([error @ error for error in errors])
        slopes = [design.T @ error / count for error in errors]
        network.descend(forward, backward, slopes[0], rate)
        convolutions = convolutions - rate * np.array(weights) * np.array(slopes[1:])
    losses = np.array(losses)
    return np.max(np.abs(losses[:, :1] - losses[:, 1:]), axis=0) / losses[0, 0]


def teacher_data(rng, lags=10, sequences=50):
    """A random stable teacher of four units, white inputs, 20 dB of noise at the outputs."""
    matrix = rng.normal(size=(4, 4))
    matrix *= 0.8 / np.max(np.abs(np.linalg.eigvals(matrix)))
    inward, outward = rng.normal(size=(2, 4))
    response = [outward @ np.linalg.matrix_power(matrix, j) @ inward for j in range(lags)]
    design = np.concatenate([lagged(rng.normal(size=lags), lags) for _ in range(sequences)])
    clean = design @ np.array(response)
    return design, clean + 0.1 * clean.std() * rng.normal(size=len(clean))


def mean_gaps(size, transition, steps, seeds):
    """Of the right convolution, of the plain one, and of one that forgets the training of W."""
    rho = lag_weights(transition, 9)
    weights = [rho, np.full(10, rho.mean()), 2 * transition ** np.arange(10)]
    found = []
    for seed in seeds:
        design, targets = teacher_data(np.random.default_rng(seed))
        rate = largest_learning_rate(design.T @ design / len(targets), rho) / 4
        found.append(gaps(size, transition, design, targets, rate, steps, seed, weights))
    return np.mean(found, axis=0)


def test_network_trains_like_the_convolution():
    """The gap between losses shrinks with the width; plain and geometric convolutions differ."""
    wide, plain, geometric = mean_gaps(300, 0.3, 40, [0, 1])
    assert wide < 0.03
    assert mean_gaps(50, 0.3, 40, range(8))[0] > 1.5 * wide
    assert plain > 0.06
    assert geometric > 0.06


@pytest.mark.slow
@pytest.mark.parametrize("transition", [0.3, 0.9])
def test_network_trains_like_the_convolution_to_the_end(transition):
    """200 steps, 1600 units: below 2 % of the first loss, and a third of that at 50 units."""
    wide, plain, geometric = mean_gaps(1600, transition, 200, [0])
    assert wide < 0.02
    assert min(plain, geometric) > 0.02
    assert wide < mean_gaps(50, transition, 200, range(8))[0] / 3


def half_times(size, transition, lags, rate, seed, delays):
    """Steps until half of a pure delay's error, ``1/2 |L - L(0) - e_d|^2``, is gone."""
    found = []
    for delay in delays:
        network = LinearNetwork(size, transition, seed)
        goal = network.response(lags) + np.eye(lags)[delay]
        residuals = []
        while not residuals or residuals[-1] > 0.5:
            forward, backward = network.sides(lags)
            error = forward @ network.c / network.root - goal
            residuals.append(-error[delay])
            network.descend(forward, backward, error, rate)
        before, after = residuals[-2:]
        found.append(len(residuals) - 2 + (before - 0.5) / (before - after))
    return np.array(found)


def test_recent_lags_are_learnt_first():
    """Half-times at 400 units for delays 0 to 2, against the learning times, and wrong ones."""
    weights = lag_weights(0.3, 7)
    rate = 0.04 / weights.max()
    found = np.mean([half_times(400, 0.3, 8, rate, seed, range(3)) for seed in range(2)], axis=0)
    predicted = learning_time(0.3, 2, learning_rate=rate)
    assert np.all(np.abs(found / predicted - 1) < 0.2)
    for wrong in (
        math.log(2) / (rate * np.sqrt(weights[:3])),  # amplitudes
        math.log(2) / (rate * 2 * 0.3 ** np.arange(3)),  # W left out
        np.full(3, predicted[0]),  # no bias
    ):
        assert np.any(np.abs(found / wrong - 1) > 0.25)


@pytest.mark.slow
def test_half_times_and_their_dependence_on_the_transition():
    """1024 units: within 15 % for delays 0 to 4 at nu_W = .3; no bias left at .7."""
    rate = 0.02 / lag_weights(0.3, 7).max()
    found = half_times(1024, 0.3, 8, rate, 0, range(5))
    assert np.all(np.abs(found / learning_time(0.3, 4, learning_rate=rate) - 1) < 0.15)
    assert found[4] / found[0] > 10
    rate = 0.02 / lag_weights(0.7, 7).max()
    found = half_times(1024, 0.7, 8, rate, 0, (0, 4))
    assert np.all(np.abs(found / learning_time(0.7, 4, learning_rate=rate)[[0, 4]] - 1) < 0.15)
    assert 0.8 < found[1] / found[0] < 1.3


def distances_from_the_end(size, seed, rate_share=0.45):
    """Of a trained network from four predictions, in units of the way gone: right, then wrong."""
    rng, lags, transition = np.random.default_rng(0), 10, 0.5
    design, targets = rng.normal(size=(4, lags)), rng.normal(size=4)
    rho = lag_weights(transition, lags - 1)
    network = LinearNetwork(size, transition, seed)
    start = network.response(lags)
    rate = rate_share * largest_learning_rate(design.T @ design, rho)
    error = np.ones(4)
    while np.max(np.abs(error)) > 1e-3:
        forward, backward = network.sides(lags)
        error = design @ (forward @ network.c) / network.root - targets
        network.descend(forward, backward, design.T @ error, rate)
    weighted = minimum_norm_response(design, targets, rho, start)
    wrong = (
        minimum_norm_response(design, targets, np.ones(lags), start),
        minimum_norm_response(design, targets, rho),  # the start forgotten
        minimum_norm_response(design, targets, rho**2, start),
    )
    end, way = network.response(lags), np.linalg.norm(weighted - start)
    return [np.linalg.norm(end - other) / way for other in (weighted, *wrong)]


@pytest.mark.slow
def test_training_of_a_thousand_units_ends_at_the_least_weighted_norm():
    """Four equations in ten lags: near the weighted solution, far from the plain one.

    Seven networks: .020 to .091, .045 in the median; from the plain solution .45 and more. Eight
    times the units bring the first closer, by the root of eight if the theory is of first order.
    """
    wide, narrow = (
        np.array([distances_from_the_end(size, seed) for seed in range(7)]) for size in (1024, 128)
    )
    right, *wrong = np.median(wide, axis=0)
    assert right < 0.05
    assert np.all(wide[:, 0] < 0.1)
    assert np.all(wide[:, 1] > 0.3)
    assert min(wrong) > 0.2
    assert np.median(narrow[:, 0]) > 2 * right


def test_minimum_norm_against_the_formula_and_descent():
    rng = np.random.default_rng(1)
    design, targets = rng.normal(size=(3, 8)), rng.normal(size=(3, 2))
    rho, start = np.array([2.0, 1.0, 0.5, 0.1]), rng.normal(size=(8, 2))
    scale = np.repeat(rho, 2)  # two channels a lag
    gram = design * scale @ design.T
    expected = start + scale[:, None] * design.T @ np.linalg.solve(gram, targets - design @ start)
    found = minimum_norm_response(design, targets, rho, start)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    walker = start.copy()
    rate = largest_learning_rate(design.T @ design, rho) / 2
    for _ in range(3000):
        walker -= rate * scale[:, None] * design.T @ (design @ walker - targets)
    np.testing.assert_allclose(walker, found, atol=1e-8)
    # More equations than lags: the least squares solution, whatever the weights.
    tall, aims = rng.normal(size=(9, 4)), rng.normal(size=9)
    best = np.linalg.lstsq(tall, aims, rcond=None)[0]
    np.testing.assert_allclose(minimum_norm_response(tall, aims, rho), best, atol=1e-12)


def test_descent_diverges_above_the_largest_rate_only():
    rng = np.random.default_rng(2)
    design = rng.normal(size=(30, 6))
    hessian, rho = design.T @ design / 30, lag_weights(0.7, 5)
    limit = largest_learning_rate(hessian, rho)
    wrong = (2 / np.linalg.eigvalsh(hessian)[-1], 2 / np.max(rho * np.diag(hessian)), 2 * limit)

    def grows(rate):
        step = np.eye(6) - rate * rho[:, None] * hessian
        return np.max(np.abs(np.linalg.eigvals(step))) > 1

    assert not grows(0.999 * limit)
    assert grows(1.001 * limit)
    for rate in wrong:
        assert grows(0.999 * rate) or not grows(1.001 * rate)
    assert largest_learning_rate(0.5, rho) == pytest.approx(4 / rho.max())
    assert largest_learning_rate(0.0, rho) == math.inf


def test_convolution_by_the_sum(x64):
    rng = np.random.default_rng(0)
    response, xs = rng.normal(size=(5, 2, 3)), rng.normal(size=(4, 9, 3))
    model = ScaledConvolution(lag_weights(0.4, 4), response)
    np.testing.assert_allclose(model.impulse_response, response, rtol=1e-12)
    expected = np.zeros((4, 9, 2))
    for t in range(9):
        for lag in range(min(t, 4) + 1):
            expected[:, t] += xs[:, t - lag] @ response[lag].T
    np.testing.assert_allclose(model(jnp.asarray(xs)), expected, atol=1e-12)
    np.testing.assert_allclose(model(jnp.asarray(xs[0])), expected[0], atol=1e-12)
    circular = np.fft.ifft(
        np.einsum("fpm,bfm->bfp", np.fft.fft(response, 9, axis=0), np.fft.fft(xs, axis=1)), axis=1
    )
    assert np.max(np.abs(circular.real - expected)) > 0.1  # wrong: without padding
    assert np.max(np.abs(np.asarray(model(jnp.asarray(xs[:, ::-1]))) - expected)) > 0.1


def test_convolution_descends_as_the_theory_says(x64):
    """One step on theta moves L_j by ``-lr rho_j dLoss/dL_j``; the scale is not trained."""
    rng = np.random.default_rng(1)
    rho, start = lag_weights(0.4, 4), rng.normal(size=5)
    xs, ys = (jnp.asarray(rng.normal(size=(12, 1))) for _ in range(2))

    def loss(model):
        return jnp.sum((model(xs) - ys) ** 2) / 2

    model = ScaledConvolution(rho, start)
    slopes = jax.grad(loss)(model)
    design = lagged(np.asarray(xs)[:, 0], 5)
    expected = design.T @ (design @ start - np.asarray(ys)[:, 0])
    moved = np.sqrt(rho) * np.asarray(slopes.theta)[:, 0, 0]
    np.testing.assert_allclose(moved, rho * expected, rtol=1e-10)
    assert not np.any(slopes.scale)
    mask = echoic.trainable_filter(model)
    assert (mask.theta, mask.scale) == (True, False)
    assert optax.apply_updates(model, slopes).theta.shape == (5, 1, 1)


@pytest.mark.slow
def test_convolution_keeps_the_dtype_and_answers_nan_with_nan():
    model = ScaledConvolution(lag_weights(0.4, 4), np.zeros((5, 2, 1)))
    assert model.theta.dtype == jnp.float32
    assert model(jnp.ones((3, 7, 1))).dtype == jnp.float32
    assert not np.any(model(jnp.ones((7, 1))))
    assert np.isnan(model(jnp.full((7, 1), jnp.nan))).all()
    assert ScaledConvolution(1.0, np.ones(3, np.float32)).theta.tolist() == [[[1.0]]] * 3
    long = ScaledConvolution(lag_weights(0.3, 99), np.float32(0.3) ** np.arange(100, dtype="f4"))
    assert np.all(np.isfinite(long.theta))


def test_training_in_standard_form_needs_other_rates():
    """Scaled by one rate, and standard with lr / n on W and C, are one path; one rate is not."""
    size, lags, rate = 40, 6, 0.05
    goal = np.eye(lags)[2]

    def train(rates, standard):
        network = LinearNetwork(size, 0.5, 0)
        w, f, c = network.w, network.f, network.c
        root = network.root
        if standard:
            w, c = w / root, c / root
        for _ in range(20):
            inner = 1.0 if standard else 1 / root
            forward, backward = [f], [c * inner]
            for _ in range(lags - 1):
                forward.append(inner * w @ forward[-1])
                backward.append(inner * backward[-1] @ w)
            forward, backward = np.array(forward), np.array(backward)
            slopes = inner * forward @ c - goal
            hankel = np.array([np.append(slopes[a + 1 :], np.zeros(a + 1)) for a in range(lags)])
            w = w - rates["recurrent"] * inner * backward.T @ (hankel @ forward)
            f, c = (
                f - rates["input"] * slopes @ backward,
                c - rates["output"] * inner * (slopes @ forward),
            )
        return slopes

    rates = {form: layer_learning_rates(rate, size, parametrisation=form) for form in FORMS}
    scaled, standard = (train(rates[form], form == "standard") for form in FORMS)
    np.testing.assert_allclose(scaled, standard, atol=1e-12)
    one_rate = train({"recurrent": rate / size, "input": rate / size, "output": rate / size}, True)
    assert np.max(np.abs(one_rate - scaled)) > 1e-2
    inverted = {"recurrent": rate / size, "input": rate, "output": rate}
    assert np.max(np.abs(train(inverted, True) - scaled)) > 1e-2


FORMS = ("scaled", "standard")


def test_warnings_name_what_breaks_the_equivalence():
    assert parametrisation_warnings(64, parametrisation="scaled", optimiser="SGD") == ()
    right = layer_learning_rates(0.1, 64, parametrisation="standard")
    assert right == {"recurrent": 0.1 / 64, "input": 0.1, "output": 0.1 / 64}
    assert (
        parametrisation_warnings(64, parametrisation="standard", optimiser="gd", rates=right) == ()
    )
    (sentence,) = parametrisation_warnings(64, parametrisation="standard", optimiser="gd")
    assert "input's rate / 64" in sentence
    (sentence,) = parametrisation_warnings(64, parametrisation="scaled", optimiser="adam")
    assert sentence.startswith("adam is not plain gradient descent")
    (sentence,) = parametrisation_warnings(
        64, parametrisation="scaled", optimiser="gd", rates=right
    )
    assert "need one rate" in sentence
    assert len(parametrisation_warnings(64, parametrisation="standard", optimiser="adam")) == 2


@pytest.mark.parametrize(("entrance", "exit_"), [(1.0, 1.0), (0.3, 4.0), (2.0, 0.1), (3.0, 3.0)])
@pytest.mark.parametrize("lag", [1, 2, 7, 12])
def test_chosen_variance_does_what_was_asked(lag, entrance, exit_):
    law = {"input_weight_variance": entrance, "output_weight_variance": exit_}
    choice = choose_transition_variance(lag, 1024, **law)
    assert 0 < choice.variance < 1
    assert choice.holds
    weights = lag_weights(choice.variance, 200, **law)
    assert weights.argmax() == lag == peak_lag(choice.variance, **law)
    for ratio in (0.05, 0.5, 0.999):
        variance = choose_transition_variance(lag, 1024, ratio=ratio, **law).variance
        weights = lag_weights(variance, lag, **law)
        if variance == 0:
            assert weights[lag] / weights[0] >= ratio
            continue
        assert weights[lag] / weights[0] == pytest.approx(ratio, rel=1e-9)
        below = lag_weights(0.999 * variance, lag, **law)
        assert below[lag] / below[0] < ratio
        geometric = ratio ** (1 / lag)  # wrong: training W forgotten
        assert abs(geometric - variance) > 1e-3 * variance


def test_choice_beyond_the_depth_limit_says_so():
    choice = choose_transition_variance(16, 64)
    assert not choice.holds
    assert "up to lag 4: for lag 16 it needs 1024 units" in choice.sentence
    assert depth_limit(1024) == 16
    assert choose_transition_variance(16, 1024).holds
    assert peak_lag(choice.variance) == 16
    impossible = choose_transition_variance(4, 10_000, ratio=4.0)
    assert math.isnan(impossible.variance)
    assert not impossible.holds
    assert "stays under 3" in impossible.sentence
    assert choose_transition_variance(4, 10_000, ratio=2.99).variance < 1
    assert choose_transition_variance(1, 100, ratio=0.4).variance == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: choose_transition_variance(0, 64), "lag must lie in 1"),
        (lambda: choose_transition_variance(4, 64, ratio=-1.0), "ratio must be positive"),
        (lambda: choose_transition_variance(4, 64, input_weight_variance=0.0), "input_weight"),
        (lambda: largest_learning_rate(np.ones((2, 3)), np.ones(2)), "hessian must be"),
        (lambda: largest_learning_rate(np.eye(3), np.ones(2)), "weights must have shape"),
        (lambda: minimum_norm_response(np.ones(3), np.ones(3), np.ones(3)), "design must have"),
        (lambda: minimum_norm_response(np.ones((2, 3)), np.ones(2), -np.ones(3)), "at least 0"),
        (lambda: minimum_norm_response(np.eye(2), np.ones(2), np.ones(2), np.ones(3)), "start"),
        (lambda: layer_learning_rates(0.1, 8, parametrisation="scale"), "Did you mean 'scaled'"),
        (lambda: ScaledConvolution(1.0, np.ones((2, 2))), "response must have shape"),
        (lambda: ScaledConvolution(np.ones(3), np.ones(4)), "weights must have shape"),
        (lambda: ScaledConvolution([1.0, 0.0], np.ones(2)), "got weight 0 at lag 1"),
        (lambda: ScaledConvolution([1.0, -1.0], np.ones(2)), "weights must be at least 0"),
        (
            lambda: parametrisation_warnings(
                8, parametrisation="scaled", optimiser="gd", rates={"input": 1.0}
            ),
            "rates must be positive and name recurrent, input, output",
        ),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
