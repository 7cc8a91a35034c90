import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from echoic import Network, Status, UntrustedError, cells
from echoic.core.cell import without_law
from echoic.core.horizon import demand_horizon
from echoic.core.task import Batch
from echoic.measure.demand import ablation
from echoic.measure.demand.ablation import context_ablation

BACK, SYMBOLS, ROWS, LENGTH, LAGS = 3, 5, 40, 12, 6
CERTAIN = 20.0
KEY = jr.key(7)


def delay_line(channels, gain):
    """A network that answers at every step with its input of BACK steps before, by hand."""
    size = channels * (BACK + 1)

    def build(key):
        cell = cells.Elman(channels, size, activation="identity", key=key)
        return Network(cell, cells.Readout(size, channels, key=key))

    skeleton = without_law(eqx.filter_eval_shape(build, key=KEY))
    entry, exit_ = np.eye(size, channels), gain * np.eye(channels, size, size - channels)
    values = (np.eye(size, k=-channels), entry, np.zeros(size), exit_, np.zeros(channels))
    return eqx.tree_at(
        lambda n: (
            n.cells[0].recurrent, n.cells[0].input, n.cells[0].bias,
            n.readout.weight, n.readout.bias,
        ),
        skeleton,
        tuple(map(jnp.asarray, values)),
    )  # fmt: skip


def n_back():
    symbols = np.random.default_rng(0).integers(0, SYMBOLS, (ROWS, LENGTH))
    targets = np.roll(symbols, BACK, axis=1)
    return Batch(jnp.asarray(symbols, jnp.int32), jnp.asarray(targets, jnp.int32))


@pytest.fixture(scope="module")
def perfect():
    with jax.enable_x64(True):
        network, batch = delay_line(SYMBOLS, CERTAIN), n_back()
        options = {"lags": LAGS, "key": KEY}
        return {
            mode: context_ablation(network, batch, "cross_entropy", mode=mode, **options)
            for mode in ("one", "from")
        }


def test_a_perfect_memory_of_one_lag_misses_that_lag_alone(perfect):
    rise, error = (np.asarray(a) for a in (perfect["one"].value, perfect["one"].standard_error))
    assert np.flatnonzero(rise).tolist() == [BACK]
    assert np.flatnonzero(error).tolist() == [BACK]
    assert int(perfect["one"].details["horizon"]) == BACK
    # Another sample has the same symbol once in so many cases; a wrong one costs the whole gain.
    expected = CERTAIN * (1 - 1 / SYMBOLS)
    assert abs(rise[BACK] - expected) < 4 * error[BACK]
    # All six targets of a sequence meet the same few others.
    chance = np.sqrt((1 - 1 / SYMBOLS) / SYMBOLS / ROWS / (LENGTH - LAGS)) * CERTAIN
    assert error[BACK] == pytest.approx(chance, rel=0.4)
    assert float(perfect["one"].details["loss"]) < 1e-7


def test_all_context_from_a_lag_on(perfect):
    rise = np.asarray(perfect["from"].value)
    assert np.allclose(rise[: BACK + 1], CERTAIN * (1 - 1 / SYMBOLS), rtol=0.1)
    assert rise[BACK] == float(perfect["one"].value[BACK])
    assert np.all(rise[BACK + 1 :] == 0)
    assert int(perfect["from"].details["horizon"]) == BACK


def test_a_solver_is_as_good_as_a_network(perfect, x64):
    def solve(symbols):
        return CERTAIN * jax.nn.one_hot(jnp.roll(symbols, BACK, axis=1), SYMBOLS)

    found = context_ablation(solve, n_back(), "cross_entropy", lags=LAGS, key=KEY)
    assert np.allclose(found.value, perfect["one"].value, rtol=1e-10)
    wanted = [0, BACK, LAGS]
    few = context_ablation(solve, n_back(), "cross_entropy", lags=wanted, key=KEY)
    assert few.details["lag"].tolist() == wanted
    assert np.array_equal(few.value, found.value[jnp.asarray(wanted)])


@pytest.mark.slow
def test_numbers_and_squared_error(x64):
    rng = np.random.default_rng(1)
    inputs = jnp.asarray(rng.normal(0, 2, (ROWS, LENGTH, 1)))
    batch = Batch(inputs, jnp.roll(inputs, BACK, axis=1))
    network = delay_line(1, 1.0)
    found = context_ablation(network, batch, "mean_squared_error", lags=LAGS, key=KEY)
    rise, error = np.asarray(found.value), np.asarray(found.standard_error)
    assert np.flatnonzero(np.abs(rise) > 1e-12).tolist() == [BACK]
    # The difference of two draws of variance 4 has the mean square 8.
    assert abs(rise[BACK] - 8) < 4 * error[BACK]
    last = Batch(inputs, batch.targets[:, -1])
    at_end = context_ablation(network, last, "mean_squared_error", lags=LAGS, key=KEY)
    assert np.flatnonzero(np.abs(np.asarray(at_end.value)) > 1e-12).tolist() == [BACK]


def lstm():
    def build(key):
        return Network(cells.LSTM(2, 3, key=key), cells.Readout(3, 4, key=key))

    rng = np.random.default_rng(2)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, 0.8, leaf.shape)),
        without_law(eqx.filter_eval_shape(build, key=KEY)),
    )


def numbers(rows=6):
    rng = np.random.default_rng(3)
    inputs = jnp.asarray(rng.normal(size=(rows, LENGTH, 2)))
    return Batch(inputs, jnp.asarray(rng.integers(0, 4, (rows, LENGTH)), jnp.int32))


def around(ring, turn):
    """Another sample, by hand: so many rows further down."""
    return np.roll(np.arange(len(ring)), -1 - turn)


@pytest.mark.parametrize("mode", ["one", "from"])
def test_against_one_replacement_at_a_time(x64, mode, monkeypatch):
    monkeypatch.setattr(ablation, "_others", around)
    rows, lags = 16, [0, 1, 5]
    network, batch = lstm(), numbers(rows)
    weights = np.zeros((rows, LENGTH))
    weights[:, 9:] = np.random.default_rng(5).integers(0, 3, (rows, 3))
    places = [4, 5, 6, 8, 9, 10, 11]  # what lies the lags before the three targets
    found = context_ablation(
        network, batch._replace(weights=jnp.asarray(weights)), "cross_entropy", lags=lags,
        mode=mode, key=KEY,
    )  # fmt: skip
    assert found.settings["positions"] == len(places)

    def losses(xs):
        logits = network.predict(network.run(jnp.asarray(xs)).trajectory)
        chances = np.asarray(jax.nn.log_softmax(logits))
        return -np.take_along_axis(chances, np.asarray(batch.targets)[..., None], 2)[..., 0]

    xs, intact = np.asarray(batch.inputs), losses(batch.inputs)
    loss = (weights * intact).sum() / weights.sum()
    assert float(found.details["loss"]) == pytest.approx(loss, rel=1e-10)
    for i, lag in enumerate(lags):
        asked, taken, rise, weight = [], [], [], []
        for turn, place in enumerate(places):
            changed, where = xs.copy(), slice(0 if mode == "from" else place, place + 1)
            others = around(np.arange(rows), turn)
            changed[:, where] = xs[others][:, where]
            if 9 <= place + lag < LENGTH:
                asked += range(rows)
                taken += others.tolist()
                rise += (losses(changed) - intact)[:, place + lag].tolist()
                weight += weights[:, place + lag].tolist()
        weight, value = np.array(weight), np.average(rise, weights=weight)
        assert float(found.value[i]) == pytest.approx(value, rel=1e-10)
        apart = weight * (np.array(rise) - value)
        both = np.stack([asked, taken], axis=1)
        shares = (both[:, None, :, None] == both[None, :, None, :]).any((2, 3))
        variance = max(apart @ shares @ apart, sum(
            apart[np.array(asked) == row].sum() ** 2 for row in range(rows)
        ))  # fmt: skip
        error = np.sqrt(variance * rows / (rows - 1)) / weight.sum()
        assert float(found.standard_error[i]) == pytest.approx(error, rel=1e-10)


@pytest.mark.slow
def test_the_error_is_what_fresh_batches_scatter_by(x64):
    """A squared difference is as much that of the sequence taken as of the one asked."""
    rng = np.random.default_rng(8)
    found = []
    for seed in range(60):
        inputs = jnp.asarray(rng.normal(0, 2, (ROWS, LENGTH, 1)))
        batch = Batch(inputs, jnp.roll(inputs, 1, axis=1))
        found.append(
            context_ablation(
                back_by_one, batch, "mean_squared_error", lags=[1], positions=3, key=jr.key(seed)
            )
        )
    value = np.array([float(one.value[0]) for one in found])
    error = np.array([float(one.standard_error[0]) for one in found])
    true = np.std(value, ddof=1)
    # 60 batches know their scatter to a tenth. Over those asked alone it would be 0.82 of it.
    assert true * 0.85 < error.mean() < true * 1.3
    assert abs(value.mean() - 8) < 4 * true / np.sqrt(60)


def back_by_one(xs):
    return jnp.roll(xs, 1, axis=1)


def test_few_positions_serve_every_lag_and_err_by_chance_alone(x64):
    network, batch = lstm(), numbers(ROWS)
    whole = context_ablation(network, batch, "cross_entropy", lags=[0, 2, 5], key=KEY)
    assert whole.settings["positions"] == LENGTH
    few = context_ablation(network, batch, "cross_entropy", lags=[0, 2, 5], positions=2, key=KEY)
    assert 2 <= few.settings["positions"] <= 4
    apart = np.asarray(few.value - whole.value)
    assert np.all(np.abs(apart) < 4 * np.asarray(few.standard_error))
    assert np.all(few.standard_error > whole.standard_error)


def test_the_error_is_that_of_paired_differences(x64):
    rng = np.random.default_rng(4)
    inputs = jnp.asarray(rng.normal(size=(ROWS, LENGTH, 1)))
    noise = jnp.asarray(rng.normal(0, 3, (ROWS, LENGTH, 1)))

    def hears_a_little(xs):
        return 0.1 * jnp.roll(xs, 1, axis=1)

    batch = Batch(inputs, 0.1 * jnp.roll(inputs, 1, axis=1) + noise)
    found = context_ablation(hears_a_little, batch, "mean_squared_error", lags=2, key=KEY)
    # Losses scatter by 9 sqrt(2) from target to target: unpaired, nothing would be seen.
    unpaired = np.sqrt(2) * 9 * np.sqrt(2) / np.sqrt((LENGTH - 2) * ROWS)
    assert float(found.standard_error[1]) < unpaired / 5
    assert found.value[0] == found.value[2] == 0


def test_another_sample_is_never_ones_own(monkeypatch, x64):
    for rows in (2, 3, 7):
        ring = np.random.default_rng(rows).permutation(rows)
        for turn in range(9):
            others = ablation._others(ring, turn)
            assert sorted(others) == list(range(rows))
            assert not np.any(others == np.arange(rows))
            if rows > 2:
                assert not np.any(others[others] == np.arange(rows))
    monkeypatch.setattr(ablation, "_others", lambda ring, turn: np.arange(len(ring)))
    blind = context_ablation(lstm(), numbers(), "cross_entropy", lags=[0, 2, 5], key=KEY)
    assert not np.any(np.asarray(blind.value))
    assert Status.BELOW_NOISE in blind.statuses
    assert int(blind.details["horizon"]) == -1


@pytest.mark.slow
def test_a_memoryless_function_needs_nothing_but_the_present(x64):
    batch = numbers(ROWS)
    found = context_ablation(
        lambda xs: jnp.concatenate([xs, -xs], axis=2), batch, "cross_entropy", lags=4, key=KEY
    )
    assert found.value[0] != 0
    assert not np.any(np.asarray(found.value[1:]))


def test_wrong_calls_are_refused(x64):
    network, batch, options = lstm(), numbers(), {"lags": 3, "key": KEY}
    with pytest.raises(ValueError, match="two sequences or more"):
        context_ablation(network, numbers(1), "cross_entropy", **options)
    with pytest.raises(ValueError, match=r"unknown mode 'form'\. Did you mean 'from'"):
        context_ablation(network, batch, "cross_entropy", mode="form", **options)
    with pytest.raises(ValueError, match="share must lie between 0 and 1"):
        context_ablation(network, batch, "cross_entropy", share=5.0, **options)
    with pytest.raises(ValueError, match="lags must ascend"):
        context_ablation(network, batch, "cross_entropy", lags=[3, 2], key=KEY)
    with pytest.raises(ValueError, match="lags must be whole numbers"):
        context_ablation(network, batch, "cross_entropy", lags=np.array([0.5]), key=KEY)
    with pytest.raises(ValueError, match="no target has 12 steps before it"):
        context_ablation(network, batch, "cross_entropy", lags=LENGTH, key=KEY)
    with pytest.raises(ValueError, match="takes no state"):
        context_ablation(lambda xs: xs, batch, "cross_entropy", state=jnp.zeros((6, 1)), **options)
    flat = batch._replace(inputs=batch.inputs[..., 0])
    with pytest.raises(ValueError, match="inputs must be numbers"):
        context_ablation(network, flat, "cross_entropy", **options)
    broken = batch._replace(inputs=batch.inputs.at[0, 3].set(jnp.nan))
    with pytest.raises(UntrustedError, match="left the finite numbers"):
        context_ablation(lambda xs: xs, broken, "cross_entropy", **options)


@pytest.mark.parametrize(
    ("value", "error", "last"),
    [
        ([0, 0, 1, 0, 0.02], [0, 0, 0, 0, 0], 4),
        ([0, 0, 1, 0, 0.008], [0, 0, 0, 0, 0], 2),
        ([0, 0, 1, 0, 0.02], [0, 0, 0, 0, 0.007], 2),
        ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0], -1),
        ([0, 0, 1, 0, 0], [0, 0, 0.6, 0, 0], -1),
        ([-1, -2, -1, -1, -3], [0, 0, 0, 0, 0], -1),
    ],
)
def test_the_horizon_of_a_demand(value, error, last):
    lags = np.array([0, 1, 2, 3, 4]) * 10
    horizon = demand_horizon(lags, np.array(value, float), np.array(error, float))
    assert horizon.last == (10 * last if last > 0 else last)
    assert horizon.censored == (last == 4)


def test_a_rise_that_is_small_beside_the_loss_is_no_demand():
    value = np.array([0.0, 0.001, 0.0])
    assert demand_horizon(np.arange(3), value, np.zeros(3)).last == 1
    assert demand_horizon(np.arange(3), value, np.zeros(3), loss=2.0).last == -1


def test_the_horizon_of_a_demand_that_is_not_known():
    assert demand_horizon(np.arange(2), np.array([1.0, np.nan]), np.zeros(2)) is None
