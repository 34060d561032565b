"""What `pocketlens data check` finds, and how long it takes.

Writes data_check.json beside this file: the share of planted near-duplicates that are found, the
share of different pictures that are reported; the same of planted wrong labels; seconds and
processor time for photos of 1600 x 1200. Its time grows with the number of photos, so fewer than
10,000 tell it, too: `processor_seconds_of_10000` divided by the cores is the least time.

Run: python benchmarks/data_check.py [--photos 10000] [--folder FOLDER_OF_PHOTOS]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from photos_quality import RECIPE, task_sets
from pocketlens import Dataset, check_data
from pocketlens.data.fingerprints import Fingerprints
from pocketlens.data.near_duplicates import find_near_duplicates
from pocketlens.training.frozen import train_on_features

Random = np.random.Generator


def waves(random: Random, slope: float, side: int = 256) -> Image.Image:
    power = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side))) ** slope
    power[0, 0] = 1
    planes = []
    for _ in range(3):
        plane = np.fft.ifft2(np.fft.fft2(random.normal(size=(side, side))) / power).real
        planes.append(128 + 55 * plane / plane.std())
    return Image.fromarray(np.stack(planes, -1).clip(0, 255).astype(np.uint8))


def shapes(random: Random, background: Image.Image, count: int) -> Image.Image:
    image = background.copy()
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        x, y = (int(v) for v in random.integers(-40, 260, 2))
        a, b = (int(v) for v in random.integers(20, 160, 2))
        color = tuple(int(v) for v in random.integers(0, 256, 3))
        shape = (draw.ellipse, draw.rectangle)[random.integers(2)]
        shape((x, y, x + a, y + b), fill=color)
    return image


def page(random: Random) -> Image.Image:
    image = Image.new("RGB", (300, 400), "white")
    draw = ImageDraw.Draw(image)
    for y in range(20, 380, int(random.integers(14, 22))):
        x = 20
        while x < 270:
            width = int(random.integers(8, 60))
            if random.random() < 0.85:
                draw.rectangle((x, y, x + width, y + 8), fill=(40, 40, 40))
            x += width + 8
    return image


def plain(random: Random) -> Image.Image:
    return Image.new("RGB", (256, 256), tuple(int(v) for v in random.integers(0, 256, 3)))


KINDS: dict[str, Callable[[Random], Image.Image]] = {
    "outdoor": lambda r: waves(r, r.uniform(0.9, 1.6)),
    "indoor": lambda r: shapes(r, waves(r, 1.6), int(r.integers(4, 12))),
    "drawing": lambda r: shapes(r, plain(r), int(r.integers(3, 15))),
    "page": page,
}


def recompressed(image: Image.Image, random: Random) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(random.integers(15, 50)))
    return Image.open(stream).convert("RGB")


def scaled(image: Image.Image, random: Random) -> Image.Image:
    share = random.uniform(0.3, 0.8)
    return image.resize((int(image.width * share), int(image.height * share)))


def cropped(image: Image.Image, random: Random) -> Image.Image:
    x, y = random.uniform(0, 0.1, 2) * image.size
    return image.crop((int(x), int(y), int(x + 0.9 * image.width), int(y + 0.9 * image.height)))


CHANGES: dict[str, Callable[[Image.Image, Random], Image.Image]] = {
    "recompressed": recompressed,
    "scaled": scaled,
    "cropped": cropped,
    "mirrored": lambda image, _: ImageOps.mirror(image),
    "brighter": lambda image, r: ImageEnhance.Brightness(image).enhance(r.uniform(1.2, 1.5)),
}


def found_and_false(images: list[Image.Image], random: Random) -> dict[str, float]:
    """The share of planted copies that are found, and of different pictures that are reported."""
    pairs = find_near_duplicates(Fingerprints.of(images))
    result = {"false_alarms": len({*pairs.first.tolist(), *pairs.second.tolist()}) / len(images)}
    for name, change in CHANGES.items():
        copies = [change(image, random) for image in images]
        pairs = find_near_duplicates(Fingerprints.of([*images, *copies]))
        hits = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
        result[name] = sum((n, n + len(images)) in hits for n in range(len(images))) / len(images)
    return result


def seconds(count: int, random: Random) -> dict[str, float]:
    """The time for photos of 1600 x 1200, of which 40 are different: the rest is copied."""
    with tempfile.TemporaryDirectory() as folder:
        contents = []
        for _ in range(40):
            photo = shapes(random, waves(random, 1.2), 6).resize((1600, 1200))
            noisy = np.asarray(photo) + random.normal(0, 4, (1200, 1600, 3))
            stream = io.BytesIO()
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=88)
            contents.append(stream.getvalue())
        for number in range(count):
            place = Path(folder) / f"class {number % 40}"
            place.mkdir(exist_ok=True)
            # Different files, so that they are not found as copies before.
            (place / f"{number}.jpg").write_bytes(contents[number % 40] + number.to_bytes(4, "big"))
        start, used = time.perf_counter(), time.process_time()
        check_data(folder)
        used = time.process_time() - used
        return {
            "photos": count,
            "seconds": time.perf_counter() - start,
            "processor_milliseconds_per_photo": 1000 * used / count,
            "processor_seconds_of_10000": 10_000 * used / count,
        }


def wrong_labels(data: Dataset, seeds: int) -> dict[str, float]:
    """Of 5 % planted wrong labels, the share that is found; of right labels, that is reported."""
    found, false = [], []
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        moved = random.permutation(len(data))[: max(1, round(0.05 * len(data)))]
        labels = data.labels.copy()
        labels[moved] += random.integers(1, len(data.classes), len(moved))
        labels %= len(data.classes)
        planted = replace(data, labels=labels)
        checked = train_on_features(RECIPE.replace(seed=seed), planted).labels
        assert checked is not None
        suspects = {each.index for each in checked.suspects}
        wrong = set(moved.tolist())
        found.append(len(suspects & wrong) / len(wrong))
        false.append(len(suspects - wrong) / (len(data) - len(wrong)))
    return {
        "found": float(np.mean(found)),
        "false_alarms": float(np.mean(false)),
        "images": len(data),
        "seeds": seeds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--each", type=int, default=150)
    parser.add_argument("--letters", type=int, default=40, help="drawn pictures of each class")
    parser.add_argument("--folder", type=Path, help="photos, all different")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    sets = {name: [make(random) for _ in range(options.each)] for name, make in KINDS.items()}
    if options.folder:
        paths = sorted(options.folder.rglob("*.jpg"))
        sets[options.folder.name] = [Image.open(path).convert("RGB") for path in paths]
    result = {name: found_and_false(images, random) for name, images in sets.items()}
    result["mean"] = {
        key: float(np.mean([each[key] for each in result.values()]))
        for key in ("false_alarms", *CHANGES)
    }
    labels = {name: wrong_labels(data, 3) for name, data in task_sets(options.letters).items()}
    report = {
        "near_duplicates": result,
        "wrong_labels": labels,
        "time": seconds(options.photos, random),
        "cores": os.cpu_count(),
    }
    print(json.dumps(report, indent=2))
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
