"""Digit, then noise: what is shown, what is noise, and what nobody could do better."""

import jax.numpy as jnp
import numpy as np
import pytest

from echoic.tasks import DigitThenNoise

TASK = DigitThenNoise(4, size=6, within=0.4, variance=2.0)


def test_the_image_comes_first_and_then_noise(sampled):
    batch = sampled(TASK)
    assert batch.inputs.shape == (4000, 5, 6)
    image, noise = batch.inputs[:, 0], batch.inputs[:, 1:]
    assert noise.var() == pytest.approx(2.0, abs=4 * 2.0 * (2 / noise.size) ** 0.5)
    assert abs(np.corrcoef(noise[:, 0, 0], noise[:, 1, 0])[0, 1]) < 4 / 4000**0.5
    for kind in range(10):
        mean = image[batch.targets == kind].mean(0)
        centre = np.sqrt(2.0 * 0.6) * np.asarray(TASK.prototypes)[kind]
        count = (batch.targets == kind).sum()
        assert np.abs(mean - centre).max() < 4.5 * (2.0 * 0.4 / count) ** 0.5
        # Noise knows nothing of the class.
        assert np.abs(noise[batch.targets == kind].mean((0, 1))).max() < 4.5 * (0.5 / count) ** 0.5


def test_nobody_does_better_than_the_solver(sampled, measured):
    batch = sampled(TASK)
    logits = np.asarray(TASK.solve(jnp.asarray(batch.inputs)), float)
    # Bayes by hand: the density of the image under each class.
    centres = np.sqrt(2.0 * 0.6) * np.asarray(TASK.prototypes, float)
    distance = ((batch.inputs[:, :1] - centres[None]) ** 2).sum(2)
    wanted = -distance / (2 * 2.0 * 0.4)
    assert np.allclose(
        logits - logits.mean(1, keepdims=True), wanted - wanted.mean(1, keepdims=True), atol=1e-3
    )
    best, error = measured.cost(logits, batch, "cross_entropy")
    assert 0.05 < best < TASK.chance / 2
    for twin in (0.7 * logits, 1.4 * logits, np.roll(logits, 1, axis=1)):
        assert measured.cost(twin, batch, "cross_entropy")[0] > best + error / 4


def test_chance_is_a_guess_among_ten(sampled, measured):
    batch = sampled(TASK)
    guess = np.zeros((4000, 10))
    assert measured.cost(guess, batch, "cross_entropy")[0] == pytest.approx(TASK.chance)
    constant, _ = measured.constant_cost(batch, "cross_entropy")
    assert constant == pytest.approx(TASK.chance, abs=3 * 9 / 8000)


def test_other_seeds_are_other_prototypes():
    same, other = DigitThenNoise(4, size=6), DigitThenNoise(4, size=6, seed=1)
    assert np.array_equal(same.prototypes, TASK.prototypes)
    assert not np.array_equal(other.prototypes, TASK.prototypes)


def test_images_of_the_test_are_never_drawn_in_training(sampled):
    images = np.arange(40 * 4, dtype=np.float32).reshape(40, 2, 2)
    task = DigitThenNoise(3, data=(images, np.arange(40) % 4), variance=4.0, pixels_per_step=2)
    assert task.input_size == 2
    assert np.asarray(task.images.inputs).var() == pytest.approx(4.0, rel=1e-3)
    parts = {"train": task} | {part: task.held_out(part) for part in ("validation", "test")}
    images = {
        name: {float(row[0, 0]) for row in np.asarray(part.images.inputs)}
        for name, part in parts.items()
    }
    assert [len(part) for part in images.values()] == [32, 4, 4]
    assert len(set.union(*images.values())) == 40
    batch = sampled(parts["test"], 4)
    assert batch.inputs.shape == (4, 5, 2)
    assert {float(row[0, 0]) for row in batch.inputs} <= images["test"]
    assert task.solve(jnp.asarray(batch.inputs)) is None


def test_on_digits(data_dir):
    task = DigitThenNoise(2, data="mnist", protocol="small", data_dir=data_dir)
    assert task.input_size == 784
    assert "not the customary split" in task.description
    pixels = np.asarray(task.images.inputs)
    assert pixels.mean() == pytest.approx(0, abs=1e-3)
    assert pixels.var() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pixels_per_step": 2},
        {"validation": 10},
        {"data": (np.ones((9, 2, 2)), np.arange(9) % 2), "size": 4},
        {"variance": 0.0},
        {"noise_steps": 0},
    ],
)
def test_wrong_options(wrong):
    with pytest.raises(ValueError, match=r"prototypes|must lie in"):
        DigitThenNoise(**wrong)
