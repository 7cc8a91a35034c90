"""Which theory a given recurrent matrix falls under, if any.

Predictions of this package are for weights drawn from a known law: independent entries, Haar
orthogonal matrices, or a self-coupling plus independent entries. A trained matrix, or somebody
else's, comes without its law. Here it is asked, of the matrix alone, whether it looks drawn so.

The entries' own law does not matter to a wide network as long as it is symmetric with a
finite fourth moment; structure does. So structure is looked for in *ranks*: each entry is replaced
by the normal score of its rank (once with its sign, once by its size), which makes the null
distribution of every statistic below the same for all independent entries, Gaussian or not.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import rankdata

Verdict = Literal["gaussian-like", "orthogonal", "diagonal plus gaussian", "no theory applies"]

# Limits of the statistics, in standard errors (Tracy-Widom units for the edge). They are set so
# that all of them together raise a false alarm in fewer than 1 of 100 independent matrices.
_LIMITS = {
    "mean": 5.0,
    "row means": 6.0,
    "column means": 6.0,
    "diagonal bands": 5.7,
    "transpose": 5.0,
    "singular edge": 5.5,
    "bulk": 5.5,
    "self-coupling": 5.0,
    "spread of the diagonal": 6.5,
}
_MAX_KURTOSIS = 10.0  # a Laplace law has 6; beyond, few entries carry the sum
_ORTHOGONAL = 0.02  # mean square of the eigenvalues of W'W / g^2 - 1; 1 for independent entries


class WeightLaw(NamedTuple):
    """What a recurrent matrix looks like.

    **Fields**

    - ``verdict``: "gaussian-like", "orthogonal", "diagonal plus gaussian" or "no theory applies".
    - ``reason``: one sentence for people.
    - ``gain``: ``std * sqrt(n)`` of the entries without the self-coupling.
    - ``mean``: of the entries, times n: the eigenvalue that it makes.
    - ``self_coupling``: mean of the diagonal less the mean of the rest; 0 unless the verdict is
      "diagonal plus gaussian".
    - ``bias_mean``, ``bias_std``: of the bias; 0 without one.
    - ``kurtosis``: fourth moment over squared variance of the entries; Gaussian 3.
    - ``statistics``: each test by name, in standard errors; the limits are those of
      ``identify_weight_law``'s own table. Names ending in "of sizes" look at ``|w|``.
    """

    verdict: Verdict
    reason: str
    gain: float
    mean: float
    self_coupling: float
    bias_mean: float
    bias_std: float
    kurtosis: float
    statistics: dict[str, float]

    @property
    def applies(self) -> bool:
        """Whether a theory of random weights applies."""
        return self.verdict != "no theory applies"


def identify_weight_law(recurrent: ArrayLike, bias: ArrayLike | None = None) -> WeightLaw:
    """Whether a recurrent matrix looks drawn from a law that the theory covers, and its moments.

    **Definition.** The matrix is split in its self-coupling (the mean of the diagonal, if it
    stands out by more than 5 standard errors) and a rest. Of the rest, on normal scores of
    ranks, with signs and of sizes: means of rows and columns against the chi-square law; the mean
    of every diagonal band (wrapped around) against the normal law, which finds chains and blocks;
    the correlation of W with its transpose; the largest singular value against the Tracy-Widom
    law at the Bai-Yin edge, which finds low-rank parts; the spread of all singular
    values (John's test of sphericity). Heavy tails and sparseness show in the kurtosis.
    A matrix whose ``W'W`` is a multiple of the identity is "orthogonal" if its entries pass as
    well.

    **Arguments:** ``recurrent`` (n, n), n at least 32, one gate at a time; ``bias`` (n,).

    **Returns:** a [`WeightLaw`][echoic.theory.weight_law.WeightLaw]. A matrix that holds NaN or inf
    gets "no theory applies" and NaN moments.

    **Raises:** ValueError for a matrix that is not square, or smaller than 32.

    **When it misleads.** It finds what stands out of n^2 numbers: a low-rank part whose singular
    value lies below ``std * sqrt(n)``, half the edge, cannot be seen by anyone, and input weights
    that are aligned with the recurrent ones are not looked at. False alarms: fewer than 1 in 100
    (none in 1500 Gaussian, uniform and Laplace matrices of 64 to 256 units; a Student law with 5
    degrees of freedom, whose fourth moment is barely finite, is called heavy-tailed in 1 of 8). A
    matrix with a few tenths of its entries zero passes: it is independent.

    **Cost:** two singular value decompositions, ``O(n^3)``.

    **References:** Bai & Yin 1993 (edge); Johnstone 2001 (centring and scale of its fluctuations);
    Ledoit & Wolf 2002 (John's test in high dimension); the combination is ours.

    ```python
    >>> import numpy as np
    >>> from echoic.theory import identify_weight_law
    >>> weights = np.random.default_rng(0).normal(size=(64, 64)) / 8
    >>> found = identify_weight_law(weights)
    >>> found.verdict, abs(found.gain - 1) < 0.05
    ('gaussian-like', True)
    >>> identify_weight_law(np.eye(64, k=-1)).verdict
    'no theory applies'

    ```
    """
    weights, bias_moments = _checked(recurrent, bias)
    n = len(weights)
    if not np.all(np.isfinite(weights)):
        nan = math.nan
        reason = "The matrix holds numbers that are not finite."
        moments = {"gain": nan, "mean": nan}
        return _answer("no theory applies", reason, moments, nan, bias_moments, nan, {})
    off = ~np.eye(n, dtype=bool)
    rest, diagonal = weights[off], np.diagonal(weights)
    spread = float(rest.std())
    moments = {"mean": n * float(rest.mean()), "gain": spread * math.sqrt(n)}
    if spread <= 1e-12 * max(float(np.abs(weights).max()), 1e-300):
        reason = "All entries off the diagonal are equal: nothing is random."
        return _answer("no theory applies", reason, moments, 0.0, bias_moments, math.nan, {})
    kurtosis = float(np.mean((rest - rest.mean()) ** 4) / spread**4)
    coupling = float(diagonal.mean() - rest.mean())
    statistics = _statistics(weights, spread, coupling, kurtosis)
    alarms = [name for name, value in statistics.items() if abs(value) > _LIMITS[_limit_of(name)]]
    sphericity = _sphericity(weights)
    verdict, reason = _judge(alarms, kurtosis, sphericity)
    if verdict != "diagonal plus gaussian":
        coupling = 0.0
    return _answer(verdict, reason, moments, coupling, bias_moments, kurtosis, statistics)


def _answer(
    verdict: Verdict,
    reason: str,
    moments: dict[str, float],
    coupling: float,
    bias_moments: tuple[float, float],
    kurtosis: float,
    statistics: dict[str, float],
) -> WeightLaw:
    return WeightLaw(
        verdict,
        reason,
        moments["gain"],
        moments["mean"],
        coupling,
        bias_moments[0],
        bias_moments[1],
        kurtosis,
        statistics,
    )


_STRUCTURE = {
    "diagonal bands": "Some diagonal band stands out: a chain, a cycle or blocks.",
    "transpose": "W and its transpose are correlated.",
    "mean": "The mean of the entries is not zero: it makes an eigenvalue of its own.",
    "row means": "The units differ in what they receive.",
    "column means": "The units differ in what they send.",
    "spread of the diagonal": "The self-couplings differ between units.",
    "singular edge": "A singular value stands out of the bulk: a low-rank part.",
    "bulk": "The singular values are not those of independent entries.",
}


def _judge(alarms: list[str], kurtosis: float, sphericity: float) -> tuple[Verdict, str]:
    """Verdict and sentence. Structure is named before tails: a chain is also heavy-tailed."""
    if sphericity < _ORTHOGONAL:
        # The spectrum of an orthogonal matrix is its own; its entries look independent.
        alarms = [name for name in alarms if _limit_of(name) not in ("bulk", "singular edge")]
        alarms = [name for name in alarms if _limit_of(name) != "self-coupling"]
        if not alarms and kurtosis < 4:
            return "orthogonal", "W'W is a multiple of the identity, the entries look random."
    heavy = kurtosis > _MAX_KURTOSIS or sphericity < _ORTHOGONAL
    for name, sentence in _STRUCTURE.items():
        if heavy and name != "diagonal bands":
            break
        found = [alarm for alarm in alarms if _limit_of(alarm) == name]
        if found:
            where = " (in the sizes of the entries)" if found[0].endswith("of sizes") else ""
            return "no theory applies", sentence.rstrip(".") + where + "."
    if heavy:
        reason = f"The entries are heavy-tailed or sparse: kurtosis {kurtosis:.1f}, Gaussian 3."
        return "no theory applies", reason
    if "self-coupling" in alarms:
        return "diagonal plus gaussian", "A common self-coupling plus independent entries."
    return "gaussian-like", "The entries look independent, of one law."


def _statistics(
    weights: np.ndarray, spread: float, coupling: float, kurtosis: float
) -> dict[str, float]:
    n = len(weights)
    off = ~np.eye(n, dtype=bool)
    rest, diagonal = weights[off], np.diagonal(weights)
    found = {
        "mean": float(rest.mean()) / spread * math.sqrt(n * (n - 1)),
        "self-coupling": coupling / spread * math.sqrt(n),
        # Only a larger spread counts: a diagonal without one is a common self-coupling.
        "spread of the diagonal": max(
            0.0,
            (float(diagonal.var(ddof=1)) / spread**2 - 1) * math.sqrt(n / max(kurtosis - 1, 2.0)),
        ),
    }
    for suffix, values in (("", rest), (" of sizes", np.abs(rest - np.median(rest)))):
        scores = _scores(values, off)
        if scores is not None:
            found |= {name + suffix: value for name, value in _structure(scores).items()}
    return found


def _scores(values: np.ndarray, off: np.ndarray) -> np.ndarray | None:
    """Normal scores of the entries off the diagonal, 0 on it; None if all are equal."""
    scores = ndtri((rankdata(values) - 0.5) / values.size)
    spread = scores.std()
    if spread < 1e-6:
        return None
    matrix = np.zeros(off.shape)
    matrix[off] = (scores - scores.mean()) / spread
    return matrix


def _structure(scores: np.ndarray) -> dict[str, float]:
    """Statistics of a matrix of standard scores, each about standard normal if nothing is there."""
    n = len(scores)
    pairs = scores[np.triu_indices(n, 1)] @ scores.T[np.triu_indices(n, 1)]
    shifted = (np.arange(n)[:, None] + np.arange(n)) % n  # row d: the band j - i = d, wrapped
    bands = scores[np.arange(n), shifted][1:].sum(axis=1) / math.sqrt(n)
    squares = np.linalg.svd(scores, compute_uv=False) ** 2
    edge = 2 * n - 1 + 2 * math.sqrt(n * (n - 1))
    scale = math.sqrt(edge) * (1 / math.sqrt(n) + 1 / math.sqrt(n - 1)) ** (1 / 3)
    sphericity = float(np.mean((squares / squares.mean() - 1) ** 2))
    return {
        "row means": _chi_square(scores.sum(axis=1) / math.sqrt(n - 1)),
        "column means": _chi_square(scores.sum(axis=0) / math.sqrt(n - 1)),
        "diagonal bands": float(bands[np.argmax(np.abs(bands))]),
        "transpose": float(pairs / math.sqrt(n * (n - 1) / 2)),
        "singular edge": max(0.0, float((squares[0] - edge) / scale)),
        "bulk": (n * sphericity - n - 1) / 2,
    }


def _chi_square(values: np.ndarray) -> float:
    """How far the mean square of standard normal numbers is above 1, in standard errors."""
    return max(0.0, float((np.mean(values**2) - 1) * math.sqrt(len(values) / 2)))


def _sphericity(weights: np.ndarray) -> float:
    squares = np.linalg.svd(weights, compute_uv=False) ** 2
    return float(np.mean((squares / squares.mean() - 1) ** 2))


def _limit_of(name: str) -> str:
    return name.removesuffix(" of sizes")


def _checked(
    recurrent: ArrayLike, bias: ArrayLike | None
) -> tuple[np.ndarray, tuple[float, float]]:
    weights = np.asarray(recurrent, float)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or len(weights) < 32:
        raise ValueError(
            f"recurrent must have shape (n, n) with n at least 32, got {weights.shape}."
        )
    if bias is None:
        return weights, (0.0, 0.0)
    vector = np.asarray(bias, float)
    if vector.shape != (len(weights),):
        raise ValueError(f"bias must have shape ({len(weights)},), got {vector.shape}.")
    return weights, (float(vector.mean()), float(vector.std()))
