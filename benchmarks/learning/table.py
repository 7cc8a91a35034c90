"""Experiments by name, their results in a file, and their tables."""

import argparse
import importlib
import json
import pathlib
import pkgutil
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from echoic.core.files import write_whole

Results = Mapping[str, Mapping[str, Any]]


class Experiment(NamedTuple):
    """What is claimed, the runs by name, and the verdicts on their results."""

    claim: str
    runs: dict[str, Callable[..., dict[str, Any]]]
    verdicts: Callable[[Results], dict[str, bool | None]]


def experiments() -> dict[str, Experiment]:
    """Those of all modules beside this one."""
    found = {}
    for module in pkgutil.iter_modules(importlib.import_module("benchmarks.learning").__path__):
        if module.name != "table":
            content = importlib.import_module(f"benchmarks.learning.{module.name}")
            found |= content.EXPERIMENTS
    return found


def main(*arguments: str) -> None:
    """Run, keep, and print."""
    known = experiments()
    parser = argparse.ArgumentParser(prog="python -m benchmarks learning", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(known)}; all")
    parser.add_argument("--seeds", type=int, default=None, help="in place of each one's own number")
    parser.add_argument("--store", type=pathlib.Path, default=pathlib.Path("build/learning.json"))
    parser.add_argument("--only-print", action="store_true")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.names) - set(known)
    if unknown:
        parser.error(f"unknown experiments {sorted(unknown)}; there are: {', '.join(known)}")
    for name in chosen.names or known:
        results = run(name, known[name], chosen)
        show(name, known[name], results)


def run(name: str, experiment: Experiment, chosen: argparse.Namespace) -> Results:
    """The results of one experiment, those in the store included."""
    results = {}
    for variant, function in experiment.runs.items():
        key = f"{name}: {variant}"
        stored = json.loads(chosen.store.read_text()) if chosen.store.exists() else {}
        if key not in stored and not chosen.only_print:
            started = time.perf_counter()
            found = function(chosen.seeds) if chosen.seeds else function()  # pyright: ignore
            found["seconds"] = round(time.perf_counter() - started, 1)
            # Another process may have written in the meantime.
            stored = json.loads(chosen.store.read_text()) if chosen.store.exists() else {}
            stored[key] = {k: _plain(v) for k, v in found.items()}
            chosen.store.parent.mkdir(parents=True, exist_ok=True)
            write_whole(chosen.store, json.dumps(stored, indent=1, sort_keys=True))
            print(f"{key}: {stored[key]}", flush=True)
        if key in stored:
            results[variant] = stored[key]
    return results


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return np.round(value.astype(float), 6).tolist()
    if hasattr(value, "__array__"):
        return _plain(np.asarray(value))
    return value


def show(name: str, experiment: Experiment, results: Results) -> None:
    """The table of an experiment and what it says of the claim."""
    print(f"\n{name}: {experiment.claim}")
    for variant, result in results.items():
        cells = [f"{key} {_shown(value)}" for key, value in result.items()]
        print(f"  {variant:34s} {'; '.join(cells)}")
    if set(results) == set(experiment.runs):
        words = {True: "holds", False: "DOES NOT HOLD", None: "reported, no threshold"}
        for sentence, verdict in experiment.verdicts(results).items():
            print(f"  {words[verdict]}: {sentence}")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_shown(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
