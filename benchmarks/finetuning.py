"""Fine-tuning with 20 corrections: time and accuracy of `pocketlens correct` on a run of `digits`.

    python benchmarks/finetuning.py RUN    # such as runs/demo

The corrections are 20 simulated photos of MNIST's training digits that the run classifies wrong;
200 other photos that it classifies wrong are not used for training. Both sets are measured before
and after, and so are the MNIST test set, 2,000 photos of it and 1,000 scenes without a digit.
"""

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from measure import write
from pocketlens import load_data
from pocketlens.coreml import load
from pocketlens.data import Dataset
from pocketlens.evaluation.accuracy import evaluate, predictions, shared_classes
from pocketlens.evaluation.robustness import empty_scenes, photograph
from pocketlens.evaluation.robustness.rejection import measure_rejection
from pocketlens.finetuning import correct
from pocketlens.prediction import Predictor
from pocketlens.run_folder import read_run

TAUGHT, OTHERS = 20, 200
LOOKED_AT = 20_000
"""Number of photos that are classified to find the wrong ones; a good run gets 2 % wrong."""

SEED = 7


def right(predictor: Predictor, images: Dataset) -> NDArray[np.bool_]:
    """Which images are classified correctly."""
    classes = shared_classes(predictor, images)
    parts = predictions(predictor, images, classes, batch=1000)
    return np.concatenate([part.predicted for part in parts]) == images.labels


def keep(images: Dataset, folder: Path) -> None:
    """Write the images as `pocketlens preview --collect` does."""
    for index, label in enumerate(images.labels):
        place = folder / images.classes[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(images.images[index, ..., 0]).save(place / f"{index}.png")


def main(folder: Path) -> None:
    before = read_run(folder)
    assert before.model
    model = load(before.model)
    train, test = load_data("mnist"), load_data("mnist", split="test")
    order = np.random.default_rng(SEED).permutation(len(train))[:LOOKED_AT]
    seen = photograph(train.subset(order), seed=SEED)
    missed = seen.subset(np.flatnonzero(~right(model, seen)))
    if len(missed) < TAUGHT + OTHERS:
        raise SystemExit(
            f"only {len(missed)} of {LOOKED_AT} photos are classified wrong; "
            f"expected at least {TAUGHT + OTHERS}"
        )
    taught, others = missed.subset(slice(TAUGHT)), missed.subset(slice(TAUGHT, TAUGHT + OTHERS))
    photos = photograph(test.subset(slice(2000)), seed=SEED)
    empty = empty_scenes(1000, seed=SEED, like=test)

    def examine(predictor: Predictor, file: Path) -> dict[str, float]:
        shown = measure_rejection(
            predictor,
            photos,
            empty,
            thresholds=load(file).thresholds,
            note="",
            kinds=((), ()),
            kept=0.97,
        )
        return {
            "taught": float(right(predictor, taught).mean()),
            "others": float(right(predictor, others).mean()),
            "clean": evaluate(predictor, test).accuracy,
            "photographs": evaluate(predictor, photos).accuracy,
            "false_digits": shown.fpr,
        }

    with tempfile.TemporaryDirectory() as name:
        corrections = Path(name) / "corrections"
        corrections.mkdir()
        keep(taught, corrections)
        started = time.perf_counter()
        found = correct(folder, corrections, out=Path(name) / "better")
        seconds = time.perf_counter() - started
        after = found.run
        assert after.metrics and after.model  # noqa: PT018 - the run is finished
        write(
            __file__,
            {
                "machine": f"{os.cpu_count()} cores, {platform.machine()}, "
                f"Python {sys.version.split()[0]}",
                "training_seconds": after.metrics.training_seconds,
                "seconds": seconds,
                "stages": after.stages,
                "before": examine(model, before.model),
                "after": examine(load(after.model), after.model),
            },
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
