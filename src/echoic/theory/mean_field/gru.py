"""Mean-field theory of the gated recurrent unit, with the reset on either side of the product."""

from typing import NamedTuple

import equinox as eqx
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
    drop,
    keep,
    keep_slope,
    moment,
    refuse_mean,
    shared,
    squares,
    squash,
    squash_slope,
)


class ResetBeforeGRU(AbstractFamily):
    """The gated recurrent unit with the reset before the product.

    **Definition.** ``f = sigmoid(u_f)``, ``r = sigmoid(u_r)``, ``h' = f h + (1 - f) tanh(u_n)``
    with ``u_n = W_n (r h) + V_n x + b_n``. Between copies a and b of the network

    ``Q_ab' = E[f_a f_b] Q_ab + E[(1-f_a)(1-f_b)] T_ab``, ``T_ab = E[tanh u_na tanh u_nb]``,

    where u_n has covariance ``sigma_n^2 Q_ab E[r_a r_b] + nu_n^2 R_ab + rho_n^2``.

    **Fields:** the gates ``keep`` (f; PyTorch's z), ``reset`` (r) and ``candidate`` (n, whose
    bias must have mean 0); ``rule`` for the averages.

    **When it misleads:** weights are redrawn at every step. With weights that stay, f and h are
    correlated, the more so the slower the cell.

    **Reference:** the update is that of Cho et al. (2014); the theory is that of Gilboa et al.
    (2019), arXiv:1901.08987, re-derived here.

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> cell = ResetBeforeGRU(Gate(2.0, 0.5, 1.0, 0.1), Gate(1.0, 1.0, 0.5, 0.1),
        ...                       Gate(3.0, 0.5, 0.0, 0.1))
        >>> chi = cell.chi(Gram(0.08, 0.08, 0.08), Gram(1.0, 1.0, 1.0))
        >>> bool(jnp.isclose(chi, cell.gain(0.08, 1.0), rtol=1e-4))
        True

        ```
    """

    keep: Gate
    reset: Gate
    candidate: Gate
    rule: Rule = eqx.field(static=True, default=DEFAULT_RULE)

    def __check_init__(self):
        refuse_mean("candidate", self.candidate)

    def length_bound(self, power: Scalar) -> Float[Array, "..."]:
        """1: the state is a weighted mean of earlier candidates."""
        return jnp.ones_like(self.keep.covariance(0.0, power))

    def largest_variance(self, power: Scalar) -> Float[Array, "..."]:
        """A bound on the variances, the gates' counted as a quarter."""
        return largest_variance(power, self.candidate.covariance(1.0, power), self.keep, self.reset)

    def candidate_gram(self, state: Gram, inputs: Gram) -> Gram:
        """The covariances of u_n."""
        resets = squares(self.reset, self.reset.gram(state, inputs), self.rule, keep)
        seen = Gram(*(r * q for r, q in zip(resets, state, strict=True)))
        return self.candidate.gram(seen, inputs)

    def length_map(self, length: Scalar, power: Scalar, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """The state's second moment Q one step later."""
        q_f = self.keep.covariance(length, power)
        written = moment(
            self.candidate, self.candidate_variance(length, power), self.rule, squash, squash
        )
        kept = moment(self.keep, q_f, self.rule, keep, keep)
        return kept * length + moment(self.keep, q_f, self.rule, drop, drop) * written

    def candidate_variance(self, length: Scalar, power: Scalar) -> Float[Array, "..."]:
        """The variance of u_n."""
        reset = moment(self.reset, self.reset.covariance(length, power), self.rule, keep, keep)
        return self.candidate.covariance(length * reset, power)

    def covariance_map(self, state: Gram, inputs: Gram, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """The covariance Q_ab of the states of two copies one step later."""
        f = self.keep.gram(state, inputs)
        written = shared(self.candidate, self.candidate_gram(state, inputs), self.rule, squash)
        kept = shared(self.keep, f, self.rule, keep)
        return kept * state.ab + shared(self.keep, f, self.rule, drop) * written

    def chi(self, state: Gram, inputs: Gram, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``dQ_ab' / dQ_ab`` at fixed Q_aa and Q_bb.

        ``E[ff] + sigma_f^2 E[f'f'] (Q_ab + T_ab) + sigma_n^2 E[(1-f)(1-f)] E[tanh' tanh'] m``
        with ``m = E[rr] + sigma_r^2 Q_ab E[r'r']``.
        """
        f, r = self.keep.gram(state, inputs), self.reset.gram(state, inputs)
        u = self.candidate_gram(state, inputs)
        through_reset = shared(self.reset, r, self.rule, keep)
        through_reset += (
            self.reset.recurrent_variance * state.ab * shared(self.reset, r, self.rule, keep_slope)
        )
        candidate = self.candidate.recurrent_variance * through_reset
        candidate *= shared(self.candidate, u, self.rule, squash_slope)
        written = shared(self.candidate, u, self.rule, squash)
        blend = self.keep.recurrent_variance * shared(self.keep, f, self.rule, keep_slope)
        return (
            shared(self.keep, f, self.rule, keep)
            + blend * (state.ab + written)
            + shared(self.keep, f, self.rule, drop) * candidate
        )

    def gain(self, length: Scalar, power: Scalar, mean: Scalar = 0.0) -> Float[Array, "..."]:
        """``chi`` of a copy with itself: the mean squared singular value of dh'/dh."""
        return blend_gain(self.keep, length, power, self.rule, self.written(length, power))

    def written(self, length: Scalar, power: Scalar) -> "Written":
        """The moments of the candidate tanh(u_n) and of its derivative in the state."""
        q_r, q_n = self.reset.covariance(length, power), self.candidate_variance(length, power)
        through_reset = moment(self.reset, q_r, self.rule, keep, keep)
        through_reset += (
            self.reset.recurrent_variance
            * length
            * moment(self.reset, q_r, self.rule, keep_slope, keep_slope)
        )
        slope = self.candidate.recurrent_variance * through_reset

        def average(*factors):
            return moment(self.candidate, q_n, self.rule, *factors)

        steep = average(squash_slope, squash_slope)
        return Written(
            square=average(squash, squash),
            fourth=average(squash, squash, squash, squash),
            slope=slope * steep,
            slope_square=slope**2 * average(*(4 * (squash_slope,))),
            both=slope * average(squash, squash, squash_slope, squash_slope),
            slopes=(slope * steep,),
        )


class Written(NamedTuple):
    """Moments of what the gate of a GRU writes: n = tanh(u_n), and s its slope.

    s_i is the squared norm of the row dn_i/dh, all that it needs to say of itself in the Jacobian.

    **Fields:** ``square`` E[n^2], ``fourth`` E[n^4], ``slope`` E[s], ``slope_square`` E[s^2],
    ``both`` E[n^2 s], ``slopes`` E[s] by random matrix.
    """

    square: Array
    fourth: Array
    slope: Array
    slope_square: Array
    both: Array
    slopes: tuple[Array, ...]


def blend_gain(
    gate: Gate, length: Scalar, power: Scalar, rule: Rule, written: Written
) -> Float[Array, "..."]:
    """chi_1 of ``h' = f h + (1 - f) n``: through the old state, the gate, the candidate."""
    q_f = gate.covariance(length, power)
    blend = gate.recurrent_variance * moment(gate, q_f, rule, keep_slope, keep_slope)
    return (
        moment(gate, q_f, rule, keep, keep)
        + blend * (length + written.square)
        + moment(gate, q_f, rule, drop, drop) * written.slope
    )


def largest_variance(power: Scalar, candidate: Scalar, *gates: Gate) -> Float[Array, "..."]:
    """The largest variance there can be: no state, and no reset, exceeds 1."""
    for gate in gates:
        candidate = jnp.maximum(candidate, gate.covariance(1.0, power) / 4)
    return jnp.asarray(candidate)
