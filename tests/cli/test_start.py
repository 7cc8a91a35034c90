"""The command line answers at once: nothing heavy is imported before it is needed."""

import json
import subprocess
import sys

HEAVY = ("jax", "torch", "matplotlib", "plotly", "scipy", "equinox")


def test_help_imports_nothing_heavy():
    code = (
        "import sys, json\n"
        "from echoic.cli.main import main\n"
        "assert main(['--help']) == 0\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "checkup" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_importing_echoic_imports_nothing_heavy():
    code = f"import sys, echoic; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_none_is_hidden_by_a_module():
    import echoic

    for name in echoic.__all__:
        found = getattr(echoic, name)
        assert found is getattr(echoic, name)
        assert callable(found) or name in (*echoic._PACKAGES, "__version__")
