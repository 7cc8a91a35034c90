"""Residual paths through time: scaled, rotating, heterogeneous; and weak coupling around them.

Each family draws a [`ResidualSpectrum`][echoic.init.ResidualSpectrum], the structure that
``cells.Residual`` keeps, and as an initialiser the same matrix in dense form.
The distributions are a reconstruction: they follow the kinds of residual path that Dubinin &
Effenberger (2024) name, not printed values.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.init.dense import gaussian
from echoic.init.orthogonal import identity
from echoic.init.parameters import Real, matrix_shape, set_real
from echoic.init.spectrum import ResidualSpectrum


def _pairs(owner: Any, size: int) -> int:
    if size % 2:
        raise ValueError(
            f"{type(owner).__name__} turns pairs of units: n must be even, got {size}."
        )
    return size // 2


def _decay(key: PRNGKeyArray, count: int, low: float, high: float, dtype: Any) -> Array:
    """``exp(-1 / tau)`` with tau log-uniform in [low, high]."""
    log_tau = jr.uniform(key, (count,), dtype, math.log(low), math.log(high))
    return jnp.exp(-jnp.exp(-log_tau))


@dataclasses.dataclass(frozen=True)
class rotation:
    """All pairs of units turn by one angle: memory that rings with one period.

    **Definition.** Blocks ``modulus [[cos, -sin], [sin, cos]]`` of one ``angle`` (radians per step)
    or ``period = 2 pi / angle`` (steps); eigenvalues ``modulus exp(+- i angle)``. n must be even.

    **Example**
    >>> import jax.numpy as jnp
    >>> R = rotation(0.5, period=4)(None, (2, 2))
    >>> bool(jnp.allclose(R, jnp.array([[0.0, -0.5], [0.5, 0.0]]), atol=1e-6))
    True
    """

    modulus: Real = 1.0
    period: Real | None = None
    angle: Real | None = None

    def __post_init__(self):
        set_real(self, "modulus", 0.0)
        if (self.period is None) == (self.angle is None):
            raise ValueError(
                "rotation needs either period (steps) or angle (radians), got"
                f" period={self.period!r} and angle={self.angle!r}."
            )
        if self.period is None:
            set_real(self, "angle")
        else:
            set_real(self, "period", 0.0, exclude_low=True)

    def spectrum(
        self, key: PRNGKeyArray | None, size: int, dtype: Any = jnp.float32
    ) -> ResidualSpectrum:
        """The structured form for ``size`` units."""
        angle = 2 * math.pi / self.period if self.angle is None else self.angle  # pyright: ignore
        return ResidualSpectrum(
            jnp.full(size, self.modulus, dtype), jnp.full(_pairs(self, size), angle, dtype)
        )

    def __call__(
        self, key: PRNGKeyArray | None, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "n n"]:
        """The array of this shape."""
        size, _ = matrix_shape(self, shape, square=True)
        return self.spectrum(key, size, dtype).matrix()


@dataclasses.dataclass(frozen=True)
class heterogeneous_decay:
    """Each unit forgets at its own pace, over the whole range of time constants.

    **Definition.** Diagonal ``exp(-1 / tau_i)`` with ``tau_i`` log-uniform in
    [tau_min, tau_max] steps.

    **Example**
    >>> import jax
    >>> m = heterogeneous_decay(50.0).spectrum(jax.random.key(0), 100).moduli
    >>> bool((m >= 0.36).all() and (m <= 0.981).all())
    True
    """

    tau_max: Real = 50.0
    tau_min: Real = 1.0

    def __post_init__(self):
        set_real(self, "tau_min", 0.0, exclude_low=True)
        set_real(self, "tau_max", self.tau_min)

    def spectrum(self, key: PRNGKeyArray, size: int, dtype: Any = jnp.float32) -> ResidualSpectrum:
        """The structured form for ``size`` units."""
        moduli = _decay(key, size, self.tau_min, self.tau_max, dtype)
        return ResidualSpectrum(moduli, jnp.zeros(size // 2, dtype))

    def __call__(
        self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "n n"]:
        """The array of this shape."""
        size, _ = matrix_shape(self, shape, square=True)
        return self.spectrum(key, size, dtype).matrix()


@dataclasses.dataclass(frozen=True)
class uniform_decay:
    """Each unit forgets at its own pace: diagonal entries uniform in [low, high].

    **Example**
    >>> import jax
    >>> m = uniform_decay(0.5, 0.9).spectrum(jax.random.key(0), 100).moduli
    >>> bool((m >= 0.5).all() and (m <= 0.9).all())
    True
    """

    low: Real = 0.5
    high: Real = 0.98

    def __post_init__(self):
        set_real(self, "low", 0.0)
        set_real(self, "high", self.low)

    def spectrum(self, key: PRNGKeyArray, size: int, dtype: Any = jnp.float32) -> ResidualSpectrum:
        """The structured form for ``size`` units."""
        moduli = jr.uniform(key, (size,), dtype, self.low, self.high)
        return ResidualSpectrum(moduli, jnp.zeros(size // 2, dtype))

    def __call__(
        self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "n n"]:
        """The array of this shape."""
        size, _ = matrix_shape(self, shape, square=True)
        return self.spectrum(key, size, dtype).matrix()


@dataclasses.dataclass(frozen=True)
class heterogeneous_rotation:
    """Each pair of units turns by its own angle, at a common modulus.

    **Definition.** Angles uniform in [low, high] radians per step; eigenvalues
    ``modulus exp(+- i angle_j)``. n must be even.

    **Example**
    >>> import jax
    >>> s = heterogeneous_rotation(0.95).spectrum(jax.random.key(0), 6)
    >>> bool((abs(abs(s.eigenvalues()) - 0.95) < 1e-5).all())
    True
    """

    modulus: Real = 0.95
    low: Real = 0.0
    high: Real = math.pi

    def __post_init__(self):
        set_real(self, "modulus", 0.0)
        set_real(self, "low")
        set_real(self, "high", self.low)

    def spectrum(self, key: PRNGKeyArray, size: int, dtype: Any = jnp.float32) -> ResidualSpectrum:
        """The structured form for ``size`` units."""
        angles = jr.uniform(key, (_pairs(self, size),), dtype, self.low, self.high)
        return ResidualSpectrum(jnp.full(size, self.modulus, dtype), angles)

    def __call__(
        self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "n n"]:
        """The array of this shape."""
        size, _ = matrix_shape(self, shape, square=True)
        return self.spectrum(key, size, dtype).matrix()


@dataclasses.dataclass(frozen=True)
class heterogeneous:
    """Each pair of units has its own time constant and its own angle.

    **Definition.** Eigenvalues ``exp(-1 / tau_j +- i angle_j)``, ``tau_j`` log-uniform in
    [tau_min, tau_max] steps, ``angle_j`` uniform in [low, high] radians per step. n must be even.

    **Example**
    >>> import jax
    >>> s = heterogeneous(50.0).spectrum(jax.random.key(0), 6)
    >>> bool((s.moduli[0::2] == s.moduli[1::2]).all())
    True
    """

    tau_max: Real = 50.0
    tau_min: Real = 1.0
    low: Real = 0.0
    high: Real = math.pi

    def __post_init__(self):
        set_real(self, "tau_min", 0.0, exclude_low=True)
        set_real(self, "tau_max", self.tau_min)
        set_real(self, "low")
        set_real(self, "high", self.low)

    def spectrum(self, key: PRNGKeyArray, size: int, dtype: Any = jnp.float32) -> ResidualSpectrum:
        """The structured form for ``size`` units."""
        pairs = _pairs(self, size)
        decay_key, angle_key = jr.split(key)
        # One modulus a pair: with two, the eigenvalues would not be those of the definition.
        moduli = jnp.repeat(_decay(decay_key, pairs, self.tau_min, self.tau_max, dtype), 2)
        angles = jr.uniform(angle_key, (pairs,), dtype, self.low, self.high)
        return ResidualSpectrum(moduli, angles)

    def __call__(
        self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "n n"]:
        """The array of this shape."""
        size, _ = matrix_shape(self, shape, square=True)
        return self.spectrum(key, size, dtype).matrix()


@dataclasses.dataclass(frozen=True)
class weakly_coupled:
    """A residual matrix plus weak random coupling, for Elman networks.

    **Definition.** ``W = R + coupling G`` with ``G_ij ~ N(0, 1/n)`` and R drawn by ``residual``
    (any initialiser of a square matrix). Near the origin of a tanh network the Lyapunov exponents
    are then close to the logarithms of the moduli of R's eigenvalues. A reconstruction of the
    initialisation that Dubinin & Effenberger (2024) propose.

    **Misleads.** Large input weights saturate tanh, and the exponents fall far below: scale the
    input weights down as well.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> W = weakly_coupled(identity(0.9), coupling=0.0)(jax.random.key(0), (3, 3))
    >>> bool(jnp.allclose(W, 0.9 * jnp.eye(3)))
    True
    """

    residual: Callable[..., Array] = identity(1.0)
    coupling: Real = 0.01

    def __post_init__(self):
        if not callable(self.residual):
            raise ValueError(
                f"residual of weakly_coupled must be an initialiser, got {self.residual!r}."
            )
        set_real(self, "coupling", 0.0)

    def __call__(
        self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "n n"]:
        """The array of this shape."""
        matrix_shape(self, shape, square=True)
        residual_key, coupling_key = jr.split(key)
        noise = gaussian(1.0)(coupling_key, shape, dtype)
        return self.residual(residual_key, shape, dtype) + self.coupling * noise
