"""What a sweep costs beyond its trials, and whether it finds a better `tiny` under 40 kB.

    python benchmarks/scale.py                    # both parts; about 4 minutes, then an hour
    python benchmarks/scale.py --only overhead
    python benchmarks/scale.py --only tiny --trials 24

`overhead`: the processor time of the whole computer during `pocketlens sweep quick` with 16 trials
(Linux counts it), over the time that the trials report; the computer must be idle otherwise.
`tiny`: a sweep over widths, learning rate and weight decay of `tiny`, within 40 kB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import write
from pocketlens.scale import Sweep, read_sweep

PARTS = ("overhead", "tiny")

RATE = "training.learning_rate=log:0.01..0.2"
DECAY = "training.weight_decay=log:0.001..0.1"
STAGES = ("network.stages=[[10,14],[16,18],[20]],[[10,14],[18,20],[24]],[[12,16],[16,20],[20]],"
          "[[8,12],[16,20],[24]],[[10,12],[16,18],[20,20]],[[10,14],[16,18,18],[20]]")  # fmt: skip


def busy_seconds() -> float:
    """The processor time that the whole computer has used since it was started."""
    user, nice, system = Path("/proc/stat").read_text().split()[1:4]
    return (int(user) + int(nice) + int(system)) / 100


def sweep(folder: Path, recipe: str, *words: str) -> tuple[Sweep, float, float]:
    """What a sweep found, its wall-clock time and its processor time."""
    program = Path(sys.executable).with_name("pocketlens")
    started, busy = time.perf_counter(), busy_seconds()
    subprocess.run(
        [program, "sweep", recipe, *words, "--out", folder, "--only-search"],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return read_sweep(folder), time.perf_counter() - started, busy_seconds() - busy


def overhead() -> dict[str, Any]:
    """16 trials of `quick`."""
    with tempfile.TemporaryDirectory() as place:
        found, seconds, busy = sweep(
            Path(place) / "s", "quick", "--search", RATE, "--search", DECAY, "--trials", "16"
        )
    own = sum(each.processor_seconds for each in found.trials)
    return {
        "trials": len(found.trials),
        "seconds": seconds,
        "processor_seconds": busy,
        "own_processor_seconds": own,
        "ratio": busy / own,
        "seconds_of_a_trial": own / len(found.trials),
    }


def tiny(trials: int, epochs: int) -> dict[str, Any]:
    """The best of a sweep over `tiny`, against the shipped recipe in the same trial."""
    words = ["--set", f"training.epochs={epochs}", "--max-bytes", "40kB"]
    with tempfile.TemporaryDirectory() as place:
        found, seconds, _ = sweep(
            Path(place) / "s", "tiny", "--search", STAGES, "--search", RATE, "--search", DECAY,
            "--trials", str(trials), *words,
        )  # fmt: skip
        shipped, _, _ = sweep(
            Path(place) / "t", "tiny", "--search", "seed=0,1,2,3", "--trials", "4",
            "--method", "random", *words,
        )  # fmt: skip
    best = found.best
    assert best is not None
    states = [each.state for each in found.trials]
    return {
        "trials": trials,
        "epochs": epochs,
        "seconds": seconds,
        "states": {state: states.count(state) for state in sorted(set(states))},
        "best": {**best.to_dict(), "values": found.values(best), "interval": best.interval},
        "shipped": [each.accuracy for each in shipped.trials if each.state == "done"],
        "shipped_bytes": max(each.bytes or 0 for each in shipped.trials),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=8)
    chosen = parser.parse_args()
    file = Path(__file__).with_suffix(".json")
    results = json.loads(file.read_text()) if file.exists() else {}
    for part in chosen.only or PARTS:
        results[part] = overhead() if part == "overhead" else tiny(chosen.trials, chosen.epochs)
    write(__file__, results)


if __name__ == "__main__":
    main()
