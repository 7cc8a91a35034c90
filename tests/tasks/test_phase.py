"""Phase detection: the matched filter is Bayes' answer, and no other one is better."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from echoic.tasks import Phase

TASK = Phase(28, period=14, amplitude=0.6, noise=2.0)


def bayes_loss(strength):
    """E[(tanh(u) - 1)^2] for u normal with mean and variance ``strength``."""
    spread = strength**0.5

    def density(z):
        return (math.tanh(strength + spread * z) - 1) ** 2 * norm.pdf(z)

    return quad(density, -10, 10)[0]


def test_the_signal_is_the_wave_and_white_noise(sampled):
    batch = sampled(TASK)
    upright = (batch.targets[:, :, None] * batch.inputs)[:, :, 0]
    wave = 0.6 * np.sin(2 * np.pi * np.arange(28) / 14)
    error = 4 * 2.0 / 4000**0.5
    assert np.abs(upright.mean(0) - wave).max() < error
    # Shifted by a step, of another period, or not turned by its sign, it is not this wave.
    for twin in (np.roll(wave, 1), 0.6 * np.sin(np.pi * np.arange(28) / 14), 0 * wave):
        assert np.abs(upright.mean(0) - twin).max() > error
    noise = upright - wave
    assert noise.std() == pytest.approx(2.0, abs=4 * 2.0 / (2 * 28 * 4000) ** 0.5)
    assert np.abs(np.corrcoef(noise.T) - np.eye(28)).max() < 5 / 4000**0.5


def test_the_solver_reaches_the_loss_of_bayes(sampled, measured):
    strength = sum((0.6 * math.sin(2 * math.pi * t / 14)) ** 2 for t in range(28)) / 2.0**2
    batch = sampled(TASK)
    answers = np.asarray(TASK.solve(jnp.asarray(batch.inputs)))
    mean, error = measured.cost(answers, batch, TASK.loss)
    assert abs(mean - bayes_loss(strength)) < 4 * error
    # Neither a hard decision nor a filter that is too steep or too flat does as well.
    for gain in (0.5, 2.0, 100.0):
        twin = np.tanh(gain * np.arctanh(np.clip(answers, -1 + 1e-7, 1 - 1e-7)))
        assert measured.cost(twin, batch, TASK.loss)[0] > mean + error


def test_the_loss_of_bayes_by_default():
    strength = sum((0.5 * math.sin(2 * math.pi * t / 28)) ** 2 for t in range(112))
    assert strength == pytest.approx(14)
    assert bayes_loss(strength) == pytest.approx(3e-4, rel=0.1)


@pytest.mark.parametrize("wrong", [{"noise": 0.0}, {"period": 2.0}, {"amplitude": -1.0}])
def test_wrong_waves(wrong):
    with pytest.raises(ValueError, match="must lie in"):
        Phase(**wrong)
