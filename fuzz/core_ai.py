"""Load damaged Core AI models: each loads, or is one CoreAIError; this process never ends.

    python fuzz/core_ai.py Digits.aimodel --count 10000

The hash of the program is made to fit, so that Apple's interpreter reads the damage. A file takes
about a second, because the interpreter's process crashes and is started again. Exit code 1: another
error, or a message of several lines; the damaged model is kept in the current folder.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from pocketlens.coreai import load
from pocketlens.errors import CoreAIError, PocketlensError


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The data, cut, or with some bytes changed, repeated, moved or removed."""
    found = bytearray(data)
    kind = rng.choice(("cut", "flip", "flip", "bytes", "repeat", "remove", "number"))
    at = rng.randrange(len(found))
    if rng.random() < 0.5:  # what describes the program is at the ends, the weights between
        at = rng.choice((rng.randrange(min(4000, len(found))), -rng.randrange(1, 900)))
        at %= len(found)
    if kind == "cut":
        return bytes(found[:at])
    if kind == "flip":
        for _ in range(rng.choice((1, 1, 3, 20))):
            found[(at + rng.randrange(64)) % len(found)] ^= 1 << rng.randrange(8)
    elif kind == "bytes":
        found[at : at + 8] = rng.randbytes(8)
    elif kind == "repeat":
        found[at:at] = found[at : at + rng.randrange(1, 200)]
    elif kind == "remove":
        del found[at : at + rng.randrange(1, 200)]
    else:
        found[at : at + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x01\0\0\x80"))
    return bytes(found)


def outcome(path: Path) -> str:
    """What becomes of a model: `runs`, `loads`, or how the error begins."""
    try:
        model = load(path, time_limit=20, max_memory=1 << 30)
        inputs = {
            each.name: np.zeros([size or 1 for size in each.shape], each.dtype)
            for each in model.function.inputs
        }
    except CoreAIError as error:
        return said(str(error), path)
    try:
        model.run(inputs)
    except PocketlensError as error:
        return f"loads; {said(str(error), path)}"
    finally:
        model.close()
    return "runs"


def said(message: str, path: Path) -> str:
    """The beginning of an error, which must be one line that names the model."""
    if "\n" in message or str(path) not in message:
        raise ValueError(f"not one line that names the model: {message!r}")
    return " ".join(message.replace(str(path), "").strip(": ").split()[:6])


def main() -> int:
    """Damage the model `--count` times."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, help="a Core AI model")
    parser.add_argument("--count", type=int, default=100, help="how often it is damaged")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, found = random.Random(options.seed), Counter[str]()
    program = (options.model / "main.mlirb").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.count):
            path = shutil.copytree(options.model, Path(folder) / f"{number}.aimodel")
            data = damaged(program, rng)
            (path / "main.mlirb").write_bytes(data)
            (path / "main.hash").write_bytes(hashlib.sha256(data).digest())
            try:
                found[outcome(path)] += 1
            except BaseException:
                shutil.copytree(path, f"damaged-{options.seed}-{number}.aimodel")
                raise
            shutil.rmtree(path)
    for name, count in found.most_common():
        print(f"{count:6}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
