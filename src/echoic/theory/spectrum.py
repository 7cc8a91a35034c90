"""The Lyapunov spectrum of wide random networks, from the gain, the activation and the input alone.

The network is ``x' = W phi(x) + u`` or, which has the same exponents, ``h' = phi(W h + u)``. W has
independent entries of variance ``gain^2 / n`` ("gaussian"), or is ``gain`` times a Haar orthogonal
matrix ("orthogonal"). u is independent between units, with variance ``input_power`` (input through
random weights, and biases). Wide means n to infinity: unit i is then Gaussian, with the variance q
of [`preactivation_variance`][], and the Jacobian is ``W D`` with ``D = diag(phi'(x))``.

**The spectrum** is exact for W drawn anew at each step (untied): W turns any frame of k = x n
orthonormal directions into a Gaussian one, whose volume D then changes. The determinant of a
Gaussian frame weighted by D gives, per unit and with natural logarithms,

    sum of the first x n exponents / n = 1/2 [ E log(1 + c d^2) + x log(gain^2 x / c) - x ]
    exponent at rank fraction x        = 1/2 log(gain^2 x / c),   E[c d^2 / (1 + c d^2)] = x

where ``d = phi'(sqrt(q) z)``. In the language of free probability the second line is
``1/2 log(gain^2 (1 - x) / S(-x))``, S the S-transform of d^2 (for d = 1: Newman 1986, the triangle
law; for products of free factors: Isopi & Newman 1992). An orthogonal W lacks the factor
``1 - x``. The derivation with c is ours.

**Tied weights.** For Gaussian W in discrete time the autocorrelation of x at a lag is the
fixed point of the same map as without any tie, and the two-replica operator that governs a small
difference between two runs has no coupling between lags: the largest exponent is the untied one.
So are all moments of the k-step Jacobian at any fixed k (a circular element free of the slopes).
The limit of infinite time at finite width is not covered by that. Measured (tests of this file,
gains 1.5 to 3): the largest exponent lies .05 below at 50 units and .01 to .02 at 200, other ranks
up to 3/4 within 8/n. Near the edge of chaos the agreement is worse: at gain 1.1 most exponents lie
.05 to .08 below, at 200 units still. Tied orthogonal networks were found to agree as well, within
4/n; no argument for them is given here.

Prior art: Molgedey, Schuchhardt & Schuster 1992 (largest exponent of the driven discrete-time
network), Engelken, Wolf & Abbott 2023 (spectra of rate networks, random-matrix estimate), Clark's
rnn-lyapunov (spectra of the leaky network, where ties do matter).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import digamma, expit

from echoic.core.checks import at_least, one_of

_RANGE = 10.0  # of the Gaussian's own units; what lies beyond weighs 1e-23
_EDGE = 1e-9  # fractions nearer to an end are the end


class ExponentSpectrum(NamedTuple):
    """What the spectrum of a wide random network comes to.

    **Fields**

    - ``variance``: q, of the pre-activations.
    - ``largest``: the largest exponent, nats per step.
    - ``mean``: the mean of all exponents: the growth of volumes, per unit.
    - ``positive_fraction``: the share of exponents above 0.
    - ``entropy_rate``: the sum of the positive exponents, per unit: an upper bound of the entropy
      rate, equal to it if the invariant measure is smooth along unstable directions (Pesin).
    - ``dimension``: Kaplan-Yorke dimension, per unit: how many directions together keep their
      volume. 0 without chaos. Driven networks: of the attractor at one time, for a given input.
    """

    variance: float
    largest: float
    mean: float
    positive_fraction: float
    entropy_rate: float
    dimension: float


def preactivation_variance(
    gain: float, *, activation: str = "tanh", input_power: float = 0.0
) -> float:
    """Variance q of a unit's pre-activation in the stationary state.

    **Definition.** The largest solution of ``q = gain^2 E[phi(sqrt(q) z)^2] + input_power``, z
    standard normal.

    **Returns:** q; 0 for a network that comes to rest; inf where the state grows without bound
    (relu from gain sqrt(2) on, identity from 1 on), unless nothing starts it.

    ```python
    >>> from echoic.theory import preactivation_variance
    >>> round(preactivation_variance(0.5, activation="identity", input_power=3.0), 6)
    4.0

    ```
    """
    _check(gain, activation, input_power)
    if activation != "tanh":
        share = gain**2 * (0.5 if activation == "relu" else 1.0)
        if input_power == 0 and share <= 1:
            return 0.0
        return input_power / (1 - share) if share < 1 else math.inf

    def excess(q: float) -> float:
        nodes, weights = _normal(q)
        return gain**2 * float(weights @ np.tanh(math.sqrt(q) * nodes) ** 2) + input_power - q

    # phi^2 is concave in q: beyond 0 the excess changes its sign once, downwards.
    top = gain**2 + input_power
    if input_power == 0 and gain <= 1:
        return 0.0
    low = input_power / 2 if input_power > 0 else min(top, (gain**2 - 1) / (4 * gain**4))
    while excess(low) <= 0:
        low /= 2
        if low < 1e-14:
            return 0.0
    return _crossing(excess, low, top)


def exponent_at(
    fraction: float | ArrayLike,
    gain: float,
    *,
    activation: str = "tanh",
    input_power: float = 0.0,
    matrix: str = "gaussian",
) -> np.ndarray:
    """The Lyapunov exponent at a rank fraction: the k-th of n is at ``(k - 1/2) / n``.

    **Definition.** See the head of this module; nats per step.

    **Arguments:** ``fraction`` in [0, 1], any shape; 0 is the largest exponent, 1 the smallest.

    **Returns:** the shape of ``fraction``; -inf where the slopes are zero (relu beyond 1/2) and at
    1 for a Gaussian matrix.

    **When it misleads.** Tied networks near the edge of chaos deviate: see the head of this
    module. So do the smallest exponents at finite width. A trained or structured matrix has none of
    this: see [`identify_weight_law`][].

    ```python
    >>> import numpy as np
    >>> from echoic.theory import exponent_at
    >>> bool(np.isclose(exponent_at(0.5, 1.0, activation="identity"), 0.5 * np.log(0.5)))
    True

    ```
    """
    law = _slopes(gain, activation, input_power)
    one_of("matrix", matrix, ["gaussian", "orthogonal"])
    x = np.asarray(fraction, float)
    if np.any((x < 0) | (x > 1)):
        raise ValueError(f"fraction must lie in 0..1, got {fraction!r}.")
    flat = np.array([_exponent(value, gain, law, matrix) for value in x.ravel()])
    return flat.reshape(x.shape)


def mean_exponent(
    gain: float,
    *,
    activation: str = "tanh",
    input_power: float = 0.0,
    matrix: str = "gaussian",
    width: int | None = None,
) -> float:
    """The mean of all exponents, ``E log|phi'| + log gain + volume of W``.

    **Definition.** The volume term is ``E log|det W| / n`` at gain 1: 0 for an orthogonal matrix,
    for a Gaussian one ``1/(2n) sum_{i=1..n} [digamma(i/2) + log(2/n)]``, -1/2 in the limit. It
    holds for tied weights as well, where the product of determinants does not care.

    **Arguments:** ``width``: n; infinite by default.

    ```python
    >>> from echoic.theory import mean_exponent
    >>> round(mean_exponent(1.0, activation="identity"), 6)
    -0.5

    ```
    """
    law = _slopes(gain, activation, input_power)
    one_of("matrix", matrix, ["gaussian", "orthogonal"])
    volume = 0.0
    if matrix == "gaussian" and width is None:
        volume = -0.5
    elif matrix == "gaussian":
        n = at_least("width", width, 1)
        volume = float(np.mean(digamma(np.arange(1, n + 1) / 2) + math.log(2 / n))) / 2
    return float(law.weights @ law.log_squares) / 2 + _log(gain) + volume


def exponent_spectrum(
    gain: float,
    *,
    activation: str = "tanh",
    input_power: float = 0.0,
    matrix: str = "gaussian",
) -> ExponentSpectrum:
    """Largest and mean exponent, positive share, entropy rate and dimension per unit.

    **Returns:** an [`ExponentSpectrum`][echoic.theory.spectrum.ExponentSpectrum]. All of it follows
    from the spectrum of [`exponent_at`][]: exact for untied weights, the leading order for tied
    Gaussian ones.

    ```python
    >>> from echoic.theory import exponent_spectrum
    >>> found = exponent_spectrum(3.0)
    >>> 0 < found.positive_fraction < found.dimension < 1
    True

    ```
    """
    one_of("matrix", matrix, ["gaussian", "orthogonal"])
    law = _slopes(gain, activation, input_power)
    q = preactivation_variance(gain, activation=activation, input_power=input_power)
    mean = mean_exponent(gain, activation=activation, input_power=input_power, matrix=matrix)

    largest = _exponent(0.0, gain, law, matrix)
    if largest <= 0:
        return ExponentSpectrum(q, largest, mean, 0.0, 0.0, 0.0)

    def point(log_c: float) -> _Point:
        return _point(log_c, gain, law, matrix)

    low, high = _range(law)
    # Where the exponent, and the sum of the exponents, fall through 0, if they do.
    turn = high
    if point(high).exponent < 0:
        turn = _crossing(lambda log_c: point(log_c).exponent, low, high)
    end = high
    if point(high).volume < 0:
        end = _crossing(lambda log_c: point(log_c).volume, turn, high)
    found = point(turn)
    return ExponentSpectrum(q, largest, mean, found.fraction, found.volume, point(end).fraction)


class _Slopes(NamedTuple):
    """The law of the slopes d: values of log d^2, their weights, and log E[d^-2]."""

    log_squares: np.ndarray
    weights: np.ndarray
    log_inverse: float

    @property
    def top(self) -> float:
        """The probability that d is not zero: the rank of D, per unit."""
        return float(self.weights[np.isfinite(self.log_squares)].sum())


def _slopes(gain: float, activation: str, input_power: float) -> _Slopes:
    q = preactivation_variance(gain, activation=activation, input_power=input_power)
    if activation == "identity":
        return _Slopes(np.zeros(1), np.ones(1), 0.0)
    if activation == "relu":
        return _Slopes(np.array([0.0, -np.inf]), np.array([0.5, 0.5]), math.inf)
    nodes, weights = _normal(q)
    size = np.abs(math.sqrt(q) * nodes)
    # log(sech^4), without ever forming a cosh that overflows.
    log_squares = -4 * (size + np.log1p(np.exp(-2 * size)) - math.log(2))
    # E cosh^4 in closed form: its weight lies at z = 4 sqrt(q), where no node may be.
    log_inverse = float(np.logaddexp.reduce([math.log(3), math.log(4) + 2 * q, 8 * q]))
    return _Slopes(log_squares, weights, log_inverse - math.log(8))


def _normal(q: float) -> tuple[np.ndarray, np.ndarray]:
    """Trapezoid rule for a standard normal, with a step that follows sqrt(q).

    The poles of 1 / (1 + c d^2) lie pi / (4 sqrt(q)) off the real axis: the error is e^-49.
    """
    count = math.ceil(_RANGE / min(0.05, 0.1 / max(math.sqrt(q), 1.0)))
    nodes = np.linspace(-_RANGE, _RANGE, 2 * count + 1)
    weights = np.exp(-(nodes**2) / 2)
    return nodes, weights / weights.sum()


class _Point(NamedTuple):
    """A place in the spectrum: its rank fraction, the exponent there, and their sum so far."""

    fraction: float
    exponent: float
    volume: float


def _point(log_c: float, gain: float, law: _Slopes, matrix: str) -> _Point:
    """The place that belongs to a value of c between 0 and infinity."""
    total = log_c + law.log_squares
    x = float(law.weights @ expit(total))
    log_rest = _log(float(law.weights @ expit(-total)))  # log(1 - x), also for x near 1
    twice = 2 * _log(gain) + math.log(x) - log_c
    log_part = float(law.weights @ np.logaddexp(0.0, total))
    volume = log_part + x * twice - x
    if matrix == "orthogonal":
        # What the Gaussian matrix itself takes.
        twice -= log_rest
        volume += math.exp(log_rest) * log_rest + x
    return _Point(x, twice / 2, volume / 2)


def _range(law: _Slopes) -> tuple[float, float]:
    """Between which values of log c the whole spectrum lies."""
    return -60.0, 60.0 - float(np.min(law.log_squares[np.isfinite(law.log_squares)]))


def _exponent(x: float, gain: float, law: _Slopes, matrix: str) -> float:
    if math.isnan(x):
        return math.nan
    if x < _EDGE:
        return _log(gain) + _log(float(law.weights @ np.exp(law.log_squares))) / 2
    if x >= law.top - _EDGE:
        if matrix == "gaussian" or law.top < 1:
            return -math.inf
        return _log(gain) - law.log_inverse / 2

    def excess(log_c: float) -> float:
        return float(law.weights @ expit(log_c + law.log_squares)) - x

    return _point(_crossing(excess, *_range(law)), gain, law, matrix).exponent


def _crossing(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=1e-13))  # pyright: ignore[reportArgumentType]


def _log(value: float) -> float:
    return math.log(value) if value > 0 else (-math.inf if value == 0 else math.nan)


def _check(gain: float, activation: str, input_power: float) -> None:
    one_of("activation", activation, ["tanh", "relu", "identity"])
    if not (0 <= gain < math.inf):
        raise ValueError(f"gain must be a finite number of at least 0, got {gain}.")
    if not (0 <= input_power < math.inf):
        raise ValueError(f"input_power must be a finite number of at least 0, got {input_power}.")
