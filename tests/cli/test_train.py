"""``echoic train`` as a user types it, on small networks."""

import contextlib
import csv
import io
import json
import tomllib

import jax
import numpy as np
import pytest

import echoic
from echoic.cli.main import main
from echoic.cli.settings import parsed_options

TASK = ("train", "copy", "--set", "delay=4", "num_symbols=2", "alphabet=3")
SMALL = ("--hidden", "8", "--batch", "8", "--steps", "40", "--every", "10", "--no-measure")


def run(*arguments):
    """Exit code and what stood on standard output."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        code = main([str(argument) for argument in arguments])
    return code, shown.getvalue()


def arrays(path):
    """All arrays of a stored network."""
    return [leaf for leaf in jax.tree_util.tree_leaves(echoic.load(path)) if hasattr(leaf, "shape")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One run of two seeds, and all that it wrote."""
    folder = tmp_path_factory.mktemp("runs") / "copy"
    code, shown = run(*TASK, *SMALL, "--init", "chain", "--seeds", 2, "--output", folder)
    assert code == 0
    return folder, shown


def test_the_folder_holds_the_run(trained):
    folder, shown = trained
    rows = list(csv.DictReader(io.StringIO((folder / "metrics.csv").read_text())))
    assert [(int(row["step"]), int(row["member"])) for row in rows] == [
        (step, member) for step in (10, 20, 30, 40) for member in (0, 1)
    ]
    # The chance level of the task by hand: two guesses among three, over 8 steps.
    chance = 2 * np.log(3) / 8
    assert f"Chance: loss {chance:.4g}." in shown
    record = json.loads((folder / "report.json").read_text())
    assert float(record["training"]["chance"]) == pytest.approx(chance, rel=1e-6)
    assert "The task needs lag 6" in record["verdict"]
    assert (folder / "report.html").stat().st_size > 10_000


def test_the_kept_network_has_the_loss_that_the_report_states(trained):
    """The file against the report: weights of another step or seed would show."""
    folder, _ = trained
    record = json.loads((folder / "report.json").read_text())
    rows = list(csv.DictReader(io.StringIO((folder / "metrics.csv").read_text())))
    for member in (0, 1):
        network = echoic.load(folder / f"seed-{member}.safetensors")
        assert network.cells[0].recurrent.shape == (8, 8)
        best = float(record["training"]["members"][member]["best_loss"])
        own = [float(r["validation_loss"]) for r in rows if int(r["member"]) == member]
        assert best == pytest.approx(min(own), rel=1e-6)
    weights = [
        echoic.load(folder / f"seed-{member}.safetensors").cells[0].recurrent for member in (0, 1)
    ]
    assert not np.allclose(*weights)


def test_its_settings_repeat_it_to_the_bit(trained, tmp_path):
    folder, _ = trained
    settings = tomllib.loads((folder / "run.toml").read_text())
    assert settings["task"] == "copy"
    assert settings["set"] == ["delay=4", "num_symbols=2", "alphabet=3"]
    again = tmp_path / "again"
    code, _ = run("train", "--config", folder / "run.toml", "--seeds", 1, "--output", again)
    assert code == 0
    first, second = (arrays(place / "seed-0.safetensors") for place in (folder, again))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a, b)


def test_a_finished_run_is_not_overwritten_and_resumes_to_itself(trained, capsys):
    folder, _ = trained
    before = arrays(folder / "seed-0.safetensors")
    assert main([*TASK, *SMALL, "--init", "chain", "--seeds", "2", "-o", str(folder)]) == 2
    assert "there is a run" in capsys.readouterr().err
    code, shown = run(*TASK, *SMALL, "--init", "chain", "--seeds", 2, "-o", folder, "--resume")
    assert code == 0
    assert "Going on after 40 of 40 updates" in shown
    for a, b in zip(arrays(folder / "seed-0.safetensors"), before, strict=True):
        assert np.array_equal(a, b)
    assert main([*TASK, *SMALL, "--seeds", "2", "-o", str(folder), "--resume"]) == 2
    assert "model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("train",), "name a task"),
        (("train", "coppy"), "Did you mean 'copy'?"),
        (("train", "copy", "--set", "dealy=4"), "Did you mean 'delay'?"),
        (("train", "copy", "--set", "delay"), "KEY=VALUE"),
        (("train", "copy", "--set", "delay=4", "delay=5"), "given twice"),
        ((*TASK, "--cell", "lstn"), "Did you mean 'lstm'?"),
        ((*TASK, "--cell", "lstm", "--init", "chain"), "unknown init of lstm"),
        ((*TASK, "--cell", "lstm", "--activation", "relu"), "activation is an option of elman"),
        ((*TASK, "--optimiser", "adamm"), "Did you mean 'adam'?"),
        ((*TASK, "--tied"), "embedding"),
        ((*TASK, "--steps", "2.5"), "steps"),
        ((*TASK, "--every", "0"), "every must lie in"),
        ((*TASK, "--horizon", "0"), "horizon must lie in 1"),
        ((*TASK, "--track", "tensorbord"), "tensorboard"),
    ],
)
def test_mistakes_are_told_in_one_sentence_and_leave_nothing(
    arguments, sentence, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(list(arguments)) == 2
    message = capsys.readouterr().err
    assert sentence in message
    assert "Traceback" not in message
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.slow
def test_more_updates_are_kept_in_the_settings(tmp_path):
    folder = tmp_path / "run"
    setup = [*TASK, "--hidden", 8, "--every", 10, "--no-measure", "-o", folder]
    assert run(*setup, "--steps", 20)[0] == 0
    assert run(*setup, "--steps", 60, "--resume")[0] == 0
    assert tomllib.loads((folder / "run.toml").read_text())["steps"] == 60


def test_a_settings_file_with_mistakes(tmp_path, capsys):
    path = tmp_path / "run.toml"
    for text, sentence in (("task = ", "not a TOML file"), ('hiden = 3\ntask = "copy"', "hiden")):
        path.write_text(text)
        assert main(["train", "--config", str(path)]) == 2
        assert sentence in capsys.readouterr().err
    assert main(["train", "--config", str(tmp_path / "none.toml")]) == 2
    capsys.readouterr()
    for words in (["--config"], ["--config="]):
        assert main(["train", "adding", *words]) == 2
        assert capsys.readouterr().err == "echoic: --config wants the path of a TOML file.\n"


def test_options_are_read_as_numbers_words_and_nothing():
    pairs = ["delay=60", "noise=1e-2", "grey=true", "unknown=none", "data=./a=b.txt", "a-b=-1"]
    assert parsed_options(pairs) == {
        "delay": 60,
        "noise": 0.01,
        "grey": True,
        "unknown": None,
        "data": "./a=b.txt",
        "a_b": -1,
    }


def test_all_tasks_are_listed(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, shown = run("train", "list")
    assert code == 0
    assert all(name in shown for name in echoic.tasks.TASKS)


@pytest.mark.slow
def test_checkup_measures_the_trained_network_on_its_task(trained, tmp_path):
    folder, _ = trained
    code, _ = run("checkup", folder, "--no-advice", "--output", tmp_path)
    assert code == 0
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["horizon"] == 6
    assert record["networks"][0]["num_parameters"] == 8 * 8 + 8 * 5 + 8 + 4 * 8 + 4


@pytest.mark.slow
@pytest.mark.parametrize("more", [("--cell", "gru", "--layers", "2", "--embedding", "4"),
                                  ("--cell", "lstm", "--bidirectional", "--dropout", "0.1"),
                                  ("--init", "design/orthogonal")])  # fmt: skip
def test_other_networks_train_and_are_measured(more, tmp_path):
    small = [argument for argument in SMALL if argument != "--no-measure"]
    code, _ = run(*TASK, *small, *more, "--output", tmp_path / "run")
    assert code == 0


@pytest.mark.slow
def test_a_run_that_diverges_is_no_success(tmp_path):
    arguments = ("--optimiser", "sgd", "--learning-rate", "1e30", "--clip", "0")
    code, shown = run("train", "adding", "--set", "length=6", *SMALL, *arguments,
                      "--activation", "relu", "--output", tmp_path / "run")  # fmt: skip
    assert code == 1
    assert "not finite" in shown or "diverged" in shown
