"""The whole of a checkup against networks whose memory is known."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic import cells, init
from echoic.diagnosis import select
from echoic.diagnosis.checkup import refuse_what_is_no_cell
from echoic.diagnosis.compare import built_in, refuse_other_than_cells

WHITE = np.random.default_rng(0).normal(size=12_000)
COLOURED = np.convolve(WHITE, np.ones(10) / 10, "valid")
SMOOTH = COLOURED[None, :, None]
OPTIONS = {"key": jr.key(0), "max_lag": 40, "advise": False}


def line(units=16, **changes):
    chosen = {
        "activation": "identity",
        "recurrent": init.chain(1.0),
        "input": init.source(1.0),
        "bias": init.zeros(),
        **changes,
    }
    return cells.Elman(1, units, key=jr.key(1), **chosen)


@pytest.fixture(scope="module")
def delay_line():
    return echoic.checkup(line(), WHITE, horizon=10, **OPTIONS).networks[0]


def test_a_delay_line_remembers_as_many_steps_as_it_has_units(delay_line):
    assert delay_line.curve("linear_recall").horizon.last == 15
    np.testing.assert_allclose(delay_line.curve("linear_recall").value[:16], 1.0, atol=1e-2)
    lags = np.arange(41)
    expected = np.sqrt(np.maximum(16 - lags, 0) / 16)
    np.testing.assert_allclose(delay_line.curve("gradient_reach").value, expected, atol=1e-9)
    assert delay_line.recall_sum == pytest.approx(15, abs=0.1)
    assert delay_line.recall_per_unit == pytest.approx(15 / 16, abs=0.01)


def test_its_predictions_are_its_measurements(delay_line):
    for quantity in ("gradient_reach", "fisher_memory"):
        measured, predicted = (delay_line.curve(quantity, o) for o in ("measured", "predicted"))
        np.testing.assert_allclose(measured.value, predicted.value, rtol=1e-6, atol=1e-12)


def test_exponents_mislead_and_the_regime_does_not(delay_line):
    assert np.isneginf(delay_line.spectrum.exponents).all()
    assert delay_line.lyapunov_times_horizon == "-inf"
    assert delay_line.regime == "edge"
    assert delay_line.verdict.startswith("Remembers: after 10 steps 61 % of the gradient and all")
    singular = "Lyapunov exponents: The Jacobians are singular: some exponents are -inf."
    assert singular in delay_line.warnings


def test_the_noise_gain_of_a_delay_line_is_the_mean_number_of_units_behind(delay_line):
    assert delay_line.noise_gain == pytest.approx(np.mean(np.arange(1, 17)), rel=1e-9)
    assert delay_line.noise_gain_kind == "stationary"


@pytest.mark.slow
def test_a_network_without_memory_has_none_although_the_input_foretells_itself():
    forgetful = line(activation="tanh", recurrent=init.zeros(), input=init.normal(0.5))
    found = echoic.checkup(forgetful, COLOURED, horizon=5, **OPTIONS).networks[0]
    assert found.regime == "fading"
    probe = found.curve("linear_recall")
    assert (np.abs(probe.value[1:]) < 0.02).all()
    raw, memoryless = found.curve("raw_recall"), found.curve("memoryless_recall", "reference")
    assert raw.value[3] > 0.3  # what a careless measure would call memory
    np.testing.assert_allclose(raw.value, memoryless.value, atol=0.02)


@pytest.mark.slow
def test_an_expanding_network_is_rugged():
    wild = cells.Elman(1, 16, recurrent=init.gaussian(3.0), input=init.normal(0.1), key=jr.key(3))
    found = echoic.checkup(wild, COLOURED, horizon=40, **OPTIONS).networks[0]
    assert found.spectrum.exponents[0] > 0
    assert found.regime == "rugged"
    assert found.verdict.startswith("Rugged: over 40 steps")


@pytest.mark.slow
def test_a_bare_function_has_a_checkup():
    def step(h, x):
        return jnp.array([0.9, 0.5]) * h + x

    found = echoic.checkup(step, COLOURED, state=jnp.zeros(2), horizon=5, **OPTIONS).networks[0]
    np.testing.assert_allclose(found.spectrum.exponents, np.log([0.9, 0.5]), atol=1e-9)


@pytest.mark.slow
def test_weights_that_are_not_numbers_give_no_verdict_and_no_invented_number():
    cell = line(activation="tanh")
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan if hasattr(leaf, "shape") else leaf, cell)
    found = echoic.checkup(broken, COLOURED, horizon=5, **OPTIONS).networks[0]
    assert found.regime is None
    assert found.verdict.startswith("No verdict")
    assert found.curve("gradient_reach").horizon is None
    assert found.curve("linear_recall").horizon is None
    assert "288 values that are NaN" in found.warnings[0]  # 16 x 16, 16 of input, 16 of bias
    assert np.isnan(found.curve("gradient_reach").value[1:]).all()
    assert np.isnan(found.curve("linear_recall").value).all()
    assert np.isnan(found.spectrum.exponents).all()


@pytest.mark.slow
def test_a_network_that_misses_the_horizon_gets_prescriptions_and_its_place_on_the_map():
    lstm = cells.LSTM(1, 8, key=jr.key(0))
    report = echoic.checkup(lstm, COLOURED, horizon=20, key=jr.key(0), max_lag=40, name="mine")
    names = {network.name for network in report.networks}
    assert "mine" in names
    assert any(name.startswith("LSTM, c") for name in names)
    assert len(names) <= 3
    for network in report.networks:
        assert bool(network.snippets) == (network.name != "mine")
        assert (network.phase_map is not None) == (network.name == "mine")
    (place,) = (n.phase_map for n in report.networks if n.name == "mine")
    assert place.there_name in names
    assert place.there[1] > place.here[1] + 1  # a larger forget bias


@pytest.mark.slow
def test_a_network_that_no_theory_covers_is_told_so():
    report = echoic.checkup(
        lambda h, x: 0.99 * h + x[0],
        COLOURED,
        state=jax.numpy.zeros(1),
        horizon=20,
        key=jr.key(0),
        max_lag=40,
    )
    mine = report.networks[0]
    assert mine.phase_map is None
    assert "No phase diagram: no theory applies" in mine.warnings[-1]


@pytest.mark.slow
def test_the_same_key_gives_the_same_report_whoever_else_is_compared():
    def curve(*names):
        report = echoic.compare(
            select(names), COLOURED, horizon=5, hidden_size=6, max_lag=40, key=jr.key(4)
        )
        (found,) = (n for n in report.networks if n.name == "GRU, chrono")
        return found.curve("gradient_reach").value

    np.testing.assert_array_equal(curve("gru"), curve("minimal_rnn", "gru"))


@pytest.mark.parametrize(
    ("step", "state", "message"),
    [
        (lambda h, x: h[:2], jnp.zeros(3), r"takes shape \(3,\) and returns \(2,\)"),
        (lambda h, x: (h, h), jnp.zeros(3), r"takes shape \(3,\) and returns \(\(3,\), \(3,\)\)"),
        (lambda h, x: h + jnp.zeros(4), jnp.zeros(3), r"fails for a state of shape \(3,\)"),
        (lambda h, x: h, jnp.zeros(3, int), "floating-point"),
        (lambda h, x: h, None, "needs its initial state"),
        (cells.GRU, None, "cell is the class GRU"),
    ],
)
def test_what_is_no_cell_is_told_why(step, state, message):
    with pytest.raises(ValueError, match=message):
        echoic.checkup(step, WHITE, state=state, horizon=5, key=jr.key(0))


def deep(units=4):
    """Two lines of delay, the second fed by the end of the first."""
    last_unit = lambda key, shape, dtype: jnp.zeros(shape, dtype).at[0, -1].set(1)  # noqa: E731
    options = {"activation": "identity", "recurrent": init.chain(1.0), "bias": init.zeros()}
    second = cells.Elman(units, units, input=last_unit, key=jr.key(1), **options)
    return echoic.Network([line(units), second])


def jobs_of(network, inputs, monkeypatch):
    """The jobs of a checkup that stops before anything is measured."""
    from echoic.diagnosis import checkup

    class Stop(Exception):
        pass

    def assemble(jobs, *signal_and_plan, **options):
        raise Stop(jobs)

    monkeypatch.setattr(checkup, "assemble", assemble)
    with pytest.raises(Stop) as stopped:
        echoic.checkup(network, inputs, horizon=5, key=jr.key(0), name="mine", scale=None)
    return stopped.value.args[0]


def test_a_stack_is_measured_whole_and_layer_by_layer(monkeypatch):
    network = deep()
    whole, first, second = jobs_of(network, WHITE[:500], monkeypatch)
    assert [job.name for job in (whole, first, second)] == [
        "mine",
        "mine, layer 0",
        "mine, layer 1",
    ]
    assert whole.cell is network
    assert (first.cell, second.cell) == network.cells
    assert "Its layers stand beside it" in whole.note
    np.testing.assert_allclose(first.values[0, :, 0], WHITE[:500])
    # The second layer sees the first one's units: the input up to three steps ago.
    delayed = np.stack([np.concatenate([np.zeros(k), WHITE[: 500 - k]]) for k in range(4)], axis=1)
    np.testing.assert_allclose(second.values[0], delayed, atol=1e-12)


def test_behind_an_embedding_text_is_what_the_network_takes(monkeypatch):
    letters = np.random.default_rng(1).integers(0, 5, 500)
    embedding = cells.Embedding(5, 1, weight=lambda *_: jnp.arange(5.0)[:, None], key=jr.key(0))
    network = echoic.Network(deep().cells, embedding=embedding)
    whole, first, _ = jobs_of(network, np.eye(5)[letters], monkeypatch)
    assert whole.cell is network
    assert whole.values is None  # the signal itself
    np.testing.assert_array_equal(first.values[0, :, 0], letters)
    (alone,) = jobs_of(
        echoic.Network(line(4), embedding=embedding), np.eye(5)[letters], monkeypatch
    )
    assert alone.note == ""
    with pytest.raises(ValueError, match=r"takes 5 input channel\(s\), the data has 1"):
        echoic.checkup(network, WHITE, horizon=5, key=jr.key(0))


@pytest.mark.slow
def test_layers_add_up_to_the_whole():
    """Delays add up, and the exponents of the whole are those of the layers together."""
    found = echoic.checkup(deep(), WHITE, horizon=3, name="mine", **OPTIONS)
    by_name = {network.name: network for network in found.networks}
    reach = {name: n.curve("linear_recall").horizon.last for name, n in by_name.items()}
    assert reach["mine, layer 0"] == 3
    assert reach["mine"] == 6  # the second layer's units hold lags 3 to 6
    heard = by_name["mine"].curve("linear_recall").value
    np.testing.assert_allclose(heard[:8], [0, 0, 0, 1, 1, 1, 1, 0], atol=0.02)
    k = jr.split(jr.key(2))
    network = echoic.Network([cells.Elman(1, 6, key=k[0]), cells.Elman(6, 6, key=k[1])])
    found = echoic.checkup(network, COLOURED, horizon=3, name="mine", **OPTIONS)
    by_name = {n.name: n.spectrum.exponents for n in found.networks}
    parts = np.concatenate([by_name["mine, layer 0"], by_name["mine, layer 1"]])
    np.testing.assert_allclose(by_name["mine"], np.sort(parts)[::-1], atol=0.02)


@pytest.mark.parametrize(
    ("values", "white"), [(None, True), (WHITE[None, ::-1, None], True), (SMOOTH, False)]
)
def test_what_a_layer_sees_decides_whether_it_is_white(monkeypatch, values, white):
    """On white input the raw recall stands for that of a probe, which no smooth layer allows."""
    from echoic.diagnosis import assemble

    class Seen(Exception):
        pass

    def examine(name, cell, values, plan, **options):
        raise Seen(plan.white_input)

    monkeypatch.setattr(assemble, "examine", examine)
    options = dict.fromkeys(("scale", "max_lag", "thresholds"))
    signal, plan = assemble.prepared(WHITE, horizon=5, thorough=False, **options)
    job = assemble.Job("mine", line(4), values=values)
    with pytest.raises(Seen) as stopped:
        assemble._examine(job, signal, plan, jr.key(0), assemble.Progress())
    assert stopped.value.args == (white,)


def test_weights_of_pytorch_are_told_the_way_in():
    with pytest.raises(ValueError, match=r"echoic\.load"):
        refuse_what_is_no_cell({"weight_hh_l0": 1})


@pytest.mark.parametrize("given", [[line()], line(), "gru"])
def test_networks_without_a_name_cannot_be_compared(given):
    with pytest.raises(ValueError, match="must be a dict of cells by name"):
        list(built_in(given))


def test_a_step_function_cannot_be_compared():
    with pytest.raises(ValueError, match="'mine' must be a cell, got a function"):
        refuse_other_than_cells("mine", lambda h, x: h)


def test_networks_that_no_memory_holds():
    with pytest.raises(MemoryError, match="1,000,000 units"):
        echoic.compare(None, WHITE, horizon=5, hidden_size=1_000_000, key=jr.key(0))


@pytest.mark.slow
@pytest.mark.parametrize(("length", "horizon"), [(60, 20), (2_000, 1_900)])
def test_a_short_series_is_measured_up_to_the_lag_that_it_allows(length, horizon):
    report = echoic.checkup(
        line(4), COLOURED[:length], horizon=horizon, key=jr.key(0), advise=False
    )
    assert report.record.max_lag == horizon + (length - horizon) // 2
    assert report.networks[0].curve("gradient_reach").horizon.last == 3


@pytest.mark.slow
def test_a_short_series_does_not_recall_by_chance():
    # A readout of 32 units that is fitted to fewer samples than units recalls anything.
    gru = cells.GRU(1, 32, bias=init.chrono(20), key=jr.key(0))
    report = echoic.checkup(gru, np.cumsum(WHITE[:100]), horizon=20, key=jr.key(0), advise=False)
    (found,) = report.networks
    assert found.curve("linear_recall") is None
    assert any("Recall was left out" in text for text in found.warnings)
    assert "what is left of the signal is not known" in found.verdict
    assert "signal for" not in report.verdict
    assert "Recall was left out" in str(report)
    assert report._repr_html_()


def test_too_short_a_series_is_refused_before_any_work():
    with pytest.raises(ValueError, match="22 steps are too short for a horizon of 20"):
        echoic.checkup(line(4), COLOURED[:22], horizon=20, key=jr.key(0))


def test_nothing_to_compare():
    with pytest.raises(ValueError, match="candidates is empty"):
        echoic.compare({}, WHITE, horizon=5, key=jr.key(0))


def test_the_largest_lag_lies_between_the_horizon_and_the_end():
    with pytest.raises(ValueError, match=r"max_lag must lie in 5\.\., got 4"):
        echoic.checkup(line(), WHITE, horizon=5, max_lag=4, key=jr.key(0))
    with pytest.raises(ValueError, match="smaller than the 100 steps"):
        echoic.checkup(line(), WHITE[:100], horizon=5, max_lag=100, key=jr.key(0))


def test_a_drift_that_does_not_matter_at_the_horizon_is_no_warning():
    from echoic.core.estimate import Estimate, Status
    from echoic.diagnosis.record import _doubts

    flags = Status.NOT_CONVERGED | Status.SINGULAR
    history = np.repeat([-0.010, -0.011], 10)[:, None]
    spectrum = Estimate(jnp.zeros(1), status=flags, details={"history": jnp.asarray(history)})
    assert _doubts(spectrum, 50) == Status.SINGULAR
    assert _doubts(spectrum, 200) == flags
