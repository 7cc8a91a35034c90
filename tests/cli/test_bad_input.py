"""Bad input: one clear sentence, exit code 2, no traceback, nothing half written."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from echoic.cli.main import main

rng = np.random.default_rng(0)


def write_csv(path, text):
    path.write_text(text)
    return str(path)


def csv_with(value, row=17):
    rows = [f"{t},{rng.normal():.3f}" for t in range(400)]
    rows[row] = f"{row},{value}"
    return "t,v\n" + "\n".join(rows) + "\n"


@pytest.fixture
def refused(tmp_path, capsys):
    """Run the command line, expect a refusal, and return its sentence."""
    folder = tmp_path / "out"

    def run(*arguments):
        code = main([*map(str, arguments), "--output", str(folder)])
        out, err = capsys.readouterr()
        assert code == 2, (code, out, err)
        assert out == ""
        assert "Traceback" not in err
        assert err.startswith("echoic: ")
        assert not folder.exists() or not list(folder.iterdir())
        return err

    return run


def test_missing_file(refused):
    assert "nowhere.csv" in refused("checkup", "--data", "nowhere.csv")


def test_misspelt_data_set_suggests_the_nearest(refused):
    assert "silverbox" in refused("checkup", "--data", "silverbx")


def test_missing_column_lists_the_columns(refused, tmp_path):
    path = write_csv(tmp_path / "a.csv", csv_with(0.1))
    message = refused("checkup", "--data", path, "--column", "speed", "--horizon", 10)
    assert "speed" in message
    assert "v" in message


@pytest.mark.parametrize("text", ["", "t,v\n"])
def test_empty_series(refused, tmp_path, text):
    path = write_csv(tmp_path / "a.csv", text)
    assert "empty" in refused("checkup", "--data", path, "--horizon", 10)


def test_series_shorter_than_the_horizon(refused, tmp_path):
    np.save(tmp_path / "a.npy", rng.normal(size=100))
    message = refused("checkup", "--data", tmp_path / "a.npy", "--horizon", 100)
    assert "100 steps" in message
    assert "horizon of 100" in message


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_values_that_are_not_finite_are_counted_and_located(refused, tmp_path, value):
    path = write_csv(tmp_path / "a.csv", csv_with(value))
    message = refused("checkup", "--data", path, "--column", "v", "--horizon", 10)
    assert "17" in message
    assert "1 " in message


def test_constant_input(refused, tmp_path):
    np.save(tmp_path / "a.npy", np.ones(1000))
    assert "constant" in refused("checkup", "--data", tmp_path / "a.npy", "--horizon", 10)


@pytest.mark.parametrize("array", [np.ones(1000) * 1j, np.array(["a", "b"] * 500)])
def test_complex_and_string_arrays(refused, tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    message = refused("checkup", "--data", tmp_path / "a.npy", "--horizon", 10)
    assert str(array.dtype) in message or array.dtype.name in message


def test_unknown_cell_suggests_the_nearest(refused):
    assert "Did you mean 'lstm'?" in refused("checkup", "--cell", "lsmt")


def test_unknown_initialisation_suggests_the_nearest(refused):
    assert "Did you mean 'orthogonal'?" in refused("checkup", "--init", "ortogonal")


def test_a_combination_of_cell_and_initialisation_that_is_not_there(refused):
    assert "gru/chrono" in refused("checkup", "--cell", "gru", "--init", "chain")


def test_unknown_option_suggests_the_nearest(refused):
    assert "Did you mean --horizon?" in refused("checkup", "--horizn", 3)


def test_unknown_command_suggests_the_nearest(refused):
    assert 'Did you mean "checkup"?' in refused("chekup")


def test_unknown_equal(refused):
    assert "Did you mean 'parameters'?" in refused("checkup", "--equal", "paramters")


@pytest.mark.parametrize("horizon", [0, -5])
def test_horizon_that_is_no_lag(refused, horizon):
    assert f"horizon must lie in 1.., got {horizon}" in refused("checkup", "--horizon", horizon)


def test_a_number_that_is_not_whole_is_not_rounded(refused):
    assert "2.5" in refused("checkup", "--horizon", "2.5")


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_seed_out_of_range(refused, seed):
    assert "seed must lie in 0..4294967295" in refused("checkup", "--seed", seed)


def test_units_that_no_memory_holds(refused):
    assert "memory" in refused("checkup", "--hidden", 1_000_000, "--horizon", 5)


@pytest.mark.parametrize("option", ["--nonlinearity", "--prefix"])
def test_options_of_a_saved_network_without_one(refused, option):
    assert "name its file" in refused("checkup", option, "relu")


def test_advice_is_for_a_saved_network_only(refused):
    assert "--no-advice speaks of a saved network" in refused("checkup", "--no-advice")


def test_options_of_the_built_in_networks_with_a_saved_one(refused, tmp_path):
    message = refused("checkup", tmp_path / "net.safetensors", "--cell", "gru", "--init", "chrono")
    assert "--cell and --init speak of the built-in networks" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_for_a_model_is_not_waited_for(refused, tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "no regular file" in refused("checkup", tmp_path / "pipe.safetensors")


def test_no_name_steers_the_terminal(refused, tmp_path):
    name = "\x1b[31mred\x1b[2J"
    for arguments in (
        ("--data", name),
        ("--cell", name),
        (str(tmp_path / name),),
        ("--data-dir", tmp_path / name),
    ):
        assert "\x1b" not in refused("checkup", *arguments)


def test_horizon_that_is_no_number(refused):
    assert "--horizon" in refused("checkup", "--horizon", "soon")


def test_horizon_beyond_the_series(refused):
    assert "108000 steps" in refused("checkup", "--horizon", 1_000_000)


def test_units_that_are_none(refused):
    assert "hidden_size must lie in 1.." in refused("checkup", "--hidden", 0)


def lstm_file(path, channels=1, units=4):
    shapes = {"weight_ih_l0": (4 * units, channels), "weight_hh_l0": (4 * units, units)}
    shapes |= {"bias_ih_l0": (4 * units,), "bias_hh_l0": (4 * units,)}
    save_file({k: rng.normal(size=s).astype("float32") for k, s in shapes.items()}, path)
    return path


def test_truncated_model(refused, tmp_path):
    path = lstm_file(tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    assert "m.safetensors" in refused("checkup", path, "--horizon", 10)


def test_foreign_model(refused, tmp_path):
    save_file({"weight": np.ones((3, 3))}, tmp_path / "m.safetensors")
    assert "m.safetensors" in refused("checkup", tmp_path / "m.safetensors", "--horizon", 10)


def test_pickled_model_is_refused_with_the_way_to_convert_it(refused, tmp_path):
    (tmp_path / "m.pt").write_bytes(b"anything")
    assert "save_file(" in refused("checkup", tmp_path / "m.pt", "--horizon", 10)


def test_missing_model(refused, tmp_path):
    assert "gone.safetensors" in refused("checkup", tmp_path / "gone.safetensors")


def test_model_with_other_channels_than_the_data(refused, tmp_path):
    path = lstm_file(tmp_path / "m.safetensors", channels=3)
    message = refused("checkup", path, "--horizon", 10)
    assert "takes 3 input channel(s), the data has 1" in message


def test_nothing_to_resume(refused):
    assert "nothing to resume" in refused("checkup", "--resume", "--horizon", 10)


def test_output_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["checkup", "--output", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be made" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_output_folder_that_cannot_be_written(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(["checkup", "--output", str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.slow
def test_resuming_another_run_names_what_changed(refused, tmp_path, capsys):
    folder = tmp_path / "r"
    small = ["checkup", "--cell", "gru", "--hidden", "4", "--horizon", "5", "--output", folder]
    assert main([*map(str, small)]) == 0
    capsys.readouterr()
    record = json.loads((folder / "report.json").read_text())
    record["settings"]["request"] = {"horizon": 7}
    (folder / "report.partial.json").write_text(json.dumps(record))
    assert main([*map(str, small), "--resume"]) == 2
    assert "horizon" in capsys.readouterr().err
