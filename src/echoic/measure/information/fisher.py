"""Fisher memory: what the present state still knows of a past input when the state is noisy."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Int, PRNGKeyArray

from echoic.core.cell import AbstractCell, LinearForm, State, Step, without_law
from echoic.core.checks import at_least, is_traced, refuse_if_larger
from echoic.core.estimate import Estimate, Status
from echoic.measure.information.fisher_driven import (
    default_noise,
    driven_curve,
    fisher_estimate,
    unit_direction,
)
from echoic.measure.information.noise import finite_root, stationary_root, whiten
from echoic.measure.windows import Driven, burn_in_for, prepare, spread


def fisher_memory(
    cell: AbstractCell | Step,
    inputs: Any = None,
    *,
    max_lag: int,
    key: PRNGKeyArray | None = None,
    noise_variance: float | None = None,
    direction: Any = None,
    end_times: int = 16,
    windows: int | None = None,
    burn_in: int | None = None,
    steps: int | None = None,
    state: State = None,
    throw: bool = True,
) -> Estimate:
    """The information that a noisy state holds about the input k steps earlier.

    **Definition.** With independent Gaussian noise of variance eps added to every state
    coordinate at every step, ``J(k) = b' C^-1 b``: b = dh_t/dx_{t-k} is the signal, C the
    covariance of h_t given the inputs. For ``h' = W h + v x``:
    ``J(k) = v' W'^k C^-1 W^k v`` with ``C = eps sum_k W^k W'^k``; exact, from the cell's
    ``linear_form``. Other cells are linearised along the trajectory that the inputs drive, noise
    being added from the first step of the burn-in on, and J is averaged over times.

    **Units.** The input enters as it is scaled by the cell's own input weights, and counts in units
    of its own standard deviation s (``b`` is multiplied by it); without ``inputs``, of 1. The
    papers take a unit vector v and eps = 1: divide by ``details["input_gain"]``, the mean of
    ``||b||^2`` at lag 0. Several channels: the mean of their J, each in its own unit.

    **Arguments:**

    - ``cell``: a cell, or a function ``step(state, x) -> state`` with its initial ``state``.
    - ``inputs``: shape (t,), (t, m) or (b, t, m); needed unless the cell is linear.
    - ``max_lag``: the largest lag; lag 0 is the newest input.
    - ``key``: draws the times, and probes of more than 8 channels; not needed for linear cells.
    - ``noise_variance``: eps. Default: (0.1 of the state's root mean square)^2 with ``inputs``,
      over at most 5,000 steps after the burn-in of the first 16 sequences; 1 without.
    - ``direction``: shape (m,), the signal's direction in channels, in units of their spread;
      taken to unit length.
    - ``end_times``: number of times averaged over at each lag, spread over ``max_lag`` steps of
      each window.
    - ``windows``: stretches of the inputs that are followed. Default: one for each sequence, 4 at
      most. Each takes ``burn_in + 2 max_lag + 1`` steps, fewer if the series is shorter.
    - ``burn_in``: steps from the initial state, and from rest of the noise, to the first signal.
      Default: ``max_lag``, but no more than a quarter of the series and no less than 100.
    - ``steps``: linear cells only: noise from ``steps`` steps instead of a stationary state, which
      an unstable network does not have; more than ``max_lag``.
    - ``throw``: raise where a linear network is unstable, or numbers become infinite.

    **Returns:** an `Estimate` over the lags 0 to ``max_lag``; no error for linear cells. Of others
    the error covers starting times, and the probes of more than 8 channels. Details:
    ``total`` (the sum over the lags measured; at most n ``input_gain`` / eps), ``noise_gain``
    (trace(C) / (n eps), the state's variance per unit of state noise), ``noise_variance``,
    ``input_gain``, ``lag``. Status UNSTABLE for a driven network says that C doubled over
    half of the run, NOT_CONVERGED that it grew by a quarter: the numbers then belong to noise from
    ``burn_in`` steps, and a longer burn-in gives smaller ones.

    **Raises:** ValueError for missing or constant inputs, and for too short ones; UntrustedError,
    see ``throw``.

    **When the number misleads:** the noise is small by assumption: J says nothing of noise that
    drives a network through its nonlinearity. Errors of overlapping windows rest on a model, in
    which two times share as much of their fluctuation as their windows share steps. At lags beyond
    the memory of a driven network J is skewed: its mean comes from a few times.

    **Cost:** linear: about 12 QR factorisations of (2n, n), then n^2 a lag; n = 1000 takes
    seconds. Driven: for each step
    of each window two products and one Cholesky factorisation of (n, n); where that loses digits,
    all again with QR, four times slower. Memory: a few n^2.

    **Reference:** Ganguli, Huh & Sompolinsky (2008), PNAS; Orhan & Pitkow (2020), ICLR, eqs. 1-4.

    ??? example
        A rotation has a total memory of 1, as every normal network has.
        ```python
        >>> import jax.numpy as jnp, jax.random as jr
        >>> turn = 0.8 * jnp.array([[0.6, -0.8], [0.8, 0.6]])
        >>> step = lambda h, x: turn @ h + jnp.array([1.0, 0.0]) * x
        >>> curve = fisher_memory(step, jr.normal(jr.key(1), (400,)), state=jnp.zeros(2),
        ...                       max_lag=60, key=jr.key(0))
        >>> d = curve.details
        >>> bool(jnp.isclose(d["total"] * d["noise_variance"] / d["input_gain"], 1, rtol=1e-3))
        True

        ```
    """
    max_lag = at_least("max_lag", max_lag, 0)
    network = cell if isinstance(cell, AbstractCell) else None
    form = None if network is None else without_law(network).linear_form()
    if form is None and inputs is None:
        raise ValueError("only linear cells have a Fisher memory without inputs: pass inputs.")
    driven = None if inputs is None else prepare(cell, inputs, state, None)
    if driven is not None and not driven.driven:
        raise ValueError("the inputs are constant: their spread is the unit of the signal.")
    if noise_variance is not None and not (is_traced(noise_variance) or noise_variance > 0):
        raise ValueError(f"noise_variance must be positive, got {noise_variance}.")
    if form is not None:
        estimate = _linear(form, driven, max_lag, noise_variance, direction, burn_in, steps)
        return estimate.throw(Status.UNSTABLE, Status.NOT_FINITE) if throw else estimate
    if steps is not None:
        raise ValueError("steps is for linear cells; a driven one accumulates noise from burn-in.")
    assert driven is not None
    if key is None:
        raise ValueError("a driven network is measured at random times: pass key=...")
    end_times = at_least("end_times", end_times, 1)
    estimate = driven_curve(
        driven, max_lag, key, noise_variance, direction, end_times, windows, burn_in
    )
    return estimate.throw(Status.NOT_FINITE) if throw else estimate


def _linear(
    form: LinearForm,
    driven: Driven | None,
    max_lag: int,
    noise_variance: Any,
    direction: Any,
    burn_in: int | None,
    steps: int | None,
) -> Estimate:
    """The exact curve of a linear network."""
    w, (n, channels) = form.recurrent, form.input.shape
    refuse_if_larger("the Fisher memory", 16.0 * n * n * w.dtype.itemsize)
    signals = form.input if driven is None else form.input * spread(driven.inputs)[None]
    if direction is None:
        signals = signals / channels**0.5
    else:
        signals = (signals @ unit_direction(direction, channels, w.dtype))[:, None]
    if noise_variance is None and driven is not None:
        burn_in = burn_in_for(burn_in, max_lag, driven.inputs.shape[1])
        noise_variance = default_noise(driven, burn_in)
    variance = jnp.asarray(1.0 if noise_variance is None else noise_variance, w.dtype)
    if steps is None:
        value, noise_gain, flags = _stationary_curve(w, signals, max_lag)
    else:
        count = jnp.asarray(at_least("steps", steps, max_lag + 1), jnp.int32)
        value, noise_gain, flags = _finite_curve(w, signals, max_lag, count)
    settings = {
        "max_lag": max_lag,
        "exact": True,
        "noise": "stationary" if steps is None else f"from {steps} steps",
        "signal": "mean over channels" if direction is None else "one direction",
        "signal_unit": "1" if driven is None else "standard deviation of the input",
    }
    return fisher_estimate(value, None, variance, noise_gain, jnp.sum(signals**2), flags, settings)


@eqx.filter_jit
def _stationary_curve(w, signals, max_lag: int):
    root, settled = stationary_root(w)
    white = whiten(w, root)

    def advance(now, _):
        return white.step @ now, jnp.sum(now**2)

    _, value = jax.lax.scan(advance, white.inverse @ signals, length=max_lag + 1)
    largest = w.shape[0] * jnp.sum(signals**2)
    rounding = float(jnp.finfo(w.dtype).eps) ** 0.4
    ill = (white.defect > rounding) | (jnp.sum(value) > largest * (1 + rounding))
    finite = jnp.all(jnp.isfinite(w)) & jnp.all(jnp.isfinite(signals))
    flags = jnp.where(settled & ill, int(Status.ILL_CONDITIONED), 0)
    flags += jnp.where(finite & ~settled, int(Status.UNSTABLE), 0)
    flags += jnp.where(finite, 0, int(Status.NOT_FINITE))
    noise_gain = jnp.mean(jnp.sum(root**2, axis=1))
    value, noise_gain = (jnp.where(settled, x, jnp.nan) for x in (value, noise_gain))
    return value, noise_gain, flags


@eqx.filter_jit
def _finite_curve(w, signals, max_lag: int, steps: Int[Array, ""]):
    root = finite_root(w, steps)

    def whitened(vectors):
        return solve_triangular(root, vectors, lower=True)

    def advance(now, _):
        return whitened(w @ (root @ now)), jnp.sum(now**2)

    _, value = jax.lax.scan(advance, whitened(signals), length=max_lag + 1)
    flags = jnp.where(jnp.all(jnp.isfinite(value)), 0, int(Status.NOT_FINITE))
    return value, jnp.mean(jnp.sum(root**2, axis=1)), flags
