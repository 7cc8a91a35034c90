"""The command line as a user types it, on small networks."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

import echoic
from echoic import cells, init
from echoic.cli.main import main

rng = np.random.default_rng(0)
SMALL = ("--hidden", "4", "--horizon", "5", "--max-lag", "10")
ALONE = ("--horizon", "5", "--max-lag", "10", "--no-advice")


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A short series of the user's own."""
    path = tmp_path_factory.mktemp("data") / "mine.csv"
    speed = np.convolve(rng.normal(size=2_100), np.ones(3), "valid")
    rows = [f"{t / 10},{value}" for t, value in enumerate(speed)]
    path.write_text("time,speed\n" + "\n".join(rows) + "\n")
    return str(path)


def run(capsys, *arguments):
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def torch_state_dict(kind, channels, units, layers, directions):
    rows = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind] * units
    tensors = {}
    for layer in range(layers):
        width = channels if layer == 0 else directions * units
        for suffix in ("", "_reverse")[:directions]:
            shapes = {
                f"weight_ih_l{layer}{suffix}": (rows, width),
                f"weight_hh_l{layer}{suffix}": (rows, units),
                f"bias_ih_l{layer}{suffix}": (rows,),
                f"bias_hh_l{layer}{suffix}": (rows,),
            }
            for name, shape in shapes.items():
                tensors[f"rnn.{name}"] = rng.uniform(-0.5, 0.5, shape).astype("float32")
    return tensors


@pytest.mark.slow
def test_candidates_on_the_users_file(capsys, drive, tmp_path):
    chosen = ("--cell", "gru", "residual", "--init", "chrono", "homogeneous")
    out = run(capsys, "checkup", "--data", drive, *chosen, *SMALL, "-o", tmp_path)
    assert "GRU, chrono: " in out
    assert "Needs 5 steps." in out
    assert str(tmp_path / "report.html") in out
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["schema_version"] == 3
    assert {network["name"] for network in record["networks"]} == {
        "GRU, chrono",
        "residual, one time constant",
    }
    assert record["signal"]["channels"] == ["speed"]
    page = (tmp_path / "report.html").read_text()
    assert "GRU, chrono" in page
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.slow
def test_json_is_all_that_machines_get_and_the_same_every_time(capsys, drive, tmp_path):
    arguments = ("checkup", "--data", drive, "--cell", "gru", *SMALL, "-o", tmp_path, "--json")
    first, second = (json.loads(run(capsys, *arguments)) for _ in range(2))
    assert first["networks"][0]["curves"] == second["networks"][0]["curves"]
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == second["verdict"]


@pytest.mark.parametrize(
    ("kind", "layers", "directions", "names"),
    [
        ("LSTM", 1, 1, {"m"}),
        pytest.param("GRU", 2, 1, {"m"}, marks=pytest.mark.slow),
        pytest.param(
            "RNN", 1, 2, {"m, layer 0, forward", "m, layer 0, backward"}, marks=pytest.mark.slow
        ),
    ],
)
def test_torch_state_dicts(capsys, drive, tmp_path, kind, layers, directions, names):
    """Without torch: the file is written with NumPy, in torch's layout."""
    save_file(torch_state_dict(kind, 1, 4, layers, directions), tmp_path / "m.safetensors")
    run(capsys, "checkup", tmp_path / "m.safetensors", "--data", drive, *ALONE, "-o", tmp_path)
    record = json.loads((tmp_path / "report.json").read_text())
    assert {network["name"] for network in record["networks"]} == names
    for network in record["networks"]:
        backward = "Reads the sequence from its end: a lag counts steps into the future."
        assert (backward in network["warnings"]) == ("backward" in network["name"])


@pytest.mark.slow
def test_the_name_of_a_model_is_shown_as_it_is_and_steers_nothing(capsys, drive, tmp_path):
    path = tmp_path / "\x1b[2J[bold]net.safetensors"
    save_file(torch_state_dict("RNN", 1, 3, 1, 1), path)
    out = run(capsys, "checkup", path, "--data", drive, *ALONE, "-o", tmp_path)
    assert "\x1b" not in out
    assert out.count("[2J[bold]net") >= 2


@pytest.mark.slow
def test_a_network_of_ours(capsys, drive, tmp_path):
    import jax

    cell = echoic.cells.GRU(1, 4, key=jax.random.key(0))
    echoic.save(cell, tmp_path / "ours.safetensors")
    run(capsys, "checkup", tmp_path / "ours.safetensors", "--data", drive, *SMALL, "-o", tmp_path)
    record = json.loads((tmp_path / "report.json").read_text())
    assert "ours" in {network["name"] for network in record["networks"]}


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_it_was(drive, tmp_path):
    command = [sys.executable, "-m", "echoic", "checkup", "--data", drive, *SMALL]
    command += ["--output", str(tmp_path)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert "Elman, torch default: " in process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "--resume" in err
    assert not (tmp_path / "report.html").exists()
    kept = json.loads((tmp_path / "report.partial.json").read_text())
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert "Elman, torch default: " not in done.stdout
    whole = json.loads((tmp_path / "report.json").read_text())
    assert len(whole["networks"]) == 11
    then = {network["name"]: network for network in kept["networks"]}
    for network in whole["networks"]:
        if network["name"] in then:
            assert network["curves"] == then[network["name"]]["curves"]
    assert not (tmp_path / "report.partial.json").exists()


@pytest.mark.slow
def test_all_asks_every_question_and_says_what_it_leaves_out(tmp_path):
    """A delay line of 6 units: its time constants, its norm and its chain are known by hand."""
    line = cells.Elman(
        1,
        6,
        activation="identity",
        recurrent=init.chain(1.0),
        input=init.source(1.0),
        bias=init.zeros(),
        key=jax.random.key(0),
    )
    path = echoic.save(line, tmp_path / "line.safetensors")
    np.save(tmp_path / "white.npy", np.random.default_rng(0).normal(size=1_500))
    arguments = ["checkup", path, "--all", "--data", tmp_path / "white.npy", "--horizon", "4"]
    assert main([str(a) for a in [*arguments, "--no-advice", "--output", tmp_path]]) == 0
    record = json.loads((tmp_path / "report.json").read_text())
    (network,) = record["networks"]
    values = {found["label"]: found["value"] for found in network["findings"]}
    (departure,) = [value for label, value in values.items() if "departure" in label]
    # Henrici of a chain of gain 1 and 6 units.
    assert float(departure) == pytest.approx(np.sqrt(5), rel=1e-9)
    assert any("fixed points" in label for label in values)
