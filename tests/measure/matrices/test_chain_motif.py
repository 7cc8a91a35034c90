"""The hidden chain: built ones are found, absent ones are not, wrong versions fail."""

import operator

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
import scipy.stats

from echoic import init
from echoic.cells import GRU, LSTM, Elman
from echoic.core.cell import AbstractCell
from echoic.core.estimate import Status
from echoic.measure.matrices.chain_motif import chain_motif, profile
from echoic.measure.matrices.nonnormality import henrici_departure

KEY = jr.key(0)
N = 12
SHUFFLE = np.random.default_rng(3).permutation(N)


def line(weight=0.9, shuffle=SHUFFLE):
    """A bare chain whose units stand in any order, and its matrix."""
    n = len(shuffle)
    w = np.zeros((n, n))
    w[shuffle[1:], shuffle[:-1]] = weight
    v = np.zeros(n)
    v[shuffle[0]] = 1.0
    return lambda h, x: jnp.asarray(w) @ h + jnp.asarray(v) * x, w


def motif(step, w, **options):
    options = {"state": jnp.zeros(len(w)), "key": KEY, "permutations": 99, "steps": 30} | options
    return chain_motif(step, matrix=w, **options)


def test_a_shuffled_chain_is_found(x64):
    step, w = line()
    found = motif(step, w)
    d = np.asarray(found.details["order_difference"])
    np.testing.assert_allclose(found.value, 0.9 * (d == 1), atol=1e-12)
    np.testing.assert_array_equal(found.details["order"], SHUFFLE)
    np.testing.assert_array_equal(np.asarray(found.details["peak_time"])[SHUFFLE], np.arange(N))
    assert float(found.details["asymmetry"]) == pytest.approx(0.9 / 5)
    assert float(found.details["p_value"]) == pytest.approx(1 / 100)
    at_one = int(np.flatnonzero(d == 1)[0])
    assert found.value[at_one] > found.details["band_high"][at_one]
    assert found.statuses == Status.OK
    wrong = {
        "row form": profile(w.T, SHUFFLE, N - 1)[0],
        "reversed order": profile(w, SHUFFLE[::-1], N - 1)[0],
        "places for units": profile(w, np.argsort(SHUFFLE), N - 1)[0],
        "sums for means": np.asarray(found.value) * (N - np.abs(d)),
    }
    for value in wrong.values():
        assert np.max(np.abs(value - np.asarray(found.value))) > 0.1


def test_profile_by_brute_force(x64):
    rng = np.random.default_rng(0)
    w, order = rng.normal(size=(7, 7)), rng.permutation(7)
    place = np.argsort(order)
    value, error = profile(w, order, 4)
    for d in range(-4, 5):
        pairs = [w[i, j] for i in range(7) for j in range(7) if place[i] - place[j] == d]
        assert value[4 + d] == pytest.approx(np.mean(pairs))
        assert error[4 + d] == pytest.approx(np.std(pairs, ddof=1) / len(pairs) ** 0.5)


@pytest.mark.slow
def test_false_alarms_where_the_order_is_given(x64):
    """Units peak one after the other for another reason: W is random, and p is uniform."""
    n, count = 16, 120
    step, _ = line(shuffle=np.arange(n))
    p_values = [
        float(
            motif(
                step,
                np.random.default_rng(seed).normal(size=(n, n)),
                key=jr.key(seed),
                permutations=19,
            ).details["p_value"]
        )
        for seed in range(count)
    ]
    alarms = np.mean(np.array(p_values) <= 0.05)
    assert alarms < 0.05 + 4 * (0.05 * 0.95 / count) ** 0.5
    assert 0.4 < np.mean(p_values) < 0.65


def test_ties_and_silence(x64):
    # Identity: all peak at once, the order is one of chance and the key decides it.
    w = 0.5 * np.eye(N)
    first, again, other = (
        motif(lambda h, x: jnp.asarray(w) @ h + x, w, key=jr.key(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.details["order"], again.details["order"])
    assert np.any(np.asarray(first.details["order"]) != np.asarray(other.details["order"]))
    assert float(first.value[N - 1]) == pytest.approx(0.5)  # the diagonal, whatever the order
    # The line is longer than the run: units that are not reached do not count.
    step, w = line()
    short = motif(step, w, steps=4)
    assert int(short.details["silent"]) == N - 5
    assert np.sum(np.isfinite(short.value)) == 2 * 5 - 1
    deaf = motif(lambda h, x: 0 * h, w)
    assert Status.BELOW_NOISE in deaf.statuses
    assert np.all(np.isnan(deaf.value))


def test_activity_is_a_deviation(x64):
    """A bias that alone drives the line hides the wave in absolute values, not in deviations."""
    step, w = line(0.9)

    def biased(h, x):
        return step(h, x) + 3.0

    deviation = motif(biased, w, state=jnp.full(N, 7.0))
    np.testing.assert_array_equal(deviation.details["order"], SHUFFLE)
    absolute = motif(biased, w, state=jnp.full(N, 7.0), activity="absolute")
    assert np.any(np.asarray(absolute.details["order"]) != SHUFFLE)


class Cells:
    plain = staticmethod(lambda: Elman(2, 8, key=KEY))
    lstm = staticmethod(lambda: LSTM(2, 8, key=KEY))
    gru = staticmethod(lambda: GRU(2, 8, key=KEY))


@pytest.mark.slow
def test_cells_of_all_kinds():
    options = {"key": KEY, "steps": 10, "permutations": 19}
    plain = chain_motif(Cells.plain(), **options)
    assert plain.value.dtype == jnp.float32
    assert plain.value.shape == (15,)
    for cell, block in ((Cells.lstm(), "g"), (Cells.gru(), "n")):
        found = chain_motif(cell, block=block, **options)
        assert np.all(np.isfinite(found.value))
        with pytest.raises(ValueError, match="several recurrent matrices"):
            chain_motif(cell, **options)
    seen = chain_motif(Cells.plain(), direction=[1.0, 0.0], **options)
    assert np.any(np.asarray(seen.value) != np.asarray(plain.value))
    # A chain that is fed at its source, as a cell.
    cell = Elman(1, 8, recurrent=init.chain(1.0), input=init.source(0.9), key=KEY)
    found = chain_motif(cell, **options)
    assert int(found.details["order_difference"][jnp.argmax(found.value)]) == 1


def test_wrong_calls_and_nan(x64):
    step, w = line()
    with pytest.raises(ValueError, match="pass matrix"):
        chain_motif(step, state=jnp.zeros(N), key=KEY)
    with pytest.raises(ValueError, match=r"must have shape \(12, 12\)"):
        motif(step, np.eye(3), state=jnp.zeros(N))
    with pytest.raises(ValueError, match="Did you mean 'absolute'"):
        motif(step, w, activity="absolut")
    with pytest.raises(ValueError, match="direction must have shape"):
        motif(step, w, direction=[1.0, 2.0])
    with pytest.raises(ValueError, match="permutations must lie in 19"):
        motif(step, w, permutations=3)
    with pytest.raises(ValueError, match="cannot be traced"):
        jax.jit(lambda w: motif(step, w).value)(jnp.asarray(w))
    for lost in (motif(step, np.where(w > 0, np.nan, w)), motif(lambda h, x: h * np.nan, w)):
        assert np.all(np.isnan(lost.value))
        assert Status.NOT_FINITE in lost.statuses


@pytest.mark.slow
def test_a_thousand_units(x64):
    step, w = line(1.0, np.random.default_rng(0).permutation(1000))
    found = motif(step, w, steps=1000, permutations=199)
    assert float(found.value[50 + 1]) == pytest.approx(1)
    assert float(found.details["p_value"]) == pytest.approx(1 / 200)


# Training brings it about: orthogonal networks on the addition task.

SEEDS, UNITS, LENGTH, UPDATES = 9, 50, 24, 2500


class Adder(eqx.Module):
    cell: AbstractCell
    readout: jax.Array

    def __call__(self, xs):
        def advance(state, x):
            return self.cell.step(state, x), None

        state, _ = jax.lax.scan(advance, self.cell.initial_state(), xs)
        return self.readout @ self.cell.read(state)


def batch(key, size):
    values_key, first_key, second_key = jr.split(key, 3)
    half = LENGTH // 2
    values = jr.uniform(values_key, (size, LENGTH))
    first = jax.nn.one_hot(jr.randint(first_key, (size,), 0, half), LENGTH)
    second = jax.nn.one_hot(jr.randint(second_key, (size,), half, LENGTH), LENGTH)
    marks = first + second
    return jnp.stack([marks, values], axis=2), jnp.sum(marks * values, axis=1)


@eqx.filter_jit
def train(key):
    build_key, readout_key, data_key = jr.split(key, 3)
    cell = Elman(
        2,
        UNITS,
        recurrent=init.orthogonal(1.0),
        input=init.normal(0.9 / UNITS**0.5),
        bias=init.zeros(),
        activation="relu",
        key=build_key,
    )
    model = Adder(cell, jr.normal(readout_key, (UNITS,)) / UNITS**0.5)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)

    def loss(arrays, xs, targets):
        outputs = jax.vmap(eqx.combine(arrays, rest))(xs)
        return jnp.mean((outputs - targets) ** 2)

    def update(carry, key):
        arrays, state = carry
        value, gradient = jax.value_and_grad(loss)(arrays, *batch(key, 16))
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(arrays, updates), state), value

    (arrays, _), losses = jax.lax.scan(
        update, (arrays, optimiser.init(arrays)), jr.split(data_key, UPDATES)
    )
    return cell.recurrent, eqx.combine(arrays, rest).cell, jnp.mean(losses[-100:])


@pytest.mark.slow
def test_training_brings_about_non_normality_and_a_chain():
    """Orthogonal at the start, departure 0; above 1 in every network that learned, chains form."""
    with jax.numpy_dtype_promotion("standard"):  # optax mixes counters with floats
        before, cells, losses = eqx.filter_jit(eqx.filter_vmap(train))(jr.split(jr.key(0), SEEDS))
    np.testing.assert_allclose(henrici_departure(before).value, 0, atol=1e-3)
    departures, forward, at_start = [], 0, 0
    for i in range(SEEDS):
        if losses[i] > 0.5 / 6:  # half of what knowing nothing costs
            continue
        arrays, rest = eqx.partition(cells, eqx.is_array)
        cell = eqx.combine(jax.tree.map(operator.itemgetter(i), arrays), rest)
        departures.append(float(henrici_departure(cell).value))
        untrained = eqx.tree_at(lambda c: c.recurrent, cell, before[i])
        asymmetries = [
            float(chain_motif(one, key=jr.key(i), permutations=19).details["asymmetry"])
            for one in (cell, untrained)
        ]
        forward, at_start = forward + (asymmetries[0] > 0), at_start + (asymmetries[1] > 0)
    assert len(departures) >= 8
    assert min(departures) > 1

    def significant(count):
        return scipy.stats.binomtest(count, len(departures), alternative="greater").pvalue < 0.05

    assert significant(forward)
    assert not significant(at_start)  # the order that peaks come in favours forward weights
    assert not significant(len(departures) - forward)  # W transposed


@pytest.mark.parametrize("unit", [1e-170, 1e170])
def test_errors_of_weights_in_any_unit(x64, unit):
    step, w = line()
    w = w + 0.01 * np.random.default_rng(0).normal(size=w.shape)
    found, same = motif(step, unit * w), motif(step, w)
    for name in ("band_low", "band_high", "asymmetry"):
        np.testing.assert_allclose(found.details[name] / unit, same.details[name], rtol=1e-12)
    np.testing.assert_allclose(found.standard_error / unit, same.standard_error, rtol=1e-12)
    assert float(found.details["p_value"]) == float(same.details["p_value"])


def test_p_value_of_a_wave_that_runs_against_its_weight(x64):
    """Two units, one weight: the true order has the least asymmetry that there is."""

    def step(h, x):
        return jnp.concatenate([jnp.atleast_1d(jnp.sum(x)), h[:1]])

    found = motif(step, np.array([[0.0, 1.0], [0.0, 0.0]]))
    assert float(found.details["asymmetry"]) == -1
    assert float(found.details["p_value"]) == 1
