"""What the model got wrong and somebody put right: pictures in a folder, one folder a class.

It is a data source of its own (`folder:PATH`), and nothing is kept unless the folder was asked for.
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
from pocketlens.preview.inference import MAX_PICTURE_PIXELS

__all__ = ["Correction", "Corrections"]

LONGEST_SIDE = 640
"""A picture is kept no larger than this: more than a small network sees."""

MOST = 10_000
"""How many are kept."""

AWKWARD = set('/\\:*?"<>|') | {chr(code) for code in range(32)}
DEVICES = {"aux", "con", "nul", "prn", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}
"""What Windows takes for a device, whatever follows a dot."""


@dataclass(frozen=True)
class Correction:
    """A picture that was put right: what it is, and the name of its file."""

    label: str
    name: str


class Corrections:
    """A folder of corrections. Its methods may be called from several threads.

    Args:
        folder: Made when the first picture is kept.
        classes: What a picture may be; those that cannot be a folder's name are left out.

    Raises:
        OptionError: `folder` is a file.
    """

    def __init__(self, folder: str | os.PathLike[str], classes: Sequence[str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise OptionError(f"{folder} is a file; corrections are kept in a folder")
        self.classes = tuple(name for name in classes if _is_folder_name(name))
        self._lock = threading.Lock()
        self._room = 0
        """How many may be added before the folder has to be counted again."""

    def __iter__(self) -> Iterator[Correction]:
        """By class, then by name."""
        places = self._places()
        for label in self.classes:
            if label in places:
                for path in sorted(places[label].glob("*.png")):
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
        image = open_image(picture, max_pixels=MAX_PICTURE_PIXELS)
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        file = BytesIO()
        image.save(file, "PNG")
        correction = Correction(label, hashlib.sha256(file.getvalue()).hexdigest()[:16])
        with self._lock:
            self._make_room()
            places = self._places()
            if label not in places and (self.folder / label).exists():
                raise OptionError(
                    f"{self.folder} keeps {label!r} and another class, whose name differs only in "
                    "capitals, in one folder; collect on a disk that tells them apart"
                )
            # What was put right differently before was a slip.
            for other in set(places) - {label}:
                self._forget(Correction(other, correction.name))
            write_aside(self._file(correction), file.getvalue(), parents=True)
            self._room -= 1
        return correction

    def path(self, correction: Correction) -> Path:
        """Where a correction's picture is.

        Raises:
            OptionError: There is no such correction.
        """
        path = self._file(correction)
        if (
            correction.label not in self._places()
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
        with self._lock:
            self.path(correction)
            self._forget(correction)

    def _file(self, correction: Correction) -> Path:
        return self.folder / correction.label / f"{correction.name}.png"

    def _places(self) -> dict[str, Path]:
        """The classes' folders that are there.

        By their names in the listing: asked for `a`, some systems give the folder `A`, and some
        write accents in another way.
        """
        if not self.folder.is_dir():
            return {}
        there = {unicodedata.normalize("NFC", each.name): each for each in self.folder.iterdir()}
        composed = ((label, unicodedata.normalize("NFC", label)) for label in self.classes)
        return {label: there[name] for label, name in composed if name in there}

    def _make_room(self) -> None:
        if self._room <= 0:
            self._room = MOST - len(self)
        if self._room <= 0:
            raise OptionError(f"{self.folder} holds {MOST} pictures; move some of them elsewhere")

    def _forget(self, correction: Correction) -> None:
        path = self._file(correction)
        try:
            path.unlink(missing_ok=True)
            if not any(path.parent.iterdir()):  # an empty class is a fault of a data folder
                path.parent.rmdir()
        except OSError as error:
            raise OutputError(f"{path} cannot be deleted: {error.strerror or error}") from error


def _is_folder_name(name: str) -> bool:
    """Whether a class can be a folder on any system."""
    sane = name.strip(" .") == name and not AWKWARD & set(name)
    device = name.partition(".")[0].casefold() in DEVICES
    return bool(name) and sane and not device and len(name.encode()) <= 200
