"""The tangent kernel of one plain network beside a dense Jacobian: seconds and peak memory.

256 units, 100 steps, one output, float64. The peer is what one writes first: ``jax.jacrev`` of the
outputs over all weights, then one product. Memory is what the compiler sets aside for temporaries
and results. Both must agree to 1e-9 before anything is compared.
"""

import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np

from echoic.cells import Elman, Readout
from echoic.core.cell import without_law
from echoic.measure.kernels import tangent as ours

UNITS, STEPS = 256, 100
LEAST_SAVING = 10


def peer(cell, readout, xs):
    trained, fixed = eqx.partition((cell, readout), eqx.is_inexact_array)

    def outputs(trained):
        cell, readout = eqx.combine(trained, fixed)

        def step(state, x):
            state = cell.step(state, x)
            return state, readout(cell.output(state))

        return jax.lax.scan(step, cell.initial_state(), xs)[1]

    parts = jtu.tree_leaves(jax.jacrev(outputs)(trained))
    rows = [part.reshape(STEPS, -1) for part in parts]
    return sum(row @ row.T for row in rows)


def measured(function, *arguments):
    """The answer, seconds (smallest of three), megabytes."""
    jitted: Any = eqx.filter_jit(function)
    compiled = jitted.lower(*arguments).compile()
    memory = compiled.compiled.memory_analysis()
    times, answer = [], None
    for _ in range(3):
        started = time.perf_counter()
        answer = jax.block_until_ready(compiled(*arguments))
        times.append(time.perf_counter() - started)
    peak = memory.temp_size_in_bytes + memory.output_size_in_bytes
    return np.asarray(answer), min(times), peak / 1e6


def main() -> None:
    with jax.enable_x64(True):
        keys = jr.split(jr.key(0), 3)
        cell = without_law(Elman(1, UNITS, key=keys[0], dtype=jnp.float64))
        readout = Readout(UNITS, 1, key=keys[1], dtype=jnp.float64)
        xs = jr.normal(keys[2], (STEPS, 1), jnp.float64)
        dense, dense_seconds, dense_megabytes = measured(peer, cell, readout, xs)

        def contracted(cell, readout, xs):
            return ours.tangent_kernel(cell, xs, readout=readout).value[:, 0, :, 0]

        found, seconds, megabytes = measured(contracted, cell, readout, xs)
    error = np.max(np.abs(found - dense)) / np.max(np.abs(dense))
    print(f"Tangent kernel, n = {UNITS}, t = {STEPS}: relative difference {error:.1e}")
    print(f"jacrev {dense_seconds:8.3f} s {dense_megabytes:8.1f} MB")
    print(f"echoic {seconds:8.3f} s {megabytes:8.1f} MB")
    print("agree to 1e-9:", "yes" if error < 1e-9 else "FAILED")
    print("no slower:", "yes" if seconds <= dense_seconds else "FAILED")
    saved = dense_megabytes >= LEAST_SAVING * megabytes
    print(f"a {LEAST_SAVING}th of the memory:", "yes" if saved else "FAILED")


if __name__ == "__main__":
    main()
