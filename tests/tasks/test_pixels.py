"""Images as sequences, by hand; protocols of the sets; and the ways to get them wrong."""

import numpy as np
import pytest

from echoic.data import DataNotFoundError
from echoic.tasks import DigitThenNoise, Pixels

RNG = np.random.default_rng(0)
# Image i holds the numbers 16 i .. 16 i + 15, so that every pixel tells where it came from.
NUMBERED = np.arange(40 * 16, dtype=np.float32).reshape(40, 4, 4)
LABELS = np.arange(40) % 4


def numbers(task):
    """The images of all three parts, as they are read."""
    parts = (task.train, task.validation, task.test)
    return [np.asarray(part.inputs) for part in parts], [np.asarray(part.targets) for part in parts]


def test_one_pixel_a_step_and_a_row_a_step():
    single, _ = numbers(Pixels((NUMBERED, LABELS)))
    rows, _ = numbers(Pixels((NUMBERED, LABELS), pixels_per_step=4))
    assert [part.shape for part in single] == [(32, 16, 1), (4, 16, 1), (4, 16, 1)]
    for pixels, lines in zip(single, rows, strict=True):
        image = NUMBERED[int(pixels[0, 0, 0]) // 16]
        assert np.array_equal(pixels[0, :, 0], image.reshape(16))
        assert np.array_equal(lines[0], image)
        # Columns in place of rows would be another task.
        assert not np.array_equal(lines[0], image.T)


def test_parts_share_no_image_and_labels_go_with_them():
    inputs, targets = numbers(Pixels((NUMBERED, LABELS)))
    which = [part[:, 0, 0].astype(int) // 16 for part in inputs]
    assert sorted(np.concatenate(which)) == list(range(40))
    for images, labels in zip(which, targets, strict=True):
        assert np.array_equal(labels, LABELS[images])
    again = numbers(Pixels((NUMBERED, LABELS)))[0]
    other = numbers(Pixels((NUMBERED, LABELS), seed=1))[0]
    assert all(np.array_equal(a, b) for a, b in zip(inputs, again, strict=True))
    assert not np.array_equal(inputs[0], other[0])


def test_one_permutation_of_the_pixels_for_all_images():
    plain, _ = numbers(Pixels((NUMBERED, LABELS)))
    turned, _ = numbers(Pixels((NUMBERED, LABELS), permutation=3))
    order = np.random.default_rng(3).permutation(16)
    assert not np.array_equal(order, np.arange(16))
    for pixels, found in zip(plain, turned, strict=True):
        assert np.array_equal(found, pixels[:, order])
    # Two pixels a step: pixels are permuted, not pairs of them.
    pairs, _ = numbers(Pixels((NUMBERED, LABELS), permutation=3, pixels_per_step=2))
    assert np.array_equal(pairs[0].reshape(32, 16), plain[0][:, order, 0])


def test_integers_become_numbers_up_to_one():
    images = RNG.integers(0, 17, (50, 8, 8))
    images[0, 0, 0] = 16
    parts, _ = numbers(Pixels((images, np.arange(50) % 10), pixels_per_step=8))
    assert np.allclose(
        np.sort(np.concatenate(parts), axis=None), np.sort(images / 16, axis=None), atol=1e-7
    )


def test_standardised_by_the_training_images_alone():
    train = RNG.normal(3, 2, (200, 4, 4))
    test = RNG.normal(9, 2, (50, 4, 4))
    task = Pixels(
        ((train, np.arange(200) % 2), (test, np.arange(50) % 2)), standardise=True, validation=50
    )
    seen = np.asarray(task.train.inputs)
    assert seen.shape[0] == 150
    assert seen.mean() == pytest.approx(0, abs=1e-5)
    assert seen.std() == pytest.approx(1, abs=1e-5)
    # The test set is scaled with them: it keeps its distance of 3 deviations.
    assert np.asarray(task.test.inputs).mean() == pytest.approx(3, abs=0.4)


def test_the_layouts_of_colour_images():
    images = RNG.uniform(size=(20, 6, 6, 3)).astype(np.float32)
    labels = np.arange(20) % 2
    colour, grey, rows = (
        np.asarray(Pixels((images, labels), **layout).train.inputs)
        for layout in ({}, {"grey": True}, {"pixels_per_step": 6})
    )
    assert (colour.shape, grey.shape, rows.shape) == ((16, 36, 3), (16, 36, 1), (16, 6, 18))
    which = next(i for i in range(20) if np.array_equal(images[i, 0, 0], colour[0, 0]))
    image = images[which]
    assert np.array_equal(colour[0, 7], image[1, 1])
    luma = 0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]
    assert np.allclose(grey[0, :, 0], luma.reshape(-1), atol=1e-6)
    assert np.array_equal(rows[0, 2], image[2].reshape(-1))


def test_chance_is_the_entropy_of_the_training_labels(measured):
    labels = np.r_[np.zeros(30, int), np.ones(10, int)]
    task = Pixels((NUMBERED, labels))
    batch = task.train._replace(targets=np.asarray(task.train.targets))
    assert task.chance == pytest.approx(measured.constant_cost(batch, "cross_entropy")[0])


def test_files_of_images(tmp_path):
    np.savez(tmp_path / "one.npz", images=NUMBERED, labels=LABELS)
    four = {"x_train": NUMBERED[:30], "y_train": LABELS[:30]}
    np.savez(tmp_path / "two.npz", **four, x_test=NUMBERED[30:], y_test=LABELS[30:])
    assert Pixels(tmp_path / "one.npz").train.inputs.shape == (32, 16, 1)
    task = Pixels(str(tmp_path / "two.npz"))
    assert sorted(np.asarray(task.test.inputs)[:, 0, 0] // 16) == list(range(30, 40))
    assert "two" in task.description
    np.savez(tmp_path / "bad.npz", pictures=NUMBERED)
    with pytest.raises(ValueError, match=r"must hold images and labels.*it holds pictures"):
        Pixels(tmp_path / "bad.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match="damaged"):
        Pixels(tmp_path / "text.npz")
    with pytest.raises(DataNotFoundError, match="there is no file"):
        Pixels(tmp_path / "absent.npz")


NAN = NUMBERED.copy()
NAN[7, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ((NUMBERED, LABELS[:-1]), {}, "40 images and 39 labels"),
        ((NAN, LABELS), {}, "NaN or infinite, first in image 7"),
        ((NUMBERED, LABELS - 1), {}, "labels must be integers from 0"),
        ((NUMBERED, LABELS.astype(float)), {}, "labels must be integers from 0"),
        ((NUMBERED, LABELS), {"pixels_per_step": 3}, "these do: 1, 2, 4, 8, 16"),
        ((NUMBERED, LABELS), {"grey": True}, "grey takes images of 3 channels"),
        ((NUMBERED, LABELS), {"validation": 40}, r"validation must lie in 1\.\.39"),
        ((NUMBERED, LABELS), {"validation": 20}, "leave none to train on"),
        ((NUMBERED, LABELS), {"protocol": "full"}, "is for the sets mnist, fashion_mnist"),
        (((NUMBERED, LABELS), (NUMBERED[:, :3], LABELS)), {}, "different shapes"),
        ("mnist_digits", {}, "Known sets: mnist, fashion_mnist"),
    ],
)
def test_wrong_images(data, options, message):
    with pytest.raises(ValueError, match=message):
        Pixels(data, **options)


def test_the_digits_of_scikit_learn():
    task = Pixels("digits", permutation=0)
    parts = task.train, task.validation, task.test
    assert [len(part.targets) for part in parts] == [1439, 179, 179]
    assert task.train.inputs.shape[1:] == (64, 1)
    assert task.output_size == 10
    assert 0 == task.train.inputs.min() < task.train.inputs.max() == 1
    assert "8 x 8 digits of scikit-learn" in task.description


def test_draws_are_training_images_and_not_more_than_there_are(sampled):
    task = Pixels((NUMBERED, LABELS))
    batch = sampled(task, 32)
    train = set(np.asarray(task.train.inputs)[:, 0, 0])
    assert set(batch.inputs[:, 0, 0]) <= train
    with pytest.raises(ValueError, match=r"batch must lie in 1\.\.32, got 33"):
        sampled(task, 33)


def test_small_mnist_says_that_it_is_small(data_dir):
    task = Pixels("mnist", pixels_per_step=28, protocol="small", data_dir=data_dir)
    shapes = [part.inputs.shape for part in (task.train, task.validation, task.test)]
    assert shapes == [(9000, 28, 28), (1000, 28, 28), (5000, 28, 28)]
    assert "not the customary split" in task.description
    # The test set is 500 of each class, and none of them is trained on.
    assert np.bincount(np.asarray(task.test.targets)).tolist() == [500] * 10
    trained, tested = (
        {row.tobytes() for row in np.asarray(part.inputs)} for part in (task.train, task.test)
    )
    assert not trained & tested
    assert task.chance == pytest.approx(np.log(10), abs=0.01)


def test_a_missing_set_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ECHOIC_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataNotFoundError, match="echoic data fetch mnist_train"):
        Pixels("mnist")
    with pytest.raises(DataNotFoundError, match="fashion_mnist_train"):
        DigitThenNoise(data="fashion_mnist")
