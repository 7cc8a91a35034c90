"""The user's signal, checked, scaled and described before any network sees it."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from echoic.core.records import SignalRecord
from echoic.data.series import Series

# A quarter of a gigabyte: far more steps than any measurement of a text uses.
_MOST_NUMBERS = 32_000_000


@dataclasses.dataclass(frozen=True)
class Signal:
    """A signal ready to drive networks: ``values`` (b, t, m), scaled, with its description.

    ``period`` is that of a signal that repeats itself exactly. ``white`` tells that no channel
    foretells itself, so that the input is its own best probe.
    """

    values: np.ndarray
    record: SignalRecord
    one_hot: bool
    period: int | None
    white: bool
    warnings: tuple[str, ...]

    @property
    def length(self) -> int:
        """Steps of each sequence."""
        return self.values.shape[1]


def prepare(
    inputs: Any, *, horizon: int, scale: str | None = "standardise", max_lag: int
) -> Signal:
    """Check, scale and describe ``inputs``.

    **Arguments**

    - ``inputs``: an array (t,), (t, m) or (b, t, m), a list of sequences, or a
      [`Series`][echoic.data.Series].
    - ``horizon``: the lag asked for; a sequence must be longer.
    - ``scale``: ``"standardise"`` gives every channel zero mean and unit variance over the whole
      signal; None leaves it as it is. One-hot input is never scaled.

    **Raises** ``ValueError`` for what cannot be measured: empty, too short, not finite, constant,
    complex or no numbers at all. Nothing is wrapped, padded or filled in.
    """
    series = inputs if isinstance(inputs, Series) else None
    notes = []
    if series is not None:
        series, notes = _affordable(series)
    batch, warnings = _as_batch(inputs if series is None else series.values, horizon)
    warnings = notes + warnings
    _refuse_unusable(batch)
    names = tuple(series.channels) if series is not None else tuple(map(str, range(batch.shape[2])))
    one_hot = _is_one_hot(batch)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = batch.mean((0, 1)), batch.std((0, 1))
    if not np.isfinite(deviation).all():
        raise ValueError(
            f"the input is too large for its variance to be a number: its values reach"
            f" {np.abs(batch).max():.1g}."
        )
    constant = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
    if constant.all():
        raise ValueError("the input is constant: there is nothing to remember.")
    if constant.any() and not one_hot:
        which = ", ".join(names[i] for i in np.flatnonzero(constant)[:5])
        raise ValueError(f"input channel {which} is constant: leave it out.")
    if one_hot:
        values, scaling = batch, "one-hot, left as it is"
    elif scale == "standardise":
        values, scaling = (batch - mean) / deviation, "standardised: zero mean, unit variance"
    elif scale is None:
        values, scaling = batch, "left as it is"
    else:
        raise ValueError(f"scale must be 'standardise' or None, got {scale!r}.")
    period = _exact_period(values)
    if period is not None:
        whole = values.shape[1] // period * period
        warnings.append(
            f"The input repeats itself every {period} steps: averages are taken over whole periods."
        )
        values = values[:, :whole]
    digest = hashlib.sha256(np.ascontiguousarray(batch).tobytes()).hexdigest()
    record = SignalRecord(
        name=series.name if series is not None else "input",
        source=series.source if series is not None else "array",
        sha256=series.sha256 if series is not None else digest,
        length=batch.shape[1],
        num_sequences=batch.shape[0],
        channels=names,
        sampling=series.sampling if series is not None else "",
        scaling=scaling,
        mean=mean,
        standard_deviation=deviation,
        autocorrelation=autocorrelation(values, min(max_lag, batch.shape[1] // 2)),
        licence=series.licence if series is not None else "",
        citation=series.citation if series is not None else "",
    )
    white = not one_hot and is_white(values)
    return Signal(values, record, one_hot, period, white, tuple(warnings))


def _affordable(series: Series) -> tuple[Series, list[str]]:
    """A text, whose one-hot vectors may take more memory than there is, cut to its beginning."""
    most = _MOST_NUMBERS // len(series.channels)
    if not series.one_hot or series.lengths[0] <= most:
        return series, []
    note = f"Only the first {most:,} of the text's {series.lengths[0]:,} characters are used."
    return series[:most], [note]


def autocorrelation(values: np.ndarray, max_lag: int) -> np.ndarray:
    """The autocorrelation at the lags 0..max_lag, pooled over channels and sequences.

    Normalised by the overlap, so that a periodic signal returns to 1. Cost: O(t log t).
    """
    centred = values - values.mean((0, 1))
    length = centred.shape[1]
    spectrum = np.fft.rfft(centred, 2 * length, axis=1)
    power = (spectrum * spectrum.conj()).real.sum((0, 2))
    products = np.fft.irfft(power)[: max_lag + 1] / (length - np.arange(max_lag + 1))
    return products / products[0]


def _as_batch(raw: Any, horizon: int) -> tuple[np.ndarray, list[str]]:
    warnings: list[str] = []
    if isinstance(raw, Sequence) and not isinstance(raw, str) and np.ndim(raw[0] if raw else 0):
        items = [_column(_real(item)) for item in raw]
        if len({item.shape[1] for item in items}) > 1:
            raise ValueError("all sequences must have the same number of channels.")
        long_enough = [item for item in items if len(item) > horizon]
        if not long_enough:
            longest = max(map(len, items))
            raise ValueError(
                f"no sequence is longer than the horizon of {horizon} steps: the longest has"
                f" {longest}."
            )
        length = min(map(len, long_enough))
        if len(long_enough) < len(items):
            warnings.append(
                f"{len(items) - len(long_enough)} of {len(items)} sequences are not longer than"
                f" the horizon and were left out."
            )
        if any(len(item) > length for item in long_enough):
            warnings.append(f"All sequences were cut to the {length} steps of the shortest.")
        return np.stack([item[:length] for item in long_enough]), warnings
    array = _real(raw)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise ValueError(f"inputs must have shape (t,), (t, m) or (b, t, m), got {array.shape}.")
    if 0 in array.shape:
        raise ValueError(f"the input is empty: its shape is {array.shape}.")
    if array.shape[1] <= horizon:
        turned = f" (shape {np.shape(raw)} is read as (t, m))" if np.ndim(raw) == 2 else ""
        raise ValueError(
            f"the series has {array.shape[1]} steps{turned}, not more than the horizon of"
            f" {horizon}: give a longer series or a shorter horizon."
        )
    return array, warnings


def _real(raw: Any) -> np.ndarray:
    array = np.asarray(raw)
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise ValueError(f"inputs must be real numbers, got dtype {array.dtype}.")
    return array.astype(np.float64)


def _column(array: np.ndarray) -> np.ndarray:
    return array[:, None] if array.ndim == 1 else array


def _refuse_unusable(batch: np.ndarray) -> None:
    bad = ~np.isfinite(batch)
    if bad.any():
        sequence, step, channel = map(int, np.argwhere(bad)[0])
        where = f"step {step}, channel {channel}"
        if batch.shape[0] > 1:
            where = f"sequence {sequence}, {where}"
        raise ValueError(
            f"the input holds {int(np.isnan(batch).sum())} NaN and"
            f" {int(np.isinf(batch).sum())} infinite values, the first at {where}."
        )


def _is_one_hot(batch: np.ndarray) -> bool:
    return batch.shape[2] > 1 and bool(
        np.isin(batch[:, :1000], (0.0, 1.0)).all()
        and np.isin(batch, (0.0, 1.0)).all()
        and (batch.sum(2) == 1).all()
    )


def is_white(values: np.ndarray) -> bool:
    """Whether the autocorrelation of every channel stays within its error at the first lags.

    The error of a correlation over N white samples is 1 / sqrt(N); 0.05 more is let pass, a
    quarter of a percent of foretold variance.
    """
    samples = values.shape[0] * values.shape[1]
    level = 0.05 + 4 / np.sqrt(samples)
    lags = min(100, values.shape[1] // 4)
    return lags > 0 and all(
        np.abs(autocorrelation(values[:, :, [channel]], lags)[1:]).max() < level
        for channel in range(values.shape[2])
    )


def _exact_period(values: np.ndarray) -> int | None:
    """The smallest period of a signal that repeats itself to rounding, at least four times."""
    length = values.shape[1]
    longest = length // 4
    # What stands still within each sequence has no period.
    if longest < 1 or np.abs(np.diff(values, axis=1)).max() < 1e-6:
        return None
    correlation = autocorrelation(values, longest)
    # The ends of the series blur the correlation at a period, by at most one part in four.
    peaks = (correlation[1:-1] > correlation[:-2]) & (correlation[1:-1] >= correlation[2:])
    for lag in np.flatnonzero(peaks & (correlation[1:-1] > 0.75)) + 1:
        if np.abs(values[:, lag:] - values[:, :-lag]).max() < 1e-6:
            return int(lag)
    return None
