"""What carries the memory: directions, units, channels, and what the readout sees of it."""

import math

import numpy as np

from echoic.core.finding import Drawing, Finding, Line
from echoic.core.horizon import horizon_of
from echoic.diagnosis.effort import readout_possible
from echoic.diagnosis.everything.subject import (
    Asked,
    Subject,
    counted,
    doubts,
    number,
    percent,
    shares,
    spread_of,
)
from echoic.measure.carriers.channels import channel_reach, channel_recall
from echoic.measure.carriers.slow_subspace import slow_subspace
from echoic.measure.carriers.units import unit_time_constants
from echoic.measure.carriers.visibility import readout_visibility

QUESTION = "What carries the memory?"
_FEW = 8  # directions, or channels, that are named one by one
_MOST_LAGS = 1_000


def asked(subject: Subject) -> list[Asked]:
    """The questions, the longest to answer first."""
    horizon, settle, size = subject.plan.horizon, subject.settle, subject.size
    unit_lags = min(2 * horizon, subject.plan.max_lag, _MOST_LAGS)
    long = f"{size} numbers of state over {{}} steps would take minutes"
    of_units = subject.starts(2 * settle + unit_lags)
    of_directions = subject.starts(horizon)
    seen = subject.starts(min(subject.plan.max_lag, _MOST_LAGS))
    readout = getattr(subject.cell, "readout", None)
    recall_steps = min(subject.plan.effort.recall_steps, subject.inputs.shape[0] * subject.room)
    constant = "" if float(np.std(subject.inputs)) > 0 else "the inputs do not vary"
    return [
        Asked(
            QUESTION,
            "time constants of units",
            ("unit_time_constants",),
            lambda: _units(subject, unit_lags, of_units),
            "" if of_units else long.format(2 * settle + unit_lags),
        ),
        Asked(
            QUESTION,
            "directions that survive the horizon",
            ("slow_subspace",),
            lambda: _directions(subject, of_directions),
            "" if of_directions else long.format(horizon),
        ),
        Asked(
            QUESTION,
            "reach of each channel",
            ("channel_reach",),
            lambda: _reach(subject),
            constant,
        ),
        Asked(
            QUESTION,
            "recall of each channel",
            ("channel_recall",),
            lambda: _recall(subject),
            ""
            if readout_possible(recall_steps, subject.cell.hidden_size)
            else "the series is too short to tell a readout from chance",
        ),
        Asked(
            QUESTION,
            "what the readout sees",
            ("readout_visibility",),
            lambda: _seen(subject, seen),
            "the network has no readout"
            if readout is None
            else ""
            if seen
            else long.format(subject.plan.max_lag),
        ),
    ]


def _units(subject: Subject, max_lag: int, starts: int) -> Finding:
    found = unit_time_constants(
        subject.cell,
        subject.inputs,
        max_lag=max_lag,
        starts=starts,
        burn_in=subject.settle,
        key=subject.key_for(10),
        throw=False,
    )
    tau, horizon = np.asarray(found.value), subject.plan.horizon
    longest = int(np.nanargmax(tau)) if np.isfinite(tau).any() else 0
    censored = int(np.sum(np.asarray(found.details["censored"])))
    slow = int(np.sum(tau >= horizon / 3))
    ordered = spread_of(tau)
    return Finding(
        QUESTION,
        "longest time constant of a unit",
        ("unit_time_constants",),
        float(tau[longest]),
        float(found.standard_error[longest]),
        "steps",
        f"number {longest} of the state; {number(np.nanmedian(tau))} in the median,"
        f" {counted(slow, 'unit')} of {len(tau)} keep a twentieth for {horizon} steps"
        + (f"; {censored} had not fallen by lag {max_lag}, a lower bound" if censored else ""),
        doubts(found),
        drawing=Drawing(
            "Time constants of units",
            "share of all numbers of the state",
            "steps",
            (Line("units", shares(len(ordered)), np.where(ordered > 0, ordered, np.nan)),),
            "In how many steps each unit forgets its own perturbations to one part in e, longest"
            " first. Fast units beside a long memory: it lives in their connections. The level is a"
            " third of the horizon.",
            (False, True),
            level=horizon / 3,
        ),
    )


def _directions(subject: Subject, starts: int) -> Finding:
    horizon = subject.plan.horizon
    found = slow_subspace(
        subject.cell,
        subject.inputs,
        lag=horizon,
        starts=starts,
        burn_in=subject.settle,
        key=subject.key_for(11),
        throw=False,
    )
    details = found.details
    few = min(_FEW, subject.size)
    share, typical = (np.asarray(details[name]) for name in ("share", "typical_share"))
    count = np.arange(1, len(share) + 1)
    weight = np.asarray(details["unit_share"])
    busy = int(np.sum(np.cumsum(spread_of(weight)) < 0.9)) + 1
    return Finding(
        QUESTION,
        f"directions that carry {horizon} steps",
        ("slow_subspace",),
        float(details["participation"]),
        unit=f"of {subject.size}",
        text=f"the leading {few} carry {percent(share[few - 1])} of what is left on average and"
        f" {percent(typical[few - 1])} at a single time; nine tenths lie on"
        f" {counted(busy, 'number')} of the state",
        notes=doubts(found),
        drawing=Drawing(
            f"What survives {horizon} steps",
            "number of directions",
            "share of what is left",
            (Line("on average", count, share), Line("at a single time", count, typical)),
            "How much of what is left after the horizon lies in so many directions. Apart: each"
            " stretch of input keeps directions of its own.",
            (True, False),
        ),
    )


def _horizons(found, threshold: float, *, relative: bool) -> list[int]:
    return [
        -1 if end is None else end.last
        for end in (
            horizon_of(np.asarray(v), np.asarray(e), threshold, relative=relative)
            for v, e in zip(found.value, found.standard_error, strict=True)
        )
    ]


def _of_channels(subject: Subject, ends: list[int], what: str) -> tuple[str, float]:
    """Which channel is remembered longest, and which shortest, in words."""
    names = [str(i) for i in range(len(ends))]
    if max(ends) < 0:
        # Words in place of a number: there is no last lag where the curve never stands above.
        return f"at no lag, by the threshold of {what}", math.nan
    if len(ends) == 1:
        return f"the only channel's {what}", float(ends[0])
    best, worst = int(np.argmax(ends)), int(np.argmin(ends))
    reached = sum(end >= subject.plan.horizon for end in ends)
    return (
        f"channel {names[best]}, the longest; channel {names[worst]}, the shortest, has"
        f" {max(ends[worst], 0)}; {reached} of {len(ends)} channels reach {subject.plan.horizon}",
        float(ends[best]),
    )


def _drawn(title: str, up: str, found, caption: str, mark: float, logarithmic: bool) -> Drawing:
    value = np.asarray(found.value)
    if logarithmic:
        value = value / np.where(value[:, :1] > 0, value[:, :1], np.nan)
        value = np.where(value > 1e-6, value, np.nan)
    lags = np.arange(value.shape[1])
    return Drawing(
        title,
        "lag",
        up,
        tuple(Line(f"channel {i}", lags, row) for i, row in enumerate(value[:_FEW])),
        caption + (f" The first {_FEW} channels." if len(value) > _FEW else ""),
        (False, logarithmic),
        mark=float(mark),
    )


def _reach(subject: Subject) -> Finding:
    plan = subject.plan
    found = channel_reach(
        subject.cell,
        subject.inputs,
        max_lag=plan.max_lag,
        starts=plan.effort.starts,
        burn_in=subject.settle,
        key=subject.key_for(12),
        throw=False,
    )
    text, end = _of_channels(subject, _horizons(found, plan.thresholds.gain, relative=True), "gain")
    return Finding(
        QUESTION,
        "how far a channel's gain reaches",
        ("channel_reach",),
        end,
        unit="steps",
        text=text,
        notes=doubts(found),
        drawing=_drawn(
            "Reach of each channel",
            "relative to lag 0",
            found,
            "How much of a displacement by each channel is left.",
            plan.horizon,
            True,
        )
        if len(found.value) > 1
        else None,
    )


def _recall(subject: Subject) -> Finding:
    plan = subject.plan
    found = channel_recall(
        subject.cell,
        subject.inputs,
        max_lag=plan.max_lag,
        burn_in=subject.settle,
        steps=plan.effort.recall_steps,
        key=subject.key_for(13),
        throw=False,
    )
    ends = _horizons(found, plan.thresholds.recall, relative=False)
    text, end = _of_channels(subject, ends, "recall")
    return Finding(
        QUESTION,
        "how far a channel is recalled",
        ("channel_recall",),
        end,
        unit="steps",
        text=text,
        notes=doubts(found),
        drawing=_drawn(
            "Recall of each channel",
            "R²",
            found,
            "How well a readout recovers each channel's probe.",
            plan.horizon,
            False,
        )
        if len(found.value) > 1
        else None,
    )


def _seen(subject: Subject, starts: int) -> Finding:
    lags, horizon = min(subject.plan.max_lag, _MOST_LAGS), subject.plan.horizon
    found = readout_visibility(
        subject.cell,
        subject.inputs,
        max_lag=lags,
        starts=starts,
        burn_in=subject.settle,
        key=subject.key_for(14),
        throw=False,
    )
    axis, at = np.arange(lags + 1), min(horizon, lags)
    lines = [Line("of perturbations", axis, np.asarray(found.value))]
    text = f"of what is left of a perturbation after {at} steps, {percent(found.value[0])} at once"
    if "input_share" in found.details:
        share = np.asarray(found.details["input_share"])
        lines.append(Line("of inputs", axis, share))
        text += f"; of an input {at} steps ago {percent(share[at])}"
    chance = float(found.details["chance"])
    return Finding(
        QUESTION,
        "share that the readout sees",
        ("readout_visibility",),
        float(found.value[at]),
        float(found.standard_error[at]),
        "",
        text + f"; chance would be {percent(chance)}",
        doubts(found),
        drawing=Drawing(
            "What the readout sees",
            "lag",
            "share of squares",
            tuple(lines),
            "The part of what the network carries that lies in directions the readout tells apart."
            " The level is what directions at random would see.",
            mark=float(horizon),
            level=chance,
        ),
    )
