"""`pocketlens predict`."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from pocketlens.cli.answers import NUMBERS, PREDICTIONS, Answers, cell
from pocketlens.cli.inputs import (
    IMAGE_SUFFIXES,
    InputOptions,
    core_ml_file,
    takes_input_options,
)
from pocketlens.cli.shell import Force, Json, command, print_json, say
from pocketlens.errors import ImageError, OptionError

if TYPE_CHECKING:
    from pocketlens.numbers import Number
    from pocketlens.prediction import Prediction, Predictor

BATCH = 64
"""How many images are in memory at a time."""


@command(
    example=(
        "pocketlens predict Digits.mlpackage photo.jpg",
        "pocketlens predict runs/quick photos --csv results.csv",
        "pocketlens predict Digits.mlpackage *.png --top 1 --json",
        "pocketlens predict Digits.mlpackage house.jpg --number --boxes boxes.png",
    )
)
@takes_input_options()
def predict(
    file: Annotated[Path, typer.Argument(help="A Core ML file or a run folder.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of images.")],
    top: Annotated[int, typer.Option(help="How many classes to print.", min=1)] = 3,
    table: Annotated[
        Path | None, typer.Option("--csv", help="Write a CSV table to this file; - prints it.")
    ] = None,
    number: Annotated[
        bool, typer.Option("--number", help="Find and read the digits of a whole number.")
    ] = False,
    boxes: Annotated[
        Path | None,
        typer.Option(help="With --number: write the photo with boxes to this PNG file."),
    ] = None,
    *,
    told: InputOptions,
    force: Force = False,
    json: Json = False,
) -> None:
    """Classify images with a Core ML model.

    Of a folder, the images in it and in its subfolders are read. Each line begins with what an app
    shows for the image: a label, `nothing`, or `not sure`. An image that cannot be read is
    reported, the others are classified, and the exit status is 2.

    With --number, a model of digits reads photos of whole numbers: each line of a photo from left
    to right, the lines from top to bottom. ? stands for a digit that is not sure.
    """
    from pocketlens.coreml.file.time_limit import default_time_limit
    from pocketlens.model_files import load

    if json and table is not None:
        raise OptionError("--json and --csv are two formats for the same results; pass one of them")
    _check_boxes(boxes, images, number=number, force=force)
    model_file = core_ml_file(file)
    paths = [path for given in images for path in _images(given)]
    model = told.applied(load(model_file, time_limit=default_time_limit()))
    kind: Answers[Any] = NUMBERS if number else PREDICTIONS
    found: Iterator[tuple[Path, Any]] = (
        _numbers(model, paths, boxes) if number else _results(model, paths)
    )
    if len(images) == 1 and not images[0].is_dir():
        found = _readable(found)
    with ExitStack() as stack:
        if table is not None:
            failed = _write_table(_table_file(table, stack, force=force), kind, found)
        elif json:
            rows = [_json(kind, path, answer, top) for path, answer in found]
            failed = sum("error" in row for row in rows)
            print_json(rows)
        else:
            failed = _print(kind, found, top)
    if table is not None and str(table) != "-":
        say(f"wrote {table}")
    if boxes is not None and not (json or failed or str(table) == "-"):
        say(f"wrote {boxes}")
    if failed:
        raise ImageError(f"{failed} of {len(paths)} images cannot be read")


def _check_boxes(boxes: Path | None, images: Sequence[Path], *, number: bool, force: bool) -> None:
    if boxes is None:
        return
    if not number:
        raise OptionError("--boxes draws the digits that --number finds; add --number")
    if len(images) > 1 or images[0].is_dir():
        raise OptionError("--boxes writes one picture, so it takes one image file")
    if boxes.suffix.lower() != ".png":
        raise OptionError(f"--boxes must be a PNG file, such as boxes.png; received: {boxes}")
    if not force:
        from pocketlens.files import refuse_existing

        refuse_existing(boxes)


def _images(given: Path) -> list[Path]:
    """The file itself, or the images in a folder and its subfolders, sorted."""
    if not given.is_dir():
        return [given]
    found = []
    for place, folders, names in os.walk(given):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place) / name
            for name in names
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
        ]
    if not found:
        raise OptionError(f"{given} has no images; expected files such as .png, .jpg or .heic")
    return sorted(found)


def _results(
    model: Predictor, paths: Sequence[Path]
) -> Iterator[tuple[Path, Prediction | ImageError]]:
    """The prediction for each image, or why it cannot be read; a few images at a time."""
    from concurrent.futures import ThreadPoolExecutor

    from pocketlens.image import prepare

    def prepared(path: Path) -> Any:
        try:
            return prepare(path, model.input_spec)
        except ImageError as error:
            return error

    with ThreadPoolExecutor(min(4, len(paths))) as pool:
        for start in range(0, len(paths), BATCH):
            part = paths[start : start + BATCH]
            pixels = list(pool.map(prepared, part))
            good = [each for each in pixels if not isinstance(each, ImageError)]
            answers = iter(model.predict(good))
            for path, each in zip(part, pixels, strict=True):
                yield path, each if isinstance(each, ImageError) else next(answers)


def _numbers(
    model: Predictor, paths: Sequence[Path], boxes: Path | None
) -> Iterator[tuple[Path, Number | ImageError]]:
    """The number in each image, or why it cannot be read; draws the boxes of the only one."""
    from pocketlens.files import aside
    from pocketlens.numbers import check_digits, draw_number, read_number

    check_digits(model.classes)
    for path in paths:
        try:
            found = read_number(model, path)
        except ImageError as error:
            yield path, error
            continue
        if boxes is not None:
            with aside(boxes) as new:
                draw_number(path, found).save(new, "PNG")
        yield path, found


def _readable(found: Iterable[tuple[Path, Any]]) -> Iterator[tuple[Path, Any]]:
    """The results; the first error is raised."""
    for path, answer in found:
        if isinstance(answer, ImageError):
            raise answer
        yield path, answer


def _print(kind: Answers[Any], found: Iterable[tuple[Path, Any]], top: int) -> int:
    """Print a line for each image; returns how many cannot be read."""
    failed = 0
    for path, answer in found:
        if isinstance(answer, ImageError):
            failed += 1
            say(f"pocketlens: note: {answer}", error=True)
            continue
        say(f"{path}: {kind.line(answer, top)}", flush=True)
    return failed


def _json(kind: Answers[Any], path: Path, answer: Any, top: int) -> dict[str, Any]:
    if isinstance(answer, ImageError):
        return {"image": str(path), "error": str(answer)}
    return {"image": str(path), **kind.to_json(answer, top)}


class _Output:
    """Standard output, for a table."""

    def write(self, row: str) -> None:
        say(row.removesuffix("\n"), flush=True)


def _table_file(path: Path, stack: ExitStack, *, force: bool) -> TextIO | _Output:
    if str(path) == "-":
        return _Output()
    from pocketlens.files import aside

    new = stack.enter_context(aside(path, force=force))
    return stack.enter_context(new.open("w", encoding="utf-8", newline=""))


def _write_table(
    file: TextIO | _Output, kind: Answers[Any], found: Iterable[tuple[Path, Any]]
) -> int:
    """Write a row for each image; returns how many cannot be read."""
    table, failed = csv.writer(file, lineterminator="\n"), 0
    table.writerow(["image", *kind.columns, "error"])
    for path, answer in found:
        if isinstance(answer, ImageError):
            failed += 1
            table.writerow([cell(path), *[""] * len(kind.columns), cell(answer)])
            continue
        table.writerow([cell(path), *kind.row(answer), ""])
    return failed
