"""What comes in is checked, scaled and described before a network sees it."""

import numpy as np
import pytest

from echoic.data.signal import autocorrelation, prepare

NOISE = np.random.default_rng(0).normal(size=(500, 2))


def prepared(inputs, horizon=20, scale="standardise", max_lag=50):
    return prepare(inputs, horizon=horizon, scale=scale, max_lag=max_lag)


def test_every_channel_gets_zero_mean_and_unit_variance():
    values = prepared(NOISE * [3.0, 0.1] + [5.0, -2.0]).values
    np.testing.assert_allclose(values.mean((0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(values.std((0, 1)), 1, atol=1e-12)


def test_scale_none_leaves_it_as_it_is():
    assert (prepared(NOISE * 3, scale=None).values[0] == NOISE * 3).all()


def test_one_hot_is_left_alone():
    text = np.eye(4)[np.random.default_rng(0).integers(0, 4, 300)]
    signal = prepared(text)
    assert signal.one_hot
    assert (signal.values[0] == text).all()
    assert "one-hot" in signal.record.scaling


@pytest.mark.parametrize(
    ("shape", "expected"), [((500,), (1, 500, 1)), ((500, 2), (1, 500, 2)), ((3, 500, 2),) * 2]
)
def test_shapes(shape, expected):
    assert prepared(np.random.default_rng(0).normal(size=shape)).values.shape == expected


def test_sequences_are_cut_to_the_shortest_and_short_ones_left_out():
    signal = prepared([NOISE[:300], NOISE[:200], NOISE[:10]])
    assert signal.values.shape == (2, 200, 2)
    assert any("1 of 3 sequences" in text for text in signal.warnings)
    assert any("200 steps" in text for text in signal.warnings)


def poisoned(value, at=(7, 1)):
    bad = NOISE.copy()
    bad[at] = value
    return bad


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros(0), "empty"),
        (np.zeros((0, 2)), "empty"),
        (
            NOISE[:20],
            r"20 steps \(shape \(20, 2\) is read as \(t, m\)\), not more than the horizon",
        ),
        (NOISE * 1e300, "too large"),
        ([NOISE[:10], NOISE[:5]], "no sequence is longer than the horizon of 20 steps"),
        (poisoned(np.nan), "1 NaN and 0 infinite values, the first at step 7, channel 1"),
        (poisoned(np.inf), "0 NaN and 1 infinite"),
        (np.ones(100), "constant"),
        (np.stack([NOISE[:, 0], np.ones(500)], 1), "channel 1 is constant"),
        (NOISE + 1j, "complex128"),
        (np.array(["a"] * 100), "dtype <U1"),
        (np.zeros((2, 2, 2, 2)), r"shape \(t,\), \(t, m\) or \(b, t, m\)"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_its_reason(inputs, message):
    with pytest.raises(ValueError, match=message):
        prepared(inputs)


def test_unknown_scale():
    with pytest.raises(ValueError, match="scale must be"):
        prepared(NOISE, scale="whiten")


def test_a_periodic_drive_is_cut_to_whole_periods():
    signal = prepared(np.sin(2 * np.pi * np.arange(1000) / 28))
    assert signal.period == 28
    assert signal.length == 1000 // 28 * 28


def test_noise_and_a_slowly_varying_signal_have_no_period():
    assert prepared(NOISE).period is None
    assert prepared(np.cumsum(NOISE[:, 0])).period is None
    still = np.broadcast_to(np.random.default_rng(0).normal(size=(5, 1, 1)), (5, 60, 1))
    assert prepared(still).period is None


def test_autocorrelation_of_an_autoregression_is_its_closed_form():
    rng = np.random.default_rng(1)
    x = np.zeros(200_000)
    noise = rng.normal(size=x.size)
    for t in range(1, x.size):
        x[t] = 0.8 * x[t - 1] + noise[t]
    measured = autocorrelation(x[None, :, None], 10)
    # Bartlett: the error of each lag is below sqrt((1 + 2 sum rho^2) / t) = 0.005.
    np.testing.assert_allclose(measured, 0.8 ** np.arange(11), atol=4 * 0.005)


def test_white_input_is_told_from_coloured_one():
    rng = np.random.default_rng(2)
    white = rng.normal(size=5_000)
    assert prepared(white).white
    assert prepared(rng.normal(size=(3, 500, 2))).white
    assert not prepared(np.convolve(white, [1.0, 0.5], "valid")).white
    assert not prepared(np.stack([white, np.cumsum(white)], axis=1)).white
    assert not prepared(np.eye(4)[rng.integers(0, 4, 300)]).white
