"""Sine generator: waves by the recurrence of the cosine; chance against quadrature."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from echoic.tasks import Sine, SineGrid


def follows(batch, low, high):
    """Whether inputs are constant, and targets obey y_{t+1} = 2 cos(omega) y_t - y_{t-1}."""
    omega, waves = batch.inputs[:, :1, 0].astype(float), batch.targets[:, :, 0].astype(float)
    if not (batch.inputs == batch.inputs[:, :1]).all() or not (low <= omega).all():
        return False
    steps = 2 * np.cos(omega) * waves[:, 1:-1] - waves[:, :-2]
    starts = np.allclose(waves[:, :1], np.sin(omega), atol=1e-6)
    return bool(starts and (omega <= high).all() and np.allclose(steps, waves[:, 2:], atol=1e-4))


def test_waves_and_their_wrong_twins(sampled):
    low, high = math.pi / 16, math.pi / 8
    batch = sampled(Sine(30), 500)
    assert follows(batch, low, high)
    late = batch._replace(targets=np.roll(batch.targets, 1, axis=1))
    cosine = batch._replace(targets=np.sqrt(1 - batch.targets**2))
    double = batch._replace(inputs=2 * batch.inputs)
    for twin in (late, cosine, double):
        assert not follows(twin, low, high)


def test_chance_is_the_variance_over_frequencies():
    task = Sine(7, lowest=0.3, highest=1.1)

    def mean(power, t):
        return quad(lambda omega: math.sin(omega * t) ** power, 0.3, 1.1)[0] / 0.8

    wanted = np.mean([mean(2, t) - mean(1, t) ** 2 for t in range(1, 8)])
    assert task.chance == pytest.approx(wanted, rel=1e-9)


def test_the_grid_and_the_frequencies_between():
    task = SineGrid(20, lowest=0.2, highest=0.8, num_frequencies=4)
    parts = [part.inputs[:, 0, 0].tolist() for part in (task.train, task.validation, task.test)]
    assert parts[0] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert parts[1] == pytest.approx([0.2 + 0.2 / 3, 0.4 + 0.2 / 3, 0.6 + 0.2 / 3])
    assert parts[2] == pytest.approx([0.4 - 0.2 / 3, 0.6 - 0.2 / 3, 0.8 - 0.2 / 3])
    for part in (task.train, task.validation, task.test):
        assert follows(part._replace(inputs=np.asarray(part.inputs)), 0.2, 0.8001)
    omegas, steps = np.linspace(0.2, 0.8, 4), np.arange(1, 21)
    assert task.chance == pytest.approx(np.sin(np.outer(omegas, steps)).var(0).mean(), rel=1e-5)


def test_draws_from_the_grid(sampled):
    task = SineGrid(20, num_frequencies=4)
    batch = sampled(task, 4)
    assert set(batch.inputs[:, 0, 0]) <= set(np.asarray(task.train.inputs[:, 0, 0]))
    with pytest.raises(ValueError, match=r"batch must lie in 1\.\.4, got 5"):
        sampled(task, 5)


@pytest.mark.parametrize(
    "wrong", [{"lowest": 0.0}, {"highest": 4.0}, {"lowest": 0.5}, {"length": 0}]
)
def test_wrong_frequencies(wrong):
    with pytest.raises(ValueError, match="must lie in"):
        Sine(**wrong)
