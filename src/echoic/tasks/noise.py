"""Digit, then noise: an image is shown, noise follows, and then its class is asked."""

import math
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.checks import at_least
from echoic.core.task import AbstractTask, Batch, Split
from echoic.init.parameters import Real, real
from echoic.tasks.images import Images, image_set
from echoic.tasks.pixels import in_steps
from echoic.tasks.sequences import drawn, entropy

CLASSES = 10


class DigitThenNoise(AbstractTask):
    """Keep the class of an image through noise, asked ``noise_steps`` steps later.

    **Definition.** The image, in one step or, with ``pixels_per_step``, in several; then
    ``noise_steps`` inputs of as many independent normal numbers, fresh for every sequence, each of
    mean 0 and variance ``variance``. The images have mean 0 and that variance over all pixels, too.
    The class is asked at the last step, with cross entropy.

    With ``data="prototypes"`` an image of class c is ``sqrt(variance) (sqrt(1 - within) p_c +
    sqrt(within) z)``: ten p_c of ``size`` normal numbers, drawn once from ``seed``, and z fresh
    each time.

    **Arguments**

    - ``noise_steps``: T of the reference, 1 or more.
    - ``data``: ``"prototypes"``; or ``"mnist"``, ``"fashion_mnist"``, a file or arrays: see
      ``echoic.tasks.image_set``, also for ``protocol``, ``validation`` and ``data_dir``.
    - ``variance``: R, the mean square of every input.
    - ``pixels_per_step``: None shows the whole image at once.
    - ``size``, ``within``: of prototypes alone: numbers in an image (100 by default), and the share
      of their variance that lies within a class (0.1), in [0, 1).
    - ``seed``: of the prototypes, or of the held-out images.

    **Raises** ValueError for what does not fit; DataNotFoundError where files are missing.

    **Chance.** The entropy of the labels, ln 10 for prototypes.

    **Perfect solver.** Of prototypes the posterior of the classes, given the image. None of images.

    **Misleads.** The noise of one sequence is independent of that of another. Theory at S = 0 is
    the right one, not at S = 1: the two differ by orders of magnitude in their timescale.

    **Cost.** A batch of 128 with 784 pixels and 1,000 steps takes 0.4 GB.

    **Reference.** Chen, Pennington & Schoenholz (2018), Dynamical isometry and a mean field theory
    of RNNs, trainability experiments; the layout as reconstructed, its numbers are not printed.
    With rows of colour images: Chang, Chen, Haber & Chi (2019), AntisymmetricRNN, noise padding.

    **Example**
    >>> import jax
    >>> task = DigitThenNoise(20, size=50)
    >>> batch = task.sample(jax.random.key(0), 8)
    >>> batch.inputs.shape, bool((task.solve(batch.inputs).argmax(1) == batch.targets).all())
    ((8, 21, 50), True)
    """

    name = "digit_then_noise"
    loss = "cross_entropy"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    noise_steps: int = eqx.field(static=True)
    variance: float = eqx.field(static=True)
    within: float = eqx.field(static=True)
    prototypes: Float[Array, "k m"] | None
    images: Batch | None
    held: dict[str, Batch]
    protocol: str = eqx.field(static=True)

    def __init__(
        self,
        noise_steps: int = 20,
        *,
        data: Any = "prototypes",
        variance: Real = 1.0,
        pixels_per_step: int | None = None,
        size: int | None = None,
        within: Real | None = None,
        protocol: str = "auto",
        validation: int | None = None,
        seed: int = 0,
        data_dir: str | Path | None = None,
    ):
        self.noise_steps = at_least("noise_steps", noise_steps, 1)
        self.variance = real("variance", variance, 0.0, exclude_low=True)
        self.prototypes, self.images, self.held = None, None, {}
        self.within = real("within", 0.1 if within is None else within, 0.0, 0.99)
        at_least("seed", seed, 0)
        if isinstance(data, str) and data == "prototypes":
            if pixels_per_step is not None or protocol != "auto" or validation is not None:
                raise ValueError(
                    "prototypes are shown whole and drawn afresh: pixels_per_step, protocol and"
                    " validation are for images."
                )
            self.input_size = at_least("size", 100 if size is None else size, 1)
            self.output_size = CLASSES
            drawn_once = np.random.default_rng(seed).normal(size=(CLASSES, self.input_size))
            self.prototypes = jnp.asarray(drawn_once, jnp.float32)
            self.protocol = f"{CLASSES} Gaussian prototypes, seed {seed}"
            return
        if size is not None or within is not None:
            raise ValueError("size and within are for data='prototypes'; images have their own.")
        found = image_set(
            data,
            protocol=protocol,
            validation=validation,
            seed=seed,
            standardise=True,
            data_dir=data_dir,
        )
        whole = found.train.pixels.shape[1]
        scale = math.sqrt(self.variance)
        self.images, self.held["validation"], self.held["test"] = (
            _shown(part, whole if pixels_per_step is None else pixels_per_step, scale)
            for part in (found.train, found.validation, found.test)
        )
        self.input_size, self.output_size = self.images.inputs.shape[2], found.num_classes
        self.protocol = f"{found.name}, {found.protocol}"

    @property
    def description(self) -> str:
        """How much noise, and of which images."""
        shown = 1 if self.images is None else self.images.inputs.shape[1]
        return (
            f"The class of an image of {shown} step{'s' * (shown > 1)}, asked after"
            f" {self.noise_steps} steps of noise, both of variance {self.variance:g}."
            f" {self.protocol}."
        )

    @property
    def chance(self) -> float:
        """The entropy of the labels."""
        if self.images is None:
            return math.log(self.output_size)
        return entropy(np.bincount(np.asarray(self.images.targets)))

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Images and noise (b, t, m), classes (b,)."""
        image_key, noise_key = jr.split(key)
        if self.images is None:
            shown = self._prototypical(image_key, batch)
        else:
            shown = drawn(self.images, image_key, batch)
        shape = (batch, self.noise_steps, self.input_size)
        noise = math.sqrt(self.variance) * jr.normal(noise_key, shape, jnp.float32)
        return Batch(jnp.concatenate([shown.inputs, noise], axis=1), shown.targets)

    def _prototypical(self, key: PRNGKeyArray, batch: int) -> Batch:
        class_key, spread_key = jr.split(key)
        classes = jr.randint(class_key, (batch,), 0, self.output_size, jnp.int32)
        between, within = self._amplitudes()
        spread = within * jr.normal(spread_key, (batch, self.input_size), jnp.float32)
        images = between * jnp.asarray(self.prototypes)[classes] + spread
        return Batch(images[:, None], classes)

    def _amplitudes(self) -> tuple[float, float]:
        return (
            math.sqrt(self.variance * (1 - self.within)),
            math.sqrt(self.variance * self.within),
        )

    def held_out(self, split: Split) -> "DigitThenNoise":
        """The same task on the images of the validation or test set."""
        if self.images is None:
            return self
        return eqx.tree_at(lambda task: task.images, self, self.held[split])

    def solve(self, inputs: Float[Array, "b t m"]) -> Float[Array, "b k"] | None:
        """The logarithms of the posterior odds of the classes, up to a constant."""
        if self.prototypes is None:
            return None
        between, within = self._amplitudes()
        # Without a spread the nearest prototype is certain; a small one says the same.
        precision = 1 / max(within, 1e-2 * between) ** 2
        centres = between * self.prototypes
        match = inputs[:, 0] @ centres.T - jnp.sum(centres**2, axis=1)[None] / 2
        return precision * match


def _shown(images: Images, pixels_per_step: int, scale: float) -> Batch:
    return Batch(scale * in_steps(images, pixels_per_step), images.labels)
