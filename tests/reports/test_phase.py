"""The phase diagram: what is drawn is what was predicted, and it is said in words as well."""

import dataclasses
import io
import json
import math
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from echoic import reports
from echoic.core.records import Axis, PhaseMap
from echoic.reports.page_data import page_data
from echoic.reports.phase import (
    caption,
    contour_label,
    heights,
    levels,
    phase_sentence,
    reach_at,
    ticks_of_fill,
)

X, Y = np.geomspace(0.01, 1.0, 9), np.linspace(-2.0, 8.0, 11)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
HOSTILE = "<b>x</b>\x1b[31m"


def law(x, y):
    """A reach whose logarithm (plus 1) is linear in log x and y: the grid holds it exactly."""
    return np.expm1(0.5 + 0.6 * (y + 2) - 0.2 * np.log(x / 0.01))


@pytest.fixture(scope="module")
def diagram():
    reach = law(*np.meshgrid(X, Y))
    reach[-3:, -2:] = np.nan
    return PhaseMap(
        family="LSTM",
        horizontal=Axis("spread of the recurrent weights, sigma sqrt(n)", X, True),
        vertical=Axis("mean bias", Y),
        reach=reach,
        wanted=50,
        here=(0.3, 0.2),
        there=(0.05, 5.0),
        there_name="LSTM, chrono",
        notes=("What it assumes.", HOSTILE),
        source="A theory",
    )


@pytest.fixture(scope="module")
def placed(small, diagram):
    network = dataclasses.replace(small.networks[0], phase_map=diagram)
    return dataclasses.replace(small, networks=(network, *small.networks[1:]))


def test_reach_between_the_points_of_the_grid(diagram):
    for place in (diagram.here, diagram.there, (0.01, -2.0), (0.07, 7.9), (X[6], 8.0)):
        assert reach_at(diagram, place) == pytest.approx(law(*place), rel=1e-9)
    nearest = diagram.reach[np.argmin(abs(Y - 0.2)), np.argmin(abs(np.log(X / 0.3)))]
    assert abs(nearest / law(0.3, 0.2) - 1) > 0.01  # the mutant that takes the nearest point
    assert math.isnan(reach_at(diagram, (1.0, 8.0)))


def test_the_contours_number_stands_on_the_contour(diagram):
    x, y = contour_label(diagram)
    assert law(x, y) == pytest.approx(50, rel=1e-9)
    assert law(y, x) != pytest.approx(50, rel=0.1)  # the mutant that swaps the axes
    assert X[0] < x < X[-1]
    assert Y[0] < y < Y[-1]
    out_of_reach = dataclasses.replace(diagram, wanted=10**6)
    assert contour_label(out_of_reach) is None
    assert "nowhere in the diagram 1000000 steps are reached" in phase_sentence(out_of_reach)


def test_what_is_rugged_is_left_empty_and_what_never_falls_is_cut_off(diagram):
    reach = diagram.reach.copy()
    reach[0, 0] = np.inf
    drawn = heights(dataclasses.replace(diagram, reach=reach))
    assert np.array_equal(np.isnan(drawn), np.isnan(reach))
    assert math.expm1(drawn[0, 0]) == pytest.approx(30 * diagram.wanted)
    steps = levels(diagram)
    assert steps == sorted(set(steps))
    assert steps[-1] >= math.expm1(np.nanmax(heights(diagram)))
    assert [word for _, word in ticks_of_fill(diagram)][:4] == ["0", "1", "3", "10"]


def test_the_words_say_where_it_stands_and_what_to_look_for(diagram):
    said = phase_sentence(diagram)
    reach = law(*diagram.here)
    assert said.startswith("You are here: spread of the recurrent weights 0.30, mean bias 0.20 (")
    assert f"about {reach:.0f} steps" in said
    assert "LSTM, chrono: " in said
    text = caption(diagram)
    assert "bold line" in text
    assert "arrow leads to LSTM, chrono" in text
    assert "rugged" in text
    bare = dataclasses.replace(diagram, here=None)
    assert "You are here" not in phase_sentence(bare)
    assert "LSTM, chrono stands at" in phase_sentence(bare)


def test_the_page_draws_it_under_why(placed, diagram):
    text = reports.to_html(placed)
    assert 'data-figure="phase"' in text
    label = re.search(r'data-figure="phase"[^>]*aria-label="([^"]*)"', text)[1]
    assert "You are here" in label
    assert 'data-csv="phase"' in text
    assert HOSTILE not in text
    data = page_data(placed)["phase"]
    assert data["reach"][-1][-1] == "NaN"
    assert data["reach"][2][3] == pytest.approx(diagram.reach[2, 3], rel=1e-2)
    assert data["wanted"] == 50
    json.dumps(data, allow_nan=False)
    assert "phase" not in re.findall(r'data-figure="(\w+)"', reports.to_html(unplaced(placed)))


def unplaced(record):
    networks = tuple(dataclasses.replace(n, phase_map=None) for n in record.networks)
    return dataclasses.replace(record, networks=networks)


def test_the_terminal_prints_it_in_a_sentence(placed):
    text = reports.to_text(placed)
    assert "You are here: spread of the recurrent weights 0.30" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "You are here" not in reports.to_text(unplaced(placed))


def test_it_survives_json(placed, diagram):
    back = reports.from_json(reports.to_json(placed)).networks[0].phase_map
    assert np.array_equal(back.reach, diagram.reach, equal_nan=True)
    assert back.there == diagram.there


@pytest.mark.parametrize("kind", ["whole", "bare", "rugged", "far", "flat"])
def test_the_figure_on_paper(diagram, kind):
    changes = {
        "whole": {},
        "bare": {"here": None, "there": None, "there_name": ""},
        "rugged": {"reach": np.full_like(diagram.reach, np.nan)},
        "far": {"reach": np.full_like(diagram.reach, np.inf)},
        "flat": {"reach": np.zeros_like(diagram.reach)},
    }[kind]
    stream = io.BytesIO()
    figure = reports.phase_figure(dataclasses.replace(diagram, **changes))
    figure.savefig(stream, format="svg", metadata={"Date": None})
    texts = [e.text for e in ET.fromstring(stream.getvalue()).iter() if e.text and e.text.strip()]
    assert ("50 steps" in texts) == (kind in ("whole", "bare"))
    assert ("you are here" in texts) == (kind != "bare")
    assert "mean bias" in texts


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_draws_it_without_a_word_of_complaint(placed, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(reports.to_html(placed), "utf-8")
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            "--virtual-time-budget=5000", "--window-size=1400,1000", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, check=True, timeout=170,
    )  # fmt: skip
    dom = done.stdout.decode("utf-8")
    assert 'data-ready="true"' in re.search(r"<html[^>]*>", dom)[0]
    assert b"CONSOLE" not in done.stderr
    figure = dom[dom.index('id="plot-phase"') : dom.index('id="plot-spectrum"')]
    for word in ("you are here", "LSTM, chrono", "50 steps", "predicted horizon (steps)", "<image"):
        assert word in figure
    assert 'class="contourlevel"' in figure
