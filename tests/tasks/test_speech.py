"""Spoken digits: padding in front, takes, the filter; and the ways to get them wrong."""

import numpy as np
import pytest
from scipy.signal import decimate

from echoic.tasks import SpokenDigits

RNG = np.random.default_rng(0)
SOUNDS = [RNG.normal(size=60 + 3 * i).astype(np.float32) for i in range(40)]
LABELS, TAKES = np.arange(40) % 2, np.arange(40) // 2


def test_zeros_come_first_and_the_end_is_the_last_step():
    task = SpokenDigits((SOUNDS, LABELS, TAKES), decimation=1)
    assert task.train.inputs.shape == (20, 177, 1)
    loudness = np.sqrt(np.mean(np.concatenate(SOUNDS[20:]).astype(float) ** 2))
    for part, first in ((task.test, 0), (task.validation, 10), (task.train, 20)):
        for row, number in zip(np.asarray(part.inputs)[:, :, 0], range(first, 40), strict=False):
            sound = SOUNDS[number]
            assert (row[: 177 - len(sound)] == 0).all()
            assert np.allclose(row[177 - len(sound) :], sound / loudness, rtol=1e-5)


def test_takes_decide_on_the_parts():
    shuffled = RNG.permutation(40)
    task = SpokenDigits(([SOUNDS[i] for i in shuffled], LABELS[shuffled], TAKES[shuffled]))
    for part, takes in ((task.test, range(5)), (task.validation, range(5, 10))):
        wanted = [i for i in shuffled if TAKES[i] in takes]
        assert np.asarray(part.targets).tolist() == LABELS[wanted].tolist()
    sizes = [len(part.targets) for part in (task.train, task.validation, task.test)]
    assert sizes == [20, 10, 10]


@pytest.mark.parametrize("factor", [3, 8])
def test_the_filter_is_the_usual_one_and_no_recording_hears_another(factor):
    task = SpokenDigits((SOUNDS, LABELS, TAKES), decimation=factor, scale="recording")
    for row, sound in zip(np.asarray(task.test.inputs)[:, :, 0], SOUNDS, strict=False):
        thin = decimate(sound.astype(float), factor, ftype="fir", zero_phase=True)
        thin /= np.sqrt(np.mean(thin**2))
        assert np.allclose(row[len(row) - len(thin) :], thin, atol=1e-4)
        # Samples picked without a filter would be others.
        assert not np.allclose(thin, sound[::factor], atol=0.5)


def test_a_tone_above_the_new_limit_is_silenced():
    time = np.arange(400) / 8000
    low, high = (np.sin(2 * np.pi * hertz * time) for hertz in (200, 1500))
    both = [low + high] * 12
    task = SpokenDigits((both, np.arange(12) % 2, np.arange(12)), decimation=8)
    heard = np.asarray(task.test.inputs)[0, 12:-12, 0]
    wanted = low[::8][12:-12]
    assert np.corrcoef(heard, wanted)[0, 1] > 0.999


def test_longer_ones_lose_their_end():
    task = SpokenDigits((SOUNDS, LABELS, TAKES), decimation=1, length=100)
    assert task.train.inputs.shape == (20, 100, 1)
    assert task.num_shortened == sum(len(sound) > 100 for sound in SOUNDS)
    assert f"{task.num_shortened} of them lost their end" in task.description
    last = np.asarray(task.train.inputs)[-1, :, 0]
    assert np.corrcoef(last, SOUNDS[39][:100])[0, 1] == pytest.approx(1)


def test_chance_is_the_entropy_of_the_labels():
    labels = np.arange(40) % 4 // 3
    task = SpokenDigits((SOUNDS, labels, TAKES))
    shares = np.array([0.75, 0.25])
    assert task.chance == pytest.approx(-(shares * np.log(shares)).sum())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, n, t: (s[:-1], n, t), "39 recordings, 40 labels and 40 takes"),
        (lambda s, n, t: (s, n, t % 5), "takes 0-4 are the test"),
        (lambda s, n, t: ([np.full(9, np.nan), *s[1:]], n, t), "recording 0 must be finite"),
        (lambda s, n, t: ([*s[:-1], np.zeros(9)], n, t), "recording 39 must be finite"),
        (lambda s, n, t: (s, n), "or a tuple"),
    ],
)
def test_wrong_recordings(change, message):
    with pytest.raises(ValueError, match=message):
        SpokenDigits(change(SOUNDS, LABELS, TAKES))


@pytest.mark.slow
def test_the_free_spoken_digits(data_dir):
    task = SpokenDigits(data_dir=data_dir)
    sizes = [part.inputs.shape for part in (task.train, task.validation, task.test)]
    assert sizes == [(2400, 2283, 1), (300, 2283, 1), (300, 2283, 1)]
    assert np.bincount(np.asarray(task.test.targets)).tolist() == [30] * 10
    # Every recording ends at the last step: the longest is as long as there are steps.
    lengths = 2283 - np.argmax(np.asarray(task.train.inputs)[:, :, 0] != 0, axis=1)
    assert np.median(lengths) == pytest.approx(3358 / 8, rel=0.1)
