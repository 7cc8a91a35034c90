"""Mean-field theory of the LSTM whose gates see the cell state through full matrices.

The LSTMs whose gates see the output h have no closed form: `population`.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from echoic.theory.mean_field.family import (
    DEFAULT_RULE,
    AbstractFamily,
    Gate,
    Gram,
    Rule,
    Scalar,
)
from echoic.theory.mean_field.gates import (
    keep,
    keep_slope,
    moment,
    refuse_mean,
    shared,
    squash,
    squash_slope,
)


class FullPeepholeLSTM(AbstractFamily):
    """The LSTM of the mean-field literature: gates see the cell state c through full matrices.

    **Definition.** ``c' = f c + i tanh(u_g)``, ``f, i = sigmoid(u_f), sigmoid(u_i)``, every
    ``u = W c + V x + b``. Between copies a and b of the network

    ``Q_ab' = E[f_a f_b] Q_ab + E[i_a i_b] E[g_a g_b]``,  Q the second moment of c.

    The output gate does not enter: h = o tanh(c) feeds nothing back. Q, chi and the Jacobian
    moments are those of c alone; for the full state (h, c) that the gradient reach measures,
    see [`population`][].

    **Fields:** the gates ``keep`` (f), ``write`` (i) and ``candidate`` (g, whose bias must have
    mean 0); ``rule`` for the averages.

    **When it misleads:** weights are redrawn at every step. With weights that stay, f and c are
    correlated, the more so the slower the cell.

    **Reference:** the theory is that of Gilboa et al. (2019), arXiv:1901.08987, re-derived here.

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> cell = FullPeepholeLSTM(Gate(1.0, 0.5, 1.0, 0.1), Gate(1.0, 0.5, 0.0, 0.1),
        ...                         Gate(2.0, 0.5, 0.0, 0.1))
        >>> chi = cell.chi(Gram(0.25, 0.25, 0.25), Gram(1.0, 1.0, 1.0))
        >>> bool(jnp.isclose(chi, cell.gain(0.25, 1.0), rtol=1e-4))
        True

        ```
    """

    keep: Gate
    write: Gate
    candidate: Gate
    rule: Rule = eqx.field(static=True, default=DEFAULT_RULE)

    def __check_init__(self):
        refuse_mean("candidate", self.candidate)

    def length_bound(self, power: Scalar) -> Float[Array, "..."]:
        """``max(2, 1 + exp(mu_f))``: E[f^2] <= max(1/2, sigmoid(mu_f)), and |i g| <= 1."""
        like = jnp.zeros_like(self.keep.covariance(0.0, power))
        return jnp.maximum(2.0, 1 / jax.nn.sigmoid(-self.keep.bias_mean) + like)

    def largest_variance(self, power: Scalar) -> Float[Array, "..."]:
        """A bound on the variances, the gates' counted as a quarter."""
        length = self.length_bound(power)
        gates = jnp.maximum(
            self.keep.covariance(length, power), self.write.covariance(length, power)
        )
        return jnp.maximum(self.candidate.covariance(length, power), gates / 4)

    def length_map(self, length: Scalar, power: Scalar, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """The second moment of c one step later."""
        m = self.gate_moments(length, power)
        return m.keep * length + m.write * m.candidate

    def covariance_map(self, state: Gram, inputs: Gram, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """The covariance Q_ab of the cell states of two copies one step later."""
        kept = self._shared(self.keep, state, inputs, keep) * state.ab
        written = self._shared(self.write, state, inputs, keep)
        return kept + written * self._shared(self.candidate, state, inputs, squash)

    def chi(self, state: Gram, inputs: Gram, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``dQ_ab' / dQ_ab`` at fixed Q_aa and Q_bb.

        ``E[ff] + sigma_f^2 Q_ab E[f'f'] + sigma_i^2 E[i'i'] E[gg] + sigma_g^2 E[ii] E[g'g']``.
        """
        f, i, g = self.keep, self.write, self.candidate

        def both(gate, function):
            return self._shared(gate, state, inputs, function)

        return (
            both(f, keep)
            + f.recurrent_variance * state.ab * both(f, keep_slope)
            + i.recurrent_variance * both(i, keep_slope) * both(g, squash)
            + g.recurrent_variance * both(i, keep) * both(g, squash_slope)
        )

    def gain(self, length: Scalar, power: Scalar, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``chi`` of a copy with itself: the mean squared singular value of dc'/dc."""
        m = self.gate_moments(length, power)
        return (
            m.keep
            + self.keep.recurrent_variance * length * m.keep_slope
            + self.write.recurrent_variance * m.write_slope * m.candidate
            + self.candidate.recurrent_variance * m.write * m.candidate_slope
        )

    def gate_moments(self, length: Scalar, power: Scalar) -> "GateMoments":
        """The mean squares of gates and slopes at the state's second moment Q."""

        def mean_square(gate, function):
            return moment(gate, gate.covariance(length, power), self.rule, function, function)

        return GateMoments(
            keep=mean_square(self.keep, keep),
            keep_slope=mean_square(self.keep, keep_slope),
            write=mean_square(self.write, keep),
            write_slope=mean_square(self.write, keep_slope),
            candidate=mean_square(self.candidate, squash),
            candidate_slope=mean_square(self.candidate, squash_slope),
        )

    def _shared(self, gate: Gate, state: Gram, inputs: Gram, function) -> Array:
        return shared(gate, gate.gram(state, inputs), self.rule, function)


class GateMoments(NamedTuple):
    """Mean squares of the gates f, i and of g = tanh(u_g), and of their slopes."""

    keep: Array
    keep_slope: Array
    write: Array
    write_slope: Array
    candidate: Array
    candidate_slope: Array
