"""Images read pixel by pixel: sequential and permuted digits, sequential colour images."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.checks import at_least
from echoic.core.task import AbstractDataTask, Batch
from echoic.tasks.images import Images, image_set
from echoic.tasks.sequences import constant_loss, drawn


class Pixels(AbstractDataTask):
    """Tell the class of an image that is read as a sequence, a few pixels a step.

    **Definition.** The pixels of an image, row by row, ``pixels_per_step`` of them a step, all
    their channels together; the class is asked at the last step, with cross entropy. With
    ``permutation`` the pixels of all images stand in one other order, drawn once from that seed.

    **Arguments**

    - ``data``: ``"mnist"``, ``"fashion_mnist"``, ``"digits"`` (1,797 of 8 x 8 pixels, which come
      with scikit-learn), a file or arrays: see ``echoic.tasks.image_set``.
    - ``pixels_per_step``: must divide the number of pixels. For images of 28 x 28: 1 (784 steps), 4
      (196) or 28 (a row, 28 steps).
    - ``permutation``: the seed of a permutation of the pixels; None leaves them in their order.
    - ``grey``: three channels become their luma. Colour images of 32 x 32 have four usual layouts:
      1,024 steps of 3 channels (the default); 1,024 grey steps (``grey=True``); 32 rows of 96
      numbers (``pixels_per_step=32``); and these rows with noise after them, up to 1,000 steps:
      [`DigitThenNoise`][echoic.tasks.DigitThenNoise] with the same ``pixels_per_step``.
    - ``standardise``: mean 0, variance 1 over all training pixels, in place of [0, 1].
    - ``protocol``, ``validation``, ``seed``: how training, validation and test sets come about; the
      description says which it is.
    - ``data_dir``: where to look first for the files.

    **Raises** ValueError for images that do not fit; DataNotFoundError where files are missing.

    **Chance.** The entropy of the training labels: ln 10 for ten classes of equal size.

    **Misleads.** Results on other protocols than the customary one are not comparable with
    published ones. A permutation that each seed draws anew, as some code does, adds to the spread.

    **Reference.** Le, Jaitly & Hinton (2015), A simple way to initialize recurrent networks of
    rectified linear units. LeCun et al. (1998) for MNIST, Xiao et al. (2017) for Fashion-MNIST,
    Krizhevsky (2009) for CIFAR-10.

    **Example**
    >>> import numpy as np
    >>> images = np.arange(20 * 16).reshape(20, 4, 4), np.arange(20) % 2
    >>> task = Pixels(images, pixels_per_step=4)
    >>> task.train.inputs.shape, task.output_size
    ((16, 4, 4), 2)
    """

    name = "pixels"
    loss = "cross_entropy"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    train: Batch
    validation: Batch
    test: Batch
    pixels_per_step: int = eqx.field(static=True)
    permutation: int | None = eqx.field(static=True)
    protocol: str = eqx.field(static=True)

    def __init__(
        self,
        data: Any = "mnist",
        *,
        pixels_per_step: int = 1,
        permutation: int | None = None,
        grey: bool = False,
        standardise: bool = False,
        protocol: str = "auto",
        validation: int | None = None,
        seed: int = 0,
        data_dir: str | Path | None = None,
    ):
        images = image_set(
            data,
            protocol=protocol,
            validation=validation,
            seed=seed,
            grey=grey,
            standardise=standardise,
            data_dir=data_dir,
        )
        order = None
        if permutation is not None:
            generator = np.random.default_rng(at_least("permutation", permutation, 0))
            order = generator.permutation(images.train.pixels.shape[1])
        self.train, self.validation, self.test = (
            Batch(in_steps(part, pixels_per_step, order), part.labels)
            for part in (images.train, images.validation, images.test)
        )
        self.input_size = self.train.inputs.shape[2]
        self.output_size = images.num_classes
        self.pixels_per_step, self.permutation = pixels_per_step, permutation
        self.protocol = f"{images.name}, {images.protocol}"

    @property
    def description(self) -> str:
        """Layout, permutation, and the protocol of the sets."""
        order = "row by row"
        if self.permutation is not None:
            order = f"in one order drawn from seed {self.permutation}"
        steps, size = self.train.inputs.shape[1:]
        return (
            f"The class of an image, {self.pixels_per_step} pixels a step {order}: {steps} steps of"
            f" {size} numbers. {self.protocol}."
        )

    @property
    def chance(self) -> float:
        """The entropy of the training labels."""
        return constant_loss(self.train, "cross_entropy")

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Training images."""
        return drawn(self.train, key, batch)


def in_steps(
    images: Images, pixels_per_step: int, order: np.ndarray | None = None
) -> Float[Array, "b t m"]:
    """Images as sequences of some pixels a step, their positions in another order if one is given.

    **Raises** ValueError unless every step gets as many pixels.
    """
    total, pixels, channels = images.pixels.shape
    at_least("pixels_per_step", pixels_per_step, 1, pixels)
    if pixels % pixels_per_step:
        divisors = [n for n in range(1, pixels + 1) if pixels % n == 0]
        raise ValueError(
            f"pixels_per_step={pixels_per_step} does not divide the {pixels} pixels of an image;"
            f" these do: {', '.join(map(str, divisors))}."
        )
    placed = images.pixels if order is None else images.pixels[:, jnp.asarray(order)]
    return placed.reshape(total, pixels // pixels_per_step, pixels_per_step * channels)
