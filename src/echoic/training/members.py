"""The networks of a run before training: built, brought to one form, and taken apart."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import PRNGKeyArray, PyTree

from echoic.cells.network import Network
from echoic.cells.readout import Readout
from echoic.core.cell import AbstractCell, without_law
from echoic.core.model import AbstractModel
from echoic.core.trainable import trainable_filter
from echoic.training.loop import Constants
from echoic.training.optimiser import Rule, numbers

Build = Callable[[PRNGKeyArray], AbstractCell | AbstractModel]


def build_models(
    model: AbstractCell | AbstractModel | Build | Sequence[Any],
    output_size: int,
    keys: Sequence[PRNGKeyArray],
) -> list[AbstractModel]:
    """One model with a readout for each key.

    **Raises** ValueError for one network where several are wanted, for a number of networks other
    than that of the keys, and for networks that differ in more than their arrays' values.
    """
    if isinstance(model, list | tuple):
        given = list(model)
    elif isinstance(model, AbstractCell | AbstractModel):
        given = [model]
        if len(keys) > 1:
            raise ValueError(
                f"{len(keys)} seeds need {len(keys)} networks: pass a function key -> network, or"
                " a list of them, instead of one network."
            )
    else:
        given = [model] * len(keys)
    if len(given) != len(keys):
        raise ValueError(f"got {len(given)} networks for {len(keys)} seeds: they must be as many.")
    built = [_with_readout(one, output_size, key) for one, key in zip(given, keys, strict=True)]
    for one in built[1:]:
        _refuse_other_form(built[0], one)
    return built


def _with_readout(model: Any, output_size: int, key: PRNGKeyArray) -> AbstractModel:
    build_key, readout_key = jr.split(key)
    if not isinstance(model, AbstractCell | AbstractModel):
        if not callable(model):
            raise ValueError(
                "model must be a cell, a network, a function key -> cell or network, or a list of"
                f" these, got {model!r}."
            )
        model = model(build_key)
    if isinstance(model, AbstractCell) and not isinstance(model, AbstractModel):
        model = Network(model)
    if not isinstance(model, AbstractModel):
        raise ValueError(f"model(key) must return a cell or a network, got {type(model).__name__}.")
    model = without_law(model)
    if model.readout is None:
        (dtype, *_) = {
            leaf.dtype for leaf in jtu.tree_leaves(eqx.filter(model, eqx.is_inexact_array))
        }
        readout = Readout(model.hidden_size, output_size, key=readout_key, dtype=dtype)
        model = eqx.tree_at(
            lambda net: net.readout, model, readout, is_leaf=lambda leaf: leaf is None
        )
    return model


def _refuse_other_form(first: AbstractModel, other: AbstractModel) -> None:
    arrays, rest = eqx.partition(first, eqx.is_array)
    other_arrays, other_rest = eqx.partition(other, eqx.is_array)
    shapes = [
        jtu.tree_map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (arrays, other_arrays)
    ]
    if shapes[0] != shapes[1] or not eqx.tree_equal(rest, other_rest):
        raise ValueError(
            "the networks of one run may differ in the values of their weights only; train networks"
            " of other sizes, cells or options in runs of their own."
        )


def take_apart(
    models: Sequence[AbstractModel],
    rules: Sequence[Rule],
    steps: int,
    data_keys: Sequence[PRNGKeyArray],
    dropout_keys: Sequence[PRNGKeyArray],
) -> tuple[PyTree, list[PyTree], list[Constants]]:
    """What the models share, the trained weights of each, and what of each never changes."""
    weights, constants, static = [], [], None
    for model, rule, data_key, dropout_key in zip(
        models, rules, data_keys, dropout_keys, strict=True
    ):
        trained, rest = eqx.partition(model, trainable_filter(model))
        fixed, static = eqx.partition(rest, eqx.is_array)
        leaves = jtu.tree_leaves(trained)
        if not leaves:
            raise ValueError("the network has no array that could be trained.")
        # Copies: training gives its arrays away, and these belong to the user.
        weights.append(jtu.tree_map(lambda leaf: jnp.array(leaf, copy=True), trained))
        traced = numbers(rule, leaves[0].dtype, steps)
        constants.append(Constants(fixed, traced, data_key, dropout_key))
    return static, weights, constants


def stack(trees: Sequence[PyTree]) -> PyTree:
    """Trees of arrays as one, with a leading axis."""
    return jtu.tree_map(lambda *leaves: jnp.stack(leaves), *trees)


def part(tree: PyTree, index: int) -> PyTree:
    """One of a stacked tree."""
    return jax.tree_util.tree_map(lambda leaf: leaf[index], tree)
