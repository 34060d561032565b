"""Draw the chart of `strokes` for the documentation: docs/images/strokes.png.

    python benchmarks/strokes_chart.py

One row for each digit: a drawing of each template of the population `world`, the most common first,
in the hand that `world` gives it. Then rows of random digits, as training sees them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketlens.data.populations import WORLD
from pocketlens.data.stroke_templates import TEMPLATES
from pocketlens.data.strokes import draw_strokes, draw_template

TARGET = Path(__file__).parents[1] / "docs" / "images" / "strokes.png"
SIDE, COLUMNS, RANDOM_ROWS = 40, 22, 5


def row(digit: str) -> NDArray[np.uint8]:
    """The most common templates of a digit, `(SIDE, COLUMNS * SIDE)`."""
    common = sorted(TEMPLATES[digit], key=lambda template: -template.weight(WORLD))[:COLUMNS]
    drawn = [
        draw_template(template, 1, seed=10 * index + int(digit), side=SIDE)[0, ..., 0]
        for index, template in enumerate(common)
    ]
    return np.hstack(drawn)


def main() -> None:
    """Draw, and save with few colors."""
    random = draw_strokes(population=WORLD, count=COLUMNS * RANDOM_ROWS, side=SIDE, seed=1)
    rows = random.images[..., 0].reshape(RANDOM_ROWS, COLUMNS, SIDE, SIDE)
    gap = np.full((SIDE // 4, COLUMNS * SIDE), 128, np.uint8)
    parts = [*(row(digit) for digit in TEMPLATES), gap, *(np.hstack(list(part)) for part in rows)]
    picture = Image.fromarray(255 - np.vstack(parts))
    picture.quantize(16).save(TARGET, optimize=True)
    print(f"wrote {TARGET}, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
