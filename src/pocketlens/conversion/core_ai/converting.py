"""`convert` to a Core AI model: write it, compare it with its source, and give it its name."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

from pocketlens.conversion.core_ai.writing import write_core_ai
from pocketlens.conversion.metadata import ModelMetadata
from pocketlens.conversion.package import check_target
from pocketlens.conversion.source_kinds import ArraySource, ImageSource
from pocketlens.errors import OptionError
from pocketlens.files import aside, temporary_folder

__all__ = ["convert_to_core_ai"]


def convert_to_core_ai(
    source: ImageSource | ArraySource,
    target: Path,
    *,
    precision: str,
    metadata: ModelMetadata,
    data: Any = None,
    check: bool = True,
    force: bool = False,
) -> Path:
    """See `convert`.

    Args:
        source: What is converted.
        target: The `.aimodel` folder.
        precision: `float16` or `float32`.
        metadata: Author, license, version and description.
        data: Images or arrays for the comparison; None: made-up ones.
        check: Compare the model with its source.
        force: Replace an output that exists.
    """
    if precision == "mixed":
        raise OptionError(
            "precision mixed is for an ML Program (.mlpackage); a Core AI model (.aimodel) takes "
            "--precision float16 or float32"
        )
    check_target(target, force=force)
    half = precision == "float16"
    with temporary_folder() as folder:
        file = folder / target.name
        write_core_ai(source, file, metadata, half=half)
        for warning in source.warnings:
            warnings.warn(warning, stacklevel=3)
        if check:
            for note in _check(file, source, metadata, half, data):
                warnings.warn(note, stacklevel=3)
        with aside(target, force=force) as new:
            shutil.copytree(file, new, copy_function=shutil.copyfile)
    return target


def _check(
    file: Path,
    source: ImageSource | ArraySource,
    metadata: ModelMetadata,
    half: bool,
    data: Any,
) -> list[str]:
    """Compare the model, in Apple's interpreter, with its source."""

    def in_float32() -> Path:
        exact = file.with_name(f"exact.{file.name}")
        write_core_ai(source, exact, metadata, half=False)
        return exact

    if isinstance(source, ImageSource):
        from pocketlens.conversion.checking import check_file

        images = getattr(data, "images", data)
        return check_file(file, source, half=half, in_float32=in_float32, data=images)
    from pocketlens.conversion.array_checking import check_array_file

    return check_array_file(file, source, half=half, in_float32=in_float32)
