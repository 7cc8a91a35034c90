"""Fewer points for drawing: the shape of a curve, not all of its lags or steps."""

from collections.abc import Sequence

import numpy as np


def evenly(count: int, most: int) -> np.ndarray:
    """Positions out of ``count``, at most ``most``, evenly spread; first and last among them.

    ??? example
        >>> evenly(9, 3).tolist(), evenly(2, 3).tolist()
        ([0, 4, 8], [0, 1])
    """
    return np.unique(np.round(np.linspace(0, count - 1, min(count, most))).astype(int))


def thinned(lags: np.ndarray, most: int, keep: Sequence[int | None] = ()) -> np.ndarray:
    """Positions in ``lags`` to draw: all of the first, then equal ratios, at most about ``most``.

    The first and last lag and those in ``keep`` (horizons, peaks) are always among them.

    ??? example
        >>> chosen = thinned(np.arange(2001), 100, keep=[250])
        >>> bool(len(chosen) <= 103 and {0, 1, 2, 3, 250, 2000} <= set(chosen.tolist()))
        True
    """
    count = len(lags)
    if count <= most:
        return np.arange(count)
    chosen = np.geomspace(1, count, most)
    # At small lags equal ratios name the same lag more than once. What they waste is given back.
    for _ in range(8):
        wasted = most - len(np.unique(np.round(chosen)))
        if wasted <= 0:
            break
        chosen = np.geomspace(1, count, len(chosen) + wasted)
    chosen = np.unique(np.round(chosen).astype(int)) - 1
    wanted = [lag for lag in keep if lag is not None]
    extra = np.flatnonzero(np.isin(lags, wanted))
    return np.unique(np.r_[0, chosen, extra, count - 1])
