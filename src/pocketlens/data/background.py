"""Pictures of the background: what a recognizer sees when none of its classes is in view."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.folder import decode_files
from pocketlens.data.members import files_below
from pocketlens.errors import DataError, DataNotFoundError
from pocketlens.image import InputSpec

__all__ = ["load_background"]


def load_background(path: str | os.PathLike[str], input_spec: InputSpec) -> NDArray[np.uint8]:
    """All pictures in a folder and the folders below it, whatever their names.

    Args:
        path: The folder; `~` stands for the home folder.
        input_spec: Size, colors and crop of the pictures.

    Returns:
        `(N, *input_spec.shape)` uint8.

    Raises:
        DataNotFoundError: `path` is not a folder.
        DataError: It has no pictures, or files that cannot be read.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataNotFoundError(
            f"{folder} is not a folder; expected a folder with pictures of the background"
        )
    files = files_below(folder, folder.resolve())
    if not files:
        raise DataError(
            f"{folder} has no pictures; add pictures of what is in view when none of the classes is"
        )
    return decode_files(folder, files, input_spec)
