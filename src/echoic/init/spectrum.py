"""The structured form of a residual path: a scale per unit and a rotation per pair of units."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float


class ResidualSpectrum(NamedTuple):
    """A block-diagonal matrix R with 2 x 2 blocks, in n + n/2 numbers.

    **Definition.** Units 2j and 2j + 1 are turned by ``angles[j]`` and then scaled by their
    ``moduli``: the block is ``diag(m, m') [[cos, -sin], [sin, cos]]``. With equal moduli its
    eigenvalues are ``m exp(+- i angle)``. An odd last unit is scaled only.

    One structure for all families, so that cells that differ in their residual path compile once.
    """

    moduli: Float[Array, "n"]
    angles: Float[Array, "pairs"]

    def apply(self, x: Float[Array, "n"]) -> Float[Array, "n"]:
        """``R x`` in O(n)."""
        paired = 2 * self.angles.size
        first, second = x[0:paired:2], x[1:paired:2]
        cos, sin = jnp.cos(self.angles), jnp.sin(self.angles)
        turned = jnp.stack([cos * first - sin * second, sin * first + cos * second], axis=1)
        return self.moduli * jnp.concatenate([turned.reshape(-1), x[paired:]])

    def matrix(self) -> Float[Array, "n n"]:
        """R as a dense matrix."""
        return jax.vmap(self.apply, in_axes=1, out_axes=1)(
            jnp.eye(self.moduli.size, dtype=self.moduli.dtype)
        )

    def eigenvalues(self) -> Complex[Array, "n"]:
        """The exact eigenvalues, pair by pair."""
        paired = 2 * self.angles.size
        first, second = self.moduli[0:paired:2], self.moduli[1:paired:2]
        cos, sin = jnp.cos(self.angles), jnp.sin(self.angles)
        middle = (first + second) / 2 * cos
        # Not trace^2 - 4 det, whose two terms cancel at small angles.
        discriminant = ((first - second) / 2 * cos) ** 2 - first * second * sin**2
        root = jnp.sqrt(jax.lax.complex(discriminant, jnp.zeros_like(discriminant)))
        middle = jax.lax.complex(middle, jnp.zeros_like(middle))
        rest = self.moduli[paired:]
        return jnp.concatenate(
            [
                jnp.stack([middle + root, middle - root], axis=1).reshape(-1),
                jax.lax.complex(rest, jnp.zeros_like(rest)),
            ]
        )
