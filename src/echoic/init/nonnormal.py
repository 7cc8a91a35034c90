"""Delay lines and their relatives, in column form ``h' = f(W h + V x + b)``.

``W[i, j]`` is what unit i receives from unit j, so a line that runs from unit 0 to unit n - 1 has
its weights below the diagonal. Put the input at its source: [`source`][echoic.init.source].
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.init.parameters import Real, matrix_shape, set_real


@dataclasses.dataclass(frozen=True)
class chain:
    """A delay line: unit i is driven by unit i - 1 alone (Orhan & Pitkow 2020).

    **Definition.** ``W[i, i-1] = alpha``, all else 0. Nilpotent: an input at unit 0 arrives at unit
    k after k steps with weight ``alpha^k`` and is gone after n - 1 steps. Departure from normality
    (Henrici) ``alpha sqrt(n - 1)``.

    **Misleads.** All Lyapunov exponents are -inf, whatever alpha, and yet the line carries n - 1
    steps.

    **Example**
    >>> chain(2.0)(None, (3, 3)).tolist()
    [[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """

    alpha: Real = 1.02

    def __post_init__(self):
        set_real(self, "alpha")

    def __call__(
        self, key: PRNGKeyArray | None, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "n n"]:
        """The array of this shape."""
        size, _ = matrix_shape(self, shape, square=True)
        return self.alpha * jnp.eye(size, k=-1, dtype=dtype)


@dataclasses.dataclass(frozen=True)
class feedback_chain:
    """A delay line whose units also drive their predecessor (Orhan & Pitkow 2020).

    **Definition.** ``W[i, i-1] = alpha`` and ``W[i, i+1] = beta``. Its eigenvalues are
    ``2 sqrt(alpha beta) cos(j pi / (n + 1))``, j = 1..n; its departure from normality
    ``|alpha - beta| sqrt(n - 1)``. Activity grows first, roughly as ``(alpha + beta)^k``, and
    decays later.

    **Misleads.** Eigenvalues computed numerically are wrong even in double precision from a
    hundred units on: use the formula.

    **Example**
    >>> feedback_chain(2.0, 1.0)(None, (3, 3)).tolist()
    [[0.0, 1.0, 0.0], [2.0, 0.0, 1.0], [0.0, 2.0, 0.0]]
    """

    alpha: Real = 0.99
    beta: Real = 0.04

    def __post_init__(self):
        set_real(self, "alpha")
        set_real(self, "beta")

    def __call__(
        self, key: PRNGKeyArray | None, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "n n"]:
        """The array of this shape."""
        size, _ = matrix_shape(self, shape, square=True)
        forward, back = jnp.eye(size, k=-1, dtype=dtype), jnp.eye(size, k=1, dtype=dtype)
        return self.alpha * forward + self.beta * back


@dataclasses.dataclass(frozen=True)
class cycle:
    """A ring: the delay line closed from its last unit to its first.

    **Definition.** ``W[(i + 1) mod n, i] = gain``: a permutation times ``gain``, hence normal, with
    eigenvalues ``gain exp(2 pi i j / n)``.

    **Example**
    >>> cycle(2.0)(None, (3, 3)).tolist()
    [[0.0, 0.0, 2.0], [2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """

    gain: Real = 1.0

    def __post_init__(self):
        set_real(self, "gain")

    def __call__(
        self, key: PRNGKeyArray | None, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "n n"]:
        """The array of this shape."""
        size, _ = matrix_shape(self, shape, square=True)
        return self.gain * jnp.roll(jnp.eye(size, dtype=dtype), 1, axis=0)
