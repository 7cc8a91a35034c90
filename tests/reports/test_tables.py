import dataclasses
import io
import math

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from echoic import reports
from echoic.core.records import Curve, Horizon
from echoic.reports.columns import columns
from echoic.reports.sparklines import sparkline
from echoic.reports.style import horizon_text, shortened_apart, warranted, with_error


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_every_line_fits(record, width):
    lines = reports.to_text(record, width).splitlines()
    assert max(map(cell_len, lines)) <= width
    rows = [line for line in lines if "◆ edge" in line or "▼ fading" in line or "▲ rugged" in line]
    assert len(rows) == 12


def test_the_order_is_that_of_the_page(record):
    text = reports.to_text(record, 80)
    places = [
        text.index(word)
        for word in ("Needs 250 steps", "network ", "minimalRNN", "lag (log)", "Warnings")
    ]
    assert places == sorted(places)


def test_at_80_columns_all_that_matters_is_there(record):
    text = reports.to_text(record, 80)
    row = next(line for line in text.splitlines() if line.startswith("residual"))
    assert row.split()[-8:] == ["655", "279", "0.28", "0.15", "-0.0040(4)", "◆", "edge", "125"]
    assert ">= 2000" in text
    assert "grows" in text
    wide = reports.to_text(record, 200)
    assert "-0.0040 ± 0.0004" in wide
    assert "Fisher" in wide
    assert "coherent" not in text


def test_pipes_and_no_color_get_plain_text(record, monkeypatch):
    stream = io.StringIO()
    reports.render(record, Console(file=stream, width=80), location="out/report.html")
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().rstrip().endswith("Report: out/report.html")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    reports.render(record, Console(file=stream, width=80, force_terminal=True))
    assert not any(f"\x1b[{code}m" in stream.getvalue() for code in range(30, 38))
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = io.StringIO()
    reports.render(record, Console(file=stream, width=80, force_terminal=True))
    assert "\x1b[32m" in stream.getvalue()


def test_a_terminal_without_unicode_gets_ascii(record):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    reports.render(dataclasses.replace(record, verdict="λ…"), Console(file=stream, width=120))
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")
    assert "v fading" in text
    assert "-0.0040 +- 0.0004" in text
    assert text.startswith("?~")
    assert "LSTM, forget bias 1 with a name that is~: Predictions" in text


def test_hostile_names_stay_text(record, broken):
    assert "<script>alert(1)</script>" in reports.to_text(record, 200)
    text = reports.to_text(broken, 80)
    assert "\x1b" not in text
    assert "\u202e" not in text
    text = reports.to_text(dataclasses.replace(record, verdict="[red]x[/red] [/]"), 80)
    assert "[red]x[/red] [/]" in text


def test_what_is_unknown_is_said(broken):
    text = reports.to_text(broken, 100)
    assert "n/a" in text
    assert "nan" not in text
    empty = dataclasses.replace(broken, networks=(), verdict="Nothing.")
    assert reports.to_text(empty, 80).strip() == "Nothing."


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-0.012345, 0.00042, ("-0.0123", "0.0004")),
        (-0.012347, 0.00012, ("-0.01235", "0.00012")),
        (-0.012345, 0.000199, ("-0.0123", "0.0002")),
        (0.5, 0.3, ("0.5", "0.3")),
        (123.4, 25.0, ("120", "20")),
        (0.0, 0.001, ("0.0000", "0.0010")),
        (-math.inf, 0.0, ("-inf", "")),
        (math.nan, 0.1, ("n/a", "")),
        (0.25, math.nan, ("0.250", "")),
        (0.25, 0.0, ("0.250", "")),
    ],
)
def test_no_more_digits_than_the_error_warrants(value, error, text):
    assert with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.3712, 0.02, "0.37"),
        (0.3712, 0.2, "0.4"),
        (0.3712, math.nan, "0.37"),
        (9e-7, 0.008, "0.000"),
        (3.2e-12, 1e-13, "3e-12"),
        (0.0, math.nan, "0"),
        (5.2e9, 1e8, "5e+09"),
        (math.inf, 1.0, "inf"),
        (0.996, math.nan, "1.0"),
    ],
)
def test_single_values(value, error, text):
    assert warranted(value, error) == text


def test_horizons_in_words():
    assert horizon_text(Horizon(0.05, 31, 32, 0, False)) == "31"
    assert horizon_text(Horizon(0.05, 31, 32, 0, False, error_known=False)) == "~ 31"
    assert horizon_text(Horizon(0.05, 2000, None, 0, True)) == ">= 2000"
    assert horizon_text(Horizon(0.05, 2000, None, 2000, True, growing=True)) == "grows"
    assert horizon_text(Horizon(0.05, -1, 0, 0, False)) == "none"
    assert horizon_text(None) == "n/a"


def test_sparklines_show_the_curve():
    lags = np.arange(1001)
    step = Curve("linear_recall", "information", "measured", lags, (lags < 30) * 1.0)
    assert sparkline(step, 11) == "██████▁▁▁▁▁"
    fading = Curve("gradient_reach", "gain", "measured", lags, np.r_[1.0, 0.1, np.zeros(999)])
    drawn = sparkline(fading, 11, logarithmic=True)
    assert drawn[0] == "█"
    assert drawn[1] == "▆"
    assert set(drawn[4:]) == {"▁"}
    unknown = Curve("gradient_reach", "gain", "measured", lags, np.full(1001, np.nan))
    assert sparkline(unknown, 11, logarithmic=True).strip() == ""
    assert sparkline(step, 11, plain=True).isascii()


def test_columns_sort_unknown_and_growing_sensibly(record, broken):
    by_key = {column.key: column for column in columns(record)}
    reach = [cell.sort for cell in by_key["horizon_gradient_reach"].cells]
    assert reach[4] == 2000.5
    assert reach[11] == -2
    assert math.isnan(columns(broken)[1].cells[0].sort) or columns(broken)[1].key != "gain"


def test_names_that_look_alike_when_cut_keep_their_ends(record):
    names = [f"a network with a long name, layer 0, {way}" for way in ("forward", "backward")]
    both = tuple(
        dataclasses.replace(network, name=name)
        for network, name in zip(record.networks, names, strict=False)
    )
    for width in (40, 60, 80):
        lines = reports.to_text(dataclasses.replace(record, networks=both), width).splitlines()
        rows = [line for line in lines if "◆ edge" in line]
        assert "forward" in rows[0]
        assert "backward" in rows[1]
    assert shortened_apart(["abcdefgh", "abcdefgx", "abc"], 6) == ["ab…fgh", "ab…fgx", "abc"]
    assert shortened_apart(["one name", "another"], 5) == ["one…", "anot…"]


def test_a_short_name_leaves_room_for_the_word_lag(record):
    short = dataclasses.replace(record.networks[0], name="a")
    assert "lag (log)" in reports.to_text(dataclasses.replace(record, networks=(short,)), 40)


def test_a_star_is_explained_where_it_stands(record):
    note = "*: summed over the time of the run"
    assert note in reports.to_text(record, 80)
    assert "*" not in reports.to_text(record, 60)
    steady = tuple(
        dataclasses.replace(network, noise_gain_kind="stationary") for network in record.networks
    )
    assert "*" not in reports.to_text(dataclasses.replace(record, networks=steady), 80)
    assert "Noise gain summed over the time of the run" in reports.to_html(record)
    assert "Noise gain summed" not in reports.to_html(dataclasses.replace(record, networks=steady))


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.1148, 0.004, "0.11"),
        (9e-4, 3e-4, "0.001"),
        (-3e-4, 4e-4, "0.000"),
        (-7e-3, 1e-3, "-0.007"),
    ],
)
def test_recall_has_three_decimals_at_most(record, value, error, text):
    lags = np.arange(record.max_lag + 1)
    flat = Curve(
        "linear_recall",
        "information",
        "measured",
        lags,
        np.full(lags.size, value),
        np.full(lags.size, error),
    )
    one = dataclasses.replace(record.networks[0], curves=(flat,))
    found = columns(dataclasses.replace(record, networks=(one,)))
    assert next(c for c in found if c.key == "recall").cells[0].text == text


def test_an_error_of_rounding_is_no_error():
    assert with_error(-2.4123, 1e-16) == ("-2.41", "")
    assert with_error(3e-9, 1e-9) == ("3e-09", "1e-09")
