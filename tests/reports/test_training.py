"""The report of a training run: learning curves, demands, memory before and after."""

import dataclasses
import html
import json
import re

import numpy as np
import pytest
from rich.cells import cell_len

from echoic import reports
from echoic.core.training_record import TrainingRecord
from echoic.reports import learning
from echoic.reports.page_data import page_data
from echoic.reports.scales import level_of, value_range
from echoic.reports.sparklines import peaks
from echoic.reports.training import in_words, member_columns


@pytest.fixture(scope="module")
def run(synthetic):
    """Three seeds of a classification."""
    return synthetic.training()


@pytest.fixture(scope="module")
def many(synthetic):
    """Twelve seeds of a regression."""
    return synthetic.training(12, accuracy=False)


def changed(record, member=0, **fields):
    """The record with one member's fields replaced."""
    members = list(record.training.members)
    members[member] = dataclasses.replace(members[member], **fields)
    training = dataclasses.replace(record.training, members=tuple(members))
    return dataclasses.replace(record, training=training)


def same(a, b):
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)
        )
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


def test_every_number_survives_json(run, many):
    for record in (run, many):
        back = reports.from_json(reports.to_json(record))
        assert isinstance(back.training, TrainingRecord)
        assert same(back.training, record.training)
        curve = record.networks[1].curve("context_ablation")
        assert same(back.networks[1].curve("context_ablation"), curve)


def test_a_report_of_before_training_was_there_is_read(small):
    content = json.loads(reports.to_json(small))
    del content["training"]
    content["schema_version"] = 2
    assert reports.from_json(json.dumps(content)).training is None


def test_the_axis_is_chosen_by_the_data(run):
    training = run.training
    assert learning.is_logarithmic(training, "loss")
    assert not learning.is_logarithmic(training, "accuracy")
    flat = [
        dataclasses.replace(m, train_loss=m.train_loss + 1, validation_loss=m.validation_loss + 1)
        for m in training.members
    ]
    raised = dataclasses.replace(training, members=tuple(flat))
    assert not learning.is_logarithmic(raised, "loss")
    low, high = learning.value_range(training, "loss")
    assert 0 < low < min(m.best_loss for m in training.members) < training.chance < high
    assert learning.value_range(training, "accuracy") == (0, 1)
    # A squared error may touch zero, where no logarithm is.
    zero = changed(run, validation_loss=np.r_[training.members[0].validation_loss[:-1], 0.0])
    assert not learning.is_logarithmic(zero.training, "loss")


def test_a_loss_that_runs_away_does_not_flatten_the_others(run):
    away = run.training.members[0].validation_loss.copy()
    away[20:] = 1e8
    low, high = learning.value_range(changed(run, validation_loss=away).training, "loss")
    assert high < 10
    assert low > 0


def test_spread_is_median_and_range_of_many_seeds_alone(run, many):
    assert learning.spread(run.training, "loss") is None
    found = learning.spread(many.training, "loss")
    table = np.stack([m.validation_loss for m in many.training.members])
    assert np.array_equal(found.middle, np.median(table, axis=0))
    assert np.array_equal(found.low, table.min(0))
    assert np.array_equal(found.high, table.max(0))
    assert not np.allclose(found.middle, table.mean(0))
    # A member that ended early counts as long as it was there.
    first = many.training.members[0]
    cut = {name: getattr(first, name)[:10] for name in _CURVES}
    found = learning.spread(changed(many, **cut).training, "loss")
    assert len(found.steps) == 40
    assert np.array_equal(found.middle[10:], np.median(table[1:, 10:], axis=0))


_CURVES = ("steps", "train_loss", "validation_loss", "accuracy")


def test_steps_that_were_not_examined_leave_no_hole(run):
    loss = run.training.members[0].validation_loss.copy()
    loss[::2] = np.nan
    lines = learning.lines(changed(run, validation_loss=loss).training, "loss")
    first = next(line for line in lines if line.member == 0 and line.kind == "validation")
    assert len(first.steps) == 20
    assert np.isfinite(first.value).all()


def test_the_table_has_a_row_a_seed_and_leaves_out_what_nobody_has(run, many):
    by_key = {column.key: column for column in member_columns(run.training)}
    assert [cell.text for cell in by_key["name"].cells][1:] == ["seed 1", "seed 2"]
    assert "accuracy" in by_key
    assert "Chance is 0.26" in by_key["test"].definition
    assert "accuracy" not in {column.key for column in member_columns(many.training)}
    small = changed(run, best_loss=0.0002344).training
    validation = next(c for c in member_columns(small) if c.key == "validation")
    assert validation.cells[0].text == "0.000234"


def test_a_figure_in_words(run):
    words = in_words(run.training, "loss")
    assert "of 3 seeds" in words
    assert "in 2000 updates" in words
    assert "Chance is 0.26" in words
    nothing = dataclasses.replace(run.training, members=())
    assert in_words(nothing, "loss") == "No validation was made while training."


# --- in the terminal


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_every_line_fits_the_terminal(run, many, width):
    for record in (run, many):
        lines = reports.to_text(record, width).splitlines()
        assert max(map(cell_len, lines)) <= width


def test_the_terminal_shows_seeds_then_memory(run, many, synthetic):
    text = reports.to_text(run, 100)
    places = [
        text.index(word) for word in ("seed 0", "Loss in nats", "before training", "lag (log)")
    ]
    assert places == sorted(places)
    assert "Chance: 0.26" in text
    assert synthetic.HOSTILE in text
    assert "finished" not in text
    text = reports.to_text(many, 80)
    assert "The best 8 of 12 seeds." in text
    best = min(many.training.members, key=lambda m: m.best_loss).name
    assert text.index(best) < text.index("The best 8")
    ended = changed(run, member=1, status="diverged at step 70: the loss is not finite")
    assert "seed 1: diverged at step 70" in reports.to_text(ended, 80)


def test_a_curve_that_falls_looks_so(run):
    row = next(line for line in reports.to_text(run, 100).splitlines() if line.startswith("seed 1"))
    drawn = [letter for letter in row if letter in "▁▂▃▄▅▆▇█"]
    heights = ["▁▂▃▄▅▆▇█".index(letter) for letter in drawn]
    assert heights[0] == max(heights)
    assert heights[-1] == min(heights) == 0


def test_a_demand_at_a_single_lag_is_seen_between_the_cells(run):
    curve = run.networks[1].curve("context_ablation")
    for cells in (11, 20, 31):
        line = peaks(curve, 75, cells, float(curve.value.max()))
        assert len(line) == cells
        assert line.count("█") == 1
    low = peaks(curve, 75, 20, 100 * float(curve.value.max()))
    assert set(low) <= {"▁", " "}


# --- on the page


@pytest.fixture(scope="module")
def text(run):
    return reports.to_html(run)


def test_the_page_puts_training_first_and_says_what_is_needed(text, run):
    ids = re.findall(r'<section id="([a-z]+)"', text)
    assert ids[:3] == ["training", "curves", "networks"]
    assert "The task needs lag 70; the network reaches 74." in text
    assert run.training.description in text
    assert "Memory before and after training" in text
    assert "seed 0 &lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert(1)</script>" not in text
    figures = re.findall(r'data-figure="([a-z]+)"', text)
    assert figures[:4] == ["learning", "demand", "gain", "information"]
    assert re.findall(r'data-csv="([a-z]+)"', text)[:4] == figures[:4]


def test_the_page_holds_the_learning_curves(run, many):
    data = page_data(run)["learning"]
    assert list(data) == ["loss", "accuracy"]
    line = next(one for one in data["loss"]["lines"] if one["kind"] == "validation")
    member = run.training.members[0]
    assert line["steps"] == member.steps.tolist()
    assert np.allclose(line["value"], member.validation_loss, rtol=1e-3)
    assert data["loss"]["chance"] == (0.26, "chance 0.26")
    assert data["accuracy"]["chance"] is None
    assert list(page_data(many)["learning"]) == ["loss"]
    assert page_data(many)["learning"]["loss"]["spread"]["validation"] is not None
    assert page_data(dataclasses.replace(run, training=None))["learning"] is None


def test_a_rise_has_the_unit_of_the_loss_and_no_common_threshold(run, many):
    quantities = page_data(run)["quantities"]
    assert quantities["context_ablation"]["axis"] == "rise of the loss (nats)"
    axis = page_data(many)["quantities"]["context_ablation_from"]["axis"]
    assert axis == "rise of the loss (squared error)"
    assert level_of(run, "context_ablation") is None
    assert [1, "context_ablation", 70] in quantities["context_ablation"]["ends"]
    low, high = value_range(run, "demand", "context_ablation")
    assert low == 0
    assert 1.9 < high < 1.5 * 1.9
    assert level_of(run, "task_gradient_reach") == pytest.approx(0.05)


def test_what_was_not_measured_leaves_no_section(run):
    bare = [dataclasses.replace(n, curves=(), spectrum=None) for n in run.networks]
    training = dataclasses.replace(run.training, members=(), sentence="", needed_by="")
    record = dataclasses.replace(run, networks=tuple(bare), training=training)
    text = reports.to_html(record)
    assert 'id="curves"' not in text
    assert 'data-figure="demand"' not in text
    assert "nan" not in text.split("<script")[0]
    reports.to_text(record, 80)
    reports.figure(record)


DRIVER = r"""
(async function () {
  const notes = {}, plot = document.getElementById("plot-learning"), copied = [];
  notes.drawn = plot.querySelectorAll("path.js-line").length;
  notes.demand = document.querySelectorAll("#plot-demand path.js-line").length;
  notes.solver = !document.querySelector("[data-kind=solver_ablation]").hidden;
  const select = document.getElementById("choose-learning");
  select.value = "accuracy";
  select.dispatchEvent(new Event("change"));
  notes.axis = plot.querySelector(".ytitle").textContent;
  notes.caption = document.getElementById("definition-learning").textContent;
  const board = { writeText: async (text) => { copied.push(text); } };
  Object.defineProperty(navigator, "clipboard", { value: board });
  for (const id of ["learning", "demand"]) {
    document.querySelector(`[data-csv=${id}]`).click();
    await new Promise((done) => setTimeout(done, 5));
  }
  notes.csv = copied.map((text) => text.split("\n").slice(0, 2));
  notes.wider = document.documentElement.scrollWidth > window.innerWidth;
  const said = document.createElement("p");
  said.id = "notes";
  said.textContent = JSON.stringify(notes);
  document.body.append(said);
})();
"""


def test_a_reader_in_a_browser_switches_and_copies(text, run, browse):
    page = re.sub(r"<meta http-equiv[^>]*>", "", text, count=1)
    dom, said = browse(page.replace("</body>", f"<script>{DRIVER}</script></body>"))
    assert said == []
    notes = json.loads(html.unescape(re.search(r'<p id="notes">(.*?)</p>', dom)[1]))
    assert notes["drawn"] == 6
    assert notes["demand"] >= 3
    assert notes["solver"]
    assert notes["axis"] == "accuracy"
    assert "held back" in notes["caption"]
    assert notes["csv"][0][0] == "seed,kind,update,accuracy"
    assert notes["csv"][0][1].startswith("seed 0 <script>alert(1)</script>,validation,50,")
    assert notes["csv"][1][0] == "network,quantity,origin,lag,value,standard_error,noise_floor"
    assert not notes["wider"]


@pytest.mark.slow
def test_a_browser_draws_many_seeds_under_the_policy(many, browse):
    dom, said = browse(reports.to_html(many))
    root = re.search(r"<html[^>]*>", dom)[0]
    assert 'data-ready="true"' in root
    assert "data-error" not in root
    assert "data-refused" not in root
    assert said == []


# --- on paper


def test_paper_shows_learning_demand_and_memory(run, many):
    figure = reports.figure(run)
    assert [25.4 * inches for inches in figure.get_size_inches()] == pytest.approx([170, 128])
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == [
        "loss (nats)",
        "rise of the loss (nats)",
        "gradient reach (relative to lag 0)",
        "linear recall (R²)",
    ]
    names = {text.get_text() for text in figure.axes[0].texts}
    assert {"seed 1", "seed 2", "chance 0.26", "a"} <= names
    assert figure.axes[0].get_yscale() == "log"
    one = reports.figure(run, panels=["learning"], quantities={"learning": "accuracy"})
    assert one.axes[0].get_ylim() == (0, 1)
    assert 25.4 * one.get_size_inches()[0] == pytest.approx(85)
    axes = reports.figure(many, panels=["learning"]).axes[0]
    assert {"validation", "training"} <= {text.get_text() for text in axes.texts}
    assert len(axes.get_lines()) == 12 + 2 + 1
    with pytest.raises(ValueError, match="unknown panel 'learning'"):
        reports.figure(dataclasses.replace(run, training=None), panels=["learning"])
    with pytest.raises(ValueError, match="unknown quantity of the learning panel 'accuracy'"):
        reports.figure(many, quantities={"learning": "accuracy"})
