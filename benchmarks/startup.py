"""Time of commands from process start to exit: `--help`, `predict`, `inspect`, `run quick`.

    python benchmarks/startup.py

Claims, with compiled bytecode on two cores: `pocketlens --help` takes at most 0.3 s, `pocketlens
predict` 1.5 s, and `pocketlens run quick` with all its stages 8 s.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import pocketlens
from measure import write
from pocketlens import networks
from pocketlens.recipe import load_recipe

ROUNDS = 9


def seconds(*words: str) -> float:
    """Median wall time of a command, after one round that compiles the bytecode."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    times = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        command = [str(Path(sys.executable).parent / "pocketlens"), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


if __name__ == "__main__":
    recipe = load_recipe("quick")
    network = networks.build(recipe.network, recipe.input, 10)
    digits = tuple("0123456789")
    recognizer = pocketlens.Recognizer(network, recipe.network, digits, recipe.input)
    with tempfile.TemporaryDirectory() as folder:
        model = str(pocketlens.convert(recognizer, Path(folder) / "Digits.mlpackage"))
        picture = str(Path(folder) / "picture.png")
        Image.fromarray(np.zeros((200, 300, 3), np.uint8)).save(picture)
        found = {
            "help": seconds("--help"),
            "predict": seconds("predict", model, picture),
            "inspect": seconds("inspect", model),
            "run quick": seconds("run", "quick", "--force", "--out", str(Path(folder) / "run")),
        }
    write(__file__, found)
    if found["help"] > 0.3 or found["predict"] > 1.5 or found["run quick"] > 8:
        raise SystemExit("the claims do not hold")
