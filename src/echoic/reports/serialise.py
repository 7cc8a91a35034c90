"""Reports as JSON and back: every number survives, infinities are written as strings."""

import collections.abc
import dataclasses
import json
import math
import types
import typing
from typing import Any

import numpy as np

from echoic.core.records import SCHEMA_VERSION, ReportRecord

FORMAT = "echoic report"

# JSON has neither infinities nor NaN. Where a number is expected, these words stand for them;
# JavaScript's own Number() reads all three.
_WORDS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


def to_json(record: ReportRecord) -> str:
    """The record as JSON text.

    Floats are written with the shortest digits that read back as the same number. Infinities and
    NaN become the strings ``"Infinity"``, ``"-Infinity"`` and ``"NaN"``.

    **Raises** ``TypeError`` for a setting that is no plain value (numbers, text, lists, mappings).
    """
    content = {"format": FORMAT, **_plain(record, "record")}
    return json.dumps(content, allow_nan=False) + "\n"


def from_json(text: str) -> ReportRecord:
    """The record that [`to_json`][echoic.reports.to_json] wrote.

    **Raises** ``ValueError`` for text that is damaged, foreign, or written by a newer version.
    """
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is no echoic report, or a damaged one: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            'this JSON is no echoic report: it lacks the entry "format": "echoic report".'
        )
    version = content.get("schema_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"this report is damaged: schema_version is {version!r}.")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"this report was written by a newer echoic (schema {version}, this one reads up to"
            f" {SCHEMA_VERSION}): update with `pip install -U echoic`."
        )
    return _record(ReportRecord, {k: v for k, v in content.items() if k != "format"}, "report")


def plain_numbers(values: Any, digits: int | None = None) -> list[Any]:
    """Numbers as a list that JSON can hold, rounded to significant ``digits`` if asked."""
    numbers = np.asarray(values, float).tolist()
    if digits is not None:
        numbers = [float(f"{x:.{digits - 1}e}") if math.isfinite(x) else x for x in numbers]
    return [_number(x) for x in numbers]


def _number(value: float) -> float | int | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _plain(value: Any, where: str) -> Any:
    match value:
        case None | bool() | str():
            return value
        case np.generic():
            return _plain(value.item(), where)
        case np.ndarray():
            # Thousands of lags: only what JSON lacks is looked at one by one.
            safe = value.dtype.kind in "iub" or (
                value.dtype.kind == "f" and bool(np.isfinite(value).all())
            )
            return value.tolist() if safe else _plain(value.tolist(), where)
        case int():
            return value
        case float():
            return _number(value)
        case list() | tuple():
            return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
        case collections.abc.Mapping():
            return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name), f"{where}.{field.name}")
            for field in dataclasses.fields(value)
        }
    raise TypeError(f"{where} is a {type(value).__name__}, which a report cannot hold.")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"bare {name} is not JSON")


def _record(kind: type, content: Any, where: str) -> Any:
    if not isinstance(content, dict):
        raise _damaged(where, "an object", content)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(content) - set(fields))
    if unknown:
        raise ValueError(f"this report is damaged: {where} has unknown entries {unknown}.")
    hints = typing.get_type_hints(kind)
    values = {}
    for name, field in fields.items():
        if name in content:
            values[name] = _read(hints[name], content[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"this report is damaged: {where}.{name} is missing.")
    return kind(**values)


def _read(kind: Any, content: Any, where: str) -> Any:
    """``content`` as the field's declared type; the declarations are the schema."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return _numbers_back(content)
    if origin in (typing.Union, types.UnionType):
        if content is None:
            return None
        (kind,) = (one for one in inner if one is not type(None))
        return _read(kind, content, where)
    if origin is typing.Literal:
        if content not in inner:
            raise _damaged(where, f"one of {', '.join(map(str, inner))}", content)
        return content
    if origin is tuple:
        if not isinstance(content, list):
            raise _damaged(where, "a list", content)
        if inner[-1] is Ellipsis:
            inner = inner[:1] * len(content)
        if len(inner) != len(content):
            raise _damaged(where, f"a list of {len(inner)}", content)
        pairs = zip(inner, content, strict=True)
        return tuple(_read(one, item, f"{where}[{i}]") for i, (one, item) in enumerate(pairs))
    if origin is dict:
        if not isinstance(content, dict):
            raise _damaged(where, "an object", content)
        return {key: _read(inner[1], item, f"{where}.{key}") for key, item in content.items()}
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast(type, kind), content, where)
    return _leaf(kind, content, where)


def _numbers_back(content: Any) -> Any:
    if isinstance(content, list):
        return [_numbers_back(item) for item in content]
    if isinstance(content, dict):
        return {key: _numbers_back(item) for key, item in content.items()}
    return _WORDS.get(content, content) if isinstance(content, str) else content


def _leaf(kind: Any, content: Any, where: str) -> Any:
    if kind is np.ndarray:
        return _array(content, where)
    if kind is float:
        if isinstance(content, str) and content in _WORDS:
            return _WORDS[content]
        if isinstance(content, int | float) and not isinstance(content, bool):
            return float(content)
        raise _damaged(where, "a number", content)
    if kind in (int, str, bool):
        if type(content) is not kind:
            raise _damaged(where, {int: "an integer", str: "text"}.get(kind, "true/false"), content)
        return content
    raise TypeError(f"{where}: a report cannot hold a {kind}.")


def _array(content: Any, where: str) -> np.ndarray:
    if not isinstance(content, list):
        raise _damaged(where, "a list of numbers", content)

    def numbers(item: Any) -> Any:
        if isinstance(item, list):
            return [numbers(one) for one in item]
        if isinstance(item, str) and item in _WORDS:
            return _WORDS[item]
        if isinstance(item, int | float) and not isinstance(item, bool):
            return item
        raise _damaged(where, "a list of numbers", item)

    try:
        plain = set(map(type, content)) <= {int, float}
        array = np.asarray(content if plain else numbers(content))
        if array.dtype.kind not in "if":
            array = array.astype(float)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"this report is damaged: {where}: {error}") from error
    return array


def _damaged(where: str, expected: str, got: Any) -> ValueError:
    shown = repr(got)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return ValueError(f"this report is damaged: {where} should be {expected}, got {shown}.")
