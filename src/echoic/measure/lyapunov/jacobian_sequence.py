"""Lyapunov exponents of a product of matrices that somebody else has computed."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.estimate import Estimate
from echoic.measure.lyapunov.spectrum import lyapunov_spectrum


def lyapunov_from_jacobians(
    jacobians: Any,
    *,
    key: PRNGKeyArray,
    num_exponents: int | None = None,
    burn_in: int | None = None,
    num_blocks: int = 20,
    resume: Estimate | None = None,
    throw: bool = True,
) -> Estimate:
    """Lyapunov exponents of a given sequence of Jacobians.

    **Definition.** Those of `lyapunov_spectrum` for the product ``... J_2 J_1 J_0``, nats per step.

    **Arguments**

    - ``jacobians``: shape (t, n, n), oldest first, or (b, t, n, n); ``J[i, j] = dh_i'/dh_j``.
    - the others as for `lyapunov_spectrum`.

    **Returns, status, when it misleads:** as `lyapunov_spectrum`.

    **Raises:** ValueError for wrong shapes and arguments; UntrustedError if a matrix holds other
    than finite numbers and ``throw`` is set.

    **Cost:** as `lyapunov_spectrum`; the matrices themselves take t n^2 numbers.

    **References:** Benettin, Galgani, Giorgilli & Strelcyn 1980; Newman 1986 for random matrices.

    ??? example
        ```python
        >>> import jax, jax.numpy as jnp
        >>> turn = jnp.array([[0.0, -0.5], [0.5, 0.0]])
        >>> found = lyapunov_from_jacobians(jnp.stack([turn] * 40), key=jax.random.key(0))
        >>> bool(jnp.allclose(found.value, -jnp.log(2), atol=1e-5))
        True

        ```
    """
    shape = np.shape(jacobians)
    if len(shape) not in (3, 4) or shape[-1] != shape[-2] or 0 in shape:
        raise ValueError(f"jacobians must have shape (t, n, n) or (b, t, n, n), got {shape}.")
    array = jnp.asarray(jacobians)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    n = shape[-1]
    return lyapunov_spectrum(
        _multiply,
        array.reshape(*shape[:-2], n * n),
        key=key,
        num_exponents=num_exponents,
        state=jnp.zeros(n, array.dtype),
        burn_in=burn_in,
        num_blocks=num_blocks,
        resume=resume,
        throw=throw,
    )


def _multiply(state: Float[Array, "n"], x: Float[Array, "m"]) -> Float[Array, "n"]:
    """A step whose Jacobian is its input."""
    n = state.size
    return x.reshape(n, n) @ state
