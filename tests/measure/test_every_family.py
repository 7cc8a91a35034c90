"""Every measure on every cell that there is, and on a bare step function: one table, all promises.

In double precision; NaN in gives NaN out; under ``jit`` and ``vmap`` over seeds as one by one, or
refused with the reason. The default run asks a few quick rows of one cell, `slow` the product.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from echoic import measure
from echoic.cells import LinearRNN, Network, Readout
from echoic.cells.families import families
from echoic.core.cell import AbstractCell, FunctionCell, as_cell, cast, flatten_state, without_law
from echoic.core.checks import is_traced
from echoic.core.estimate import Estimate, Status, UntrustedError
from echoic.core.rollout import rollout
from echoic.core.tangent import jacobian
from echoic.core.task import Batch

# What is no cell is refused by its type first, where types are checked.
REFUSALS = (ValueError, TypeCheckError)

KEY = jr.key(3)
LENGTH, BURN_IN, LAGS = 24, 8, 3


class Subject(eqx.Module):
    """What is measured: a cell with its input.

    Or a function, then with its initial state, and with the cell that it stands for.
    """

    cell: Any
    xs: Any
    state: Any = None
    stands_for: Any = None
    throw: bool = eqx.field(static=True, default=False)

    def options(self, *names):
        """Those keywords of a measure that it takes, by name."""
        given = {"key": KEY, "throw": self.throw}
        if self.state is not None:
            given["state"] = self.state
        if self.xs is None:
            given["steps"] = LENGTH
        return {name: given[name] for name in names if name in given}

    @property
    def input_size(self):
        return 0 if self.xs is None else self.xs.shape[1]

    @property
    def rest(self):
        return jnp.zeros(self.input_size) if self.input_size else None


def along(name, *, takes=("key", "state", "throw", "steps"), **options):
    """A measure of a cell along its input, or along none for some steps."""

    def call(s):
        inputs = () if s.xs is None and "steps" in takes else (s.xs,)
        return getattr(measure, name)(s.cell, *inputs, **options, **s.options(*takes))

    return call


def at_rest(name, **options):
    """A measure of a cell under an input that is constant."""

    def call(s):
        given = s.options("key", "state", "throw")
        return getattr(measure, name)(s.cell, s.rest, **options, **given)

    return call


def of_matrix(name, **options):
    """A measure of the recurrent matrix of a cell, of the first of several."""

    def call(s):
        blocks = s.cell.recurrent_blocks() if isinstance(s.cell, AbstractCell) else {}
        block = next(iter(blocks), None)
        return getattr(measure, name)(s.cell, block=block, **options)

    return call


def of_cost(name, *more, **options):
    """A measure of the mean squared output of a cell as a function of its weights."""

    def call(s):
        return getattr(measure, name)(s.cell, cost(s), *(make(s) for make in more), **options)

    return call


def cost(s):
    cell = as_cell(s.cell, s.state, s.input_size)
    outputs = jax.eval_shape(lambda: rollout(cell, s.xs).trajectory)
    return measure.mean_squared_cost(None, s.xs, jnp.zeros(outputs.shape))


def direction(s):
    return measure.random_direction(s.cell, key=KEY)


def line(s):
    """Cells along a direction, or the steps of such cells."""
    if isinstance(s.cell, AbstractCell):
        return measure.line_of_cells(s.cell, direction(s))
    cells = line(Subject(s.stands_for, s.xs))
    return lambda place: lambda h, x: cells(place).step(h, x)


def motif(s):
    blocks = s.cell.recurrent_blocks() if isinstance(s.cell, AbstractCell) else {}
    where = {"block": next(iter(blocks), None)}
    if not isinstance(s.cell, AbstractCell):  # any matrix: it is not read from the function
        where = {"matrix": jnp.eye(numbers_of(s.state), k=-1), "input_size": s.input_size}
    settings = {"steps": 10, "permutations": 20, "max_difference": 2, **where}
    return measure.chain_motif(s.cell, **settings, **s.options("key", "state"))


def numbers_of(state):
    return flatten_state(state)[0].size


def batch(s):
    """Three sequences, of which the subject's is the first. A batch is never traced."""
    rng = np.random.default_rng(0)
    xs = np.concatenate([np.asarray(s.xs)[None], rng.normal(size=(2, *s.xs.shape))])
    with jax.ensure_compile_time_eval():
        return Batch(jnp.asarray(xs), jnp.asarray(rng.normal(size=(3, LENGTH, 1))))


def ablation(s):
    cell = as_cell(s.cell, s.state, s.input_size)
    model = eqx.Partial(lambda cell, xs: rollout(cell, xs).trajectory[..., :1], cell)
    settings = {"lags": LAGS, "positions": 2, **s.options("key", "throw")}
    return measure.context_ablation(model, batch(s), "mean_squared_error", **settings)


def task_gradient(s):
    network = s.cell
    if not isinstance(network, Network):
        if isinstance(network, AbstractCell) and not isinstance(network, FunctionCell):
            readout = Readout(network.hidden_size, 1, key=KEY, dtype=jnp.float64)
            network = Network(network, readout)
    elif network.readout is None:
        readout = Readout(network.hidden_size, 1, key=KEY, dtype=jnp.float64)
        network = Network(network.cells, readout)
    settings = {"max_lag": LAGS, "times": 1, **s.options("key", "throw")}
    return measure.task_gradient_reach(network, batch(s), "mean_squared_error", **settings)


spectrum = along("lyapunov_spectrum", burn_in=BURN_IN, num_blocks=4)


def jacobians(s):
    cell = as_cell(s.cell, s.state, s.input_size)
    xs = jnp.zeros((LENGTH, 0)) if s.xs is None else s.xs
    found = jax.lax.scan(lambda h, x: jacobian(cell, h, x), cell.initial_state(), xs)[1]
    # An affine map has the same ones along any run.
    return found if s.xs is None else found + 0 * jnp.sum(s.xs)


def sensitivity(s):
    return measure.cost_sensitivity(line(s), 0.1, s.xs, **s.options("state", "steps"))


def propagation(s):
    backwards = None if s.xs is None else s.xs[::-1]
    return measure.signal_propagation(s.cell, s.xs, backwards, **s.options("state"))


def moments(s):
    cell = as_cell(s.cell, s.state, s.input_size)
    xs = jnp.zeros((LENGTH, 0)) if s.xs is None else s.xs
    return measure.jacobian_moments(lambda key: cell, xs, steps=LAGS, key=KEY)


def linear_form(s):
    form = s.cell.linear_form() if isinstance(s.cell, AbstractCell) else None
    if form is None:
        raise ValueError("only linear cells have these matrices")
    return form.recurrent, form.input, jnp.eye(len(form.bias))


def diagram(s):
    settings = {"burn_in": 20, "samples": 8, "max_period": 4, "exponent_steps": 20}
    given = s.options("key", "state", "throw")
    return measure.orbit_diagram(line(s), jnp.array([0.0, 0.1]), input=s.rest, **settings, **given)


def modes(s):
    point = s.cell.initial_state() if s.state is None else s.state
    return measure.mode_time_constants(s.cell, point=point, input=s.rest, throw=s.throw)


def few(s):
    return None if s.xs is None else s.xs[:4]


# What a cell must have to be measured so, and how the refusal of all others reads; None where
# there is nothing that could be asked.
NEEDS = {
    "input": (
        lambda cell: cell.input_size > 0,
        "input|first and second|None is not a valid|without inputs|steps must be given",
    ),
    "batch": (lambda cell: cell.input_size > 0, None),
    "linear form": (lambda cell: cell.linear_form() is not None, "linear"),
    "recurrent matrix": (lambda cell: bool(cell.recurrent_blocks()), "recurrent_blocks"),
    "trained weights": (
        lambda cell: not isinstance(cell, FunctionCell),
        "needs a cell|None is not",
    ),
    "layers": (
        lambda cell: cell.input_size == 0 or not isinstance(cell, FunctionCell),
        "is a cell as well",
    ),
}
LAPACK = "computed by LAPACK and cannot be traced"
ON_HOST = "cannot be traced"
NO_WEIGHTS = "trained parameters|needs a cell|rollout runs a cell|AbstractCell"
NO_MATRIX = r"must have shape \(n, n\)"


@dataclasses.dataclass(frozen=True)
class Row:
    """How a measure is called, and what may be asked of it.

    - ``host``: what it says under tracing, None where it can be traced.
    - ``bare``: what it says of a bare step function, None where it takes one.
    - ``needs``: keys of NEEDS.
    - ``reads``: whether it looks at the given input.
    - ``untouched``: leading lags at which the answer is known before anything is run: NaN in the
      ``"input"``, or in ``"both"`` that and the recurrent weights, leaves them as they are.
    - ``part``: NaN stays where it acts.
    - ``by_form``: a linear cell is asked by its matrices, about its stationary state, which a
      function that does the same has not shown.
    - ``reads_out``: whether it looks at outputs, which of a bare function are its whole state.
    - ``raises``: what it raises of NaN in place of an answer.
    """

    call: Callable[[Subject], Any]
    host: str | None = None
    bare: str | None = None
    needs: tuple[str, ...] = ()
    reads: bool = True
    untouched: int = 0
    part: bool = False
    by_form: bool = False
    reads_out: bool = False
    raises: type[Exception] | None = None


WINDOWS = {"burn_in": BURN_IN, "starts": 2}
REACH = {"max_lag": LAGS, **WINDOWS}
GIVEN = ("key", "state", "throw")  # measures that know no run without inputs

MATRICES = {"host": LAPACK, "bare": NO_MATRIX, "needs": ("recurrent matrix",), "reads": False}
COSTS = {"bare": NO_WEIGHTS, "needs": ("input",)}
SPATIAL = {"bare": "bare step function", "needs": ("linear form",), "reads": False}
RECALL = {"host": ON_HOST, "needs": ("input",), "reads_out": True}
KERNELS = {"bare": NO_WEIGHTS, "needs": ("input", "trained weights")}

ROWS = {
    "basin_fractions": Row(
        at_rest(
            "basin_fractions", starts=4, burn_in=20, samples=8, max_period=4, exponent_steps=20
        ),
        host=ON_HOST,
        reads=False,
    ),
    "chain_motif": Row(motif, host=ON_HOST, needs=("recurrent matrix",), reads=False),
    "channel_reach": Row(
        along("channel_reach", takes=GIVEN, **REACH), needs=("input",), untouched=1
    ),
    "channel_recall": Row(
        along("channel_recall", takes=GIVEN, max_lag=LAGS, burn_in=BURN_IN), **RECALL
    ),
    "coherent_reach": Row(
        along("coherent_reach", max_lag=LAGS, burn_in=BURN_IN, starts=4), untouched=1
    ),
    "context_ablation": Row(ablation, host=ON_HOST, needs=("batch",), reads_out=True),
    "cost_lipschitz": Row(
        of_cost("cost_lipschitz", key=KEY, radius=0.1, samples=2, products=2), **COSTS
    ),
    "cost_sensitivity": Row(sensitivity, reads_out=True),
    "cost_slice": Row(
        of_cost("cost_slice", direction, at=np.linspace(-1, 1, 5), batch_size=5), **COSTS
    ),
    "covariant_vectors": Row(along("covariant_vectors", burn_in=BURN_IN, settle=4)),
    "driven_minus_autonomous": Row(
        along("driven_minus_autonomous", takes=GIVEN, burn_in=BURN_IN), needs=("input",)
    ),
    "effective_spectral_radius": Row(
        lambda s: measure.effective_spectral_radius(s.cell, s.xs, **s.options("state")),
        host=LAPACK,
    ),
    "entropy_rate": Row(lambda s: measure.entropy_rate(spectrum(s))),
    "finite_time_exponents": Row(along("finite_time_exponents", window=4, burn_in=BURN_IN)),
    "fisher_bound": Row(along("fisher_bound", takes=GIVEN, **REACH), needs=("input",)),
    "fisher_capacity": Row(
        lambda s: measure.fisher_capacity(s.cell, **s.options("throw")), **SPATIAL
    ),
    "fisher_memory": Row(
        along("fisher_memory", takes=GIVEN, max_lag=LAGS, burn_in=BURN_IN, end_times=2),
        needs=("input",),
        by_form=True,
    ),
    "fisher_memory_matrix": Row(
        lambda s: measure.fisher_memory_matrix(s.cell, **s.options("throw")), **SPATIAL
    ),
    "fit_timescale": Row(
        lambda s: measure.fit_timescale(propagation(s), 1.0),
        host=ON_HOST,
        needs=("input",),
        reads_out=True,
    ),
    "fixed_points": Row(
        at_rest("fixed_points", starts=4, wander_steps=4), host=ON_HOST, reads=False
    ),
    "floss": Row(
        lambda s: measure.floss(s.cell, s.xs, key=KEY, iterations=2, burn_in=BURN_IN)[1],
        host=ON_HOST,
        bare="floss needs a cell|AbstractCell",
        needs=("input",),
        raises=FloatingPointError,
    ),
    "flossing_penalty": Row(
        along("flossing_penalty", takes=("key", "state", "steps"), burn_in=BURN_IN)
    ),
    "gradient_reach": Row(along("gradient_reach", **REACH), untouched=1),
    "growth_rate": Row(lambda s: measure.growth_rate(sensitivity(s), 4, LENGTH), reads_out=True),
    "henrici_departure": Row(of_matrix("henrici_departure"), **MATRICES),
    "hessian_density": Row(
        of_cost("hessian_density", key=KEY, products=3, probes=2, points=5), **COSTS
    ),
    "hessian_eigenvalues": Row(
        of_cost("hessian_eigenvalues", key=KEY, max_products=6, tolerance=1e-2, count=1), **COSTS
    ),
    "impulse_response": Row(
        lambda s: measure.impulse_response(s.cell, s.xs, max_lag=LAGS, **s.options("state")),
        needs=("input",),
        reads_out=True,
    ),
    "input_reach": Row(along("input_reach", takes=GIVEN, **REACH), needs=("input",), untouched=1),
    "jacobian_moments": Row(moments),
    "jacobian_singular_values": Row(
        along("jacobian_singular_values", takes=GIVEN, lag=LAGS, burn_in=BURN_IN),
        needs=("input",),
    ),
    "join_runs": Row(lambda s: measure.join_runs(spectrum(s), spectrum(s)), host=ON_HOST),
    "kaplan_yorke_dimension": Row(lambda s: measure.kaplan_yorke_dimension(spectrum(s))),
    "kernel_distance": Row(
        lambda s: measure.kernel_distance(
            measure.tangent_kernel(s.cell, few(s)), measure.tangent_kernel(line(s)(0.1), few(s))
        ),
        **KERNELS,
    ),
    "kernel_drift": Row(lambda s: measure.kernel_drift([s.cell, line(s)(0.1)], few(s)), **KERNELS),
    "kreiss_constant": Row(of_matrix("kreiss_constant"), **MATRICES),
    "lag_kernel": Row(
        lambda s: measure.lag_kernel(*linear_form(s), LAGS),
        host=ON_HOST,
        bare="linear",
        needs=("linear form",),
        reads=False,
        part=True,
    ),
    "learned_response": Row(
        lambda s: measure.learned_response(s.cell, line(s)(0.1), s.xs, max_lag=LAGS),
        bare="initial state",
        needs=("input",),
    ),
    "linear_recall": Row(
        along("linear_recall", takes=GIVEN, max_lag=LAGS, burn_in=BURN_IN), **RECALL
    ),
    "linear_tangent_kernel": Row(
        lambda s: measure.linear_tangent_kernel(*linear_form(s), few(s)),
        host=ON_HOST,
        bare="linear",
        needs=("linear form",),
        part=True,
    ),
    "lyapunov_convergence": Row(
        lambda s: measure.lyapunov_convergence(spectrum(s)).running, host=ON_HOST
    ),
    "lyapunov_ensemble": Row(
        lambda s: measure.lyapunov_ensemble(
            [s.cell, s.cell],
            s.xs,
            burn_in=BURN_IN,
            **s.options("key", "state", "throw", "steps"),
        ),
        host=ON_HOST,
    ),
    "lyapunov_from_jacobians": Row(
        lambda s: measure.lyapunov_from_jacobians(
            jacobians(s), burn_in=BURN_IN, num_blocks=4, **s.options("key", "throw")
        )
    ),
    "lyapunov_spectrum": Row(spectrum),
    "lyapunov_until": Row(
        lambda s: measure.lyapunov_until(
            s.cell,
            s.xs,
            tolerance=0.1,
            chunk=4,
            burn_in=BURN_IN,
            max_steps=8,
            **s.options("key", "state", "throw"),
        ),
        host=ON_HOST,
    ),
    "mean_squared_cost": Row(
        lambda s: cost(s)(s.cell), bare="rollout runs a cell|AbstractCell", needs=("input",)
    ),
    "mode_time_constants": Row(modes, host=ON_HOST, reads=False),
    "noisy_recall": Row(
        lambda s: measure.noisy_recall(
            s.cell, max_lag=LAGS, noise_variance=0.1, **s.options("throw")
        ),
        **SPATIAL,
    ),
    "nonnormality": Row(of_matrix("nonnormality"), **MATRICES),
    "numerical_radius": Row(of_matrix("numerical_radius"), **MATRICES),
    "orbit_diagram": Row(diagram, reads=False, reads_out=True),
    "pseudospectrum": Row(of_matrix("pseudospectrum", points=4), **MATRICES),
    "raw_recall": Row(along("raw_recall", takes=GIVEN, max_lag=LAGS, burn_in=BURN_IN), **RECALL),
    "reach_curves": Row(along("reach_curves", **REACH), untouched=1),
    "readout_visibility": Row(
        along("readout_visibility", readout=lambda h: h[:1], **REACH), untouched=1, reads_out=True
    ),
    "schur_profile": Row(of_matrix("schur_profile"), **MATRICES),
    "signal_propagation": Row(propagation, needs=("input",), reads_out=True),
    "slow_subspace": Row(along("slow_subspace", lag=LAGS, **WINDOWS)),
    "tangent_kernel": Row(lambda s: measure.tangent_kernel(s.cell, few(s)), **KERNELS),
    "task_gradient_reach": Row(task_gradient, bare="is a cell as well", needs=("batch", "layers")),
    "transient_growth": Row(of_matrix("transient_growth", max_power=10), **MATRICES),
    "unit_time_constants": Row(along("unit_time_constants", **REACH)),
}

EXEMPT = {
    "filter_normalised": "makes a direction for cost_slice",
    "line_of_cells": "makes cells for cost_slice",
    "random_direction": "makes a direction for cost_slice",
    "strict_minima": "marks entries of an array, of which NaN is never the lowest",
    "untied_propagation": "draws its network itself",
}


def functions(module):
    """The public functions of a module, by name."""
    public = {name: getattr(module, name) for name in module.__all__}
    return {name for name, one in public.items() if inspect.isfunction(inspect.unwrap(one))}


def test_no_measure_is_left_out():
    assert functions(measure) == set(ROWS) | set(EXEMPT)
    assert not set(ROWS) & set(EXEMPT)


def subject(build):
    cell = cast(without_law(build()), jnp.float64)
    xs = jr.normal(jr.key(1), (LENGTH, cell.input_size)) if cell.input_size else None
    return Subject(cell, xs)


def poisoned(cell):
    """The cell with NaN as the first of its numbers: a weight, or a state of a function."""
    leaves, structure = jtu.tree_flatten(cell)
    first = next(i for i, leaf in enumerate(leaves) if eqx.is_inexact_array(leaf))
    leaves[first] = leaves[first].at[(0,) * leaves[first].ndim].set(jnp.nan)
    return jtu.tree_unflatten(structure, leaves)


def reseeded(cell, key):
    """A cell like this one with other weights: any cell, so that no list can forget a newcomer."""
    leaves, structure = jtu.tree_flatten(cell)
    keys = jr.split(key, len(leaves))
    return jtu.tree_unflatten(
        structure,
        [
            leaf * (1 + 0.1 * jr.normal(key, leaf.shape)) if eqx.is_inexact_array(leaf) else leaf
            for leaf, key in zip(leaves, keys, strict=True)
        ],
    )


def is_estimate(node):
    return isinstance(node, Estimate)


def answers(found):
    """The arrays of numbers that a measure answers with, in a list."""
    leaves = jtu.tree_leaves(found, is_leaf=is_estimate)
    return [leaf.value if is_estimate(leaf) else jnp.asarray(leaf) for leaf in leaves]


def with_errors(found):
    """Those and their standard errors: what has to agree, however it was computed."""
    leaves = jtu.tree_leaves(found, is_leaf=is_estimate)
    return [
        (leaf.value, leaf.standard_error) if is_estimate(leaf) else jnp.asarray(leaf)
        for leaf in leaves
    ]


def assert_equal(found, wanted):
    found, wanted = jtu.tree_leaves(found), jtu.tree_leaves(wanted)
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


def assert_double(found):
    kinds = {str(leaf.dtype) for leaf in jtu.tree_leaves(found) if eqx.is_inexact_array_like(leaf)}
    assert kinds
    assert kinds <= {"float64", "complex128"}


def assert_known(found):
    """No answer is all NaN unless a status says why."""
    for leaf in jtu.tree_leaves(found, is_leaf=is_estimate):
        value = np.asarray(leaf.value if is_estimate(leaf) else leaf)
        if value.size and np.all(np.isnan(value)):  # of no fixed point there is nothing to know
            assert is_estimate(leaf)
            assert leaf.statuses != Status.OK


def assert_lost(found, row, *, part):
    """NaN from the first lag on that NaN reaches, and a status that forbids to believe it."""
    for leaf in jtu.tree_leaves(found, is_leaf=is_estimate):
        value = np.atleast_1d(np.asarray(leaf.value if is_estimate(leaf) else leaf, float))
        value = value[..., row.untouched :]
        assert value.size
        assert np.isnan(value).any() if part else np.isnan(value).all()
        if is_estimate(leaf):
            assert Status.NOT_FINITE in leaf.statuses
            assert not leaf.statuses.trusted


def missing(row, cell):
    """What the refusals of a cell say that lacks what the measure needs, in a list."""
    return [said for has, said in (NEEDS[name] for name in row.needs) if not has(cell)]


def ask(row, s):
    """What a measure answers, or None where it refuses what lacks what it needs."""
    lacking = missing(row, s.cell)
    if not lacking:
        return row.call(s)
    if None not in lacking:
        with pytest.raises(ValueError, match="|".join(lacking)):
            row.call(s)
    return None


def check_numbers(name, row, s):
    """Double precision in and out; NaN in, NaN out, or an error that says so."""
    found = ask(row, s)
    if found is None:
        return
    assert_double(found)
    assert_known(found)
    sick = [dataclasses.replace(s, cell=poisoned(s.cell))]
    if row.reads and s.xs is not None:
        sick.append(dataclasses.replace(s, xs=s.xs.at[0].set(jnp.nan)))
    for one in sick:
        if row.raises is not None:
            with pytest.raises(row.raises, match="nan"):
                row.call(one)
            continue
        # Units of the examples of functions do not reach one another.
        part = row.part or isinstance(s.cell, FunctionCell)
        assert_lost(row.call(one), row, part=part)
        parameters = inspect.signature(getattr(measure, name, row.call)).parameters
        if "throw" in parameters:
            with pytest.raises(UntrustedError, match="throw=False"):
                row.call(dataclasses.replace(one, throw=True))


def check_tracing(row, s):
    """Over seeds at once, compiled, as one after the other."""
    if missing(row, s.cell):
        return
    keys = jr.split(jr.key(11), 2)

    def of_seed(key):
        return with_errors(row.call(dataclasses.replace(s, cell=reseeded(s.cell, key))))

    together = eqx.filter_jit(eqx.filter_vmap(of_seed))
    if row.host is not None:
        with pytest.raises(ValueError, match=row.host):
            together(keys)
        return
    wanted = jtu.tree_map(lambda *leaves: jnp.stack(leaves), *(of_seed(key) for key in keys))
    assert_equal(together(keys), wanted)


def check_bare(row, s):
    """A function that does the cell's step, with the cell's state, is as good as the cell."""
    cell = s.cell
    bare = Subject(lambda h, x: cell.step(h, x), s.xs, cell.initial_state(), cell)
    if row.bare is not None:
        with pytest.raises(REFUSALS, match=row.bare):
            row.call(bare)
        return
    found = ask(row, s)
    if found is None or (row.by_form and cell.linear_form() is not None):
        return
    again = row.call(bare)
    state = cell.initial_state()
    same = not row.reads_out or cell.output(state).size == numbers_of(state)
    if same and row.call is not motif:  # which is given another matrix
        assert_equal(with_errors(again), with_errors(found))


def check(name, s):
    """All promises."""
    row = ROWS[name]
    check_numbers(name, row, s)
    check_tracing(row, s)
    if not isinstance(s.cell, FunctionCell):
        check_bare(row, s)


def failures(names, s):
    """What went wrong, by the name of the measure: one failure must not hide the next."""
    found = {}
    for name in names:
        if name == "growth_rate" and isinstance(s.cell, FunctionCell):
            continue  # no weight of a function moves: the cost is flat, log 0 has no slope
        try:
            check(name, s)
        except (Exception, pytest.fail.Exception) as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


@pytest.fixture
def quickly_compiled():
    """Programs that run once need not be fast, nor stay.

    Each holds memory maps, of which a process has no more than some ten thousand: with the programs
    of all cells the compiler would crash.
    """
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()


# A second or less each.
QUICK = (
    "effective_spectral_radius",
    "fisher_memory_matrix",
    "fit_timescale",
    "henrici_departure",
    "impulse_response",
    "kreiss_constant",
    "lag_kernel",
    "linear_tangent_kernel",
    "mean_squared_cost",
    "mode_time_constants",
    "nonnormality",
    "numerical_radius",
    "pseudospectrum",
    "raw_recall",
    "schur_profile",
    "signal_propagation",
    "transient_growth",
)


def test_quick_measures(quickly_compiled, x64):
    """Of a linear cell, in which NaN hides best: its Jacobians do not depend on its state."""
    found = failures(QUICK, subject(lambda: LinearRNN(2, 4, key=KEY)))
    assert not found, "\n\n".join(f"{name}: {said}" for name, said in found.items())


def altered(change):
    """The impulse response with its value changed."""

    def call(s):
        found = ROWS["impulse_response"].call(s)
        return eqx.tree_at(lambda found: found.value, found, change(s, found.value))

    return dataclasses.replace(ROWS["impulse_response"], call=call)


MUTANTS = {
    "swallows NaN": lambda s, value: jnp.nan_to_num(value),
    "single precision": lambda s, value: value.astype(jnp.float32),
    "NaN without a reason": lambda s, value: value * jnp.nan,
    "other numbers under tracing": lambda s, value: value * (1 + 1e-4 * is_traced(value)),
    "other numbers for functions": lambda s, value: value * (1 + 1e-4 * callable(s.cell)),
}


@pytest.mark.slow
def test_mutants_are_rejected(monkeypatch, quickly_compiled, x64):
    for mutant, change in MUTANTS.items():
        monkeypatch.setitem(ROWS, mutant, altered(change))
    found = failures(MUTANTS, subject(lambda: LinearRNN(2, 4, key=KEY)))
    assert set(found) == set(MUTANTS)


@pytest.mark.slow
def test_every_measure(build_cell, quickly_compiled, x64):
    found = failures(ROWS, subject(build_cell))
    assert not found, "\n\n".join(f"{name}: {said}" for name, said in found.items())


@pytest.mark.slow
@pytest.mark.parametrize("family", families())
def test_networks_are_drawn_and_measured_over_seeds(family, quickly_compiled, x64):
    """Their weights drawn inside ``vmap``, as an experiment over seeds does it."""
    xs = jr.normal(jr.key(1), (LENGTH, 2))

    def of_seed(key):
        cell = families()[family](2, 4, key=key, dtype=jnp.float64)
        return with_errors(ROWS["gradient_reach"].call(Subject(cell, xs)))

    keys = jr.split(jr.key(11), 2)
    wanted = jtu.tree_map(lambda *leaves: jnp.stack(leaves), *(of_seed(key) for key in keys))
    assert_equal(eqx.filter_jit(eqx.filter_vmap(of_seed))(keys), wanted)
