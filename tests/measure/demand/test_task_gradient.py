import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest

from echoic import Network, Status, UntrustedError, cells
from echoic.core.cell import AbstractCell, flatten_state, without_law
from echoic.core.model import AbstractModel
from echoic.core.rollout import Rollout
from echoic.core.task import Batch
from echoic.measure.demand.asked import asked
from echoic.measure.demand.task_gradient import task_gradient_reach

LAGS, TIMES, ROWS, LENGTH = 6, 2, 3, 12
KEY = jr.key(5)


def drawn(build):
    """A network with NumPy's random weights: drawing them by JAX would compile for seconds."""
    rng = np.random.default_rng(0)
    return jtu.tree_map(
        lambda leaf: jnp.asarray(rng.normal(0, 0.6, leaf.shape)),
        without_law(eqx.filter_eval_shape(build, key=jr.key(0))),
    )


def two_layers():
    def build(key):
        stack = [cells.Elman(2, 4, key=key), cells.LSTM(4, 3, key=key)]
        return Network(stack, cells.Readout(3, 5, key=key))

    return drawn(build)


def text_like():
    rng = np.random.default_rng(1)
    inputs = jnp.asarray(rng.normal(size=(ROWS, LENGTH, 2)))
    return Batch(inputs, jnp.asarray(rng.integers(0, 5, (ROWS, LENGTH)), jnp.int32))


@eqx.filter_jit
def injected(network, inputs, targets, time, until, state):
    """d(loss of the targets ``time`` to ``until``)/d(a vector added to each state of one sequence).

    Plain reverse mode through a scan: nothing of the measure is used.
    """

    def loss(added):
        def step(state, item):
            k, x, target, extra = item
            vector, restore = flatten_state(network.step(state, x))
            state = restore(vector + extra)
            each = -jax.nn.log_softmax(network.predict(network.output(state)))[target]
            return state, jnp.where((k >= time) & (k <= until), each, 0 * each)

        steps = jnp.arange(LENGTH, dtype=jnp.int32)
        return jnp.sum(jax.lax.scan(step, state, (steps, inputs, targets, added))[1])

    return jax.grad(loss)(jnp.zeros((LENGTH, network.state_size)))


def by_injection(network, batch, times, lag, *, summed=False, states=None):
    """|dL_t/dh_{t-lag}| of every target."""
    norms = np.zeros(times.shape)
    for (row, j), time in np.ndenumerate(times):
        start = network.initial_state()
        if states is not None:
            start = jtu.tree_map(lambda leaf, row=row: leaf[row], states)
        until = LENGTH - 1 if summed else time
        span = jnp.asarray(time, jnp.int32), jnp.asarray(until, jnp.int32)
        slopes = injected(network, batch.inputs[row], batch.targets[row], *span, start)
        norms[row, j] = np.linalg.norm(slopes[time - lag])
    return norms


def root_mean_square(norms):
    return np.sqrt(np.mean(norms**2))


@pytest.fixture(scope="module")
def measured():
    with jax.enable_x64(True):
        network, batch = two_layers(), text_like()
        reach = task_gradient_reach(
            network, batch, "cross_entropy", max_lag=LAGS, times=TIMES, key=KEY
        )
        times = np.asarray(asked(batch, earliest=LAGS, times=TIMES, key=KEY).times)
        return network, batch, reach, times


@pytest.mark.parametrize("lag", [0, 1, 4])
def test_it_is_the_gradient_of_the_loss_in_an_injected_vector(measured, x64, lag):
    network, batch, reach, times = measured
    assert times.min() >= LAGS
    expected = root_mean_square(by_injection(network, batch, times, lag))
    assert float(reach.details["raw"][lag]) == pytest.approx(expected, rel=1e-10)
    # One step further, or the gradient of this and all later targets, is another number.
    other = root_mean_square(by_injection(network, batch, times, lag + 1))
    assert abs(other / expected - 1) > 0.01
    summed = root_mean_square(by_injection(network, batch, times, lag, summed=True))
    assert abs(summed / expected - 1) > 0.01


def test_the_curve_is_relative_to_lag_0_and_its_error_is_over_sequences(measured, x64):
    network, batch, reach, times = measured
    raw = np.asarray(reach.details["raw"])
    assert float(reach.value[0]) == 1
    assert float(reach.standard_error[0]) < 1e-12
    assert np.allclose(reach.value, raw / raw[0], rtol=1e-12)
    near, far = (by_injection(network, batch, times, lag) for lag in (0, 4))
    # Leaving one sequence out at a time: the jackknife, which the formula comes close to.
    kept = [np.arange(ROWS) != row for row in range(ROWS)]
    left = [root_mean_square(far[k]) / root_mean_square(near[k]) for k in kept]
    jackknife = np.sqrt((ROWS - 1) * np.var(left))
    assert float(reach.standard_error[4]) == pytest.approx(jackknife, rel=0.35)
    typical = np.exp(np.log(far).mean() - np.log(near).mean())
    assert float(reach.details["typical"][4]) == pytest.approx(typical, rel=1e-10)


@pytest.mark.slow
def test_a_state_that_was_carried_matters(measured, x64):
    network, batch, fresh, times = measured
    states = jtu.tree_map(lambda leaf: leaf + 1, network.run(batch.inputs).final)
    carried = task_gradient_reach(
        network, batch, "cross_entropy", max_lag=LAGS, times=TIMES, key=KEY, state=states
    )
    expected = root_mean_square(by_injection(network, batch, times, 3, states=states))
    assert float(carried.details["raw"][3]) == pytest.approx(expected, rel=1e-10)
    assert abs(float(fresh.details["raw"][3]) / expected - 1) > 1e-3


@pytest.mark.slow
def test_a_linear_network_in_closed_form_over_many_lags_and_the_last_step_alone(x64):
    rng = np.random.default_rng(2)
    # Its 800th power is smaller than any number of double precision.
    weight = np.linalg.qr(rng.normal(size=(4, 4)))[0] @ np.diag([0.5, 0.4, 0.25, 0.1])

    def build(key):
        cell = cells.Elman(1, 4, activation="identity", key=key)
        return Network(cell, cells.Readout(4, 1, key=key))

    network = drawn(build)
    network = eqx.tree_at(lambda n: n.cells[0].recurrent, network, jnp.asarray(weight))
    inputs, targets = jnp.asarray(rng.normal(size=(8, 900, 1))), jnp.ones((8, 1))
    reach = task_gradient_reach(
        network, Batch(inputs, targets), "mean_squared_error", max_lag=800, key=KEY
    )
    assert reach.settings["times"] == 1
    # dL_t/dh_{t-k} = 2 (C h_t + d - y) C W^k: the error of the prediction drops out of the ratio.
    row, scale = np.asarray(network.readout.weight[0]), 0.25
    powers, vector = [], row
    for _ in range(801):
        powers.append(np.linalg.norm(vector))
        vector = vector @ weight / scale
    logs = np.log(powers) - np.log(powers[0]) + np.arange(801) * np.log(scale)
    assert logs[-1] < -750
    assert np.allclose(reach.details["log_value"], logs, rtol=1e-10, atol=1e-10)
    assert float(reach.value[800]) == 0
    assert np.all(np.asarray(reach.standard_error) < 1e-12)
    miss = 2 * (network.predict(network.run(inputs).trajectory[:, -1]) - 1)
    expected = root_mean_square(np.asarray(miss)) * np.linalg.norm(row @ weight)
    assert float(reach.details["raw"][1]) == pytest.approx(expected, rel=1e-10)
    transposed = np.linalg.norm(weight @ row) / np.linalg.norm(row)
    assert abs(np.exp(logs[1]) / transposed - 1) > 0.01


def test_a_network_without_memory_has_none(measured, x64):
    network, batch, _, _ = measured
    forgets = jnp.asarray(np.where(np.arange(12) // 3 == 1, -1e4, 0.0))  # rows: i, f, g, o
    network = eqx.tree_at(
        lambda n: (n.cells[0].recurrent, n.cells[1].recurrent, n.cells[1].bias),
        network,
        (jnp.zeros((4, 4)), jnp.zeros((12, 3)), forgets),
    )
    reach = task_gradient_reach(network, batch, "cross_entropy", max_lag=LAGS, times=TIMES, key=KEY)
    # Lag 0 reads the state; what that state was before the last input does not matter.
    assert reach.value.tolist() == [1.0] + [0.0] * LAGS
    assert np.asarray(reach.standard_error)[1:].tolist() == [0.0] * LAGS


class BackToFront(AbstractModel):
    """A model that reads its input from the end."""

    network: Network
    input_size: int = eqx.field(static=True, default=2)
    hidden_size: int = eqx.field(static=True, default=3)
    readout: None = None

    def run(self, inputs, *, state=None, last=False, key=None):
        ran = self.network.run(jnp.flip(inputs, 1), state=state)
        return Rollout(jnp.flip(ran.trajectory, 1), ran.final)

    def predict(self, outputs):
        return self.network.predict(outputs)


class AsIfStepwise(AbstractCell, AbstractModel):
    """Claims to be a cell, but runs another way."""

    network: Network
    input_size: int = eqx.field(static=True, default=2)
    hidden_size: int = eqx.field(static=True, default=3)
    readout: None = None

    def initial_state(self):
        return self.network.initial_state()

    def step(self, state, x):
        return self.network.step(state, x)

    def read(self, state):
        return self.network.output(state)

    def run(self, inputs, *, state=None, last=False, key=None):
        return BackToFront(self.network).run(inputs, state=state)

    def predict(self, outputs):
        return self.network.predict(outputs)


def test_what_is_no_chain_of_steps_is_refused(measured, x64):
    network, batch, _, _ = measured
    options = {"max_lag": LAGS, "key": KEY}
    with pytest.raises(ValueError, match=r"a model that is a cell as well.*BackToFront"):
        task_gradient_reach(BackToFront(network), batch, "cross_entropy", **options)
    with pytest.raises(ValueError, match="other outputs when it is run step by step"):
        task_gradient_reach(AsIfStepwise(network), batch, "cross_entropy", **options)


def test_wrong_calls_are_refused(measured, x64):
    network, batch, _, _ = measured
    with pytest.raises(ValueError, match="no target has 12 steps before it"):
        task_gradient_reach(network, batch, "cross_entropy", max_lag=LENGTH, key=KEY)
    with pytest.raises(ValueError, match=r"one loss for each target, shape \(3, 4\), got \(\)"):
        task_gradient_reach(
            network, batch, lambda y, targets: jnp.mean(y[..., 0]), max_lag=LAGS, key=KEY
        )
    short = batch._replace(targets=batch.targets[:, 1:])
    with pytest.raises(ValueError, match=r"targets must be as many, and as long"):
        task_gradient_reach(network, short, "cross_entropy", max_lag=LAGS, key=KEY)
    with pytest.raises(ValueError, match=r"max_lag must lie in 1"):
        task_gradient_reach(network, batch, "cross_entropy", max_lag=0, key=KEY)


def test_what_is_not_finite_is_told(measured, x64):
    network, batch, _, _ = measured
    options = {"max_lag": LAGS, "times": TIMES, "key": KEY}
    broken = batch._replace(inputs=batch.inputs.at[0, 3].set(jnp.nan))
    with pytest.raises(UntrustedError, match="left the finite numbers"):
        task_gradient_reach(network, broken, "cross_entropy", **options)
    reach = task_gradient_reach(network, broken, "cross_entropy", throw=False, **options)
    assert np.isnan(np.asarray(reach.value)).all()
    # A loss that is exactly met has no gradient anywhere, and no curve relative to nothing.
    certain = eqx.tree_at(lambda n: n.readout.bias, network, jnp.eye(5)[0] * 1e4)
    met = batch._replace(targets=jnp.zeros_like(batch.targets))
    reach = task_gradient_reach(certain, met, "cross_entropy", **options)
    assert np.isnan(np.asarray(reach.value)).all()
    assert Status.BELOW_NOISE in reach.statuses


@pytest.mark.slow
def test_targets_are_drawn_by_weight_and_never_twice(x64):
    weights = np.zeros((ROWS, LENGTH))
    weights[0, [2, 7, 9, 10]] = 1.0, 2.0, 1.0, 1.0
    weights[2, 1] = 1.0
    batch = text_like()._replace(weights=jnp.asarray(weights))
    counts = np.zeros(LENGTH)
    for seed in range(100):
        chosen = asked(batch, earliest=3, times=2, key=jr.key(seed))
        # The second sequence asks nothing, the third only before the third step.
        assert chosen.inputs.shape == (1, LENGTH, 2)
        times = np.asarray(chosen.times[0])
        assert len(set(times.tolist())) == 2
        assert chosen.targets[0].tolist() == batch.targets[0, times].tolist()
        counts[times] += 1
    assert counts[7] == 100
    assert np.flatnonzero(counts).tolist() == [7, 9, 10]
    assert abs(counts[9] - 50) < 4 * 5
