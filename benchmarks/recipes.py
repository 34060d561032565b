"""Every recipe: trained anew, converted, and its Core ML file examined; the table of the README.

    python benchmarks/recipes.py              # all of them: more than an hour on two cores
    python benchmarks/recipes.py quick tiny   # these; what was measured of the others stays

Each run is a process of its own, from start to a checked Core ML file; one for each of `SEEDS`.
Clean: the MNIST test set. Camera: its 10,000 digits in simulated photographs. Nothing: 2,000
simulated scenes without a digit, of which so many are taken for one when the 97 % of the
photographs are kept that most probably show something; and what the model's own thresholds show.
Claims: `FLOORS`, and for `digits` those below it.
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
from pocketlens.recipe import list_recipes

SEEDS = {"quick": 10, "classic": 3, "digits": 3, "tiny": 3, "best": 1}

FLOORS = {"quick": 0.990, "classic": 0.986, "digits": 0.993, "tiny": 0.994, "best": 0.997}
"""Mean accuracy on the MNIST test set that each recipe claims to reach at least."""

CAMERA, KEPT, FALSE = 0.98, 0.97, 0.02
"""What `digits` claims: accuracy on photographs; and when so many of them are kept, how many scenes
without a digit are."""

CALIBRATION = {"calibration_error": 0.01, "camera_calibration_error": 0.02}
"""What `digits` claims of its expected calibration error, clean and on photographs."""

TARGET = HERE / "recipes.json"
PHOTOS_SEED = 2026


class Examiner:
    """The photographs and empty scenes, drawn once; asks each Core ML file about them."""

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
    """One recipe, once a seed: medians, the mean and the worst accuracy, every run."""
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
    """What a recipe claims and does not hold."""
    mean = found["mean"]
    wrong = []
    if mean["accuracy"] < FLOORS[name]:
        wrong.append(f"{name}: clean {mean['accuracy']:.2%}, claimed {FLOORS[name]:.2%}")
    if name == "digits":
        if mean["camera_accuracy"] < CAMERA:
            wrong.append(f"{name}: camera {mean['camera_accuracy']:.2%}, claimed {CAMERA:.0%}")
        if mean["false_digits"] > FALSE:
            wrong.append(f"{name}: false digits {mean['false_digits']:.2%}, claimed {FALSE:.0%}")
        wrong += [
            f"{name}: {key} {mean[key]:.2%}, claimed {most:.0%}"
            for key, most in CALIBRATION.items()
            if mean[key] > most
        ]
    return wrong


def main(names: list[str]) -> None:
    """Measure, write, and tell which claims do not hold."""
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
    main(sys.argv[1:] or list(list_recipes()))
