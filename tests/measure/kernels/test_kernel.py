"""Tangent kernels against dense Jacobians, finite differences and the limit of infinite width."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest

from echoic import cells, theory
from echoic.core.cell import without_law
from echoic.core.estimate import Status
from echoic.core.trainable import trainable_filter
from echoic.measure.kernels.linear import lag_kernel, linear_tangent_kernel
from echoic.measure.kernels.tangent import kernel_distance, kernel_drift, tangent_kernel

pytestmark = pytest.mark.usefixtures("x64")
FAMILIES = ("Elman", "LSTM", "GRU", "MinimalRNN", "Residual", "LinearRNN")


def network(name, n=4):
    build = getattr(cells, name)
    cell = build(2, n, key=jr.key(1), dtype=jnp.float64)
    return cell, cells.Readout(n, 2, key=jr.key(2), dtype=jnp.float64)


def pair(lengths=(3, 4)):
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.normal(size=(length, 2))) for length in lengths)


def dense(cell, readout, xs, others):
    """All derivatives at once, by reverse mode through an unrolled run."""
    both = without_law((cell, readout))
    trained, fixed = eqx.partition(both, trainable_filter(both))

    def run(trained, xs):
        cell, readout = eqx.combine(trained, fixed)
        state, found = cell.initial_state(), []
        for x in xs:
            state = cell.step(state, x)
            found.append(readout(cell.output(state)))
        return jnp.stack(found)

    def rows(xs):
        parts = jtu.tree_leaves(jax.jit(jax.jacrev(run))(trained, xs))
        return np.concatenate([np.reshape(part, (len(xs), 2, -1)) for part in parts], axis=-1)

    return np.einsum("tpw,sqw->tpsq", rows(xs), rows(others))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n != "LinearRNN" else ()) for n in FAMILIES]
)
def test_kernel_is_that_of_dense_jacobians(name):
    cell, readout = network(name)
    xs, others = pair()
    right = dense(cell, readout, xs, others)
    found = tangent_kernel(cell, xs, others, readout=readout)
    assert np.max(np.abs(found.value - right)) < 1e-12
    assert found.statuses.trusted
    wrong = (
        right.transpose(2, 1, 0, 3)[:3, :, :3],  # times exchanged
        right[::-1, :, :3],  # outputs in reverse
    )
    assert all(np.max(np.abs(found.value[:, :, :3] - one)) > 1e-10 for one in wrong)


@pytest.mark.slow
def test_kernel_of_a_stack_and_of_a_wide_family_in_pieces(monkeypatch):
    below, _ = network("MinimalRNN")
    above = cells.Elman(4, 4, key=jr.key(3), dtype=jnp.float64)
    readout = cells.Readout(4, 2, key=jr.key(2), dtype=jnp.float64)
    xs, others = pair()
    stack = cells.Network([below, above], readout)
    monkeypatch.setattr("echoic.measure.kernels.tangent._NUMBERS_AT_ONCE", 1)
    found = tangent_kernel(stack, xs, others)
    bare = cells.Network([below, above])
    assert np.max(np.abs(found.value - dense(bare, readout, xs, others))) < 1e-12


@pytest.mark.slow
def test_kernel_under_vmap_and_with_nan():
    cell, readout = network("GRU")
    xs, _ = pair((3, 3))
    batch = jnp.stack([xs, xs.at[1, 0].set(jnp.nan)])
    found = jax.vmap(lambda x: tangent_kernel(cell, x, readout=readout))(batch)
    alone = tangent_kernel(cell, xs, readout=readout)
    assert np.max(np.abs(found.value[0] - alone.value)) < 1e-12
    assert np.isnan(found.value[1]).any()
    assert np.asarray(found.status).tolist() == [0, int(Status.NOT_FINITE)]


def test_wrong_calls():
    cell, readout = network("Elman")
    with pytest.raises(ValueError, match="bare step function"):
        tangent_kernel(lambda s, x: s, jnp.zeros(3), state=jnp.zeros(2))
    with pytest.raises(ValueError, match="one sequence"):
        tangent_kernel(cell, jnp.zeros((2, 3, 2)), readout=readout)
    with pytest.raises(MemoryError, match="limit"):
        tangent_kernel(cell, jnp.zeros((30_000, 2)), readout=readout)
    with pytest.raises(ValueError, match="shapes"):
        lag_kernel(np.eye(3), np.ones((2, 1)), np.ones((1, 3)), 2)
    with pytest.raises(ValueError, match="equal shapes"):
        kernel_distance(jnp.zeros(2), jnp.zeros(3))


# Linear networks, in NumPy alone.


def draw(size, variances, seed, channels=(1, 1)):
    rng = np.random.default_rng(seed)
    transition, entrance, exit_ = variances
    return (
        rng.normal(size=(size, size)) * math.sqrt(transition / size),
        rng.normal(size=(size, channels[0])) * math.sqrt(entrance),
        rng.normal(size=(channels[1], size)) * math.sqrt(exit_ / size),
    )


def outputs(network, inputs):
    a, f, c = network
    state, found = np.zeros(len(a)), []
    for x in inputs:
        state = a @ state + f @ x
        found.append(c @ state)
    return np.array(found)


def differences(network, inputs, rates, step=1e-5):
    """d y / d (every weight) by central differences, scaled by the root of its rate."""
    columns = []
    for part, rate in zip(network, rates, strict=True):
        for index in np.ndindex(part.shape):
            kept = part[index]
            part[index] = kept + step
            up = outputs(network, inputs)
            part[index] = kept - step
            columns.append(math.sqrt(rate) * (up - outputs(network, inputs)) / (2 * step))
            part[index] = kept
    return np.stack(columns, axis=-1)


def test_linear_formula_is_that_of_finite_differences():
    """n = 7, t = 5, two inputs, three outputs: every entry, every pair of outputs."""
    made = draw(7, (0.8, 1.3, 0.7), 0, (2, 3))
    inputs, others = np.random.default_rng(1).normal(size=(2, 5, 2))
    rates = (1 / 7, 1.0, 1 / 7)
    first, second = (differences(made, x, rates) for x in (inputs, others))
    right = np.einsum("tpw,sqw->tpsq", first, second)
    assert np.max(np.abs(linear_tangent_kernel(*made, inputs, others) - right)) < 1e-8
    assert np.max(np.abs(right)) > 1
    wrong = (
        linear_tangent_kernel(made[0].T, *made[1:], inputs, others),
        linear_tangent_kernel(*made, inputs, others, rates=(1, 1, 1)),
        linear_tangent_kernel(*made, inputs, others, rates=(0, 1, 1 / 7)),
        linear_tangent_kernel(*made, inputs[::-1], others),
    )
    assert all(np.max(np.abs(one - right)) > 0.1 for one in wrong)


@pytest.mark.slow
def test_linear_formula_is_the_kernel_of_a_linear_cell():
    """The scaled form: a factor n^-1/2 before W, and one before C, which the readout holds."""
    cell, _ = network("LinearRNN", n=6)
    weight = jr.normal(jr.key(5), (2, 6), jnp.float64)
    readout = Scaled(weight)
    xs, others = pair()
    found = tangent_kernel(cell, xs, others, readout=readout)
    form = cell.linear_form()
    acting = weight / math.sqrt(6)
    right = linear_tangent_kernel(form.recurrent, form.input, acting, xs, others)
    assert np.max(np.abs(found.value - right)) < 1e-12


class Scaled(eqx.Module):
    weight: jax.Array

    def __call__(self, output):
        return self.weight @ output / math.sqrt(self.weight.shape[1])


def test_kernel_tends_to_the_wide_one(widening):
    """Emami et al.'s limit, T = 10, 8 networks a width with inputs of their own."""

    def gaps(size, seed):
        inputs, others = np.random.default_rng([seed, size, 1]).normal(size=(2, 10))
        network = draw(size, (widening.transition, 1, 1), [seed, size])
        found = linear_tangent_kernel(*network, inputs, others)[:, 0, :, 0]
        untrained = linear_tangent_kernel(*network, inputs, others, rates=(0, 1, 1 / size))
        limit = theory.wide_kernel(inputs, others, widening.transition)
        other_law = theory.wide_kernel(inputs, others, widening.transition + 0.2)
        pairs = ((found, limit), (found, other_law), (untrained[:, 0, :, 0], limit))
        return [np.linalg.norm(one - to) / np.linalg.norm(to) for one, to in pairs]

    errors = [np.mean([gaps(n, seed) for seed in range(8)], axis=0) for n in widening.sizes]
    right, *wrong = np.transpose(errors)
    assert widening.accepts(right)
    for one in wrong:
        assert not widening.accepts(one)


def test_distance_and_drift():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 3))
    found = kernel_distance(jnp.asarray(a), jnp.asarray(b))
    relative = math.sqrt(np.sum((b - a) ** 2) / np.sum(a**2))
    direction = 1 - np.sum(a * b) / math.sqrt(np.sum(a**2) * np.sum(b**2))
    assert np.asarray(found) == pytest.approx(np.array([relative, direction]), abs=1e-12)
    assert float(found.relative) != pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(b))


@pytest.mark.slow
def test_drift_of_snapshots():
    """Twice the readout: the weights' share of the kernel grows fourfold, the readout's stays."""
    cell, readout = network("Elman")
    twice = eqx.tree_at(lambda r: r.weight, readout, 2 * readout.weight)
    xs, _ = pair((3, 3))
    found = kernel_drift([cell, cell], xs, readouts=[readout, twice])
    first, second = (dense(cell, one, xs, xs) for one in (readout, twice))
    assert found.value[0] == 0
    assert found.value[1] == pytest.approx(
        np.linalg.norm(second - first) / np.linalg.norm(first), rel=1e-10
    )
