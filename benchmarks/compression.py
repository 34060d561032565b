"""How small `pocketlens compress` makes the Core ML file of a run, and what that costs.

    python benchmarks/compression.py --only tiny      # trains it, measures its .mlmodel
    python benchmarks/compression.py --only digits
    python benchmarks/compression.py --only photos      # generated letters, and cats if there are
    python benchmarks/compression.py --only tiny --quick    # one epoch, writes nothing
    python benchmarks/compression.py runs/quick --kinds palette-4,trained-4    # a run that you have

Each row of the JSON file is one run: it is replaced, the others stay. Sizes are of the whole
package. Sizes and accuracies do not depend on how busy the machine is.
"""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from measure import HERE, write
from photos_quality import LETTERS, drawn
from pocketlens import Dataset, compress, convert, load_recipe, run
from pocketlens.errors import CheckFailedError
from pocketlens.recognizer import Recognizer
from pocketlens.run_folder import read_run

BUDGET = 0.3
"""The largest loss, in percentage points."""

ROWS = ("tiny", "digits", "photos")
PHOTOS = ("linear-8", "palette-8", "palette-6", "palette-4", "mixed-4", "mixed-6")
"""The kinds for photos; to learn palettes of a backbone takes half an hour."""

PICTURES = {"train": (30, 0), "test": (100, 100)}
"""Letters per class, and the seed."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--only", choices=ROWS, help="train this recipe first")
    parser.add_argument("--quick", action="store_true", help="one epoch, few images")
    parser.add_argument("--kinds", type=lambda text: text.split(","))
    parser.add_argument("--ios", type=int)
    parser.add_argument("--mlmodel", action="store_true")
    given = parser.parse_args()
    for folder in given.runs:
        row(folder, read_run(folder).recipe.name, given, given.kinds, neural=given.mlmodel)
    with tempfile.TemporaryDirectory() as place:
        if given.only == "photos":
            for name, source in photos(Path(place), quick=given.quick).items():
                out = Path(place) / f"run-{name}"
                # One label that float16 changes fails the check of few pictures. The file is there.
                with contextlib.suppress(CheckFailedError):
                    run(load_recipe("photos").replace(data={"source": source}), out=out)
                row(out, f"photos: {name}", given, given.kinds or PHOTOS)
        elif given.only:
            recipe = load_recipe(given.only)
            if given.quick:
                recipe = recipe.replace(training={"epochs": 1})
            run(recipe, out=Path(place) / "run")
            row(Path(place) / "run", given.only, given, given.kinds, neural=given.only == "tiny")


def row(
    folder: Path,
    name: str,
    given: argparse.Namespace,
    kinds: Sequence[str] | None,
    *,
    neural: bool = False,
) -> None:
    """Measure a run; with `neural`, its network as a neural network."""
    found = read_run(folder)
    assert found.model  # the run is finished
    with tempfile.TemporaryDirectory() as place:
        file = found.model
        if neural:
            # Beside the run's own file, as `compress` looks for the images there.
            file, name = folder / "benchmark.mlmodel", f"{name}.mlmodel"
            convert(Recognizer.load(folder), file, force=True)
        started = time.perf_counter()
        result = compress(
            file,
            Path(place) / f"small{file.suffix}",
            max_loss=BUDGET,
            kinds=kinds,
            ios=given.ios,
        )
    print(name, result, *result.notes, sep="\n", flush=True)
    if given.quick:
        return
    target = HERE / f"{Path(__file__).stem}.json"
    rows = json.loads(target.read_text()) if target.exists() else {}
    rows[name] = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {sys.version.split()[0]}",
        "epochs": found.recipe.training.epochs,
        "seconds": time.perf_counter() - started,
        **{key: value for key, value in result.to_dict().items() if key != "path"},
    }
    write(__file__, rows)


def photos(place: Path, *, quick: bool) -> dict[str, str]:
    """Sources of photos by name."""
    for split, (count, seed) in PICTURES.items():
        save(drawn(LETTERS, 8 if quick else count, seed), place / "letters" / split)
    found = {"letters": f"folder:{place / 'letters'}"}
    cats = Path(os.environ.get("POCKETLENS_DATA", "")) / "cats"
    if cats.is_dir() and not quick:
        found["cats"] = f"folder:{cats}"
    return found


def save(images: Dataset, folder: Path) -> None:
    for number, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        of_class = folder / images.classes[label]
        of_class.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(of_class / f"{number}.png")


if __name__ == "__main__":
    main()
