"""A chain fed at the wrong end is found; whatever else is left in peace."""

import equinox as eqx
import jax.random as jr
import pytest

from echoic import cells, init
from echoic.diagnosis.structure import structure_warnings


def elman(recurrent, input, n=20):
    return cells.Elman(1, n, recurrent=recurrent, input=input, bias=init.zeros(), key=jr.key(0))


@pytest.mark.parametrize("chain", [init.chain(1.02), init.feedback_chain(0.99, 0.04)])
def test_a_chain_fed_at_its_source_is_fine_and_a_transposed_one_is_not(chain):
    cell = elman(chain, init.source(0.9))
    assert structure_warnings(cell) == ()
    transposed = eqx.tree_at(lambda c: c.recurrent, cell, cell.recurrent.T)
    (warning,) = structure_warnings(transposed)
    assert "from the last unit to the first" in warning
    assert "only 0 %" in warning


def test_a_chain_fed_everywhere_is_flagged_with_the_share_that_enters():
    (warning,) = structure_warnings(elman(init.chain(1.0), init.constant(1.0)))
    assert "only 5 % of the input's power" in warning


@pytest.mark.parametrize("dense", [init.orthogonal(1.0), init.gaussian(1.0), init.identity(1.0)])
def test_other_matrices_are_no_chains(dense):
    assert structure_warnings(elman(dense, init.normal(0.1))) == ()


def test_gated_cells_are_not_asked():
    assert structure_warnings(cells.LSTM(1, 4, key=jr.key(0))) == ()
