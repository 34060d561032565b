"""`pocketlens data list | show | download`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.inputs import source_name
from pocketlens.cli.shell import Json, Out, command, group, print_json, say

if TYPE_CHECKING:
    from pocketlens.augment import Augmentation

data = group(
    "data",
    "List, show and download data sets.",
    "pocketlens data list",
    "pocketlens data show mnist",
)

Source = Annotated[
    str, typer.Argument(help="A folder of images, a CSV file, or a name such as mnist.")
]


@command(on=data, name="list", example=("pocketlens data list",))
def list_all(json: Json = False) -> None:
    """List the data sources."""
    from dataclasses import asdict

    from pocketlens.data import CATALOG
    from pocketlens.registry import SOURCES

    if json:
        print_json([*map(asdict, CATALOG), *({"name": name} for name in SOURCES.plugins())])
        return
    rows = {source.name: source.description for source in CATALOG}
    rows |= dict.fromkeys(SOURCES.plugins(), "from an installed plug-in")
    width = max(map(len, rows))
    for name, description in rows.items():
        say(f"{name:{width}}  {description}")


@command(
    on=data,
    example=(
        "pocketlens data show mnist",
        "pocketlens data show ./photos --size 64 --color rgb --out shown",
        "pocketlens data show mnist --augment camera --size 48",
    ),
)
def show(
    source: Source,
    out: Out = None,
    split: Annotated[str, typer.Option(help="train or test.")] = "train",
    index: Annotated[int, typer.Option(help="The image to enlarge.", min=0)] = 0,
    size: Annotated[int | None, typer.Option(help="Height and width; a folder needs it.")] = None,
    color: Annotated[str, typer.Option(help="gray or rgb.")] = "gray",
    seed: Annotated[int, typer.Option(help="Seed of strokes, and of the split of a folder.")] = 0,
    augmented: Annotated[
        str | None,
        typer.Option("--augment", help="Also draw augmented images: camera or shift."),
    ] = None,
    json: Json = False,
) -> None:
    """Draw a data set: images, the pixels of one image, one-hot labels, class balance."""
    from pocketlens.data import load_data
    from pocketlens.errors import OptionError
    from pocketlens.image import InputSpec
    from pocketlens.report import figures

    sheet = _augmentation(augmented) if augmented else None
    spec = InputSpec(size, size, color) if size else None  # type: ignore[arg-type]
    source = source_name(source)
    found = load_data(source, split=split, input_spec=spec, seed=seed)
    if index >= len(found):
        raise OptionError(
            f"--index must be below {len(found)}, the number of images; received: {index}"
        )
    folder = out or Path("shown") / source.replace(":", "-").replace("/", "-")
    written = [
        figures.draw_samples(found, folder / "samples.png"),
        figures.draw_pixels(found, index, folder / "pixels.png"),
        figures.draw_one_hot(found, folder / "one_hot.svg"),
        figures.draw_balance(found, folder / "balance.svg"),
    ]
    if sheet:
        from pocketlens.augment import sample

        shown = sample(found, sheet, seed=seed)
        written.append(figures.draw_samples(shown, folder / "augmented.png"))
    if json:
        print_json(
            {
                "name": found.name,
                "shape": list(found.images.shape),
                "counts": found.counts,
                "files": [str(path) for path in written],
            }
        )
        return
    count, height, width, channels = found.images.shape
    colors = "gray" if channels == 1 else "RGB"
    say(f"{found.name}: {count:,} images of {height} × {width} pixels, {colors}")
    say("classes: " + ", ".join(f"{name} {n:,}" for name, n in found.counts.items()))
    for path in written:
        say(f"wrote {path}")


def _augmentation(name: str) -> Augmentation:
    """The augmentation with this name; with the class `nothing` if it can draw it."""
    from pocketlens.augment import build, errors
    from pocketlens.recipe import Choice

    choice = Choice(name)
    return build(choice, nothing=0 if errors(choice, nothing=1) else 1)


@command(
    on=data,
    example=(
        "pocketlens data download mnist",
        "pocketlens data download emnist-letters",
    ),
)
def download(source: Source, json: Json = False) -> None:
    """Download a data set into the data folder, checked by its sha256."""
    from pocketlens.cli.progress import Progress
    from pocketlens.data import download_data

    with Progress() as progress:
        folder = download_data(source, progress=None if json else progress.download)
    if json:
        print_json({"folder": str(folder)})
    else:
        say(f"{source} is in {folder}")
