"""How often a recognizer reads each form of `strokes:world` as another digit, worst form first.

    python benchmarks/strokes_forms.py runs/digits    # a run folder or a Core ML file

A form that people read as another digit teaches the wrong label. Look at the worst ones, and change
what they vary, or how common they are (`world` in `data/templates/DIGIT.toml`).
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from hands import open_predictor
from pocketlens.data import Dataset
from pocketlens.data.fit import fit_dataset
from pocketlens.data.populations import WORLD
from pocketlens.data.stroke_templates import TEMPLATES
from pocketlens.data.strokes import draw_template
from pocketlens.errors import OptionError
from pocketlens.evaluation.accuracy import percent
from pocketlens.prediction import Predictor

DRAWN, SHOWN, SEED = 256, 50, 7


def examine(predictor: Predictor) -> list[tuple[float, float, str, Counter[str]]]:
    """For each form: how much of all digits it spoils, how much of it is misread, and as what."""
    names = np.array(predictor.classes)
    rows = []
    for label, digit in enumerate(TEMPLATES):
        weights = {each: each.weight(WORLD) for each in TEMPLATES[digit] if each.weight(WORLD)}
        for template, weight in weights.items():
            images = draw_template(template, DRAWN, population=WORLD, seed=SEED)
            data = Dataset(images, np.full(DRAWN, label), tuple(TEMPLATES), template.name)
            given = predictor.probabilities(fit_dataset(data, predictor.input_spec).images)
            read = Counter(names[given.argmax(1)].tolist())
            misread = 1 - read.pop(digit, 0) / DRAWN
            share = misread * weight / sum(weights.values()) / len(TEMPLATES)
            rows.append((share, misread, f"{digit}  {template.name}", read))
    return sorted(rows, key=lambda row: -row[0])


def main() -> None:
    """Examine the model named on the command line."""
    if len(sys.argv) != 2:
        raise OptionError("pass a run folder or a Core ML file")
    rows = examine(open_predictor(Path(sys.argv[1])))
    print(
        f"{percent(sum(share for share, *_ in rows))} of the digits are misread; the worst forms:"
    )
    for share, misread, name, read in rows[:SHOWN]:
        others = ", ".join(f"{label}: {count}" for label, count in read.most_common(4))
        print(f"{percent(share):>8} of all {percent(misread):>8} of  {name:45} {others}")


if __name__ == "__main__":
    main()
