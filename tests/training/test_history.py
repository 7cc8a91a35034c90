"""The table of a run."""

import csv
import io
import math

import numpy as np

from echoic.training import History

ROWS = [
    {"step": 10, "member": 0, "train_loss": 1 / 3, "validation_loss": 0.5, "seconds": 1.5},
    {"step": 10, "member": 1, "train_loss": math.inf, "seconds": 1.5, "exponent": -0.1},
    {"step": 20, "member": 0, "train_loss": 1e-300, "validation_loss": 0.25, "seconds": 3.0},
]


def test_the_table_comes_back_from_its_lines_and_its_text():
    history = History.of(ROWS)
    assert history.rows() == ROWS
    assert len(history) == 3
    read = list(csv.DictReader(io.StringIO(history.to_csv())))
    for row, line in zip(ROWS, read, strict=True):
        assert {k: float(v) for k, v in line.items() if v} == row


def test_curves_are_those_of_one_member_without_gaps():
    history = History.of(ROWS)
    steps, values = history.curve("validation_loss", member=0)
    assert (steps.tolist(), values.tolist()) == ([10, 20], [0.5, 0.25])
    assert history.curve("validation_loss", member=1)[0].tolist() == []
    assert history.curve("exponent", member=1)[1].tolist() == [-0.1]


def test_an_empty_table_has_its_columns():
    history = History.of([])
    assert history.rows() == []
    assert history.to_csv().startswith("step,member,train_loss")
    assert history.column("step").dtype == np.int64
