"""What the model got wrong and somebody put right: pictures in a folder, one folder a class.

It is a data source of its own (`folder:PATH`), and nothing is kept unless the folder was asked for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pocketlens.errors import OptionError, OutputError
from pocketlens.files import write_aside
from pocketlens.image import open_image
from pocketlens.preview.looking import MAX_PICTURE_PIXELS

__all__ = ["Correction", "Corrections"]

LONGEST_SIDE = 640
"""A picture is kept no larger than this: more than a small network sees."""

MOST = 10_000
"""How many are kept."""

AWKWARD = set('/\\:*?"<>|') | {chr(code) for code in range(32)}


@dataclass(frozen=True)
class Correction:
    """A picture that was put right: what it is, and the name of its file."""

    label: str
    name: str


class Corrections:
    """A folder of corrections.

    Args:
        folder: Made when the first picture is kept.
        classes: What a picture may be.
    """

    def __init__(self, folder: str | os.PathLike[str], classes: Sequence[str]) -> None:
        self.folder = Path(folder)
        self.classes = tuple(name for name in classes if _is_folder_name(name))

    def __iter__(self) -> Iterator[Correction]:
        """By class, then by name."""
        for label in self.classes:
            for path in sorted((self.folder / label).glob("*.png")):
                yield Correction(label, path.stem)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def add(self, picture: bytes, label: str) -> Correction:
        """Keep a picture file's contents as a picture of `label`. Kept twice, it is there once.

        Raises:
            ImageError: Not a picture, or too large.
            OptionError: A label that is no class, or too many pictures.
            OutputError: The folder cannot be written.
        """
        if label not in self.classes:
            raise OptionError(
                f"a correction is one of {', '.join(map(repr, self.classes[:12]))}; "
                f"received: {label!r}"
            )
        if len(self) >= MOST:
            raise OptionError(f"{self.folder} holds {MOST} pictures; move some of them elsewhere")
        image = open_image(picture, max_pixels=MAX_PICTURE_PIXELS)
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        file = BytesIO()
        image.save(file, "PNG")
        name = hashlib.sha256(file.getvalue()).hexdigest()[:16]
        # What was put right differently before was a slip.
        for other in self.classes:
            if other != label:
                (self.folder / other / f"{name}.png").unlink(missing_ok=True)
        write_aside(self.folder / label / f"{name}.png", file.getvalue(), parents=True)
        return Correction(label, name)

    def path(self, correction: Correction) -> Path:
        """Where a correction's picture is.

        Raises:
            OptionError: There is no such correction.
        """
        path = self.folder / correction.label / f"{correction.name}.png"
        if (
            correction.label not in self.classes
            or not correction.name.isalnum()
            or not path.is_file()
        ):
            raise OptionError(f"there is no correction {correction.name!r} of {correction.label!r}")
        return path

    def remove(self, correction: Correction) -> None:
        """Delete one.

        Raises:
            OptionError: There is no such correction.
            OutputError: It cannot be deleted.
        """
        path = self.path(correction)
        try:
            path.unlink()
            if not any(path.parent.iterdir()):  # an empty class is a fault of a data folder
                path.parent.rmdir()
        except OSError as error:
            raise OutputError(f"{path} cannot be deleted: {error.strerror or error}") from error


def _is_folder_name(name: str) -> bool:
    """Whether a class can be a folder on any system."""
    sane = name.strip(" .") == name and not AWKWARD & set(name)
    return bool(name) and sane and len(name.encode()) <= 200
