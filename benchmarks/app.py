"""The time to write an app around a Core ML file, and whether the checker finds problems in it.

    python benchmarks/app.py

For three files: the network of `digits`, an RGB 224×224 classifier with a thousand classes, and a
neural network (`.mlmodel`). The time is that of `create_app` after a warm-up, minus the time to
copy the model; medians over rounds.

Claim: for each of the three, less than a second besides copying the model, and no problems found.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import architectures
from measure import write
from pocketlens import Recognizer, convert, networks
from pocketlens.app import check_app, create_app
from pocketlens.files import size_on_disk
from pocketlens.image import InputSpec
from pocketlens.recipe import load_recipe

ROUNDS = 5


def recognizer(name: str) -> Recognizer:
    """The recipe's network with random weights."""
    recipe = load_recipe(name)
    classes = (*"0123456789", *(["nothing"] if recipe.data.nothing else []))
    network = networks.build(recipe.network, recipe.input, len(classes))
    return Recognizer(network, recipe.network, classes, recipe.input)


def models(folder: Path) -> list[Path]:
    """The three files."""
    return [
        convert(recognizer("digits"), folder / "Digits.mlpackage"),
        convert(
            architectures.mobilenet_like().eval(),
            folder / "Thousand.mlpackage",
            labels=[f"class {number}" for number in range(architectures.CLASSES)],
            input_spec=InputSpec(224, 224, "rgb"),
        ),
        convert(recognizer("quick"), folder / "Old.mlmodel"),
    ]


def seconds(work: Callable[[Path], object], folder: Path) -> float:
    """Median time of `work` on a path that does not exist yet, after one round to warm up."""
    times = []
    for number in range(ROUNDS + 1):
        target = folder / str(number)
        began = time.perf_counter()
        work(target)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def measured(model: Path, folder: Path) -> dict[str, float | list[str]]:
    """Write the app for one file several times, and check it once."""

    def copy(target: Path) -> None:
        (shutil.copytree if model.is_dir() else shutil.copy)(model, target)

    whole = seconds(lambda target: create_app(model, target), folder / "apps")
    copying = seconds(copy, Path(tempfile.mkdtemp(dir=folder)))
    return {
        "megabytes": size_on_disk(model) / 1e6,
        "seconds": whole,
        "beyond_copying": whole - copying,
        "faults": check_app(folder / "apps" / "0"),
    }


if __name__ == "__main__":
    torch.manual_seed(0)
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        for model in models(Path(temporary)):
            place = Path(temporary) / f"of {model.stem}"
            (place / "apps").mkdir(parents=True)
            found[model.name] = measured(model, place)
    write(__file__, found)
    slow = [name for name, row in found.items() if row["beyond_copying"] > 1]
    faulty = [name for name, row in found.items() if row["faults"]]
    if slow or faulty:
        raise SystemExit(f"the claim does not hold: too slow {slow}, problems in {faulty}")
