"""Fixed points, cycles and slow points against closed forms and against SciPy."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.optimize

import echoic
from echoic import init
from echoic.cells import GRU, LSTM, Elman, MinimalRNN
from echoic.core.cell import cast, flatten_state, without_law
from echoic.core.estimate import Status, UntrustedError
from echoic.measure.attractors.dogleg import find_minimum, find_root
from echoic.measure.attractors.stability import Stability

KEY = jr.key(0)


def upper_root(gain):
    return scipy.optimize.brentq(lambda h: math.tanh(gain * h) - h, 0.1, 1)


def test_all_of_three_to_the_n_points(x64):
    """Units of their own, gain 1.5: -a, 0, a each, 2^n of the combinations stable."""
    gain, n = 1.5, 3
    found = echoic.fixed_points(
        lambda h, _: jnp.tanh(gain * h), state=jnp.zeros(n), starts=jr.normal(KEY, (256, n))
    )
    a = upper_root(gain)
    slope = gain * (1 - a**2)
    expected = sorted(
        itertools.product((-a, 0.0, a), repeat=n), key=lambda point: (point.count(0.0), point)
    )
    np.testing.assert_allclose(found.value, expected, atol=1e-12)
    zeros = np.sum(np.array(expected) == 0, axis=1)
    np.testing.assert_array_equal(found.details["num_unstable"], zeros)
    kinds = np.where(zeros == 0, Stability.ATTRACTING, Stability.SADDLE)
    kinds = np.where(zeros == n, Stability.REPELLING, kinds)
    np.testing.assert_array_equal(found.details["kind"], kinds)
    multipliers = [[gain] * z + [slope] * (n - z) for z in zeros]
    np.testing.assert_allclose(found.details["multipliers"], multipliers, atol=1e-12)
    assert int(jnp.sum(found.details["hits"])) + int(found.details["lost"]) == 256
    assert np.max(found.standard_error) < 1e-12
    # Wrong: the eigenvalues of F - h, those of another point, the attracting points alone.
    for wrong in (np.array(multipliers) - 1, multipliers[::-1]):
        assert not np.allclose(found.details["multipliers"], wrong, atol=1e-3)
    assert len(found.value) != 2**n


@pytest.mark.slow
def test_what_was_not_seen_is_estimated(x64):
    """Few starts: the share of those that would come to a point not in the list, by Good-Turing."""
    starts = jr.normal(KEY, (400, 4))

    def search(starts):
        return echoic.fixed_points(
            lambda h, _: jnp.tanh(1.5 * h), state=jnp.zeros(4), starts=starts
        )

    few, all_ = search(starts[:60]), search(starts)
    known = {tuple(point) for point in np.round(np.asarray(few.value), 6) + 0.0}
    new = [tuple(point) not in known for point in np.round(np.asarray(all_.value), 6) + 0.0]
    missed = np.sum(np.asarray(all_.details["hits"])[new]) / 400
    assert float(few.details["unseen"]) == pytest.approx(missed, abs=4 * math.sqrt(0.25 / 60))
    assert float(all_.details["unseen"]) < float(few.details["unseen"])


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("r", "counts"),
    [
        (3.84, {2: 1}),
        pytest.param(3.5, {1: 2, 2: 1, 3: 0, 4: 1}, marks=SLOW),
        pytest.param(3.84, {1: 2, 3: 2, 4: 1}, marks=SLOW),
    ],
)
def test_cycles_of_the_logistic_map(r, counts, x64):
    """One of period 2, two of period 3 beyond 1 + sqrt 8, one of 4 (others come at 3.96)."""
    for period, count in counts.items():
        starts = jr.uniform(KEY, (64, 1))
        found = echoic.fixed_points(
            lambda h, _: r * h * (1 - h), state=jnp.zeros(1), starts=starts, period=period
        )
        assert len(found.value) == count
        cycle = np.asarray(found.details["cycle"])[..., 0]
        np.testing.assert_allclose(r * cycle * (1 - cycle), np.roll(cycle, -1, axis=1), atol=1e-9)
        slopes = np.prod(r * (1 - 2 * cycle), axis=1)
        np.testing.assert_allclose(found.details["multipliers"][:, 0], slopes, atol=1e-7)
        if period == 2:
            high, low = ((r + 1 + s * math.sqrt((r - 3) * (r + 1))) / (2 * r) for s in (1, -1))
            np.testing.assert_allclose(sorted(cycle[0]), [low, high], atol=1e-12)
            assert slopes[0] == pytest.approx(4 + 2 * r - r**2)
            # Wrong: the points of shorter periods counted in, the slope of one step.
            assert slopes[0] != pytest.approx(r * (1 - 2 * high), abs=1e-3)


@pytest.mark.slow
def test_the_two_points_of_henon(x64):
    """Repelling in one direction, with complex states mixed: closed form for a = 1.4, b = 0.3."""
    a, b = 1.4, 0.3
    found = echoic.fixed_points(
        lambda h, _: jnp.stack([1 - a * h[0] ** 2 + h[1], b * h[0]]),
        state=jnp.zeros(2),
        starts=jr.normal(KEY, (64, 2)),
    )
    roots = np.roots([a, 1 - b, -1])
    order = np.argsort(roots)
    np.testing.assert_allclose(found.value, np.stack([roots, b * roots], 1)[order], atol=1e-12)
    slopes = [np.roots([1, 2 * a * x, -b]) for x in roots[order]]
    slopes = [s[np.argsort(-np.abs(s))] for s in slopes]
    np.testing.assert_allclose(found.details["multipliers"], slopes, atol=1e-10)
    np.testing.assert_array_equal(found.details["kind"], [Stability.SADDLE] * 2)


@pytest.mark.slow
def test_a_slow_point_where_two_points_have_met(x64):
    """h' = h + c (e + h^2), and a contracting unit: slowest at 0, at the speed (c e)^2 / 2."""
    c, e = 0.1, 1e-3

    def step(h, _):
        return jnp.stack([h[0] + c * (e + h[0] ** 2), 0.5 * h[1]])

    starts = 0.1 * jr.normal(KEY, (16, 2))
    found = echoic.fixed_points(step, state=jnp.zeros(2), starts=starts, slow=1e-2)
    np.testing.assert_allclose(found.value, np.zeros((1, 2)), atol=1e-6)
    assert float(found.details["speed"][0]) == pytest.approx((c * e) ** 2 / 2, rel=1e-6)
    assert found.details["kind"].tolist() == [Stability.SLOW]
    assert np.all(np.isnan(found.standard_error))
    for slow in (0.0, 1e-5):  # not asked for; too fast to count
        without = echoic.fixed_points(step, state=jnp.zeros(2), starts=starts, slow=slow)
        assert without.value.shape == (0, 2)
        assert int(without.details["lost"]) == 16


@pytest.mark.slow
def test_a_line_of_points_is_marginal(x64):
    found = echoic.fixed_points(
        lambda h, _: h * jnp.array([1.0, 0.5]), state=jnp.zeros(2), starts=jr.normal(KEY, (8, 2))
    )
    assert len(found.value) == 8
    assert set(found.details["kind"].tolist()) == {Stability.MARGINAL}


def one_unit():
    """tanh(2 h + x)."""
    cell = Elman(1, 1, bias=init.zeros(), key=KEY, dtype=jnp.float64)
    return eqx.tree_at(
        lambda c: (c.recurrent, c.input), cell, (jnp.full((1, 1), 2.0), jnp.ones((1, 1)))
    )


@pytest.mark.slow
def test_an_input_moves_the_points(x64):
    """One unit, tanh(2 h + x): three points below the critical input, one above."""
    cell = one_unit()
    critical = 2 * math.sqrt(0.5) - math.atanh(math.sqrt(0.5))
    for x, count in ((0.98 * critical, 3), (1.02 * critical, 1)):
        found = echoic.fixed_points(cell, x, key=KEY, starts=8, spread=2.0)
        assert len(found.value) == count
        np.testing.assert_allclose(np.tanh(2 * found.value + x), found.value, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("family", [LSTM, GRU, MinimalRNN])
def test_states_of_every_kind(family, x64):
    """From the states of a run; the residual and the eigenvalues by reverse-mode Jacobians."""
    cell = family(2, 4, recurrent=init.gaussian(4.0), key=KEY, dtype=jnp.float64)
    x = jnp.array([0.3, -0.2])
    run = echoic.rollout(cell, jnp.broadcast_to(x, (50, 2)), collect="states")
    found = echoic.fixed_points(cell, x, starts=run.trajectory)
    check_points(cell, x, found)


def check_points(cell, x, found):
    assert len(found.value) >= 1
    _, restore = flatten_state(cell.initial_state())
    step = jax.jit(lambda v: flatten_state(cell.step(restore(v), x))[0])
    jacobian = jax.jit(jax.jacrev(step))
    for point, multipliers in zip(found.value, found.details["multipliers"], strict=True):
        np.testing.assert_allclose(step(point), point, atol=1e-10)
        expected = np.linalg.eigvals(jacobian(point))
        gaps = np.abs(np.asarray(multipliers)[:, None] - expected[None])
        # Defective pairs lose half the digits.
        assert np.max(gaps.min(axis=1)) < 1e-6
        assert np.max(gaps.min(axis=0)) < 1e-6


@pytest.mark.slow
def test_every_cell_there_is(build_cell, x64):
    """Of each a point is found, and it is one; or there is none."""
    cell = cast(without_law(build_cell()), jnp.float64)
    x = jnp.full(cell.input_size, 0.1)
    found = echoic.fixed_points(cell, x if cell.input_size else None, key=KEY, starts=16)
    if len(found.value):
        check_points(cell, x, found)
    else:  # a jump of the map (modReLU) can leave none: then no orbit comes to rest either
        run = echoic.rollout(cell, jnp.broadcast_to(x, (500, x.size))).trajectory
        assert float(jnp.max(jnp.abs(run[-1] - run[-2]))) > 1e-6


@pytest.mark.slow
def test_the_roots_of_a_random_network_are_those_that_scipy_finds(x64):
    """32 tanh units, gain 1.5: the same set of roots from the same starts."""
    cell = Elman(1, 32, recurrent=init.gaussian(1.5), key=KEY, dtype=jnp.float64)
    starts = np.random.default_rng(0).normal(size=(200, 32))
    found = echoic.fixed_points(cell, starts=jnp.asarray(starts))
    w, b = np.asarray(cell.recurrent), np.asarray(cell.bias)

    def gap(h):
        return np.tanh(w @ h + b) - h

    theirs = [scipy.optimize.root(gap, h, tol=1e-13).x for h in starts]
    theirs = np.array([h for h in theirs if np.linalg.norm(gap(h)) < 1e-10])
    distances = np.linalg.norm(theirs[:, None] - np.asarray(found.value)[None], axis=2)
    assert np.max(np.min(distances, axis=1)) < 1e-8  # every root of theirs is one of ours
    assert max(np.linalg.norm(gap(h)) for h in np.asarray(found.value)) < 1e-12
    assert int(found.details["lost"]) <= 200 - len(theirs) + 40


@pytest.mark.slow
def test_single_precision():
    """The points of two units to 1e-5."""
    found = echoic.fixed_points(
        lambda h, _: jnp.tanh(1.5 * h), state=jnp.zeros(2), key=KEY, starts=1000
    )
    assert found.value.dtype == jnp.float32
    a = upper_root(1.5)
    expected = sorted(itertools.product((-a, 0, a), repeat=2), key=lambda p: (p.count(0), p))
    np.testing.assert_allclose(found.value, expected, atol=1e-5)


@pytest.mark.slow
def test_not_a_number_in_not_a_number_out(x64):
    cell = one_unit()
    broken = eqx.tree_at(lambda c: c.recurrent, cell, cell.recurrent.at[0, 0].set(jnp.nan))
    for arguments in ((broken, 0.1), (cell, math.nan)):
        found = echoic.fixed_points(*arguments, key=KEY, starts=8, throw=False)
        assert np.all(np.isnan(found.value))
        assert Status.NOT_FINITE in found.statuses
        with pytest.raises(UntrustedError, match="finite"):
            echoic.fixed_points(*arguments, key=KEY, starts=8)


def test_wrong_calls():
    cell = Elman(2, 3, key=KEY)
    with pytest.raises(ValueError, match=r"input must be one constant vector of shape \(2,\)"):
        echoic.fixed_points(cell, jnp.ones((5, 2)), key=KEY)
    with pytest.raises(ValueError, match="need a key"):
        echoic.fixed_points(cell)
    with pytest.raises(ValueError, match=r"starts must have leaves of shape \('s', 3\)"):
        echoic.fixed_points(cell, starts=jnp.ones(3))
    with pytest.raises(ValueError, match="period must lie in 1"):
        echoic.fixed_points(cell, key=KEY, period=0)
    with pytest.raises(ValueError, match="slow must be 0"):
        echoic.fixed_points(cell, key=KEY, slow=-1.0)
    with pytest.raises(ValueError, match="tolerance must be positive"):
        echoic.fixed_points(cell, key=KEY, tolerance=0.0)
    with pytest.raises(ValueError, match="cannot be traced"):
        jax.jit(lambda x: echoic.fixed_points(cell, x, key=KEY).value)(jnp.ones(2))


def test_a_search_from_where_the_jacobian_is_singular(x64):
    """(x^2 - 1, x y - 2) has a singular Jacobian at the origin, and the roots (1, 2), (-1, -2)."""

    def system(v):
        value = lambda v: jnp.stack([v[0] ** 2 - 1, v[0] * v[1] - 2])  # noqa: E731
        return value(v), jax.jacfwd(value)(v)

    limit = jnp.asarray(200, jnp.int32)
    starts = jnp.array([[1e-9, 0.0], [1e-3, 1.0], [-3.0, 40.0]])
    ends = jax.vmap(lambda v: find_root(system, v, jnp.asarray(1e-13), limit))(starts)
    np.testing.assert_allclose(jnp.abs(ends.point[1:]), [[1, 2]] * 2, atol=1e-9)
    assert np.all(ends.residual[1:] < 1e-12)


def test_a_search_without_a_root_ends(x64):
    def system(v):
        return v**2 + 1, jnp.diag(2 * v)

    limit = jnp.asarray(200, jnp.int32)
    end = find_root(system, jnp.array([3.0, 0.1]), jnp.asarray(1e-13), limit)
    assert float(end.residual) >= math.sqrt(2) - 1e-6
    assert int(end.iterations) < 100


@pytest.mark.slow
def test_a_minimum_is_no_saddle(x64):
    """cosh x + (y^2 - 1)^2 from next to its saddle at the origin."""

    def function(v):
        return jnp.cosh(v[0]) + (v[1] ** 2 - 1) ** 2

    limit = jnp.asarray(200, jnp.int32)
    found = find_minimum(function, jnp.array([0.5, 1e-6]), limit)
    np.testing.assert_allclose(found.point, [0, 1], atol=1e-7)
    assert bool(found.settled)
    assert not bool(find_minimum(lambda v: -v @ v, jnp.ones(2), limit).settled)
