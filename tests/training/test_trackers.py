"""What trackers are told; the real ones where they are installed."""

import sys
import types

import numpy as np
import pytest

from echoic.training import trackers
from echoic.training.events import Examined, Finished, Started

ROW = {"step": 20, "member": 1, "train_loss": 0.5, "accuracy": np.nan, "seconds": 2.0}
EVENTS = [
    Started(0, 40, 2, {"batch": 8}),
    Examined(20, ({**ROW, "member": 0, "train_loss": 0.25}, ROW)),
    Finished((0.1, 0.2), (np.nan, np.nan), 3.0),
]
EXPECTED = {
    "member 0/train_loss": 0.25,
    "member 0/seconds": 2.0,
    "member 1/train_loss": 0.5,
    "member 1/seconds": 2.0,
}


def watch(observer):
    for event in EVENTS:
        observer(event)


def test_wandb_is_told_each_number_once(monkeypatch):
    calls = []

    class Run:
        def __init__(self):
            self.summary = {}

        def log(self, values, step):
            calls.append((values, step))

        def finish(self):
            calls.append(self.summary)

    def init(**options):
        calls.append(options)
        return Run()

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    watch(trackers.wandb(project="p"))
    assert calls == [
        {"config": {"batch": 8}, "project": "p"},
        (EXPECTED, 20),
        {"member 0/test_loss": 0.1, "member 1/test_loss": 0.2},
    ]


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip("tensorboard", reason="needs the extra 'track'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    watch(trackers.by_name("tensorboard", tmp_path))
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for tag, value in EXPECTED.items():
        (event,) = found.Tensors(tag)
        assert event.step == 20
        assert make_ndarray(event.tensor_proto) == np.float32(value)


@pytest.mark.slow
def test_wandb_offline(tmp_path):
    pytest.importorskip("wandb", reason="needs the extra 'track'")
    watch(trackers.wandb(dir=str(tmp_path), project="p", mode="offline"))
    assert list(tmp_path.rglob("*.wandb"))


@pytest.mark.parametrize("name", trackers.NAMES)
def test_a_missing_tracker_is_named(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with pytest.raises(ImportError, match=rf"{name} is not installed: pip install 'echoic"):
        trackers.by_name(name, tmp_path)


def test_an_unknown_tracker_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown tracker 'tensorbord'"):
        trackers.by_name("tensorbord", tmp_path)
