"""What counts as an input that varies."""

import jax.numpy as jnp
import numpy as np
import pytest

from echoic.measure.windows import prepare, spread


@pytest.mark.parametrize("level", [0.1, 0.25, 1 / 3, -1e6])
def test_a_constant_does_not_vary_whatever_its_digits(level):
    constant = jnp.full((2, 1000, 1), level)
    assert float(spread(constant)[0]) == 0
    assert not prepare(lambda h, x: h + x, constant, jnp.zeros(1), None).driven


def test_the_spread_of_small_and_large_numbers_is_in_proportion(x64):
    xs = np.random.default_rng(0).normal(2, 3, size=(3, 50, 2))
    for scale in (1e-170, 1.0, 1e170):
        found = spread(jnp.asarray(scale * xs)) / scale
        np.testing.assert_allclose(found, xs.std((0, 1)), rtol=1e-12)
