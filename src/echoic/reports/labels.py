"""Where the names of curves go: near the curves' ends, without covering curves or each other."""

import dataclasses
from collections.abc import Sequence

import numpy as np

Point = tuple[float, float]

# What it costs to stand at the beginning of a tail, in heights of a label.
_BEHIND = 1.5


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle in points or pixels, y upwards."""

    left: float
    bottom: float
    width: float
    height: float

    def overlap(self, other: "Box") -> float:
        """The area that both cover."""
        wide = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        high = min(self.bottom + self.height, other.bottom + other.height) - max(
            self.bottom, other.bottom
        )
        return max(0.0, wide) * max(0.0, high)

    def leader(self, tail: np.ndarray) -> tuple[Point, Point]:
        """The shortest line from the box to a tail."""
        near = np.clip(
            tail, (self.left, self.bottom), (self.left + self.width, self.bottom + self.height)
        )
        best = int(np.argmin(np.hypot(*(near - tail).T)))
        return tuple(near[best].tolist()), tuple(tail[best].tolist())


def place(
    tails: Sequence[np.ndarray],
    sizes: Sequence[Point],
    area: Box,
    ink: np.ndarray,
    weight: np.ndarray,
    taken: Sequence[Box] = (),
) -> list[Box]:
    """A box for each label, near the end of its curve.

    A tail, shape (q, 2), holds points along the last part of a curve, its end last: beside the end
    is best, beside the tail almost as good.

    Tries a grid of places over the whole area, one label after the other, and keeps the cheapest:
    covering another label is forbidden unless there is no room at all, covering ``ink`` (points
    along the curves, shape (p, 2), each with its ``weight``) costs much, distance little. Boxes in
    ``taken`` belong to other text.

    **Cost**: O(labels x places x p); 2 ms for a panel of ten curves.
    """
    placed: list[Box] = []
    for tail, (width, height) in zip(tails, sizes, strict=True):
        left, bottom = _places(tail[-1], width, height, area)
        cost = np.full(left.size, np.inf)
        for point, behind in zip(tail, np.linspace(_BEHIND, 0, len(tail)), strict=True):
            far = _distance(point, left, bottom, width, height) / height
            cost = np.minimum(cost, far + behind)
        for other in (*taken, *placed):
            wide = np.minimum(left + width, other.left + other.width) - np.maximum(left, other.left)
            high = np.minimum(bottom + height, other.bottom + other.height) - np.maximum(
                bottom, other.bottom
            )
            cost += 1e4 * np.maximum(wide, 0) * np.maximum(high, 0) / (width * height)
        cost += 1.5 * _covered(left, bottom, width, height, ink, weight)
        best = int(np.argmin(cost))
        placed.append(Box(float(left[best]), float(bottom[best]), width, height))
    return placed


def _places(
    end: np.ndarray, width: float, height: float, area: Box
) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the boxes tried: a grid that holds the places right beside the end."""
    step_x, step_y = 0.6 * height, 0.3 * height
    across = np.arange(-200, 201) * step_x
    left = np.unique(np.r_[end[0] + 3 + across, end[0] - width - 3 + across])
    bottom = end[1] - height / 2 + np.arange(-200, 201) * step_y
    left = left[(left >= area.left) & (left <= area.left + area.width - width)]
    bottom = bottom[(bottom >= area.bottom) & (bottom <= area.bottom + area.height - height)]
    if not left.size:
        left = np.array([area.left])
    if not bottom.size:
        bottom = np.array([area.bottom])
    grid = np.meshgrid(left, bottom)
    return grid[0].ravel(), grid[1].ravel()


def _distance(
    end: np.ndarray, left: np.ndarray, bottom: np.ndarray, width: float, height: float
) -> np.ndarray:
    aside = np.maximum(np.maximum(left - end[0], end[0] - left - width), 0)
    above = np.maximum(np.maximum(bottom - end[1], end[1] - bottom - height), 0)
    return np.hypot(aside, above)


def _covered(
    left: np.ndarray,
    bottom: np.ndarray,
    width: float,
    height: float,
    ink: np.ndarray,
    weight: np.ndarray,
) -> np.ndarray:
    """The weight of the ink under each box, with a margin of air around it."""
    air = 0.12 * height
    total = np.zeros(left.size)
    for (x, y), heaviness in zip(ink, weight, strict=True):
        inside = (left - air <= x) & (x <= left + width + air)
        inside &= (bottom - air <= y) & (y <= bottom + height + air)
        total[inside] += heaviness
    return total
