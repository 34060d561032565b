"""The structured fuzzer: damage a real file, load and run it in a child process, a seed each.

    python fuzz/structured.py                           20,000 seeds from 0 on
    python fuzz/structured.py --seeds 300 100           100 seeds from 300 on
    python fuzz/structured.py --seconds 600             as many as ten minutes allow
    python fuzz/structured.py --repeat 4711 --keep DIR  one seed, in this process; its file in DIR

A child that raises what is not ours, is killed by a signal, goes over its time or its memory is a
finding. Each is one line of JSON; the exit status is 1 if there is any. Needs `os.fork` (Linux or
macOS); memory is limited on Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from mutator import damage_package, damage_spec
from pocketlens.coreml.file.proto import generated
from samples import write_samples
from trial import lower_limits, trial

MEMORY = 1 << 31
"""What a child may take beyond what it starts with, in bytes of address space."""

CPU_SECONDS = 20
WALL_SECONDS = 120
FINDINGS = Path(__file__).parents[1] / "build" / "fuzz"


def damaged(samples: list[Path], seed: int, folder: Path) -> Path:
    """The file of a seed, written into `folder`."""
    chance = random.Random(seed)
    sample = samples[seed % len(samples)]
    path = folder / sample.name
    if sample.is_dir():
        shutil.copytree(sample, path)
        damage_package(path, chance)
        return path
    spec = generated("Model_pb2").Model.FromString(sample.read_bytes())
    damage_spec(spec, chance)
    path.write_bytes(spec.SerializeToString(deterministic=True))
    return path


def attempt(path: Path, seed: int) -> str:
    """What comes of the file, in a process of its own; findings begin with `!`."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _child(path, seed, send)
    os.close(send)
    ready, _, _ = select.select([receive], [], [], WALL_SECONDS)
    if not ready:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(receive, "rb") as stream:
        said = stream.read().decode()
    _, status = os.waitpid(child, 0)
    if not ready:
        return f"! still at it after {WALL_SECONDS} s"
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return f"! {CPU_SECONDS} s of CPU" if name == "SIGXCPU" else f"! killed by {name}"
    return said or f"! ended with status {os.waitstatus_to_exitcode(status)} and said nothing"


def _child(path: Path, seed: int, send: int) -> None:
    said = "! nothing"
    try:
        _limit()
        said = trial(path, random.Random(seed))
    except BaseException as error:  # whatever it is, it is the finding
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
        said = f"! {type(error).__name__}: {str(error)[:300]} at {where}"
    finally:
        os.write(send, said.encode("utf-8", "backslashreplace"))
        os._exit(0)  # no clean-up of the parent's things


def _limit() -> None:
    lower_limits()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
    pages = Path("/proc/self/statm")
    if pages.exists():
        taken = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


def warm_up(samples: list[Path]) -> None:
    """Every sample runs undamaged, and what children need is imported before they are forked."""
    for sample in samples:
        outcome = trial(sample, random.Random(0))
        if outcome not in ("ran", "FeatureError"):  # a value that the model does not know
            raise SystemExit(f"the sample {sample.name} does not run: {outcome}")


def fuzz(samples: list[Path], seeds: range, seconds: float) -> tuple[Counter[str], list[Any]]:
    """How often each outcome came, and the findings."""
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
                kept = FINDINGS / f"{seed}-{path.name}"
                if not kept.exists():
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    shutil.move(path, kept)
        outcomes["finding" if outcome.startswith("!") else outcome] += 1
    return outcomes, findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 20_000), metavar=("FIRST", "N"))
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--repeat", type=int)
    parser.add_argument("--keep", type=Path, help="write the file of --repeat here")
    parser.add_argument("--samples", type=Path, help="a folder to keep the samples in")
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
    spent = time.monotonic() - started
    print(json.dumps({"trials": outcomes.total(), "seconds": round(spent), **outcomes}))
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
