"""Phase detection: the sign of a weak wave in noise."""

import math

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.checks import at_least
from echoic.core.task import AbstractTask, Batch
from echoic.init.parameters import Real, real


class Phase(AbstractTask):
    """Whether a weak wave in noise is upright or upside down, asked at the last step.

    **Definition.** ``s_t = amplitude y sin(2 pi t / period) + noise z_t`` at t = 0..T-1, with y = 1
    or -1 at equal odds and z_t standard normal. The target is y; the loss is the squared error.

    **Arguments**

    - ``length``: T; ``period``: in steps, more than 2; ``amplitude``: above 0; ``noise``: the
      standard deviation, above 0.

    **Chance.** 1, the variance of y.

    **Perfect solver.** The mean of y given all of s, ``tanh(sum_t s_t a_t / noise^2)`` with
    ``a_t = amplitude sin(2 pi t / period)``: a matched filter. Its own loss is not 0, but
    ``E[sech^2(d + sqrt(d) z)]`` with ``d = sum_t a_t^2 / noise^2``, 3e-4 by default.

    **Reference.** A task of echoic's own: the smallest one on which a residual path that turns with
    the period of the data helps, as Dubinin & Effenberger (2024) claim of spectral content.

    **Example**
    >>> import jax
    >>> task = Phase()
    >>> batch = task.sample(jax.random.key(0), 1000)
    >>> float(((task.solve(batch.inputs) - batch.targets) ** 2).mean()) < 0.01
    True
    """

    name = "phase"
    loss = "mean_squared_error"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    period: float = eqx.field(static=True)
    amplitude: float = eqx.field(static=True)
    noise: float = eqx.field(static=True)

    def __init__(
        self,
        length: int = 112,
        *,
        period: Real = 28.0,
        amplitude: Real = 0.5,
        noise: Real = 1.0,
    ):
        # The wave is 0 at step 0.
        self.length = at_least("length", length, 2)
        self.period = real("period", period, 2.0, exclude_low=True)
        self.amplitude = real("amplitude", amplitude, 0.0, exclude_low=True)
        self.noise = real("noise", noise, 0.0, exclude_low=True)
        self.input_size, self.output_size = 1, 1

    @property
    def description(self) -> str:
        """Length, period and noise."""
        return (
            f"The sign of a wave of period {self.period:g} and amplitude {self.amplitude:g} in"
            f" noise of standard deviation {self.noise:g}, asked at the last of {self.length}"
            " steps."
        )

    @property
    def chance(self) -> float:
        """The variance of a sign."""
        return 1.0

    def _wave(self) -> Float[Array, "t"]:
        steps = jnp.arange(self.length, dtype=jnp.float32)
        return self.amplitude * jnp.sin(2 * math.pi / self.period * steps)

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Signals (b, t, 1) and signs (b, 1)."""
        sign_key, noise_key = jr.split(key)
        signs = jr.rademacher(sign_key, (batch, 1), jnp.float32)
        noise = self.noise * jr.normal(noise_key, (batch, self.length), jnp.float32)
        return Batch((signs * self._wave()[None] + noise)[:, :, None], signs)

    def solve(self, inputs: Float[Array, "b t 1"]) -> Float[Array, "b 1"]:
        """The mean of the sign, given the signal."""
        return jnp.tanh(inputs[:, :, 0] @ self._wave() / self.noise**2)[:, None]
