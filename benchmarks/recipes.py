"""Train and convert every recipe, and measure its Core ML file; for the table in README.

    python benchmarks/recipes.py              # all of them: more than an hour on two cores
    python benchmarks/recipes.py quick tiny   # these; results of the others are kept

Each run is a separate process, up to the checked Core ML file; `SEEDS` has the number of runs.
Clean: the MNIST test set. Camera: its 10,000 digits as simulated photos. Nothing: the share of
2,000 simulated scenes without a digit that get a label, with the threshold at which 97 % of the
photos keep theirs; and the same with the model's own thresholds.
Claims: `FLOORS`, and for `digits` also the constants below it.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

from measure import HERE, run_recipe
from pocketlens import load_data
from pocketlens.coreml import load
from pocketlens.data import Dataset
from pocketlens.evaluation.accuracy import evaluate
from pocketlens.evaluation.robustness import empty_scenes, photograph
from pocketlens.evaluation.robustness.rejection import measure_rejection

SEEDS = {"quick": 10, "classic": 3, "digits": 3, "tiny": 3, "best": 1}

FLOORS = {"quick": 0.990, "classic": 0.986, "digits": 0.993, "tiny": 0.994, "best": 0.997}
"""Claim of each recipe: the minimum mean accuracy on the MNIST test set."""

CAMERA, KEPT, FALSE = 0.978, 0.97, 0.02
"""Claims of `digits`: the accuracy on photos; and, if this share of the photos gets a label, the
maximum share of scenes without a digit that get one."""

CALIBRATION = {"calibration_error": 0.01, "camera_calibration_error": 0.02}
"""Claims of `digits`: the maximum expected calibration error, on clean images and on photos."""

TARGET = HERE / "recipes.json"
PHOTOS_SEED = 2026


class Examiner:
    """Measures Core ML files on photos and empty scenes, which are drawn once."""

    def __init__(self) -> None:
        test = load_data("mnist", split="test")
        self.photos: Dataset = photograph(test, seed=PHOTOS_SEED)
        self.empty: Dataset = empty_scenes(2000, seed=PHOTOS_SEED, like=test)

    def __call__(self, file: Path) -> dict[str, float]:
        model = load(file)
        found = evaluate(model, self.photos)
        shown = measure_rejection(
            model,
            self.photos,
            self.empty,
            thresholds=model.thresholds,
            note="",
            kinds=((), ()),
            kept=KEPT,
        )
        return {
            "camera_accuracy": found.accuracy,
            "camera_calibration_error": found.calibration.error,
            "false_digits": shown.fpr,
            "auroc": shown.auroc,
            "show": model.thresholds.show,
            "present": model.thresholds.present,
            "shown": shown.kept.share,
            "shown_rightly": shown.right.share,
            "false_digits_shown": shown.false.share,
        }


def measured(name: str, examine: Examiner) -> dict[str, Any]:
    """Run one recipe with each seed: medians, means, the worst accuracy, and all runs."""
    runs: list[dict[str, Any]] = []
    for seed in range(SEEDS[name]):
        runs.append(run_recipe(name, f"seed={seed}", until="verify", examine=examine))
        row = runs[-1]
        print(
            f"{name}, seed {seed}: clean {row['accuracy']:.2%}, camera "
            f"{row['camera_accuracy']:.2%}, false digits {row['false_digits']:.2%}; training "
            f"{row['training_seconds']:.1f} s",
            flush=True,
        )
    numbers = [key for key, value in runs[0].items() if isinstance(value, (int, float))]
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {sys.version.split()[0]}",
        "seeds": len(runs),
        "mean": {key: statistics.mean(run[key] for run in runs) for key in numbers},
        "median": {key: statistics.median(run[key] for run in runs) for key in numbers},
        "worst_accuracy": min(run["accuracy"] for run in runs),
        "runs": runs,
    }


def broken_claims(name: str, found: dict[str, Any]) -> list[str]:
    """The claims of a recipe that do not hold."""
    mean = found["mean"]
    wrong = []
    if mean["accuracy"] < FLOORS[name]:
        wrong.append(f"{name}: clean {mean['accuracy']:.2%}, claimed {FLOORS[name]:.2%}")
    if name == "digits":
        if mean["camera_accuracy"] < CAMERA:
            wrong.append(f"{name}: camera {mean['camera_accuracy']:.2%}, claimed {CAMERA:.1%}")
        if mean["false_digits"] > FALSE:
            wrong.append(f"{name}: false digits {mean['false_digits']:.2%}, claimed {FALSE:.1%}")
        wrong += [
            f"{name}: {key} {mean[key]:.2%}, claimed {most:.0%}"
            for key, most in CALIBRATION.items()
            if mean[key] > most
        ]
    return wrong


def main(names: list[str]) -> None:
    """Measure, write the results, and report the claims that do not hold."""
    if unknown := [name for name in names if name not in SEEDS]:
        raise SystemExit(f"no such recipe: {', '.join(unknown)}; one of: {', '.join(SEEDS)}")
    table = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    examine = Examiner()
    wrong = []
    for name in names:
        table[name] = measured(name, examine)
        TARGET.write_text(json.dumps(table, indent=2) + "\n")
        wrong += broken_claims(name, table[name])
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main(sys.argv[1:] or list(SEEDS))
