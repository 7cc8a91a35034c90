"""Strict numerics for every test: no silent promotion of types or ranks."""

from typing import NamedTuple

import jax
import numpy as np
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


class Widening(NamedTuple):
    """Linear networks of growing width, whose kernel tends to Emami et al.'s limit."""

    transition: float
    at_1024: float
    sizes: tuple[int, ...]

    def accepts(self, errors):
        """Whether they fall like the root of the width, to what is small at 1024 units."""
        slope = np.polyfit(np.log(self.sizes), np.log(errors), 1)[0]
        return -0.65 < slope < -0.35 and errors[self.sizes.index(1024)] < self.at_1024


@pytest.fixture(
    params=[
        Widening(0.3, 0.07, (64, 256, 1024)),
        pytest.param(Widening(0.3, 0.07, (64, 256, 1024, 4096)), marks=pytest.mark.slow),
        pytest.param(Widening(0.9, 0.18, (64, 256, 1024, 4096)), marks=pytest.mark.slow),
    ],
    ids=str,
)
def widening(request):
    """What theory and measure are both held to."""
    return request.param
