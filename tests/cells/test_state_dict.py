"""torch state_dicts: the cells read from them compute what torch computes."""

import subprocess
import sys
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import echoic
from echoic import cells
from echoic.cells import Bidirectional
from echoic.cells.store import StoreWarning
from echoic.core.cell import cast

INPUTS = np.random.default_rng(0).normal(size=(30, 3))
KINDS = {
    "tanh": (torch.nn.RNN, {"nonlinearity": "tanh"}, cells.Elman),
    "relu": (torch.nn.RNN, {"nonlinearity": "relu"}, cells.Elman),
    "gru": (torch.nn.GRU, {}, cells.GRU),
    "lstm": (torch.nn.LSTM, {}, cells.LSTM),
}


def module(kind, dtype=torch.float64, **options):
    torch.manual_seed(0)
    build, own, _ = KINDS[kind]
    return build(3, 5, batch_first=True, dtype=dtype, **own, **options)


def torch_outputs(net, inputs=INPUTS):
    with torch.no_grad():
        return net(torch.from_numpy(inputs))[0].numpy()


def written(folder, state, name="m.safetensors"):
    save_file({key: value.contiguous() for key, value in state.items()}, folder / name)
    return folder / name


def loaded(path, kind="lstm", **options):
    if kind in ("tanh", "relu"):
        options["nonlinearity"] = kind
    return echoic.load(path, **options)


def outputs(network, inputs):
    """Those of a bidirectional stack, of one sequence or a batch."""
    batch = inputs if inputs.ndim == 3 else inputs[None]
    found = network.run(jnp.asarray(batch)).trajectory
    return found if inputs.ndim == 3 else found[0]


def seen_inputs(network, inputs):
    return [entry[0] for entry in network.seen_inputs(jnp.asarray(inputs[None]))]


def echoic_outputs(network, inputs=INPUTS):
    return np.asarray(echoic.rollout(network, jnp.asarray(inputs)).trajectory)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_stacks_compute_what_torch_computes(tmp_path, x64, kind, bias, layers):
    net = module(kind, num_layers=layers, bias=bias)
    network = loaded(written(tmp_path, net.state_dict()), kind)
    assert type(network) is (KINDS[kind][2] if layers == 1 else cells.Network)
    np.testing.assert_allclose(echoic_outputs(network), torch_outputs(net), atol=1e-12)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_bidirectional_stacks_compute_what_torch_computes(tmp_path, x64, kind, layers):
    net = module(kind, num_layers=layers, bidirectional=True)
    network = loaded(written(tmp_path, net.state_dict()), kind)
    assert isinstance(network, Bidirectional)
    assert [part.name for part in network.parts[:2]] == ["layer 0, forward", "layer 0, backward"]
    assert network.num_layers == layers
    np.testing.assert_allclose(outputs(network, INPUTS), torch_outputs(net), atol=1e-12)


def test_what_each_direction_sees(tmp_path, x64):
    net = module("gru", num_layers=2, bidirectional=True)
    network = loaded(written(tmp_path, net.state_dict()), "gru")
    seen = seen_inputs(network, INPUTS)
    assert [entry.shape for entry in seen] == [(30, 3), (30, 3), (30, 10), (30, 10)]
    # Layer 0 of torch alone: what layer 1 must see, in the input's time and reversed.
    lower = module("gru", bidirectional=True)
    lower.load_state_dict({k: v for k, v in net.state_dict().items() if "_l0" in k})
    below = torch_outputs(lower)
    for entry, expected in zip(seen, [INPUTS, INPUTS[::-1], below, below[::-1]], strict=True):
        np.testing.assert_allclose(entry, expected, atol=1e-12)
    # Each cell, run by itself on what it sees, gives its half of torch's output.
    last = torch_outputs(net)
    np.testing.assert_allclose(
        echoic_outputs(network.parts[2].cell, seen[2]), last[:, :5], atol=1e-12
    )
    np.testing.assert_allclose(
        echoic_outputs(network.parts[3].cell, seen[3])[::-1], last[:, 5:], atol=1e-12
    )


def test_wrong_readings_of_a_bidirectional_stack_are_noticed(tmp_path, x64):
    net = module("lstm", num_layers=2, bidirectional=True)
    network = loaded(written(tmp_path, net.state_dict()))
    expected = torch_outputs(net)
    seen = seen_inputs(network, INPUTS)
    backward = network.parts[3].cell

    def right(entry, turn):
        return np.allclose(echoic_outputs(backward, entry)[::turn], expected[:, 5:], atol=1e-6)

    assert right(seen[3], -1)
    assert not right(seen[2], -1), "the input not reversed"
    assert not right(seen[3], 1), "the output not reversed back"
    assert not right(jnp.roll(seen[3], 5, axis=1), -1), "the directions of layer 0 exchanged"


def test_batches_of_sequences(tmp_path, x64):
    net = module("lstm", num_layers=2, bidirectional=True)
    network = loaded(written(tmp_path, net.state_dict()))
    batch = np.stack([INPUTS, INPUTS[::-1] * 2])
    np.testing.assert_allclose(outputs(network, batch), torch_outputs(net, batch), atol=1e-12)
    with pytest.raises(ValueError, match=r"numbers \(b, t, 3\), or .*, got shape \(1, 30, 2\)"):
        seen_inputs(network, INPUTS[:, :2])


@pytest.mark.parametrize(
    ("family", "mutate"),
    [
        ("lstm", lambda w: torch.cat([w[5:10], w[:5], w[10:]])),
        ("lstm", lambda w: torch.cat([w[:10], w[15:], w[10:15]])),
        ("gru", lambda w: torch.cat([w[5:10], w[:5], w[10:]])),
    ],
)
def test_a_swapped_gate_would_be_noticed(tmp_path, x64, family, mutate):
    net = module(family)
    state = {name: mutate(value) for name, value in net.state_dict().items()}
    network = loaded(written(tmp_path, state), family)
    assert np.abs(echoic_outputs(network) - torch_outputs(net)).max() > 1e-3


def test_the_second_candidate_bias_of_a_gru_is_not_just_added(tmp_path, x64):
    net = module("gru")
    state = dict(net.state_dict())
    state["bias_ih_l0"] = state["bias_ih_l0"] + state["bias_hh_l0"]
    state["bias_hh_l0"] = torch.zeros_like(state["bias_hh_l0"])
    network = loaded(written(tmp_path, state), "gru")
    assert np.abs(echoic_outputs(network) - torch_outputs(net)).max() > 1e-4


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Linear(2, 3)
        self.encoder = torch.nn.ModuleDict({"rnn": torch.nn.LSTM(3, 5, num_layers=2)})
        self.fc = torch.nn.Linear(5, 1)


def test_a_module_inside_a_model(tmp_path):
    torch.manual_seed(0)
    model = Model()
    path = written(tmp_path, model.state_dict())
    with pytest.warns(StoreWarning, match=r"left out.*embed\.weight.*fc\.bias"):
        network = echoic.load(path)
    expected = torch_outputs(model.encoder["rnn"], INPUTS.astype(np.float32))
    np.testing.assert_allclose(
        echoic_outputs(network, INPUTS.astype(np.float32)), expected, atol=1e-6
    )
    with pytest.warns(StoreWarning):
        assert isinstance(echoic.load(path, prefix="encoder.rnn"), cells.Network)
    with pytest.raises(ValueError, match=r"the prefix 'decoder'. Prefixes: 'encoder\.rnn\.'"):
        echoic.load(path, prefix="decoder")


def test_several_modules_need_a_prefix(tmp_path):
    lstm, gru = module("lstm"), module("gru")
    state = {f"encoder.{name}": value for name, value in lstm.state_dict().items()}
    state |= {f"decoder.{name}": value for name, value in gru.state_dict().items()}
    path = written(tmp_path, state)
    with pytest.raises(ValueError, match=r"several.*prefix=.*'decoder\.', 'encoder\.'"):
        echoic.load(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        assert isinstance(echoic.load(path, prefix="decoder"), cells.GRU)
        assert isinstance(echoic.load(path, prefix="encoder."), cells.LSTM)


@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])
def test_single_cells_of_torch(tmp_path, x64, kind):
    build = {"tanh": torch.nn.RNNCell, "gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell}[kind]
    torch.manual_seed(0)
    net = build(3, 5, dtype=torch.float64)
    cell = loaded(written(tmp_path, net.state_dict()), kind)
    state = cell.step(cell.initial_state(), jnp.asarray(INPUTS[0]))
    with torch.no_grad():
        expected = net(torch.from_numpy(INPUTS[:1]))
    expected = expected[0] if kind == "lstm" else expected
    np.testing.assert_allclose(cell.output(state), expected.numpy()[0], atol=1e-12)


def test_a_plain_rnn_does_not_tell_its_nonlinearity(tmp_path):
    path = written(tmp_path, module("relu").state_dict())
    with pytest.warns(StoreWarning, match="taken as tanh.*nonlinearity='relu'"):
        assert echoic.load(path).activation == "tanh"
    assert echoic.load(path, nonlinearity="relu").activation == "relu"
    with pytest.raises(ValueError, match=r"unknown nonlinearity 'rleu'. Did you mean 'relu'"):
        echoic.load(path, nonlinearity="rleu")
    path = written(tmp_path, module("gru").state_dict())
    with pytest.raises(ValueError, match=r"for a torch\.nn\.RNN; .* holds a torch\.nn\.GRU"):
        echoic.load(path, nonlinearity="relu")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_precision(tmp_path, dtype):
    net = module("gru").to(dtype)
    network = loaded(written(tmp_path, net.state_dict()), "gru")
    assert network.recurrent.dtype == jnp.float32
    np.testing.assert_array_equal(
        network.recurrent, net.state_dict()["weight_hh_l0"].to(torch.float32).numpy()
    )


def test_mixed_precision_takes_the_wider(tmp_path, x64):
    state = dict(module("lstm").state_dict())
    state["weight_hh_l0"] = state["weight_hh_l0"].to(torch.bfloat16)
    assert loaded(written(tmp_path, state)).recurrent.dtype == jnp.float64


def test_weights_that_are_not_floating(tmp_path):
    state = {k: v.to(torch.int8) for k, v in module("lstm").state_dict().items()}
    with pytest.raises(ValueError, match="has dtype I8; weights must be floating"):
        loaded(written(tmp_path, state))


def test_projections_are_refused(tmp_path):
    path = written(tmp_path, module("lstm", proj_size=2).state_dict())
    with pytest.raises(ValueError, match=r"projections \(proj_size, weight_hr\) is not supported"):
        loaded(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("weight_hh_l0"), "layer 0 has .*needs weight_ih and weight_hh"),
        (lambda s: s.pop("bias_hh_l0"), "both biases or none"),
        (lambda s: [s.pop(k) for k in list(s) if "_l0" in k], "weights of layer 0 are missing"),
        (lambda s: s.pop("bias_hh_l1"), "layer 1 has"),
        (lambda s: s.update(weight_hh_l0=torch.zeros(10, 5)), r"weight_hh has shape \(10, 5\)"),
        (lambda s: s.update(weight_hh_l0=torch.zeros(20)), r"weight_hh has shape \(20,\)"),
        (lambda s: s.update(weight_ih_l0=torch.zeros(15, 3)), r"must have shape \(20, 3\)"),
        (lambda s: s.update(weight_ih_l1=torch.zeros(20, 10)), r"must have shape \(20, 5\)"),
        (lambda s: s.update(bias_ih_l1_reverse=torch.zeros(20)), "layer 0, reverse are missing"),
    ],
)
def test_incomplete_modules(tmp_path, change, message):
    state = dict(module("lstm", num_layers=2, dtype=torch.float32).state_dict())
    change(state)
    with pytest.raises(ValueError, match=message) as caught:
        loaded(written(tmp_path, state))
    assert "m.safetensors" in str(caught.value)


def test_weights_from_torch_have_no_law_and_can_be_stored_again(tmp_path):
    network = loaded(written(tmp_path, module("lstm", num_layers=2).state_dict()))
    assert all(cell.hyperparameters() is None for cell in network.cells)
    again = echoic.load(echoic.save(network, tmp_path / "own.safetensors"))
    np.testing.assert_array_equal(again.cells[1].recurrent, network.cells[1].recurrent)


def test_bidirectional_stacks_are_cast_and_stored_again(tmp_path, x64):
    net = module("lstm", bidirectional=True)
    network = cast(loaded(written(tmp_path, net.state_dict())), jnp.float32)
    assert outputs(network, INPUTS).dtype == jnp.float32
    again = echoic.load(echoic.save(network, tmp_path / "own.safetensors"))
    np.testing.assert_array_equal(outputs(again, INPUTS), outputs(network, INPUTS))


def test_torch_is_not_needed(tmp_path):
    path = written(tmp_path, module("lstm").state_dict())
    code = f"import sys, echoic; echoic.load({str(path)!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
