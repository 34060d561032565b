"""Draw the charts of `strokes` and `doodles`: strokes.png and doodles.png in docs/images.

    python benchmarks/strokes_chart.py
    python benchmarks/strokes_chart.py airplane bee   # every way to draw these: doodle_ways.png

Digits: one row for each, a drawing of each template of the population `world`, the most common
first, in the hand that `world` gives it. Then rows of random digits, as training sees them.
Doodles: three things a row, each drawn in its most common ways.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketlens.data.doodles import draw_sketch
from pocketlens.data.populations import WORLD
from pocketlens.data.sketches import sketches_of, things
from pocketlens.data.stroke_templates import TEMPLATES
from pocketlens.data.strokes import draw_strokes, draw_template

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIDE, COLUMNS, RANDOM_ROWS = 40, 22, 5
ACROSS, WAYS, MANY = 3, 7, 16
"""Things in a row, ways of each, and drawings of each way in the chart of all ways."""


def row(digit: str) -> NDArray[np.uint8]:
    """The most common templates of a digit, `(SIDE, COLUMNS * SIDE)`."""
    common = sorted(TEMPLATES[digit], key=lambda template: -template.weight(WORLD))[:COLUMNS]
    drawn = [
        draw_template(template, 1, seed=10 * index + int(digit), side=SIDE)[0, ..., 0]
        for index, template in enumerate(common)
    ]
    return np.hstack(drawn)


def doodle_row(things_drawn: Sequence[str]) -> NDArray[np.uint8]:
    """The most common ways to draw a few things, `(SIDE, ACROSS * WAYS * SIDE)`."""
    drawn = []
    for thing in things_drawn:
        ways = sorted(sketches_of(thing), key=lambda sketch: -sketch.weight)
        for index in range(WAYS):
            sketch = ways[index % len(ways)]
            drawn.append(draw_sketch(sketch, 1, seed=index, side=SIDE)[0, ..., 0])
    row = np.hstack(drawn)
    return np.pad(row, ((0, 0), (0, ACROSS * WAYS * SIDE - row.shape[1])))


def all_ways(thing: str) -> NDArray[np.uint8]:
    """Every way to draw a thing, a row for each."""
    rows = (draw_sketch(sketch, MANY, side=SIDE)[..., 0] for sketch in sketches_of(thing))
    return np.vstack([np.hstack(list(row)) for row in rows])


def save(parts: Sequence[NDArray[np.uint8]], target: Path) -> None:
    """Save with few colors, dark lines on white."""
    Image.fromarray(255 - np.vstack(parts)).quantize(16).save(target, optimize=True)
    print(f"wrote {target}, {target.stat().st_size:,} bytes")


def main() -> None:
    """Draw and save the charts."""
    if chosen := sys.argv[1:]:
        save([all_ways(thing) for thing in chosen], Path("doodle_ways.png"))
        return
    random = draw_strokes(population=WORLD, count=COLUMNS * RANDOM_ROWS, side=SIDE, seed=1)
    rows = random.images[..., 0].reshape(RANDOM_ROWS, COLUMNS, SIDE, SIDE)
    gap = np.full((SIDE // 4, COLUMNS * SIDE), 128, np.uint8)
    parts = [*(row(digit) for digit in TEMPLATES), gap, *(np.hstack(list(part)) for part in rows)]
    save(parts, IMAGES / "strokes.png")
    names = things()
    rows_of = [names[at : at + ACROSS] for at in range(0, len(names), ACROSS)]
    save([doodle_row(each) for each in rows_of], IMAGES / "doodles.png")


if __name__ == "__main__":
    main()
