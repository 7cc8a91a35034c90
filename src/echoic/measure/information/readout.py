"""Linear readouts of a run, for all lags at once, judged on data that they were not fitted to."""

from typing import NamedTuple

import numpy as np
from scipy.fft import next_fast_len

RIDGES = (1e-24, 1e-18, 1e-14, 1e-11, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


class Moments(NamedTuple):
    """Sums over each fold: of products of features, of features and targets, of targets squared.

    Features are the principal components of the outputs, brought to unit power over all folds;
    ``weight`` is the power they had, in units of one output.
    """

    gram: np.ndarray  # (folds, p, p)
    cross: np.ndarray  # (folds, p, k, m)
    power: np.ndarray  # (folds, k, m)
    weight: np.ndarray  # (p,)


class Recall(NamedTuple):
    """R^2 for each lag, its standard error, the ridge that was used, and both channel by channel.

    A channel that does not vary has no R^2: NaN.
    """

    value: np.ndarray
    standard_error: np.ndarray
    ridge: float
    by_channel: np.ndarray  # (k, m)
    channel_error: np.ndarray


def moments(
    features: np.ndarray, targets: np.ndarray, max_lag: int, future: int, folds: int
) -> Moments:
    """Second moments of ``features`` (w, t, p) with ``targets`` (w, max_lag + t + future, m).

    Feature ``t`` belongs to target ``max_lag + t``. Lags run from ``-future`` to ``max_lag``.
    Both sides are centred, each lag by itself. All lags come from one correlation by Fourier
    transform, O(t log t) a feature instead of O(t k).
    """
    features, weight = principal(features)
    targets = targets - targets.mean(axis=(0, 1))
    windows, steps, size = features.shape
    channels, lags = targets.shape[2], max_lag + future + 1
    length = next_fast_len(targets.shape[1], real=True)
    spectra = np.fft.rfft(targets, length, axis=1)
    total, power = _moving_sum(targets, steps), _moving_sum(targets**2, steps)
    mean = total.sum(axis=0) / (windows * steps)  # of each lag: the readout has an intercept
    power = power - 2 * mean * total + steps * mean**2

    gram = np.zeros((folds, size, size))
    cross = np.zeros((folds, size, lags, channels))
    totals = np.zeros((folds, lags, channels))
    for fold, members in enumerate(np.array_split(np.arange(windows), folds)):
        flat = features[members].reshape(len(members) * steps, size)
        gram[fold] = flat.T @ flat
        totals[fold] = power[members].sum(axis=0)
        offset = flat.sum(axis=0)
        for start in range(0, size, 64):  # bounds the memory of the transforms
            part = slice(start, start + 64)
            own = np.fft.rfft(features[members, :, part], length, axis=1).conj()
            for channel in range(channels):
                product = np.einsum("wfp,wf->pf", own, spectra[members, :, channel])
                shifted = np.fft.irfft(product, length, axis=1)[:, :lags]
                cross[fold, part, :, channel] = shifted[:, ::-1]
        cross[fold] -= offset[:, None, None] * mean
    return Moments(gram, cross, totals, weight)


def _moving_sum(series: np.ndarray, steps: int) -> np.ndarray:
    """Sums over ``steps`` in a row, the newest first."""
    total = np.cumsum(np.pad(series, ((0, 0), (1, 0), (0, 0))), axis=1)
    return (total[:, steps:] - total[:, :-steps])[:, ::-1]


def principal(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal components (w, t, p) with unit mean square, and the power of each before.

    By orthogonal triangularisation: a Gram matrix of the outputs would lose all directions of
    less than 1e-8 of the largest amplitude, and generic linear networks keep their past in them.
    """
    windows, steps, size = features.shape
    flat = features.reshape(-1, size) - features.mean(axis=(0, 1))
    scale = np.sqrt((flat**2).mean(axis=0))
    flat /= np.where(scale > 0, scale, 1)
    orthogonal, upper = np.linalg.qr(flat)  # not SciPy's: two BLAS thread pools fight for cores
    left, amplitude, _ = np.linalg.svd(upper)
    seen = amplitude > len(flat) * np.finfo(float).eps * amplitude.max(initial=0.0)
    components = orthogonal @ left[:, : len(amplitude)][:, seen] * np.sqrt(len(flat))
    weight = amplitude[seen] ** 2 / len(flat)
    return components.reshape(windows, steps, len(weight)), weight


def held_out_recall(moments: Moments, samples: int, future: int = 0) -> Recall:
    """R^2 of the best linear readout, for each lag, pooled over channels.

    Each fold is held out once. With p features and N samples a fitted readout looks better on
    its own data than the best one is, and does worse on new data, by the same amount (about p/N)
    to first order, also when the features are correlated in time: the mean of the two R^2 is
    free of both. One ridge serves all lags, the one with the largest mean from lag 0 on. (The best
    on held-out data alone is a strong one wherever most lags are forgotten, and shrinks the rest.)
    """
    folds, size, lags, channels = moments.cross.shape
    cross = moments.cross.reshape(folds, size, lags * channels) / samples
    gram, power = moments.gram / samples, moments.power.reshape(folds, -1) / samples
    spread = np.maximum(power.sum(axis=0), np.finfo(float).tiny)
    total_gram, total_cross, total_power = gram.sum(axis=0), cross.sum(axis=0), power.sum(axis=0)

    def judge(ridge: float, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared errors of each fold, on the data of the fit and on the held-out fold."""
        errors = []
        for fold in range(folds):
            held, held_cross, held_power = gram[fold], cross[fold][:, columns], power[fold][columns]
            own, own_cross = total_gram - held, total_cross[:, columns] - held_cross
            readout = _fit(own, own_cross, ridge / moments.weight)
            errors.append(
                (
                    _error(readout, own, own_cross, total_power[columns] - held_power),
                    _error(readout, held, held_cross, held_power),
                )
            )
        inside, outside = np.array(errors).transpose(1, 0, 2)
        return inside, outside

    few = future + np.unique(np.geomspace(1, lags - future, 64).astype(int) - 1)
    few = (few[:, None] * channels + np.arange(channels)).ravel()
    losses = []
    for ridge in RIDGES:
        inside, outside = (errors.sum(axis=0) for errors in judge(ridge, few))
        losses.append(np.sum((inside / (folds - 1) + outside) / spread[few]))
    ridge = RIDGES[int(np.argmin(losses))]
    inside, outside = judge(ridge, np.arange(lags * channels))

    def judged(pool) -> tuple[np.ndarray, np.ndarray]:
        own, new = pool(inside), pool(outside)
        own_power, new_power = pool(total_power - power), pool(power)
        own_data = _explained(own.sum(axis=0), own_power.sum(axis=0))
        new_data = _explained(new.sum(axis=0), new_power.sum(axis=0))
        # A symbol that a fold lacks has no error there.
        error = _explained(new, new_power).std(axis=0, ddof=1) / np.sqrt(folds)
        return (own_data + new_data) / 2, error

    shape = (folds, lags, channels)
    value, error = judged(lambda array: array.reshape(shape).sum(axis=2))
    by_channel, channel_error = judged(lambda array: array.reshape(shape))
    return Recall(value, error, ridge, by_channel, channel_error)


def _explained(error: np.ndarray, power: np.ndarray) -> np.ndarray:
    """The share of the power that is no error; NaN where a target is constant and has none."""
    return 1 - np.divide(error, power, out=np.full_like(error, np.nan), where=power > 0)


def _fit(gram: np.ndarray, cross: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Ridge regression. ``penalty`` belongs to the unit-power features, one entry each."""
    scale = 1 / np.sqrt(1 + penalty)  # where it is huge, the matrix keeps a unit diagonal
    matrix = scale[:, None] * gram * scale + np.diag(penalty * scale**2)
    return scale[:, None] * np.linalg.solve(matrix, scale[:, None] * cross)


def _error(readout: np.ndarray, gram: np.ndarray, cross: np.ndarray, power: np.ndarray):
    """Sum of squared errors of each column of ``readout``, from second moments."""
    return power - np.sum(readout * (2 * cross - gram @ readout), axis=0)
