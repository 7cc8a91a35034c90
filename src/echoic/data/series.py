"""A signal with its papers: values, channel names, where it comes from and who is to be cited."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

MOST_BYTES = 2_000_000_000


class DataError(ValueError):
    """The data are there, but they cannot be used as they are."""


class DataNotFoundError(FileNotFoundError):
    """The data are not there; the message says how to get them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """A time series, a set of sequences, or a text.

    **Fields**

    - ``samples``: float64 of shape (t, m); or (b, t, m) for a set of sequences of equal length; or
      a tuple of arrays (t_i, m) for a set of unequal ones; or, where ``one_hot``, the number of
      each character, integers of shape (t,), which [`values`][] spells out as one-hot vectors.
    - ``channels``: one name a channel; for a text its characters.
    - ``name``, ``description``: for people. ``source``: the file it was read from.
    - ``sha256``: of that file. ``sampling``: such as ``360 Hz``.
    - ``licence``, ``citation``: empty where nobody stated them.
    - ``labels``: one class a sequence, for labelled sets.

    A slice is a slice of time, for every sequence: ``series[:1000]``.
    """

    samples: np.ndarray | tuple[np.ndarray, ...] = dataclasses.field(repr=False)
    channels: tuple[str, ...]
    name: str
    source: str = ""
    sha256: str = ""
    sampling: str = ""
    licence: str = ""
    citation: str = ""
    description: str = ""
    one_hot: bool = False
    labels: np.ndarray | None = dataclasses.field(default=None, repr=False)

    @property
    def values(self) -> np.ndarray | tuple[np.ndarray, ...]:
        """The numbers that drive a network: (t, m), (b, t, m) or a tuple of (t_i, m), float64."""
        if isinstance(self.samples, tuple) or not self.one_hot:
            return self.samples
        size = 8 * len(self.samples) * len(self.channels)
        if size > MOST_BYTES:
            part = MOST_BYTES // (8 * len(self.channels))
            raise MemoryError(
                f"{self.name}: {len(self.samples)} characters as one-hot vectors over"
                f" {len(self.channels)} would take {size / 1e9:.1f} GB; take a part, such as"
                f" series[:{part}]."
            )
        return np.eye(len(self.channels))[self.samples]

    @property
    def lengths(self) -> tuple[int, ...]:
        """The number of steps of each sequence."""
        if isinstance(self.samples, tuple):
            return tuple(len(sequence) for sequence in self.samples)
        if self.samples.ndim == 3:
            return (self.samples.shape[1],) * self.samples.shape[0]
        return (len(self.samples),)

    @property
    def num_sequences(self) -> int:
        """How many sequences there are: 1 for a plain time series."""
        return len(self.lengths)

    def __getitem__(self, part: slice) -> "Series":
        if not isinstance(part, slice):
            raise TypeError(f"a series is cut in time by a slice, series[:1000], got {part!r}.")
        if isinstance(self.samples, tuple):
            samples = tuple(sequence[part] for sequence in self.samples)
        else:
            samples = self.samples[:, part] if self.samples.ndim == 3 else self.samples[part]
        return dataclasses.replace(self, samples=samples)

    def sequence(self, index: int) -> "Series":
        """One sequence of a set as a series of its own, counted from 0."""
        if not 0 <= index < self.num_sequences:
            raise DataError(
                f"{self.name} holds the sequences 0..{self.num_sequences - 1}, got {index}."
            )
        if isinstance(self.samples, np.ndarray) and self.samples.ndim < 3:
            return self
        labels = None if self.labels is None else self.labels[index : index + 1]
        return dataclasses.replace(
            self, samples=self.samples[index], name=f"{self.name}:{index}", labels=labels
        )


def checked(series: Series, place: Callable[[int], str] = "row {}".format) -> Series:
    """``series`` if a network can be driven with it, else an error that says where it fails.

    ``place`` names the place of a step (counted from 0) in the file, for the error.
    """
    if series.num_sequences == 0 or min(series.lengths) == 0:
        raise DataError(f"{series.name} is empty: it has no steps.")
    if max(series.lengths) < 2:
        raise DataError(f"{series.name} has a single step; a series has one step a row.")
    if series.one_hot:
        if len(series.channels) < 2:
            raise DataError(f"{series.name} is constant: one character over and over.")
        return series
    parts = series.samples if isinstance(series.samples, tuple) else (series.samples,)
    for channel, title in enumerate(series.channels):
        _refuse_not_finite(series.name, title, [part[..., channel] for part in parts], place)
        lowest = min(part[..., channel].min() for part in parts)
        if lowest == max(part[..., channel].max() for part in parts):
            raise DataError(
                f"{series.name}: column {title!r} is constant ({lowest:g}): there is nothing to"
                " remember; leave it out."
            )
    return series


def _refuse_not_finite(
    name: str, title: str, parts: Sequence[np.ndarray], place: Callable[[int], str]
) -> None:
    for index, part in enumerate(parts):
        if np.isfinite(part).all():
            continue
        found = [("NaN", np.isnan(part)), ("infinite", np.isinf(part))]
        counts = " and ".join(f"{mask.sum()} {kind}" for kind, mask in found if mask.any())
        first = np.unravel_index(int(np.argmin(np.isfinite(part))), part.shape)
        where = place(int(first[-1]))
        if part.ndim == 2 or len(parts) > 1:
            where += f" of sequence {first[0] if part.ndim == 2 else index}"
        raise DataError(
            f"{name}: {counts}, first at {where}, column {title!r}: fill or cut the gaps first."
        )
