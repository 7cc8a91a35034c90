"""Entries drawn independently, or all equal."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.checks import at_least
from echoic.init.parameters import EntryMoments, Real, matrix_shape, set_real


@dataclasses.dataclass(frozen=True)
class gaussian:
    """Independent normal entries, scaled by the number of columns.

    **Definition.** ``W_ij ~ N(0, sigma^2 / n)`` with n the number of columns (fan-in), so that
    each pre-activation has variance ``sigma^2`` times the mean square of what enters. A square W
    has spectral radius near sigma.

    **Raises** ValueError for a shape that is not a matrix: use [`normal`][] for biases.

    **Example**
    >>> import jax
    >>> W = gaussian(2.0)(jax.random.key(0), (300, 400))
    >>> bool(abs(W.std() * 400**0.5 - 2.0) < 0.05)
    True
    """

    sigma: Real = 1.0

    def __post_init__(self):
        set_real(self, "sigma", 0.0)

    def __call__(
        self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "..."]:
        """The array of this shape."""
        _, fan_in = matrix_shape(self, shape)
        return self.sigma / math.sqrt(fan_in) * jr.normal(key, shape, dtype)

    def entry_moments(self, shape: tuple[int, ...]) -> EntryMoments:
        """Mean and standard deviation of one entry."""
        return EntryMoments(0.0, self.sigma / math.sqrt(matrix_shape(self, shape)[1]))


@dataclasses.dataclass(frozen=True)
class normal:
    """Independent normal entries of one standard deviation: ``W_ij ~ N(0, std^2)``.

    **Example**
    >>> import jax
    >>> b = normal(0.5)(jax.random.key(0), (10000,))
    >>> bool(abs(b.std() - 0.5) < 0.02)
    True
    """

    std: Real = 1.0

    def __post_init__(self):
        set_real(self, "std", 0.0)

    def __call__(
        self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "..."]:
        """The array of this shape."""
        return self.std * jr.normal(key, shape, dtype)

    def entry_moments(self, shape: tuple[int, ...]) -> EntryMoments:
        """Mean and standard deviation of one entry."""
        return EntryMoments(0.0, self.std)


@dataclasses.dataclass(frozen=True)
class uniform:
    """Independent uniform entries, the default of PyTorch's recurrent layers.

    **Definition.** ``W_ij ~ U(-bound, bound)``. Without ``bound`` it is ``1 / sqrt(n)`` with n the
    number of rows, that is of units: PyTorch uses the hidden size for every weight and bias of
    a recurrent layer, whatever the fan-in. ``terms`` independent draws are added: PyTorch keeps
    two biases per unit that act as their sum, which is ``uniform(terms=2)``.

    **Misleads** for a readout (p, n): its rows are not the units, so give ``bound`` there.

    **Example**
    >>> import jax
    >>> V = uniform()(jax.random.key(0), (100, 3))
    >>> bool(abs(V).max() <= 0.1)
    True
    """

    bound: Real | None = None
    terms: int = 1

    def __post_init__(self):
        if self.bound is not None:
            set_real(self, "bound", 0.0)
        at_least("terms", self.terms, 1)

    def __call__(
        self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "..."]:
        """The array of this shape."""
        bound = 1.0 / math.sqrt(shape[0]) if self.bound is None else self.bound
        draws = jr.uniform(key, (self.terms, *shape), dtype, -bound, bound)
        return draws.sum(axis=0)

    def entry_moments(self, shape: tuple[int, ...]) -> EntryMoments:
        """Mean and standard deviation of one entry."""
        bound = 1.0 / math.sqrt(shape[0]) if self.bound is None else self.bound
        return EntryMoments(0.0, bound * math.sqrt(self.terms / 3))


@dataclasses.dataclass(frozen=True)
class constant:
    """Every entry the same number.

    **Example**
    >>> constant(2.0)(None, (2,)).tolist()
    [2.0, 2.0]
    """

    value: Real

    def __post_init__(self):
        set_real(self, "value")

    def __call__(
        self, key: PRNGKeyArray | None, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "..."]:
        """The array of this shape."""
        return jnp.full(shape, self.value, dtype)

    def entry_moments(self, shape: tuple[int, ...]) -> EntryMoments:
        """Mean and standard deviation of one entry."""
        return EntryMoments(self.value, 0.0)


@dataclasses.dataclass(frozen=True)
class zeros:
    """Every entry zero.

    **Example**
    >>> zeros()(None, (2,)).tolist()
    [0.0, 0.0]
    """

    def __call__(
        self, key: PRNGKeyArray | None, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "..."]:
        """The array of this shape."""
        return jnp.zeros(shape, dtype)

    def entry_moments(self, shape: tuple[int, ...]) -> EntryMoments:
        """Mean and standard deviation of one entry."""
        return EntryMoments(0.0, 0.0)
