"""Which prescriptions are built and measured."""

import numpy as np

import echoic
from echoic.diagnosis.designs import _to_measure

NOISE = np.random.default_rng(0).normal(size=600)


def test_the_best_of_each_family_first_then_the_next_ones():
    families = ["linear", "residual", "elman/identity", "elman/orthogonal"]
    solved = echoic.design(families, NOISE, horizon=10, hidden_size=12)
    feasible = [p for p in solved if p.feasible]
    three = _to_measure(solved, 3)
    assert {p.family for p in three} == {"linear", "residual", "elman"}
    for p in three:
        assert p is next(other for other in feasible if other.family == p.family)
    five = _to_measure(solved, 5)
    assert five[:3] == three
    assert five[3:] == [p for p in feasible if p not in three][:2]
    assert len(_to_measure(solved, 100)) == len(feasible) < len(solved)


def test_where_nothing_is_feasible_the_nearest_is_built():
    solved = echoic.design("linear/gaussian", NOISE, horizon=60, hidden_size=4)
    assert not solved[0].feasible
    assert _to_measure(solved, 6) == solved[:1]
