"""Small pictures as plain SVG: they need no script, follow the page's colours, and print."""

import html
import math
from collections.abc import Sequence

import numpy as np

from echoic.core.finding import Drawing, Line
from echoic.reports.style import printable, significant, typographic

_WIDTH, _HEIGHT = 400.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 14.0, 46.0
_BESIDE = 28.0  # the name of the upward axis, and what parts it from the numbers
_ROW, _LETTER = 16.0, 6.4
_COLOURS = 8  # classes of the style sheet
_MOST_POINTS = 400
_MOST_DECADES = 12.0  # of a logarithmic axis; what lies below is cut off


class _Axis:
    """From numbers to a place on the page, and where the ticks are."""

    def __init__(self, values: np.ndarray, logarithmic: bool, start: float, end: float):
        self.logarithmic, self.start, self.end = logarithmic, start, end
        known = values[np.isfinite(values) & ((values > 0) | (not logarithmic))]
        scaled = np.log10(known) if logarithmic else known
        low, high = (float(scaled.min()), float(scaled.max())) if len(scaled) else (0.0, 1.0)
        if logarithmic:
            low = max(low, high - _MOST_DECADES)
        if high - low < 1e-12 * max(1.0, abs(high)):
            low, high = low - 0.5, high + 0.5
        room = 0.04 * (high - low)
        self.low, self.high = low - room, high + room

    def places(self, values: np.ndarray) -> np.ndarray:
        """Coordinates of values; NaN for what cannot be shown."""
        values = np.asarray(values, float)
        if self.logarithmic:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log10(np.where(values > 0, values, np.nan))
        part = (values - self.low) / (self.high - self.low)
        part = np.where((part < -1e-9) | (part > 1 + 1e-9), np.nan, part)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Coordinates and labels."""
        if self.logarithmic:
            first, last = math.ceil(self.low), math.floor(self.high)
            step = max(1, math.ceil((last - first) / 5))
            values = [10.0**power for power in range(first, last + 1, step)]
            if len(values) < 2:
                values = self._parts_of_a_decade()
        else:
            values = _round_numbers(self.low, self.high)
        places = self.places(np.array(values))
        return [
            (float(place), _label(value))
            for place, value in zip(places, values, strict=True)
            if math.isfinite(place)
        ]

    def _parts_of_a_decade(self) -> list[float]:
        powers = range(math.floor(self.low), math.ceil(self.high))
        values = [lead * 10.0**power for power in powers for lead in (1, 2, 5)]
        inside = [value for value in values if self.low <= math.log10(value) <= self.high]
        return inside if len(inside) > 1 else _round_numbers(10**self.low, 10**self.high)


def _label(value: float) -> str:
    """A tick: plain near 1, a power of ten far from it."""
    near = value == 0 or 1e-3 <= abs(value) < 1e5
    return typographic(f"{value:g}" if near else significant(value)).removeprefix("1 × ")


def _round_numbers(low: float, high: float) -> list[float]:
    """Four to six round numbers between two others."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * lead for lead in (1, 2, 5, 10) if power * lead >= rough)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    # Rounded, since 3 times 0.1 is not 0.3.
    return [float(f"{(first + i) * step:.12g}") for i in range(count)]


def svg(drawing: Drawing) -> str:
    """The drawing as an ``svg`` element; all text in it is escaped."""
    xs = np.concatenate([line.x for line in drawing.lines] + [_given(drawing.mark)]).astype(float)
    ys = np.concatenate([line.y for line in drawing.lines] + [_given(drawing.level)]).astype(float)
    up = _Axis(ys, drawing.logarithmic[1], _HEIGHT - _BOTTOM, _TOP)
    longest = max((len(label) for _, label in up.ticks()), default=0)
    left = max(_LEFT, _BESIDE + _LETTER * longest)
    across = _Axis(xs, drawing.logarithmic[0], left, _WIDTH - _RIGHT)
    parts = [*_frame(drawing, across, up)]
    for name, value, axis in (("mark", drawing.mark, across), ("level", drawing.level, up)):
        if value is not None and math.isfinite(place := float(axis.places(np.array([value]))[0])):
            parts.append(_rule(name, place, left))
    for i, line in enumerate(drawing.lines):
        parts.append(_path(line, across, up, i))
    if len(drawing.lines) > 1:
        parts += _names(drawing.lines)
    words = html.escape(f"{printable(drawing.title)}. {printable(drawing.caption)}", quote=True)
    return (
        f'<svg class="drawing" viewBox="0 0 {_WIDTH:g} {_height(drawing):g}" role="img"'
        f' aria-label="{words}">{"".join(parts)}</svg>'
    )


def _given(value: float | int | None) -> np.ndarray:
    return np.array([] if value is None else [value])


def _height(drawing: Drawing) -> float:
    """The names of the lines stand in rows below."""
    if len(drawing.lines) < 2:
        return _HEIGHT
    return _HEIGHT + _ROW * (1 + max(row for _, row in _places(drawing.lines)))


def _frame(drawing: Drawing, across: _Axis, up: _Axis) -> list[str]:
    left, right, bottom = across.start, across.end, _HEIGHT - _BOTTOM
    parts = [f'<path class="axis" d="M{left:g},{_TOP}V{bottom}H{right}"/>']
    for place, text in across.ticks():
        parts.append(f'<path class="axis" d="M{place:.1f},{bottom}v4"/>')
        parts.append(f'<text x="{place:.1f}" y="{bottom + 17}" class="middle">{text}</text>')
    for place, text in up.ticks():
        parts.append(f'<path class="axis" d="M{left:g},{place:.1f}h-4"/>')
        parts.append(f'<text x="{left - 8:g}" y="{place + 4:.1f}" class="end">{text}</text>')
    middle = (left + right) / 2
    below = html.escape(printable(drawing.across))
    beside = html.escape(printable(drawing.up))
    centre = (_TOP + bottom) / 2
    parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 10:.0f}" class="middle">{below}</text>')
    parts.append(
        f'<text transform="translate(13,{centre:.0f}) rotate(-90)" class="middle">{beside}</text>'
    )
    return parts


def _rule(name: str, place: float, left: float) -> str:
    if name == "mark":
        return f'<path class="rule" d="M{place:.1f},{_TOP}V{_HEIGHT - _BOTTOM}"/>'
    return f'<path class="rule" d="M{left:g},{place:.1f}H{_WIDTH - _RIGHT}"/>'


def _path(line: Line, across: _Axis, up: _Axis, number: int) -> str:
    keep = np.unique(np.linspace(0, len(line.x) - 1, min(len(line.x), _MOST_POINTS)).astype(int))
    x, y = across.places(line.x[keep]), up.places(line.y[keep])
    pieces, inside = [], False
    for here, there in zip(x, y, strict=True):
        if not (math.isfinite(here) and math.isfinite(there)):
            inside = False
            continue
        pieces.append(f"{'L' if inside else 'M'}{here:.1f},{there:.1f}")
        inside = True
    if len(pieces) == 1:  # a single point has no line
        pieces.append("h0.1")
    return f'<path class="curve c{number % _COLOURS}" d="{"".join(pieces)}"/>'


def _places(lines: Sequence[Line]) -> list[tuple[float, int]]:
    """Where the names begin, and in which row: as many in one as fit."""
    found, x, row = [], _LEFT, 0
    for line in lines:
        width = 34 + _LETTER * len(line.label)
        if x > _LEFT and x + width > _WIDTH:
            x, row = _LEFT, row + 1
        found.append((x, row))
        x += width
    return found


def _names(lines: Sequence[Line]) -> list[str]:
    parts = []
    for i, (line, (x, row)) in enumerate(zip(lines, _places(lines), strict=True)):
        y = _HEIGHT + 8 + _ROW * row
        parts.append(f'<path class="curve c{i % _COLOURS}" d="M{x:.0f},{y}h16"/>')
        name = html.escape(printable(line.label))
        parts.append(f'<text x="{x + 21:.0f}" y="{y + 4}">{name}</text>')
    return parts
