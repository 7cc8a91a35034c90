"""Predictions against what is measured, and where none may be made."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic import cells, init
from echoic.core.cell import cast
from echoic.core.horizon import horizon_of
from echoic.prediction import closed_form, phase_map, unit_of, wide_limit
from echoic.theory import tied

LAGS = np.arange(41)


def signal(length=4000, seed=0):
    return np.random.default_rng(seed).normal(size=(1, length, 1))


def network(recurrent=0.4, key=0, **words):
    return cells.GRU(
        1, 128, recurrent=init.gaussian(recurrent), bias=init.chrono(30), key=jr.key(key), **words
    )


def measured(cell, lags=LAGS):
    with jax.enable_x64(True):
        found = echoic.gradient_reach(
            cast(cell, jnp.float64), signal()[0], max_lag=int(lags[-1]), key=jr.key(1), starts=64
        )
        return np.asarray(found.value), np.asarray(found.standard_error)


def predicted(cell, quantity="gradient_reach"):
    (curve,) = [
        c
        for c in wide_limit(cell, LAGS, values=signal(), burn_in=60).curves
        if c.quantity == quantity
    ]
    return curve


def assert_agree(value, error, theory, width):
    """4 standard errors, and 3 / sqrt(n) for one draw of n units' time constants."""
    assert np.all(np.abs(value - theory) < 4 * error + 3 * theory / np.sqrt(width))


@pytest.mark.slow
def test_the_reach_of_a_gated_network_from_its_law():
    cell = network()
    value, error = measured(cell)
    assert_agree(value, error, predicted(cell).value, 128)


@pytest.mark.parametrize("wrong", ["power for amplitude", "one bias for all"])
def test_wrong_predictions_are_told_apart(wrong):
    cell = network()
    value, error = measured(cell)
    theory = predicted(cell).value ** 2
    if wrong == "one bias for all":
        mean = float(np.mean(np.asarray(cell.bias[128:256])))
        same = cells.GRU(
            1, 128, recurrent=init.gaussian(0.4), bias=init.forget(mean), key=jr.key(0)
        )
        theory = predicted(same).value
    with pytest.raises(AssertionError):
        assert_agree(value, error, theory, 128)


def test_weights_without_a_law_are_judged_by_their_moments():
    """The same numbers, but nobody says where they come from."""
    cell = network()
    nameless = eqx.tree_at(lambda c: c.law, cell, None, is_leaf=lambda leaf: leaf is None)
    with jax.enable_x64(True):
        known = unit_of(nameless)
    assert "moments" in known.note
    np.testing.assert_allclose(known.unit.sigma, 0.4, rtol=0.05)
    value, error = measured(cell)
    assert_agree(value, error, predicted(nameless).value, 128)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (cells.Elman(1, 64, recurrent=init.chain(1.0), key=jr.key(0)), "independent entries"),
        (cells.LSTM(1, 64, recurrent={"g": init.chain(1.0)}, key=jr.key(0)), "independent"),
    ],
)
def test_structured_laws_have_no_theory_of_wide_networks(cell, reason):
    with pytest.raises(tied.NoTheory, match=reason):
        unit_of(cell)


def test_structured_weights_without_a_law_have_no_theory():
    cell = network()
    low_rank = np.outer(np.ones(384), np.ones(128)) * 0.1
    trained = eqx.tree_at(lambda c: c.recurrent, cell, cell.recurrent + low_rank)
    assert trained.hyperparameters() is None
    with pytest.raises(tied.NoTheory, match="no theory applies"):
        unit_of(trained)
    assert wide_limit(trained, LAGS, values=signal(), burn_in=60).curves == ()


@pytest.mark.slow
def test_a_gaussian_network_is_followed_for_few_lags_only():
    curve = predicted(cells.Elman(1, 64, recurrent=init.gaussian(1.0), key=jr.key(0)))
    assert np.isfinite(curve.value[:3]).all()
    assert np.isnan(curve.value[20:]).all()
    assert "64" in " ".join(curve.notes)


def test_strong_coupling_leaves_the_residual_to_the_wide_theory():
    weak, strong = (
        cells.Residual(1, 64, residual=init.identity(0.9), coupling=c, key=jr.key(0))
        for c in (0.001, 0.5)
    )
    origins = [
        {(c.quantity, c.origin) for c in closed_form(cell, LAGS, noise_variance=1.0).curves}
        for cell in (weak, strong)
    ]
    assert ("gradient_reach", "predicted") in origins[0]
    assert ("gradient_reach", "predicted") not in origins[1]


@pytest.mark.slow
def test_here_is_where_the_predicted_curve_ends_and_the_arrow_points_to_the_prescription():
    cell, better = (
        network(),
        cells.GRU(1, 128, recurrent=init.gaussian(0.4), bias=init.chrono(90), key=jr.key(0)),
    )
    found = phase_map(cell, signal(), horizon=40, towards=better, towards_name="GRU, chrono")
    assert found.reach.shape == (len(found.vertical.values), len(found.horizontal.values))
    assert (found.wanted, found.there_name) == (40, "GRU, chrono")
    assert found.here is not None
    assert found.there is not None
    assert found.here[0] == pytest.approx(0.4)
    assert found.there[1] > found.here[1] + 0.5
    # At the network's own place the diagram says what its predicted curve says.
    row = list(found.vertical.values).index(found.here[1])
    at_here = found.reach[row, list(found.horizontal.values).index(found.here[0])]
    end = horizon_of(predicted(cell, "coherent_reach").value, None, 0.05, relative=True)
    assert end is not None
    assert at_here == pytest.approx(end.last, rel=0.2) or end.censored
