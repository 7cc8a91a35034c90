"""The command line answers at once: nothing heavy is imported before it is needed."""

import ast
import json
import pathlib
import subprocess
import sys
import types

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


def test_alone_it_shows_the_commands():
    command = [sys.executable, "-m", "echoic"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage: echoic COMMAND" in done.stdout
    assert done.stderr == ""


def test_importing_echoic_imports_nothing_heavy():
    code = f"import sys, echoic; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_none_is_hidden_by_a_module():
    import echoic

    packages = {"cells", "data", "diagnosis", "init", "measure", "prediction", "prescription"}
    packages |= {"reports", "tasks", "testing", "theory", "training"}
    for name in echoic.__all__:
        found = getattr(echoic, name)
        assert found is getattr(echoic, name)
        assert isinstance(found, types.ModuleType) == (name in packages)


def test_the_stub_exports_what_it_imports():
    import echoic

    tree = ast.parse(pathlib.Path(echoic.__file__).with_suffix(".pyi").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    listed = next(node.value for node in tree.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(listed) == sorted(a.name for node in imports for a in node.names)
