"""Every cell that echoic has keeps the contract; no list by hand can forget a newcomer."""

import importlib
import inspect
import pkgutil

import jax.numpy as jnp
import jax.random as jr
import pytest

import echoic.cells
from echoic import init
from echoic.cells import (
    GRU,
    LSTM,
    Elman,
    FullPeepholeLSTM,
    LinearRNN,
    MinimalRNN,
    Network,
    PeepholeLSTM,
    Readout,
    ResetBeforeGRU,
    Residual,
)
from echoic.core.cell import AbstractCell, FunctionCell, as_cell
from echoic.testing import check_cell

KEYS = jr.split(jr.key(0), 3)
# One size for all, so that the small operations compile once.
M, N = 2, 4


def network():
    cells = [FullPeepholeLSTM(M, N, key=KEYS[0]), Elman(N, N, key=KEYS[1])]
    return Network(cells, Readout(N, 1, key=KEYS[2]))


EXAMPLES = {
    Elman: [
        lambda: Elman(M, N, key=KEYS[0]),
        lambda: Elman(M, N, activation="modrelu", key=KEYS[0]),
        lambda: Elman(M, N, activation="identity", key=KEYS[0]),
    ],
    Residual: [
        lambda: Residual(M, N, coupling=0.3, key=KEYS[0]),
        lambda: Residual(M, N, residual=init.heterogeneous(), path="tanh", key=KEYS[0]),
    ],
    MinimalRNN: [
        lambda: MinimalRNN(M, N, key=KEYS[0]),
    ],
    LinearRNN: [
        lambda: LinearRNN(M, N, key=KEYS[0]),
    ],
    LSTM: [lambda: LSTM(M, N, key=KEYS[0])],
    PeepholeLSTM: [lambda: PeepholeLSTM(M, N, key=KEYS[0])],
    FullPeepholeLSTM: [lambda: FullPeepholeLSTM(M, N, key=KEYS[0])],
    GRU: [lambda: GRU(M, N, key=KEYS[0])],
    ResetBeforeGRU: [lambda: ResetBeforeGRU(M, N, key=KEYS[0])],
    Network: [network, lambda: Network(LinearRNN(M, N, key=KEYS[0]))],
    FunctionCell: [
        lambda: as_cell(lambda h, x: jnp.tanh(h[::-1] + x.sum()), jnp.zeros(N), M),
        lambda: as_cell(lambda s, x: {"a": jnp.sin(s["a"])}, {"a": jnp.ones((2, 3))}),
    ],
}


def concrete_subclasses(cls):
    """Those of the library; tests define broken ones of their own."""
    for package in (echoic.cells,):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    below = [sub for direct in cls.__subclasses__() for sub in (direct, *_descend(direct))]
    return {
        sub
        for sub in below
        if not inspect.isabstract(sub)
        and sub.__module__.startswith("echoic.")
        and not sub.__name__.startswith("_")
    }


def _descend(cls):
    return [sub for direct in cls.__subclasses__() for sub in (direct, *_descend(direct))]


def test_every_cell_has_an_example():
    assert concrete_subclasses(AbstractCell) == set(EXAMPLES)


def test_cells_are_final():
    for cls in concrete_subclasses(AbstractCell):
        assert not concrete_subclasses(cls)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(build, id=f"{cls.__name__}-{i}")
        for cls, builds in EXAMPLES.items()
        for i, build in enumerate(builds)
    ],
)
def test_cell_keeps_the_contract(build):
    check_cell(build(), key=jr.key(7))
