"""``echoic data`` as a user types it."""

import json
import shutil
import subprocess
import sys

import pytest

from echoic.cli.main import main
from echoic.data import REGISTRY, registry

ECG = registry.BUNDLED / "ecg_mitbih208_360hz.npz"


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """The command line with no data but the bundled set; gives exit code, output and errors."""
    monkeypatch.delenv("ECHOIC_DATA", raising=False)
    monkeypatch.setattr(registry, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments):
        code = main(["data", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def damaged(tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    content = bytearray(ECG.read_bytes())
    content[-1000] ^= 1
    (folder / ECG.name).write_bytes(content)
    return folder


def test_list_names_every_set_and_where_it_is(run):
    code, out, err = run("list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    for name in REGISTRY:
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        expected = "yes" if name == "ecg" else "download" if REGISTRY[name].downloads else "no"
        assert line.split()[1] == expected


def test_list_as_json(run):
    code, out, _ = run("list", "--json")
    described = json.loads(out)
    assert code == 0
    assert [known["name"] for known in described] == list(REGISTRY)
    assert [known["name"] for known in described if known["here"]] == ["ecg"]


def test_info(run):
    code, out, _ = run("info", "ecg")
    assert code == 0
    for expected in ("ODC-BY 1.0", "360 Hz", "Goldberger", str(ECG), "143,363 bytes"):
        assert expected in out.replace("\n", "")
    assert REGISTRY["ecg"].files[0].checksum in out
    code, out, _ = run("info", "mnist_train", "--json")
    described = json.loads(out)
    assert (code, described["here"], described["downloadable"]) == (0, False, True)
    assert described["files"][0]["url"].startswith("https://")
    assert "echoic data fetch mnist_train" in run("info", "mnist_train")[1]
    assert "$ECHOIC_DATA" in run("info", "laser")[1]


def test_info_of_an_unknown_set(run):
    code, out, err = run("info", "egc")
    assert (code, out) == (2, "")
    assert "Did you mean 'ecg'?" in err
    assert "Traceback" not in err


def test_verify(run):
    code, out, _ = run("verify")
    assert code == 0
    assert "intact" in out
    code, out, _ = run("verify", "ecg", "--json")
    assert code == 0
    (result,) = json.loads(out)
    assert result["intact"] is True


def test_verify_of_a_damaged_set_is_a_failure(run, damaged):
    for arguments in (["ecg"], []):
        code, out, err = run("verify", *arguments, "--data-dir", damaged)
        assert code == 1
        assert "damaged" in out
        assert f"echoic: {damaged / ECG.name} is damaged" in err
    code, out, _ = run("verify", "--json", "--data-dir", damaged)
    assert code == 1
    assert json.loads(out)[0]["intact"] is False


def test_verify_of_a_set_that_is_not_here(run):
    code, out, err = run("verify", "laser")
    assert (code, out) == (2, "")
    assert "not on this machine" in err


@pytest.mark.parametrize("command", [["list"], ["info", "ecg"], ["verify"]])
def test_a_folder_that_is_not_there(run, tmp_path, command):
    code, out, err = run(*command, "--data-dir", tmp_path / "nowhere")
    assert (code, out) == (2, "")
    assert "there is no folder" in err


def test_fetch_where_nothing_can_be_had(run, tmp_path):
    code, out, err = run("fetch", "silverbox")
    assert (code, out) == (2, "")
    assert "no public address" in err
    code, _, err = run("fetch", "mnist_test", "--url", "http://127.0.0.1:9", "--data-dir", tmp_path)
    assert code == 2
    assert "could not download" in err
    assert "Traceback" not in err


def test_fetch_leaves_intact_files_alone(run, tmp_path, monkeypatch):
    known = REGISTRY["ecg"]
    file = registry.File(
        ECG.name, known.files[0].size, known.files[0].checksum, "http://127.0.0.1:9"
    )
    entry = registry.Entry("ecg", "", "", "ecg", (file,))
    monkeypatch.setitem(REGISTRY, "ecg", entry)
    shutil.copy(ECG, tmp_path)
    code, out, _ = run("fetch", "ecg", "--data-dir", tmp_path)
    assert code == 0
    assert out.strip() == str(tmp_path / ECG.name)


def test_brackets_are_not_markup(run):
    assert "[-1, 1)" in run("info", "spoken_digits")[1].replace("\n", " ").replace("  ", " ")


def test_data_commands_do_not_import_jax():
    code = (
        "import sys\n"
        "from echoic.cli.main import main\n"
        "assert main(['data', 'list']) == 0 and main(['data', 'verify', 'ecg']) == 0\n"
        "print([name for name in ('jax', 'torch', 'matplotlib', 'pooch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
