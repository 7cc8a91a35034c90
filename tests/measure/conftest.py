"""What the tests of measures share: every cell that there is, and how an oracle is put to use."""

import functools
import importlib.util
import pathlib

import numpy as np
import pytest


@functools.cache
def example_cells():
    """A function that builds it for each example of the cells' own contract test, by name."""
    path = pathlib.Path(__file__).parents[1] / "cells" / "test_contract.py"
    spec = importlib.util.spec_from_file_location("cells_contract", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {
        f"{kind.__name__}-{i}": build
        for kind, builds in module.EXAMPLES.items()
        for i, build in enumerate(builds)
    }


def pytest_generate_tests(metafunc):
    """``build_cell``: each example. ``oracle``: each in the file's ORACLES, those in SLOW slow."""
    if "build_cell" in metafunc.fixturenames:
        cells = example_cells()
        metafunc.parametrize("build_cell", cells.values(), ids=cells.keys())
    if "oracle" in metafunc.fixturenames:
        slow = getattr(metafunc.module, "SLOW", ())
        params = [
            pytest.param(oracle, id=name, marks=pytest.mark.slow if name in slow else ())
            for name, oracle in metafunc.module.ORACLES.items()
        ]
        metafunc.parametrize("oracle", params)


@pytest.fixture
def assert_oracle():
    """An oracle gives what was measured, the right answer, wrong ones by name, a tolerance."""

    def check(measured, right, wrong, tolerance):
        def passes(expected):
            with np.errstate(invalid="ignore"):
                gap = np.abs(np.asarray(measured) - np.asarray(expected))
            return bool(np.all(gap <= tolerance))

        assert passes(right)
        assert len(wrong) >= 2
        assert [mutant for mutant, value in wrong.items() if passes(value)] == []

    return check
