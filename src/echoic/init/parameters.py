"""Questions asked of an initialiser's parameters when it is built."""

import math
import numbers
from typing import Any, NamedTuple

# A whole number is a real one; stored as a float.
Real = float | int


class EntryMoments(NamedTuple):
    """Mean and standard deviation of one entry: what mean-field theories take of a law."""

    mean: float
    std: float


def set_real(
    owner: Any,
    name: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    exclude_low: bool = False,
) -> None:
    """Store the field ``name`` of a frozen dataclass as a float, or refuse it."""
    what = f"{name} of {type(owner).__name__}"
    value = real(what, getattr(owner, name), low, high, exclude_low=exclude_low)
    object.__setattr__(owner, name, value)


def real(
    what: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    exclude_low: bool = False,
) -> float:
    """``value`` as a float if it is a finite real number in the range, else an error."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"{what} must be a real number, got {value!r}.")
    value = float(value)
    left, right = "(" if exclude_low or low == -math.inf else "[", ")" if high == math.inf else "]"
    inside = low < value if exclude_low else low <= value
    if not (math.isfinite(value) and inside and value <= high):
        raise ValueError(f"{what} must lie in {left}{low:g}, {high:g}{right}, got {value:g}.")
    return value


def matrix_shape(owner: Any, shape: tuple[int, ...], *, square: bool = False) -> tuple[int, int]:
    """``shape`` if it is that of a (square) matrix, else an error."""
    wanted = "a square matrix (n, n)" if square else "a matrix (rows, columns)"
    if len(shape) != 2 or (square and shape[0] != shape[1]):
        raise ValueError(f"{type(owner).__name__} draws {wanted}, got shape {tuple(shape)}.")
    return int(shape[0]), int(shape[1])
