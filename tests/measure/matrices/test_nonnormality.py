"""Measures of one matrix: closed forms of chains, dense brute force, and wrong versions."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from echoic import init
from echoic.cells import GRU, Elman
from echoic.core.estimate import Status
from echoic.measure.matrices.effective_radius import effective_spectral_radius
from echoic.measure.matrices.nonnormality import henrici_departure, nonnormality
from echoic.measure.matrices.numerical_range import numerical_radius
from echoic.measure.matrices.pseudospectrum import kreiss_constant, pseudospectrum
from echoic.measure.matrices.schur import schur_profile
from echoic.measure.matrices.transient import transient_growth


def chain(n, alpha, beta=0.0):
    return alpha * np.eye(n, k=-1) + beta * np.eye(n, k=1)


def orthogonal(n, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def gaussian(n, gain=0.9, seed=0):
    return gain * np.random.default_rng(seed).normal(size=(n, n)) / n**0.5


def smallest_of_chain(n, alpha, radius):
    """sigma_min(z - chain), |z| = radius: one root of a trigonometric equation.

    ``M M'`` of the bidiagonal M is tridiagonal and Toeplitz but for one corner; its eigenvalues
    are ``r^2 + a^2 - 2 r a cos p`` with ``a sin(n p) = r sin((n + 1) p)``, p imaginary
    for small r.
    """
    if radius > alpha * n / (n + 1):
        low, high = 1e-9, math.pi / (n + 1)
        phase = scipy.optimize.brentq(
            lambda p: radius * math.sin((n + 1) * p) - alpha * math.sin(n * p),
            low,
            high,
            xtol=1e-15,
        )
        return math.sqrt(radius**2 + alpha**2 - 2 * radius * alpha * math.cos(phase))
    phase = scipy.optimize.brentq(
        lambda p: radius * math.sinh((n + 1) * p) - alpha * math.sinh(n * p), 1e-9, 5, xtol=1e-15
    )
    square = radius**2 + alpha**2 - 2 * radius * alpha * math.cosh(phase)
    return math.sqrt(max(square, 0.0))  # right to 1e-16 in the square


# Henrici


@pytest.mark.parametrize(
    ("matrix", "departure"),
    [
        (chain(100, 1.05), 1.05 * 99**0.5),
        (chain(25, 1.0), 24**0.5),
        (chain(100, 0.99, 0.04), 0.95 * 99**0.5),
        (chain(100, 0.04, 0.99), 0.95 * 99**0.5),
        (0.9 * orthogonal(50), 0.0),
        (np.diag([1.0, 2.0, 3.0]), 0.0),
        (np.zeros((3, 3)), 0.0),
        # Two delay lines side by side, one of them with feedback, units in any order.
        (
            np.block([[chain(9, 2.0), np.zeros((9, 9))], [np.zeros((9, 9)), chain(9, 1.0, 0.5)]]),
            math.sqrt(4 * 8 + 0.25 * 8),
        ),
    ],
)
def test_henrici_in_closed_form(x64, matrix, departure):
    found = henrici_departure(matrix)
    assert float(found.value) == pytest.approx(departure, rel=1e-12, abs=1e-12)
    assert found.statuses == Status.OK
    lower, upper = float(found.details["lower"]), float(found.details["upper"])
    assert lower - 1e-6 <= departure <= upper + 1e-6
    shuffle = np.random.default_rng(1).permutation(len(matrix))
    again = henrici_departure(matrix[np.ix_(shuffle, shuffle)])
    assert float(again.value) == pytest.approx(departure, rel=1e-12, abs=1e-12)


def test_henrici_of_random_matrices(x64):
    for seed in range(5):
        matrix = gaussian(12, 1.3, seed)
        found = henrici_departure(matrix)
        spectrum = np.linalg.eigvals(matrix)
        expected = math.sqrt(np.sum(matrix**2) - np.sum(np.abs(spectrum) ** 2))
        assert float(found.value) == pytest.approx(expected, rel=1e-9)
        assert float(found.details["lower"]) <= expected <= float(found.details["upper"])
        assert float(found.details["relative"]) == pytest.approx(
            expected / np.linalg.norm(matrix), rel=1e-9
        )
        np.testing.assert_allclose(
            np.abs(found.details["eigenvalues"]), np.sort(np.abs(spectrum))[::-1], rtol=1e-9
        )
        assert found.statuses == Status.OK
    # Scaling of coordinates moves the departure, not the eigenvalues.
    scales = np.exp(np.linspace(-3, 3, 12))
    scaled = gaussian(12) * scales[:, None] / scales
    found = henrici_departure(scaled)
    np.testing.assert_allclose(
        np.abs(found.details["eigenvalues"]),
        np.sort(np.abs(np.linalg.eigvals(gaussian(12))))[::-1],
        rtol=1e-9,
    )
    expected = np.sum(scaled**2) - np.sum(np.abs(np.linalg.eigvals(gaussian(12))) ** 2)
    assert float(found.value) == pytest.approx(math.sqrt(expected), rel=1e-9)


def test_plain_eigenvalues_of_a_long_chain_are_rejected(x64):
    """The mutant that everybody writes first: 7.51 for 9.45, and a radius of .74 for .398."""
    matrix = chain(100, 0.99, 0.04)
    spectrum = np.linalg.eigvals(matrix)
    wrong = math.sqrt(np.sum(matrix**2) - np.sum(np.abs(spectrum) ** 2))
    assert abs(wrong - 0.95 * 99**0.5) > 1
    exact = 2 * math.sqrt(0.99 * 0.04) * math.cos(math.pi / 101)
    assert abs(np.abs(spectrum).max() - exact) > 0.1
    found = henrici_departure(matrix)
    assert float(found.details["spectral_radius"]) == pytest.approx(exact, rel=1e-12)
    # Hidden by a rotation, the chain is out of reach: the answer says so, the bounds hold.
    turn = orthogonal(100)
    hidden = henrici_departure(turn @ matrix @ turn.T)
    assert Status.ILL_CONDITIONED in hidden.statuses
    assert not hidden.statuses.trusted
    assert hidden.details["lower"] <= 0.95 * 99**0.5 <= hidden.details["upper"]


def test_condition_of_eigenvalues(x64):
    matrix = np.array([[0.5, 10.0], [0.0, 0.4]])
    # Left and right eigenvectors by hand: both have |x| |y| / |y'x| = sqrt(1 + (10 / 0.1)^2).
    found = henrici_departure(matrix).details["condition"]
    np.testing.assert_allclose(found, math.sqrt(1 + 100**2), rtol=1e-9)
    np.testing.assert_allclose(henrici_departure(orthogonal(6)).details["condition"], 1, rtol=1e-9)
    assert np.all(np.isinf(henrici_departure(chain(5, 1.0)).details["condition"]))
    # One group, in the scaled coordinates of which all are 1.
    moved = gaussian(6)
    spectrum, right = np.linalg.eig(moved)
    left = np.linalg.inv(right).conj().T
    expected = np.linalg.norm(right, axis=0) * np.linalg.norm(left, axis=0)
    got = henrici_departure(moved).details
    order = [int(np.argmin(abs(spectrum - value))) for value in np.asarray(got["eigenvalues"])]
    np.testing.assert_allclose(got["condition"], expected[order], rtol=1e-8)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("coupling", [0.0, 0.5])
def test_condition_where_moduli_tie(x64, turn, coupling):
    """a in one group, -a in another: two solvers do not list them in the same order."""
    right, shear = np.array([[1.0, 1.0], [1.0, -2.0]]), np.array([[1.0, 4.0], [0.0, 1.0]])
    first = right @ np.diag([0.5, -0.3]) @ np.linalg.inv(right)
    second = shear @ -first @ np.linalg.inv(shear)
    matrix = np.block([[first, np.zeros((2, 2))], [np.zeros((2, 2)), second]])
    matrix[0, 3] = coupling
    spectrum, left, right = scipy.linalg.eig(matrix, left=True, right=True)
    expected = 1 / np.abs(np.sum(left.conj() * right, axis=0))
    if not coupling:  # by hand: of two vectors, 1 / sin of their angle
        of_first = np.any(np.abs(spectrum[:, None] - np.array([0.5, -0.3])) < 1e-9, axis=1)
        by_hand = np.where(of_first, 10**0.5 / 3, (26 * 53) ** 0.5 / 3)
        np.testing.assert_allclose(expected, by_hand, rtol=1e-9)
    shuffle = np.roll(np.arange(4), turn)
    found = henrici_departure(matrix[np.ix_(shuffle, shuffle)]).details
    order = [int(np.argmin(abs(spectrum - value))) for value in np.asarray(found["eigenvalues"])]
    np.testing.assert_allclose(found["condition"], expected[order], rtol=1e-9)


# Schur


def test_schur_profile(x64):
    line = schur_profile(chain(20, 1.5))
    np.testing.assert_allclose(line.value, 2.25 * 19 * (np.arange(20) == 1), atol=1e-12)
    assert float(line.details["feedforward_share"]) == 1
    normal = schur_profile(0.9 * orthogonal(20))
    np.testing.assert_allclose(normal.value, 0.81 * 20 * (np.arange(20) == 0), atol=1e-12)
    matrix = gaussian(20)
    found = schur_profile(matrix)
    assert float(found.value.sum()) == pytest.approx(np.sum(matrix**2), rel=1e-12)
    assert float(found.value[1:].sum()) == pytest.approx(
        float(henrici_departure(matrix).value) ** 2, rel=1e-9
    )
    moduli, angles = np.asarray(found.details["moduli"]), np.asarray(found.details["angles"])
    assert np.all(np.diff(moduli) <= 1e-8)
    spectrum = np.linalg.eigvals(matrix)
    for value in moduli * np.exp(1j * angles):
        assert np.min(np.abs(spectrum - value)) < 1e-10
    # The triangle is similar to W by a unitary matrix: same singular values.
    np.testing.assert_allclose(
        np.linalg.svd(np.asarray(found.details["triangle"]), compute_uv=False),
        np.linalg.svd(matrix, compute_uv=False),
        rtol=1e-10,
    )
    assert Status.ILL_CONDITIONED in schur_profile(chain(100, 0.99, 0.04)).statuses


def test_schur_profile_of_a_triangle_in_order(x64):
    """Eigenvalues in descending order already: T is W up to signs, and E_d can be read off."""
    rng = np.random.default_rng(0)
    matrix = np.triu(rng.normal(size=(6, 6)), 1) + np.diag([0.9, 0.7, 0.5, 0.3, 0.2, 0.1])
    expected = [np.sum(np.diagonal(matrix, d) ** 2) for d in range(6)]
    np.testing.assert_allclose(schur_profile(matrix).value, expected, rtol=1e-10)
    flipped = matrix[::-1, ::-1].T  # the same line, eigenvalues in ascending order
    assert not np.allclose(schur_profile(flipped).value, expected)  # T depends on the order ...
    assert float(schur_profile(flipped).value[1:].sum()) == pytest.approx(sum(expected[1:]))


# Numerical radius


@pytest.mark.slow
def test_numerical_radius(x64):
    for n in (2, 5, 30):
        found = numerical_radius(chain(n, 1.5))
        assert float(found.value) == pytest.approx(1.5 * math.cos(math.pi / (n + 1)), rel=1e-10)
        assert found.value <= found.details["upper"] <= found.value * 1.001
    assert float(numerical_radius(orthogonal(9)).value) == pytest.approx(1, rel=1e-9)
    matrix = gaussian(8) + 0.3 * chain(8, 1.0)
    angles = np.linspace(0, np.pi, 2_001)
    turned = np.exp(1j * angles)[:, None, None] * matrix
    brute = np.linalg.eigvalsh(0.5 * (turned + turned.conj().transpose(0, 2, 1)))[:, -1].max()
    found = numerical_radius(matrix)
    assert float(found.value) == pytest.approx(brute, rel=1e-6)
    spectral_radius = np.abs(np.linalg.eigvals(matrix)).max()
    wrong = {
        "spectral radius": spectral_radius,
        "spectral norm": np.linalg.norm(matrix, 2),
        "symmetric part": np.abs(np.linalg.eigvalsh(0.5 * (matrix + matrix.T))).max(),
    }
    turned_away = numerical_radius(
        chain(3, 0.2) + 0.9 * np.array([[0, -1, 0], [1, 0, 0], [0, 0, 0]])
    )
    assert float(turned_away.value) > 0.9  # not along the real axis
    assert spectral_radius < brute < wrong["spectral norm"]
    assert all(abs(value / brute - 1) > 1e-4 for name, value in wrong.items() if "part" not in name)


def rotation(radius, angle):
    return radius * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize(
    ("count", "spread"), [(2, 1e-3), (2, 1e-6), (6, 1e-3), (6, 1e-6), (20, 1e-4)]
)
def test_numerical_radius_of_many_peaks_of_nearly_one_height(x64, count, spread):
    """Normal: the largest modulus of an eigenvalue, wherever it stands."""
    matrices, expected = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        radii = 1 + spread * rng.uniform(size=count)
        angles = rng.uniform(0, (np.pi, 0.3)[seed % 2], size=count)
        blocks = [rotation(*pair) for pair in zip(radii, angles, strict=True)]
        matrices.append(scipy.linalg.block_diag(*blocks))
        expected.append(radii.max())
    matrices[0][:4, :4] = scipy.linalg.block_diag(rotation(1, 2.34), rotation(1.00067, 0.19))
    expected[0] = np.abs(np.linalg.eigvals(matrices[0])).max()
    found = numerical_radius(np.stack(matrices))
    np.testing.assert_allclose(found.value, expected, rtol=2e-9)
    np.testing.assert_allclose(found.details["upper"], expected, rtol=2e-9)


# Pseudospectrum and Kreiss constant


@pytest.mark.parametrize(("n", "alpha"), [(10, 1.0), (100, 1.05)])
def test_pseudospectrum_of_a_chain_in_closed_form(x64, n, alpha):
    found = pseudospectrum(chain(n, alpha), extent=1.5, points=6)
    axis = np.linspace(-1.5, 1.5, 6)
    radii = np.abs(axis[None] + 1j * axis[:, None])
    expected = np.vectorize(lambda r: smallest_of_chain(n, alpha, r))(radii)
    np.testing.assert_allclose(found.value, expected, rtol=1e-6, atol=1e-7)  # a difference
    wrong = radii  # the distance to the only eigenvalue
    assert np.max(np.abs(np.asarray(found.value) - wrong)) > 0.5


@pytest.mark.slow
def test_pseudospectrum_by_brute_force(x64):
    for matrix in (gaussian(9), gaussian(140)):  # dense, and by triangular solves
        found = pseudospectrum(matrix, points=5)
        axis = np.asarray(found.details["real"])
        for row in range(5):
            for column in range(5):
                z = axis[column] + 1j * axis[row]
                expected = np.linalg.svd(z * np.eye(len(matrix)) - matrix, compute_uv=False)[-1]
                assert float(found.value[row, column]) == pytest.approx(expected, rel=1e-7)
    normal = np.diag([0.5, -0.5])
    found = pseudospectrum(normal, extent=1.0, points=4)
    axis = np.linspace(-1, 1, 4)
    z = axis[None] + 1j * axis[:, None]
    np.testing.assert_allclose(
        found.value, np.minimum(np.abs(z - 0.5), np.abs(z + 0.5)), atol=1e-14
    )


@pytest.mark.parametrize("n", [80, 200])
@pytest.mark.parametrize("name", ["even", "random", "rotated", "almost normal", "twice"])
def test_pseudospectrum_where_singular_values_lie_close(x64, n, name):
    """Of a normal matrix, distances: few steps of Lanczos from one vector do not find them."""
    even, turn = np.linspace(-1, 1, n), orthogonal(n)
    matrix = {
        "even": np.diag(even),
        "random": np.diag(np.random.default_rng(0).uniform(-1, 1, n)),
        "rotated": turn @ np.diag(even) @ turn.T,
        "almost normal": np.diag(even) + 1e-9 * np.eye(n, k=1),
        "twice": np.kron(np.eye(2), np.diag(even[::2]) + 0.1 * np.eye(n // 2, k=1)),
    }[name]
    found = pseudospectrum(matrix, points=5)
    axis = np.asarray(found.details["real"])
    z = axis[None] + 1j * axis[:, None]
    if name in ("almost normal", "twice"):
        shifted = z[..., None, None] * np.eye(n) - matrix
        expected = np.linalg.svd(shifted, compute_uv=False)[..., -1]
    else:
        spectrum = np.linalg.eigvalsh(matrix)
        expected = np.abs(z[..., None] - spectrum).min(axis=-1)
    np.testing.assert_allclose(found.value, expected, rtol=0, atol=2e-14)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_pseudospectrum_in_any_unit(x64, unit):
    matrix = gaussian(140)
    reach = np.linalg.norm(matrix, 2)
    found, same = (
        pseudospectrum(u * matrix, extent=u * reach, points=3).value / u for u in (unit, 1.0)
    )
    np.testing.assert_allclose(found, same, rtol=1e-10)
    far = pseudospectrum(1e-320 * matrix, points=2).value
    np.testing.assert_allclose(far, 1.2 * 2**0.5, rtol=1e-15)


@pytest.mark.parametrize(("n", "alpha"), [(10, 1.3), (100, 1.02)])
def test_kreiss_constant_of_a_chain(x64, n, alpha):
    radii = 1 + np.geomspace(1e-3, 10, 4000)
    expected = max((r - 1) / smallest_of_chain(n, alpha, r) for r in radii)
    found = kreiss_constant(chain(n, alpha))
    assert float(found.value) == pytest.approx(expected, rel=1e-5)
    growth = float(transient_growth(chain(n, alpha)).value)
    assert expected <= growth <= math.e * n * expected
    wrong = {
        "times |z|": max((r - 1) * r / smallest_of_chain(n, alpha, r) for r in radii),
        "from eigenvalues": 1.0,
        "growth": growth,
    }
    for value in wrong.values():
        assert value != pytest.approx(expected, rel=1e-5)


def test_kreiss_constant_of_others(x64):
    for normal in (0.9 * orthogonal(12), orthogonal(12), np.diag([0.99, -0.3])):
        assert float(kreiss_constant(normal).value) == pytest.approx(1, abs=1e-6)
    unstable = kreiss_constant(gaussian(12, 2.0))
    assert np.isinf(unstable.value)
    assert Status.UNSTABLE in unstable.statuses
    # Simple eigenvalues on the circle: finite, the norm of their projector.
    simple = kreiss_constant(np.array([[1.0, 3.0], [0.0, 0.5]]))
    assert float(simple.value) == pytest.approx(math.hypot(1, 6), rel=1e-6)
    for several in (np.eye(5), np.eye(6)[[1, 0, 3, 2, 5, 4]], np.kron(np.eye(2), rotation(1, 0.3))):
        assert float(kreiss_constant(several).value) == pytest.approx(1, abs=1e-9)
    # A narrow peak: an eigenvalue near the circle, off both axes, ill-conditioned by a factor 5.
    block = 0.9999 * np.array([[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]])
    matrix = np.block([[block, 5 * np.eye(2)], [np.zeros((2, 2)), 0.1 * np.eye(2)]])
    beyond = np.geomspace(1e-5, 10, 200)
    angles = np.concatenate([np.linspace(0, np.pi, 60), 1 + np.linspace(-1e-3, 1e-3, 41)])
    z = ((1 + beyond)[:, None] * np.exp(1j * angles)).reshape(-1, 1, 1)
    smallest = np.linalg.svd(z * np.eye(4) - matrix, compute_uv=False)[:, -1]
    brute = np.max((np.abs(z).ravel() - 1) / smallest)
    assert brute > 4
    assert float(kreiss_constant(matrix).value) >= brute * (1 - 1e-6)
    assert float(kreiss_constant(matrix).value) <= brute * 1.01


@pytest.mark.parametrize("name", ["line", "sign", "weak", "three", "pair", "turned"])
def test_kreiss_constant_where_powers_grow_without_bound(x64, name):
    """A defective eigenvalue on the circle: powers grow as k, though the radius is 1."""
    line = np.array([[1.0, 1.0], [0.0, 1.0]])
    pair = np.kron(np.eye(2), rotation(1, 1.0)) + np.eye(4, k=2)
    turn = orthogonal(4)
    matrix = {
        "line": line,
        "sign": -line,
        "weak": np.array([[1.0, 1e-9], [0.0, 1.0]]),
        "three": np.eye(3) + np.eye(3, k=1),
        "pair": pair,
        "turned": turn @ pair @ turn.T,
    }[name]
    for found in (kreiss_constant(matrix), nonnormality(matrix, max_power=20)):
        value = found.details.get("kreiss_constant", found.value)
        assert np.isinf(value)
        assert Status.UNSTABLE in found.statuses


# Transient growth


def test_transient_growth(x64):
    for matrix, value, power in (
        (chain(30, 1.1), 1.1**29, 29),
        (chain(30, 0.9), 1.0, 0),
        (orthogonal(10), 1.0, 0),
    ):
        found = transient_growth(matrix)
        assert float(found.value) == pytest.approx(value, rel=1e-10)
        assert int(found.details["power"]) == power
        assert found.statuses == Status.OK
    matrix = gaussian(12, 0.2) + chain(12, 1.3)
    matrix *= 0.95 / np.abs(np.linalg.eigvals(matrix)).max()
    norms = [np.linalg.norm(np.linalg.matrix_power(matrix, k), 2) for k in range(400)]
    found = transient_growth(matrix)
    assert float(found.value) == pytest.approx(max(norms), rel=1e-10)
    assert int(found.details["power"]) == int(np.argmax(norms))
    wrong = {
        "spectral radius": max(0.95**k for k in range(400)),
        "power of the norm": norms[1] ** np.argmax(norms),
        "Frobenius": max(np.linalg.norm(np.linalg.matrix_power(matrix, k)) for k in range(400)),
    }
    for mutant in wrong.values():
        assert mutant != pytest.approx(max(norms), rel=1e-6)


def test_the_feedback_chain_amplifies_before_it_forgets(x64):
    found = transient_growth(chain(100, 0.99, 0.04), vector=np.eye(100)[0])
    assert float(found.value) == pytest.approx(7.55, abs=0.005)
    assert int(found.details["power"]) == 103
    for never in (orthogonal(100), np.eye(100)):
        assert float(transient_growth(never, vector=np.eye(100)[0], max_power=200).value) < 1 + 1e-9
    assert Status.NOT_CONVERGED in transient_growth(1.01 * orthogonal(5), max_power=50).statuses
    assert Status.UNSTABLE in transient_growth(1.01 * orthogonal(5), max_power=50).statuses


def test_norms_of_large_powers(x64):
    """Beyond 128 units the norm comes from Lanczos."""
    matrix = gaussian(150, 0.8)
    found = transient_growth(matrix)
    norms = [np.linalg.norm(np.linalg.matrix_power(matrix, k), 2) for k in range(4)]
    np.testing.assert_allclose(found.details["gain"][:4], norms, rtol=1e-9)


# The radius that acts


@pytest.mark.slow
def test_effective_spectral_radius(x64):
    cell = Elman(2, 6, key=jr.key(0), dtype=jnp.float64)
    slopes = 1 - np.tanh(np.asarray(cell.bias)) ** 2
    expected = np.abs(np.linalg.eigvals(slopes[:, None] * np.asarray(cell.recurrent))).max()
    at_rest = effective_spectral_radius(cell)
    assert float(at_rest.value) == pytest.approx(expected, rel=1e-9)

    w = gaussian(6)

    def leaky(h, x):
        return 0.7 * h + 0.3 * jnp.tanh(jnp.asarray(w) @ h + x)

    found = effective_spectral_radius(leaky, state=jnp.zeros(6))
    leaked = np.abs(np.linalg.eigvals(0.7 * np.eye(6) + 0.3 * w)).max()
    assert float(found.value) == pytest.approx(leaked, rel=1e-9)
    wrong = {"of W": np.abs(np.linalg.eigvals(w)).max(), "times the leak": 0.3 * leaked}
    assert all(value != pytest.approx(leaked, rel=1e-3) for value in wrong.values())

    # Driven: the mean of the slopes, by hand.
    xs = np.random.default_rng(0).normal(size=40)
    h, total = np.zeros(6), np.zeros((6, 6))
    for t, x in enumerate(xs):
        new = np.tanh(w @ h + x)
        if t >= 10:
            total += 0.7 * np.eye(6) + 0.3 * (1 - new**2)[:, None] * w
        h = 0.7 * h + 0.3 * new
    found = effective_spectral_radius(leaky, xs, state=jnp.zeros(6), burn_in=10)
    mean = np.abs(np.linalg.eigvals(total / 30)).max()
    assert float(found.value) == pytest.approx(mean, rel=1e-9)
    assert mean != pytest.approx(leaked, rel=1e-3)
    with pytest.raises(ValueError, match="leaves nothing"):
        effective_spectral_radius(leaky, xs, state=jnp.zeros(6), burn_in=40)


# Matrices in any unit

UNITS = (1e-170, 1e-140, 1e-85, 1e80, 1e140, 1e200)
MIXED = np.array([[1.0, 2.0, 0.0], [3.0, -1.0, 1.0], [0.5, 0.0, 2.0]])


@pytest.mark.parametrize("unit", UNITS)
def test_what_has_the_unit_of_the_matrix(x64, unit):
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    assert float(henrici_departure(unit * turn).value) == 0
    assert float(henrici_departure(unit * turn).details["relative"]) == 0
    # A matrix of two groups, by itself and beside one of a unit far from its own.
    two = np.block([[MIXED, np.ones((3, 1))], [np.zeros((1, 3)), 0.5 * np.ones((1, 1))]])
    alone, found = henrici_departure(two), henrici_departure(unit * two)
    assert float(found.value) / unit == pytest.approx(float(alone.value), rel=1e-12)
    for name in ("lower", "upper", "spectral_radius", "eigenvalues", "eigenvalue_error"):
        np.testing.assert_allclose(
            np.asarray(found.details[name]) / unit, alone.details[name], rtol=1e-6, atol=1e-12
        )
    np.testing.assert_allclose(found.details["condition"], alone.details["condition"], rtol=1e-9)
    assert found.statuses == Status.OK
    beside = np.block([[unit * MIXED, np.zeros((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]])
    spectrum = np.asarray(henrici_departure(beside).details["eigenvalues"])
    expected = np.append(unit * np.linalg.eigvals(MIXED), 1)
    expected = expected[np.argsort(-np.abs(expected))]
    np.testing.assert_allclose(spectrum / np.abs(expected), np.sign(expected), rtol=1e-12)
    assert float(numerical_radius(unit * MIXED).value) / unit == pytest.approx(
        float(numerical_radius(MIXED).value), rel=1e-12
    )
    assert float(nonnormality(unit * MIXED).details["commutator"]) == pytest.approx(
        float(nonnormality(MIXED).details["commutator"]), rel=1e-12
    )
    lines = schur_profile(unit * MIXED)
    assert float(lines.details["feedforward_share"]) == pytest.approx(2.25 / 20.25, rel=1e-12)
    trusted = 1e-150 < unit < 1e150  # squares that are no doubles do not pass for energies
    assert lines.statuses.trusted == trusted
    if trusted:
        assert float(lines.value.sum()) / unit / unit == pytest.approx(20.25, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_the_radius_that_acts_in_any_unit(x64, unit):
    found = effective_spectral_radius(
        lambda h, _: jnp.asarray(unit * MIXED) @ h, state=jnp.zeros(3)
    )
    assert float(found.value) / unit == pytest.approx(2.857623607030489, rel=1e-12)
    pair = unit * np.array([[0.0, -1.0], [4.0, 0.0]])
    found = effective_spectral_radius(lambda h, _: jnp.asarray(pair) @ h, state=jnp.zeros(2))
    assert float(found.value) / unit == pytest.approx(2, rel=1e-12)
    assert found.statuses == Status.OK


def test_growth_of_what_grows_out_of_the_range_of_doubles(x64):
    for matrix, vector in (
        (chain(4, 1e160), None),
        (chain(4, 1e160), np.eye(4)[0]),
        (1e200 * np.eye(4), None),
    ):
        found = transient_growth(matrix, vector=vector)
        assert float(found.value) == pytest.approx(matrix.max(), rel=1e-12)
        assert found.statuses == Status.NOT_CONVERGED | Status.UNSTABLE  # a lower bound
    whole = transient_growth(chain(4, 1e100))
    assert float(whole.value) == pytest.approx(1e300, rel=1e-12)
    assert whole.statuses == Status.OK
    faint = transient_growth(chain(4, 2.0), vector=1e-200 * np.eye(4)[0])
    assert float(faint.value) == pytest.approx(8e-200, rel=1e-12)
    assert not transient_growth(1.7e308 * np.ones((4, 4))).statuses.trusted


# All together, and what all of them promise


def test_nonnormality_gathers_them_all(x64):
    matrix = gaussian(20) + chain(20, 0.3)
    found = nonnormality(matrix)
    d = found.details
    assert float(found.value) == float(henrici_departure(matrix).value)
    assert float(d["kreiss_constant"]) == float(kreiss_constant(matrix).value)
    assert float(d["growth"]) == float(transient_growth(matrix).value)
    assert float(d["numerical_radius"]) == float(numerical_radius(matrix).value)
    assert d["spectral_radius"] <= d["numerical_radius"] <= d["spectral_norm"]
    assert 0 < d["commutator"] < 2**0.5


MEASURES = {
    "henrici": henrici_departure,
    "nonnormality": nonnormality,
    "schur": schur_profile,
    "radius": numerical_radius,
    "pseudospectrum": lambda m, **k: pseudospectrum(m, points=4, **k),
    "kreiss": kreiss_constant,
    "growth": lambda m, **k: transient_growth(m, max_power=20, **k),
}


@pytest.mark.parametrize("name", MEASURES)
def test_promises(name, x64):
    measure = MEASURES[name]
    first, second = gaussian(5, 0.7), chain(5, 0.8)
    alone = measure(first)
    # Cells, by block; stacks in place of vmap; nothing under tracing.
    cell = Elman(1, 5, recurrent=init.chain(0.8), key=jr.key(0), dtype=jnp.float64)
    np.testing.assert_array_equal(measure(cell).value, measure(second).value)
    stacked = measure(jnp.stack([jnp.asarray(first), jnp.asarray(second)]))
    np.testing.assert_array_equal(stacked.value[0], alone.value)
    np.testing.assert_array_equal(stacked.value[1], measure(second).value)
    assert stacked.value.dtype == jnp.float64
    gated = GRU(1, 5, key=jr.key(0))
    with pytest.raises(ValueError, match="one of r, z, n"):
        measure(gated)
    assert measure(gated, block="z").value.dtype == jnp.float32
    with pytest.raises(ValueError, match="cannot be traced"):
        jax.jit(lambda m: measure(m).value)(jnp.asarray(first))
    for wrong in (np.zeros((2, 3)), np.zeros(4), np.zeros((0, 0))):
        with pytest.raises(ValueError, match="must have shape"):
            measure(wrong)
    # NaN stays NaN, for that matrix alone.
    lost = measure(np.stack([np.where(np.eye(5) == 1, np.nan, first), first]))
    assert np.all(np.isnan(lost.value[0]))
    assert np.all(np.isfinite(lost.value[1]))
    assert int(lost.status[0]) == Status.NOT_FINITE


def test_sizes_are_refused_with_the_reason():
    with pytest.raises(MemoryError, match=r"GB of memory"):
        henrici_departure(np.broadcast_to(np.float32(0), (40_000, 40_000)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["henrici", "schur", "radius", "growth"])
def test_a_thousand_units(name, x64):
    found = MEASURES[name](gaussian(1000, 0.9))
    assert np.all(np.isfinite(np.asarray(found.value)))
    if name == "henrici":  # circular law: the mean of |lambda|^2 is half the variance
        assert float(found.details["relative"]) == pytest.approx(0.5**0.5, abs=0.02)
        line = henrici_departure(chain(1000, 0.99, 0.04))
        assert float(line.value) == pytest.approx(0.95 * 999**0.5, rel=1e-12)
    if name == "radius":  # of a Ginibre matrix: sqrt(2) times its gain
        assert float(found.value) == pytest.approx(0.9 * 2**0.5, rel=0.02)


@pytest.mark.slow
def test_kreiss_constant_of_a_thousand_units(x64):
    found = kreiss_constant(chain(1000, 1.0))
    radii = 1 + np.geomspace(1e-4, 1, 4000)
    expected = max((r - 1) / smallest_of_chain(1000, 1.0, r) for r in radii)
    assert float(found.value) == pytest.approx(expected, rel=1e-4)
