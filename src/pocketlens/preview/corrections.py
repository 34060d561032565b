"""Stores images that the model got wrong, with the correct label: one folder per class.

The folder can be used as a data source (`folder:PATH`). Nothing is stored without `--collect`.
"""

from __future__ import annotations

import hashlib
import os
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pocketlens.errors import OptionError, OutputError
from pocketlens.files import write_aside
from pocketlens.image import open_image
from pocketlens.preview.inference import MAX_PHOTO_PIXELS

__all__ = ["Correction", "Corrections"]

MAX_SIDE = 640
"""Larger images are reduced to this height or width in pixels; small networks need less."""

MAX_CORRECTIONS = 10_000
"""The largest number of stored images."""

MAX_NAME_BYTES = 200
"""The longest class name that is used as a folder name, in bytes."""

INVALID_CHARACTERS = set('/\\:*?"<>|') | {chr(code) for code in range(32)}
WINDOWS_DEVICES = {
    "aux",
    "con",
    "nul",
    "prn",
    *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10)),
}
"""Names that Windows reserves for devices, also with an extension."""


@dataclass(frozen=True)
class Correction:
    """A stored image: its correct label, and the name of its file without the extension."""

    label: str
    name: str


class Corrections:
    """A folder of corrections. The methods are thread-safe.

    Args:
        folder: The folder; created when the first image is stored.
        classes: The possible labels; class names that cannot be folder names are left out.

    Raises:
        OptionError: `folder` is a file.
    """

    def __init__(self, folder: str | os.PathLike[str], classes: Sequence[str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise OptionError(f"{folder} is a file; expected a folder for the corrections")
        self.classes = tuple(name for name in classes if _is_folder_name(name))
        self._lock = threading.Lock()
        self._remaining = 0
        """How many images may be added before the folder has to be counted again."""

    def __iter__(self) -> Iterator[Correction]:
        """Iterate by class, then by name."""
        folders = self._class_folders()
        for label in self.classes:
            if label in folders:
                for path in sorted(folders[label].glob("*.png")):
                    yield Correction(label, path.stem)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def add(self, content: bytes, label: str) -> Correction:
        """Store an image as `label`, as a PNG file of at most 640 pixels.

        An image that is stored under another label is moved; the same image is stored only once.

        Args:
            content: The content of an image file.
            label: The correct class.

        Raises:
            ImageError: `content` is not a readable image, or the image is too large.
            OptionError: `label` is not a class, or the folder is full.
            OutputError: The folder cannot be written.
        """
        if label not in self.classes:
            raise OptionError(
                f"unknown label {label!r}; expected one of: "
                f"{', '.join(map(repr, self.classes[:12]))}"
            )
        image = open_image(content, max_pixels=MAX_PHOTO_PIXELS)
        image.thumbnail((MAX_SIDE, MAX_SIDE))
        file = BytesIO()
        image.save(file, "PNG")
        correction = Correction(label, hashlib.sha256(file.getvalue()).hexdigest()[:16])
        with self._lock:
            self._check_capacity()
            folders = self._class_folders()
            if label not in folders and (self.folder / label).exists():
                raise OptionError(
                    f"{self.folder} cannot store {label!r}: another class has the same name except "
                    "for upper and lower case; use a case-sensitive file system"
                )
            # An earlier correction of the same image to another label was a mistake.
            for other in set(folders) - {label}:
                self._delete(Correction(other, correction.name))
            write_aside(self._path(correction), file.getvalue(), parents=True)
            self._remaining -= 1
        return correction

    def path(self, correction: Correction) -> Path:
        """The path of a correction's image.

        Raises:
            OptionError: The correction does not exist.
        """
        path = self._path(correction)
        if (
            correction.label not in self._class_folders()
            or not correction.name.isalnum()
            or not path.is_file()
        ):
            raise OptionError(
                f"no correction {correction.name!r} with label {correction.label!r}; "
                "GET /api/corrections lists all of them"
            )
        return path

    def remove(self, correction: Correction) -> None:
        """Delete a correction.

        Raises:
            OptionError: The correction does not exist.
            OutputError: The file cannot be deleted.
        """
        with self._lock:
            self.path(correction)
            self._delete(correction)

    def _path(self, correction: Correction) -> Path:
        return self.folder / correction.label / f"{correction.name}.png"

    def _class_folders(self) -> dict[str, Path]:
        """The existing folder of each class.

        The names are read from the listing, because some file systems open the folder `A` under the
        name `a`, and some store accented letters in decomposed form.
        """
        if not self.folder.is_dir():
            return {}
        found = {unicodedata.normalize("NFC", path.name): path for path in self.folder.iterdir()}
        composed = ((label, unicodedata.normalize("NFC", label)) for label in self.classes)
        return {label: found[name] for label, name in composed if name in found}

    def _check_capacity(self) -> None:
        if self._remaining <= 0:
            self._remaining = MAX_CORRECTIONS - len(self)
        if self._remaining <= 0:
            raise OptionError(
                f"{self.folder} is full: {MAX_CORRECTIONS} images; move some of them to another "
                "folder"
            )

    def _delete(self, correction: Correction) -> None:
        path = self._path(correction)
        try:
            path.unlink(missing_ok=True)
            if not any(path.parent.iterdir()):  # data folders must not have empty classes
                path.parent.rmdir()
        except OSError as error:
            raise OutputError(f"{path} cannot be deleted: {error.strerror or error}") from error


def _is_folder_name(name: str) -> bool:
    """Whether a class name is a valid folder name on every operating system."""
    valid = name.strip(" .") == name and not INVALID_CHARACTERS & set(name)
    device = name.partition(".")[0].casefold() in WINDOWS_DEVICES
    return bool(name) and valid and not device and len(name.encode()) <= MAX_NAME_BYTES
