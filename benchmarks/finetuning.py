"""What learning from 20 corrections takes and gives: `pocketlens correct` on a run of `digits`.

    python benchmarks/correcting.py RUN    # such as runs/demo

The corrections are 20 simulated photographs of MNIST's training digits that the run gets wrong;
200 others that it gets wrong are kept from it. Both kinds are asked about again afterward, and so
are the MNIST test set, 2,000 photographs of it and 1,000 scenes without a digit.
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
"""Photographs that the wrong ones are picked from; of a good run one in fifty is."""

SEED = 7


def right(predictor: Predictor, images: Dataset) -> NDArray[np.bool_]:
    """Which of them it names rightly."""
    classes = shared_classes(predictor, images)
    parts = predictions(predictor, images, classes, batch=1000)
    return np.concatenate([part.predicted for part in parts]) == images.labels


def keep(images: Dataset, folder: Path) -> None:
    """As `pocketlens preview --collect` keeps them."""
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
        raise SystemExit(f"only {len(missed)} of {LOOKED_AT} photographs are wrong")
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
        assert after.metrics and after.model  # noqa: PT018 - it is finished
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
