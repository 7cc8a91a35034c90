"""Where the network ends up under its mean input: points of rest, cycles, multistability."""

import collections

import jax.numpy as jnp
import numpy as np

from echoic.core.finding import Finding
from echoic.diagnosis.everything.subject import (
    MOST_OPERATIONS,
    Asked,
    Subject,
    counted,
    number,
    percent,
)
from echoic.measure.attractors.basins import basin_fractions
from echoic.measure.attractors.fixed_points import fixed_points
from echoic.measure.attractors.periods import Orbit
from echoic.measure.attractors.stability import Stability

QUESTION = "Where does it end up under its mean input?"
_STARTS, _ITERATIONS = 64, 12
_ORBITS, _BURN_IN, _SAMPLES = 32, 1_000, 256


def asked(subject: Subject) -> list[Asked]:
    """The questions, the longest to answer first."""
    many = f"{subject.size} numbers of state from {_STARTS} starts would take minutes"
    points = 2.0 * _STARTS * _ITERATIONS * subject.size**3
    steps = _ORBITS * (_BURN_IN + _SAMPLES + 3_000) * 2.0 * subject.size**2
    return [
        Asked(
            QUESTION,
            "fixed points",
            ("fixed_points",),
            lambda: _points(subject),
            many if points > MOST_OPERATIONS else "",
        ),
        Asked(
            QUESTION,
            "attractors",
            ("basin_fractions",),
            lambda: _basins(subject),
            many if steps > MOST_OPERATIONS else "",
        ),
    ]


def _mean(subject: Subject):
    """The mean input, or None for a cell without."""
    return jnp.mean(subject.inputs, axis=(0, 1)) if subject.cell.input_size else None


def _points(subject: Subject) -> Finding:
    found = fixed_points(
        subject.cell, _mean(subject), key=subject.key_for(40), starts=_STARTS, throw=False
    )
    details = {name: np.asarray(value) for name, value in found.details.items()}
    kinds = collections.Counter(Stability(int(kind)).name.lower() for kind in details["kind"])
    names = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    most = np.abs(details["multipliers"]).max(initial=0.0)
    text = f"{names}; largest multiplier {number(most)}" if names else "none was found"
    return Finding(
        QUESTION,
        "fixed points",
        ("fixed_points",),
        float(len(found.value)),
        text=f"{text}; {counted(int(details['lost']), 'start')} of {_STARTS} ended at none",
        notes=found.statuses.sentences,
    )


def _basins(subject: Subject) -> Finding:
    found = basin_fractions(
        subject.cell,
        _mean(subject),
        key=subject.key_for(41),
        starts=_ORBITS,
        burn_in=_BURN_IN,
        samples=_SAMPLES,
        throw=False,
    )
    kinds = [Orbit(int(kind)).name.lower().replace("_", " ") for kind in found.details["kind"]]
    periods = np.asarray(found.details["period"])
    named = [
        f"{kind}{f' of period {period}' if period > 1 else ''} ({percent(share)})"
        for kind, period, share in zip(kinds, periods, np.asarray(found.value), strict=True)
    ]
    more = f", and {len(named) - 4} more" if len(named) > 4 else ""
    return Finding(
        QUESTION,
        "attractors",
        ("basin_fractions",),
        float(len(named)),
        text=f"from {_ORBITS} starts: {', '.join(named[:4])}{more}",
        notes=found.statuses.sentences,
    )
