"""The built-in networks are what their names say, and the code to copy builds the same ones."""

import jax.random as jr
import pytest

from echoic.diagnosis.candidates import CANDIDATES, select, sized

IDS = [f"{c.cell}-{c.init}" for c in CANDIDATES]


def built(candidate, units=8, horizon=30):
    return candidate.build(1, units, horizon, key=jr.key(0))


@pytest.mark.parametrize("candidate", CANDIDATES, ids=IDS)
def test_every_candidate_has_code_in_both_frameworks_with_its_sizes(candidate):
    code = candidate.snippets(3, 20, 30)
    assert set(code) == {"JAX", "PyTorch"}
    assert all("3, 20" in text for text in code.values())


@pytest.mark.parametrize("candidate", CANDIDATES, ids=IDS)
@pytest.mark.parametrize(
    "equal", ["units", "state", pytest.param("parameters", marks=pytest.mark.slow)]
)
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
