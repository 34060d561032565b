"""Whole numbers in photos: how many are read right, by paper and by length.

    python benchmarks/whole_numbers.py Digits.mlpackage               # about ten minutes
    python benchmarks/whole_numbers.py Digits.mlpackage --count 4 --pictures FOLDER

The model is the Core ML file of the recipe `digits` (`pocketlens run digits`). The numbers have one
to eight digits. Each is composed here, with a seed of its own: digits of the test set of MNIST or
of `strokes:world`, with a writer's slant, spacing, sizes, tilt and an uneven baseline; then the
paper, the light, the blur and noise of a camera, and JPEG. Nothing of it is shared with the
simulation that the recipe trains on. A number is right if all of its digits are; it is also sure if
each of them would be shown as a label, without a question mark.

Claim: on simple paper, at least 95 % of all numbers are right.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import pocketlens
from measure import write
from pocketlens.data import Dataset
from pocketlens.data.strokes import draw_strokes
from pocketlens.prediction import Predictor

Array = NDArray[np.float64]
Random = np.random.Generator
Paper = Callable[[Array, float, Random], Array]

LENGTHS = range(1, 9)
HANDS = ("mnist", "world")
LEAST = 0.95


def one_writer(hand: str, random: Random) -> Dataset:
    """Digits of one pen: all strokes of a number are about as thick."""
    if hand == "world":
        pen, seed = random.uniform(0.8, 2), int(random.integers(1 << 30))
        return draw_strokes(
            "test", population="world", seed=seed, count=40, side=84, radius=(pen, pen)
        )
    test, thickness = mnist()
    width = np.quantile(thickness, random.uniform(0.1, 0.9))
    return test.subset(np.flatnonzero(np.abs(thickness / width - 1) < 0.15))


@cache
def mnist() -> tuple[Dataset, Array]:
    """The test set, and how thick the strokes of each image are, in pixels."""
    test = pocketlens.load_data("mnist", split="test")
    ink = test.images[..., 0] > 100
    outline = sum(np.abs(np.diff(ink.view(np.int8), axis=axis)).sum((1, 2)) for axis in (1, 2))
    return test, 2 * ink.sum((1, 2)) / outline


def chosen(digits: str, hand: Dataset, random: Random) -> list[NDArray[np.uint8]]:
    """One image of each digit."""
    return [
        hand.images[random.choice(np.flatnonzero(hand.labels == int(each))), ..., 0]
        for each in digits
    ]


def written(images: list[NDArray[np.uint8]], random: Random) -> Array:
    """Ink `(H, W)` in [0, 1] of a number as one person writes it in a line."""
    height = random.uniform(45, 130)
    slant = random.normal(0, 0.12)
    sizes = height * random.uniform(0.85, 1.15, len(images))
    tilt = np.tan(np.radians(random.normal(0, 2.5)))
    line = np.zeros((int(4 * height), int(2.2 * height * (len(images) + 1))))
    x, middle = 0.5 * height, 2 * height
    for image, size in zip(images, sizes, strict=True):
        ink = digit_ink(image, size, slant)
        top = int(middle + tilt * x - ink.shape[0] / 2 + random.normal(0, 0.05) * height)
        part = line[top : top + ink.shape[0], int(x) : int(x) + ink.shape[1]]
        np.maximum(part, ink[: part.shape[0], : part.shape[1]], out=part)
        x += ink.shape[1] + height * max(-0.06, random.normal(0.2, 0.11))
    rows, columns = np.nonzero(line > 0.3)
    return line[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def digit_ink(image: NDArray[np.uint8], size: float, slant: float) -> Array:
    """One digit `(H, W)` in [0, 1], cut to its ink, about `size` pixels high."""
    rows, columns = np.nonzero(image > 60)
    # A 1 that lies, and a wide 0, are not enlarged to the height of the others.
    scale = size / max(np.ptp(rows) + 1, 0.75 * (np.ptp(columns) + 1))
    side = round(image.shape[0] * scale)
    large = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    large = large.transform(
        large.size, Image.Transform.AFFINE, (1, slant, -slant * side / 2, 0, 1, 0), 2
    )
    values = np.asarray(large, float) / 255
    sharp = np.clip((values - 0.45) * np.clip(scale, 1.2, 4) + 0.5, 0, 1)  # as a pen's edge
    rows, columns = np.nonzero(sharp > 0.3)
    return sharp[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def placed(ink: Array, random: Random) -> Array:
    """The ink in a photo with room around it."""
    height, width = ink.shape
    high = int(height * random.uniform(1.6, 4)) + 40
    wide = int(width + height * random.uniform(0.8, 4)) + 40
    frame = np.zeros((high, wide))
    top, left = random.integers(20, high - height - 19), random.integers(20, wide - width - 19)
    frame[top : top + height, left : left + width] = ink
    return frame


def gradient(shape: tuple[int, ...], strength: float, random: Random) -> Array:
    """Uneven light: a plane around 1."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    angle = random.uniform(0, 2 * np.pi)
    return 1 + strength * (np.cos(angle) * x + np.sin(angle) * y)


def grain(shape: tuple[int, ...], size: int, random: Random) -> Array:
    """Smooth noise of about one standard deviation; `size` pixels wide."""
    small = random.normal(0, 1, (shape[0] // size + 2, shape[1] // size + 2))
    large = Image.fromarray(small.astype(np.float32)).resize(
        (shape[1], shape[0]), Image.Resampling.BICUBIC
    )
    return np.asarray(large, float)


def ink_on(paper: Array, ink: Array, contrast: float) -> Array:
    return paper * (1 - contrast * ink)


def simple(ink: Array, _height: float, random: Random) -> Array:
    paper = np.full(ink.shape, random.uniform(0.75, 1))
    light = gradient(ink.shape, random.uniform(0, 0.12), random)
    return ink_on(paper, ink, random.uniform(0.5, 0.95)) * light


def pencil(ink: Array, _height: float, random: Random) -> Array:
    paper = np.full(ink.shape, random.uniform(0.75, 1))
    uneven = np.clip(ink * (1 + 0.2 * grain(ink.shape, 3, random)), 0, 1)
    return ink_on(paper, uneven, random.uniform(0.25, 0.4)) * gradient(ink.shape, 0.1, random)


def dark(ink: Array, _height: float, random: Random) -> Array:
    board = random.uniform(0.05, 0.3)
    return board + ink * random.uniform(0.45, 0.65) + 0.02 * grain(ink.shape, 20, random)


def ruled(ink: Array, height: float, random: Random) -> Array:
    return simple(ink, height, random) * lines(ink.shape, 1.4 * height, (0,), random)


def squared(ink: Array, height: float, random: Random) -> Array:
    return simple(ink, height, random) * lines(ink.shape, 0.5 * height, (0, 1), random)


def lines(shape: tuple[int, ...], pitch: float, axes: tuple[int, ...], random: Random) -> Array:
    """Printed lines, fainter than the pen."""
    paper = np.ones(shape)
    contrast = random.uniform(0.08, 0.2)
    for axis in axes:
        place = (np.arange(shape[axis]) + random.uniform(0, pitch)) % pitch
        line = 1 - contrast * (place < max(1.5, 0.02 * pitch))
        paper *= np.expand_dims(line, 1 - axis)
    return paper


def shadow(ink: Array, height: float, random: Random) -> Array:
    y, x = np.mgrid[-1 : 1 : ink.shape[0] * 1j, -1 : 1 : ink.shape[1] * 1j]
    angle, soft = random.uniform(0, 2 * np.pi), random.uniform(0.01, 0.3)
    edge = (np.cos(angle) * x + np.sin(angle) * y - random.uniform(-0.5, 0.5)) / soft
    return simple(ink, height, random) * (1 - random.uniform(0.2, 0.5) / (1 + np.exp(-edge)))


def rough(ink: Array, height: float, random: Random) -> Array:
    texture = 0.02 * grain(ink.shape, 2, random) + 0.03 * grain(ink.shape, 25, random)
    return simple(ink, height, random) * (1 + texture)


def table(ink: Array, height: float, random: Random) -> Array:
    """A sheet on a dark table, turned a little."""
    sheet = np.pad(simple(ink, height, random), int(0.4 * height), "edge")
    image = Image.fromarray((255 * np.clip(sheet, 0, 1)).astype(np.uint8))
    turned = image.rotate(random.normal(0, 3), Image.Resampling.BICUBIC, True, fillcolor=60)
    return np.pad(np.asarray(turned, float) / 255, int(0.3 * height), constant_values=60 / 255)


PAPERS: dict[str, Paper] = {
    "simple": simple,
    "pencil": pencil,
    "light on dark": dark,
    "ruled": ruled,
    "squared": squared,
    "shadow": shadow,
    "rough": rough,
    "on a table": table,
}


def photo(images: list[NDArray[np.uint8]], paper: str, random: Random) -> Image.Image:
    """A photo of a number: a color JPEG of a quality that cameras have."""
    ink = placed(written(images, random), random)
    scene = PAPERS[paper](ink, min(ink.shape) / 2.5, random)
    scene = scene + random.uniform(0.003, 0.02) * random.standard_normal(scene.shape)
    tint = random.uniform(0.9, 1, 3)
    pixels = (255 * np.clip(scene[..., None] * tint, 0, 1)).astype(np.uint8)
    image = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.5)))
    file = BytesIO()
    image.save(file, "JPEG", quality=int(random.integers(60, 95)))
    return Image.open(file)


@dataclass(frozen=True)
class Trial:
    """What was written, what was read, and whether each digit alone is read right."""

    paper: str
    hand: str
    digits: str
    text: str
    sure: bool
    readable: bool

    @property
    def right(self) -> bool:
        return self.text == self.digits


def trials(model: Predictor, options: argparse.Namespace) -> Iterator[Trial]:
    papers = [options.paper] if options.paper else list(PAPERS)
    for paper, length, index in product(papers, LENGTHS, range(options.count)):
        random = np.random.default_rng([options.seed, list(PAPERS).index(paper), length, index])
        hand = HANDS[index % len(HANDS)]
        digits = "".join(map(str, random.integers(0, 10, length)))
        images = chosen(digits, one_writer(hand, random), random)
        alone = model.predict(images)
        image = photo(images, paper, random)
        found = pocketlens.read_number(model, image)
        text = "".join(digit.label for digit in found.digits)
        readable = "".join(each.label for each in alone) == digits
        trial = Trial(paper, hand, digits, text, found.sure, readable)
        if options.pictures and not trial.right and trial.readable:
            options.pictures.mkdir(parents=True, exist_ok=True)
            name = f"{paper}-{digits}-{index}.png".replace(" ", "-")
            pocketlens.draw_number(image, found).save(options.pictures / name)
        yield trial


def share(found: Iterable[Trial]) -> dict[str, float]:
    """The share that is read right: of all, and of those whose digits alone are read right."""
    every = list(found)
    readable = [trial.right for trial in every if trial.readable]
    return {
        "right": round(float(np.mean([trial.right for trial in every])), 4),
        "right and sure": round(float(np.mean([trial.right and trial.sure for trial in every])), 4),
        "right if each digit is": round(float(np.mean(readable)), 4),
        "each digit is": round(len(readable) / len(every), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=50, help="numbers per paper and length")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--paper", choices=PAPERS, help="only this paper; writes no JSON")
    parser.add_argument("--pictures", type=Path, help="write those that are read wrongly here")
    options = parser.parse_args()
    found = []
    for trial in trials(pocketlens.load(options.model), options):
        found.append(trial)
        if not trial.right and trial.readable:
            print(trial.paper, trial.hand, trial.digits, trial.text.split(), sep="\t", flush=True)
    result: dict[str, Any] = {
        "numbers": len(found),
        "simple paper": {
            hand: share(t for t in found if (t.paper, t.hand) == ("simple", hand)) for hand in HANDS
        }
        if options.paper in (None, "simple")
        else {},
        "papers": {
            paper: share(t for t in found if t.paper == paper)
            for paper in dict.fromkeys(trial.paper for trial in found)
        },
        "lengths": {
            length: share(t for t in found if len(t.digits) == length) for length in LENGTHS
        },
        "hands": {hand: share(t for t in found if t.hand == hand) for hand in HANDS},
        "wrong and all sure": float(np.mean([t.sure and not t.right for t in found])),
    }
    if options.paper:
        print(json.dumps(result, indent=1))
        return
    write(__file__, result)
    if result["simple paper"]["mnist"]["right"] < LEAST:
        raise SystemExit(f"on simple paper, fewer than {LEAST:.0%} are right")


if __name__ == "__main__":
    main()
