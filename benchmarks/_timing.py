"""The one way in which benchmarks take times."""

import time
from collections.abc import Callable
from typing import Any

import jax


def timed(call: Callable[[], Any], repeats: int) -> tuple[Any, float, float]:
    """The result, the time of the first call, and the smallest of the others."""
    started = time.perf_counter()
    result = jax.block_until_ready(call())
    first = time.perf_counter() - started
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(call())
        best = min(best, time.perf_counter() - started)
    return result, first, best
