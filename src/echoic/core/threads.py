"""Work shared among the cores: XLA's processor runs a loop on one of them."""

import concurrent.futures
import os
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import threadpoolctl
from jaxtyping import Array


def num_workers(num_parts: int) -> int:
    """How many threads: one a core, but on an accelerator one alone."""
    if jax.default_backend() != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(num_parts, cores or 1))


def one_blas_thread() -> Any:
    """A context in which BLAS and LAPACK bring no threads of their own.

    Their waiting threads spin: four of them on two cores were seen to take ten times as long as
    one.
    """
    return _controller().limit(limits=1, user_api="blas")


@lru_cache
def _controller() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()


def map_rows(program: Any, rows: Array, *arguments: Any) -> Any:
    """``program(rows, *arguments)``, the rows shared among the cores.

    ``program`` is a function of `equinox.filter_jit` that treats each row by itself, and returns
    arrays with the rows in front. It is compiled by the thread that calls, whose JAX settings
    (precision, promotion) the others do not share; they only run it.
    """
    workers = num_workers(len(rows))
    if workers == 1:
        return program(rows, *arguments)
    share = -(-len(rows) // workers)
    # Neighbours may be alike in cost: each worker takes every so manieth row. Rows that fill up
    # are the first ones again.
    filled = np.asarray(rows)[np.arange(share * workers) % len(rows)]
    parts = [jnp.asarray(filled[i::workers]) for i in range(workers)]
    compiled = program.lower(parts[0], *arguments).compile()

    def work(part: Array) -> Any:
        return jax.tree.map(np.asarray, compiled(part, *arguments))

    with one_blas_thread(), concurrent.futures.ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(work, parts))
    return jax.tree.map(
        lambda *leaves: np.stack(leaves, 1).reshape(-1, *leaves[0].shape[1:])[: len(rows)], *done
    )
