"""Matrices whose singular values are all equal."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.init.parameters import EntryMoments, Real, matrix_shape, set_real
from echoic.init.spectrum import ResidualSpectrum


@dataclasses.dataclass(frozen=True)
class orthogonal:
    """A random orthogonal matrix, uniform over the orthogonal group, times ``gain``.

    **Definition.** ``W = gain Q`` with Q from the QR decomposition of a Gaussian matrix, the signs
    fixed by the diagonal of R: without the signs Q is not uniform (Mezzadri 2007). A rectangular
    matrix has orthonormal columns (tall) or rows (wide). There is no factor ``1 / sqrt(n)``.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> W = orthogonal(2.0)(jax.random.key(0), (5, 5))
    >>> bool(jnp.allclose(W @ W.T, 4 * jnp.eye(5), atol=1e-5))
    True
    """

    gain: Real = 1.0

    def __post_init__(self):
        set_real(self, "gain")

    def __call__(
        self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "rows columns"]:
        """The array of this shape."""
        rows, columns = matrix_shape(self, shape)
        tall = jr.normal(key, (max(rows, columns), min(rows, columns)), dtype)
        q, r = jnp.linalg.qr(tall)
        # jnp.sign would erase a column whose diagonal entry is exactly zero.
        signs = jnp.where(jnp.diagonal(r) < 0, -1, 1).astype(q.dtype)
        q = q * signs[None, :]
        return self.gain * (q if rows >= columns else q.T)

    def entry_moments(self, shape: tuple[int, ...]) -> EntryMoments:
        """Mean and standard deviation of one entry."""
        return EntryMoments(0.0, abs(self.gain) / math.sqrt(max(matrix_shape(self, shape))))


@dataclasses.dataclass(frozen=True)
class identity:
    """The identity times ``gain``: each unit feeds itself (Le, Jaitly & Hinton 2015).

    **Example**
    >>> identity(0.5)(None, (2, 2)).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """

    gain: Real = 1.0

    def __post_init__(self):
        set_real(self, "gain")

    def __call__(
        self, key: PRNGKeyArray | None, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "n n"]:
        """The array of this shape."""
        rows, _ = matrix_shape(self, shape, square=True)
        return self.gain * jnp.eye(rows, dtype=dtype)

    def spectrum(
        self, key: PRNGKeyArray | None, size: int, dtype: Any = jnp.float32
    ) -> ResidualSpectrum:
        """The same matrix in the structured form of a residual path."""
        return ResidualSpectrum(jnp.full(size, self.gain, dtype), jnp.zeros(size // 2, dtype))
