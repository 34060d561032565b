"""What `pocketlens data check` finds, and how long it takes.

Writes data_check.json beside this file: the share of planted near-duplicates that are found, the
share of different pictures that are reported; the same of planted wrong labels; seconds and
processor time for photos of 1600 x 1200. Its time grows with the number of photos, so fewer than
10,000 tell it, too: `processor_seconds_of_10000` divided by the cores is the least time.

Run: python benchmarks/data_check.py [--photos 10000] [--folder FOLDER_OF_PHOTOS]
     python benchmarks/data_check.py --only near_duplicates   # or: time; writes nothing
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from photos_quality import RECIPE, task_sets
from pocketlens import Dataset
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


def text(random: Random) -> Image.Image:
    """A page of words."""
    image = Image.new("RGB", (300, 400), tuple(int(v) for v in random.integers(225, 256, 3)))
    draw, size = ImageDraw.Draw(image), int(random.integers(7, 15))
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
    y = int(random.integers(10, 40))
    while y < 380:
        words = ["".join(random.choice([*"aeinorstlmp"], random.integers(2, 9))) for _ in range(12)]
        line = " ".join(words)[: int(random.integers(10, 500 // size))]
        draw.text((20, y), line, font=font, fill=(30, 30, 30))
        y += int(size * (1.3 if random.random() < 0.8 else 2.4))
    return image


def sketch(random: Random) -> Image.Image:
    """A few thin lines on paper."""
    image = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(3, 9))):
        points = np.cumsum(random.normal(0, 22, (int(random.integers(3, 12)), 2)), 0)
        line = [(float(x), float(y)) for x, y in points + random.uniform(50, 200, 2)]
        draw.line(line, fill=(20, 20, 20), width=int(random.integers(2, 5)))
    return image


def product(random: Random) -> Image.Image:
    """One thing with a texture before a white background."""
    mask = shapes(random, Image.new("L", (256, 256)).convert("RGB"), 2).convert("L")
    center = Image.new("L", (256, 256))
    ImageDraw.Draw(center).ellipse((60, 60, *random.integers(120, 220, 2).tolist()), fill=255)
    mask = ImageChops.lighter(mask, center).point(lambda value: 255 * (value > 60))
    return Image.composite(waves(random, 1.4), Image.new("RGB", (256, 256), "white"), mask)


def night(random: Random) -> Image.Image:
    """A dark scene with some lights."""
    image = ImageEnhance.Brightness(waves(random, 1.3)).enhance(0.25)
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(4, 20))):
        x, y, r = (float(v) for v in random.uniform((0, 0, 2), (256, 256, 10)))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 240, int(random.integers(100, 255))))
    return image.filter(ImageFilter.GaussianBlur(1.5))


def screen(random: Random) -> Image.Image:
    """Panels and lines of text, as on a screen."""
    image = plain(random).resize((360, 240))
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(4, 10))):
        x, y = (int(v) for v in random.integers(0, (300, 200)))
        box = (x, y, x + int(random.integers(40, 200)), y + int(random.integers(12, 120)))
        draw.rectangle(box, fill=tuple(int(v) for v in random.integers(150, 256, 3)))
        for line in range(y + 4, box[3] - 6, 9):
            draw.line(
                (x + 5, line, random.integers(x + 6, box[2]), line), fill=(60, 60, 70), width=3
            )
    return image


def face(random: Random) -> Image.Image:
    """Simple drawings of the same thing: thin lines."""
    image = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(image)
    x, y, size, mouth = (int(v) for v in random.integers((110, 110, 70, 20), (146, 146, 105, 50)))
    draw.ellipse((x - size, y - size, x + size, y + size), outline=(20, 20, 20), width=4)
    for side in (-1, 1):
        eye, across, up = (int(v) for v in random.integers((5, 20, 10), (12, 40, 40)))
        at = (x + side * across, y - up)
        draw.ellipse((at[0] - eye, at[1] - eye, at[0] + eye, at[1] + eye), fill=(20, 20, 20))
    start, end = (int(v) for v in random.integers((0, 140), (40, 180)))
    draw.arc((x - mouth, y, x + mouth, y + mouth), start, end, fill=(20, 20, 20), width=4)
    return image


def mug(random: Random) -> Image.Image:
    """Simple drawings of the same thing: one plain color."""
    image = Image.new("RGB", (256, 256), (250, 250, 250))
    draw, color = ImageDraw.Draw(image), tuple(int(v) for v in random.integers(0, 256, 3))
    x, y, a, b = (int(v) for v in random.integers((50, 40, 60, 80), (90, 90, 110, 140)))
    handle, width = (int(v) for v in random.integers((20, 8), (45, 16)))
    draw.ellipse((x + a - 22, y + b / 4, x + a + handle, y + b * 0.75), outline=color, width=width)
    draw.rounded_rectangle((x, y, x + a, y + b), 12, fill=color)
    return image


def bars(random: Random) -> Image.Image:
    """Charts that differ in the heights of their bars."""
    image = Image.new("RGB", (320, 240), "white")
    draw, count = ImageDraw.Draw(image), int(random.integers(4, 9))
    color = tuple(int(v) for v in random.integers(30, 200, 3))
    draw.line((30, 10, 30, 220, 310, 220), fill="black", width=2)
    for at in range(count):
        left, width, height = 35 + at * 270 / count, 190 / count, random.uniform(10, 200)
        draw.rectangle((left, 220 - height, left + width, 219), fill=color)
    return image


def plain(random: Random) -> Image.Image:
    return Image.new("RGB", (256, 256), tuple(int(v) for v in random.integers(0, 256, 3)))


KINDS: dict[str, Callable[[Random], Image.Image]] = {
    "outdoor": lambda r: waves(r, r.uniform(0.9, 1.6)),
    "indoor": lambda r: shapes(r, waves(r, 1.6), int(r.integers(4, 12))),
    "drawing": lambda r: shapes(r, plain(r), int(r.integers(3, 15))),
    "page": page,
    "text": text,
    "sketch": sketch,
    "product": product,
    "night": night,
    "screen": screen,
    "face": face,
    "mug": mug,
    "bars": bars,
}


def recompressed(image: Image.Image, random: Random) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(random.integers(15, 50)))
    return Image.open(stream).convert("RGB")


def scaled(image: Image.Image, random: Random) -> Image.Image:
    share = random.uniform(0.3, 0.8)
    return image.resize((int(image.width * share), int(image.height * share)))


def window(image: Image.Image, left: float, top: float, across: float, down: float) -> Image.Image:
    box = np.array([left, top, left + across, top + down]) * [*image.size, *image.size]
    return image.crop(tuple(int(v) for v in box))


def cropped(image: Image.Image, random: Random) -> Image.Image:
    left, top = random.uniform(0, 0.1, 2)
    return window(image, left, top, 0.9, 0.9)


def corner(image: Image.Image, random: Random) -> Image.Image:
    left, top = random.integers(0, 2, 2) / 10
    return window(image, left, top, 0.9, 0.9)


def one_side(image: Image.Image, random: Random) -> Image.Image:
    start, along = random.integers(2) / 10, random.integers(2)
    return window(image, *((start, 0, 0.9, 1) if along else (0, start, 1, 0.9)))


def exposed(image: Image.Image, random: Random) -> Image.Image:
    """Brighter in the dark parts more than in the bright ones."""
    power = random.uniform(0.6, 0.8)
    return image.point([round(255 * (value / 255) ** power) for value in range(256)] * 3)


CHANGES: dict[str, Callable[[Image.Image, Random], Image.Image]] = {
    "recompressed": recompressed,
    "scaled": scaled,
    "cropped": cropped,
    "cropped in a corner": corner,
    "cropped on one side": one_side,
    "mirrored": lambda image, _: ImageOps.mirror(image),
    "brighter": lambda image, r: ImageEnhance.Brightness(image).enhance(r.uniform(1.2, 1.5)),
    "exposed longer": exposed,
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


def near_duplicates(count: int, folder: Path | None, random: Random) -> dict[str, object]:
    """The results of each kind of pictures, and their mean."""
    sets = {name: [make(random) for _ in range(count)] for name, make in KINDS.items()}
    cats = Path(os.environ.get("POCKETLENS_DATA", "")) / "cats"
    for photos in (folder, cats):
        if photos and photos.is_dir():
            paths = sorted(photos.rglob("*.jpg"))
            sets[photos.name] = [Image.open(path).convert("RGB") for path in paths]
    quickdraw = Path(os.environ.get("POCKETLENS_DATA", "")) / "quickdraw" / "bitmaps.npz"
    if quickdraw.is_file():
        with np.load(quickdraw) as bitmaps:
            for name in bitmaps.files:
                lines = [Image.fromarray(255 - each) for each in bitmaps[name][:count]]
                sets[f"drawn {name}"] = [
                    each.convert("RGB").resize((112, 112), Image.Resampling.BICUBIC)
                    for each in lines
                ]
    if "cats" in sets:  # more real textures: parts that do not overlap are different pictures
        places = [(x, y) for x in (0, 0.5) for y in (0, 0.5)]
        sets["parts of cats"] = [
            window(image, *place, 0.5, 0.5) for image in sets["cats"] for place in places
        ]
    result = {name: found_and_false(images, random) for name, images in sets.items()}
    keys = ("false_alarms", *CHANGES)
    mean = {key: float(np.mean([each[key] for each in result.values()])) for key in keys}
    return {**result, "mean": mean}


def seconds(count: int, random: Random) -> dict[str, float]:
    """The time of the command for photos of 1600 x 1200, and its memory.

    Of 200 scenes there are two photos each, with other crops, noise and light; the rest is copied.
    """
    noise = random.normal(0, 3, (1300, 1700, 1))
    with tempfile.TemporaryDirectory() as folder:
        contents = []
        for number in range(min(count, 400)):
            if number % 2 == 0:
                scene = shapes(random, waves(random, 1.2), 6).resize((1760, 1320))
            x, y = (int(v) for v in random.integers(0, (160, 120)))
            photo = np.asarray(scene.crop((x, y, x + 1600, y + 1200))) * random.uniform(0.8, 1.1)
            x, y = (int(v) for v in random.integers(0, 100, 2))
            photo = (photo + noise[y : y + 1200, x : x + 1600]).clip(0, 255).astype(np.uint8)
            stream = io.BytesIO()
            Image.fromarray(photo).save(stream, "JPEG", quality=85)
            contents.append(stream.getvalue())
        for number in range(count):
            place = Path(folder) / f"class {number % 40}"
            place.mkdir(exist_ok=True)
            # Different files, so that they are not found as copies before.
            content = contents[number % len(contents)] + number.to_bytes(4, "big")
            (place / f"{number}.jpg").write_bytes(content)
        code = (
            "import sys, pocketlens; pocketlens.check_data(sys.argv[1])\n"
            "print(next(line for line in open('/proc/self/status') if line[:5] == 'VmHWM'))"
        )
        start = time.perf_counter()
        child = subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE)
        assert child.stdout
        peak = child.stdout.read().split()
        _, status, usage = os.wait4(child.pid, 0)
        used = usage.ru_utime + usage.ru_stime
        if status:
            raise SystemExit("the check failed")
        return {
            "photos": count,
            "seconds": time.perf_counter() - start,
            "processor_milliseconds_per_photo": 1000 * used / count,
            "processor_seconds_of_10000": 10_000 * used / count,
            "peak_megabytes": int(peak[1]) / 1024,
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
    parser.add_argument("--only", choices=["near_duplicates", "wrong_labels", "time"])
    options = parser.parse_args()
    random = np.random.default_rng(0)
    report: dict[str, object] = {}
    if options.only in (None, "near_duplicates"):
        report["near_duplicates"] = near_duplicates(options.each, options.folder, random)
    if options.only in (None, "wrong_labels"):
        tasks = task_sets(options.letters)
        report["wrong_labels"] = {name: wrong_labels(data, 3) for name, data in tasks.items()}
    if options.only in (None, "time"):
        report["time"] = seconds(options.photos, random)
    report["cores"] = os.cpu_count()
    print(json.dumps(report, indent=2))
    if options.only is None:
        Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
