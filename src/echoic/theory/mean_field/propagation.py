"""Lengths, cosines and gains over time, for inputs that are given."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from echoic.core.checks import at_least
from echoic.theory.mean_field.family import AbstractFamily, Gram, Scalar, number, standing
from echoic.theory.mean_field.fixed_points import check_inputs, fixed_point


class Propagation(eqx.Module):
    """Two copies of a network over time.

    **Fields**, shape (..., t), the state being that *after* each input:

    - ``length_a``, ``length_b``, ``covariance``: Q_aa, Q_bb, Q_ab; ``cosine``: C.
    - ``gain``: mean squared singular value of a's Jacobian of this step, dh_t/dh_{t-1}.
    - ``chi``: the same of the part that both copies' Jacobians share,
      ``tr(J_a' J_b) / n``; below 0 where they point in opposite ways.
    """

    length_a: Float[Array, "*batch t"]
    length_b: Float[Array, "*batch t"]
    covariance: Float[Array, "*batch t"]
    cosine: Float[Array, "*batch t"]
    gain: Float[Array, "*batch t"]
    chi: Float[Array, "*batch t"]


def input_grams(inputs: Any, *, fan_in: int | None = None, pairs: bool = True) -> Gram:
    """Second moments of given inputs, for every pair of sequences.

    **Definition.** ``R_ab(t) = x_t^a . x_t^b / fan_in``.

    **Arguments:** ``inputs``: shape (b, t, m), or (b, t) for scalar series, b >= 2;
    ``fan_in``: by what the variance nu^2 is divided to give that of the entries of V, m by
    default; 1 for one-hot inputs into a V whose entries have variance nu^2. ``pairs=False``: each
    sequence with the next one only, b - 1 of them.

    **Returns:** a `Gram` of NumPy arrays of shape (pairs, t).

    **When it misleads:** a scalar series drives all units with the same x_t: its R_t is x_t^2,
    which fluctuates, and not the variance.

    ??? example
        ```python
        >>> import numpy as np
        >>> from echoic.theory import mean_field
        >>> mean_field.input_grams(np.array([[1.0, 2.0], [3.0, -1.0]])).ab.tolist()
        [[3.0, -2.0]]

        ```
    """
    inputs = np.asarray(inputs)
    if inputs.ndim == 2:
        inputs = inputs[..., None]
    if inputs.ndim != 3 or inputs.shape[0] < 2:
        raise ValueError(
            f"inputs must have shape (b, t) or (b, t, m) with b >= 2, got {inputs.shape}."
        )
    fan_in = inputs.shape[2] if fan_in is None else at_least("fan_in", fan_in, 1)
    count = inputs.shape[0]
    first, second = np.triu_indices(count, 1)
    if not pairs:
        first, second = np.arange(count - 1), np.arange(1, count)
    power = np.sum(inputs**2, axis=-1) / fan_in
    shared = np.sum(inputs[first] * inputs[second], axis=-1) / fan_in
    return Gram(power[first], power[second], shared)


def propagate(
    family: AbstractFamily, inputs: Gram, *, mean: Scalar = 0.0, start: Gram | None = None
) -> Propagation:
    """How two copies of a network go on under given inputs.

    **Arguments:** ``inputs``: Gram of the inputs, arrays of shape (t,) or (..., t): of constants
    make ``Gram.of(power, cosine)`` with ``power`` of shape (t,); ``mean``: see `AbstractFamily`;
    ``start``: second moments of the states before the first input, 0 by default.

    **Returns:** a `Propagation`; differentiable.

    **Raises:** ValueError if there are no times.

    **When it misleads:** the theory redraws weights at each step. With fixed weights the cosines
    of gated networks follow it in kind only where biases keep the gates open.

    **Cost:** two averages over a pair and a few in one dimension for each step.

    **Reference:** Chen, Pennington & Schoenholz (2018), for the recursion of C.

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> from echoic.theory import mean_field
        >>> linear = mean_field.Vanilla(mean_field.Gate(0.5, 1.0), activation="identity")
        >>> run = mean_field.propagate(linear, mean_field.Gram.of(jnp.ones(3), 0.0))
        >>> bool(jnp.allclose(run.length_a, jnp.array([1.0, 1.5, 1.75]), atol=1e-5))
        True

        ```
    """
    rows = jnp.broadcast_arrays(*(number(r) for r in inputs))
    if rows[0].ndim == 0 or rows[0].shape[-1] == 0:
        raise ValueError(f"inputs must have shape (..., t) with t >= 1, got {rows[0].shape}.")
    start = Gram(0.0, 0.0, 0.0) if start is None else start
    start = Gram(*(jnp.full(rows[0].shape[:-1], q, rows[0].dtype) for q in start))
    mean = standing(mean)
    return _propagate(family, Gram(*rows), mean, start)


@eqx.filter_jit
def _propagate(family, inputs, mean, start) -> Propagation:
    def step(state, x):
        gain = family.gain(state.aa, x.aa, mean)
        chi = family.chi(state, x, mean)
        state = Gram(
            family.length_map(state.aa, x.aa, mean),
            family.length_map(state.bb, x.bb, mean),
            family.covariance_map(state, x, mean),
        )
        return state, (state, gain, chi)

    by_time = Gram(*(jnp.moveaxis(r, -1, 0) for r in inputs))
    _, (states, gain, chi) = jax.lax.scan(step, start, by_time)
    states, gain, chi = jax.tree.map(lambda a: jnp.moveaxis(a, 0, -1), (states, gain, chi))
    cosine = states.ab / jnp.sqrt(states.aa * states.bb)
    return Propagation(states.aa, states.bb, states.ab, cosine, gain, chi)


def reach_of(
    powers: Float[Array, "*batch t"], max_lag: int, *, burn_in: int = 0
) -> Float[Array, "k"]:
    """Amplitudes over lags from the powers that single steps pass on.

    **Definition.** ``sqrt(< prod_{j=1..k} p_{t+j} >)``, 1 at lag 0; the average runs over the
    leading axes and over all starting times t >= ``burn_in`` that leave room for ``max_lag``
    steps, the same for each lag. With ``p`` the ``gain`` of a [`Propagation`][] this is the
    gradient reach, with ``chi`` the coherent reach. Where the average of the latter is below 0,
    which no norm is, 0 is returned.

    **Raises:** ValueError when there are not ``burn_in + max_lag`` times.

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> reach_of(jnp.full(10, 0.25), 3).tolist()
        [1.0, 0.5, 0.25, 0.125]

        ```
    """
    at_least("max_lag", max_lag, 0)
    at_least("burn_in", burn_in, 0, powers.shape[-1] - max_lag)
    return _reach_of(powers, max_lag, burn_in)


@eqx.filter_jit
def _reach_of(powers, max_lag, burn_in):
    windows = powers.shape[-1] - burn_in - max_lag + 1

    def lengthen(product, lag):
        factor = jax.lax.dynamic_slice_in_dim(powers, burn_in + lag, windows, axis=-1)
        product = product * factor
        return product, jnp.mean(product)

    one = jnp.ones((*powers.shape[:-1], windows), powers.dtype)
    _, means = jax.lax.scan(lengthen, one, jnp.arange(max_lag))
    return jnp.sqrt(jnp.maximum(jnp.append(jnp.ones(1, means.dtype), means), 0))


def predicted_gradient_reach(
    family: AbstractFamily,
    inputs: Scalar | Gram,
    *,
    max_lag: int,
    mean: Scalar = 0.0,
    burn_in: int = 0,
) -> Float[Array, "k"]:
    """The gradient reach of a wide random network: ``sqrt(chi_1^k)`` and its kin.

    **Definition.** The root of the mean squared singular value of dh_t/dh_{t-k} per unit: the
    product of chi_1 over k steps, at the fixed point of a constant input power, or along the
    trajectory that given inputs make, averaged over starting times.

    **Arguments:** ``inputs``: the input power R, or a [`Gram`][] of arrays (..., t); ``max_lag``;
    ``burn_in``: times left out at the beginning of given inputs.

    **Returns:** shape (max_lag + 1,), lags from 0. An amplitude.

    **When it misleads:** it is a mean square, ruled by rare large windows at finite width; the
    typical gain of one run lies below. For families whose state holds more than Q tells, the
    dynamics of the whole state are longer-lived than those of the part.

    **Reference:** Chen, Pennington & Schoenholz (2018).

    ??? example
        ```python
        >>> from echoic.theory import mean_field
        >>> net = mean_field.Vanilla(mean_field.Gate(0.8, 0.1))
        >>> reach = mean_field.predicted_gradient_reach(net, 1.0, max_lag=2)
        >>> bool(abs(reach[2] - mean_field.fixed_point(net, 1.0, 0.5).gain) < 1e-5)
        True

        ```
    """
    at_least("max_lag", max_lag, 0)
    if isinstance(inputs, Gram):
        return reach_of(propagate(family, inputs, mean=mean).gain, max_lag, burn_in=burn_in)
    gain = fixed_point(family, inputs, 1.0, mean=mean).gain
    return gain ** (jnp.arange(max_lag + 1, dtype=gain.dtype) / 2)


def predicted_coherent_reach(
    family: AbstractFamily,
    inputs: Scalar | Gram,
    cosine: Scalar = 0.0,
    *,
    max_lag: int,
    mean: Scalar = 0.0,
    burn_in: int = 0,
) -> Float[Array, "k"]:
    """The coherent reach of a wide random network, ``exp(-k / (2 xi))`` at constant covariance.

    **Definition.** The root of the product of chi over k steps, chi that of two copies driven by
    different inputs: ``tr(J_a' J_b) / n`` of the k-step Jacobians is the squared norm of what
    they share.

    **Arguments:** ``inputs``: the input power R, or a [`Gram`][] of arrays (..., t);
    ``cosine``: Sigma between the inputs of two copies, for constant powers; the rest as for
    [`predicted_gradient_reach`][].

    **Returns:** shape (max_lag + 1,), lags from 0. An amplitude: it falls half as fast as the
    power that xi speaks of.

    **When it misleads:** the theory redraws weights at each step; networks that keep theirs decay
    more slowly.

    **Reference:** Chen, Pennington & Schoenholz (2018), for xi.

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> from echoic.theory import mean_field
        >>> net = mean_field.Vanilla(mean_field.Gate(0.8, 0.1))
        >>> reach = mean_field.predicted_coherent_reach(net, 1.0, 0.5, max_lag=6)
        >>> found = mean_field.fixed_point(net, 1.0, 0.5)
        >>> bool(abs(reach[6] - jnp.exp(-6 / (2 * found.timescale))) < 1e-4)
        True

        ```
    """
    at_least("max_lag", max_lag, 0)
    if isinstance(inputs, Gram):
        return reach_of(propagate(family, inputs, mean=mean).chi, max_lag, burn_in=burn_in)
    check_inputs(inputs, cosine)
    chi = fixed_point(family, inputs, cosine, mean=mean).chi
    return jnp.maximum(chi, 0) ** (jnp.arange(max_lag + 1, dtype=chi.dtype) / 2)
