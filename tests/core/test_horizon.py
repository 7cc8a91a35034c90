"""A curve with a known end, and curves that a careless definition gets wrong."""

import math

import numpy as np
import pytest

from echoic.core.horizon import Thresholds, exponent_says, horizon_of, is_borderline, regime_of


def test_an_exponential_ends_where_its_closed_form_says():
    value = np.exp(-np.arange(200) / 20)
    horizon = horizon_of(value, None, 0.05, relative=True)
    assert horizon.last == math.floor(20 * math.log(1 / 0.05))
    assert horizon.first_crossing == horizon.last + 1
    assert horizon.peak == 0
    assert not horizon.censored


def test_the_error_bar_shortens_the_horizon():
    value = np.exp(-np.arange(200) / 20)
    error = np.full(200, 0.05)
    assert horizon_of(value, error, 0.05, relative=True).last == math.floor(20 * math.log(1 / 0.15))


def test_an_unknown_error_is_not_none():
    """It neither hides the curve nor passes for certainty."""
    value = np.exp(-np.arange(200) / 20)
    unknown = horizon_of(value, np.full(200, np.nan), 0.05, relative=True)
    assert (unknown.last, unknown.error_known) == (59, False)
    assert horizon_of(value, None, 0.05, relative=True).error_known
    assert horizon_of(value, np.zeros(200), 0.05, relative=True).error_known
    lost = np.where(np.arange(200) < 100, value, np.nan)  # no error is missed where no value is
    assert horizon_of(lost, 0 * lost, 0.05, relative=True).error_known


@pytest.mark.parametrize(
    ("value", "error", "borderline"),
    [
        (0.12, 0.01, True),
        (0.08, 0.01, True),
        (0.14, 0.01, False),
        (0.06, 0.01, False),
        (0.1, 0.0, True),
        (0.5, math.nan, True),
        (math.nan, 0.01, False),
    ],
)
def test_three_errors_around_a_threshold_are_borderline(value, error, borderline):
    assert is_borderline(value, error, 0.1) is borderline


def test_a_relative_threshold_counts_in_units_of_lag_0():
    value = 7 * np.exp(-np.arange(200) / 20)
    assert horizon_of(value, None, 0.05, relative=True).last == 59
    assert horizon_of(value, None, 0.05, relative=False).last == 98


def test_a_curve_that_dips_and_returns_has_a_late_horizon_and_an_early_crossing():
    value = np.array([1.0, 0.01, 0.01, 0.5, 0.01])
    horizon = horizon_of(value, None, 0.05, relative=True)
    assert (horizon.last, horizon.first_crossing, horizon.peak) == (3, 1, 0)


def test_a_curve_that_never_falls_is_censored_and_only_a_gain_grows():
    value = np.exp(0.1 * np.arange(100))
    grown = horizon_of(value, None, 0.05, relative=True, grows=True)
    assert grown.censored
    assert grown.growing
    assert grown.peak == 99
    assert not horizon_of(value, None, 0.05, relative=True).growing


@pytest.mark.parametrize("at_lag_0", [1.0, np.nan])
def test_of_a_curve_that_is_not_a_number_nothing_is_known(at_lag_0):
    value = np.array([at_lag_0, np.nan, np.nan, np.nan])
    assert horizon_of(value, value, 0.05, relative=True) is None


def test_a_gain_that_overflows_late_has_the_horizon_of_what_is_known():
    value = np.array([1.0, 1e200, np.inf, np.nan])
    assert horizon_of(value, np.zeros(4), 0.05, relative=True, grows=True).last == 2


def test_nothing_reaches_nowhere():
    horizon = horizon_of(np.zeros(5), None, 0.05, relative=True)
    assert horizon.last == -1
    assert not horizon.censored


@pytest.mark.parametrize(
    ("log_gain", "regime"),
    [(-3.1, "fading"), (-2.9, "edge"), (2.9, "edge"), (3.1, "rugged"), (-math.inf, "fading")],
)
def test_regimes(log_gain, regime):
    assert regime_of(log_gain) == regime


def test_a_gain_that_is_not_a_number_has_no_regime():
    assert regime_of(math.nan) is None


def test_an_exponent_with_too_large_an_error_says_nothing():
    assert exponent_says(-0.01, 0.001, 100) == "-1 ± 0.1"
    assert exponent_says(-0.01, 0.02, 100) == "undecided"
    assert exponent_says(-math.inf, 0.0, 100) == "-inf"


def test_thresholds_are_shares():
    with pytest.raises(ValueError, match=r"recall must lie between 0 and 1, got 1\.5"):
        Thresholds(recall=1.5)
