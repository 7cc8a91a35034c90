"""What a prescription needs to know of the user's input."""

import dataclasses
import functools
from typing import Any

import numpy as np
from scipy.signal import lfilter

from echoic.core.estimate import Settings
from echoic.data.signal import Signal, prepare


@dataclasses.dataclass(frozen=True, eq=False)
class InputStatistics:
    """Moments and spectrum of a prepared signal, uncentred: a mean drives a network as well.

    **Fields and properties**

    - ``signal``: the prepared signal, ``signal.values`` of shape (b, t, m).
    - ``energy``: ``E |x_t|^2``, summed over channels. Entries of V of standard deviation nu give
      pre-activations of variance ``nu^2 energy``.
    - ``power``: R, the same per channel; ``shared``: Sigma, the cosine between independent
      windows, ``|E x|^2 / energy``: 0 for a standardised signal, sum of p_i^2 for one-hot text.
    - ``mean``, ``deviation``: shape (m,).
    """

    signal: Signal

    @property
    def values(self) -> np.ndarray:
        """The signal that drives the networks, (b, t, m)."""
        return self.signal.values

    @property
    def input_size(self) -> int:
        """The number of channels m."""
        return self.values.shape[2]

    @functools.cached_property
    def energy(self) -> float:
        """``E |x_t|^2``."""
        return float(np.mean(np.sum(self.values**2, axis=2)))

    @property
    def power(self) -> float:
        """R: the second moment per channel."""
        return self.energy / self.input_size

    @property
    def shared(self) -> float:
        """Sigma: the cosine between the inputs of two independent windows."""
        return float(np.sum(self.mean**2)) / self.energy

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """The mean of each channel, (m,)."""
        return self.values.mean((0, 1))

    @functools.cached_property
    def deviation(self) -> np.ndarray:
        """The standard deviation of each channel, (m,)."""
        return self.values.std((0, 1))

    @functools.cached_property
    def products(self) -> np.ndarray:
        """``E x_t . x_{t+k}`` over the lags 0 to t - 1, biased to 0 at long lags (never negative
        in its spectrum).
        """
        length = self.values.shape[1]
        total = np.zeros(length)
        for channel in range(self.input_size):
            spectrum = np.fft.rfft(self.values[:, :, channel], 2 * length, axis=1)
            power = np.mean(np.abs(spectrum) ** 2, axis=0)
            total += np.fft.irfft(power)[:length]
        return total / length

    def leaky_energy(self, decay: float) -> float:
        """``E |y_t|^2`` of ``y_t = decay y_{t-1} + x_t``, run over the signal itself.

        What leaky integrators hold of the signal, its mean and slow parts included.
        """
        filtered = np.asarray(lfilter([1.0], [1.0, -decay], self.values, axis=1))
        return float(np.mean(np.sum(filtered**2, axis=2)))

    def resonant_energy(self, decay: float) -> float:
        """The largest of ``E |y_t|^2``, ``y_t = decay exp(i w) y_{t-1} + x_t``, over angles w.

        What the mode of an orthogonal network that the signal hits best would hold.
        """
        kept = self.products * decay ** np.arange(len(self.products))
        spectrum = 2 * np.fft.rfft(kept, 2 * len(kept)).real - kept[0]
        return float(spectrum.max()) / (1 - decay**2)

    def dominant_period(self, longest: float) -> float:
        """The period, in steps, of the strongest rhythm between 2 and ``longest`` steps."""
        centred = self.values - self.values.mean((0, 1))
        length = centred.shape[1]
        power = np.sum(np.abs(np.fft.rfft(centred, axis=1)) ** 2, axis=(0, 2))
        frequency = np.fft.rfftfreq(length)
        inside = (frequency >= 1 / longest) & (frequency <= 0.5)
        # Smoothed over neighbours: a single bin of a periodogram is as uncertain as it is large.
        smooth = np.convolve(power, np.ones(5) / 5, "same")
        if not inside.any():
            return float(longest)
        return float(1 / frequency[np.argmax(np.where(inside, smooth, -1.0))])

    def windows(self, count: int, length: int, seed: int = 0) -> np.ndarray:
        """``count`` stretches of ``length`` steps at random places, (count, length, m).

        They are cut short where the signal is shorter; drawn with ``seed``, the same each time.
        """
        batch, steps, _ = self.values.shape
        length = min(length, steps)
        rng = np.random.default_rng(seed)
        rows = rng.permutation(np.arange(count) % batch)
        firsts = rng.integers(0, steps - length + 1, count)
        return np.stack([self.values[r, f : f + length] for r, f in zip(rows, firsts, strict=True)])

    def summary(self) -> Settings:
        """The numbers that prescriptions rest on."""
        return Settings(
            channels=self.input_size,
            power=self.power,
            shared=self.shared,
            scaling=self.signal.record.scaling,
        )


def input_statistics(
    inputs: Any, *, horizon: int, scale: str | None = "standardise"
) -> InputStatistics:
    """The statistics of ``inputs``, checked and scaled as a checkup would.

    **Raises** ValueError for inputs that cannot drive a network: see
    [`checkup`][echoic.checkup].

    ```python
    >>> import numpy as np
    >>> s = input_statistics(np.random.default_rng(0).normal(size=5000), horizon=50)
    >>> bool(abs(s.leaky_energy(0.9) * (1 - 0.9**2) - 1) < 0.15), s.input_size
    (True, 1)

    ```
    """
    return InputStatistics(prepare(inputs, horizon=horizon, scale=scale, max_lag=horizon))
