"""Labelled images in three parts that share none, and under which protocol they were cut."""

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from echoic import data as known
from echoic.core.checks import at_least, one_of
from echoic.tasks.sequences import parts_of

# The luma of ITU-R 601, which is what image libraries take for grey.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Source = Any  # the name of a set, the path of an .npz file, or arrays


class Images(NamedTuple):
    """Images row by row, each of p pixels with c channels, and their classes."""

    pixels: Float[Array, "b p c"]
    labels: Int[Array, "b"]


class ImageSet(NamedTuple):
    """Three parts, and a sentence that says how they came about.

    ``width`` is that of an image in pixels, None where they came as rows of pixels.
    """

    train: Images
    validation: Images
    test: Images
    name: str
    protocol: str
    width: int | None

    @property
    def num_classes(self) -> int:
        """One more than the largest label."""
        return 1 + max(int(part.labels.max()) for part in (self.train, self.validation, self.test))


class Raw(NamedTuple):
    """What was found: images to train on and to test on, or all of them in one."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray] | None
    name: str
    protocol: str
    validation: int | None = None


def image_set(
    source: Source,
    *,
    protocol: str = "auto",
    validation: int | None = None,
    seed: int = 0,
    grey: bool = False,
    standardise: bool = False,
    data_dir: str | Path | None = None,
) -> ImageSet:
    """Images by name, file or array, as numbers in [0, 1], in three parts.

    **Arguments**

    - ``source``: ``"mnist"``, ``"fashion_mnist"``, ``"digits"`` (of scikit-learn); an ``.npz`` file
      with arrays ``images`` and ``labels``, or ``x_train``, ``y_train``, ``x_test``, ``y_test``; or
      the same as a tuple of arrays, (images, labels) or ((images, labels), (images, labels)).
      Images have shape (b, h, w), (b, h, w, c) or (b, p); integers are divided by the largest one.
    - ``protocol``: of the named sets ``"full"`` (the customary 60,000 to train, 10,000 to test),
      ``"small"`` (see below), or ``"auto"``: full if the files are there, else small.
    - ``validation``: how many training images are held out; 1,000 of the named sets, else a tenth.
    - ``seed``: of the permutation by which they are held out.
    - ``grey``: the luma of three channels.
    - ``standardise``: mean 0 and variance 1 over all pixels of the training images.

    Small MNIST trains on the 10,000 images of the official test set and tests on 5,000 of the
    official training set. Small Fashion-MNIST cuts the official test set in 8,000, 1,000 and 1,000.
    """
    found = _raw(source, protocol, data_dir)
    pixels, labels, width = _arrays(found)
    total = len(found.train[1])
    held = validation if validation is not None else found.validation
    held = at_least("validation", max(1, total // 10) if held is None else held, 1, total - 1)
    if grey:
        if pixels.shape[2] != 3:
            raise ValueError(f"grey takes images of 3 channels, these have {pixels.shape[2]}.")
        pixels = (pixels @ LUMA)[:, :, None]
    if found.test is None:
        rows = parts_of(total, held, held, seed)
    else:
        test = np.random.default_rng(seed).permutation(len(found.test[1]))
        rows = [*parts_of(total, held, 0, seed)[:2], total + test]
    if standardise:
        mean, deviation = pixels[rows[0]].mean(), pixels[rows[0]].std()
        pixels = (pixels - mean) / deviation
    parts = [Images(jnp.asarray(pixels[row]), jnp.asarray(labels[row])) for row in rows]
    sizes = " / ".join(f"{len(row):,}" for row in rows)
    told = f"{found.protocol}; {sizes} images to train, validate and test, seed {seed}"
    return ImageSet(parts[0], parts[1], parts[2], found.name, told, width)


def _raw(source: Source, protocol: str, data_dir: str | Path | None) -> Raw:
    if isinstance(source, str) and source in NAMED:
        one_of("protocol", protocol, ("auto", "full", "small"))
        if protocol == "full":
            return _full(source, data_dir)
        if protocol == "small":
            return NAMED[source](data_dir)
        try:
            return _full(source, data_dir)
        except known.DataNotFoundError as missing:
            try:
                return NAMED[source](data_dir)
            except known.DataNotFoundError:
                raise missing from None
    if protocol != "auto":
        raise ValueError(f"protocol={protocol!r} is for the sets {', '.join(NAMED)}.")
    if isinstance(source, str) and source == DIGITS:
        return _digits()
    if isinstance(source, str | Path):
        return _from_file(source)
    return _from_arrays(source, "images")


def _full(name: str, data_dir: Any) -> Raw:
    train, test = (_named(f"{name}_{part}", data_dir) for part in ("train", "test"))
    return Raw(train, test, name, "the customary split", 1000)


def _small_mnist(data_dir: Any) -> Raw:
    train, test = _named("mnist_test", data_dir), _named("mnist5k", data_dir)
    told = (
        "not the customary split: trained on the official test set, tested on 5,000 images of the"
        " official training set"
    )
    return Raw(train, test, "mnist", told, 1000)


def _small_fashion(data_dir: Any) -> Raw:
    told = "not the customary split: all parts from the official test set"
    return Raw(_named("fashion_mnist_test", data_dir), None, "fashion_mnist", told, 1000)


def _digits() -> Raw:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise known.DataNotFoundError(
            "these digits come with scikit-learn: pip install 'echoic[digits]'."
        ) from error
    found: Any = load_digits()
    images = found.images.astype(np.uint8)
    return Raw((images, found.target), None, DIGITS, "8 x 8 digits of scikit-learn, one set cut")


NAMED = {"mnist": _small_mnist, "fashion_mnist": _small_fashion}
DIGITS = "digits"


def _named(name: str, data_dir: Any) -> tuple[np.ndarray, np.ndarray]:
    series = known.load(name, data_dir=data_dir)
    side = int(series.lengths[0] ** 0.5)
    images = np.asarray(series.samples, np.float32).reshape(-1, side, side)
    return images, np.asarray(series.labels)


def _from_file(source: str | Path) -> Raw:
    path = Path(source).expanduser()
    if path.suffix != ".npz":
        near = "" if path.suffix else f" Known sets: {', '.join((*NAMED, DIGITS))}."
        raise ValueError(f"images are read from .npz files, got {str(source)!r}.{near}")
    if not path.is_file():
        raise known.DataNotFoundError(f"there is no file {str(path)!r}.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            stored = dict(archive)
    except Exception as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
            raise
        raise known.DataError(f"{path} is damaged, or no archive of plain arrays.") from error
    if {"images", "labels"} <= set(stored):
        return _from_arrays((stored["images"], stored["labels"]), path.stem)
    four = ("x_train", "y_train", "x_test", "y_test")
    if set(four) <= set(stored):
        train, test = ((stored[four[i]], stored[four[i + 1]]) for i in (0, 2))
        return _from_arrays((train, test), path.stem)
    raise known.DataError(
        f"{path} must hold images and labels, or {', '.join(four)}; it holds"
        f" {', '.join(sorted(stored))}."
    )


def _from_arrays(source: Any, name: str) -> Raw:
    if not isinstance(source, tuple) or len(source) != 2:
        raise ValueError(
            "images must be a name, a path, or a tuple of arrays: (images, labels), or"
            f" ((images, labels), (images, labels)); got {type(source).__name__}."
        )
    if isinstance(source[0], tuple):
        return Raw(_pair(source[0]), _pair(source[1]), name, "training and test set as given")
    return Raw(_pair(source), None, name, "cut from one set")


def _pair(arrays: Any) -> tuple[np.ndarray, np.ndarray]:
    images, labels = arrays
    return np.asarray(images), np.asarray(labels)


def _arrays(found: Raw) -> tuple[np.ndarray, np.ndarray, int | None]:
    """All images (b, p, c) in [0, 1], all labels, and the width of an image."""
    pairs = [found.train] + ([] if found.test is None else [found.test])
    for images, labels in pairs:
        if images.ndim not in (2, 3, 4) or 0 in images.shape:
            raise ValueError(
                f"images must have shape (b, h, w), (b, h, w, c) or (b, p), got {images.shape}."
            )
        if np.ravel(labels).shape != images.shape[:1]:
            raise ValueError(f"there are {len(images)} images and {np.size(labels)} labels.")
        if labels.dtype.kind not in "iu" or labels.min() < 0:
            raise ValueError(f"labels must be integers from 0 on, got {labels.dtype}.")
    if len({images.shape[1:] for images, _ in pairs}) > 1:
        shapes = " and ".join(str(images.shape) for images, _ in pairs)
        raise ValueError(f"training and test images have different shapes: {shapes}.")
    images = np.concatenate([images for images, _ in pairs])
    labels = np.concatenate([np.ravel(labels) for _, labels in pairs]).astype(np.int32)
    if images.dtype.kind in "iu":
        images = images / np.float32(images.max())
    images = images.astype(np.float32)
    if not np.isfinite(images).all():
        where = int(np.argwhere(~np.isfinite(images))[0, 0])
        raise ValueError(f"images hold numbers that are NaN or infinite, first in image {where}.")
    channels = images.shape[3] if images.ndim == 4 else 1
    width = None if images.ndim == 2 else images.shape[2]
    return images.reshape(len(images), -1, channels), labels, width
