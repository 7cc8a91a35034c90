"""``python -m benchmarks NAME [ARGUMENTS]`` runs ``benchmarks/NAME``, a file or a folder."""

import importlib
import pathlib
import sys

NAMES = sorted(
    path.stem
    for path in pathlib.Path(__file__).parent.iterdir()
    if path.stem[0] != "_" and (path.suffix == ".py" or (path / "__init__.py").exists())
)

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        sys.exit(f"usage: python -m benchmarks {{{','.join(NAMES)}}} [arguments]")
    importlib.import_module(f"benchmarks.{sys.argv[1]}").main(*sys.argv[2:])
