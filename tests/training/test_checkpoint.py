"""Runs on disk: what is written, what survives, and that what goes on is the same run."""

import errno
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import echoic
from echoic.core import files
from echoic.training import CheckpointWarning, Optimiser, TrainingWarning, ensemble, train
from echoic.training import checkpoint as checkpoint_
from echoic.training.checkpoint import (
    Checkpoint,
    DamagedError,
    checkpoints_in,
    load_checkpoint,
    load_newest,
    save_checkpoint,
)


@pytest.fixture(autouse=True)
def _one_step_a_call(monkeypatch):
    """Many calls, after each of which something may happen."""
    monkeypatch.setattr(ensemble, "_SECONDS_A_CALL", 0.0)


KEY = jax.random.key(0)
ADAM = Optimiser(learning_rate=0.01, clip=1.0)


def go(model, task, folder, steps=30, **options):
    options = {"batch": 8, "every": 10, "validation_size": 16, "optimiser": ADAM} | options
    return train(model, task, steps=steps, key=KEY, folder=folder, **options)


def arrays(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


def same_run(one, other):
    """Weights, best weights, and all of the history but the time."""
    equal = [same(one.last, other.last), same(one.networks, other.networks)]
    equal += [
        np.array_equal(one.history.column(name), other.history.column(name), equal_nan=True)
        for name in one.history.columns
        if name != "seconds"
    ]
    equal += [one.outcomes == other.outcomes, np.array_equal(one.test_loss, other.test_loss)]
    return all(equal)


class Stop(Exception):
    """What the observer below raises."""


def stop_after(calls):
    """An observer that ends the run as the power would, after so many calls of the program."""
    left = [calls]

    def watch(event):
        if isinstance(event, echoic.training.events.Advanced):
            left[0] -= 1
            if left[0] < 0:
                raise Stop

    return watch


# --- one file -------------------------------------------------------------------------------------

TREE = {
    "weights": [jnp.arange(3.0), jnp.ones((2, 2), jnp.bfloat16)],
    "key": jax.random.key(3),
    "step": 7,
    "flags": np.array([True, False]),
    "count": jnp.asarray(5, jnp.int32),
    "nothing": None,
}
TABLE = {"step": np.arange(4), "loss": np.array([0.1, np.nan, np.inf, 1e-300])}


def stored(folder, step=1):
    return save_checkpoint(folder, step, Checkpoint(TREE, TABLE, {"seconds": 0.1}), keep=2)


def blank():
    """A tree of the same form with other values."""
    zero = jax.tree.map(lambda leaf: leaf if leaf is TREE["key"] else leaf * 0, TREE)
    return zero | {"key": jax.random.key(0), "flags": np.array([False, False])}


def test_what_was_stored_comes_back(tmp_path):
    found = load_checkpoint(stored(tmp_path), blank())
    assert found.header == {"version": 1, "seconds": 0.1}
    assert all(np.array_equal(found.table[k], TABLE[k], equal_nan=True) for k in TABLE)
    assert jax.tree.structure(found.arrays) == jax.tree.structure(TREE)
    key = jax.random.key_data(found.arrays["key"])
    assert np.array_equal(key, jax.random.key_data(TREE["key"]))
    for name in ("weights", "step", "flags", "count"):
        pairs = zip(jax.tree.leaves(found.arrays[name]), jax.tree.leaves(TREE[name]), strict=True)
        for one, other in pairs:
            assert np.asarray(one).dtype == np.asarray(other).dtype
            assert np.array_equal(one, other)


def test_old_checkpoints_are_deleted(tmp_path):
    for step in (5, 10, 200, 1000):
        stored(tmp_path, step)
    assert [path.stem for path in checkpoints_in(tmp_path)] == [
        "step-0000001000",
        "step-0000000200",
    ]


@pytest.mark.parametrize("damage", ["cut short", "a bit", "empty", "header", "foreign"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    stored(tmp_path, 1)
    path = stored(tmp_path, 2)
    content = bytearray(path.read_bytes())
    if damage == "cut short":
        content = content[:-5]
    elif damage == "a bit":
        content[-20] ^= 1
    elif damage == "empty":
        content = b""
    elif damage == "header":
        content[30] ^= 1
    else:
        content = b"PK\x03\x04" + bytes(200)
    path.write_bytes(content)
    with pytest.warns(CheckpointWarning, match=r"step-0000000002.*is damaged.*the one before"):
        assert load_newest(tmp_path, blank()).arrays["step"] == 7
    checkpoints_in(tmp_path)[1].unlink()
    warnings.simplefilter("ignore", CheckpointWarning)
    with pytest.raises(ValueError, match="all 1 checkpoints"):
        load_newest(tmp_path, blank())


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = stored(tmp_path)
    with pytest.raises(ValueError, match=r"another run: \['count'\] is int32 \(\), not int32 \(2,"):
        load_checkpoint(path, blank() | {"count": jnp.zeros(2, jnp.int32)})
    with pytest.raises(ValueError, match=r"of another run: \['more'\]"):
        load_checkpoint(path, blank() | {"more": 1})


def test_a_newer_format_is_refused_and_not_called_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_, "VERSION", 2)
    path = stored(tmp_path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="has format version 2; this echoic reads 1") as caught:
        load_newest(tmp_path, blank())
    assert not isinstance(caught.value, DamagedError)
    assert path.exists()


# --- whole runs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(build, mean, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    return go(build, mean, folder, seeds=2)


def test_the_folder_of_a_run(undisturbed):
    folder = undisturbed.folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoints",
        "config.json",
        "metrics.csv",
        "seed-0.safetensors",
        "seed-1.safetensors",
    ]
    again = echoic.load(folder / "seed-1.safetensors")
    assert same(again, undisturbed.networks[1])
    remarks = echoic.cells.store.read_metadata(folder / "seed-1.safetensors")
    assert remarks["step"] == undisturbed.best_step[1]
    config = json.loads((folder / "config.json").read_text())
    assert config["optimiser"]["learning_rate"] == 0.01
    assert config["task"]["class"] == "Mean"
    table = (folder / "metrics.csv").read_text()
    assert table == undisturbed.history.to_csv()
    assert len(table.splitlines()) == 1 + 2 * 3
    assert [path.stem for path in checkpoints_in(folder / "checkpoints")] == ["step-0000000030"]


@pytest.mark.parametrize("calls", [0, 27])
def test_a_run_that_was_ended_goes_on_bit_for_bit(build, mean, tmp_path, undisturbed, calls):
    options = {"seeds": 2, "checkpoint_seconds": 0.0}
    with pytest.raises(Stop):
        go(build, mean, tmp_path / "run", observers=[stop_after(calls)], **options)
    run = go(build, mean, tmp_path / "run", resume=True, **options)
    assert same_run(run, undisturbed)
    assert run.history.column("seconds")[-1] > 0


def test_stopping_again_and_again(build, mean, tmp_path, undisturbed):
    options = {"seeds": 2, "checkpoint_seconds": 0.0, "resume": True}
    for _ in range(30):
        try:
            run = go(build, mean, tmp_path / "run", observers=[stop_after(13)], **options)
            break
        except Stop:
            continue
    assert same_run(run, undisturbed)


def test_an_interrupt_writes_a_checkpoint_and_says_how_to_go_on(build, mean, tmp_path, undisturbed):
    def interrupt(event):
        if isinstance(event, echoic.training.events.Advanced) and event.step >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        go(build, mean, tmp_path / "run", seeds=2, observers=[interrupt])
    assert "resume=True goes on from there" in caught.value.__notes__[0]
    assert len(checkpoints_in(tmp_path / "run" / "checkpoints")) == 1
    assert same_run(go(build, mean, tmp_path / "run", seeds=2, resume=True), undisturbed)


def test_a_finished_run_is_read_and_not_trained_again(build, mean, undisturbed):
    calls = []
    run = go(build, mean, undisturbed.folder, seeds=2, resume=True, observers=[calls.append])
    assert same_run(run, undisturbed)
    assert not any(isinstance(event, echoic.training.events.Advanced) for event in calls)


def test_more_steps_go_on_with_a_finished_run(build, mean, tmp_path, undisturbed):
    go(build, mean, tmp_path / "run", steps=20, seeds=2)
    run = go(build, mean, tmp_path / "run", steps=30, seeds=2, resume=True)
    assert same_run(run, undisturbed)


@pytest.mark.slow
def test_the_carried_state_and_the_users_optimiser_are_restored(text, tmp_path):
    def cell(key):
        return echoic.cells.Elman(3, 4, key=key)

    noisy = optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(0)), optax.adam(0.01))
    options = {"batch": 2, "optimiser": noisy, "steps": 20, "checkpoint_seconds": 0.0}
    whole = go(cell, text, tmp_path / "one", **options)
    with pytest.raises(Stop):
        go(cell, text, tmp_path / "two", observers=[stop_after(1)], **options)
    run = go(cell, text, tmp_path / "two", resume=True, **options)
    assert same_run(run, whole)


def test_resuming_falls_back_where_the_newest_is_damaged(build, mean, tmp_path, undisturbed):
    options = {"seeds": 2, "checkpoint_seconds": 0.0}
    with pytest.raises(Stop):
        go(build, mean, tmp_path / "run", observers=[stop_after(5)], **options)
    newest, _ = checkpoints_in(tmp_path / "run" / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(CheckpointWarning, match=newest.stem):
        run = go(build, mean, tmp_path / "run", resume=True, **options)
    assert same_run(run, undisturbed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 9}, "batch was 8 and is now 9"),
        ({"optimiser": Optimiser(learning_rate=0.02, clip=1.0)}, "learning_rate was 0.01 and is"),
        ({"seeds": (0, 2)}, r"seeds was \[0, 1\] and is now \[0, 2\]"),
        ({"steps": 25}, "steps was 30 and is now 25"),
        ({"together": "stacked"}, "mode was 'threads' and is now 'stacked'"),
        ({"patience": 5}, "patience was None and is now 5"),
    ],
)
def test_a_changed_configuration_is_refused(build, mean, undisturbed, changes, message):
    with pytest.raises(ValueError, match=message):
        go(build, mean, undisturbed.folder, **({"seeds": 2, "resume": True} | changes))


def test_other_weights_key_and_task_are_refused(build, mean, undisturbed):
    options = {"seeds": 2, "resume": True}
    cells = [build(jax.random.key(i)) for i in range(2)]
    with pytest.raises(ValueError, match=r"model\.initial weights was \["):
        go(cells, mean, undisturbed.folder, **options)
    task = eqx.tree_at(lambda t: t.scale, mean, jnp.asarray(2.0, jnp.float32))
    with pytest.raises(ValueError, match=r"task\.scale\.hash was"):
        go(build, task, undisturbed.folder, **options)


def test_a_folder_is_not_written_over(build, mean, undisturbed):
    with pytest.raises(ValueError, match=r"there is a run in .* already: resume=True goes on"):
        go(build, mean, undisturbed.folder, seeds=2)


def test_a_full_disk_ends_the_run_and_what_was_there_is_whole(
    build, mean, tmp_path, undisturbed, monkeypatch
):
    options = {"seeds": 2, "checkpoint_seconds": 0.0}
    folder, real = tmp_path / "run", os.fsync
    written = []

    def fsync(handle):
        written.append(handle)
        if len(written) > 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(OSError, match=r"training ended at step \d+: .*the disk is full") as caught:
        go(build, mean, folder, **options)
    assert caught.value.errno == errno.ENOSPC
    assert "(--resume) goes on from the last checkpoint" in str(caught.value)
    monkeypatch.undo()
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]
    assert same_run(go(build, mean, folder, resume=True, **options), undisturbed)


@pytest.mark.slow
def test_a_disk_that_is_really_full(build, mean, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        with pytest.raises(OSError, match="the disk is full"):
            go(build, mean, disk / "run", checkpoint_seconds=0.0, keep=1000)
        shutil.copytree(disk / "run", tmp_path / "moved")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert len(checkpoints_in(tmp_path / "moved" / "checkpoints")) > 3
    whole = go(build, mean, tmp_path / "whole")
    assert same_run(go(build, mean, tmp_path / "moved", resume=True), whole)


class Own(echoic.AbstractCell):
    """A cell of one's own that has no family."""

    weight: jax.Array
    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=4)

    def initial_state(self):
        return jnp.zeros(4)

    def step(self, state, x):
        return jnp.tanh(self.weight @ state + x)

    def read(self, state):
        return state


@pytest.mark.slow
def test_a_cell_of_ones_own_is_kept_in_checkpoints(mean, tmp_path):
    cell = Own(jax.random.normal(KEY, (4, 4)) / 2)
    with pytest.warns(TrainingWarning, match="the networks are in the checkpoints only"):
        whole = go(cell, mean, tmp_path / "run", steps=20)
    assert not list((tmp_path / "run").glob("seed-*"))
    warnings.simplefilter("ignore", TrainingWarning)
    assert same_run(go(cell, mean, tmp_path / "run", steps=20, resume=True), whole)


# --- killed ---------------------------------------------------------------------------------------

SCRIPT = """
    import sys, pathlib, jax, jax.numpy as jnp, echoic

    class Mean:
        input_size = output_size = 1
        def sample(self, key, batch):
            xs = jax.random.uniform(key, (batch, 6, 1))
            return xs, xs.mean(1)

    echoic.train(
        lambda key: echoic.cells.Elman(1, 4, key=key), Mean(), steps=3000, batch=8, every=100,
        seeds=2, validation_size=16, key=jax.random.key(0), folder=sys.argv[1], resume=True,
        checkpoint_seconds=0.0, optimiser=echoic.Optimiser(learning_rate=0.01, clip=1.0),
    )
    print("done")
"""


def start(folder):
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def outcome_of(folder):
    """The bytes of the last checkpoint's arrays, and the table without the time."""
    from safetensors.numpy import load

    newest = checkpoints_in(pathlib.Path(folder) / "checkpoints")[0]
    found = load(newest.read_bytes())
    return {name: array.tobytes() for name, array in found.items() if "seconds" not in name}


def assert_kills_change_nothing(tmp_path, kills, seed):
    whole = start(tmp_path / "whole")
    assert whole.communicate(timeout=300)[0] == "done\n"
    chance, folder, done = np.random.default_rng(seed), tmp_path / "killed", 0
    while done < kills:
        process = start(folder)
        checkpoints = folder / "checkpoints"
        before = checkpoints_in(checkpoints)
        # From the first sign of life on, a random while, compilation and writing included.
        while process.poll() is None and checkpoints_in(checkpoints) == before and done % 4:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3 if done % 4 else 3.0))
        if process.poll() is not None:
            # It was faster: begin anew, the kills so far count.
            shutil.rmtree(folder)
            continue
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        done += 1
    assert start(folder).communicate(timeout=300)[0] == "done\n"
    assert outcome_of(folder) == outcome_of(tmp_path / "whole")


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path):
    assert_kills_change_nothing(tmp_path, kills=20, seed=0)
