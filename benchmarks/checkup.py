"""``echoic checkup`` as a newcomer types it: time to the first verdict, to the end, and memory."""

import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time


def main(*arguments: str) -> None:
    """Run the command in a new process with cold caches of its own, and watch its output."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "echoic", "checkup", "--output", folder, *arguments]
        started = time.perf_counter()
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
        )
        assert process.stdout is not None
        first = None
        for line in process.stdout:
            if first is None and line.strip():
                first = time.perf_counter() - started
            print(f"{time.perf_counter() - started:7.1f} s  {line}", end="")
        code = process.wait()
        total = time.perf_counter() - started
        size = (pathlib.Path(folder) / "report.html").stat().st_size if code == 0 else 0
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
    print(
        f"\nexit code {code}; first line after {first or float('nan'):.1f} s, done in {total:.1f} s"
    )
    print(f"peak memory {peak:.2f} GiB, report.html {size / 1e6:.2f} MB")
