import importlib.util
import pathlib
import shutil
import subprocess

import pytest

_PATH = pathlib.Path(__file__).with_name("synthetic.py")
_SPEC = importlib.util.spec_from_file_location("synthetic", _PATH)
_synthetic = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_synthetic)


_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def browse(tmp_path):
    """A page after its script ran, and what the console said."""
    chromium = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if chromium is None:
        pytest.skip("no chromium on this machine")

    def look(text):
        path = tmp_path / "report.html"
        path.write_text(text, "utf-8")
        done = subprocess.run(
            [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
                "--enable-logging=stderr", "--virtual-time-budget=5000",
                "--window-size=1400,1000", "--dump-dom", path.as_uri(),
            ],
            capture_output=True, check=True, timeout=170,
        )  # fmt: skip
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        return done.stdout.decode("utf-8"), [line for line in lines if "CONSOLE" in line]

    return look


@pytest.fixture(scope="session")
def synthetic():
    """The module that makes reports up."""
    return _synthetic


@pytest.fixture(scope="session")
def record():
    """Twelve networks with everything that can go wrong in them."""
    return _synthetic.report()


@pytest.fixture(scope="session")
def small():
    """Four networks with few lags, for what looks at every number."""
    return _synthetic.report(4, max_lag=300, units=24)


@pytest.fixture(scope="session")
def broken():
    """A record in which hardly anything is known."""
    return _synthetic.broken()
