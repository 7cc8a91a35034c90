"""The spectral radius that acts: of the whole update, not of one of its matrices."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from echoic.core.cell import AbstractCell, State, Step, flatten_state
from echoic.core.checks import at_least, is_traced, refuse_if_larger
from echoic.core.estimate import Estimate, Status
from echoic.core.tangent import all_finite, jacobian
from echoic.measure.matrices.eigenvalues import eigenvalues
from echoic.measure.matrices.square_matrix import exact, for_each_matrix, power_of_two
from echoic.measure.windows import Driven, prepare


def effective_spectral_radius(
    cell: AbstractCell | Step, inputs: Any = None, *, burn_in: int = 0, state: State = None
) -> Estimate:
    """The spectral radius of the network's Jacobian, at rest or averaged over a driven run.

    **Definition.** ``rho(A)``, A = dh'/dh over the full state: at the initial state under zero
    input or, with ``inputs``, averaged over the run after ``burn_in`` steps. A tanh network at rest
    has ``A = W``; a leaky one ``(1 - a) 1 + a W``, whose radius reservoir computing knows under
    this name; a gated one a matrix that is none of its blocks.

    **Arguments:** ``cell``: a cell, or a function ``step(state, x) -> state`` with its initial
    ``state``; ``inputs``: shape (t,), (t, m) or (b, t, m), or None.

    **Returns:** an `Estimate`. Details: ``eigenvalues`` of A, largest modulus first, ``matrix``, A.
    Status ILL_CONDITIONED where rounding may have moved the largest modulus by 1e-6 of ``|A|``.

    **Raises:** ValueError for inputs that do not fit or are shorter than ``burn_in``, and under
    tracing (done by LAPACK).

    **When the number misleads:** it is no growth rate. Of a driven network that is the largest
    Lyapunov exponent: the mean of products is not the product of means.

    **Cost:** n tangents a step, once O(n^3).

    **Reference:** Jaeger, Lukosevicius, Popovici & Siewert (2007), Neural Networks 20, for leaky
    units.

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> leaky = lambda h, x: 0.75 * h + 0.25 * jnp.tanh(-0.5 * h + x)
        >>> bool(abs(effective_spectral_radius(leaky, state=jnp.zeros(2)).value - 0.625) < 1e-6)
        True

        ```
    """
    burn_in = at_least("burn_in", burn_in, 0)
    # Rest is one step of zero input; a bare function is not told what that looks like.
    silent = np.zeros(1) if inputs is None and not isinstance(cell, AbstractCell) else inputs
    driven = prepare(cell, silent, state, 1 if silent is None else None)
    if burn_in >= driven.inputs.shape[1]:
        raise ValueError(
            f"burn_in={burn_in} leaves nothing of sequences of {driven.inputs.shape[1]} steps."
        )
    size = flatten_state(driven.state)[0].size
    refuse_if_larger("the mean Jacobian", 20.0 * 8 * size**2)
    mean = _mean_jacobian(driven, jnp.asarray(burn_in, jnp.int32))
    if is_traced(mean):
        raise ValueError(
            "this measure is computed by LAPACK and cannot be traced: call it outside."
        )

    def measure(array: np.ndarray) -> Estimate:
        found = eigenvalues(array)
        scale = power_of_two(array)
        size = scale * np.linalg.norm(array / scale)
        doubtful = np.any(
            (np.abs(found.values) + found.error) > np.abs(found.values[0]) + 1e-6 * size
        )
        status = Status.ILL_CONDITIONED if doubtful else Status.OK
        details = {"eigenvalues": found.values, "matrix": array}
        settings = {"burn_in": burn_in, "at": "rest" if inputs is None else "mean over the inputs"}
        return exact(np.abs(found.values[0]), status, settings, details)

    return for_each_matrix("the effective spectral radius", measure, np.asarray(mean), None)


@eqx.filter_jit
def _mean_jacobian(driven: Driven, burn_in) -> Float[Array, "n n"]:
    """The average over all sequences and over the steps from ``burn_in`` on.

    NaN where a trajectory is not finite, which the Jacobian of a linear cell does not show.
    """

    def one(xs):
        def advance(carry, x):
            state, total, step = carry
            state, here = jacobian(driven.cell, state, x)
            return (state, total + jnp.where(step >= burn_in, here, 0), step + 1), None

        size = jax.eval_shape(lambda: jacobian(driven.cell, driven.state, xs[0])[1])
        start = (driven.state, jnp.zeros(size.shape, size.dtype), jnp.zeros((), jnp.int32))
        state, total, _ = jax.lax.scan(advance, start, xs)[0]
        return jnp.where(all_finite(state, xs), total, jnp.nan)

    kept = driven.inputs.shape[1] - burn_in
    return jnp.mean(jax.lax.map(one, driven.inputs), axis=0) / kept.astype(driven.inputs.dtype)
