"""Which matrices look drawn from a law: few false alarms, and every structure found."""

import math

import numpy as np
import pytest

from echoic.theory import identify_weight_law
from echoic.theory.weight_law import _STRUCTURE, _judge

SIZE = 96


def haar(rng, n):
    q, r = np.linalg.qr(rng.normal(size=(n, n)))
    return q * np.sign(np.diagonal(r))


INDEPENDENT = {
    "gaussian": lambda rng, n: rng.normal(size=(n, n)) / math.sqrt(n),
    "uniform": lambda rng, n: rng.uniform(-1, 1, (n, n)) * math.sqrt(3 / n),
    "laplace": lambda rng, n: rng.laplace(size=(n, n)) / math.sqrt(2 * n),
    "signs": lambda rng, n: rng.choice([-1.0, 1.0], size=(n, n)) / math.sqrt(n),
}


@pytest.mark.parametrize("law", INDEPENDENT)
def test_independent_entries_pass(law):
    for seed in range(12):
        matrix = 0.7 * INDEPENDENT[law](np.random.default_rng(seed), 64)
        found = identify_weight_law(matrix)
        assert found.verdict == "gaussian-like", found
        assert found.applies
        assert found.gain == pytest.approx(0.7, abs=0.06)
        assert found.self_coupling == 0
    found = identify_weight_law(matrix, np.tile([1.0, 3.0], 32))
    assert (found.bias_mean, found.bias_std) == (2.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "seeds"), [(64, 400), (128, 120), (256, 30)])
def test_false_alarms_are_fewer_than_one_in_a_hundred(n, seeds):
    alarms = total = 0
    for law in ("gaussian", "uniform", "laplace"):
        for seed in range(seeds):
            found = identify_weight_law(INDEPENDENT[law](np.random.default_rng(seed), n))
            alarms += found.verdict != "gaussian-like"
            total += 1
    assert alarms <= total / 100 / 3


def test_haar_orthogonal():
    for seed in range(5):
        found = identify_weight_law(1.2 * haar(np.random.default_rng(seed), SIZE))
        assert found.verdict == "orthogonal"
        assert found.gain == pytest.approx(1.2, abs=0.02)


def test_self_coupling():
    rng = np.random.default_rng(0)
    found = identify_weight_law(
        0.5 * np.eye(SIZE) + rng.normal(size=(SIZE, SIZE)) / math.sqrt(SIZE)
    )
    assert found.verdict == "diagonal plus gaussian"
    assert found.self_coupling == pytest.approx(0.5, abs=0.05)
    assert found.gain == pytest.approx(1.0, abs=0.05)
    silent = INDEPENDENT["gaussian"](rng, SIZE)
    np.fill_diagonal(silent, 0.0)  # no self-coupling at all: as good as independent
    assert identify_weight_law(silent).verdict == "gaussian-like"


def rotations(rng, n):
    blocks = np.zeros((n, n))
    for i in range(0, n, 2):
        angle = rng.uniform(-np.pi, np.pi)
        cosine, sine = np.cos(angle), np.sin(angle)
        blocks[i : i + 2, i : i + 2] = [[cosine, -sine], [sine, cosine]]
    return blocks


def blocks(rng, n):
    half = n // 2
    matrix = rng.normal(size=(n, n))
    matrix[:half, half:] = matrix[half:, :half] = 0
    return matrix


def shuffled(matrix, rng):
    order = rng.permutation(len(matrix))
    return matrix[order][:, order]


def spike(rng, n, size):
    """Noise of gain 1 and a part of rank one, along random directions."""
    u, v = rng.normal(size=(2, n)) / math.sqrt(n)
    return rng.normal(size=(n, n)) / math.sqrt(n) + size * np.outer(u, v)


def symmetric(rng, n, sign):
    matrix = rng.normal(size=(n, n))
    return matrix + sign * matrix.T


def triangular(rng, n):
    return np.tril(rng.normal(size=(n, n)), -1)


STRUCTURED = {
    "chain": (lambda rng, n: 1.02 * np.eye(n, k=-1), "chain"),
    "transposed chain": (lambda rng, n: np.eye(n, k=1), "chain"),
    "cycle": (lambda rng, n: np.roll(np.eye(n), 1, axis=0), "chain"),
    "chain in noise": (
        lambda rng, n: np.eye(n, k=-1) + rng.normal(size=(n, n)) / math.sqrt(n),
        "chain",
    ),
    "shuffled chain": (lambda rng, n: shuffled(np.eye(n, k=-1), rng), "heavy-tailed"),
    "identity": (lambda rng, n: 0.9 * np.eye(n), "nothing is random"),
    "constant": (lambda rng, n: np.ones((n, n)), "nothing is random"),
    "rotations": (rotations, ""),
    "blocks": (blocks, "blocks"),
    "shuffled blocks": (lambda rng, n: shuffled(blocks(rng, n), rng), "sizes"),
    "rank one": (lambda rng, n: spike(rng, n, 3.0), "low-rank"),
    "rank three": (lambda rng, n: sum(spike(rng, n, 3.0) for _ in range(3)), "low-rank"),
    "symmetric": (lambda rng, n: symmetric(rng, n, 1), "transpose"),
    "antisymmetric": (lambda rng, n: symmetric(rng, n, -1), "transpose"),
    "triangular": (triangular, ""),
    "mean": (lambda rng, n: rng.normal(size=(n, n)) + 0.3, "mean of the entries"),
    "one sign": (lambda rng, n: np.abs(rng.normal(size=(n, n))), "mean of the entries"),
    "loud rows": (
        lambda rng, n: rng.normal(size=(n, n)) * np.linspace(0.5, 1.5, n)[:, None],
        "receive",
    ),
    "loud columns": (lambda rng, n: rng.normal(size=(n, n)) * np.linspace(0.5, 1.5, n), "send"),
    "signed senders": (
        lambda rng, n: np.abs(rng.normal(size=(n, n))) * rng.choice([-1.0, 1.0], n),
        "",
    ),
    "uneven self-couplings": (
        lambda rng, n: rng.normal(size=(n, n)) / math.sqrt(n) + np.diag(rng.uniform(-1, 1, n)),
        "self-couplings differ",
    ),
    "cauchy": (lambda rng, n: rng.standard_cauchy(size=(n, n)), "heavy-tailed"),
    "sparse": (lambda rng, n: rng.normal(size=(n, n)) * (rng.random((n, n)) < 0.1), "sparse"),
    "spread of singular values": (
        lambda rng, n: haar(rng, n) @ np.diag(rng.uniform(0.5, 1.5, n)) @ haar(rng, n),
        "singular values",
    ),
    "not a number": (lambda rng, n: np.full((n, n), np.nan), "not finite"),
}


@pytest.mark.parametrize("kind", STRUCTURED)
@pytest.mark.parametrize("n", [64, 128])
def test_structure_is_found(kind, n):
    build, word = STRUCTURED[kind]
    for seed in range(3):
        found = identify_weight_law(build(np.random.default_rng(seed), n))
        assert found.verdict == "no theory applies", (kind, found)
        assert not found.applies
        assert word in found.reason, (kind, found.reason)


def test_a_weak_rank_one_part_cannot_be_seen():
    """Below the transition at 1 the singular value drowns; the docstring says so."""
    found = [
        identify_weight_law(spike(np.random.default_rng(seed), 128, 0.5)).verdict
        for seed in range(5)
    ]
    assert found == ["gaussian-like"] * 5


def test_a_trained_network_is_told_from_its_initial_weights():
    """Ridge regression of a low-dimensional target bends W along few directions."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(SIZE, SIZE)) / math.sqrt(SIZE)
    states = np.tanh(rng.normal(size=(400, SIZE)))
    target = np.stack([np.sin(np.arange(400) * f) for f in (0.1, 0.2)], axis=1)
    readout = np.linalg.lstsq(states, target, rcond=None)[0]
    feedback = rng.uniform(-1, 1, (SIZE, 2))
    assert identify_weight_law(weights).applies
    assert not identify_weight_law(weights + 6 * feedback @ readout.T).applies


# Wrong versions of the verdict: each leaves one thing out, and something gets through.


@pytest.mark.parametrize("left_out", sorted(_STRUCTURE))
def test_each_statistic_is_needed(left_out):
    """For every statistic there is a matrix that it alone, or it first, gives away."""
    only = {
        "diagonal bands": "chain in noise",
        "transpose": "antisymmetric",
        "mean": "mean",
        "row means": "loud rows",
        "column means": "loud columns",
        "spread of the diagonal": "uneven self-couplings",
        "singular edge": "rank one",
        "bulk": "spread of singular values",
    }
    found = identify_weight_law(STRUCTURED[only[left_out]][0](np.random.default_rng(0), SIZE))
    alarm = max(
        (name for name in found.statistics if name.removesuffix(" of sizes") == left_out),
        key=lambda name: abs(found.statistics[name]),
    )
    assert abs(found.statistics[alarm]) > 6
    assert _judge([alarm], 3.0, 1.0)[1].split("(")[0].rstrip(". ") in found.reason
    assert _judge([], 3.0, 1.0)[0] == "gaussian-like"


def test_ranks_are_what_keeps_heavy_but_allowed_tails_quiet():
    """Wrong: the edge from the entries themselves, not from their ranks."""
    rng = np.random.default_rng(2)
    loud = 0
    for _ in range(20):
        matrix = rng.laplace(size=(64, 64)) ** 3  # independent, but for its tails
        matrix /= matrix.std()
        top = np.linalg.svd(matrix, compute_uv=False)[0] ** 2
        scale = 2 * 8 * (2 / 8) ** (1 / 3)
        loud += (top - 4 * 64) / scale > 5.5
        assert identify_weight_law(matrix).statistics["singular edge"] < 5.5
    assert loud > 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: identify_weight_law(np.ones((64, 32))), r"shape \(n, n\)"),
        (lambda: identify_weight_law(np.ones((8, 8))), "at least 32"),
        (lambda: identify_weight_law(np.ones((64, 64)), np.ones(3)), r"shape \(64,\)"),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
