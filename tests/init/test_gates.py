"""Biases that set how long gates keep."""

import math

import jax.random as jr
import numpy as np
import pytest

from echoic import init
from echoic.cells import GRU, LSTM, FullPeepholeLSTM, MinimalRNN, PeepholeLSTM, ResetBeforeGRU

KEY = jr.key(5)
HORIZON = 200.0


def assert_kept_time_is_uniform(bias):
    """Tallec & Ollivier: exp(b) = 1 / (1 - sigmoid(b)) - 1 is uniform in [1, horizon - 1]."""
    u = np.sort((np.exp(np.asarray(bias, np.float64)) - 1) / (HORIZON - 2))
    assert np.abs(u - (np.arange(len(u)) + 0.5) / len(u)).max() < 1.63 / math.sqrt(len(u))


def test_chrono_spreads_time_constants_up_to_the_horizon():
    assert_kept_time_is_uniform(init.chrono(HORIZON)(KEY, (3000,)))
    with pytest.raises(AssertionError):  # mutant: uniform in the logarithm
        assert_kept_time_is_uniform(
            jr.uniform(KEY, (3000,), minval=0.0, maxval=math.log(HORIZON - 1))
        )
    with pytest.raises(AssertionError):  # mutant: log U[1, horizon / 2]
        assert_kept_time_is_uniform(init.chrono(HORIZON / 2)(KEY, (3000,)))


@pytest.mark.parametrize("kind", [LSTM, PeepholeLSTM, FullPeepholeLSTM])
def test_chrono_mirrors_the_input_gate(kind):
    bias = np.asarray(kind(1, 300, bias=init.chrono(HORIZON), key=KEY).bias)
    i, f, g, o = np.split(bias, 4)
    assert_kept_time_is_uniform(f)
    np.testing.assert_array_equal(i, -f)
    np.testing.assert_array_equal(np.concatenate([g, o]), 0)


@pytest.mark.parametrize("kind", [GRU, ResetBeforeGRU])
def test_chrono_sets_the_update_gate_of_a_gru(kind):
    r, z, n = np.split(np.asarray(kind(1, 300, bias=init.chrono(HORIZON), key=KEY).bias), 3)
    assert_kept_time_is_uniform(z)
    np.testing.assert_array_equal(np.concatenate([r, n]), 0)


def test_chrono_sets_the_gate_of_a_minimal_rnn():
    assert_kept_time_is_uniform(MinimalRNN(1, 300, bias=init.chrono(HORIZON), key=KEY).bias)


def test_forget_sets_one_gate_and_rest_the_others():
    bias = np.asarray(LSTM(1, 2, bias=init.forget(3.0, init.constant(7.0)), key=KEY).bias)
    np.testing.assert_array_equal(bias, [7, 7, 3, 3, 7, 7, 7, 7])
    bias = np.asarray(GRU(1, 2, bias=init.forget(3.0), key=KEY).bias)
    np.testing.assert_array_equal(bias, [0, 0, 3, 3, 0, 0])


def test_the_law_names_each_gate():
    law = dict(LSTM(1, 4, bias=init.chrono(50), key=KEY).hyperparameters().parameters)
    assert law["bias.f"] == init.chrono(50)
    assert law["bias.i"] == init.opposite(init.chrono(50))
    assert law["bias.g"] == law["bias.o"] == init.zeros()
