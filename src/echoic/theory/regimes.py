"""How fast a cost's slope and curvature grow with the horizon: the price of memory.

A recurrent model ``x_t = f(x_{t-1}, u_t, theta)`` with f Lipschitz in the state by L has a cost
``V(theta) = 1/N sum_{t <= N} loss(x_t)`` whose Lipschitz constant L_V, and whose smoothness beta
(the Lipschitz constant of its gradient), can grow with the number of steps N: not at all for L < 1,
as a power of N for L = 1, exponentially for L > 1. Ribeiro et al. 2020 made this the counterpart of
memory. The bounds here were derived for this library, with every constant, from

    s_t <= K (1 + L + ... + L^(t-1))                       "separate": |f_x| <= L, |f_theta| <= K
    s_t^2 <= L^2 + L^4 + ... + L^(2t)                      "joint": |[f_x f_theta]| <= L
    D_t <= L D_{t-1} + C (1 + s_{t-1}^2)                   C: Lipschitz constant of f's Jacobian
    L_V <= 1/N sum e_t s_t,   beta <= 1/N sum (s_t^2 + e_t D_t)

s_t bounds the sensitivity ``dx_t / dtheta``, D_t its own Lipschitz constant. ``e_t`` is the slope
of the loss: at most 1 ("bounded": outputs that stay in a box, or a loss like the absolute
error), or growing as s_t ("growing": squared error far from the data). The paper states orders of
growth of this kind; which convention it uses was not checked, so none of these is printed as its
own.

With ``exp(lambda_1)`` in place of L, what comes out is no bound but the typical growth along the
trajectory: sensitivities grow by the largest Lyapunov exponent.
"""

import math
from typing import Literal, NamedTuple

import numpy as np

from echoic.core.checks import at_least, one_of

Regime = Literal["contracting", "marginal", "expanding"]

_CONVENTIONS = ("separate", "joint")
_SLOPES = ("bounded", "growing")
_QUANTITIES = ("gradient", "smoothness")

# At L = 1, L_V ~ N^p and beta ~ N^p.
_POWERS = {
    ("separate", "bounded"): (1.0, 3.0),
    ("separate", "growing"): (2.0, 4.0),
    ("joint", "bounded"): (0.5, 2.0),
    ("joint", "growing"): (1.0, 2.5),
}
_STEPS = 1 << 16  # up to here the sums are formed term by term


class GrowthLaw(NamedTuple):
    """Order of growth for large N: ``N^power exp(rate N)``.

    **Fields:** ``regime``: "contracting" (L < 1), "marginal" (L = 1) or "expanding" (L > 1);
    ``gradient_power``, ``gradient_rate`` of L_V; ``smoothness_power``, ``smoothness_rate`` of beta;
    rates in nats per step.
    """

    regime: Regime
    gradient_power: float
    gradient_rate: float
    smoothness_power: float
    smoothness_rate: float


class CostGrowth(NamedTuple):
    """Bounds for all horizons N = 1 ... n, entry N - 1 belongs to N. Natural logarithms.

    **Fields:** ``log_gradient``: of L_V; ``log_smoothness``: of beta; shape (n,) each.
    """

    log_gradient: np.ndarray
    log_smoothness: np.ndarray


def growth_law(
    lipschitz: float, *, convention: str = "separate", loss_slope: str = "bounded"
) -> GrowthLaw:
    """In which regime a model is, and how its cost's slope and curvature grow with the horizon.

    **Arguments:** ``lipschitz``: L of the dynamics, or ``exp`` of the largest exponent for the
    typical growth; ``convention`` "separate" or "joint"; ``loss_slope`` "bounded" or "growing":
    see the head of this module.

    **When it misleads.** These are upper bounds. They are attained (a scalar system for
    "separate", a shift register for "joint"), but for a given network the sensitivity may point
    where the loss is flat. L = 1 is a point: within ``1/N`` of it the sums must be added up.

    **Reference.** Ribeiro, Tiels, Aguirre & Schon 2020 for the three regimes; orders derived here.

    ```python
    >>> import math
    >>> from echoic.theory import growth_law
    >>> growth_law(1.0).smoothness_power
    3.0
    >>> math.isclose(growth_law(1.1).smoothness_rate, 2 * math.log(1.1))
    True

    ```
    """
    _check(lipschitz, convention, loss_slope)
    if lipschitz < 1:
        return GrowthLaw("contracting", 0.0, 0.0, 0.0, 0.0)
    gradient, smoothness = _POWERS[convention, loss_slope]
    if lipschitz == 1:
        return GrowthLaw("marginal", gradient, 0.0, smoothness, 0.0)
    rate, extra = math.log(lipschitz), float(loss_slope == "growing")
    return GrowthLaw("expanding", -1.0, (1 + extra) * rate, -1.0, (2 + extra) * rate)


def cost_growth(
    lipschitz: float,
    horizon: int,
    *,
    convention: str = "separate",
    loss_slope: str = "bounded",
    parameter_slope: float = 1.0,
    curvature: float = 1.0,
) -> CostGrowth:
    """Bounds on the cost's slope L_V and smoothness beta for every horizon up to ``horizon``.

    **Definition.** The sums at the head of this module, in logarithms: nothing overflows.

    **Arguments:** ``lipschitz``: L; ``horizon``: the largest N; ``parameter_slope``: K ("separate"
    only); ``curvature``: C, the Lipschitz constant of f's Jacobian, 0 for linear dynamics.
    A bounded loss slope is 1: multiply by your own.

    **Cost:** ``O(horizon)``.

    ```python
    >>> import numpy as np
    >>> from echoic.theory import cost_growth
    >>> found = cost_growth(1.0, 3)  # s = 1, 2, 3: means 1, 1.5, 2
    >>> bool(np.allclose(np.exp(found.log_gradient), [1, 1.5, 2]))
    True

    ```
    """
    _check(lipschitz, convention, loss_slope, parameter_slope, curvature)
    k = parameter_slope if convention == "separate" else 1.0
    model = _Model(_log(lipschitz), convention, loss_slope, _log(k), _log(curvature))
    return _growth(model, at_least("horizon", horizon, 1))


def longest_horizon(
    limit: float,
    lipschitz: float,
    *,
    quantity: str = "gradient",
    convention: str = "separate",
    loss_slope: str = "bounded",
    parameter_slope: float = 1.0,
    curvature: float = 1.0,
) -> float:
    """The most steps N for which the bound on L_V (or beta) stays at or below ``limit``.

    **Arguments:** as for [`cost_growth`][]; ``quantity`` "gradient" (L_V) or "smoothness" (beta).

    **Returns:** N; 0 if one step is too many; inf if the bound never reaches the limit, as a
    contracting model's may not. Exact up to 65536 steps; beyond, where neighbouring terms differ
    by less than a part in a hundred, by rescaling time, to about one part in a thousand.

    ```python
    >>> from echoic.theory import longest_horizon
    >>> longest_horizon(50.0, 1.0)  # (N + 1) / 2
    99.0
    >>> longest_horizon(50.0, 0.9)  # never above 1 / (1 - .9)
    inf

    ```
    """
    if not (0 < limit < math.inf):
        raise ValueError(f"limit must be a finite number above 0, got {limit}.")
    index = _QUANTITIES.index(one_of("quantity", quantity, _QUANTITIES))
    _check(lipschitz, convention, loss_slope, parameter_slope, curvature)
    k = parameter_slope if convention == "separate" else 1.0
    model = _Model(_log(lipschitz), convention, loss_slope, _log(k), _log(curvature))
    wanted, highest = math.log(limit), _supremum(model)[index]
    if wanted >= highest:
        return math.inf
    for stretch in 16.0 ** np.arange(40):
        coarse = _stretched(model, float(stretch))
        target = wanted
        if highest < math.inf:  # relative to the limit, which decides here
            target += _supremum(coarse)[index] - highest
        bounds = _growth(coarse, _STEPS)[index]
        above = np.flatnonzero(bounds > target + 1e-11)  # a tie is not above
        if above.size:
            return float(above[0] * stretch)
        if -model.rate * stretch * _STEPS > 60:
            # All terms have settled: the mean approaches its limit as 1 / N.
            missing = -math.expm1(bounds[-1] - _supremum(coarse)[index])
            return float(stretch * _STEPS * missing / -math.expm1(wanted - highest))
    return math.inf  # the limit, above 1e308, is out of reach of any run


class _Model(NamedTuple):
    """What the bounds depend on, in logarithms."""

    rate: float  # log L
    convention: str
    loss_slope: str
    log_k: float
    log_c: float


def _stretched(model: _Model, steps: float) -> _Model:
    """The model with ``steps`` steps in one: good as long as L^steps is near 1, or all has settled.

    A step adds as much to the sensitivity, and to its bend, as all of them did.
    """
    share = 1.0 if model.convention == "separate" else 0.5
    more = math.log(steps)
    return model._replace(
        rate=model.rate * steps, log_k=model.log_k + share * more, log_c=model.log_c + more
    )


def _growth(model: _Model, horizon: int) -> CostGrowth:
    steps = np.arange(1, horizon + 1)
    sensitivity = _log_sensitivity(model, steps)
    # D_t = C sum_{j < t} L^(t-1-j) (1 + s_j^2), s_0 = 0.
    earlier = np.logaddexp(0.0, 2 * np.append(-np.inf, sensitivity[:-1]))
    bend = model.log_c + _discounted_sum(earlier, model.rate)
    error = sensitivity if model.loss_slope == "growing" else np.zeros(horizon)
    gradient = np.logaddexp.accumulate(error + sensitivity) - np.log(steps)
    terms = np.logaddexp(2 * sensitivity, error + bend)
    return CostGrowth(gradient, np.logaddexp.accumulate(terms) - np.log(steps))


def _log_sensitivity(model: _Model, steps: np.ndarray) -> np.ndarray:
    """The logarithm of s_t."""
    if model.convention == "separate":
        return model.log_k + _geometric(model.rate, steps)
    return model.log_k + model.rate + _geometric(2 * model.rate, steps) / 2


def _geometric(rate: float, count: np.ndarray) -> np.ndarray:
    """``log(1 + L + ... + L^(count - 1))`` with L = e^rate."""
    if rate == 0:
        return np.log(count)
    if rate == -math.inf:
        return np.zeros(len(count))
    top = count * rate
    if rate > 0:
        return top + np.log(-np.expm1(-top)) - (rate + math.log(-math.expm1(-rate)))
    return np.log(-np.expm1(top)) - math.log(-math.expm1(rate))


def _discounted_sum(terms: np.ndarray, rate: float) -> np.ndarray:
    """``log sum_{j < t} L^(t-1-j) exp(terms_j)`` for t = 1 ... n."""
    if rate == -math.inf:
        return terms
    age = np.arange(len(terms)) * rate
    return age + np.logaddexp.accumulate(terms - age)


def _supremum(model: _Model) -> tuple[float, float]:
    """The limits of log L_V and log beta for N to infinity: inf unless the model contracts."""
    if model.rate >= 0:
        return math.inf, math.inf
    s = model.log_k - math.log(-math.expm1(model.rate))
    if model.convention == "joint":
        s = model.log_k + model.rate - math.log(-math.expm1(2 * model.rate)) / 2
    error = s if model.loss_slope == "growing" else 0.0
    bend = model.log_c + float(np.logaddexp(0.0, 2 * s)) - math.log(-math.expm1(model.rate))
    return error + s, float(np.logaddexp(2 * s, error + bend))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _check(
    lipschitz: float,
    convention: str,
    loss_slope: str,
    parameter_slope: float = 1.0,
    curvature: float = 1.0,
) -> None:
    one_of("convention", convention, _CONVENTIONS)
    one_of("loss_slope", loss_slope, _SLOPES)
    numbers = {"lipschitz": lipschitz, "parameter_slope": parameter_slope, "curvature": curvature}
    for name, value in numbers.items():
        if not (0 <= value < math.inf):
            raise ValueError(f"{name} must be a finite number of at least 0, got {value}.")
