import dataclasses
import io
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest

from echoic import reports
from echoic.reports.labels import Box, place
from echoic.reports.scales import LOWEST_GAIN, ZERO_AT, abscissa, level_of
from echoic.reports.style import OKABE_ITO, ON_DARK, ON_LIGHT
from echoic.reports.thinning import thinned


def saved(figure, ending):
    stream = io.BytesIO()
    figure.savefig(stream, format=ending)
    return stream.getvalue()


def curves_of(axes, colour):
    return [line for line in axes.get_lines() if line.get_color() == colour]


@pytest.fixture(scope="module")
def figure(record):
    return reports.figure(record)


def test_size_in_millimetres_and_type_of_8_points(record, figure):
    width, height = (25.4 * inches for inches in figure.get_size_inches())
    assert width == pytest.approx(170)
    assert height == pytest.approx(64)
    one = reports.figure(record, panels=["gain"])
    assert 25.4 * one.get_size_inches()[0] == pytest.approx(85)
    for axes in figure.axes:
        for text in [*axes.texts, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels()]:
            assert text.get_fontsize() == 8


def test_no_setting_of_the_user_is_touched(record):
    def settings():
        # To read "backend" would choose one.
        return {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}

    before = settings()
    saved(reports.figure(record, panels=["information"]), "svg")
    assert settings() == before


def test_no_window_system_is_asked_for():
    code = (
        "import sys, echoic.reports.plots as p, matplotlib.backends;"
        "p.PaperFigure().savefig('/dev/null', format='svg');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_svg_and_pdf_keep_text(figure):
    svg = saved(figure, "svg").decode()
    words = [e.text for e in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert "250 steps" in words
    assert "chain 1.02" in words
    assert "lag (steps back in time)" in words
    pdf = saved(figure, "pdf")
    assert b"/Type3" not in pdf
    assert b"/TrueType" in pdf or b"/Type0" in pdf


def test_lag_zero_stands_at_the_left_edge(figure):
    for axes in figure.axes:
        assert axes.get_xlim()[0] == ZERO_AT
        assert axes.get_xticklabels()[0].get_text() == "0"
    assert abscissa(np.array([0, 1, 7])).tolist() == [ZERO_AT, 1, 7]


def test_best_three_and_worst_are_coloured_with_predictions_dashed(record, figure):
    gain = figure.axes[0]
    for colour in ON_LIGHT[:4]:
        thick = [line for line in curves_of(gain, colour) if line.get_linewidth() > 1]
        dashed = [line for line in curves_of(gain, colour) if line.is_dashed()]
        assert len(thick) == len(dashed) == 1
    for colour in ON_LIGHT[4:]:
        assert not curves_of(gain, colour)
    best = record.networks[0].curve("gradient_reach")
    drawn = next(line for line in curves_of(gain, ON_LIGHT[0]) if line.get_linewidth() > 1)
    lags = drawn.get_xdata()[1:].astype(int)
    assert np.array_equal(drawn.get_ydata()[1:], np.maximum(best.value[lags], LOWEST_GAIN / 1e3))


def test_the_band_is_two_standard_errors(record):
    one = dataclasses.replace(record, networks=record.networks[:1])
    axes = reports.figure(one, panels=["information"]).axes[0]
    band = axes.collections[0].get_paths()[0].vertices
    curve = record.networks[0].curve("linear_recall")
    at = band[band[:, 0] == 10.0][:, 1]
    middle, spread = curve.value[10], 2 * curve.standard_error[10]
    assert sorted(set(at.round(9))) == pytest.approx([middle - spread, middle + spread])


def overlaps(figure, axes):
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer).shrunk(0.98, 0.85) for text in axes.texts]
    return sum(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_names_do_not_cover_each_other(synthetic, count):
    figure = reports.figure(synthetic.report(count, max_lag=1000))
    for axes in figure.axes:
        assert overlaps(figure, axes) == 0


def test_names_set_blindly_at_the_ends_would_be_found(synthetic):
    figure = reports.figure(synthetic.report(5, max_lag=1000))
    axes = figure.axes[1]
    for text in axes.texts[2:]:
        text.set_position((300, 0.1))
    assert overlaps(figure, axes) > 0


def test_labels_avoid_ink_and_other_text():
    area = Box(0.0, 0.0, 100.0, 100.0)
    tail = np.array([[50.0, 50.0]])
    alone = place([tail], [(20.0, 10.0)], area, np.zeros((0, 2)), np.zeros(0))[0]
    assert math.dist(*alone.leader(tail)) <= 3
    taken = [Box(50.0, 30.0, 50.0, 40.0)]
    ink = np.c_[np.linspace(0, 49, 50), np.full(50, 50.0)]
    (box,) = place([tail], [(20.0, 10.0)], area, ink, np.ones(50), taken)
    assert box.overlap(taken[0]) == 0
    assert not (box.bottom <= 50 <= box.bottom + 10)
    full = place([tail] * 3, [(99.0, 99.0)] * 3, area, ink, np.ones(50))
    assert all(b.left >= 0 and b.left + b.width <= 100 for b in full)


def test_a_threshold_is_one_line_only_where_there_is_one(record):
    assert level_of(record, "linear_recall") == 0.1
    assert level_of(record, "gradient_reach") == pytest.approx(0.05)
    curve = record.networks[0].curve("fisher_memory")
    doubled = dataclasses.replace(curve, value=2 * curve.value)
    first = dataclasses.replace(record.networks[0], curves=(doubled,))
    changed = dataclasses.replace(record, networks=(first, *record.networks[1:]))
    assert level_of(changed, "fisher_memory") is None


def test_thinning_keeps_the_ends_and_what_it_is_told():
    lags = np.arange(5001)
    chosen = thinned(lags, 200, keep=[1234, None, 9999])
    assert {0, 1, 2, 1234, 5000} <= set(chosen.tolist())
    assert 150 < len(chosen) <= 203
    assert (np.diff(chosen) > 0).all()
    assert thinned(lags[:7], 200).tolist() == list(range(7))
    assert thinned(lags[:0], 200).tolist() == []


def test_choices_are_checked(record):
    with pytest.raises(ValueError, match=r"unknown network 'chain'. Did you mean 'chain 1.02'"):
        reports.figure(record, networks=["chain"])
    with pytest.raises(ValueError, match="unknown panel 'gains'"):
        reports.figure(record, panels=["gains"])
    with pytest.raises(ValueError, match="unknown quantity of the gain panel 'linear_recall'"):
        reports.figure(record, quantities={"gain": "linear_recall"})
    with pytest.raises(ValueError, match="at least one of gain"):
        reports.figure(record, panels=[])
    with pytest.raises(ValueError, match="at most 6 networks"):
        reports.figure(record, networks=[n.name for n in record.networks])


def test_what_is_unknown_leaves_an_empty_figure(broken):
    svg = saved(reports.figure(broken), "svg").decode()
    assert "\x1b" not in svg
    saved(reports.figure(dataclasses.replace(broken, networks=())), "pdf")


def test_colours_are_those_of_okabe_and_ito():
    assert set(ON_LIGHT) | set(ON_DARK) <= set(OKABE_ITO.values())
    assert all(re.fullmatch(r"#[0-9A-F]{6}", colour) for colour in OKABE_ITO.values())


def test_files(small, tmp_path):
    for ending in (".svg", ".pdf"):
        first = reports.save(small, tmp_path / f"a{ending}").read_bytes()
        assert reports.save(small, tmp_path / f"b{ending}").read_bytes() == first
