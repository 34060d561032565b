"""The structured fuzzer: for each seed, damage a file, then load and run it in a child process.

    python fuzz/structured.py                           20,000 seeds, from 0
    python fuzz/structured.py --seeds 300 100           100 seeds, from 300
    python fuzz/structured.py --seconds 600             as many seeds as fit in ten minutes
    python fuzz/structured.py --repeat 4711 --keep DIR  one seed, in this process; keeps its file

It is a finding if a child raises an exception that is not one of our errors, is killed by a signal,
or exceeds its limit of time or memory. Each finding is printed as one line of JSON; the exit status
is 1 if there is any. Needs `os.fork` (Linux or macOS); memory is limited only on Linux.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from child import in_child
from mutator import damage_package, damage_spec
from pocketlens.coreml.file.proto import generated
from samples import write_samples
from trial import lower_limits, trial

MEMORY = 1 << 31
"""The address space that a child may allocate, in bytes."""

CPU_SECONDS = 20
WALL_SECONDS = 120
FINDINGS = Path(__file__).parents[1] / "build" / "fuzz"


def damaged(samples: list[Path], seed: int, folder: Path) -> Path:
    """Write the damaged file of a seed to `folder`."""
    rng = random.Random(seed)
    sample = samples[seed % len(samples)]
    path = folder / sample.name
    if sample.is_dir():
        shutil.copytree(sample, path)
        damage_package(path, rng)
        return path
    spec = generated("Model_pb2").Model.FromString(sample.read_bytes())
    damage_spec(spec, rng)
    path.write_bytes(spec.SerializeToString(deterministic=True))
    return path


def attempt(path: Path, seed: int) -> str:
    """Run a trial in a child process and return its result; a finding begins with `!`."""

    def work() -> str:
        lower_limits()
        return trial(path, random.Random(seed))

    return in_child(work, memory=MEMORY, cpu_seconds=CPU_SECONDS, wall_seconds=WALL_SECONDS)


def warm_up(samples: list[Path]) -> None:
    """Run every undamaged sample: they must work, and all imports are done before forking."""
    for sample in samples:
        outcome = trial(sample, random.Random(0))
        if outcome not in ("ran", "FeatureError"):  # a random value that the model does not know
            raise SystemExit(f"the sample {sample.name} does not run: {outcome}")


def fuzz(samples: list[Path], seeds: range, seconds: float) -> tuple[Counter[str], list[Any]]:
    """Run the seeds; return the number of each outcome, and the findings."""
    outcomes: Counter[str] = Counter()
    findings = []
    end = time.monotonic() + seconds
    for seed in seeds:
        if time.monotonic() > end:
            break
        with tempfile.TemporaryDirectory() as folder:
            path = damaged(samples, seed, Path(folder))
            outcome = attempt(path, seed)
            if outcome.startswith("!"):
                findings.append({"seed": seed, "file": path.name, "finding": outcome[2:]})
                print(json.dumps(findings[-1]), flush=True)
                target = FINDINGS / f"{seed}-{path.name}"
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.move(path, target)
        outcomes["finding" if outcome.startswith("!") else outcome] += 1
    return outcomes, findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 20_000), metavar=("FIRST", "N"))
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--repeat", type=int)
    parser.add_argument("--keep", type=Path, help="write the file of --repeat to this folder")
    parser.add_argument("--samples", type=Path, help="keep the undamaged samples in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples = write_samples(options.samples or Path(folder) / "samples")
        if options.repeat is not None:
            target = options.keep or Path(folder) / "repeat"
            target.mkdir(parents=True, exist_ok=True)
            path = damaged(samples, options.repeat, target)
            lower_limits()
            print(trial(path, random.Random(options.repeat)))
            return
        warm_up(samples)
        started = time.monotonic()
        first, count = options.seeds
        outcomes, findings = fuzz(samples, range(first, first + count), options.seconds)
    seconds = time.monotonic() - started
    print(json.dumps({"trials": outcomes.total(), "seconds": round(seconds), **outcomes}))
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
