"""What carries the memory, where it is known: separate leaky units, each with a channel."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import echoic
from echoic.core.cell import AbstractCell, LinearForm
from echoic.core.estimate import Estimate

KEY, LAGS, BURN_IN, LENGTH = jr.key(3), 8, 100, 160
LEAKS = np.array([0.5, 0.95, 0.8])
SPREADS = np.array([1.0, 2.0, 0.5])


class Leaky(AbstractCell):
    """h' = a h + x, unit by unit."""

    leaks: jax.Array
    input_size: int = 3
    hidden_size: int = 3

    def initial_state(self):
        return jnp.zeros_like(self.leaks)

    def step(self, state, x):
        return self.leaks * state + x

    def read(self, state):
        return state

    def linear_form(self):
        zeros = jnp.zeros_like(self.leaks)
        return LinearForm(jnp.diag(self.leaks), jnp.eye(3, dtype=zeros.dtype), zeros)


def leaky():
    return Leaky(jnp.asarray(LEAKS))


def series():
    draws = np.random.default_rng(0).normal(size=(LENGTH, 3))
    return SPREADS * (draws - draws.mean(axis=0)) / draws.std(axis=0)


def of_slow_subspace():
    found = echoic.slow_subspace(leaky(), series(), lag=LAGS, burn_in=BURN_IN, starts=3, key=KEY)
    right = np.sort(LEAKS)[::-1] ** LAGS
    wrong = {
        "in the order of units": LEAKS**LAGS,
        "powers": right**2,
        "a step more": right * np.sort(LEAKS)[::-1],
        "shares": right / right.sum(),
    }
    return found.value, right, wrong, 1e-10


def of_mode_time_constants():
    right = np.sort(-1 / np.log(LEAKS))[::-1]
    wrong = {
        "rates": 1 / right,
        "of distances from 1": 1 / (1 - np.sort(LEAKS)[::-1]),
        "halves": right * np.log(2),
        "of powers": right / 2,
    }
    at_rest = echoic.mode_time_constants(leaky()).value
    exponents = Estimate(jnp.asarray(np.sort(np.log(LEAKS))[::-1]), jnp.full(3, 0.01))
    of_run = echoic.mode_time_constants(exponents)
    np.testing.assert_allclose(of_run.value, at_rest, rtol=1e-12)
    np.testing.assert_allclose(of_run.standard_error, 0.01 * right**2, rtol=1e-12)
    return at_rest, right, wrong, 1e-10


def of_unit_time_constants():
    found = echoic.unit_time_constants(
        leaky(), series(), max_lag=40, burn_in=BURN_IN, starts=3, key=KEY
    )
    right = -1 / np.log(LEAKS)
    wrong = {
        "longest first": np.sort(right)[::-1],
        "whole lags": np.ceil(right),
        "sums of correlations": 1 / (1 - LEAKS),
        "variances": right / 2,
    }
    return found.value, right, wrong, 1e-9


def of_channel_reach():
    found = echoic.channel_reach(leaky(), series(), max_lag=LAGS, burn_in=BURN_IN, key=KEY)
    right = SPREADS[:, None] * LEAKS[:, None] ** np.arange(LAGS + 1)
    wrong = {
        "without their spread": right / SPREADS[:, None],
        "the mean over channels": np.sqrt(np.mean(right**2, axis=0)) + 0 * right,
        "other channels": right[::-1],
        "powers": right**2,
    }
    return found.value, right, wrong, 1e-10


def of_channel_recall():
    """The share of the newest in a leaky sum: (1 - a^2) a^2k."""
    power = LEAKS[:, None] ** 2
    right = (1 - power) * power ** np.arange(LAGS + 1)
    wrong = {
        "correlations": np.sqrt(right),
        "all equal": right.mean(axis=0) + 0 * right,
        "gains": right / (1 - power),
        "other channels": right[::-1],
    }
    found = echoic.channel_recall(leaky(), max_lag=LAGS, key=KEY)
    assert np.all(found.standard_error == 0)
    return found.value, right, wrong, 1e-12


def of_readout_visibility():
    """A readout of the first unit and of the sum of the others."""
    readout = np.array([[1.0, 0.0, 0.0], [0.0, 3.0, 3.0]])
    found = echoic.readout_visibility(
        leaky(), series(), readout=readout, max_lag=LAGS, burn_in=BURN_IN, starts=3, key=KEY
    )
    power = LEAKS ** (2 * np.arange(LAGS + 1)[:, None])

    def seen(first, second):
        return (first * power[:, 0] + second * (power[:, 1] + power[:, 2])) / power.sum(axis=1)

    wrong = {
        "the readout for its projector": seen(1, 9),
        "all of the others": seen(1, 1),
        "amplitudes": np.sqrt(seen(1, 0.5)),
        "the first unit alone": seen(1, 0),
        "chance": 2 / 3 + 0 * power[:, 0],
    }
    return found.value, seen(1, 0.5), wrong, 1e-10


ORACLES = {
    "slow_subspace": of_slow_subspace,
    "mode_time_constants": of_mode_time_constants,
    "unit_time_constants": of_unit_time_constants,
    "channel_reach": of_channel_reach,
    "channel_recall": of_channel_recall,
    "readout_visibility": of_readout_visibility,
}


def test_right_passes_and_wrong_does_not(oracle, assert_oracle, x64):
    assert_oracle(*oracle())
