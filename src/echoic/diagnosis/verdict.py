"""What the numbers mean, in plain English."""

import math
from collections.abc import Sequence

from echoic.core.horizon import is_borderline
from echoic.core.records import Curve, Horizon, NetworkRecord, Regime


def share(value: float) -> str:
    """A fraction of a whole for people: 'none', '3 %', 'all', or '2.4 times'."""
    if math.isnan(value):
        return "an unknown part"
    if value < 0.005:
        return "none"
    if value < 0.0995:
        return f"{100 * value:.1f} %".replace(".0 %", " %")
    if value < 0.995:
        return f"{100 * value:.0f} %"
    if value < 1.05:
        return "all"
    return f"{value:.2g} times" if value < 1e4 else f"{value:.0e} times"


def share_of(value: float, whole: str) -> str:
    """'3 % of the signal', '2.4 times the gradient'."""
    text = share(value)
    return f"{text} {whole}" if text.endswith("times") else f"{text} of {whole}"


def network_verdict(
    horizon: int,
    regime: Regime | None,
    gain: float,
    recall: float,
    gain_horizon: Horizon | None,
    recall_horizon: Horizon | None,
    recall_error: float = 0.0,
) -> str:
    """One sentence on one network.

    ``gain`` is the gradient reach at the wanted lag relative to lag 0, ``recall`` the linear
    recall there with its error, NaN with no horizon if it was not measured.
    """
    if regime is None or gain_horizon is None:
        return f"No verdict: its dynamics left the finite numbers within {horizon} steps."
    if regime == "rugged":
        return (
            f"Rugged: over {horizon} steps a perturbation grows {gain:.1e}-fold, so the loss is not"
            " smooth enough to train."
        )
    carried = gain_horizon.last >= horizon
    if recall_horizon is None:
        how = "Carries the gradient" if carried else "Fades" if regime == "fading" else "Borderline"
        share_left = f"after {horizon} steps {share_of(gain, 'the gradient')} is left"
        return f"{how}: {share_left}; what is left of the signal is not known."
    heard = recall_horizon.last >= horizon
    verb = "are" if gain >= 0.005 or recall >= 0.005 else "is"
    parts = f"{share_of(gain, 'the gradient')} and {share_of(recall, 'the signal')}"
    left = f"after {horizon} steps {parts} {verb} left"
    if carried and is_borderline(recall, recall_error, recall_horizon.threshold):
        asked, noise = share(recall_horizon.threshold), _noise(recall_error)
        return (
            f"Carries the gradient, and is borderline for the signal: {left}, where {asked} is"
            f" asked for and the noise is {noise}."
        )
    if carried and heard:
        return f"Remembers: {left}."
    if carried:
        return f"Carries the gradient but blurs the signal: {left}."
    if heard:
        return f"Keeps the signal but hardly trains on it: {left}."
    if regime == "edge":
        return f"Borderline: {left}, which cannot be told from fading."
    return f"Fades: {left}."


def _noise(error: float) -> str:
    return "not known" if math.isnan(error) else f"± {max(100 * error, 0.1):.1f} %"


def reached(network: NetworkRecord, horizon: int) -> tuple[int, int]:
    """How far a network's gradient and signal reach; a rugged gradient counts for nothing.

    Where the recall is not known, the gradient speaks for both.
    """
    gradient, recall = network.curve("gradient_reach"), _recall(network)
    far = gradient.horizon.last if gradient and gradient.horizon else -1
    if network.regime == "rugged" or network.regime is None:
        far = -1
    heard = recall.horizon.last if recall and recall.horizon else far
    return far, heard


def rank_key(network: NetworkRecord, horizon: int) -> tuple:
    """Best first: who reaches the horizon with gradient and signal, with one of them, then how far.

    Among those whose signal reaches it the larger recall there comes first. A recall below its
    threshold is noise and orders nothing.
    """
    far, heard = reached(network, horizon)
    recall = network.curve("linear_recall")
    left = recall.at(horizon) if recall and heard >= horizon else 0.0
    met = 0 if network.regime == "rugged" else (far >= horizon) + (heard >= horizon)
    enough = min(far, heard, horizon)
    return (-met, -enough, -(0.0 if math.isnan(left) else left), -far)


def overall_verdict(networks: Sequence[NetworkRecord], horizon: int) -> str:
    """The first thing that the reader is told. ``networks`` come best first."""
    best = networks[0]
    if len(networks) == 1:
        return f"Needs {horizon} steps. {best.verdict}"
    far, heard = reached(best, horizon)
    if min(far, heard) >= horizon:
        gain, recall = best.curve("gradient_reach"), _recall(best)
        numbers = f"gain {gain.at(horizon):.2f}" if gain else ""
        numbers += f", recall {recall.at(horizon):.2f}" if recall else ", recall unknown"
        numbers += ", borderline" if borderline(best, horizon) else ""
        first = f"{_at_the_start(best)} reaches {horizon} ({numbers})"
    else:
        kept = _what_it_keeps(best, horizon)
        first = f"No network here reaches {horizon}: the best, {best.name}, {kept}"
    other = next((n for n in networks[1:] if n.name == "LSTM, torch default"), networks[-1])
    if other is best:
        return f"Needs {horizon} steps. {first}."
    return f"Needs {horizon} steps. {first}; {other.name} {_how_it_ends(other, horizon)}."


def _how_it_ends(network: NetworkRecord, horizon: int) -> str:
    far, heard = reached(network, horizon)
    if network.regime == "rugged":
        return "is rugged"
    if far < 0:
        return "gives no verdict"
    if min(far, heard) >= horizon:
        return "reaches it as well"
    if network.regime == "fading":
        return f"fades after {_steps(far)}"
    return _what_it_keeps(network, horizon)


def _what_it_keeps(network: NetworkRecord, horizon: int) -> str:
    far, heard = reached(network, horizon)
    signal = f" and its signal for {_steps(heard)}" if _recall(network) else ""
    signal += ", borderline there" if borderline(network, horizon) else ""
    return f"keeps its gradient for {_steps(far)}{signal}"


def borderline(network: NetworkRecord, horizon: int) -> bool:
    """Whether noise decides on which side of its threshold the recall at the horizon stands."""
    recall = _recall(network)
    if recall is None or recall.horizon is None:
        return False
    error = 0.0 if recall.standard_error is None else recall.error_at(horizon)
    return is_borderline(recall.at(horizon), error, recall.horizon.threshold)


def _recall(network: NetworkRecord) -> Curve | None:
    """The recall, if it was measured and is a number."""
    curve = network.curve("linear_recall")
    return curve if curve and curve.horizon else None


def _steps(last: int) -> str:
    return "no step" if last < 0 else f"{last} step" + ("s" if last != 1 else "")


def _at_the_start(network: NetworkRecord) -> str:
    """Its name with a capital if it is one of ours; a user's name stays as it is."""
    name = network.name
    return name[0].upper() + name[1:] if network.description else name
