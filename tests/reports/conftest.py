import importlib.util
import pathlib

import pytest

_PATH = pathlib.Path(__file__).with_name("synthetic.py")
_SPEC = importlib.util.spec_from_file_location("synthetic", _PATH)
_synthetic = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_synthetic)


@pytest.fixture(scope="session")
def synthetic():
    """The module that makes reports up."""
    return _synthetic


@pytest.fixture(scope="session")
def record():
    """Twelve networks with everything that can go wrong in them."""
    return _synthetic.report()


@pytest.fixture(scope="session")
def small():
    """Four networks with few lags, for what looks at every number."""
    return _synthetic.report(4, max_lag=300, units=24)


@pytest.fixture(scope="session")
def broken():
    """A record in which hardly anything is known."""
    return _synthetic.broken()
