"""`pocketlens data list | show | check | download`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketlens.cli.datasets import source_name
from pocketlens.cli.shell import Force, Json, Out, command, group, print_json, say

if TYPE_CHECKING:
    from pocketlens.augment import Augmentation
    from pocketlens.cli.progress import Progress
    from pocketlens.data.check import DataCheck
    from pocketlens.data.wrong_labels import LabelCheck

data = group(
    "data",
    "List, show, check and download data sets.",
    "pocketlens data list",
    "pocketlens data check my_photos",
)

SHOWN_CLASSES, SHOWN_REASONS, SHOWN_LABELS = 30, 5, 20

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
    seed: Annotated[int, typer.Option(help="Seed of drawings, and of the split of a folder.")] = 0,
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


@command(
    on=data,
    example=(
        "pocketlens data check my_photos",
        "pocketlens data check my_photos --json",
        "pocketlens data check my_photos --labels    # pictures that may be in the wrong class",
        "pocketlens data check my_photos --quarantine    # write my_photos/quarantine.csv",
    ),
)
def check(
    path: Annotated[str, typer.Argument(help="A folder of images, or a CSV file.")],
    quarantine: Annotated[
        bool,
        typer.Option(help="Write quarantine.csv into the folder: files that loading leaves out."),
    ] = False,
    force: Force = False,
    labels: Annotated[
        bool,
        typer.Option(help="Also look for wrong labels; needs the extra photos, and some minutes."),
    ] = False,
    json: Json = False,
) -> None:
    """Check a folder of images before training on it.

    Counts per class; files that cannot be read; identical and nearly identical images, in one
    class, in different classes, or in both train and test; animated, tiny and very long images;
    class names that differ only in case; imbalance. Nothing is moved or deleted. The exit status is
    1 if there is a problem. Labels that are probably wrong are reported as a note.
    """
    from dataclasses import asdict

    from pocketlens.cli.progress import Progress
    from pocketlens.data.check import check_data
    from pocketlens.errors import CheckFailedError

    with Progress() as progress:
        found = check_data(
            path,
            quarantine=quarantine,
            force=force,
            progress=None if json else progress.check,
        )
        checked, reason = _check_labels(path, progress) if labels else (None, "")
    if json:
        content = found.to_dict()
        if labels:
            content["labels"] = asdict(checked) if checked else None
            content["labels_not_checked"] = reason
        print_json(content)
    else:
        _print_check(found)
        if checked:
            _print_labels(checked)
        if reason:
            say(f"PROBLEM: the labels cannot be checked: {reason}")
        if quarantine:
            say(f"the quarantine list has {len(found.quarantine())} file(s); edit it as you like")
    if reason and found.passed:
        raise CheckFailedError(f"{found.source}: the labels cannot be checked")
    if not found.passed:
        problems = [finding for finding in found.findings if finding.problem]
        raise CheckFailedError(f"{found.source}: {len(problems)} problem(s) found")


def _print_check(found: DataCheck) -> None:
    from rich.table import Table

    from pocketlens.cli.terminal import console
    from pocketlens.errors import printable

    splits = [*found.counts]
    names = list(dict.fromkeys(name for each in found.counts.values() for name in each))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("class", overflow="fold")
    for split in splits:
        table.add_column("images" if split == "all" else split, justify="right")
    for name in names[:SHOWN_CLASSES]:
        table.add_row(
            printable(name), *(f"{found.counts[split].get(name, 0):,}" for split in splits)
        )
    terminal = console()
    terminal.print(table)
    if len(names) > SHOWN_CLASSES:
        say(f"and {len(names) - SHOWN_CLASSES:,} more classes")
    say(f"{found.images:,} images of {len(names):,} classes can be used")
    if found.quarantined:
        say(f"{found.quarantined:,} files are in quarantine.csv and left out")
    for finding in found.findings:
        say(f"{'PROBLEM' if finding.problem else 'note'}: {finding.text}")
        for reason in [*finding.reasons.values()][:SHOWN_REASONS]:
            say(f"    {reason}")


def _check_labels(path: str, progress: Progress) -> tuple[LabelCheck | None, str]:
    """The labels that are probably wrong; or why they cannot be checked."""
    from pocketlens.errors import DataError, OptionError
    from pocketlens.training.label_check import check_labels

    try:
        return check_labels(path, callbacks=[progress]), ""
    except (DataError, OptionError) as error:
        return None, str(error)


def _print_labels(found: LabelCheck) -> None:
    from pocketlens.evaluation.accuracy import percent

    count = len(found.suspects)
    say(f"note: {count:,} of {found.checked:,} labels are probably wrong")
    for each in found.suspects[:SHOWN_LABELS]:
        chance = percent(each.confidence)
        say(f"    {each.file} is labeled {each.label}, but is {each.better} at {chance}")
    if count > SHOWN_LABELS:
        say(f"    and {count - SHOWN_LABELS:,} more; all: add --json")
    if found.unchecked:
        say(
            f"note: {found.unchecked:,} labels were not checked: those of classes with only one "
            "picture or burst, or more than fit into memory"
        )


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
