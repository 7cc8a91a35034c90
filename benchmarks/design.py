"""Whether prescriptions keep their promise: every family, horizon and signal, built and measured.

Each line of the output is one prescription on one signal, with the horizon measured on every
network; what is there already is not done again, so that a run can be stopped and repeated. At the
end the table, and the share of feasible prescriptions' networks within a factor 1.5 of the horizon.

    python -m benchmarks design --output design.jsonl
"""

import argparse
import json
import math
import pathlib
import sys
import time
from collections import defaultdict

import jax
import numpy as np

from echoic import data
from echoic.prescription.design import design
from echoic.prescription.families import FAMILIES
from echoic.prescription.trial import trial

HORIZONS = (50, 200, 784, 2000)
SIGNALS = ("ecg", "text", "white")
UNITS, SEEDS = 256, 5


def signal(name: str):
    """White noise, the bundled electrocardiogram, or text: a Markov chain over 40 symbols."""
    rng = np.random.default_rng(0)
    if name == "white":
        return rng.normal(size=60_000)
    if name == "ecg":
        return data.load("ecg")
    symbols, steps = 40, 60_000
    moves = rng.dirichlet(np.full(symbols, 0.1), size=symbols)
    places = np.cumsum(moves, axis=1)
    state, states = 0, np.empty(steps, int)
    for step, chance in enumerate(rng.uniform(size=steps)):
        state = min(int(np.searchsorted(places[state], chance)), symbols - 1)
        states[step] = state
    return np.eye(symbols)[states][:, np.bincount(states, minlength=symbols) > 0]


def names() -> list[str]:
    return [f"{family}/{variant}" for family, found in FAMILIES.items() for variant in found]


def record(name: str, source: str, horizon: int, inputs, units: int, seeds: int) -> dict:
    started = time.perf_counter()
    prescription = design(name, inputs, horizon=horizon, hidden_size=units)[0]
    line = {
        "name": name,
        "signal": source,
        "horizon": horizon,
        "feasible": prescription.feasible,
        "predicted": prescription.predicted_horizon,
        "target": prescription.target,
        "noise_gain": prescription.noise_gain,
        "log_gain": prescription.log_gain,
        "settings": prescription.settings,
        "reason": prescription.reason,
        "design_seconds": time.perf_counter() - started,
    }
    if prescription.feasible:
        starts = 32 if horizon < 500 else 16
        if prescription.target == "fisher_memory":
            seeds = 1  # no weight of a delay line is random
        found = trial(prescription, inputs, key=jax.random.key(1), seeds=seeds, starts=starts)
        last = [None if h is None else h.last for h in found.horizons]
        line |= {"measured": last, "kept": found.kept, "disagrees": found.disagrees}
    return line | {"seconds": time.perf_counter() - started}


def table(lines: list[dict]) -> None:
    print(f"{'prescription':28} {'signal':6} {'wanted':>6} {'predicted':>9}  measured")
    kept = defaultdict(list)
    for line in sorted(lines, key=lambda x: (x["name"], x["signal"], x["horizon"])):
        row = f"{line['name']:28} {line['signal']:6} {line['horizon']:6} {line['predicted']:9}  "
        if not line["feasible"]:
            print(row + "infeasible")
            continue
        mark = " disagrees" if line["disagrees"] else ""
        print(row + " ".join(map(str, line["measured"])) + f"  kept {line['kept']:.0%}{mark}")
        kept[line["name"]].append(line["kept"])
    whole = [share for shares in kept.values() for share in shares]
    print(f"\n{len(lines)} prescriptions, {len(whole)} of them feasible")
    for name, shares in kept.items():
        print(f"{name:28} {np.mean(shares):.1%} of networks within a factor 1.5")
    if whole:
        print(f"{'all':28} {np.mean(whole):.1%}")


def main(*arguments: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("design.jsonl"))
    parser.add_argument("--horizons", type=int, nargs="+", default=HORIZONS)
    parser.add_argument("--signals", nargs="+", choices=SIGNALS, default=SIGNALS)
    parser.add_argument("--names", nargs="+", choices=names(), default=names())
    parser.add_argument("--units", type=int, default=UNITS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after these")
    chosen = parser.parse_args(arguments)
    started = time.perf_counter()
    lines = []
    if chosen.output.exists():
        lines = [json.loads(line) for line in chosen.output.read_text().splitlines()]
    there = {(line["name"], line["signal"], line["horizon"]) for line in lines}
    for horizon in chosen.horizons:
        for source in chosen.signals:
            todo = [name for name in chosen.names if (name, source, horizon) not in there]
            inputs = signal(source) if todo else None
            for name in todo:
                if time.perf_counter() - started > chosen.seconds:
                    print("stopped: repeat the command to go on")
                    return
                lines.append(record(name, source, horizon, inputs, chosen.units, chosen.seeds))
                with chosen.output.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
                print({k: lines[-1].get(k) for k in SHOWN}, flush=True)
    table(lines)


SHOWN = ("name", "signal", "horizon", "feasible", "predicted", "measured", "disagrees", "seconds")

if __name__ == "__main__":
    main(*sys.argv[1:])
