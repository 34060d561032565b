"""Drawings of others, read by a recognizer that learned from built-in ones only.

    python benchmarks/doodles.py runs/doodles   # a run folder or a Core ML file; writes nothing
    python benchmarks/doodles.py --seeds 3      # trains with each seed; writes doodles.json

The recipe is not trained on these drawings of Google's Quick, Draw! (CC BY 4.0). They are in the
data folder (`POCKETLENS_DATA`) as `quickdraw/bitmaps.npz` (cat, rainbow) and
`quickdraw/sample.ndjson` (airplane, bee, train).

Bitmaps: as Google renders them. Page: strokes on a pad of 280 × 280 pixels, with its pen, at 60 to
95 % of its size, anywhere. Nothing: the shares of handwritten digits and of scribbles that get a
label.
Claim: `FLOOR`, the mean accuracy over the five things in bitmaps, for the median of the seeds.
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
import torch
from numpy.typing import NDArray

from hands import open_predictor
from measure import run_recipe, write
from pocketlens.augment._planes import Random
from pocketlens.augment._scribbles import scribbles
from pocketlens.coreml import load
from pocketlens.data import Dataset, load_data
from pocketlens.data.fit import fit_images
from pocketlens.data.quickdraw_files import render_strokes, strokes_in
from pocketlens.errors import OptionError
from pocketlens.evaluation.accuracy import percent
from pocketlens.locations import data_folder
from pocketlens.prediction import NOTHING, Predictor

THINGS = ("airplane", "bee", "cat", "rainbow", "train")
DRAWN = ("airplane", "bee", "train")
"""Those whose strokes are there."""

FLOOR = 0.85
PAD, PEN, SIZES = 280, 0.08, (0.6, 0.95)
"""Side of the pad in pixels; width of its pen and size of the drawings, as shares of it."""

SEED, EMPTY = 2026, 1000


def page_drawings(thing: str) -> NDArray[np.uint8]:
    """Drawings on the pad `(N, PAD, PAD, 1)`, light on dark."""
    random, images = np.random.default_rng(SEED), []
    for strokes in strokes_in(data_folder() / "quickdraw" / "sample.ndjson", thing):
        size = random.uniform(*SIZES)
        image = render_strokes(strokes, side=PAD, box=size, line=PEN)
        spare = int((1 - size) / 2 * PAD)
        images.append(np.roll(image, random.integers(-spare, spare + 1, 2), (0, 1)))
    return np.stack(images)[..., np.newaxis]


def examine(predictor: Predictor) -> dict[str, Any]:
    """Accuracy by thing, what they are taken for, and labels for what is no thing."""
    data = [load_data(f"quickdraw:{','.join(THINGS)}", split=split) for split in ("train", "test")]
    bitmaps = data[0].joined(data[1])
    found: dict[str, Any] = {
        "bitmaps": _read(predictor, bitmaps),
        "page": _read(
            predictor,
            _labeled({thing: page_drawings(thing) for thing in DRAWN}),
        ),
    }
    digits = load_data("mnist", split="test").images[:EMPTY]
    random = Random(torch.Generator().manual_seed(SEED), EMPTY, bitmaps.images.shape[1])
    lines = scribbles(torch.from_numpy(bitmaps.channels_first().copy()).float(), random)
    empty = {"digits": digits, "scribbles": lines.numpy().astype(np.uint8).transpose(0, 2, 3, 1)}
    for name, images in empty.items():
        given = predictor.predict(list(fit_images(images, predictor.input_spec)))
        shown = [each.shown and each.label != NOTHING for each in given]
        found[f"{name}_labeled"] = float(np.mean(shown))
    return found


def _labeled(images: dict[str, NDArray[np.uint8]]) -> Dataset:
    labels = np.repeat(np.arange(len(images)), [len(each) for each in images.values()])
    return Dataset(np.concatenate([*images.values()]), labels, tuple(images), "page")


def _read(predictor: Predictor, data: Dataset) -> dict[str, Any]:
    given = predictor.probabilities(fit_images(data.images, predictor.input_spec)).argmax(1)
    read = np.array(predictor.classes)[given]
    right = read == np.array(data.classes)[data.labels]
    things = {
        name: float(right[data.labels == label].mean()) for label, name in enumerate(data.classes)
    }
    return {"accuracy": statistics.mean(things.values()), "things": things, "images": len(data)}


def report(found: dict[str, Any], title: str) -> None:
    """Print the results of one predictor."""
    for name in ("bitmaps", "page"):
        row = found[name]
        things = "  ".join(f"{thing} {percent(share)}" for thing, share in row["things"].items())
        print(f"{title}: {name}: {percent(row['accuracy'])} of {row['images']:,}: {things}")
    print(
        f"{title}: digits that get a label {percent(found['digits_labeled'])}, scribbles "
        f"{percent(found['scribbles_labeled'])}",
        flush=True,
    )


def train_and_examine(seeds: int, settings: list[str]) -> None:
    """Train the recipe with several seeds, write `doodles.json`, and check the claim."""
    runs: list[dict[str, Any]] = []
    for seed in range(seeds):
        row = run_recipe(
            "doodles",
            f"seed={seed}",
            *settings,
            until="verify",
            examine=lambda file: examine(load(file)),
        )
        report(row, f"seed {seed}, trained in {row['training_seconds']:.0f} s")
        runs.append({"seed": seed, **row})
    median = {
        "bitmaps": statistics.median(run["bitmaps"]["accuracy"] for run in runs),
        "page": statistics.median(run["page"]["accuracy"] for run in runs),
        **{
            key: statistics.median(run[key] for run in runs)
            for key in ("accuracy", "training_seconds", "file_bytes", "parameters")
        },
    }
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {sys.version.split()[0]}"
    found = {"machine": machine, "settings": settings, "seeds": seeds}
    write(__file__, {**found, "median": median, "runs": runs})
    if median["bitmaps"] < FLOOR:
        raise SystemExit(f"bitmaps: {percent(median['bitmaps'])}, claimed {percent(FLOOR)}")


def main() -> None:
    """Parse the command line; see the head of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", nargs="?", type=Path, help="a run folder or a Core ML file")
    parser.add_argument("--seeds", type=int, default=0, help="train with this many seeds")
    parser.add_argument("--set", action="append", default=[], help="a setting, KEY=VALUE")
    given = parser.parse_args()
    if (given.model is None) == (given.seeds < 1):
        raise OptionError("pass a run folder or a Core ML file, or --seeds of at least 1; not both")
    if given.model is not None:
        report(examine(open_predictor(given.model)), str(given.model))
    else:
        train_and_examine(given.seeds, given.set)


if __name__ == "__main__":
    main()
