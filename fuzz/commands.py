"""The fuzzer of the command line: for each seed, damage a file or folder, then run a command on it.

    python fuzz/commands.py                             2,000 seeds, from 0
    python fuzz/commands.py --seeds 300 100             100 seeds, from 300
    python fuzz/commands.py --seconds 600               as many seeds as fit in ten minutes
    python fuzz/commands.py --repeat 4711 --keep DIR    one seed, in this process; keeps its files

It is a finding if a command ends with a status other than 0, 1 and 2, prints a traceback, an
internal error, a control character, or not exactly one error line, lacks memory, is killed by a
signal, or does not end in time. Each finding is one line of JSON; the exit status is 1 if there is
any. Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pocketlens.preview
from child import in_child
from command_samples import write_samples
from file_damage import damage
from pocketlens.cli import main as pocketlens_command
from pocketlens.errors import printable
from pocketlens.preview.server import Address

MEMORY = 3 << 30
"""The address space that a child may allocate, in bytes."""

CPU_SECONDS = 60
WALL_SECONDS = 120
LONGEST_LINE = 4000
FINDINGS = Path(__file__).parents[1] / "build" / "fuzz"

SMALL = ("--set", "input.height=12", "--set", "input.width=12", "--set", "training.epochs=1",
         "--set", "network={name='strided', channels=[4]}", "--set", "training.batch_size=4",
         "--set", "augment.name=none")  # fmt: skip

COMMANDS: dict[str, list[str]] = {
    "run": [
        "report {run}", "report {run}", "evaluate {run}", "evaluate {run} --json", "verify {run}",
        "verify {run} {model}", "convert {run} -o {new}.mlmodel", "preview {run} --no-open --json",
        "run {run}/recipe.toml -o {run}", "run {run}/recipe.toml -o {run} --json",
        "train {run}/recipe.toml -o {run} --resume", "train {run}/recipe.toml -o {run} --force",
        "correct {run} {photos} -o {new}", "predict {run} {image}", "inspect {run}/Bars.mlpackage",
        "run {run}/recipe.toml -o {new}", "evaluate {run}/Bars.mlpackage --data {photos}",
    ],
    "checkpoint": [
        "train {checkpoint}/recipe.toml -o {checkpoint} --resume", "report {checkpoint}",
        "run {checkpoint}/recipe.toml -o {checkpoint} --resume", "evaluate {checkpoint}",
    ],
    "package": [
        "inspect {package}", "inspect {package} --json", "predict {package} {image}",
        "evaluate {package} --data {photos}", "verify {package} {model} --data {photos}",
        "onnx {package} -o {new}.onnx", "app {package} -o {new} --json",
        "preview {package} --no-open", "preview {package} {model} --no-open",
        "convert {package} --labels a,b -o {new}.mlmodel", "predict {package} {photos} --json",
    ],
    "keras": [
        "convert {keras} --labels a,b -o {new}.mlpackage", "convert {keras} --labels {labels}",
        "verify {keras} {model} --data {photos}", "inspect {keras}", "predict {keras} {image}",
    ],
    "recipe": [
        "run {recipe} -o {new}", "train {recipe} -o {new}", "train {recipe} -o {new} --json",
        "train {recipe} -o {run} --force",
    ],
    "photos": [
        "data show {photos} --size 12 -o {new}", "data show {photos} --size 12 -o {new} --json",
        "train quick --data {photos} -o {new} {small}", "evaluate {model} --data {photos}",
        "verify {model} {package} --data {photos}", "correct {run} {photos} -o {new}",
        "predict {model} {photos}", "data download folder:{photos}",
    ],
    "image": ["predict {model} {image}", "predict {model} {image} --json"],
    "labels": ["convert {keras} --labels {labels} -o {new}.mlpackage"],
    "written": ["app --check {written}", "app --check {written} --json"],
}  # fmt: skip
COMMANDS["model"] = [each.replace("{model}", "{package}") for each in (
    each.replace("{package}", "{model}") for each in COMMANDS["package"] if "{model}" not in each
)]  # fmt: skip


def trial(samples: Path, seed: int, folder: Path) -> tuple[list[str], str]:
    """Copy the samples to `folder`, damage one; returns a command and what was damaged."""
    rng = random.Random(seed)
    kind = sorted(COMMANDS)[seed % len(COMMANDS)]
    shutil.copytree(samples, folder, dirs_exist_ok=True, symlinks=True)
    paths = {path.stem if path.is_file() else path.name.partition(".")[0]: path
             for path in sorted(folder.iterdir())}  # fmt: skip
    done = damage(paths[kind], rng)
    names = {name: str(path) for name, path in paths.items()} | {"new": str(folder / "new" / "x")}
    template = rng.choice(COMMANDS[kind]).split()
    words = [word.format(**names, small="{small}") for word in template]
    return [w for word in words for w in (SMALL if word == "{small}" else (word,))], done


def outcome(words: list[str]) -> str:
    """Run a command in this process; a finding begins with `!`."""
    out, err = io.StringIO(), io.StringIO()
    status: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            pocketlens_command(words)
        except SystemExit as end:
            status = end.code or 0
    return judged(status, out.getvalue(), err.getvalue())


def judged(status: int, out: str, err: str) -> str:
    """What a command's result means; a finding begins with `!`."""
    lines = err.splitlines()
    errors = [line for line in lines if line.startswith("pocketlens: error: ")]
    text = errors[0] if errors else err[-300:]
    for finding, found in (
        (f"status {status}", status not in (0, 1, 2)),
        ("traceback", "Traceback" in err or "internal error" in err),
        (f"{len(errors)} error lines", len(errors) != bool(status)),
        ("the error is not the last line", bool(errors) and lines[-1] != errors[0]),
        ("control characters", any(printable(x) != x for x in (out + "\n" + err).split("\n"))),
        ("lack of memory", "not enough memory" in err),
        ("a long line", len(text) > LONGEST_LINE),
        ("a vague error", "a package cannot be loaded" in err or "nested too deeply to be" in err),
    ):
        if found:
            return f"! {finding}: {text[:600]}"
    return f"status {status}"


def attempt(words: list[str], folder: Path) -> str:
    """Run a command in a child process and return its outcome."""

    def work() -> str:
        os.chdir(folder)
        return outcome(words)

    return in_child(work, memory=MEMORY, cpu_seconds=CPU_SECONDS, wall_seconds=WALL_SECONDS)


def serve_nothing(_: Any, *, ready: Any = None, **__: Any) -> None:
    """In place of the preview's server, which runs until it is interrupted."""
    if ready:
        ready(Address("http://127.0.0.1:1", "token", "once"))


def fuzz(samples: Path, seeds: range, seconds: float) -> tuple[Counter[str], int]:
    """Run the seeds; return the number of each outcome, and of findings."""
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + seconds
    for seed in seeds:
        if time.monotonic() > end:
            break
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            words, done = trial(samples, seed, Path(folder))
            result = attempt(words, Path(folder))
            found = result.startswith("!")
            if found:
                row = {"seed": seed, "damage": done, "command": " ".join(words[:4])}
                print(json.dumps({**row, "finding": result[2:]}), flush=True)
            outcomes["finding" if found else result] += 1
    return outcomes, outcomes["finding"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 2_000), metavar=("FIRST", "N"))
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--repeat", type=int)
    parser.add_argument("--keep", type=Path, help="write the files of --repeat to this folder")
    parser.add_argument("--samples", type=Path, help="keep the undamaged samples in this folder")
    options = parser.parse_args()
    pocketlens.preview.serve_preview = serve_nothing
    with tempfile.TemporaryDirectory() as folder:
        samples = write_samples(options.samples or Path(folder) / "samples")
        if options.repeat is not None:
            target = options.keep or Path(folder) / "repeat"
            target.mkdir(parents=True, exist_ok=True)
            words, done = trial(samples, options.repeat, target)
            print(done, "\npocketlens", *words)
            print(outcome(words))
            return
        warm_up(samples)
        started = time.monotonic()
        first, count = options.seeds
        outcomes, findings = fuzz(samples, range(first, first + count), options.seconds)
    seconds = time.monotonic() - started
    print(json.dumps({"trials": outcomes.total(), "seconds": round(seconds), **outcomes}))
    sys.exit(1 if findings else 0)


def warm_up(samples: Path) -> None:
    """Run commands on undamaged samples: they must work, and all is imported before forking."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("keras", "labels"):
            shutil.copy(next(samples.glob(f"{name}.*")), folder)
        for words in (
            ["inspect", str(samples / "package.mlpackage")],
            ["predict", str(samples / "model.mlmodel"), str(samples / "image.png")],
            ["report", str(shutil.copytree(samples / "run", Path(folder) / "run"))],
            ["convert", f"{folder}/keras.keras", "--labels", f"{folder}/labels.txt", "-o",
             f"{folder}/x.mlpackage"],
        ):  # fmt: skip
            if (found := outcome(words)) != "status 0":
                raise SystemExit(f"pocketlens {' '.join(words)}: {found}")


if __name__ == "__main__":
    main()
