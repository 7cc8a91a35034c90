"""What a Lyapunov spectrum says about the attractor: its dimension and its entropy."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from echoic.core.checks import is_traced
from echoic.core.estimate import Estimate, Settings


def kaplan_yorke_dimension(spectrum: Estimate | Any, *, complete: bool | None = None) -> Estimate:
    """Kaplan-Yorke (Lyapunov) dimension of the attractor, with its error.

    **Definition.** ``D = j + (lambda_1 + ... + lambda_j) / |lambda_{j+1}|`` with j the largest
    number of leading exponents whose sum is not negative; 0 if all are negative, n if the sum of
    all n is not.

    **Arguments**

    - ``spectrum``: a result of `lyapunov_spectrum`, `lyapunov_ensemble` or `covariant_vectors`, or
      an array (k,) of exponents in any order.
    - ``complete``: whether these are all exponents of the system. Seen from a result; one that
      does not tell counts as a part, an array as complete.

    **Returns:** an `Estimate`, a scalar. Its error follows the exponents' blocks through the
    formula to first order, so that correlations between exponents count; NaN for an array. Status
    and settings are those of the spectrum. ``details``: ``whole``, the number j.

    **Raises:** ValueError if the sum of a part of the exponents is not negative: more are needed.
    Under tracing the answer is NaN then.

    **When it misleads:** it equals the information dimension only if the conjecture holds. For a
    driven network it is that of the random attractor at one time, not of the cloud of all states.
    Where ``lambda_1`` is 0 within its error the dimension may be 0 or more than 1.

    **Cost:** none worth mentioning.

    **References:** Kaplan & Yorke 1979; Frederickson, Kaplan, Yorke & Yorke 1983.

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> float(kaplan_yorke_dimension(jnp.array([0.5, 0.0, -1.0])).value)
        2.5

        ```
    """
    return _apply(spectrum, complete, _dimension, "their sum is not negative yet")


def entropy_rate(spectrum: Estimate | Any, *, complete: bool | None = None) -> Estimate:
    """Entropy rate by Pesin's formula: the sum of the positive exponents, in nats per step.

    **Definition.** ``h = sum_i max(lambda_i, 0)``.

    **Arguments:** ``spectrum`` and ``complete`` as for `kaplan_yorke_dimension`.

    **Returns:** an `Estimate`, a scalar, with its error from the blocks of the run (NaN for an
    array); ``details``: ``whole``, the number of positive exponents.

    **Raises:** ValueError if the smallest of a part of the exponents is positive: more are needed.
    Under tracing the answer is NaN then.

    **When it misleads:** it is an upper bound (Ruelle's inequality), and the entropy itself only
    for a measure that is smooth along the unstable directions. For a driven network it is what the
    network's own chaos adds to the entropy of the input. An exponent that is 0 within its error
    adds half of its scatter.

    **Cost:** none worth mentioning.

    **References:** Pesin 1977; Ruelle 1978; Eckmann & Ruelle 1985.

    ??? example
        ```python
        >>> import jax.numpy as jnp
        >>> float(entropy_rate(jnp.array([0.5, 0.25, -1.0])).value)
        0.75

        ```
    """
    return _apply(spectrum, complete, _entropy, "the smallest is still positive")


def _apply(spectrum, complete: bool | None, formula: Callable, refusal: str) -> Estimate:
    """A formula on exponents and their blocks; refuse where more exponents are needed."""
    if isinstance(spectrum, Estimate):
        value, growth = spectrum.value, spectrum.details.get("growth")
        complete = _is_complete(spectrum) if complete is None else complete
        status, settings = spectrum.status, spectrum.settings
    else:
        value, growth = jnp.asarray(spectrum), None
        status, settings = 0, Settings()
    if value.ndim != 1 or value.size == 0 or not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(
            "spectrum must be an Estimate or an array (k,) of exponents, got"
            f" shape {value.shape} and dtype {value.dtype}."
        )
    complete = True if complete is None else bool(complete)
    result, error, whole, enough = _with_error(formula, value, growth, complete)
    if not is_traced(enough) and not bool(enough):
        raise ValueError(
            f"{value.size} exponents are not enough: {refusal}. Measure more, or"
            " pass complete=True if these are all."
        )
    return Estimate(result, error, status, settings, {"whole": whole})


def _is_complete(spectrum: Estimate) -> bool:
    """Whether a result holds as many exponents as the system has; not where it does not say."""
    frame = spectrum.details.get("final_frame", spectrum.details.get("vectors"))
    size = spectrum.settings.get("state_size") if frame is None else frame.shape[-2]
    return size == spectrum.value.size


@eqx.filter_jit
def _with_error(formula, value: Float[Array, "k"], growth, complete: bool):
    """A formula's value, its error to first order, j, and whether the exponents suffice."""
    ordered = -jnp.sort(-value)
    result, slope, whole, enough = formula(ordered, complete)
    unknown = jnp.any(jnp.isnan(value)) | ~enough
    result = jnp.where(unknown, jnp.nan, result)
    if growth is None:
        return result, jnp.full_like(result, jnp.nan), whole, enough | jnp.any(jnp.isnan(value))
    # Block lengths differ by a step at most, which does not matter to an error.
    order = jnp.argsort(-jnp.mean(growth, axis=1), axis=1)
    growth = jnp.take_along_axis(growth, order[:, None, :], axis=2)
    batch, blocks, _ = growth.shape
    gap = growth - jnp.mean(growth, axis=(0, 1), keepdims=True)
    weight = slope[None, None, :]
    series = jnp.sum(jnp.where(weight == 0, 0, weight * gap), axis=2)
    # Joined runs have many short blocks, which are correlated: 20 to 39 of them are enough.
    group = max(blocks // 20, 1)
    merged = series[:, : blocks // group * group].reshape(batch, -1, group).mean(axis=2)
    error = jnp.std(merged, ddof=1) / merged.size**0.5
    if batch > 1:
        error = jnp.maximum(error, jnp.std(jnp.mean(series, axis=1), ddof=1) / batch**0.5)
    error = jnp.where(unknown, jnp.nan, error)
    return result, error, whole, enough | jnp.any(jnp.isnan(value))


_Found = tuple[Float[Array, ""], Float[Array, "k"], Array, Bool[Array, ""]]


def _dimension(ordered: Float[Array, "k"], complete: bool) -> _Found:
    """D, its derivative in each exponent, j, and whether j is known."""
    k = ordered.size
    sums = jnp.cumsum(ordered)
    whole = jnp.sum(sums >= 0)
    full = whole == k
    total = jnp.where(whole > 0, sums[jnp.maximum(whole - 1, 0)], 0)
    next_one = jnp.where(full, -1, ordered[jnp.minimum(whole, k - 1)])
    rest = jnp.where(full, 0, total / -next_one)
    index = jnp.arange(k)
    slope = jnp.where(index < whole, -1 / next_one, 0)
    slope = jnp.where(index == whole, total / next_one**2, slope)
    slope = jnp.where(full, 0, slope)
    return whole.astype(ordered.dtype) + rest, slope, whole, complete | ~full


def _entropy(ordered: Float[Array, "k"], complete: bool) -> _Found:
    """h, its derivative in each exponent, how many are positive, and whether all these are here."""
    positive = ordered > 0
    value = jnp.sum(jnp.where(positive, ordered, 0))
    known = complete | ~positive[-1]
    return value, positive.astype(ordered.dtype), jnp.sum(positive), known
