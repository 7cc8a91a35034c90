"""A stopping rule: run until the largest Lyapunov exponent is known well enough."""

from typing import Any

import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PRNGKeyArray

from echoic.core.cell import AbstractCell, State, Step, as_cell, flatten_state
from echoic.core.checks import at_least, channels_of, is_traced, sequences
from echoic.core.estimate import Estimate, Settings, Status
from echoic.measure.lyapunov.blocks import join_runs
from echoic.measure.lyapunov.spectrum import lyapunov_spectrum


def lyapunov_until(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    tolerance: float,
    key: PRNGKeyArray,
    num_exponents: int | None = None,
    state: State = None,
    chunk: int = 1000,
    max_steps: int | None = None,
    burn_in: int | None = None,
    resume: Estimate | None = None,
    throw: bool = True,
) -> Estimate:
    """Lyapunov exponents, measured until the standard error of the largest one is small enough.

    **Definition.** `lyapunov_spectrum` goes on for ``chunk`` steps at a time, the runs are joined,
    and it ends with the first chunk, the second at the earliest, after which the standard error of
    ``lambda_1`` is at most ``tolerance`` (nats per step) and the halves of the run agree.

    **Arguments**

    - ``cell``, ``inputs``, ``key``, ``num_exponents``, ``state``: as for `lyapunov_spectrum`.
    - ``tolerance``: the wanted standard error, nats per step; 0 runs to the end.
    - ``chunk``: steps between two looks at the error.
    - ``max_steps``: when to give up; by default all whole chunks of the inputs, or 100 chunks of
      an autonomous system. Steps of a resumed run are not counted.
    - ``burn_in``: as for `lyapunov_spectrum`, by default a chunk at most; none if resumed.
    - ``resume``: an earlier result, to go on from; the answer is of all steps together, as if it
      had never stopped. Inputs are those after the ones it has seen.

    **Returns:** an `Estimate` as from `join_runs`; ``settings`` hold ``tolerance`` and ``reached``.

    **Status:** as `lyapunov_spectrum`; NOT_CONVERGED also if the tolerance was not reached.

    **Raises:** ValueError for wrong arguments and under tracing, where no number can be asked;
    UntrustedError if the trajectory leaves the finite numbers and ``throw`` is set.

    **When it misleads:** an error from 20 blocks is known to 16 percent, and a rule that stops at
    the first small one stops at a lucky one: the true error is a little larger on average.

    **Cost:** that of `lyapunov_spectrum`; 64 steps a chunk more, to find the interval anew.

    **References:** Benettin, Galgani, Giorgilli & Strelcyn 1980.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> halve = lambda h, _: 0.5 * h
        >>> found = lyapunov_until(
        ...     halve, state=jnp.ones(1), tolerance=1e-3, chunk=100, key=jax.random.key(0)
        ... )
        >>> found.settings["reached"], found.settings["steps"]
        (True, 200)

        ```
    """
    if is_traced(cell, inputs, state, resume):
        raise ValueError("lyapunov_until cannot be traced: use lyapunov_spectrum with its steps.")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be 0 or more nats per step, got {tolerance!r}.")
    chunk = at_least("chunk", chunk, 2)
    if burn_in is None:
        burn_in = 0 if resume is not None else chunk
        if inputs is not None and resume is None:
            burn_in = min(chunk, _length(cell, inputs, state) // 4)
    burn_in = at_least("burn_in", burn_in, 0)
    if inputs is None:
        left = 100 * chunk if max_steps is None else at_least("max_steps", max_steps, 2)
    else:
        cell = as_cell(cell, state, channels_of(inputs))
        start = cell.initial_state() if state is None else jtu.tree_map(jnp.asarray, state)
        inputs = sequences(inputs, cell.input_size, flatten_state(start)[0].dtype)
        left = inputs.shape[1] - burn_in
        if left < 2:
            raise ValueError(
                f"burn_in must leave at least 2 of {inputs.shape[1]} steps, got {burn_in}."
            )
        left = left if max_steps is None else min(left, at_least("max_steps", max_steps, 2))
    chunk = min(chunk, left)

    joined, at, count = resume, 0, left // chunk
    settings = {"key": key, "num_exponents": num_exponents, "state": state, "steps": chunk}
    reached = False
    for number in range(count):
        skip = burn_in if number == 0 else 0
        part = None if inputs is None else inputs[:, at : at + skip + chunk]
        at += skip + chunk
        run = lyapunov_spectrum(cell, part, burn_in=skip, resume=joined, throw=False, **settings)
        joined = run if joined is None else join_runs(joined, run)
        reached = _reached(joined, tolerance)
        hopeless = Status.NOT_FINITE in joined.statuses
        if hopeless or (reached and (number > 0 or resume is not None)):
            break
    assert joined is not None
    status = joined.statuses
    if not reached and tolerance > 0:
        status |= Status.NOT_CONVERGED
    said = dict(joined.settings) | {
        "burn_in": burn_in, "chunk": chunk, "tolerance": float(tolerance), "reached": reached
    }  # fmt: skip
    joined = Estimate(
        joined.value, joined.standard_error, int(status), Settings(**said), joined.details
    )
    return joined.throw(Status.NOT_FINITE) if throw else joined


def _length(cell, inputs: Any, state: State) -> int:
    shaped = as_cell(cell, state, channels_of(inputs))
    return sequences(inputs, shaped.input_size, jnp.float32).shape[1]


def _reached(run: Estimate, tolerance: float) -> bool:
    """Whether the rule is met; where all directions die at once there is nothing to refine."""
    if float(run.value[0]) == -np.inf:
        return True
    small = float(run.standard_error[0]) <= tolerance
    return small and Status.NOT_CONVERGED not in run.statuses
