"""A design's prescriptions in the terminal and in the page."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from echoic import reports
from echoic.core.records import Curve, Horizon, PrescriptionRecord
from echoic.reports.prescriptions import prescription_columns


def prescription(name, last, *, feasible=True, hidden_size=24, log_gain=-2.9, quantity=None):
    lags = np.arange(101)
    return PrescriptionRecord(
        name=name,
        family="made up",
        hidden_size=hidden_size,
        feasible=feasible,
        reason=f"The reason of {name}, which is long enough to be broken over more than one line.",
        paper="Nobody 2000",
        correction="none",
        curve=Curve(
            quantity or "gradient_reach",
            "gain",
            "predicted",
            lags,
            0.05 ** (lags / (last + 0.5)),
            horizon=Horizon(0.05, last, last + 1, 0, False),
        ),
        regime="edge" if log_gain > -3 else "fading",
        log_gain=log_gain,
        noise_gain=3.25,
        settings={"recurrent": "orthogonal(gain=0.9)"},
        snippets={"JAX": f"cell = '{name.encode('ascii', 'replace').decode()}'\n"},
    )


@pytest.fixture(scope="module")
def design(small, synthetic):
    first, second = (network.name for network in small.networks[:2])
    return dataclasses.replace(
        small,
        networks=small.networks[:2],
        prescriptions=(
            prescription(first, 250),
            prescription(second, 251, quantity="coherent_reach"),
            prescription("a name that is much too long for any table that fits a window", 250),
            prescription(synthetic.HOSTILE + "\x1b[31m", 13, feasible=False, log_gain=-np.inf),
        ),
    )


def cells(record, key):
    return [
        cell.text for column in prescription_columns(record) if column.key == key
        for cell in column.cells
    ]  # fmt: skip


def test_predicted_and_measured_stand_side_by_side(design):
    assert cells(design, "predicted") == ["250", "251", "250", "13"]
    reach = design.networks[0].curve("gradient_reach").horizon
    coherent = design.networks[1].curve("coherent_reach").horizon
    shown = [f">= {h.last}" if h.censored else str(h.last) for h in (reach, coherent)]
    assert cells(design, "measured") == [*shown, "n/a", "n/a"]
    # The mutant that measures every promise by the gradient.
    assert design.networks[1].curve("gradient_reach").horizon != coherent
    assert cells(design, "gain") == ["0.055", "0.055", "0.055", "0"]
    assert cells(design, "regime") == ["◆ edge"] * 3 + ["▼ fading"]


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_fits_and_gives_reasons_for_what_cannot_be_had(design, width):
    text = reports.to_text(design, width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    flat = " ".join(text.split())
    assert flat.count("The reason of") == 1
    assert "predicted" in flat
    for row in ("250", "251", "13", "0.055"):
        assert row in flat
    sparks = [line for line in text.splitlines() if line.count("█") > 3]
    assert len(sparks) == 2  # one line each for what was measured


def test_a_terminal_without_blocks(design):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    reports.render(design, Console(file=stream, width=80), 80)
    stream.flush()
    assert b"= edge" in stream.buffer.getvalue()


def test_the_page_lists_them_and_gives_the_code_of_all(design, synthetic):
    text = reports.to_html(design)
    assert synthetic.HOSTILE not in text
    assert "4 prescriptions for" in text
    assert "How to build it" in text
    assert "What to change" not in text
    assert text.count("cell = ") >= 2  # of those that were not measured
    assert text.count('class="not"') == 1
    assert "orthogonal(gain=0.9)" in text
    assert 'id="prescriptions"' not in reports.to_html(
        dataclasses.replace(design, prescriptions=())
    )


def test_they_survive_json(design):
    back = reports.from_json(reports.to_json(design)).prescriptions
    assert [p.name for p in back] == [p.name for p in design.prescriptions]
    assert back[3].log_gain == -np.inf
    assert back[1].curve.horizon == design.prescriptions[1].curve.horizon
    assert back[0].settings == {"recurrent": "orthogonal(gain=0.9)"}
