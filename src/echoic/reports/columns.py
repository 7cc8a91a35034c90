"""The table's columns: what every network's row says, in the terminal and in the page alike."""

import dataclasses
import math
from collections.abc import Callable

from echoic.core.quantities import QUANTITIES
from echoic.core.records import Curve, NetworkRecord, ReportRecord
from echoic.reports.style import (
    MARKS,
    UNKNOWN,
    horizon_text,
    printable,
    significant,
    warranted,
    with_error,
)

# The curves that have a horizon of their own column, and the word above it.
_REACHING = {
    "gradient_reach": "gradient",
    "coherent_reach": "coherent",
    "input_reach": "input",
    "linear_recall": "recall",
    "fisher_memory": "Fisher",
    "learning_speed": "learning",
    "task_gradient_reach": "task gradient",
    "context_ablation": "context used",
}
# What a threshold is a share of, where not of the value at lag 0.
_WHOSE = {
    "linear_recall": "absolute",
    "context_ablation": "of its largest value, or of the loss; of all context from there on, if"
    " that reaches further",
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One entry: its text, the text of its error, and what it is sorted by."""

    text: str
    error: str = ""
    sort: float | str = math.nan


@dataclasses.dataclass(frozen=True)
class Column:
    """One column: two short lines of heading, what it means, in which unit, and its cells."""

    key: str
    heading: tuple[str, str]
    definition: str
    unit: str
    cells: tuple[Cell, ...]

    @property
    def numeric(self) -> bool:
        """Whether its cells are numbers, to be set flush right."""
        return self.key not in ("name", "regime", "promise", "status")


def columns(record: ReportRecord) -> tuple[Column, ...]:
    """All columns for which at least one network has an entry, in the order of the page."""
    every = [_names(record), *_horizons(record), *_values(record), *_rest(record)]
    return tuple(
        column
        for column in every
        if column.key in ("name", "regime") or any(cell.text != UNKNOWN for cell in column.cells)
    )


def _column(
    record: ReportRecord,
    key: str,
    heading: tuple[str, str],
    definition: str,
    unit: str,
    cell: Callable[[NetworkRecord], Cell],
) -> Column:
    return Column(key, heading, definition, unit, tuple(map(cell, record.networks)))


def _names(record: ReportRecord) -> Column:
    return _column(
        record,
        "name",
        ("", "network"),
        "The network, best first: those that reach the horizon in gradient and in recall lead.",
        "",
        lambda network: Cell(printable(network.name), sort=printable(network.name).casefold()),
    )


def _horizons(record: ReportRecord) -> list[Column]:
    found = []
    for quantity, word in _REACHING.items():
        curves = [_reaching(network, quantity) for network in record.networks]
        thresholds = {c.horizon.threshold for c in curves if c is not None and c.horizon}
        if not thresholds:
            continue
        level = ", ".join(f"{t:g}" for t in sorted(thresholds))
        whose = _WHOSE.get(quantity, "of its value at lag 0")
        definition = (
            f"The last lag at which the {QUANTITIES[quantity].label}, less two standard errors,"
            f" stands at or above {level} ({whose}). “>=”: it has not fallen by the largest lag"
            " measured. “~”: its error is not known, the series is too short. “grows”: it has no"
            " horizon, it is rugged."
            f" {QUANTITIES[quantity].definition}"
        )
        found.append(
            _column(
                record,
                f"horizon_{quantity}",
                (word, "horizon"),
                definition,
                "steps",
                lambda network, quantity=quantity: _horizon_cell(_reaching(network, quantity)),
            )
        )
    return found


def _reaching(network: NetworkRecord, quantity: str) -> Curve | None:
    """The curve of a quantity; of the ways to replace context the one that reaches further."""
    curve, wider = network.curve(quantity), network.curve(f"{quantity}_from")
    if curve is None or curve.horizon is None or wider is None or wider.horizon is None:
        return curve
    return wider if wider.horizon.last > curve.horizon.last else curve


def _horizon_cell(curve: Curve | None) -> Cell:
    horizon = curve.horizon if curve is not None else None
    if horizon is None:
        return Cell(UNKNOWN)
    # What grows has no horizon; it is sorted behind what has one.
    place = -2.0 if horizon.growing else horizon.last + (0.5 if horizon.censored else 0.0)
    return Cell(horizon_text(horizon), sort=place)


def _values(record: ReportRecord) -> list[Column]:
    at = f"at {record.horizon}"

    def value(
        quantity: str, text: Callable[[float, float], str]
    ) -> Callable[[NetworkRecord], Cell]:
        def cell(network: NetworkRecord) -> Cell:
            curve = network.curve(quantity)
            if curve is None:
                return Cell(text(math.nan, math.nan), sort=math.nan)
            number = curve.at(record.horizon)
            return Cell(text(number, curve.error_at(record.horizon)), sort=number)

        return cell

    return [
        _column(
            record,
            "gain",
            ("gain", at),
            f"Gradient reach at the horizon of {record.horizon} steps, 1 at lag 0."
            f" {QUANTITIES['gradient_reach'].definition}",
            QUANTITIES["gradient_reach"].unit,
            value("gradient_reach", warranted),
        ),
        _column(
            record,
            "recall",
            ("recall", at),
            f"Linear recall at the horizon of {record.horizon} steps, between 0 and 1."
            f" {QUANTITIES['linear_recall'].definition}",
            "R²",
            value("linear_recall", _share),
        ),
    ]


def _share(value: float, error: float) -> str:
    """A share of a whole: below a thousandth it is nothing, however well it is known."""
    text = warranted(value, error)
    if math.isfinite(value) and abs(value) < 1e-2 and text != "0":
        digits = min(3, len(text.partition(".")[2]) or 3)
        # Adding zero takes the sign from a negative zero.
        return f"{round(value, digits) + 0.0:.{digits}f}"
    return text


def _rest(record: ReportRecord) -> list[Column]:
    return [
        _column(
            record,
            "exponent",
            ("largest", "exponent"),
            "Largest Lyapunov exponent lambda_1, ± one standard error: the growth rate of a small"
            " perturbation over many steps. Below 0 memory fades, above 0 the network is chaotic."
            " Alone it misleads: a chain has −∞ and yet carries as many steps as it has units.",
            "nats per step",
            _exponent,
        ),
        _column(
            record,
            "regime",
            ("", "regime"),
            "From the logarithm of the gradient reach at the horizon: below -3 fading (▼), above 3"
            " rugged (▲: the loss is not smooth enough to train), between them edge (◆).",
            "",
            _regime,
        ),
        _column(
            record,
            "noise",
            ("noise", "gain"),
            "The state's variance per unit variance of noise that enters the state at every step."
            " A star: summed over the time of the run, which may not suffice for all of it.",
            "variance ratio",
            _noise,
        ),
        _column(
            record,
            "parameters",
            ("para-", "meters"),
            "Trainable numbers of the network, without a readout.",
            "count",
            lambda network: Cell(str(network.num_parameters), sort=float(network.num_parameters)),
        ),
        _column(
            record,
            "seconds",
            ("time,", "seconds"),
            "Time that measuring and predicting took, compilation included.",
            "seconds",
            _seconds,
        ),
    ]


def _seconds(network: NetworkRecord) -> Cell:
    if math.isnan(network.seconds):
        return Cell(UNKNOWN)
    digits = 0 if network.seconds >= 9.95 else 1
    return Cell(f"{network.seconds:.{digits}f}", sort=network.seconds)


def _exponent(network: NetworkRecord) -> Cell:
    if network.spectrum is None or not len(network.spectrum.exponents):
        return Cell(UNKNOWN)
    value = float(network.spectrum.exponents[0])
    error = network.spectrum.standard_error
    spread = float(error[0]) if len(error) else math.nan
    text, spread = with_error(value, spread, most=2 if math.isnan(spread) else 3)
    return Cell(text, spread, value)


def _regime(network: NetworkRecord) -> Cell:
    if network.regime is None:
        return Cell(UNKNOWN, sort=network.log_gain)
    return Cell(f"{MARKS[network.regime]} {network.regime}", sort=network.log_gain)


def _noise(network: NetworkRecord) -> Cell:
    star = "*" if network.noise_gain_kind == "finite-time" else ""
    text = significant(network.noise_gain)
    return Cell(text if text == UNKNOWN else text + star, sort=network.noise_gain)
