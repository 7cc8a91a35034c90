"""Input maps."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.init.parameters import Real, matrix_shape, set_real


@dataclasses.dataclass(frozen=True)
class source:
    """The rectangular identity times ``gain``: channel j feeds unit j alone (Orhan & Pitkow 2020).

    For a delay line this is its source. Meant for many more units than channels; channels beyond
    the number of units would be lost, so that shape is refused.

    **Example**
    >>> source(0.5)(None, (3, 2)).tolist()
    [[0.5, 0.0], [0.0, 0.5], [0.0, 0.0]]
    """

    gain: Real = 0.9

    def __post_init__(self):
        set_real(self, "gain")

    def __call__(
        self, key: PRNGKeyArray | None, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "n m"]:
        """The array of this shape."""
        units, channels = matrix_shape(self, shape)
        if channels > units:
            raise ValueError(
                f"source needs at least as many units as channels, got shape {tuple(shape)}."
            )
        return self.gain * jnp.eye(units, channels, dtype=dtype)
