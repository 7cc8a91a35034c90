"""Where the training of a wide linear network ends, how fast it may go, and what it needs.

See `linear_kernel` for the network and the weights rho_j (Emami et al. 2021). In the limit of many
units gradient descent moves the impulse response as ``L_j <- L_j - lr rho_j dLoss/dL_j``; what
follows from that is derived here.
"""

import dataclasses
import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from echoic.core.checks import at_least, one_of
from echoic.theory.linear_kernel import check_variances, depth_limit


def minimum_norm_response(
    design: ArrayLike, targets: ArrayLike, weights: ArrayLike, start: ArrayLike | None = None
) -> np.ndarray:
    """The impulse response that gradient descent on a squared loss ends at.

    **Definition.** Of all L that fit best, the one nearest to the start in the norm that the
    weights set: ``argmin sum_j (L_j - L_j(0))^2 / rho_j``, that is ``L(0) + D X' (X D X')^+
    (y - X L(0))`` with ``D = diag(rho)``. With fewer equations than lags this is the bias: what
    the data leave open, lags of small weight do not fill.

    **Arguments**

    - ``design``: X of shape (equations, lags): row t holds ``x_t, x_{t-1}, ...``. For m channels
      (equations, lags m), the channels of a lag side by side.
    - ``targets``: y of shape (equations,) or (equations, p).
    - ``weights``: rho_j of shape (lags,); all 1 gives the plain pseudo-inverse.
    - ``start``: L(0) of shape (lags m,) or (lags m, p), 0 by default.

    **Returns:** L, of the start's shape.

    **Cost.** O(equations^2 lags), by singular values of ``X D^1/2``.

    ```python
    >>> from echoic.theory import minimum_norm_response
    >>> minimum_norm_response([[1.0, 1.0]], [1.0], [3.0, 1.0]).round(2).tolist()
    [0.75, 0.25]

    ```
    """
    matrix, aims = np.asarray(design, float), np.asarray(targets, float)
    if matrix.ndim != 2 or aims.ndim not in (1, 2) or len(aims) != len(matrix):
        raise ValueError(
            "design must have shape (equations, lags) and targets (equations,) or (equations, p),"
            f" got {matrix.shape} and {aims.shape}."
        )
    scale = np.sqrt(_repeated(weights, matrix.shape[1]))
    first = np.zeros((matrix.shape[1], *aims.shape[1:])) if start is None else np.asarray(start)
    if first.shape != (matrix.shape[1], *aims.shape[1:]):
        raise ValueError(
            f"start must have shape {(matrix.shape[1], *aims.shape[1:])}, got {first.shape}."
        )
    theta = np.linalg.lstsq(matrix * scale, aims - matrix @ first, rcond=None)[0]
    return first + (scale * theta.T).T


def largest_learning_rate(hessian: ArrayLike | float, weights: ArrayLike) -> float:
    """The rate from which on gradient descent diverges: ``2 / lambda_max(D^1/2 H D^1/2)``.

    **Arguments**

    - ``hessian``: that of the loss in the impulse response, H: (lags, lags), or for m channels
      (lags m, lags m); a number h for white input of power h and the loss ``1/2 E|y - y*|^2``.
    - ``weights``: rho_j of shape (lags,).

    **Returns:** the limit in the parametrisation of `linear_kernel`, for many units; inf for a flat
    loss. A plain convolution has that of ``rho = 1``.

    ```python
    >>> from echoic.theory import lag_weights, largest_learning_rate
    >>> round(largest_learning_rate(1.0, lag_weights(0.3, 9)), 12)
    1.0

    ```
    """
    matrix = np.asarray(hessian, float)
    if matrix.ndim == 0:
        matrix = float(matrix) * np.eye(np.size(np.asarray(weights)))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"hessian must be a number or of shape (lags, lags), got {matrix.shape}.")
    scale = np.sqrt(_repeated(weights, len(matrix)))
    top = float(np.linalg.eigvalsh(scale[:, None] * matrix * scale)[-1])
    return 2 / top if top > 0 else math.inf


@dataclasses.dataclass(frozen=True)
class TransitionChoice:
    """A transition variance for a wanted lag.

    ``variance`` is nu_W, NaN where no stable network will do. ``holds`` tells whether the theory
    may be believed at this width; ``sentence`` says what was found, in either case.
    """

    variance: float
    holds: bool
    sentence: str


def choose_transition_variance(
    lag: int,
    size: int,
    *,
    ratio: float | None = None,
    input_weight_variance: float = 1.0,
    output_weight_variance: float = 1.0,
) -> TransitionChoice:
    """The transition variance that makes a network of ``size`` units learn a lag.

    **Definition.** With ``ratio``: the smallest nu_W for which ``rho_lag / rho_0 >= ratio`` (that
    ratio rises with nu_W). Without: the nu_W for which rho peaks at this lag, so that no other is
    learnt faster; of the interval of such nu_W the one at which the continued curve peaks half a
    step before the lag.

    **Arguments:** ``lag`` at least 1; ``size`` n, for the limit of depth; ``ratio`` > 0; nu_F and
    nu_C.

    **Returns:** a [`TransitionChoice`][]: not holding beyond [`depth_limit`][], and NaN where the
    ratio asks for ``nu_W >= 1``, an unstable network.

    ```python
    >>> from echoic.theory import choose_transition_variance, peak_lag
    >>> choice = choose_transition_variance(8, 1024)
    >>> peak_lag(choice.variance), choice.holds
    (8.0, True)

    ```
    """
    lag, size = at_least("lag", lag, 1), at_least("size", size, 1)
    check_variances(0.0, input_weight_variance, output_weight_variance)
    ends = 1 / input_weight_variance + 1 / output_weight_variance
    if ratio is None:
        variance = _variance_of_peak(lag - 0.5, ends)
        found = f"With nu_W = {variance:.6g} lag {lag} is learnt faster than any other."
    else:
        if not 0 < ratio < math.inf:
            raise ValueError(f"ratio must be positive and finite, got {ratio}.")
        most = 1 + lag / ends
        if ratio >= most:
            return TransitionChoice(
                math.nan,
                False,
                f"No stable network learns lag {lag} at {ratio:g} times the rate of lag 0: below"
                f" nu_W = 1 the ratio stays under {most:g}.",
            )
        variance = _variance_of_ratio(lag, ratio, ends)
        found = f"From nu_W = {variance:.6g} on lag {lag} has {ratio:g} times the rate of lag 0."
    limit = depth_limit(size)
    if lag > limit:
        found += (
            f" But at {size} units the theory holds up to lag {math.floor(limit)}: for lag {lag}"
            f" it needs {4 * lag**2} units."
        )
    return TransitionChoice(variance, lag <= limit, found)


Parametrisation = Literal["scaled", "standard"]


def layer_learning_rates(
    learning_rate: float, size: int, *, parametrisation: str
) -> dict[str, float]:
    """The rate of each layer with which a network trains as the theory says at ``learning_rate``.

    **Definition.** In ``"scaled"`` form (``h' = n^-1/2 W h + F x``, ``y = n^-1/2 C h``) one rate
    for all. In ``"standard"`` form, where the factors belong to the weights, lr / n for W and C,
    and lr for F (chain rule).

    **Returns:** the rates of ``recurrent``, ``input`` and ``output``.
    """
    one_of("parametrisation", parametrisation, ("scaled", "standard"))
    size = at_least("size", size, 1)
    inner = learning_rate / size if parametrisation == "standard" else learning_rate
    return {"recurrent": inner, "input": float(learning_rate), "output": inner}


def parametrisation_warnings(
    size: int,
    *,
    parametrisation: str,
    optimiser: str,
    rates: dict[str, float] | None = None,
) -> tuple[str, ...]:
    """In what a way of training departs from the equivalence with a scaled convolution.

    **Arguments**

    - ``size``: n.
    - ``parametrisation``: ``"scaled"`` or ``"standard"``, see [`layer_learning_rates`][].
    - ``optimiser``: its name. Plain gradient descent (``gd``, ``sgd``) keeps the equivalence; one
      that rescales each gradient by its own history, as Adam, does not.
    - ``rates``: the rates of ``recurrent``, ``input`` and ``output``; None: one for all.

    **Returns:** one sentence for each departure; empty where the theory applies.

    ```python
    >>> from echoic.theory import parametrisation_warnings
    >>> parametrisation_warnings(64, parametrisation="scaled", optimiser="gd")
    ()

    ```
    """
    given = {"recurrent": 1.0, "input": 1.0, "output": 1.0} if rates is None else dict(rates)
    needed = layer_learning_rates(1.0, size, parametrisation=parametrisation)
    if set(given) != set(needed) or not all(rate > 0 for rate in given.values()):
        raise ValueError(f"rates must be positive and name {', '.join(needed)}, got {given}.")
    found = []
    if optimiser.lower() not in ("gd", "sgd", "gradient descent"):
        found.append(
            f"{optimiser} is not plain gradient descent: an optimiser that rescales gradients"
            " trains all lags at other rates than the weights rho_j; use full-batch gradient"
            " descent to compare."
        )
    relative = {name: given[name] / given["input"] for name in needed}
    if any(not math.isclose(relative[name], needed[name], rel_tol=1e-6) for name in needed):
        asked = "one rate" if parametrisation == "scaled" else f"the input's rate / {size}"
        found.append(
            f"In {parametrisation} form W and C need {asked} to train like the scaled convolution,"
            f" got {relative['recurrent']:.3g} and {relative['output']:.3g} times the input's rate:"
            " the weights rho_j are others."
        )
    return tuple(found)


def _variance_of_peak(turn: float, ends: float) -> float:
    """Nu with ``nu / (1 - nu) - nu ends = turn``: the positive root of a quadratic equation."""
    linear = 1 - ends + turn
    root = math.sqrt(linear**2 + 4 * ends * turn)
    # Of the two forms of the root the one that adds up numbers of equal sign.
    return 2 * turn / (linear + root) if linear > 0 else (root - linear) / (2 * ends)


def _variance_of_ratio(lag: int, ratio: float, ends: float) -> float:
    """The least nu >= 0 with ``nu^lag + lag nu^(lag - 1) / ends = ratio``, by bisection."""
    if lag == 1 and ratio <= 1 / ends:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if middle**lag + lag * middle ** (lag - 1) / ends < ratio:
            low = middle
        else:
            high = middle
    return high


def _repeated(weights: ArrayLike, columns: int) -> np.ndarray:
    """The weight of each column, those of a lag's channels being equal."""
    array = np.asarray(weights, float)
    if array.ndim != 1 or array.size == 0 or columns % array.size:
        raise ValueError(
            f"weights must have shape (lags,), lags a divisor of {columns}, got {array.shape}."
        )
    if np.any(array < 0):
        raise ValueError(f"weights must be at least 0, got {array.min()}.")
    return np.repeat(array, columns // array.size)
