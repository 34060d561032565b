"""`empty_scenes`: simulated photos without a digit.

They use the same sheets, pens, light and camera as `photograph`, so that the missing digit is the
only difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError, OptionError
from pocketlens.evaluation.robustness import scenery
from pocketlens.evaluation.robustness.camera import take
from pocketlens.evaluation.robustness.distance_fields import distance_fields
from pocketlens.evaluation.robustness.drawing import (
    Array,
    Random,
    bernoulli,
    map_points,
    translation,
    uniform,
)
from pocketlens.evaluation.robustness.pen import choose_pen
from pocketlens.evaluation.robustness.photos import check_drawings, drawings, inked, written_scene
from pocketlens.evaluation.robustness.ranges import SIDE, SURFACES
from pocketlens.evaluation.robustness.view import View, box_of, random_view
from pocketlens.prediction import NOTHING

__all__ = ["EMPTY_KINDS", "PIECES", "empty_kind", "empty_scenes"]

SCENERY: dict[str, Callable[[Random], Array]] = {
    "wall": scenery.wall,
    "clouds": scenery.clouds,
    "wood": scenery.wood,
    "cloth": scenery.cloth,
    "checks": scenery.checks,
    "bricks": scenery.bricks,
    "ruled paper": scenery.ruled_sheet,
    "lines": scenery.lines,
    "edges": scenery.edges,
    "fingers": scenery.fingers,
    "shapes": scenery.shapes,
    "keys": scenery.keys,
    "print": scenery.small_print,
}

SCRAMBLED, CUT_OFF = PIECES = ("scrambled digit", "cut-off digit")
"""The kinds of scene that are made from digits."""

Drawing: TypeAlias = NDArray[np.uint8]


def empty_scenes(count: int, *, seed: int = 0, like: Dataset | None = None) -> Dataset:
    """Simulate photos without a digit; photo i is of kind `empty_kind(i, pieces=like is not None)`.

    Args:
        count: Number of photos, at least 1.
        seed: Draws the scenes; the same seed always produces the same photos.
        like: Digits in light ink on black. They are scrambled, or cut off by the border so far that
            nobody could recognize them. None leaves these two kinds out.

    Returns:
        Square gray images `(count, 160, 160, 1)` of the single class `nothing`.

    Raises:
        OptionError: `count` is below 1.
        DataError: `like` is empty or does not consist of drawings.
    """
    if count < 1:
        raise OptionError(f"the number of empty scenes must be at least 1; received: {count}")
    wide = np.empty(0, np.int64)
    if like is not None:
        if not len(like):
            raise DataError(f"{like.name} is empty; expected digits to cut into pieces")
        check_drawings(like)
        wide = _wide(like)
    frames = np.empty((count, SIDE, SIDE, 1), np.uint8)
    for index in range(count):
        random = np.random.default_rng([seed, 1, index])
        kind = empty_kind(index, pieces=like is not None)
        if kind in SCENERY:
            scene = SCENERY[kind](random)
            frame = take(scene, random, sharpness=uniform(random, (0.5, 4)))
        elif like is not None and kind in PIECES:
            place = int(random.choice(wide))
            digit = drawings(like, slice(place, place + 1))[0]
            cut = kind == CUT_OFF
            frame = _written(digit if cut else _scrambled(digit, random), random, cut=cut)
        else:
            frame = _written(DRAWN[kind](random), random)
        frames[index, ..., 0] = frame
    return Dataset(frames, np.zeros(count, np.int64), (NOTHING,), "empty scenes")


def empty_kind(index: int, *, pieces: bool) -> str:
    """The kind of an empty scene.

    Args:
        index: The index of the scene.
        pieces: Whether the scenes include pieces of digits.
    """
    kinds = EMPTY_KINDS if pieces else tuple(k for k in EMPTY_KINDS if k not in PIECES)
    return kinds[index % len(kinds)]


def _wide(like: Dataset) -> NDArray[np.int64]:
    """The half of the drawings that are widest; pieces of a single line could look like a 1."""
    ink = like.images.max(axis=3) > 127
    across, down = ink.any(axis=1).sum(axis=1), ink.any(axis=2).sum(axis=1)
    ratio = np.minimum(across, down) / np.maximum(across, down).clip(1)
    return np.argsort(-ratio, kind="stable")[: (len(like) + 1) // 2]


def _written(drawing: Drawing, random: Random, *, cut: bool = False) -> NDArray[np.uint8]:
    fields = distance_fields(drawing[np.newaxis])
    surface = SURFACES[random.integers(len(SURFACES))]
    pen = choose_pen(random, float(fields.own[0]), chalk=surface.chalk)
    points = inked(fields, 0, pen)
    view = random_view(points, random)
    if cut:
        view = _cut_off(view, points, random)
    scene = written_scene(fields, 0, pen, view, surface, random)
    return take(scene, random, sharpness=pen.thickness * view.unit)


def _cut_off(view: View, points: NDArray[np.float64], random: Random) -> View:
    """The view, shifted so that only a small part of the ink is in the frame."""
    box, seen = view.box, uniform(random, (0.2, 0.45))
    x, y = (
        (seen * box.width - box.right, 0),
        (SIDE - seen * box.width - box.left, 0),
        (0, seen * box.height - box.bottom),
        (0, SIDE - seen * box.height - box.top),
    )[random.integers(4)]
    drawing = translation(x, y) @ view.drawing
    return View(
        drawing, translation(x, y) @ view.sheet, view.unit, box_of(map_points(drawing, points))
    )


def _scrambled(digit: Drawing, random: Random) -> Drawing:
    """Cut the ink's box into 3 × 3 tiles, rotate each, and move each to another position.

    With 2 × 2 tiles, some results look like other digits.
    """
    many = 3
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    cut = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    tile = -(-max(cut.shape) // many)
    side = many * tile
    square = np.zeros((side, side), np.uint8)
    top, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    square[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    tiles = square.reshape(many, tile, many, tile).swapaxes(1, 2).reshape(-1, tile, tile)
    order = np.roll(np.arange(many * many), int(random.integers(1, many * many)))
    mixed = np.stack([np.rot90(tiles[k], int(random.integers(1, 4))) for k in order])
    mixed = mixed.reshape(many, many, tile, tile).swapaxes(1, 2).reshape(side, side)
    return np.pad(mixed, tile // 2)


def _scribble(random: Random) -> Drawing:
    """A pen that changes direction too often for any digit."""
    many = int(random.integers(10, 26))
    points = random.uniform(14, 70, (many, 2))
    if bernoulli(random, 0.5):  # a zigzag from left to right
        points[:, 0] = np.linspace(10, 74, many) + random.normal(0, 3, many)
        points[:, 1] = 42 + np.where(np.arange(many) % 2, 1, -1) * random.uniform(8, 30, many)
    return _strokes([points], random)


def _sign(random: Random) -> Drawing:
    """A sign or letter drawn with a pen."""
    shape = SIGNS[random.integers(len(SIGNS))]
    strokes = [
        np.array(stroke) * 0.6 + 12 + random.normal(0, 1.5, (len(stroke), 2)) for stroke in shape
    ]
    return _strokes(strokes, random)


def _strokes(strokes: list[NDArray[np.float64]], random: Random) -> Drawing:
    from PIL import Image, ImageDraw

    board = Image.new("L", (84, 84))
    pen = ImageDraw.Draw(board)
    width = int(random.integers(4, 9))
    for points in strokes:
        pen.line([tuple(point) for point in points], 255, width, joint="curve")
    return np.asarray(board)


# fmt: off
SIGNS = (
    (((50, 0), (80, 100), (5, 35), (95, 35), (20, 100), (50, 0)),),  # star
    (((0, 50), (100, 50)), ((60, 15), (100, 50), (60, 85))),  # arrow
    (((0, 0), (100, 100)), ((100, 0), (0, 100))),  # cross
    (((0, 50), (100, 50)), ((50, 0), (50, 100))),  # plus
    (((30, 0), (20, 100)), ((75, 0), (65, 100)), ((0, 35), (100, 30)), ((0, 70), (100, 65))),
    (((50, 5), (100, 95), (0, 95), (50, 5)),),  # triangle
    (((5, 100), (5, 45), (50, 0), (95, 45), (95, 100), (5, 100)),
     ((35, 100), (35, 65), (60, 65), (60, 100))),  # house
    (((50, 100), (0, 40), (10, 5), (35, 0), (50, 25), (65, 0), (90, 5), (100, 40), (50, 100)),),
    (((0, 100), (10, 0), (50, 60), (90, 0), (100, 100)),),  # M
    (((0, 0), (20, 100), (50, 40), (80, 100), (100, 0)),),  # W
    (((10, 0), (10, 100)), ((85, 0), (12, 55), (90, 100))),  # K
    (((10, 100), (50, 0), (90, 100)), ((25, 62), (75, 62))),  # A
    (((85, 0), (10, 0), (10, 100), (90, 100)), ((10, 50), (70, 50))),  # E
    (((10, 0), (10, 100)), ((90, 0), (90, 100)), ((10, 50), (90, 50))),  # H
    (((10, 100), (10, 0), (90, 100), (90, 0)),),  # N
    (((0, 30), (100, 30)), ((0, 70), (100, 70))),  # equals
    (((50, 0), (50, 100)), ((5, 25), (95, 75)), ((5, 75), (95, 25))),  # asterisk
)
# fmt: on

DRAWN: dict[str, Callable[[Random], Drawing]] = {
    "scribble": _scribble,
    "letter": scenery.printed_letter,
    "sign": _sign,
}

EMPTY_KINDS = (*SCENERY, *DRAWN, *PIECES)
"""The kinds of empty scenes, in the order of `empty_scenes`."""
