"""Measures at 1,000 units and 100,000 steps: what fits runs, what does not is refused by its size.

What a compiled measure needs is asked of the compiler, for every one that can be traced: nothing is
run. Those that work on the host are run, as far as their cost allows.
"""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from echoic import measure
from echoic.cells import Elman, LinearRNN, Network, Readout
from echoic.core.cell import cast, without_law
from echoic.core.task import Batch

KEY = jr.key(0)
UNITS, STEPS, LAGS = 1_000, 100_000, 50
LIMIT = 8e9

WINDOWS = {"max_lag": LAGS, "burn_in": 50, "starts": 4, "key": KEY, "throw": False}
RUN = {"key": KEY, "throw": False}


def first(outputs):
    return outputs[..., :1]


def cost(xs):
    return measure.mean_squared_cost(first, xs, jnp.zeros((STEPS, 1)))


def direction(cell):
    return measure.random_direction(cell, key=KEY)


def line(cell):
    return measure.line_of_cells(cell, direction(cell))


# From a network and its input to what a measure says; all in one precision, float64.
COMPILED = {
    "channel_reach": lambda c, xs: measure.channel_reach(c, xs, **WINDOWS),
    "coherent_reach": lambda c, xs: measure.coherent_reach(c, xs, exact=True, **WINDOWS),
    "cost_sensitivity": lambda c, xs: measure.cost_sensitivity(line(c), 0.1, xs, readout=first),
    "covariant_vectors": lambda c, xs: measure.covariant_vectors(c, xs, num_exponents=3, **RUN),
    "driven_minus_autonomous": lambda c, xs: measure.driven_minus_autonomous(c, xs, **RUN),
    "finite_time_exponents": lambda c, xs: measure.finite_time_exponents(c, xs, window=10, **RUN),
    "fisher_bound": lambda c, xs: measure.fisher_bound(c, xs, **WINDOWS),
    "fisher_memory": lambda c, xs: measure.fisher_memory(c, xs, max_lag=LAGS, **RUN),
    "flossing_penalty": lambda c, xs: eqx.filter_grad(
        lambda cell: measure.flossing_penalty(cell, xs, num_exponents=100, key=KEY)
    )(c),
    "gradient_reach": lambda c, xs: measure.gradient_reach(c, xs, exact=True, **WINDOWS),
    "impulse_response": lambda c, xs: measure.impulse_response(c, xs, max_lag=STEPS - 1),
    "input_reach": lambda c, xs: measure.input_reach(c, xs, **WINDOWS),
    "jacobian_moments": lambda c, xs: measure.jacobian_moments(
        lambda key: c, xs, steps=LAGS, key=KEY
    ),
    "jacobian_singular_values": lambda c, xs: measure.jacobian_singular_values(
        c, xs, lag=LAGS, **RUN
    ),
    "learned_response": lambda c, xs: measure.learned_response(c, line(c)(0.1), xs, max_lag=LAGS),
    "lyapunov_spectrum": lambda c, xs: measure.lyapunov_spectrum(c, xs, **RUN),
    "mean_squared_cost": lambda c, xs: cost(xs)(c),
    "orbit_diagram": lambda c, xs: measure.orbit_diagram(line(c), jnp.linspace(0, 1, 50), **RUN),
    "reach_curves": lambda c, xs: measure.reach_curves(c, xs, **WINDOWS),
    "readout_visibility": lambda c, xs: measure.readout_visibility(c, xs, readout=first, **WINDOWS),
    "signal_propagation": lambda c, xs: measure.signal_propagation(c, xs, -xs),
    "slow_subspace": lambda c, xs: measure.slow_subspace(c, xs, lag=LAGS, **RUN),
    "unit_time_constants": lambda c, xs: measure.unit_time_constants(c, xs, max_lag=LAGS, **RUN),
}

# What does not fit, and what the refusal calls it.
REFUSED = {
    "context_ablation": (
        lambda c, xs: measure.context_ablation(
            Network(c, Readout(UNITS, 1, key=KEY, dtype=jnp.float64)),
            Batch(jnp.zeros((16, STEPS, 1)), jnp.zeros((16, STEPS, 1))),
            "mean_squared_error",
            lags=LAGS,
            key=KEY,
        ),
        "the outputs of all sequences",
    ),
    "cost_lipschitz": (
        lambda c, xs: measure.cost_lipschitz(c, cost(xs), key=KEY, radius=0.1),
        "keep of the run",
    ),
    "cost_slice": (
        lambda c, xs: measure.cost_slice(c, cost(xs), direction(c), at=np.linspace(-1, 1, 9)),
        "batch_size=64 costs",
    ),
    "covariant_vectors": (
        lambda c, xs: measure.covariant_vectors(c, xs, num_exponents=100, **RUN),
        "the frames of all steps",
    ),
    "basin_fractions": (
        lambda c, xs: measure.basin_fractions(c, starts=10_000, key=KEY),
        "the orbits",
    ),
    "fixed_points": (
        lambda c, xs: measure.fixed_points(c, starts=2_000_000, key=KEY),
        "2,000,000 starts",
    ),
    "floss": (
        lambda c, xs: measure.floss(c, xs, num_exponents=1_000, key=KEY),
        "the way back",
    ),
    "hessian_density": (
        lambda c, xs: measure.hessian_density(c, cost(xs), key=KEY),
        "keep of the run",
    ),
    "hessian_eigenvalues": (
        lambda c, xs: measure.hessian_eigenvalues(c, cost(xs), key=KEY),
        "keep of the run",
    ),
    "kernel_drift": (
        lambda c, xs: measure.kernel_drift([c, c], xs, readouts=[first, first]),
        "The kernel",
    ),
    "lag_kernel": (
        lambda c, xs: measure.lag_kernel(c.recurrent, c.input, np.eye(UNITS), LAGS),
        "The kernel of the lags",
    ),
    "linear_tangent_kernel": (
        lambda c, xs: measure.linear_tangent_kernel(
            c.recurrent, c.input, np.eye(UNITS)[:1], np.zeros((STEPS, 1))
        ),
        "The kernel of the lags",
    ),
    "slow_subspace": (
        lambda c, xs: measure.slow_subspace(c, xs, lag=LAGS, starts=1_000, **RUN),
        "the frames",
    ),
    "tangent_kernel": (
        lambda c, xs: measure.tangent_kernel(c, xs, readout=first),
        "The kernel",
    ),
}

# Run in full, each in seconds to a minute.
HOST = {
    "chain_motif": lambda c, xs: measure.chain_motif(c, key=KEY, permutations=20),
    "channel_recall": lambda c, xs: measure.channel_recall(c, xs, max_lag=LAGS, steps=2000, **RUN),
    "effective_spectral_radius": lambda c, xs: measure.effective_spectral_radius(c),
    "fixed_points": lambda c, xs: measure.fixed_points(c, starts=2, wander_steps=10, **RUN),
    "gradient_reach": COMPILED["reach_curves"],
    "linear_recall": lambda c, xs: measure.linear_recall(c, xs, max_lag=LAGS, steps=2000, **RUN),
    "mode_time_constants": lambda c, xs: measure.mode_time_constants(
        c, point=c.initial_state(), throw=False
    ),
    "raw_recall": lambda c, xs: measure.raw_recall(c, xs, max_lag=LAGS, steps=2000, key=KEY),
    "basin_fractions": lambda c, xs: measure.basin_fractions(
        c, starts=4, burn_in=20, samples=8, max_period=4, exponent_steps=20, **RUN
    ),
}

# Of a linear network, with the right answer by the squared length of V where it is known.
POWERS = 0.81 ** np.arange(LAGS + 1)
LINEAR = {
    "fisher_capacity": (measure.fisher_capacity, lambda square: 1),
    "fisher_memory": (
        lambda c: measure.fisher_memory(c, max_lag=LAGS),
        lambda square: square * 0.19 * POWERS,
    ),
    "fisher_memory_matrix": (measure.fisher_memory_matrix, lambda square: np.eye(UNITS)),
    "linear_recall": (lambda c: measure.linear_recall(c, max_lag=LAGS, key=KEY), None),
    "noisy_recall": (
        lambda c: measure.noisy_recall(c, max_lag=LAGS, noise_variance=0.1),
        None,
    ),
}

ELSEWHERE = {
    "of a result, which has its size by then": {
        "entropy_rate",
        "fit_timescale",
        "growth_rate",
        "join_runs",
        "kaplan_yorke_dimension",
        "kernel_distance",
        "lyapunov_convergence",
        "strict_minima",
    },
    "of a matrix: no steps, refused by its size in the tests of matrices": {
        "henrici_departure",
        "kreiss_constant",
        "nonnormality",
        "numerical_radius",
        "pseudospectrum",
        "schur_profile",
        "transient_growth",
    },
    "of cells: as large as these": {"filter_normalised", "line_of_cells", "random_direction"},
    "runs of lyapunov_spectrum, one after the other": {"lyapunov_ensemble", "lyapunov_until"},
    "of matrices that are given, t n^2 numbers": {"lyapunov_from_jacobians"},
    "holds the states at the ends of segments of sqrt(t) steps": {"task_gradient_reach"},
    "draws its network itself, a vector at a time": {"untied_propagation"},
}


def test_every_measure_has_a_size():
    public = {n for n in measure.__all__ if inspect.isfunction(inspect.unwrap(getattr(measure, n)))}
    assert public == set(COMPILED) | set(REFUSED) | set(HOST) | set(LINEAR) | set().union(
        *ELSEWHERE.values()
    )


def shapes(kind=Elman):
    """A network of this size as shapes: 8 MB of weights that nothing needs."""
    return eqx.filter_eval_shape(
        lambda key: cast(without_law(kind(1, UNITS, key=key)), jnp.float64), KEY
    )


def bytes_of_compiled(call):
    """What a measure needs beside its arguments, by the compiler, its answer included."""

    def answer(cell, xs):
        return [leaf for leaf in jax.tree.leaves(call(cell, xs)) if eqx.is_array(leaf)]

    inputs = jax.ShapeDtypeStruct((STEPS, 1), jnp.float64)
    needed = jax.jit(answer).lower(shapes(), inputs).compile().memory_analysis()
    return needed.temp_size_in_bytes + needed.output_size_in_bytes


@pytest.fixture
def quickly_compiled():
    """Programs that never run need not be fast."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_what_fits(name, quickly_compiled, x64):
    assert bytes_of_compiled(COMPILED[name]) < LIMIT


@pytest.mark.slow
def test_what_is_refused_would_not_fit(quickly_compiled, x64):
    """The compiler agrees with a refusal, and with the advice that it gives."""

    def one_by_one(cell, xs):
        at = np.linspace(-1, 1, 9)
        return measure.cost_slice(cell, cost(xs), direction(cell), at=at, batch_size=1)

    def by_hand(cell, xs):
        return jax.vmap(lambda place: cost(xs)(line(cell)(place)))(jnp.linspace(-1, 1, 64))

    assert bytes_of_compiled(one_by_one) < LIMIT < bytes_of_compiled(by_hand)


@pytest.fixture(scope="module")
def network():
    with jax.enable_x64(True):
        return cast(without_law(Elman(1, UNITS, key=KEY)), jnp.float64)


@pytest.fixture(scope="module")
def series():
    return np.random.default_rng(0).normal(size=(STEPS, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name, network, series, x64):
    call, what = REFUSED[name]
    with pytest.raises(MemoryError, match=rf"{what}.* GB of memory, more than the limit"):
        call(network, jnp.asarray(series))


@pytest.mark.slow
@pytest.mark.parametrize("name", HOST)
def test_what_runs(name, network, series, x64):
    found = HOST[name](network, series)
    for leaf in jax.tree.leaves(found, is_leaf=lambda node: hasattr(node, "standard_error")):
        assert np.isfinite(leaf.value).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", LINEAR)
def test_linear_networks(name, x64):
    """``W = 0.9 Q`` with orthogonal Q is normal: ``C = eps / 0.19`` times the identity."""
    frame = np.linalg.qr(np.random.default_rng(1).normal(size=(UNITS, UNITS)))[0]
    cell = cast(without_law(LinearRNN(1, UNITS, key=KEY)), jnp.float64)
    cell = eqx.tree_at(lambda cell: cell.recurrent, cell, jnp.asarray(0.9 * UNITS**0.5 * frame))
    call, expected = LINEAR[name]
    form = cell.linear_form()
    np.testing.assert_allclose(form.recurrent, 0.9 * frame, atol=1e-12)
    found = call(cell).value
    if expected is not None:
        expected = expected(float(jnp.sum(form.input**2)))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert np.isfinite(found).all()


@pytest.mark.slow
@pytest.mark.parametrize(("units", "steps", "count"), [(10, STEPS, 10), (UNITS, 500, 2)])
def test_exponents_run(units, steps, count, series, x64):
    cell = cast(without_law(Elman(1, units, key=KEY)), jnp.float64)
    found = measure.lyapunov_spectrum(cell, series[:steps], num_exponents=count, key=KEY)
    assert found.statuses.trusted
    assert np.isfinite(found.value).all()
