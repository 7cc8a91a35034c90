"""Deep networks against PyTorch: both directions, embeddings, tied readouts; near misses fail."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import torch

from echoic import init
from echoic.cells import (
    LSTM,
    Bidirectional,
    Elman,
    Embedding,
    LinearRNN,
    LSTMState,
    Network,
    Readout,
    TiedReadout,
    bidirectional,
)
from echoic.core.cell import without_law

KEY = jr.key(0)
M, N, B, T, V = 3, 4, 2, 6, 7
RNG = np.random.default_rng(0)


def zeros(*names):
    """Initialisers of what is not looked at, or replaced: random ones take long to compile."""
    return dict.fromkeys(names, init.zeros())


def array(tensor):
    return jnp.asarray(tensor.detach().numpy())


def copied(module, suffix, inputs):
    """The LSTM of one layer and direction, from PyTorch's weights."""
    names = ("weight_hh", "weight_ih", "bias_ih", "bias_hh")
    recurrent, weight, one, two = (array(getattr(module, f"{name}_{suffix}")) for name in names)
    cell = LSTM(inputs, N, **zeros("recurrent", "input", "bias"), key=KEY, dtype=jnp.float64)
    where = lambda c: (c.recurrent, c.input, c.bias)  # noqa: E731
    return without_law(eqx.tree_at(where, cell, (recurrent, weight, one + two)))


def gradients_of(module, suffix):
    # The gradient in the sum of both biases is that in either.
    names = ("weight_hh", "weight_ih", "bias_ih")
    return [array(getattr(module, f"{name}_{suffix}").grad) for name in names]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


# --- both directions ------------------------------------------------------------------------------

SUFFIXES = [["l0", "l0_reverse"], ["l1", "l1_reverse"]]


@pytest.fixture(scope="module")
def torch_lstm():
    """A bidirectional LSTM of two layers after a backward pass: module, what it got and gave."""
    torch.manual_seed(0)
    options = {"batch_first": True, "bidirectional": True, "dtype": torch.float64}
    module = torch.nn.LSTM(M, N, num_layers=2, **options)
    xs = torch.tensor(RNG.standard_normal((B, T, M)), requires_grad=True)
    h, c = (torch.tensor(RNG.standard_normal((4, B, N))) for _ in range(2))
    weight = torch.tensor(RNG.standard_normal((B, T, 2 * N)))
    outputs, ends = module(xs, (h, c))
    (outputs * weight).sum().backward()
    return module, (xs, h, c, weight), (outputs, ends)


def assert_equals_torch(torch_lstm, rearranged=lambda pairs: pairs):
    module, given, (expected, (h_end, c_end)) = torch_lstm
    xs, h, c, weight = (array(part) for part in given)
    pairs = [[copied(module, s, M if i == 0 else 2 * N) for s in layer]
             for i, layer in enumerate(SUFFIXES)]  # fmt: skip
    model = Bidirectional(rearranged(pairs))
    state = tuple((LSTMState(h[i], c[i]), LSTMState(h[i + 1], c[i + 1])) for i in (0, 2))

    @eqx.filter_jit
    def run(model, xs):
        def loss(arguments):
            model, xs = arguments
            ran = model.run(xs, state=state)
            return jnp.sum(ran.trajectory * weight), ran

        found = eqx.filter_grad(loss, has_aux=True)((model, xs))
        return found, model.run(xs, state=state, last=True)

    ((gradient, in_inputs), ran), end = run(model, xs)
    close(ran.trajectory, array(expected))
    for states in (ran.final, end.final):
        flat = [part for pair in states for part in pair]
        close(jnp.stack([part.h for part in flat]), array(h_end))
        close(jnp.stack([part.c for part in flat]), array(c_end))
    close(end.trajectory, array(torch.cat([h_end[-2], h_end[-1]], dim=-1)))
    close(in_inputs, array(given[0].grad))
    for pair, layer in zip(gradient.pairs, SUFFIXES, strict=True):
        for cell, suffix in zip(pair, layer, strict=True):
            found = cell.recurrent, cell.input, cell.bias
            for ours, theirs in zip(found, gradients_of(module, suffix), strict=True):
                close(ours, theirs)


def test_two_layers_in_both_directions_are_those_of_torch(x64, torch_lstm):
    assert_equals_torch(torch_lstm)


def unflipped(pair, below, starts, collect):
    """A mutant: the backward cell reads forward."""
    return tuple(
        bidirectional.rollout(cell, below, state=start, collect=collect)
        for cell, start in zip(pair, starts, strict=True)
    )


@pytest.mark.slow
def test_exchanged_directions_are_rejected(x64, torch_lstm):
    with pytest.raises(AssertionError, match="Not equal"):
        assert_equals_torch(torch_lstm, lambda pairs: [pair[::-1] for pair in pairs])


def test_a_backward_cell_that_reads_forward_is_rejected(x64, torch_lstm, monkeypatch):
    monkeypatch.setattr(bidirectional, "_run_pair", unflipped)
    with pytest.raises(AssertionError, match="Not equal"):
        assert_equals_torch(torch_lstm)


# --- language models ------------------------------------------------------------------------------


class LanguageModel(torch.nn.Module):
    """Two layers between an embedding and a readout with the same matrix."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(V, N)
        self.rnn = torch.nn.LSTM(N, N, num_layers=2, batch_first=True)
        self.decoder = torch.nn.Linear(N, V)
        self.decoder.weight = self.embedding.weight

    def forward(self, symbols):
        return self.decoder(self.rnn(self.embedding(symbols))[0])


@pytest.fixture(scope="module")
def torch_text():
    torch.manual_seed(1)
    module = LanguageModel().double()
    symbols, targets = (torch.tensor(RNG.integers(0, V, (B, T))) for _ in range(2))
    loss = torch.nn.functional.cross_entropy(module(symbols).transpose(1, 2), targets)
    loss.backward()
    return module, symbols, targets, loss


def assert_text_equals_torch(torch_text, predict=Network.predict, one_hot=False):
    module, symbols, targets, expected = torch_text
    embedding = Embedding(V, N, **zeros("weight"), key=KEY, dtype=jnp.float64)
    embedding = eqx.tree_at(lambda e: e.weight, embedding, array(module.embedding.weight))
    readout = TiedReadout(V, key=KEY, dtype=jnp.float64)
    readout = eqx.tree_at(lambda r: r.bias, readout, array(module.decoder.bias))
    cells = [copied(module.rnn, suffix, N) for suffix in ("l0", "l1")]
    model = Network(cells, readout, embedding=embedding)
    inputs, classes = array(symbols), array(targets)
    if one_hot:
        inputs = jax.nn.one_hot(inputs, V, dtype=jnp.float64)

    def loss(model):
        chances = jax.nn.log_softmax(predict(model, model.run(inputs).trajectory))
        return -jnp.mean(jnp.take_along_axis(chances, classes[..., None], axis=-1))

    found, gradient = eqx.filter_jit(eqx.filter_value_and_grad(loss))(model)
    close(found, array(expected))
    close(gradient.embedding.weight, array(module.embedding.weight.grad))
    close(gradient.readout.bias, array(module.decoder.bias.grad))
    for cell, suffix in zip(gradient.cells, ("l0", "l1"), strict=True):
        close(cell.input, gradients_of(module.rnn, suffix)[1])
    assert model.num_parameters == sum(cell.num_parameters for cell in cells) + V * N + V


@pytest.mark.parametrize("one_hot", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_tied_language_model_is_that_of_torch(x64, torch_text, one_hot):
    assert_text_equals_torch(torch_text, one_hot=one_hot)


def test_a_gradient_of_one_use_alone_is_rejected(x64, torch_text):
    def predict(model, outputs):
        return model.readout(outputs, jax.lax.stop_gradient(model.embedding.weight))

    with pytest.raises(AssertionError, match="Not equal"):
        assert_text_equals_torch(torch_text, predict)


def test_an_embedding_is_a_matrix_before_the_first_cell(x64):
    def drawn(key, shape, dtype):
        return jnp.asarray(RNG.standard_normal(shape))

    embedding = Embedding(V, N, weight=drawn, key=KEY, dtype=jnp.float64)
    cell = LinearRNN(N, N, recurrent=drawn, input=drawn, key=KEY, dtype=jnp.float64)
    net = Network(cell, embedding=embedding)
    form = net.linear_form()
    x, state = drawn(KEY, (V,), float), (drawn(KEY, (N,), float),)
    close(net.step(state, x)[0], form.recurrent @ state[0] + form.input @ x + form.bias)
    assert net.hyperparameters() is None  # the law of the cell does not speak of one-hot input
    assert Network(cell).hyperparameters() is not None
    symbols = jnp.array([[0, 6, 2]])
    first, second = Network([cell, cell], embedding=embedding).seen_inputs(symbols)
    close(first, embedding.weight[symbols])
    close(second[0, 0], cell.step(cell.initial_state(), embedding.weight[0]))


# --- refusals -------------------------------------------------------------------------------------


def elman(m=M, n=N):
    return Elman(m, n, **zeros("recurrent", "input", "bias"), key=KEY)


def readout(n):
    return Readout(n, 1, **zeros("weight", "bias"), key=KEY)


def embedding(size):
    return Embedding(V, size, **zeros("weight"), key=KEY)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Network(elman(), "tied"), "pass embedding="),
        (lambda: Network(elman(), "tyed"), "unknown readout 'tyed'. Did you mean 'tied'"),
        (
            lambda: Network(elman(), "tied", embedding=embedding(M)),
            "vectors as long as the last cell has units, 4, but those of the embedding have 3",
        ),
        (
            lambda: Network(elman(N), TiedReadout(3, key=KEY), embedding=embedding(N)),
            "has 3 outputs, the embedding 7 symbols",
        ),
        (
            lambda: Network(elman(), embedding=embedding(5)),
            "cell 0 takes 3 inputs, but the embedding's vectors have 5",
        ),
        (lambda: Network(elman(), dropout=1.0), r"dropout must be a number in \[0, 1\), got 1.0"),
        (lambda: Network(elman(), dropout=-0.1), "dropout must be a number"),
        (lambda: Bidirectional([]), r"one \(forward cell, backward cell\) a layer"),
        (lambda: Bidirectional([(elman(),)]), r"one \(forward cell, backward cell\) a layer"),
        (
            lambda: Bidirectional([(elman(), elman(2))]),
            "backward cell of layer 0 takes 2 inputs, but the forward cell of layer 0 takes 3",
        ),
        (
            lambda: Bidirectional([(elman(), elman(n=2)), (elman(6), elman(4))]),
            "backward cell of layer 1 takes 4 inputs, but the layer below puts out 6",
        ),
        (
            lambda: Bidirectional([(elman(), elman())], readout(N)),
            "the readout takes 4 numbers, but the last layer puts out 8",
        ),
        (
            lambda: Network(Network(elman(), readout(N))),
            "a Network inside another network cannot have a readout of its own",
        ),
        (
            lambda: Bidirectional([(elman(), Network(elman(), dropout=0.5))]),
            "cannot have a dropout of its own",
        ),
        (
            lambda: Bidirectional([(elman(), elman())]).run(jnp.ones((B, T, M)), state=(0, 1)),
            "state must be a tuple of 1, one part a layer",
        ),
        (lambda: Embedding(0, 2, key=KEY), "vocabulary must lie in 1"),
        (
            lambda: Embedding(2, 2, weight=lambda key, shape, dtype: jnp.zeros(2), key=KEY),
            r"weight must draw shape \(2, 2\)",
        ),
    ],
)
def test_what_does_not_fit_is_told_why(build, says):
    with pytest.raises(ValueError, match=says):
        build()


def test_the_embedding_is_drawn_as_asked():
    halves = Embedding(V, N, weight=init.constant(0.5), key=KEY)
    assert halves(jnp.array(3)).tolist() == [0.5] * N
    drawn = Embedding(300, 300, key=KEY).weight
    assert abs(float(drawn.std()) - 1) < 4 / np.sqrt(2 * drawn.size)
