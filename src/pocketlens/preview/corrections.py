"""Stores images that the model got wrong, with the correct label: one folder per class.

The folder can be used as a data source (`folder:PATH`). Nothing is stored without `--collect`. Only
the user who started the preview can read the images. Links in the folder are not followed.
"""

from __future__ import annotations

import hashlib
import os
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pocketlens.errors import OptionError, OutputError, OutputExistsError
from pocketlens.files import open_nofollow, remove_leftovers, write_aside
from pocketlens.preview.folder_names import folder_name_error

__all__ = ["Correction", "Corrections"]

MAX_CORRECTIONS = 10_000
"""The largest number of stored images."""

MAX_STORED_BYTES = 20_000_000
"""The largest file that is returned. Stored images are smaller, but a user may add others."""


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
        to_png: Decodes and reduces the content of an image file, and returns it as a PNG file.

    Raises:
        OptionError: `folder` is a file.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        classes: Sequence[str],
        to_png: Callable[[bytes], bytes],
    ) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise OptionError(f"{folder} is a file; expected a folder for the corrections")
        self.classes = tuple(name for name in classes if not folder_name_error(name))
        self.to_png = to_png
        self._lock = threading.Lock()
        self._remaining = 0
        """How many images may be added before the folder has to be counted again."""
        self._finish_moves()

    def __iter__(self) -> Iterator[Correction]:
        """Iterate by class, then by name."""
        folders = self._class_folders()
        for label in self.classes:
            if label in folders:
                for path in sorted(folders[label].glob("*.png")):
                    if path.is_file() and not path.is_symlink():
                        yield Correction(label, path.stem)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def add(self, content: bytes, label: str) -> Correction:
        """Store an image as `label`, as a PNG file of at most 640 pixels.

        An image that is stored under another label is moved; the same image is stored only once.
        If it cannot be written, it stays where it was.

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
        png = self.to_png(content)
        correction = Correction(label, hashlib.sha256(png).hexdigest()[:16])
        with self._lock:
            self._check_capacity()
            folders = self._class_folders()
            taken = self.folder / label
            if label not in folders and (taken.exists() or taken.is_symlink()):
                raise OptionError(
                    f"{self.folder.name} cannot store {label!r}: another class has the same name "
                    "except for upper and lower case, or its folder is a link; use a "
                    "case-sensitive file system without links"
                )
            path = self._path(correction)
            is_new = not path.is_file()
            self._write(path, png)
            # An earlier correction of the same image to another label was a mistake.
            try:
                for other in set(folders) - {label}:
                    self._delete(Correction(other, correction.name))
            except OutputError:
                if is_new:
                    self._delete(correction)
                raise
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
            or path.is_symlink()
            or not path.is_file()
        ):
            raise OptionError(
                f"no correction {correction.name!r} with label {correction.label!r}; "
                "GET /api/corrections lists all of them"
            )
        return path

    def read(self, correction: Correction) -> bytes:
        """The content of a correction's image.

        Raises:
            OptionError: The correction does not exist, or it is far too large.
        """
        path = self.path(correction)
        try:
            with open_nofollow(path) as file:
                content = file.read(MAX_STORED_BYTES + 1)
        except OSError as error:
            raise OptionError(f"{correction.name} cannot be read: {error.strerror}") from error
        if len(content) > MAX_STORED_BYTES:
            raise OptionError(f"{correction.name} has more than {MAX_STORED_BYTES} bytes")
        return content

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
        found = {
            unicodedata.normalize("NFC", path.name): path
            for path in self.folder.iterdir()
            if path.is_dir() and not path.is_symlink()
        }
        composed = ((label, unicodedata.normalize("NFC", label)) for label in self.classes)
        return {label: found[name] for label, name in composed if name in found}

    def _check_capacity(self) -> None:
        if self._remaining <= 0:
            self._remaining = MAX_CORRECTIONS - len(self)
        if self._remaining <= 0:
            raise OptionError(
                f"{self.folder.name} is full: {MAX_CORRECTIONS} images; move some of them to "
                "another folder"
            )

    def _write(self, path: Path, png: bytes) -> None:
        """Write an image that only the user may read, in folders that only the user may enter."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.folder, path.parent):
                folder.mkdir(0o700, exist_ok=True)
            write_aside(path, png, private=True)
        except (OSError, OutputError, OutputExistsError) as error:
            _remove_if_empty(path.parent)
            raise self._output_error(path, "written", error) from error

    def _delete(self, correction: Correction) -> None:
        path = self._path(correction)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self._output_error(path, "deleted", error) from error
        _remove_if_empty(path.parent)  # data folders must not have empty classes

    def _output_error(self, path: Path, done: str, error: Exception) -> OutputError:
        """An error for the page, which must not learn where the folder is."""
        cause = error if isinstance(error, OSError) else error.__cause__
        reason = cause.strerror if isinstance(cause, OSError) else "another file is in the way"
        name = f"{self.folder.name}/{path.relative_to(self.folder).as_posix()}"
        return OutputError(f"{name} cannot be {done}: {reason}")

    def _finish_moves(self) -> None:
        """Remove what a killed preview left: half a file, or an image under two labels."""
        if not self.folder.is_dir():
            return
        remove_leftovers(self.folder)
        newest: dict[str, Correction] = {}
        for each in sorted(self, key=lambda one: self._path(one).stat().st_mtime_ns):
            if (older := newest.get(each.name)) is not None:
                self._delete(older)
            newest[each.name] = each


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # it is not empty, or not there
        folder.rmdir()
