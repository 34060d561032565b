"""How often letters, other signs and scenes are refused, when 97 % of the digits are kept.

    python benchmarks/signs.py runs/digits     # a run folder or a Core ML file; writes nothing

No recipe is trained on these signs: scripts and fonts that the training's pictures do not contain,
and signs invented by another generator, here: straight and curved lines between the points of a
grid. All are photographed by the robustness suite, like the digits of the MNIST test set that they
are compared with. Many of these signs are digits to anybody who does not know the script: an
Armenian ken is a 4. So the share is also given for those that are like no digit of the MNIST
test set, by the comparison that the training's signs pass with drawn digits. Scenes are the
suite's: surfaces, objects, light, writing too small to read.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hands import open_predictor
from pocketlens import load_data
from pocketlens.augment.camera.signs import ALIKE, likeness
from pocketlens.data import Dataset
from pocketlens.data.fit import fit_dataset
from pocketlens.errors import OptionError
from pocketlens.evaluation.accuracy import percent
from pocketlens.evaluation.robustness import EMPTY_KINDS, empty_kind, empty_scenes, photograph
from pocketlens.prediction import NOTHING, Predictor

KEPT = 0.97
DIGITS, SIGNS, SCENES, SEED = 1000, 200, 1000, 11
SIDE = 84

SCRIPTS = {
    "Latin": ("cmr10", "ACDEFHJKMNPRTUVWXYadefhkmnrtuwxy"),
    "Armenian": ("DejaVuSans", "ԱԲԵԹԺԻԼԽԿՄՆՊՌՓՔ"),
    "Georgian": ("DejaVuSans", "ათიოღქშჩჭხჯ"),
    "Hebrew": ("DejaVuSans", "אבהחלמצשת"),
    "Arabic": ("DejaVuSans", "بتثجحخسشصضطظكلمن"),
    "Tifinagh": ("DejaVuSans", "ⴳⴷⴹⴻⴼⴽⵃⵄⵅⵇⵍⵎⵛⵜⵟⵣⵥ"),
    "digits of Arabic": ("DejaVuSans", "٢٣٤٧٨"),
}
"""Each script: the font, one of Matplotlib's, and its letters."""

NATURAL = ("wall", "clouds", "wood", "cloth", "checks", "bricks", "ruled paper", "fingers")
"""Kinds of the suite's empty scenes without anything drawn or written."""


def printed(font: str, letters: str, random: np.random.Generator) -> Image.Image:
    """A letter of a script."""
    import matplotlib

    file = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    board = Image.new("L", (2 * SIDE, 2 * SIDE))
    text = letters[random.integers(len(letters))]
    face = ImageFont.truetype(file, int(random.integers(50, 90)))
    bold = int(random.integers(3))
    ImageDraw.Draw(board).text((SIDE, SIDE), text, 255, face, anchor="mm", stroke_width=bold)
    return board


def invented(random: np.random.Generator) -> Image.Image:
    """Four to seven lines between points of a 3 × 3 grid, straight or curved."""
    board = Image.new("L", (2 * SIDE, 2 * SIDE))
    pen, width = ImageDraw.Draw(board), int(random.integers(6, 14))
    grid = np.array([(x, y) for x in (20, 84, 148) for y in (20, 84, 148)])
    for _ in range(random.integers(4, 8)):
        start, end = (grid[point] for point in random.choice(9, 2, replace=False))
        bend = random.choice((0, 0, 0.4, -0.4)) * (end - start)[::-1] * (1, -1)
        t = np.linspace(0, 1, 20)[:, None]
        line = start + t * (end - start) + 2 * t * (1 - t) * bend
        pen.line([tuple(point) for point in line.tolist()], 255, width, joint="curve")
    return board


def boxed(board: Image.Image) -> NDArray[np.uint8]:
    """The ink, as large as a digit in a drawing of `SIDE` × `SIDE` pixels."""
    ink = board.crop(board.getbbox())
    scale = SIDE * 20 / 28 / max(ink.size)
    wide, high = (max(1, round(scale * length)) for length in ink.size)
    drawing = Image.new("L", (SIDE, SIDE))
    drawing.paste(ink.resize((wide, high)), ((SIDE - wide) // 2, (SIDE - high) // 2))
    return np.asarray(drawing)


def examine(predictor: Predictor) -> dict[str, float]:
    """The share of each kind that is refused."""
    test = load_data("mnist", split="test")
    some = test.subset(slice(0, DIGITS))
    nothing = list(predictor.classes).index(NOTHING)

    def presence(data: Dataset) -> NDArray[np.float32]:
        images = fit_dataset(data, predictor.input_spec).images
        scores: NDArray[np.float32] = 1 - predictor.probabilities(images)[:, nothing]
        return scores

    limit = np.sort(presence(photograph(some, seed=SEED)))[round((1 - KEPT) * DIGITS)]
    random = np.random.default_rng(SEED)
    signs = {
        name: [printed(font, letters, random) for _ in range(SIGNS)]
        for name, (font, letters) in SCRIPTS.items()
    }
    signs["invented"] = [invented(random) for _ in range(2 * SIGNS)]
    found, of_unlike = {}, []
    for name, boards in signs.items():
        drawings = np.stack([boxed(board) for board in boards])
        data = Dataset(drawings[..., np.newaxis], np.zeros(len(boards), np.int64), (name,), name)
        refused = presence(photograph(data, seed=SEED)) < limit
        found[name] = float(refused.mean())
        of_unlike.append(refused[likeness(drawings, test.images[..., 0]) < ALIKE])
    scenes = presence(empty_scenes(SCENES, seed=SEED, like=test)) < limit
    kinds = np.array([empty_kind(index, pieces=True) for index in range(SCENES)])
    for kind in EMPTY_KINDS:
        found[f"scenes: {kind}"] = float(scenes[kinds == kind].mean())
    found["natural scenes"] = float(scenes[np.isin(kinds, NATURAL)].mean())
    found["letters and signs"] = float(np.mean([found[name] for name in signs]))
    unlike = np.concatenate(of_unlike)
    found[f"the {len(unlike)} of them that are like no digit"] = float(unlike.mean())
    return found


def main() -> None:
    """Examine the model named on the command line."""
    if len(sys.argv) != 2:
        raise OptionError("pass a run folder or a Core ML file")
    predictor = open_predictor(Path(sys.argv[1]))
    if NOTHING not in predictor.classes:
        raise OptionError(f"{sys.argv[1]} has no class {NOTHING!r}, so it refuses nothing")
    for name, share in examine(predictor).items():
        print(f"{percent(share):>9}  {name}")


if __name__ == "__main__":
    main()
