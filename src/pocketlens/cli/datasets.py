"""The option `--data`: which images a command measures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketlens.cli.terminal import note
from pocketlens.errors import OptionError

if TYPE_CHECKING:
    from pocketlens.data import Dataset
    from pocketlens.image import InputSpec
    from pocketlens.run_folder import Run

__all__ = ["Data", "source_name", "test_set"]

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="A folder of images, a CSV file, mnist or auto; default: the run's.",
    ),
]


def source_name(data: str) -> str:
    """The name of a data source as recipes have it: a folder's path becomes `folder:PATH`.

    The path of a CSV file becomes `csv:PATH`. Paths are made absolute, so that the run can be
    continued from another folder. A folder that is called like a built-in source is `./mnist`.
    """
    from pocketlens.data.file_sources import CSV, FOLDER, FileSource
    from pocketlens.registry import SOURCES

    if data in SOURCES.builtin or FileSource.parse(data):
        return data
    path = Path(data).expanduser()
    if not (any(mark in data for mark in "/\\~.") or path.is_dir()):
        return data
    is_table = path.suffix.lower() == ".csv" and not path.is_dir()
    return f"{CSV if is_table else FOLDER}{path.absolute()}"


def arrays_or_images(data: str | None, input_spec: InputSpec | None) -> Any:
    """What `--data` is for a model whose outputs are arrays.

    Args:
        data: The option.
        input_spec: How an image becomes the only input; None if the inputs are arrays.

    Returns:
        The path of a file of arrays, or the test images by the name of the input; None for None.
    """
    from pocketlens.conversion.metadata import IMAGE_FEATURE

    if data is None or input_spec is None or Path(data).suffix.lower() in (".npz", ".npy"):
        return data
    return {IMAGE_FEATURE: test_set(None, data, input_spec).images}


def test_set(
    run: Run | None,
    data: str | None,
    input_spec: InputSpec,
    *,
    original_size: bool = False,  # noqa: PT028 - this is no test
) -> Dataset:
    """The test images of `--data`, or those of the run.

    A folder without `train` and `test` has no test images of its own: all its images are used,
    unless the run was trained on that folder. Then they are the run's test images.

    Args:
        run: The run that the model belongs to; None for none.
        data: The option `--data`.
        input_spec: The size and colors of the images.
        original_size: Keep the size that the source has, if all its images have the same.

    Raises:
        OptionError: There is neither a run nor `--data`.
    """
    from pocketlens.data import load_data
    from pocketlens.data.file_sources import FileSource

    if data is None and run is None:
        raise OptionError(
            "a model file contains no images; add --data SOURCE, such as --data mnist"
        )
    own = (run.data.source if run.data else run.recipe.data.source) if run else ""
    source, split, seed = own, "test", run.recipe.seed if run else 0
    if data is not None:
        source, split, seed = _fresh(source_name(data), own, run)
    size = None if original_size and not FileSource.parse(source) else input_spec
    found = load_data(source, split=split, input_spec=size, seed=seed)
    if split == "all":
        note(
            f"{found.name} is not split into train and test: all of its {len(found)} images are "
            "used"
        )
    return found


def _fresh(source: str, own: str, run: Run | None) -> tuple[str, str, int]:
    """Source, split and seed for `--data`."""
    from pocketlens.data.file_sources import FileSource
    from pocketlens.data.folder import find_parts

    if run is not None and _same_files(source, own):
        note(f"the model was trained on {source}: only the run's test images are used")
        return own, "test", run.recipe.seed
    trained = [] if run is None else [_trained_on(own), run.recipe.data.extra]
    if any(_overlap(source, folder) for folder in trained):
        note(f"the model was trained on images of {source}: the results are too good")
    if (files := FileSource.parse(source)) and "all" in find_parts(files, complete=False):
        return source, "all", 0
    return source, "test", 0


def _same_files(source: str, other: str) -> bool:
    from pocketlens.data.file_sources import FileSource

    one, two = FileSource.parse(source), FileSource.parse(other)
    return one is not None and two is not None and one.path.resolve() == two.path.resolve()


def _trained_on(source: str) -> str:
    """The folder with the training images of a source."""
    from pocketlens.data.file_sources import FileSource
    from pocketlens.data.members import has_splits

    files = FileSource.parse(source)
    splits = files and files.path == files.root and has_splits(files.path)
    return f"{source}/train" if splits else source


def _overlap(source: str, other: str) -> bool:
    """Whether one of two folders is inside the other; a CSV file stands for its folder."""
    from pocketlens.data.file_sources import FileSource

    files = FileSource.parse(source), FileSource.parse(other)
    if files[0] is None or files[1] is None:
        return False
    one, two = files[0].root.resolve(), files[1].root.resolve()
    return one.is_relative_to(two) or (two.is_relative_to(one) and not _has_test(one, two))


def _has_test(folder: Path, trained: Path) -> bool:
    """Whether `folder` has a part `test` beside the part that was trained on."""
    return trained == folder / "train" and (folder / "test").is_dir()
