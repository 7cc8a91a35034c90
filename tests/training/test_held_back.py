"""Networks are judged by sequences of which nothing was trained on."""

import jax
import numpy as np

from echoic.tasks import DigitThenNoise
from echoic.training.held_back import parts_of
from echoic.training.stream import source_of


def test_images_that_noise_dresses_up_are_held_back_too():
    images = np.arange(60 * 4, dtype=np.float32).reshape(60, 2, 2)
    task = DigitThenNoise(2, data=(images, np.arange(60) % 3))
    keys = [jax.random.key(number, impl="rbg") for number in range(3)]
    source = source_of(task, 6, keys[0])
    parts = parts_of(task, source, 6, validation_key=keys[1], test_key=keys[2])
    trained = {float(row[0, 0]) for row in np.asarray(task.images.inputs)}
    judged = [{float(row[0, 0]) for row in np.asarray(parts[name].inputs)} for name in parts]
    assert list(parts) == ["validation", "test"]
    assert not trained & judged[0]
    assert not trained & judged[1]
    assert not judged[0] & judged[1]
