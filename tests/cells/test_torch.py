"""Equal to PyTorch, outputs and gradients, with copied weights; near misses are rejected."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import torch

import echoic
from echoic.cells import GRU, LSTM, Elman, ResetBeforeGRU
from echoic.core.cell import without_law

M, N, B, T = 2, 4, 3, 7


def reference(kind, **options):
    torch.manual_seed(0)
    return kind(M, N, batch_first=True, dtype=torch.float64, **options)


def array(tensor):
    return jnp.asarray(tensor.detach().numpy())


def copied(cell, module):
    """The cell with the module's weights; its one bias is the sum of the module's two."""
    w_hh, w_ih = array(module.weight_hh_l0), array(module.weight_ih_l0)
    b_hh, b_ih = array(module.bias_hh_l0), array(module.bias_ih_l0)
    values = {"recurrent": w_hh, "input": w_ih, "bias": b_ih + b_hh}
    if isinstance(cell, GRU):
        values["bias"] = b_ih + b_hh.at[2 * N :].set(0.0)
        values["candidate_bias"] = b_hh[2 * N :]
    for name, value in values.items():
        cell = eqx.tree_at(lambda c, name=name: getattr(c, name), cell, value)
    return without_law(cell)


def assert_agree(cell, module):
    """Outputs, and the gradients of a weighted sum of them in weights and inputs."""
    rng = np.random.default_rng(1)
    inputs, weight = rng.standard_normal((B, T, M)), rng.standard_normal((B, T, N))

    def loss(cell, xs):
        outputs = echoic.rollout(cell, xs).trajectory
        return jnp.sum(outputs * weight), outputs

    differentiate = eqx.filter_jit(
        eqx.filter_grad(lambda args: loss(*args), has_aux=True),
    )
    (grad, grad_inputs), outputs = differentiate((cell, jnp.asarray(inputs)))

    xs = torch.tensor(inputs, requires_grad=True)
    module.zero_grad()
    expected = module(xs)[0]
    (expected * torch.tensor(weight)).sum().backward()

    def same(ours, theirs):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-6)

    same(outputs, expected)
    same(grad_inputs, xs.grad)
    same(grad.recurrent, module.weight_hh_l0.grad)
    same(grad.input, module.weight_ih_l0.grad)
    same(grad.bias, module.bias_ih_l0.grad)
    if isinstance(cell, GRU):
        same(grad.candidate_bias, module.bias_hh_l0.grad[2 * N :])
        same(grad.bias[: 2 * N], module.bias_hh_l0.grad[: 2 * N])
    else:
        same(grad.bias, module.bias_hh_l0.grad)


def ours(kind, **options):
    return kind(M, N, key=jr.key(0), dtype=jnp.float64, **options)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_elman_is_torch_rnn(x64, activation):
    module = reference(torch.nn.RNN, nonlinearity=activation)
    assert_agree(copied(ours(Elman, activation=activation), module), module)


def test_lstm_is_torch_lstm(x64):
    module = reference(torch.nn.LSTM)
    assert_agree(copied(ours(LSTM), module), module)


def test_gru_is_torch_gru(x64):
    module = reference(torch.nn.GRU)
    assert_agree(copied(ours(GRU), module), module)


def with_rows(cell, order):
    """The gates' blocks of rows in another order."""

    def reorder(stack):
        blocks = jnp.split(stack, len(order))
        return jnp.concatenate([blocks[i] for i in order])

    where = lambda c: (c.recurrent, c.input, c.bias)  # noqa: E731
    return eqx.tree_at(where, cell, tuple(reorder(part) for part in where(cell)))


def transposed(cell):
    blocks = jnp.split(cell.recurrent, cell.recurrent.shape[0] // N)
    return eqx.tree_at(lambda c: c.recurrent, cell, jnp.concatenate([block.T for block in blocks]))


def bias_outside_reset(cell):
    bias = cell.bias.at[2 * N :].add(cell.candidate_bias)
    return eqx.tree_at(
        lambda c: (c.bias, c.candidate_bias), cell, (bias, jnp.zeros_like(cell.candidate_bias))
    )


@pytest.mark.parametrize(
    ("kind", "layer", "mutate"),
    [
        pytest.param(LSTM, torch.nn.LSTM, lambda c: with_rows(c, (0, 1, 3, 2)), id="g-o-swapped"),
        pytest.param(LSTM, torch.nn.LSTM, lambda c: with_rows(c, (1, 0, 2, 3)), id="i-f-swapped"),
        pytest.param(LSTM, torch.nn.LSTM, transposed, id="lstm-transposed"),
        pytest.param(GRU, torch.nn.GRU, lambda c: with_rows(c, (1, 0, 2)), id="r-z-swapped"),
        pytest.param(GRU, torch.nn.GRU, transposed, id="gru-transposed"),
        pytest.param(GRU, torch.nn.GRU, bias_outside_reset, id="b_hn-outside-the-reset"),
        pytest.param(Elman, torch.nn.RNN, transposed, id="elman-transposed"),
    ],
)
def test_near_misses_of_torch_are_rejected(x64, kind, layer, mutate):
    module = reference(layer)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_agree(mutate(copied(ours(kind), module)), module)


def test_reset_before_the_product_is_another_function(x64):
    """Not that of PyTorch, even without the bias inside the reset; equal when r is 1."""
    module = reference(torch.nn.GRU)
    with torch.no_grad():
        module.bias_hh_l0.zero_()
    cell = copied(ours(ResetBeforeGRU), module)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_agree(cell, module)
    with torch.no_grad():
        module.bias_ih_l0[:N] = 100.0
    assert_agree(copied(ours(ResetBeforeGRU), module), module)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "layer"), [(Elman, torch.nn.RNN), (LSTM, torch.nn.LSTM)])
def test_defaults_have_the_spread_of_torch(kind, layer):
    """Standard deviations of weights and of the summed biases, 64 layers of each."""
    torch.manual_seed(0)
    modules = [layer(M, 16) for _ in range(64)]
    cells = [kind(M, 16, key=key) for key in jr.split(jr.key(0), 64)]

    def spread(parts):
        return np.std(np.concatenate([np.asarray(part).ravel() for part in parts]))

    for drawn, theirs in [
        ([c.recurrent for c in cells], [m.weight_hh_l0.detach() for m in modules]),
        ([c.input for c in cells], [m.weight_ih_l0.detach() for m in modules]),
        ([c.bias for c in cells], [(m.bias_hh_l0 + m.bias_ih_l0).detach() for m in modules]),
    ]:
        assert spread(drawn) == pytest.approx(spread(theirs), rel=0.08)
