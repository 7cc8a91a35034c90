"""Measurements on the way: the values that the measures themselves give, in the right lines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from echoic import init
from echoic.cells import Bidirectional, Elman, Network, Readout
from echoic.core.cell import without_law
from echoic.training import Diagnostics, Optimiser, train
from echoic.training.diagnostics import diagnose

KEY = jax.random.key(0)


def linear(key):
    """Around its state 0, where it stays, h' = 0.8 Q h: every exponent is log 0.8."""
    return Elman(
        1,
        4,
        recurrent=init.orthogonal(0.8),
        input=init.zeros(),
        bias=init.zeros(),
        key=key,
    )


@pytest.mark.slow
def test_a_linear_network_has_the_exponent_and_the_reach_of_its_matrix(mean):
    model = without_law(Network(linear(KEY), Readout(4, 1, key=KEY)))
    batch = mean.sample(KEY, 16)
    found = diagnose(model, batch, "mean_squared_error", Diagnostics(), key=KEY)
    assert found["lyapunov_exponent"] == pytest.approx(np.log(0.8), abs=1e-4)
    assert found["log_gradient_reach"] == pytest.approx(5 * np.log(0.8), abs=1e-3)
    nearer = Diagnostics(lag=2, roughness=False, lyapunov_exponent=False)
    found = diagnose(model, batch, "mean_squared_error", nearer, key=KEY)
    assert found == {"log_gradient_reach": pytest.approx(2 * np.log(0.8), abs=1e-3)}


@pytest.mark.slow
def test_roughness_is_the_largest_eigenvalue_of_the_hessian(mean):
    model = without_law(Network(Elman(1, 4, key=KEY), Readout(4, 1, key=KEY)))
    batch = mean.sample(KEY, 16)
    wanted = Diagnostics(lyapunov_exponent=False, gradient_reach=False)
    found = diagnose(model, batch, "mean_squared_error", wanted, key=KEY)["hessian_eigenvalue"]
    vector, restore = jax.flatten_util.ravel_pytree(model)

    def cost(vector):
        one = restore(vector)
        outputs = one.predict(one.run(batch.inputs[:8], last=True).trajectory)
        return jnp.mean((outputs - batch.targets[:8]) ** 2)

    eigenvalues = np.linalg.eigvalsh(np.asarray(jax.jacrev(jax.grad(cost))(vector)))
    assert found == pytest.approx(eigenvalues[-1], rel=2e-3)
    assert abs(eigenvalues[-2] / eigenvalues[-1] - 1) > 0.01


@pytest.mark.slow
def test_they_stand_in_the_lines_where_they_were_taken(mean):
    wanted = Diagnostics(every=30, lyapunov_exponent=False, roughness=False)
    run = train(
        linear,
        mean,
        steps=80,
        batch=8,
        every=20,
        validation_size=16,
        key=KEY,
        optimiser=Optimiser(learning_rate=0.0, clip=1.0),
        diagnostics=wanted,
    )
    steps, values = run.history.curve("log_gradient_reach")
    assert steps.tolist() == [40, 80]
    assert values == pytest.approx(5 * np.log(0.8), abs=1e-3)
    assert "hessian_eigenvalue" not in run.history.columns


@pytest.mark.slow
def test_symbols_are_measured_as_one_hot_vectors(text):
    cell = Elman(3, 4, recurrent=init.orthogonal(0.5), activation="identity", key=KEY)
    model = without_law(Network(cell, Readout(4, 3, key=KEY)))
    wanted = Diagnostics(roughness=False, lyapunov_exponent=False)
    found = diagnose(model, text.segment(0, 2), "cross_entropy", wanted, key=KEY)
    assert found["log_gradient_reach"] == pytest.approx(5 * np.log(0.5), abs=1e-3)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match=r"every must lie in 1\.\., got 0"):
        Diagnostics(every=0)
    with pytest.raises(ValueError, match=r"lag must lie in 1\.\., got 0"):
        Diagnostics(lag=0)
    with pytest.raises(ValueError, match="sequences must lie in 1"):
        Diagnostics(sequences=0)


def test_a_bidirectional_network_has_no_exponents(mean):
    model = Bidirectional([(linear(KEY), linear(KEY))], Readout(8, 1, key=KEY))
    options = {"steps": 20, "key": KEY, "diagnostics": Diagnostics()}
    with pytest.raises(ValueError, match="Bidirectional is no cell: only its roughness"):
        train(model, mean, **options)
