"""Digits of other hands: Semeion (80 writers in Italy) and Optdigits (13 writers in Turkey).

    python benchmarks/hands.py runs/digits   # a run folder or a Core ML file; writes nothing
    python benchmarks/hands.py --seeds 3     # trains `digits` with each seed; writes hands.json

No recipe is trained on these images. They are in the data folder (`POCKETLENS_DATA`), as
`semeion/semeion.npz` and `optdigits/optdigits.npz`, made from the UCI Machine Learning Repository's
"Semeion Handwritten Digit" and "Optical Recognition of Handwritten Digits" (both CC BY 4.0): `x`
`(N, S, S)` uint8, light on dark, and `y`. In both, each digit was cut out and stretched to fill its
image of 16 × 16 black and white, or 8 × 8 gray pixels. They get the margin that MNIST's digits have
and are enlarged to the recognizer's input with bilinear interpolation, as a small photo would be.

Reported: accuracy by digit, the pairs that are confused, calibration, and the share for which a
label is shown. Claims of the recipes that are made for a camera: `FLOORS`, for the median.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from measure import run_recipe, write
from pocketlens.coreml import load
from pocketlens.data import Dataset
from pocketlens.errors import DataNotFoundError, OptionError
from pocketlens.evaluation.accuracy import evaluate, percent
from pocketlens.locations import data_folder
from pocketlens.prediction import NOTHING, Predictor
from pocketlens.recognizer import Recognizer

SETS = {"semeion": 3, "optdigits": 2}
"""Each set, and the width of the margin that is added around its images, in pixels of the set."""

FLOORS = {"semeion": 0.96, "optdigits": 0.98}
DIGITS = tuple("0123456789")
CONFUSED = 12
"""How many pairs of digits are listed, the most frequent first."""


def load_hands(name: str) -> Dataset:
    """One of `SETS` as a data set, light ink on black with a margin like MNIST's."""
    file = data_folder() / name / f"{name}.npz"
    if not file.is_file():
        raise DataNotFoundError(
            f"{file} does not exist; set POCKETLENS_DATA to the folder of {name}"
        )
    with np.load(file, allow_pickle=False) as arrays:
        images, labels = arrays["x"], arrays["y"]
    margin = SETS[name]
    padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin)))[..., np.newaxis]
    return Dataset(padded, labels.astype(np.int64), DIGITS, name)


def open_predictor(path: Path) -> Predictor:
    """A Core ML file, or the Core ML file or recognizer of a run folder."""
    if path.suffix in {".mlmodel", ".mlpackage"}:
        return load(path)
    return Recognizer.load(path)


def examine(predictor: Predictor) -> dict[str, Any]:
    """How a predictor reads both sets."""
    found = {}
    for name in SETS:
        data = load_hands(name)
        result = evaluate(predictor, data)
        table = np.array(result.confusion)
        pairs = [
            (int(table[row, column]), f"{result.classes[row]} as {result.classes[column]}")
            for row, column in np.argwhere(table)
            if row != column
        ]
        readings = predictor.predict(list(data.images))
        shown = [reading for reading in readings if reading.shown]
        right = [
            reading.shown and reading.label == data.classes[label]
            for reading, label in zip(readings, data.labels, strict=True)
        ]
        found[name] = {
            "images": result.n,
            "accuracy": result.accuracy,
            "calibration_error": result.calibration.error,
            "shown": len(shown) / result.n,
            "shown_rightly": sum(right) / result.n,
            "taken_for_nothing": sum(reading.label == NOTHING for reading in readings) / result.n,
            "digits": {score.name: score.recall for score in result.per_class if score.count},
            "confused": {pair: count for count, pair in sorted(pairs, reverse=True)[:CONFUSED]},
        }
    return found


def report(found: dict[str, Any], title: str) -> None:
    """Print the results of one predictor."""
    for name, row in found.items():
        digits = "  ".join(f"{digit} {percent(share)}" for digit, share in row["digits"].items())
        confused = ", ".join(f"{pair}: {count}" for pair, count in row["confused"].items())
        print(
            f"{title}: {name}: {percent(row['accuracy'])} of {row['images']:,} images; calibration "
            f"error {percent(row['calibration_error'])}; a label is shown for "
            f"{percent(row['shown'])}, the right one for {percent(row['shown_rightly'])}\n"
            f"  by digit: {digits}\n  confused: {confused}",
            flush=True,
        )


def train_and_examine(recipe: str, seeds: int, settings: list[str]) -> None:
    """Train a recipe with several seeds, write `hands.json`, and check the claims."""
    runs: list[dict[str, Any]] = []
    for seed in range(seeds):
        kept: dict[str, Any] = {}

        def look(file: Path, kept: dict[str, Any] = kept) -> dict[str, Any]:
            kept.update(examine(load(file)))
            return {}

        row = run_recipe(recipe, f"seed={seed}", *settings, until="verify", examine=look)
        report(kept, f"{recipe}, seed {seed}, trained in {row['training_seconds']:.0f} s")
        runs.append({"seed": seed, "training_seconds": row["training_seconds"], **kept})
    median = {
        name: {
            key: statistics.median(run[name][key] for run in runs)
            for key in ("accuracy", "calibration_error", "shown", "shown_rightly")
        }
        for name in SETS
    }
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {sys.version.split()[0]}"
    found = {"machine": machine, "recipe": recipe, "settings": settings, "seeds": seeds}
    write(__file__, {**found, "median": median, "runs": runs})
    wrong = [
        f"{name}: {percent(median[name]['accuracy'])}, claimed {percent(least)}"
        for name, least in FLOORS.items()
        if median[name]["accuracy"] < least
    ]
    if wrong:
        raise SystemExit("\n".join(wrong))


def main() -> None:
    """Parse the command line; see the head of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", nargs="?", type=Path, help="a run folder or a Core ML file")
    parser.add_argument("--seeds", type=int, default=0, help="train with this many seeds")
    parser.add_argument("--recipe", default="digits", help="the recipe to train")
    parser.add_argument("--set", action="append", default=[], help="a setting, KEY=VALUE")
    given = parser.parse_args()
    if (given.model is None) == (given.seeds < 1):
        raise OptionError("pass a run folder or a Core ML file, or --seeds of at least 1; not both")
    if given.model is not None:
        report(examine(open_predictor(given.model)), str(given.model))
    else:
        train_and_examine(given.recipe, given.seeds, given.set)


if __name__ == "__main__":
    main()
