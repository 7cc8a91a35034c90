"""The code that a recipe writes builds what the recipe builds, in either framework."""

import jax
import jax.random as jr
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import echoic
from echoic import init
from echoic.prescription.recipe import Recipe

N = 64
WEAK = {"recurrent": init.gaussian(0.01), "bias": init.zeros()}
RECIPES = {
    "default": Recipe("Elman"),
    "relu": Recipe("Elman", {"activation": "relu", "recurrent": init.identity(0.5)}),
    "orthogonal": Recipe(
        "Elman",
        {"recurrent": init.orthogonal(0.997), "input": init.normal(1e-3), "bias": init.zeros()},
    ),
    "weakly coupled": Recipe(
        "Elman", {"recurrent": init.weakly_coupled(init.identity(0.9), 0.05), "bias": init.zeros()}
    ),
    "chain": Recipe("Elman", {"recurrent": init.chain(1.02), "input": init.source(0.1)}),
    "feedback chain": Recipe("Elman", {"recurrent": init.feedback_chain(0.99, 0.03)}),
    "lstm chrono": Recipe("LSTM", {"bias": init.chrono(90)}),
    "lstm critical": Recipe(
        "LSTM",
        {"recurrent": init.gaussian(0.01), "input": init.normal(0.2), "bias": init.forget(6.0)},
    ),
    "lstm one gate": Recipe("LSTM", {"recurrent": {"g": init.chain(1.02)}}),
    "gru chrono": Recipe("GRU", {"bias": init.chrono(90), "candidate_bias": init.zeros()}),
    "gru critical": Recipe("GRU", {"recurrent": init.gaussian(0.01), "bias": init.forget(6.0)}),
    "minimal chrono": Recipe("MinimalRNN", {"bias": init.chrono(90)}),
    "minimal linear": Recipe("MinimalRNN", {"activation": "identity", "bias": init.constant(4.0)}),
    "residual": Recipe("Residual", {"residual": init.identity(0.9), "coupling": 0.1, **WEAK}),
    "residual decays": Recipe("Residual", {"residual": init.heterogeneous_decay(50, 5)}),
    "residual uniform": Recipe("Residual", {"residual": init.uniform_decay(0.5, 0.9)}),
    "residual rotation": Recipe("Residual", {"residual": init.rotation(0.99, period=28)}),
    "residual rotations": Recipe("Residual", {"residual": init.heterogeneous_rotation(0.99)}),
    "residual tanh": Recipe("Residual", {"residual": init.heterogeneous(50, 5), "path": "tanh"}),
    "linear": Recipe("LinearRNN", {"recurrent": init.orthogonal(0.99), "input": init.normal(0.1)}),
    "linear standard": Recipe("LinearRNN", {"parametrisation": "standard"}),
}


def executed(code):
    space = {"key": jr.key(0)}
    exec(code, space)
    return next(space[name] for name in ("cell", "rnn", "lstm", "gru") if name in space)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_jax_code_draws_the_same_numbers(recipe):
    ours = recipe.build(2, 8, key=jr.key(0))
    theirs = executed(recipe.snippets(2, 8)["JAX"])
    for mine, copied in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        if hasattr(mine, "shape"):
            np.testing.assert_allclose(mine, copied, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_torch_code_draws_from_the_same_law_and_computes_the_same(recipe, tmp_path):
    torch.manual_seed(0)
    module = executed(recipe.snippets(2, N)["PyTorch"])
    cell = recipe.build(2, N, key=jr.key(1))
    drawn = copied(cell, module, tmp_path)
    for name, theirs in drawn.items():
        mine, theirs = np.asarray(getattr(cell, name)), np.asarray(theirs)
        assert mine.shape == theirs.shape
        # 128 entries at least, kurtosis 3: the spread of the spread is 9 %; four of them, twice.
        np.testing.assert_allclose(theirs.mean(), mine.mean(), atol=0.5 * mine.std() + 1e-6)
        np.testing.assert_allclose(theirs.std(), mine.std(), rtol=0.5, atol=1e-6)
    xs = np.random.default_rng(0).normal(size=(12, 2)).astype("float32")
    with torch.no_grad():
        theirs = module(torch.tensor(xs)[None])[0][0].numpy()
    same = jax.tree_util.tree_map(lambda x: x, cell)
    for name, value in drawn.items():
        object.__setattr__(same, name, jax.numpy.asarray(np.asarray(value)))
    state, ours = same.initial_state(), []
    for x in xs:
        state = same.step(state, jax.numpy.asarray(x))
        ours.append(same.read(state))
    np.testing.assert_allclose(np.stack(ours), theirs, rtol=1e-4, atol=1e-5)


def copied(cell, module, folder):
    """The arrays of the module under the names of the cell's fields."""
    family = type(cell).__name__
    if family in ("Elman", "LSTM", "GRU"):
        save_file(module.state_dict(), folder / "module.safetensors")
        words = {"nonlinearity": cell.activation} if family == "Elman" else {}
        other = echoic.load(folder / "module.safetensors", **words)
        names = ("recurrent", "input", "bias") + (("candidate_bias",) if family == "GRU" else ())
        return {name: getattr(other, name) for name in names}
    found = {k: v.numpy() for k, v in module.state_dict().items()}
    if family == "MinimalRNN":
        return {
            "recurrent": found["gate_h.weight"],
            "input": found["gate_z.weight"],
            "bias": found["gate_z.bias"],
            "embedding": found["embed.weight"],
            "embedding_bias": found["embed.bias"],
        }
    if family == "LinearRNN":
        return {"recurrent": found["recurrent.weight"], "input": found["input.weight"]}
    return {
        "recurrent": found["coupled.weight"],
        "input": found["input.weight"],
        "bias": found["input.bias"],
        "moduli": found["decay"],
        "angles": np.arctan2(found["sin"], found["cos"]),
    }


def test_chrono_mirrors_the_writing_gate_unit_by_unit():
    module = executed(RECIPES["lstm chrono"].snippets(1, 8)["PyTorch"])
    bias = module.bias_ih_l0.detach().numpy().reshape(4, 8)
    np.testing.assert_array_equal(bias[0], -bias[1])
    assert not module.bias_hh_l0.any()


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("Elman", {"activation": "elu"}),
        Recipe("PeepholeLSTM"),
        Recipe("Elman", {"recurrent": init.weakly_coupled(init.rotation(0.9, period=5))}),
    ],
)
def test_what_pytorch_has_no_code_for_has_jax_code_only(recipe):
    assert list(recipe.snippets(1, 8)) == ["JAX"]


def test_an_unknown_cell_is_refused():
    with pytest.raises(ValueError, match="unknown cell"):
        Recipe("Transformer")
