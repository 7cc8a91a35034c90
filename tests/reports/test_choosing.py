"""What a panel shows, over which range and with which threshold."""

import dataclasses
import math

import numpy as np
import pytest

from echoic import reports
from echoic.core.records import Curve, Horizon
from echoic.reports.choosing import ALL_GAINS, axis_label, choices, shown
from echoic.reports.page_data import page_data
from echoic.reports.scales import ends_at, level_of, value_range
from echoic.reports.style import ON_LIGHT

LAGS = np.arange(101)


def with_curves(record, *curves, count=1):
    """The first networks of a record, each with its own version of the curves."""
    networks = tuple(
        dataclasses.replace(network, curves=tuple(make(i) for make in curves))
        for i, network in enumerate(record.networks[:count])
    )
    return dataclasses.replace(record, networks=networks, horizon=20, max_lag=100)


def gradient(index):
    value = np.exp(-LAGS / 30)
    return Curve("gradient_reach", "gain", "measured", LAGS, value, horizon=ending(0.05, 89))


def entering(index):
    """Input reach: 0.06, 0.6, 6 at lag 0, not 1."""
    value = 0.06 * 10.0**index * np.exp(-LAGS / 20)
    return Curve("input_reach", "gain", "measured", LAGS, value, horizon=ending(0.05, 59))


def asymptote(index):
    return Curve("lyapunov_asymptote", "gain", "reference", LAGS, np.exp(-LAGS / 40))


def raw(index):
    return Curve("raw_recall", "information", "measured", LAGS, 0.9 * np.exp(-LAGS / 30))


def memoryless(index):
    return Curve("memoryless_recall", "information", "reference", LAGS, 0.8 * np.exp(-LAGS / 9))


def speed(index):
    value = np.where(LAGS == 3, 4.0, np.exp(-LAGS / 30))
    return Curve("learning_speed", "gain", "predicted", LAGS, value)


def ending(threshold, last):
    return Horizon(threshold, last, last + 1, 0, False)


def lines_of(axes, colour, width):
    return [x for x in axes.get_lines() if (x.get_color(), x.get_linewidth()) == (colour, width)]


def test_references_stand_beside_what_they_help_to_judge(small):
    record = with_curves(small, gradient, asymptote, raw, memoryless, count=2)
    assert choices(record, "gain") == ["gradient_reach"]
    assert choices(record, "information") == ["raw_recall"]
    names = [line.curve.quantity for line in shown(record, "gradient_reach", (0, 1))]
    assert names.count("lyapunov_asymptote") == 2
    assert "memoryless_recall" in [
        line.curve.quantity for line in shown(record, "raw_recall", (0, 1))
    ]
    # A grey network keeps its reference to itself.
    greyed = shown(record, "gradient_reach", (1,))
    assert [line.network for line in greyed if line.curve.origin == "reference"] == [1]
    assert all(line.curve.origin != "reference" for line in shown(record, "coherent_reach", (0,)))


def test_the_figure_draws_the_asymptote_thin_for_one_or_two_networks(small):
    record = with_curves(small, gradient, asymptote, count=2)
    gain = reports.figure(record, panels=["gain"]).axes[0]
    for colour in ON_LIGHT[:2]:
        (thin,) = lines_of(gain, colour, 0.5)
        assert thin.get_ydata()[40] == pytest.approx(math.exp(-40 / 40))
    crowded = with_curves(small, gradient, asymptote, count=3)
    gain = reports.figure(crowded, panels=["gain"]).axes[0]
    assert not any(lines_of(gain, colour, 0.5) for colour in ON_LIGHT)


def test_a_single_network_shows_all_its_gains(small):
    record = with_curves(small, gradient, entering, asymptote, raw)
    assert choices(record, "gain") == [ALL_GAINS, "gradient_reach", "input_reach"]
    lines = shown(record, ALL_GAINS, (0,))
    assert [(line.name, line.colour) for line in lines] == [
        ("gradient reach", 0),
        ("input reach", 2),
        ("exp(λ₁ k)", 0),
    ]
    texts = [text.get_text() for text in reports.figure(record).axes[0].texts]
    assert {"gradient reach", "input reach", "exp(λ₁ k)"} <= set(texts)
    two = with_curves(small, gradient, entering, asymptote, count=2)
    assert ALL_GAINS not in choices(two, "gain")
    with pytest.raises(ValueError, match="unknown quantity of the gain panel 'all_gains'"):
        reports.figure(two, quantities={"gain": ALL_GAINS})


def test_predicted_learning_speed_can_be_chosen_and_is_named(small):
    record = with_curves(small, gradient, speed, count=2)
    assert choices(record, "gain") == ["gradient_reach", "learning_speed"]
    lines = shown(record, "learning_speed", (0, 1))
    assert [line.name for line in lines] == [n.name for n in record.networks]
    assert value_range(record, "gain", "learning_speed")[1] >= 4
    # Nothing was asked of it, so nothing is a threshold.
    assert level_of(record, "learning_speed") is None


def test_input_reach_has_a_range_and_a_threshold_of_its_own(small):
    record = with_curves(small, gradient, entering, count=3)
    assert axis_label(record, "input_reach") == "input reach (per s.d. of the input)"
    low, high = value_range(record, "gain", "input_reach")
    assert low <= 0.05 * 0.06
    assert 6 <= high <= 20
    assert value_range(record, "gain", "gradient_reach") == (1e-3, 2.0)
    assert level_of(record, "gradient_reach") == pytest.approx(0.05)
    assert level_of(record, "input_reach") is None
    assert [ends_at(n.curve("input_reach"), None) for n in record.networks] == [59] * 3
    one = with_curves(small, gradient, entering)
    assert level_of(one, "input_reach") == pytest.approx(0.05 * 0.06)
    axes = reports.figure(one, panels=["gain"], quantities={"gain": "input_reach"}).axes[0]
    assert "0.003" in [text.get_text() for text in axes.texts]
    assert not [line for line in axes.get_lines() if line.get_marker() == "o"]


def test_curves_without_a_common_threshold_end_in_a_dot(small):
    record = with_curves(small, gradient, entering, count=3)
    axes = reports.figure(record, panels=["gain"], quantities={"gain": "input_reach"}).axes[0]
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [59, 59, 59]
    heights = [0.06 * 10**i * math.exp(-59 / 20) for i in range(3)]
    assert [dot.get_ydata()[0] for dot in dots] == pytest.approx(heights)
    # Among all gains the line is that of gradient reach: only input reach needs a dot.
    both = page_data(with_curves(small, gradient, entering))["quantities"][ALL_GAINS]
    assert both["threshold"] == 0.05
    assert both["ends"] == [[0, "input_reach", 59]]
    censored = dataclasses.replace(entering(0), horizon=Horizon(0.05, 100, None, 0, True))
    assert ends_at(censored, None) is None


def test_fisher_memories_decades_apart_are_all_seen(small):
    def fisher(index):
        value = 0.01 * 1000.0**index * np.exp(-LAGS / 9)
        return Curve("fisher_memory", "information", "measured", LAGS, value)

    record = with_curves(small, fisher, count=2)
    low, high = value_range(record, "information", "fisher_memory")
    assert 0 < low <= 0.02 * 0.01
    assert 10 <= high <= 20
    axes = reports.figure(record, quantities={"information": "fisher_memory"}).axes[1]
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize("wanted", [777, 1234])
def test_the_wanted_lag_is_drawn_with_its_value(synthetic, wanted):
    record = synthetic.report(12, horizon=wanted, max_lag=5000)
    data = page_data(record)
    for network, drawn in zip(record.networks, data["networks"], strict=True):
        for curve, points in zip(network.curves, drawn["curves"], strict=True):
            lags = data["lags"][points["lags"]]
            assert len(lags) < 5001
            value = float(points["value"][lags.index(wanted)])
            assert value == pytest.approx(curve.at(wanted), rel=5.1e-4)
    assert wanted in data["autocorrelation"]["index"]
