"""Strict numerics for every test: no silent promotion of types or ranks."""

import jax
import pytest
import scipy.linalg  # noqa: F401 - loads the BLAS that is to be limited
import threadpoolctl

# Workers share the cores: threads of BLAS that wait for each other spin on the others' time.
threadpoolctl.threadpool_limits(1, user_api="blas")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
