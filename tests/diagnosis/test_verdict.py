"""The sentences say what the numbers say."""

import dataclasses

import numpy as np
import pytest

from echoic.core.horizon import horizon_of
from echoic.core.records import Curve, Horizon, NetworkRecord
from echoic.diagnosis.verdict import network_verdict, overall_verdict, rank_key, share, share_of

T = 50


def network(name, gain, recall, regime="edge"):
    lags = np.arange(101)

    def curve(quantity, panel, value, threshold):
        return Curve(
            quantity,
            panel,
            "measured",
            lags,
            value,
            horizon=horizon_of(value, None, threshold, relative=panel == "gain"),
        )

    curves = (
        curve("gradient_reach", "gain", gain, 0.05),
        curve("linear_recall", "information", recall, 0.1),
    )
    return NetworkRecord(
        name=name,
        family="elman",
        description="",
        hidden_size=4,
        state_size=4,
        num_parameters=24,
        curves=curves,
        spectrum=None,
        regime=regime,
        log_gain=float(np.log(gain[T])),
        lyapunov_times_horizon="",
        recall_sum=1.0,
        recall_per_unit=0.25,
        noise_gain=1.0,
        noise_gain_kind="unknown",
        singular_values=None,
        verdict=f"{name} verdict.",
        warnings=(),
        seconds=0.0,
        settings={},
    )


def falling(tau):
    return np.exp(-np.arange(101) / tau)


KEEPS = network("keeper", falling(100), falling(40))
KEEPS_LESS = network("lesser", falling(100), falling(25))
FADES = network("fader", falling(5), falling(5), "fading")
RUGGED = network("rugged", 1 / falling(5), falling(40), "rugged")


def test_best_first():
    order = sorted([RUGGED, FADES, KEEPS_LESS, KEEPS], key=lambda n: rank_key(n, T))
    assert [n.name for n in order] == ["keeper", "lesser", "fader", "rugged"]


def test_a_recall_within_the_noise_does_not_rank_before_a_gradient():
    lags = np.arange(101)
    longer = network("longer", np.exp(-lags / 15), np.full(101, -0.001), "fading")
    louder = network("louder", np.exp(-lags / 2), np.full(101, 0.008), "fading")
    order = sorted([louder, longer], key=lambda n: rank_key(n, T))
    assert [n.name for n in order] == ["longer", "louder"]


def test_the_overall_verdict_names_the_best_and_the_worst_with_their_numbers():
    text = overall_verdict([KEEPS, KEEPS_LESS, FADES], T)
    # A decay of 5 steps falls to 0.05 between 14 and 15: 5 log 20 = 14.98.
    kept = "keeper reaches 50 (gain 0.61, recall 0.29)"
    assert text == f"Needs 50 steps. {kept}; fader fades after 14 steps."


def test_a_name_of_ours_begins_the_sentence_with_a_capital_and_a_users_is_left_alone():
    ours = dataclasses.replace(KEEPS, description="one of the built-in networks")
    assert "Needs 50 steps. Keeper reaches" in overall_verdict([ours, FADES], T)
    assert "Needs 50 steps. keeper reaches" in overall_verdict([KEEPS, FADES], T)


def test_a_recall_that_was_not_measured_gets_no_number():
    far, near = (
        dataclasses.replace(network, curves=network.curves[:1]) for network in (KEEPS, FADES)
    )
    assert {curve.quantity for curve in far.curves} == {"gradient_reach"}
    text = overall_verdict([far, near], T)
    assert "keeper reaches 50 (gain 0.61, recall unknown); fader fades after 14" in text
    none = overall_verdict([near, RUGGED], T)
    assert "the best, fader, keeps its gradient for 14 steps; rugged" in none


def test_when_none_reaches_the_verdict_says_so():
    text = overall_verdict([FADES, RUGGED], T)
    assert "No network here reaches 50" in text
    assert "rugged is rugged" in text


HERE, GONE = Horizon(0.05, 100, None, 0, True), Horizon(0.05, 11, 12, 0, False)


@pytest.mark.parametrize(
    ("regime", "gain", "recall", "gain_horizon", "recall_horizon", "words"),
    [
        ("edge", 0.37, 0.41, HERE, HERE, "Remembers: after 50 steps 37 % of the gradient and 41 %"),
        ("fading", 0.03, 0.0, GONE, GONE, "Fades: after 50 steps 3 % of the gradient and none of"),
        ("edge", 0.9, 0.0, HERE, GONE, "Carries the gradient but blurs the signal"),
        ("fading", 0.01, 0.4, GONE, HERE, "Keeps the signal but hardly trains on it"),
        ("edge", 0.06, 0.0, GONE, GONE, "Borderline: after 50 steps 6 % of the gradient"),
        ("rugged", 1e6, 0.4, HERE, HERE, "Rugged: over 50 steps a perturbation grows 1.0e+06-fold"),
        (None, float("nan"), float("nan"), GONE, GONE, "No verdict"),
    ],
)
def test_each_case_has_its_sentence(regime, gain, recall, gain_horizon, recall_horizon, words):
    text = network_verdict(T, regime, gain, recall, gain_horizon, recall_horizon)
    assert text.startswith(words)


def test_a_recall_within_its_noise_of_the_threshold_is_borderline():
    """On either side: which one it stands on is for the next seed to say."""
    threshold = dataclasses.replace(HERE, threshold=0.1), dataclasses.replace(GONE, threshold=0.1)
    for recall, heard in ((0.115, threshold[0]), (0.09, threshold[1])):
        text = network_verdict(T, "edge", 0.4, recall, HERE, heard, 0.008)
        assert text.startswith("Carries the gradient, and is borderline for the signal: after 50")
        assert text.endswith("where 10 % is asked for and the noise is ± 0.8 %.")
    firm = network_verdict(T, "edge", 0.4, 0.13, HERE, threshold[0], 0.008)
    assert firm.startswith("Remembers")
    assert network_verdict(T, "edge", 0.4, 0.3, HERE, threshold[0], np.nan).endswith("not known.")


def test_the_overall_verdict_says_borderline():
    def noisy(network):
        gain, recall = network.curves
        level = dataclasses.replace(recall.horizon, threshold=recall.at(T) + 0.01)
        error = np.full(101, 0.01)
        recall = dataclasses.replace(recall, standard_error=error, horizon=level)
        return dataclasses.replace(network, curves=(gain, recall))

    assert "recall 0.29, borderline); fader" in overall_verdict([noisy(KEEPS), FADES], T)
    text = overall_verdict([noisy(FADES), RUGGED], T)
    assert "its signal for 11 steps, borderline there; rugged" in text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "none"),
        (0.031, "3.1 %"),
        (0.03, "3 %"),
        (0.37, "37 %"),
        (1.0, "all"),
        (2.4, "2.4 times"),
    ],
)
def test_shares_in_words(value, words):
    assert share(value) == words


def test_what_has_grown_is_so_many_times_the_whole():
    assert share_of(0.03, "the signal") == "3 % of the signal"
    assert share_of(2.4, "the gradient") == "2.4 times the gradient"
