"""Critical initialisations of gated networks: chi_1 = 1 at chosen pre-activations."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from echoic.theory.mean_field.family import DEFAULT_RULE, Gate, Rule, Scalar, number
from echoic.theory.mean_field.gates import drop, keep, keep_slope, moment, squash, squash_slope
from echoic.theory.mean_field.gru import ResetBeforeGRU
from echoic.theory.mean_field.lstm import FullPeepholeLSTM


class Chosen(NamedTuple):
    """What is chosen of a gate before the critical point is solved for.

    **Fields:** ``variance`` of its pre-activation, q; ``bias_mean``, mu; ``bias_variance``, rho^2;
    ``recurrent_variance``, sigma^2 (not used for the candidate, whose is solved for).
    """

    variance: Scalar
    bias_mean: Scalar = 0.0
    bias_variance: Scalar = 0.0
    recurrent_variance: Scalar = 0.0


class CriticalGRU(NamedTuple):
    """``family`` is critical at the second moment ``length`` where ``feasible``."""

    family: ResetBeforeGRU
    length: Array
    feasible: Array


class CriticalLSTM(NamedTuple):
    """``family`` is critical at the second moment ``length`` of c where ``feasible``."""

    family: FullPeepholeLSTM
    length: Array
    feasible: Array


def critical_gru(
    keep_gate: Chosen,
    reset: Chosen,
    candidate: Chosen,
    power: Scalar,
    *,
    rule: Rule = DEFAULT_RULE,
) -> CriticalGRU:
    """A GRU (reset before the product) whose mean squared singular value is 1.

    **Definition.** With the variances q of all pre-activations chosen,
    ``Q = E[(1-f)^2] T / (1 - E[f^2])`` and chi_1 = 1 is linear in the candidate's sigma_n^2; the
    input variances follow from ``q = sigma^2 Q + nu^2 R + rho^2``.

    **Arguments:** what is chosen of each gate; ``power``: R of the input.

    **Returns:** `CriticalGRU`; ``feasible`` where sigma_n^2 and all input variances are at
    least 0 (they are returned as they come out). Arrays give a whole surface at once.

    **When it misleads:** chi_1 = 1 alone is no isometry: see [`isometry_slope`][]. That needs f
    near 1: a large keep bias, with little spread of f.

    **Reference:** Gilboa et al. (2019), for the aim; the formula is ours.

    ??? example
        ```python
        >>> found = critical_gru(Chosen(1.0, 3.0), Chosen(1.0), Chosen(4.0), 1.0)
        >>> bool(found.feasible), bool(abs(found.family.gain(found.length, 1.0) - 1) < 1e-4)
        (True, True)

        ```
    """
    gates = _arrays(keep_gate), _arrays(reset), _arrays(candidate)
    return _critical_gru(*gates, number(power), rule)


@eqx.filter_jit
def _critical_gru(keep_gate, reset, candidate, power, rule) -> CriticalGRU:
    f, r, n = (_gate(chosen) for chosen in (keep_gate, reset, candidate))
    q_f, q_r, q_n = (chosen.variance for chosen in (keep_gate, reset, candidate))
    dropped = moment(f, q_f, rule, drop, drop)
    written = moment(n, q_n, rule, squash, squash)
    length = dropped * written / _dropped(f, q_f, rule)
    blend = f.recurrent_variance * moment(f, q_f, rule, keep_slope, keep_slope)
    through = moment(r, q_r, rule, keep, keep)
    gated = r.recurrent_variance * length * moment(r, q_r, rule, keep_slope, keep_slope)
    steep = moment(n, q_n, rule, squash_slope, squash_slope)
    missing = _dropped(f, q_f, rule) - blend * (length + written)
    n = _with_recurrent(n, missing / (dropped * steep * (through + gated)))
    (f, r, n), feasible = _with_inputs(
        (f, r, n), (q_f, q_r, q_n), (length, length, length * through), power
    )
    return CriticalGRU(ResetBeforeGRU(keep=f, reset=r, candidate=n, rule=rule), length, feasible)


def critical_lstm(
    keep_gate: Chosen,
    write: Chosen,
    candidate: Chosen,
    power: Scalar,
    *,
    rule: Rule = DEFAULT_RULE,
) -> CriticalLSTM:
    """An LSTM with full peepholes whose mean squared singular value dc'/dc is 1.

    **Definition.** With the variances q of all pre-activations chosen,
    ``Q = E[i^2] E[g^2] / (1 - E[f^2])`` and chi_1 = 1 is linear in the candidate's sigma_g^2; the
    input variances follow from ``q = sigma^2 Q + nu^2 R + rho^2``.

    Arguments, caveat and reference as for [`critical_gru`][].

    **Returns:** `CriticalLSTM`; ``feasible`` where sigma_g^2 and all input variances are at
    least 0.

    ??? example
        ```python
        >>> found = critical_lstm(Chosen(0.2, 3.0), Chosen(0.2), Chosen(0.5), 1.0)
        >>> bool(found.feasible), bool(abs(found.family.gain(found.length, 1.0) - 1) < 1e-4)
        (True, True)

        ```
    """
    gates = _arrays(keep_gate), _arrays(write), _arrays(candidate)
    return _critical_lstm(*gates, number(power), rule)


@eqx.filter_jit
def _critical_lstm(keep_gate, write, candidate, power, rule) -> CriticalLSTM:
    f, i, g = (_gate(chosen) for chosen in (keep_gate, write, candidate))
    q_f, q_i, q_g = (chosen.variance for chosen in (keep_gate, write, candidate))
    written = moment(i, q_i, rule, keep, keep)
    square = moment(g, q_g, rule, squash, squash)
    length = written * square / _dropped(f, q_f, rule)
    through_f = f.recurrent_variance * length * moment(f, q_f, rule, keep_slope, keep_slope)
    through_i = i.recurrent_variance * square * moment(i, q_i, rule, keep_slope, keep_slope)
    steep = moment(g, q_g, rule, squash_slope, squash_slope)
    g = _with_recurrent(g, (_dropped(f, q_f, rule) - through_f - through_i) / (written * steep))
    (f, i, g), feasible = _with_inputs((f, i, g), (q_f, q_i, q_g), (length,) * 3, power)
    return CriticalLSTM(FullPeepholeLSTM(keep=f, write=i, candidate=g, rule=rule), length, feasible)


def _arrays(chosen: Chosen) -> Chosen:
    """As Python floats they would be compiled anew for each value."""
    return Chosen(*(number(value) for value in chosen))


def _gate(chosen: Chosen) -> Gate:
    return Gate(chosen.recurrent_variance, 0.0, chosen.bias_mean, chosen.bias_variance)


def _dropped(gate: Gate, variance: Scalar, rule: Rule) -> Array:
    """``1 - E[f^2]``, not by subtraction: f may be as near to 1 as it will."""
    return moment(gate, variance, rule, drop, _one_and_keep)


def _one_and_keep(e: Array) -> Array:
    return 1 + keep(e)


def _with_recurrent(gate: Gate, recurrent_variance: Array) -> Gate:
    return Gate(recurrent_variance, 0.0, gate.bias_mean, gate.bias_variance)


def _with_inputs(
    gates: tuple[Gate, ...], variances: tuple, lengths: tuple, power: Scalar
) -> tuple[list[Gate], Array]:
    """The gates with the input variances that their q still ask for, and whether there are any."""
    found, feasible = [], jnp.asarray(True)
    for gate, variance, length in zip(gates, variances, lengths, strict=True):
        input_variance = (variance - gate.covariance(length, 0.0)) / power
        found.append(
            Gate(gate.recurrent_variance, input_variance, gate.bias_mean, gate.bias_variance)
        )
        feasible = feasible & (gate.recurrent_variance >= 0) & (input_variance >= 0)
    return found, feasible
