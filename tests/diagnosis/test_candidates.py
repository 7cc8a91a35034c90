"""The built-in networks are what their names say, and the code to copy builds the same ones."""

import jax
import jax.random as jr
import numpy as np
import pytest
import torch

from echoic.diagnosis.candidates import CANDIDATES, select, sized

IDS = [f"{c.cell}-{c.init}" for c in CANDIDATES]


def built(candidate, units=8, horizon=30):
    return candidate.build(1, units, horizon, key=jr.key(0))


def executed(candidate, framework, units=8, horizon=30):
    space = {"key": jr.key(0)}
    exec(candidate.snippets(1, units, horizon)[framework], space)
    return next(space[name] for name in ("cell", "rnn", "lstm", "gru") if name in space)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=IDS)
def test_the_jax_snippet_builds_the_same_law(candidate):
    ours, theirs = built(candidate), executed(candidate, "JAX")
    assert type(ours) is type(theirs)
    for mine, copied in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        if hasattr(mine, "shape"):
            np.testing.assert_allclose(mine, copied, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=IDS)
def test_the_torch_snippet_runs_and_draws_from_the_same_law(candidate):
    torch.manual_seed(0)
    module = executed(candidate, "PyTorch", units=64)
    outputs = module(torch.randn(2, 5, 1))[0]
    assert outputs.shape == (2, 5, 64)
    ours, state = built(candidate, units=64), module.state_dict()
    recurrent = next(
        state[name] for name in ("weight_hh_l0", "gate_h.weight", "coupled.weight") if name in state
    ).numpy()
    mine = np.asarray(ours.recurrent)
    assert mine.shape == recurrent.shape
    if candidate.init in ("identity", "chain", "feedback_chain"):
        np.testing.assert_allclose(mine, recurrent, atol=1e-6)
    else:
        # Spread of 4096 entries at least: 3 % is more than 4 standard errors of it.
        assert recurrent.std() == pytest.approx(mine.std(), rel=0.05)
    if candidate.init == "orthogonal":
        np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(64), atol=1e-5)
    if candidate.init == "chrono":
        bias = np.concatenate([v.numpy() for k, v in state.items() if "bias" in k])
        assert np.log(29) + 1e-6 >= bias.max() > np.log(20)


def test_the_residual_of_the_torch_snippet_is_ours():
    """The same arrays in both give the same states."""
    (candidate,) = select(["residual"], ["heterogeneous"])
    module, cell = executed(candidate, "PyTorch"), built(candidate)
    with torch.no_grad():
        module.coupled.weight.copy_(torch.tensor(np.asarray(cell.recurrent)))
        module.input.weight.copy_(torch.tensor(np.asarray(cell.input)))
        module.decay.copy_(torch.tensor(np.asarray(cell.moduli)))
        module.cos.copy_(torch.tensor(np.cos(np.asarray(cell.angles))))
        module.sin.copy_(torch.tensor(np.sin(np.asarray(cell.angles))))
    xs = np.random.default_rng(0).normal(size=(20, 1)).astype("float32")
    theirs = module(torch.tensor(xs)[None])[0][0].detach().numpy()
    state, ours = cell.initial_state(), []
    for x in xs:
        state = cell.step(state, jax.numpy.asarray(x))
        ours.append(state)
    np.testing.assert_allclose(np.stack(ours), theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=IDS)
@pytest.mark.parametrize("equal", ["units", "state", "parameters"])
def test_sizes_that_are_equal_in_what_was_asked(candidate, equal):
    units = sized(candidate, 1, 33, 30, equal)
    cell = built(candidate, units)
    assert not (candidate.even and units % 2)
    if equal == "units":
        assert units in (33, 32)
    if equal == "state":
        assert 31 <= cell.state_size <= 33
    if equal == "parameters":
        elman = built(CANDIDATES[0], 33).num_parameters
        step = 2 if candidate.even else 1
        assert cell.num_parameters <= elman < built(candidate, units + step).num_parameters


def test_selection_by_cell_and_initialisation():
    assert [c.name for c in select(["lstm"], ["chrono"])] == ["LSTM, chrono"]
    assert {c.cell for c in select(None, ["chrono"])} == {"lstm", "gru", "minimal_rnn"}
    assert select() == CANDIDATES
