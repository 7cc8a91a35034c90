"""Delay lines, rotations, gated units, readouts that see nothing, driven networks by hand."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import echoic
from echoic import cells, init
from echoic.core.estimate import Status, UntrustedError

pytestmark = pytest.mark.usefixtures("x64")
KEY = jr.key(4)
N = 6


def delay_line(h, x):
    return jnp.concatenate([x, h[:-1]])


def test_what_a_delay_line_carries():
    """After k steps the first n - k units have become the last n - k, and no unit is slow."""
    lag = 2
    found = echoic.slow_subspace(
        delay_line, np.zeros(130), state=jnp.zeros(N), lag=lag, burn_in=100, starts=2, key=KEY
    )
    assert found.value == pytest.approx(np.repeat([1.0, 0.0], [N - lag, lag]), abs=1e-12)
    assert found.details["participation"] == pytest.approx(N - lag)
    assert found.details["share"] == pytest.approx(np.minimum(np.arange(1, N + 1) / (N - lag), 1))

    def projector(name):
        vectors = np.asarray(found.details[name])[:, : N - lag]
        return np.diag(vectors @ vectors.T)

    first = np.repeat([1.0, 0.0], [N - lag, lag])
    assert projector("directions") == pytest.approx(first, abs=1e-12)
    assert projector("arrivals") == pytest.approx(first[::-1], abs=1e-12)
    assert found.details["unit_share"] == pytest.approx(first / (N - lag), abs=1e-12)


@pytest.mark.slow
def test_no_unit_of_a_delay_line_is_slow_and_no_mode():
    units = echoic.unit_time_constants(
        delay_line, np.zeros(130), state=jnp.zeros(N), max_lag=20, starts=2, key=KEY
    )
    assert units.value == pytest.approx(np.zeros(N), abs=1e-12)
    long = echoic.mode_time_constants(lambda h, _: jnp.roll(h, 1).at[0].set(0), point=jnp.zeros(60))
    assert long.value == pytest.approx(np.zeros(60))
    # A dense solver finds others, whose vectors are none of this line.
    assert np.abs(np.linalg.eigvals(np.eye(60, k=-1) + 1e-18)).max() > 0.3


def test_a_rotation_has_a_period_and_a_time_constant():
    turn = 0.9 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    found = echoic.mode_time_constants(lambda h, _: turn @ h, point=jnp.zeros(2))
    assert found.value == pytest.approx(np.full(2, -1 / np.log(0.9)))
    assert found.details["period"] == pytest.approx(np.full(2, 2 * np.pi / 0.3))
    assert found.details["unit_share"] == pytest.approx(np.full((2, 2), 0.5))


def test_modes_whose_moduli_tie_keep_their_units():
    """a in one pair of units, -a in another: two solvers do not list them in the same order."""
    right, shear = np.array([[1.0, 1.0], [1.0, -2.0]]), np.array([[1.0, 4.0], [0.0, 1.0]])
    first = right @ np.diag([0.5, -0.3]) @ np.linalg.inv(right)
    second = shear @ -first @ np.linalg.inv(shear)
    nothing = np.zeros((2, 2))
    shares = {0.5: [1 / 2, 1 / 2, 0, 0], -0.3: [1 / 5, 4 / 5, 0, 0]}
    shares |= {-0.5: [0, 0, 25 / 26, 1 / 26], 0.3: [0, 0, 49 / 53, 4 / 53]}
    matrix = np.block([[first, nothing], [nothing, second]])
    for turn in range(4):
        shuffle = np.roll(np.arange(4), turn)
        shuffled = jnp.asarray(matrix[np.ix_(shuffle, shuffle)])
        found = echoic.mode_time_constants(lambda h, _, w=shuffled: w @ h, point=jnp.zeros(4))
        expected = [shares[round(float(mu.real), 1)] for mu in found.details["eigenvalues"]]
        assert found.details["unit_share"] == pytest.approx(np.array(expected).T[shuffle])


@pytest.mark.parametrize("unit", [1e-200, 1e-140, 1e140, 1e200])
def test_modes_in_any_unit(unit):
    """Eigenvectors (1, 1) and (1, -2), beside a unit of its own."""
    right = np.array([[1.0, 1.0], [1.0, -2.0]])
    pair = right @ np.diag([0.5, -0.3]) @ np.linalg.inv(right)
    matrix = unit * np.block([[pair, np.zeros((2, 1))], [np.zeros((1, 2)), 0.1 * np.ones((1, 1))]])
    found = echoic.mode_time_constants(lambda h, _: jnp.asarray(matrix) @ h, point=jnp.zeros(3))
    expected = np.array([0.5, -0.3, 0.1])
    assert np.asarray(found.details["eigenvalues"]) / unit == pytest.approx(expected, rel=1e-12)
    shares = np.array([[1 / 2, 1 / 5, 0], [1 / 2, 4 / 5, 0], [0, 0, 1]])
    assert found.details["unit_share"] == pytest.approx(shares)


KEEP = 1 / (1 + np.exp(-2.0))  # a gate whose bias is 2
DEAF = {"recurrent": init.zeros(), "input": init.zeros()}
HELD = {
    "Residual": lambda: cells.Residual(
        1, 4, residual=init.uniform_decay(0.5, 0.95), coupling=0.0, key=KEY, dtype=jnp.float64
    ),
    "MinimalRNN": lambda: cells.MinimalRNN(
        1, 4, bias=init.constant(2.0), key=KEY, dtype=jnp.float64, **DEAF
    ),
    "GRU": lambda: cells.GRU(1, 4, bias=init.forget(2.0), key=KEY, dtype=jnp.float64, **DEAF),
    "LSTM": lambda: cells.LSTM(1, 4, bias=init.forget(2.0), key=KEY, dtype=jnp.float64, **DEAF),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n != "MinimalRNN" else ()) for n in HELD]
)
def test_units_have_the_time_constant_of_their_gate(name):
    """Without recurrent weights a gate stands still, and its unit forgets by that much a step."""
    cell = HELD[name]()
    keep = np.asarray(cell.moduli) if name == "Residual" else np.full(4, KEEP)
    xs = jr.normal(jr.key(1), (130, 1))
    found = echoic.unit_time_constants(cell, xs, max_lag=29, starts=2, key=KEY)
    assert float(found.value.max()) < 29
    assert found.value[-4:] == pytest.approx(-1 / np.log(keep), rel=1e-9)
    # The cells of an LSTM come last; its outputs hear the same and their own noise beside it.
    if name == "LSTM":
        assert np.all(np.asarray(found.value[:4]) < -1 / np.log(KEEP))
    elif name != "Residual":
        modes = echoic.mode_time_constants(cell)
        assert modes.value == pytest.approx(np.asarray(found.value), rel=1e-9)


def test_what_has_not_fallen_is_a_lower_bound():
    leak = jnp.array([0.5, 0.999])
    found = echoic.unit_time_constants(
        lambda h, _: leak * h, state=jnp.zeros(2), steps=130, max_lag=29, starts=2, key=KEY
    )
    assert found.value == pytest.approx(np.array([1 / np.log(2), 29]))
    assert np.asarray(found.details["censored"]).tolist() == [False, True]


@pytest.mark.slow
def test_a_slow_unit_that_the_readout_does_not_see():
    """Alone it carries all at long lags: what is seen tends to 0, and the gain with it."""
    leak = jnp.array([0.5, 0.9])

    def measure(readout):
        return echoic.readout_visibility(
            lambda h, x: leak * h + x,
            jr.normal(jr.key(1), (140, 2)),
            readout=readout,
            state=jnp.zeros(2),
            max_lag=29,
            starts=2,
            key=KEY,
        )

    blind, sees = (measure(np.array([row])) for row in ([2.0, 0.0], [0.0, 2.0]))
    assert float(blind.value[-1]) < 1e-14
    assert blind.details["gain"][-1] == pytest.approx(2 * 0.5**29 / 2**0.5)
    assert blind.value + sees.value == pytest.approx(np.ones(30))
    assert blind.details["chance"] == pytest.approx(0.5)
    spread = np.std(np.asarray(jr.normal(jr.key(1), (140, 2))), axis=0)
    power = (spread[:, None] * np.asarray(leak)[:, None] ** np.arange(30)) ** 2
    assert blind.details["input_share"] == pytest.approx(power[0] / power.sum(axis=0))
    assert blind.details["input_gain"] == pytest.approx(np.sqrt(4 * power[0] / 2))


@pytest.mark.slow
def test_visibility_of_a_network_is_that_of_dense_jacobians():
    """A GRU under its own readout, each window by hand; fewer probes agree within their error."""
    cell = cells.GRU(1, 5, key=KEY, dtype=jnp.float64)
    network = echoic.Network(cell, cells.Readout(5, 2, key=KEY, dtype=jnp.float64))
    xs = jr.normal(jr.key(1), (1, 108, 1))
    options = {"max_lag": 7, "burn_in": 100, "starts": 1, "key": KEY}
    found = echoic.readout_visibility(network, xs, **options)
    states = [network.initial_state()]
    for x in xs[0]:
        states.append(network.step(states[-1], x))
    product, weight = np.eye(5), np.asarray(network.readout.weight)
    for k in range(8):
        if k:
            state, x = states[100 + k], xs[0, 100 + k]
            flat, back = ravel_pytree(state)
            step = lambda v, back=back, x=x: ravel_pytree(network.step(back(v), x))[0]  # noqa: E731
            product = np.asarray(jax.jacfwd(step)(flat)) @ product
        projector = np.linalg.pinv(weight) @ weight
        share = np.sum((projector @ product) ** 2) / np.sum(product**2)
        assert float(found.value[k]) == pytest.approx(share, rel=1e-10)
    few = echoic.readout_visibility(network, xs[0], probes=3, **options | {"max_lag": 7})
    assert np.isnan(few.standard_error).all()  # a single window


@pytest.mark.slow
def test_slow_subspace_of_a_driven_network_is_that_of_averaged_products():
    cell = cells.Elman(1, 5, recurrent=init.gaussian(1.2), key=KEY, dtype=jnp.float64)
    xs = jr.normal(jr.key(1), (6, 104, 1))
    lag = 3
    found = echoic.slow_subspace(cell, xs, lag=lag, burn_in=100, starts=6, key=KEY)
    products = []
    for sequence in xs:
        state, product = cell.initial_state(), np.eye(5)
        for t, x in enumerate(sequence):
            state = cell.step(state, x)
            if t > 100:
                slopes = 1 - np.asarray(state) ** 2
                product = slopes[:, None] * np.asarray(cell.recurrent) @ product
        products.append(product)
    products = np.array(products)
    surviving = np.mean(products.transpose(0, 2, 1) @ products, axis=0)
    values, vectors = np.linalg.eigh(surviving)
    assert found.value == pytest.approx(np.sqrt(values[::-1]), rel=1e-9)
    alike = np.abs(np.sum(np.asarray(found.details["directions"]) * vectors[:, ::-1], axis=0))
    assert alike == pytest.approx(np.ones(5), abs=1e-9)
    lengths = np.sum((products @ vectors[:, -1]) ** 2, axis=1)
    error = np.std(lengths, ddof=1) / 6**0.5 / (2 * np.sqrt(values[-1]))
    assert found.standard_error[0] == pytest.approx(error, rel=1e-9)
    arriving = np.linalg.eigh(np.mean(products @ products.transpose(0, 2, 1), axis=0))[1][:, -1]
    assert abs(arriving @ found.details["arrivals"][:, 0]) == pytest.approx(1, abs=1e-9)
    assert abs(vectors[:, -1] @ found.details["arrivals"][:, 0]) < 0.99
    total = float(
        echoic.gradient_reach(
            cell, xs, max_lag=lag, burn_in=100, starts=6, exact=True, key=KEY
        ).value[lag]
    )
    assert np.sum(np.asarray(found.value) ** 2) == pytest.approx(5 * total**2, rel=1e-9)


@pytest.mark.slow
def test_far_beyond_the_range_of_doubles():
    """A gain of 1e-1000 has a logarithm, and directions."""
    leak = jnp.array([1e-4, 1e-5])
    run = {"state": jnp.zeros(2), "steps": 360, "burn_in": 100}
    found = echoic.slow_subspace(lambda h, _: leak * h, lag=250, starts=2, key=KEY, **run)
    assert found.value[0] == 0
    assert found.details["log_value"][0] == pytest.approx(250 * np.log(1e-4))
    assert found.details["share"][0] == 1


def test_modes_that_are_no_time_constants():
    """Growing ones, points that move, exponents of -inf and of 0."""
    found = echoic.mode_time_constants(jnp.array([0.1, 0.0, -0.5, -jnp.inf, jnp.nan]))
    assert np.asarray(found.value)[:4].tolist() == [np.inf, np.inf, 2.0, 0.0]
    assert np.isnan(found.value[4])
    assert found.statuses == Status.GROWING | Status.NOT_FINITE
    cubic = lambda h, _: h + 1e-3  # noqa: E731
    with pytest.raises(UntrustedError, match="Not converged"):
        echoic.mode_time_constants(cubic, point=jnp.zeros(2))
    moving = echoic.mode_time_constants(cubic, point=jnp.zeros(2), throw=False)
    assert moving.details["residual"] == pytest.approx(1e-3)
    with pytest.raises(ValueError, match="cannot be traced"):
        jax.jit(lambda h: echoic.mode_time_constants(cubic, point=h).value)(jnp.zeros(2))
    with pytest.raises(ValueError, match="belong to a run"):
        echoic.mode_time_constants(jnp.zeros(2), point=jnp.zeros(2))


def test_wrong_calls():
    still = {"cell": lambda h, _: h, "inputs": np.ones(300), "state": jnp.zeros(3), "key": KEY}
    with pytest.raises(ValueError, match="there is no readout"):
        echoic.readout_visibility(**still, max_lag=5)
    with pytest.raises(ValueError, match="inputs that vary"):
        echoic.channel_reach(**still, max_lag=5)
    with pytest.raises(ValueError, match=r"dimensions must lie in 1\.\.3"):
        echoic.slow_subspace(**still, lag=5, dimensions=4)
    wide = {"state": jnp.zeros(12_000), "steps": 300, "key": KEY}
    for measure, lag in ((echoic.slow_subspace, "lag"), (echoic.unit_time_constants, "max_lag")):
        with pytest.raises(MemoryError, match="more than the limit"):
            measure(lambda h, _: h, **wide, **{lag: 5})


@pytest.mark.slow
def test_channels_that_compete_for_a_line():
    """One line of four steps: what the second channel adds at its third unit is kept for two."""

    def line(h, x):
        return jnp.roll(h, 1).at[0].set(x[0]).at[2].add(x[1])

    xs = 1e-3 * jr.normal(jr.key(2), (10, 700, 2))
    reach = echoic.channel_reach(line, xs, state=jnp.zeros(4), max_lag=5, starts=2, key=KEY)
    kept = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]])
    assert reach.value / reach.value[:, :1] == pytest.approx(kept)
    recall = echoic.channel_recall(line, xs, state=jnp.zeros(4), probe=1e3, max_lag=5, key=KEY)
    # Units 3 and 4 hold sums of two equal probes: half of each is known.
    known = np.array([[1, 1, 0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0, 0, 0]])
    assert recall.value == pytest.approx(known, abs=0.05)
    pooled = echoic.linear_recall(line, xs, state=jnp.zeros(4), probe=1e3, max_lag=5, key=KEY)
    assert np.mean(recall.value, axis=0) == pytest.approx(np.asarray(pooled.value), abs=0.01)
    ends = [
        echoic.horizon_of(np.asarray(v), np.asarray(e), 0.1, relative=False).last
        for v, e in zip(recall.value, recall.standard_error, strict=True)
    ]
    assert ends == [3, 1]


@pytest.mark.slow
def test_gains_of_the_slow_subspace_down_to_the_rounding_of_the_largest(x64):
    frame = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    rates = np.array([0.9, 0.7, 0.5, 0.3])
    matrix = jnp.asarray(frame @ np.diag(rates) @ frame.T)
    options = {"state": jnp.ones(4), "steps": 600, "key": jr.key(0)}
    found = echoic.measure.slow_subspace(lambda h, _: matrix @ h, lag=20, **options)
    np.testing.assert_allclose(found.value, rates**20, rtol=1e-4)
    # What is less than that is not known, and the error says so.
    lost = echoic.measure.slow_subspace(lambda h, _: matrix @ h, lag=60, **options)
    wrong = np.abs(np.asarray(lost.value) - rates**60)
    assert np.all(wrong <= 1e-4 * rates**60 + 2 * np.asarray(lost.standard_error))
