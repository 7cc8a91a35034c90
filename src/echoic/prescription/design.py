"""From a horizon and a signal to the networks that reach it."""

from collections.abc import Iterable
from typing import Any

from echoic.core.checks import at_least, one_of
from echoic.core.horizon import Thresholds
from echoic.prescription.families import FAMILIES, Solver
from echoic.prescription.prescription import Prescription, Wanted
from echoic.prescription.rank import ranked
from echoic.prescription.statistics import input_statistics

ALIASES = {
    "rnn": "elman",
    "vanilla": "elman",
    "vanilla_rnn": "elman",
    "minimalrnn": "minimal_rnn",
    "minimal": "minimal_rnn",
    "linear_rnn": "linear",
    "linearrnn": "linear",
}
WITHOUT_THEORY = ("peephole_lstm", "full_peephole_lstm", "reset_before_gru", "network")


def design(
    family: str | Iterable[str] | None,
    inputs: Any,
    *,
    horizon: int,
    hidden_size: int = 128,
    thresholds: Thresholds | None = None,
    scale: str | None = "standardise",
    seed: int = 0,
) -> list[Prescription]:
    """Networks whose memory is predicted to reach ``horizon`` steps under the user's input.

    **Definition.** For each initialisation of a family, the hyperparameters at which the predicted
    curve of its target falls to its threshold just at the horizon: coherent reach for gated and
    Elman networks, gradient reach for residual and linear ones, Fisher memory for delay lines.
    Where that cannot be done, the answer says so, and what could be had.

    **Arguments:**

    - ``family``: ``elman``, ``residual``, ``linear``, ``minimal_rnn``, ``gru``, ``lstm``; one
      initialisation, ``elman/chain``; a list of either; None or ``"all"`` for all.
    - ``inputs``: shape (t,), (t, m) or (b, t, m), a list of sequences, or a
      [`Series`][echoic.data.Series]; longer than the horizon.
    - ``horizon``: steps, at least 1. ``hidden_size``: units.
    - ``thresholds``: where a curve is said to have ended, `Thresholds()` by default.
    - ``scale``: as in [`checkup`][echoic.checkup]; the network must be fed what is prescribed for.
    - ``seed``: draws the windows and populations that theories of gated networks sample.

    **Returns:** a list of [`Prescription`][echoic.prescription.Prescription], best first: what is
    feasible, memory at the horizon, noise gain, smoothness.

    **Raises:** ValueError for an unknown family, a horizon below 1 or beyond the series, and inputs
    that cannot drive a network.

    **When it misleads:** the promise is about the network as it is drawn, not as it is trained. A
    Gaussian network, whose memory runs through one random matrix, differs from draw to draw.

    **Cost:** seconds; gated networks take longest, they are solved on windows of the signal itself.

    ??? example
        ```python
        >>> import numpy as np
        >>> xs = np.random.default_rng(0).normal(size=2000)
        >>> best = design("residual", xs, horizon=50, hidden_size=32)[0]
        >>> best.feasible, best.predicted_horizon
        (True, 50)

        ```
    """
    horizon = at_least("horizon", horizon, 1)
    hidden_size = at_least("hidden_size", hidden_size, 2)
    solvers = chosen(family)
    statistics = input_statistics(inputs, horizon=horizon, scale=scale)
    wanted = Wanted(statistics, horizon, hidden_size, thresholds or Thresholds(), seed)
    return ranked(solve(wanted) for solve in solvers)


def chosen(family: str | Iterable[str] | None) -> list[Solver]:
    """The solvers of the named families or initialisations."""
    if family is None or family == "all":
        names = list(FAMILIES)
    else:
        names = [family] if isinstance(family, str) else list(family)
    if not names:
        raise ValueError(f"family is an empty list. Valid: {', '.join(FAMILIES)}.")
    found: dict[int, Solver] = {}
    for name in names:
        found |= {id(solver): solver for solver in _named(name)}
    return list(found.values())


def _named(name: str) -> list[Solver]:
    if not isinstance(name, str):
        raise ValueError(f"family must be a name, a list of names or None, got {name!r}.")
    kind, _, variant = name.strip().lower().replace("-", "_").replace(" ", "_").partition("/")
    kind = ALIASES.get(kind, kind)
    if kind in WITHOUT_THEORY:
        raise ValueError(
            f"there is no prescription for {name!r}: no theory here inverts it."
            f" Valid: {', '.join(FAMILIES)}."
        )
    variants = FAMILIES[one_of("family", kind, FAMILIES)]
    if not variant:
        return list(variants.values())
    return [variants[one_of(f"initialisation of {kind}", variant, variants)]]
