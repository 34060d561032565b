"""How well recipe `photos` learns few photos, and how well it answers `nothing`.

python benchmarks/photos_quality.py            # writes photos_quality.json; about fifteen minutes
python benchmarks/photos_quality.py --quick    # fewer repetitions, writes nothing
python benchmarks/photos_quality.py --recipe photos-fine [letters cats …]    # beside photos

Accuracy: cross-validation of the whole training (five folds, several seeds), on the photos of
`cats` in the data folder, if they are there, and on drawn letters and symbols. Rejection: at the
model's own limits, of pictures that have nothing to do with the classes ("far") and of one class
that was left out ("near"), beside the share of known pictures that are kept; and at the limit that
keeps 97 % of the known ones. With `--recipe`, that recipe beside `photos`, on the same three folds,
in each of which another class is left out; writes photos_quality_fine.json, if all sets are asked.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pocketlens import Dataset, Recipe, load_data, load_folder, load_recipe
from pocketlens.data.fit import fit_images
from pocketlens.evaluation.robustness.empty import empty_scenes
from pocketlens.prediction import NOTHING
from pocketlens.recognizer import Recognizer
from pocketlens.training.frozen import train_on_features
from pocketlens.training.logistic import folds

HERE = Path(__file__).parent
RECIPE = load_recipe("photos")
SPEC = RECIPE.input
KEPT = 0.97
LETTERS = "AEFGHKMNRS"
SYMBOLS = "♠♣♥♦♪♫☀☂☎★"


def drawn(names: str, count: int, seed: int) -> Dataset:
    """Glyphs in many sizes, places, colors and angles, on light paper, with noise."""
    random = np.random.default_rng(seed)
    font = font_manager.findfont("DejaVu Sans")
    images, labels = [], []
    for label, name in enumerate(names):
        for _ in range(count):
            paper = tuple(int(v) for v in random.integers(170, 256, 3))
            picture = Image.new("RGB", (SPEC.width, SPEC.height), paper)
            ImageDraw.Draw(picture).text(
                tuple(random.integers(10, 70, 2).tolist()),
                name,
                font=ImageFont.truetype(font, int(random.integers(60, 170))),
                fill=tuple(int(v) for v in random.integers(0, 110, 3)),
            )
            picture = picture.rotate(float(random.normal(0, 12)), fillcolor=paper)
            noise = random.normal(0, random.uniform(0, 15), SPEC.shape)
            images.append((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))
            labels.append(label)
    return Dataset(np.stack(images), np.array(labels, np.int64), tuple(names), "drawn")


def task_sets(count: int) -> dict[str, Dataset]:
    found = {"letters": drawn(LETTERS, count, 0), "symbols": drawn(SYMBOLS, count, 1)}
    cats = Path(os.environ.get("POCKETLENS_DATA", "")) / "cats"
    if cats.is_dir():
        found["cats"] = load_folder(cats, split="all", input_spec=SPEC)
    return found


def far_sets(tasks: dict[str, Dataset], count: int) -> dict[str, NDArray[np.uint8]]:
    """Pictures that have nothing to do with the classes of a task, by name."""
    digits = load_data("strokes", split="test").images[:count]
    found = {
        "empty scenes": fit_images(empty_scenes(count, seed=5).images, SPEC),
        "digits on black": fit_images(digits, SPEC),
        "digits on white": fit_images(255 - digits, SPEC),
    }
    quickdraw = Path(os.environ.get("POCKETLENS_DATA", "")) / "quickdraw" / "bitmaps.npz"
    if quickdraw.is_file():
        with np.load(quickdraw) as bitmaps:
            for name in bitmaps.files:
                lines = 255 - bitmaps[name][:count, ..., None]
                found[f"drawings: {name}"] = fit_images(lines, SPEC)
    if "cats" in tasks:
        found["cats"] = tasks["cats"].images[:count]
    return found


def splits(data: Dataset, count: int, seed: int) -> Iterator[tuple[Dataset, Dataset]]:
    labels = torch.from_numpy(data.labels)
    for train, held in folds(labels, np.arange(len(data)), count, seed=seed):
        yield data.subset(train.numpy()), data.subset(held.numpy())


def without(data: Dataset, label: int) -> Dataset:
    """All classes but one."""
    rest = np.flatnonzero(data.labels != label)
    labels = data.labels[rest] - (data.labels[rest] > label)
    classes = tuple(name for at, name in enumerate(data.classes) if at != label)
    return Dataset(data.images[rest], labels, classes, data.name)


def trained(data: Dataset, seed: int, recipe: Recipe = RECIPE) -> Recognizer:
    return train_on_features(recipe.replace(seed=seed), data).recognizer


def unknown(recognizer: Recognizer, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return recognizer.probabilities(images)[:, recognizer.classes.index(NOTHING)]


def accuracy(data: Dataset, seeds: int) -> dict[str, float]:
    right, label_only = [], []
    for seed in range(seeds):
        for train, held in splits(data, 5, seed):
            found = trained(train, seed).probabilities(held.images)
            right += (found.argmax(1) == held.labels).tolist()
            label_only += (found[:, :-1].argmax(1) == held.labels).tolist()
    return {
        "accuracy": float(np.mean(right)),
        "accuracy_without_nothing": float(np.mean(label_only)),
        "images": len(data),
        "seeds": seeds,
    }


def rejection(name: str, data: Dataset, far: dict[str, NDArray[np.uint8]]) -> dict[str, object]:
    train, held = next(splits(data, 3, 0))
    recognizer = trained(train, 0)
    known = unknown(recognizer, held.images)
    limit = np.quantile(known, KEPT)
    result: dict[str, object] = {"kept": float((known < 0.5).mean())}
    refused = {other: unknown(recognizer, images) for other, images in far.items() if other != name}
    result["far"] = {other: float((found >= 0.5).mean()) for other, found in refused.items()}
    result["far_at_97"] = {other: float((found > limit).mean()) for other, found in refused.items()}
    near, near_at_97 = [], []
    for left_out in range(len(data.classes)):
        train, held = next(splits(without(data, left_out), 3, left_out))
        recognizer = trained(train, 0)
        found = unknown(recognizer, data.images[data.labels == left_out])
        limit = np.quantile(unknown(recognizer, held.images), KEPT)
        near.append(float((found >= 0.5).mean()))
        near_at_97.append(float((found > limit).mean()))
    return {**result, "near": float(np.mean(near)), "near_at_97": float(np.mean(near_at_97))}


def compared(
    data: Dataset, far: dict[str, NDArray[np.uint8]], recipe: Recipe
) -> dict[str, dict[str, float]]:
    """A recipe beside `photos`: accuracy, rejection and seconds, as means over three folds."""
    found: dict[str, list[dict[str, float]]] = {"photos": [], recipe.name: []}
    for fold in range(3):
        left_out = fold % len(data.classes)
        train, held = list(splits(without(data, left_out), 3, 0))[fold]
        for each in (RECIPE, recipe):
            started = time.perf_counter()
            training = train_on_features(each, train)
            row = {"seconds": time.perf_counter() - started, "images": float(len(train))}
            if gained := training.fine_tuning:
                row |= {"fine_tuned": float(gained.pays), "epochs": float(gained.epochs)}
            answers = training.recognizer.probabilities(held.images)
            row["accuracy"] = float((answers[:, :-1].argmax(1) == held.labels).mean())
            row["right_and_kept"] = float((answers.argmax(1) == held.labels).mean())
            row["loss"] = float(
                -np.log(answers[np.arange(len(held)), held.labels].clip(1e-9)).mean()
            )
            row["kept"] = float((answers[:, -1] < 0.5).mean())
            limit = float(np.quantile(answers[:, -1], KEPT))
            near = unknown(training.recognizer, data.images[data.labels == left_out])
            for name, other in {"near": near, **far}.items():
                odds = other if name == "near" else unknown(training.recognizer, other)
                row[name] = float((odds >= 0.5).mean())
                row[f"{name} at 97 %"] = float((odds > limit).mean())
            found[each.name].append(row)
            print(data.name, fold, each.name, row, flush=True)
    return {
        name: {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        for name, rows in found.items()
    }


def compare(recipe: Recipe, names: list[str]) -> None:
    tasks = task_sets(12)
    semeion = Path(os.environ.get("POCKETLENS_DATA", "")) / "semeion" / "semeion.npz"
    if semeion.is_file():
        with np.load(semeion) as digits:
            some = np.concatenate([np.flatnonzero(digits["y"] == k)[:12] for k in range(10)])
            paper = 255 - digits["x"][some][..., None]
            labels = digits["y"][some].astype(np.int64)
        names_of = tuple("0123456789")
        tasks["semeion"] = Dataset(fit_images(paper, SPEC), labels, names_of, "semeion")
    far = far_sets({}, 20)
    result = {name: compared(tasks[name], far, recipe) for name in names or tasks}
    text = json.dumps(result, indent=2)
    print(text)
    if not names:
        (HERE / "photos_quality_fine.json").write_text(text + "\n")


def ten_a_class(data: Dataset) -> dict[str, float]:
    """The accuracy with ten pictures of each class, and with all, on the same held-out pictures."""
    few, every = [], []
    for train, held in splits(data, 4, 0):
        ten = np.concatenate(
            [np.flatnonzero(train.labels == k)[:10] for k in range(len(data.classes))]
        )
        for found, some in ((few, train.subset(ten)), (every, train)):
            answers = trained(some, 0).probabilities(held.images)[:, :-1].argmax(1)
            found += (answers == held.labels).tolist()
    return {"ten": float(np.mean(few)), "all": float(np.mean(every))}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--recipe", help="compare this recipe with photos")
    parser.add_argument("sets", nargs="*", help="with --recipe: letters, symbols, cats, semeion")
    options = parser.parse_args()
    if options.recipe:
        compare(load_recipe(options.recipe), options.sets)
        return
    quick = options.quick
    tasks = task_sets(12 if quick else 40)
    far = far_sets(tasks, 20 if quick else 60)
    result: dict[str, object] = {
        "accuracy": {name: accuracy(data, 1 if quick else 3) for name, data in tasks.items()},
        "rejection": {name: rejection(name, data, far) for name, data in tasks.items()},
    }
    result["ten_a_class"] = {name: ten_a_class(tasks[name]) for name in ("letters", "symbols")}
    text = json.dumps(result, indent=2)
    print(text)
    if not quick:
        (HERE / "photos_quality.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
