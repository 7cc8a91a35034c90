"""The contract suite for cells, echoic's own and other people's."""

import contextlib
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from echoic.core.cell import (
    AbstractCell,
    PointwiseCell,
    State,
    cast,
    flatten_state,
    without_law,
)
from echoic.core.rollout import rollout

# Equal up to the order of floating-point operations, which jit and vmap may change.
_ROUNDING = 100
_STEPS = 3


def check_cell(cell: AbstractCell, *, key: PRNGKeyArray) -> None:
    """Assert that ``cell`` keeps the contract that every measurement relies on.

    Checked at random states and inputs: the sizes; that a step keeps the state's structure, shapes
    and dtypes; purity (equal calls give equal results, nothing is remembered or changed); equality
    under ``jit`` and ``vmap``; the derivatives in state and input against central finite
    differences in float64; the shapes of `read` and `output`; that NaN passes through; that all
    arrays follow a cast to float64; that [`rollout`][echoic.rollout] equals a loop of steps. Of a
    ``PointwiseCell`` also that ``combine`` of ``project`` and the recurrent product is the step,
    and that `project` takes leading axes. Of the optional traits that ``linear_form`` gives the
    step and that recurrent blocks are square.

    **Arguments**
    - `cell`: the cell. Give it generic weights: with all weights zero much would go unseen.
    - `key`: a JAX random key.

    **Raises** AssertionError with a sentence that says what is wrong.

    **Misleads.** A derivative is compared at one random point: a kink of a piecewise linear
    activation that lies within 1e-6 of it would be reported as a wrong derivative. Try another key.

    **Cost.** A second or two, most of it compilation.

    **Example**
    >>> import jax
    >>> from echoic.cells import Elman
    >>> check_cell(Elman(2, 3, key=jax.random.key(0)), key=jax.random.key(1))
    """
    _require(isinstance(cell, AbstractCell), f"not an AbstractCell: {cell!r}")
    cell = without_law(cell)
    _check_sizes(cell)
    state_key, x_key, other_key, tangent_key = jr.split(key, 4)
    state = _near(cell.initial_state(), state_key)
    dtype = flatten_state(state)[0].dtype
    xs = jr.normal(x_key, (_STEPS, cell.input_size), dtype)
    other = _near(state, other_key)

    _check_shapes(cell, state, xs[0])
    _check_purity(cell, state, xs, other)
    _check_transformations(cell, state, other, xs)
    if isinstance(cell, PointwiseCell):
        _check_pointwise(cell, state, xs)
    _check_nan(cell, state, xs[0])
    _check_rollout(cell, state, xs)
    _check_traits(cell, state, xs[0])
    with jax.enable_x64(True):
        double = _check_cast(cell, state, xs[0])
        _check_derivative(double, cast(state, jnp.float64), cast(xs[0], jnp.float64), tangent_key)


def _check_sizes(cell: AbstractCell) -> None:
    for name, least in (("input_size", 0), ("hidden_size", 1)):
        size = getattr(cell, name)
        _require(
            isinstance(size, int) and size >= least,
            f"{name} must be an integer of at least {least}, got {size!r}",
        )
    with _while("initial_state()"):
        vector, _ = flatten_state(cell.initial_state())
    _require(vector.size > 0, "initial_state() holds no floating numbers")
    _require(
        cell.state_size == vector.size,
        f"state_size is {cell.state_size}, but initial_state() holds {vector.size} floating"
        " numbers",
    )
    for name in getattr(type(cell), "fixed", ()):
        _require(hasattr(cell, name), f"fixed names {name!r}, which is no field of the cell")


def _check_shapes(cell: AbstractCell, state: State, x: Array) -> None:
    with _while("step(state, x)"):
        new = cell.step(state, x)
    before, after = jtu.tree_structure(state), jtu.tree_structure(new)
    _require(before == after, f"step changes the structure of the state, from {before} to {after}")
    for path, (old_leaf, new_leaf) in _pairs(state, new):
        was, now = _describe(old_leaf), _describe(new_leaf)
        _require(was == now, f"step changes the state{path} from {was} to {now}")
    dtype = flatten_state(state)[0].dtype
    for name in ("read", "output"):
        with _while(f"{name}(state)"):
            part = getattr(cell, name)(state)
        _require(
            jnp.ndim(part) == 1 and part.dtype == dtype,
            f"{name} must be a vector of dtype {dtype}, got {_describe(part)}",
        )
        _require(
            name == "output" or part.shape == (cell.hidden_size,),
            f"read must have shape (hidden_size,) = ({cell.hidden_size},), got {part.shape}",
        )


def _check_purity(cell: AbstractCell, state: State, xs: Array, other: State) -> None:
    kept = jtu.tree_map(np.array, eqx.filter(cell, eqx.is_array))
    given = jtu.tree_map(np.array, state)
    first = cell.step(state, xs[0])
    _require_equal(first, cell.step(state, xs[0]), "step is not pure: two equal calls differ")
    cell.step(other, xs[1])
    _require_equal(
        first,
        cell.step(state, xs[0]),
        "step is not pure: it remembers an earlier call, equal calls differ after another one",
    )
    _require_equal(given, state, "step changes the state that it was given")
    _require_equal(kept, eqx.filter(cell, eqx.is_array), "step changes the cell's arrays")
    _require_equal(
        cell.initial_state(), cell.initial_state(), "initial_state() is not pure: calls differ"
    )


def _check_transformations(cell: AbstractCell, state: State, other: State, xs: Array) -> None:
    plain = cell.step(state, xs[0])
    with _while("step under jit"):
        jitted = eqx.filter_jit(lambda cell, s, x: cell.step(s, x))(cell, state, xs[0])
    _require_close(plain, jitted, "step under jit differs from step")
    states = jtu.tree_map(lambda a, b: jnp.stack([a, b]), state, other)
    with _while("step under vmap"):
        batched = jax.vmap(cell.step)(states, xs[:2])
    one_by_one = [plain, cell.step(other, xs[1])]
    _require_close(
        jtu.tree_map(lambda *parts: jnp.stack(parts), *one_by_one),
        batched,
        "step under vmap differs from step on each member of the batch",
    )


def _check_nan(cell: AbstractCell, state: State, x: Array) -> None:
    def has_nan(state: State) -> bool:
        return bool(jnp.isnan(flatten_state(state)[0]).any())

    spoilt = jtu.tree_map(
        lambda leaf: jnp.full_like(leaf, jnp.nan) if eqx.is_inexact_array(leaf) else leaf, state
    )
    _require(has_nan(cell.step(spoilt, x)), "a state of NaN leads to a state without NaN")
    if cell.input_size:
        _require(
            has_nan(cell.step(state, jnp.full_like(x, jnp.nan))),
            "an input of NaN leads to a state without NaN",
        )


def _check_rollout(cell: AbstractCell, state: State, xs: Array) -> None:
    outputs, current = [], state
    for x in xs:
        current = cell.step(current, x)
        outputs.append(cell.output(current))
    with _while("rollout"):
        run = rollout(cell, xs, state=state)
    message = "rollout differs from a loop of steps in its"
    _require_close(jnp.stack(outputs), run.trajectory, f"{message} outputs")
    _require_close(current, run.final, f"{message} last state")


def _check_pointwise(cell: PointwiseCell, state: State, xs: Array) -> None:
    _require(
        cell.recurrent.ndim == 2 and cell.recurrent.shape[1] == cell.hidden_size,
        f"recurrent must have shape (rows, hidden_size = {cell.hidden_size}), got"
        f" {cell.recurrent.shape}",
    )
    with _while("project(x)"):
        drives = [cell.project(x) for x in xs]
    product = cell.recurrent @ cell.read(state)
    with _while("combine(state, project(x), recurrent @ read(state))"):
        combined = cell.combine(state, drives[0], product)
    _require_close(
        cell.step(state, xs[0]),
        combined,
        "step differs from combine(state, project(x), recurrent @ read(state))",
    )
    expected = jtu.tree_map(lambda *parts: jnp.stack(parts), *drives)
    for axes in ("a leading time axis", "leading axes of batch and time"):
        if axes != "a leading time axis":
            expected, xs = jtu.tree_map(lambda a: jnp.stack([a, a]), (expected, xs))
        with _while(f"project with {axes}"):
            projected = cell.project(xs)
        _require_close(
            expected, projected, f"project with {axes} differs from project step by step"
        )


def _check_traits(cell: AbstractCell, state: State, x: Array) -> None:
    for name, block in cell.recurrent_blocks().items():
        _require(
            block.ndim == 2 and block.shape[0] == block.shape[1],
            f"the recurrent block {name!r} must be square, got shape {block.shape}",
        )
    form = cell.linear_form()
    if form is not None:
        vector, _ = flatten_state(state)
        with _while("the matrices of linear_form()"):
            predicted = form.recurrent @ vector + form.input @ x + form.bias
        actual = flatten_state(cell.step(state, x))[0]
        _require_close(actual, predicted, "linear_form() does not give the step")


def _check_cast(cell: AbstractCell, state: State, x: Array) -> AbstractCell:
    double = cast(cell, jnp.float64)
    wide_state, wide_x = cast(state, jnp.float64), cast(x, jnp.float64)
    with _while("step in float64"):
        new = double.step(wide_state, wide_x)
    for path, (_, leaf) in _pairs(wide_state, new):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            _require(
                leaf.dtype == jnp.float64,
                f"cast to float64, a step leaves the state{path} in {leaf.dtype}",
            )
    if jtu.tree_leaves(eqx.filter(double, eqx.is_inexact_array)):
        dtype = flatten_state(double.initial_state())[0].dtype
        _require(dtype == jnp.float64, f"cast to float64, initial_state() still gives {dtype}")
    coarse = float(jnp.finfo(flatten_state(state)[0].dtype).eps)
    _require_close(
        cast(cell.step(state, x), jnp.float64),
        new,
        "cast to float64, a step gives other numbers",
        epsilon=coarse,
    )
    return double


def _check_derivative(cell: AbstractCell, state: State, x: Array, key: PRNGKeyArray) -> None:
    vector, restore = flatten_state(state)
    state_key, x_key = jr.split(key)
    directions = {
        "the state": (jr.normal(state_key, vector.shape, vector.dtype), jnp.zeros_like(x)),
        "the input": (jnp.zeros_like(vector), jr.normal(x_key, x.shape, x.dtype)),
    }

    def step(vector: Array, x: Array) -> Array:
        return flatten_state(cell.step(restore(vector), x))[0]

    width = 1e-6
    for what, (along_state, along_x) in directions.items():
        if along_x.size == 0 and what == "the input":
            continue
        with _while(f"the derivative of step in {what}"):
            _, tangent = jax.jvp(step, (vector, x), (along_state, along_x))
        ahead = step(vector + width * along_state, x + width * along_x)
        behind = step(vector - width * along_state, x - width * along_x)
        difference = (ahead - behind) / (2 * width)
        scale = 1.0 + float(jnp.abs(difference).max()) + float(jnp.abs(step(vector, x)).max())
        error = float(jnp.abs(tangent - difference).max())
        _require(
            error <= 1e-6 * scale,
            f"the derivative of step in {what} differs from finite differences by {error:.2g}",
        )


def _near(state: State, key: PRNGKeyArray) -> State:
    """A random state beside ``state``."""
    vector, restore = flatten_state(state)
    return restore(vector + 0.3 * jr.normal(key, vector.shape, vector.dtype))


def _describe(leaf: Any) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}" if hasattr(leaf, "dtype") else type(leaf).__name__


def _pairs(first: PyTree, second: PyTree) -> list[tuple[str, tuple[Any, Any]]]:
    """The leaves of two equal structures side by side, with where they are."""
    return [
        (jtu.keystr(path), (leaf, other))
        for (path, leaf), other in zip(
            jtu.tree_leaves_with_path(first), jtu.tree_leaves(second), strict=True
        )
    ]


def _require(condition: bool, sentence: str) -> None:
    # Not the assert statement, which python -O leaves out.
    if not condition:
        raise AssertionError(f"{sentence}.")


def _require_equal(first: PyTree, second: PyTree, sentence: str) -> None:
    for path, (a, b) in _pairs(first, second):
        _require(
            np.array_equal(np.asarray(a), np.asarray(b), equal_nan=_is_float(a)),
            f"{sentence} (in {path or 'the array'})",
        )


def _require_close(
    first: PyTree, second: PyTree, sentence: str, *, epsilon: float | None = None
) -> None:
    for path, (a, b) in _pairs(first, second):
        _require(a.shape == b.shape, f"{sentence}: shapes {a.shape} and {b.shape}")
        a, b = np.asarray(a), np.asarray(b)
        if not _is_float(a):
            _require(np.array_equal(a, b), f"{sentence} (in {path or 'the array'})")
            continue
        unit = np.finfo(a.dtype).eps if epsilon is None else epsilon
        tolerance = _ROUNDING * unit * (1.0 + np.abs(a).max(initial=0.0))
        gap = np.abs(a - b).max(initial=0.0)
        _require(bool(gap <= tolerance), f"{sentence} by {gap:.2g} (in {path or 'the array'})")


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


@contextlib.contextmanager
def _while(what: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a sentence."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{what} fails with {type(error).__name__}: {error}") from error
