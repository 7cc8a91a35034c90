"""``echoic design`` as a user types it, on small networks."""

import contextlib
import io
import json
import math

import numpy as np
import pytest

import echoic
from echoic.cells.store import read_metadata
from echoic.cli.main import main

rng = np.random.default_rng(0)
SMALL = ("--hidden", "8", "--horizon", "20")


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A short series of the user's own."""
    path = tmp_path_factory.mktemp("data") / "mine.npy"
    np.save(path, np.convolve(rng.normal(size=1_500), np.ones(3), "valid"))
    return str(path)


@pytest.fixture(scope="module")
def designed(drive, tmp_path_factory):
    """One design of a network whose memory is known in closed form, and all that it wrote."""
    folder = tmp_path_factory.mktemp("designed")
    arguments = ["design", "--data", drive, "--family", "linear", *SMALL, "--measure", "1"]
    arguments += ["--save", str(folder / "best.safetensors"), "--output", str(folder / "out")]
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown):
        patch.setenv("COLUMNS", "80")
        assert main(arguments) == 0
    return folder, json.loads((folder / "out" / "design.json").read_text()), shown.getvalue()


def curve(network, quantity, origin):
    return next(
        np.array(c["value"], float)
        for c in network["curves"]
        if (c["quantity"], c["origin"]) == (quantity, origin)
    )


def test_the_promise_is_drawn_beside_the_measurement_and_is_kept(designed):
    """An orthogonal linear network keeps g^k of everything, and falls to .05 past lag 20."""
    _, record, _ = designed
    (network,) = record["networks"]
    assert network["name"] == "linear, orthogonal"
    gain = 0.05 ** (1 / 20.5)
    exact = gain ** np.arange(41)
    promised = curve(network, "gradient_reach", "predicted")
    measured = curve(network, "gradient_reach", "measured")
    assert np.allclose(promised, exact, rtol=1e-9)
    assert np.allclose(measured, exact, rtol=1e-4)
    # Mutants: lags that start at 1, a threshold that is met at the first lag below it.
    assert not np.allclose(measured[1:], exact[:-1], rtol=1e-4)
    assert not np.allclose(measured, 0.05 ** (np.arange(41) / 20), rtol=1e-4)
    origins = [c["origin"] for c in network["curves"] if c["quantity"] == "gradient_reach"]
    assert origins.count("predicted") == 1


def test_all_prescriptions_are_listed_with_reasons(designed):
    _, record, text = designed
    first, second = record["prescriptions"]
    assert (first["name"], first["feasible"]) == ("linear, orthogonal", True)
    assert (second["name"], second["feasible"]) == ("linear, Gaussian", False)
    assert second["curve"]["horizon"]["last"] < 20
    assert set(first["snippets"]) == {"JAX", "PyTorch"}
    assert record["verdict"].startswith("Needs 20 steps. Linear, orthogonal with 8 units: gradient")
    assert "predicted to lag 20, measured to lag 20" in record["verdict"]
    assert "1 of 2 prescriptions should reach it." in record["verdict"]
    flat = " ".join(text.split())
    assert second["reason"] in flat
    assert "linear, orthogonal 20 20 gradient" in flat
    assert "linear, Gaussian" in flat
    record = echoic.diagnosis.Report.load(designed[0] / "out" / "design.json").record
    assert max(map(len, echoic.reports.to_text(record).splitlines())) <= 80


@pytest.mark.slow
def test_the_saved_network_is_the_one_that_was_measured(designed):
    folder, _, text = designed
    cell = echoic.load(folder / "best.safetensors")
    moduli = np.linalg.svd(np.asarray(cell.recurrent), compute_uv=False)
    assert moduli == pytest.approx(0.05 ** (1 / 20.5), rel=1e-5)
    assert cell.hidden_size == 8
    kept = read_metadata(folder / "best.safetensors")
    assert kept["prescription"] == "linear, orthogonal"
    assert kept["horizon"] == 20
    assert f"{folder / 'best.safetensors'} (linear, orthogonal)" in text


def test_the_page_holds_table_curves_and_code(designed):
    folder, _, _ = designed
    page = (folder / "out" / "design.html").read_text()
    assert page.index('id="curves"') < page.index('id="prescriptions"') < page.index('id="change"')
    assert "What cannot be had, and why" in page
    assert "echoic.cells.LinearRNN(1, 8" in page
    assert "import torch" in page
    assert "2 prescriptions for mine" in page
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "design.html",
        "design.json",
    ]


@pytest.fixture
def refused(tmp_path, capsys, drive):
    """Run the command line, expect a refusal, and return its sentence."""
    folder = tmp_path / "out"

    def run(*arguments):
        code = main(["design", *map(str, arguments), "--output", str(folder)])
        out, err = capsys.readouterr()
        assert code == 2, (code, out, err)
        assert out == ""
        assert "Traceback" not in err
        assert err.startswith("echoic: ")
        assert not folder.exists()
        return err

    return run


def test_bad_families(refused, drive):
    assert "Did you mean 'residual'?" in refused("--data", drive, "--family", "residul")
    assert "Did you mean 'chain'?" in refused("--data", drive, "--family", "elman/chian")
    message = refused("--data", drive, "--family", "peephole_lstm")
    assert "no theory here inverts it" in message


def test_bad_data(refused, tmp_path):
    assert "nowhere.csv" in refused("--data", "nowhere.csv")
    np.save(tmp_path / "short.npy", rng.normal(size=100))
    assert "100 steps" in refused("--data", tmp_path / "short.npy", "--horizon", 100)
    np.save(tmp_path / "flat.npy", np.ones(1000))
    assert "constant" in refused("--data", tmp_path / "flat.npy", "--horizon", 10)
    np.save(tmp_path / "odd.npy", np.r_[rng.normal(size=500), np.nan])
    assert "500" in refused("--data", tmp_path / "odd.npy", "--horizon", 10)


def test_bad_numbers(refused, drive):
    assert "horizon must lie in 1.., got 0" in refused("--data", drive, "--horizon", 0)
    assert "2.5" in refused("--horizon", "2.5")
    assert "--horizon" in refused("--horizon", "soon")
    assert "hidden_size must lie in 2.., got 1" in refused("--data", drive, "--hidden", 1)
    assert "measured must lie in 1.., got 0" in refused("--data", drive, "--measure", 0)
    assert "seed must lie in 0..4294967295" in refused("--data", drive, "--seed", -1)
    assert "memory" in refused("--data", drive, "--hidden", 1_000_000, "--horizon", 5)
    assert "Did you mean --horizon?" in refused("--horizn", 3)


def test_bad_places(refused, drive, tmp_path, capsys):
    assert "must name a .safetensors file" in refused("--save", "network.pt")
    assert "does not exist" in refused("--save", tmp_path / "no" / "net.safetensors")
    (tmp_path / "dir.safetensors").mkdir()
    assert "names a folder" in refused("--save", tmp_path / "dir.safetensors")
    assert "nothing to resume" in refused("--data", drive, *SMALL, "--resume")
    (tmp_path / "file").write_text("in the way")
    assert main(["design", "--output", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be made" in capsys.readouterr().err


def test_a_stop_leaves_nothing_half_written(drive, tmp_path, capsys, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("echoic.diagnosis.designs.assemble", stopped)
    folder = tmp_path / "out"
    arguments = ["design", "--data", drive, *SMALL, "--family", "linear", "-o", str(folder)]
    assert main([*arguments, "--save", str(tmp_path / "net.safetensors")]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert "stopped before the first network was done" in err
    assert not folder.exists()
    assert not (tmp_path / "net.safetensors").exists()


@pytest.mark.slow
def test_the_map_and_json(drive, tmp_path, capsys):
    arguments = ["design", "--data", drive, "--family", "minimal_rnn/critical", *SMALL]
    assert main([*arguments, "--map", "--json", "-o", str(tmp_path)]) == 0
    record = json.loads(capsys.readouterr().out)
    diagram = record["networks"][0]["phase_map"]
    reach = np.array(diagram["reach"], float)
    assert diagram["here"] is None
    assert diagram["there_name"] == "minimalRNN, critical"
    x = np.argmin(abs(np.log(np.array(diagram["horizontal"]["values"]) / diagram["there"][0])))
    y = np.argmin(abs(np.array(diagram["vertical"]["values"]) - diagram["there"][1]))
    # The bias moves by 1.1 from row to row, which changes the horizon e^1.1-fold.
    assert abs(math.log(reach[y, x] / 20)) < 0.8
    assert (tmp_path / "phase_map.svg").read_text().startswith("<?xml")
    assert (tmp_path / "phase_map.png").read_bytes().startswith(b"\x89PNG")
    assert 'data-figure="phase"' in (tmp_path / "design.html").read_text()


@pytest.mark.slow
def test_where_nothing_is_feasible_the_nearest_is_measured(drive, tmp_path, capsys):
    arguments = ["design", "--data", drive, "--family", "linear/gaussian", *SMALL]
    assert main([*arguments, "-o", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "design.json").read_text())
    assert "No prescription is predicted to reach them" in record["verdict"]
    assert len(record["networks"]) == 1
