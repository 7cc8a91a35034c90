import dataclasses
import json
import re
import types
import typing

import numpy as np
import pytest

from echoic import reports
from echoic.core.finding import Drawing, Finding, Line
from echoic.core.records import ReportRecord
from echoic.reports import serialise


def same(a, b):
    """Equal to the last bit, NaN included."""
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)
        )
    if isinstance(a, np.ndarray):
        return (a.dtype == b.dtype or a.size == 0) and np.array_equal(
            a, b, equal_nan=a.dtype.kind == "f"
        )
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and (a == b or (a != a and b != b))


def test_every_number_survives(small):
    assert same(reports.from_json(reports.to_json(small)), small)


def test_findings_survive_with_their_drawings(small):
    line = Line("one", np.arange(3.0), np.array([1.0, np.nan, -np.inf]))
    drawing = Drawing("a", "b", "c", (line,), "d", (True, False), mark=250.0, level=0.1)
    found = Finding(
        "why?", "this", ("fixed_points",), 3.0, 0.5, "steps", "so", ("or",), "", drawing
    )
    network = dataclasses.replace(small.networks[0], findings=(found, Finding("q", "l", ())))
    record = dataclasses.replace(small, networks=(network, *small.networks[1:]))
    assert same(reports.from_json(reports.to_json(record)), record)


def test_every_field_has_one_kind_that_can_be_read_back():
    """A field of two kinds would be written, and never read."""

    def kinds(hint):
        inner = typing.get_args(hint)
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            assert len([one for one in inner if one is not type(None)]) == 1, hint
        for one in inner:
            kinds(one)
        if dataclasses.is_dataclass(hint):
            for one in typing.get_type_hints(hint).values():
                kinds(one)

    kinds(ReportRecord)


def test_a_rounding_writer_would_be_found(small, monkeypatch):
    exact = json.dumps

    def rounding(content, **options):
        return re.sub(r"(\d\.\d{14})\d+", r"\1", exact(content, **options))

    monkeypatch.setattr(serialise.json, "dumps", rounding)
    assert not same(reports.from_json(reports.to_json(small)), small)


def test_unknown_and_infinite_numbers_survive(broken):
    text = reports.to_json(broken)
    assert same(reports.from_json(text), broken)
    assert "NaN" not in text.replace('"NaN"', "")
    assert "Infinity" not in text.replace('"Infinity"', "").replace('"-Infinity"', "")
    json.loads(text, parse_constant=pytest.fail)


def test_single_precision_is_read_back_as_the_same_number(small):
    value = np.float32([0.1, 1e-30])
    spectrum = dataclasses.replace(small.networks[0].spectrum, exponents=value)
    network = dataclasses.replace(small.networks[0], spectrum=spectrum)
    text = reports.to_json(dataclasses.replace(small, networks=(network,)))
    assert (reports.from_json(text).networks[0].spectrum.exponents == value).all()


def change(record, **entries):
    content = json.loads(reports.to_json(record))
    content.update(entries)
    return json.dumps({key: value for key, value in content.items() if value is not ...})


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ({"schema_version": 99}, "newer echoic .schema 99"),
        ({"schema_version": "1"}, "schema_version is '1'"),
        ({"horizon": "many"}, r"report\.horizon should be an integer, got 'many'"),
        ({"horizon": True}, r"report\.horizon should be an integer, got True"),
        ({"seconds": "soon"}, r"report\.seconds should be a number"),
        ({"extra": 1}, r"unknown entries \['extra'\]"),
        ({"networks": {}}, r"report\.networks should be a list"),
        ({"networks": [1]}, r"report\.networks\[0\] should be an object"),
        ({"warnings": [1]}, r"report\.warnings\[0\] should be text"),
        ({"format": "other"}, "no echoic report"),
    ],
)
def test_damage_is_named(broken, entries, complaint):
    with pytest.raises(ValueError, match=complaint):
        reports.from_json(change(broken, **entries))


def test_missing_entries_and_wrong_arrays_are_named(broken):
    content = json.loads(reports.to_json(broken))
    del content["machine"]
    with pytest.raises(ValueError, match=r"report\.machine is missing"):
        reports.from_json(json.dumps(content))
    content = json.loads(reports.to_json(broken))
    content["networks"][0]["curves"][0]["value"] = [1.0, "one"]
    with pytest.raises(ValueError, match=r"curves\[0\]\.value should be a list of numbers"):
        reports.from_json(json.dumps(content))
    content["networks"][0]["curves"][0]["value"] = [[1.0], [1.0, 2.0]]
    with pytest.raises(ValueError, match="damaged"):
        reports.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": 1}', "[" * 100_000, "NaN"])
def test_foreign_text_is_refused(text):
    with pytest.raises(ValueError, match="no echoic report"):
        reports.from_json(text)


def test_what_a_report_cannot_hold_is_refused(broken):
    with pytest.raises(TypeError, match=r"record\.settings\.f is a function"):
        reports.to_json(dataclasses.replace(broken, settings={"f": change}))


def test_files(small, tmp_path):
    path = tmp_path / "report.json"
    assert reports.save(small, path) == path
    assert same(reports.load(path), small)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not text"):
        reports.load(path)
    path.write_text(reports.to_json(small)[:-100])
    with pytest.raises(ValueError, match=r"report\.json.*damaged"):
        reports.load(path)
    with pytest.raises(ValueError, match=r"must end in .html"):
        reports.save(small, tmp_path / "report.txt")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        reports.save(small, tmp_path / "nowhere" / "report.json")
