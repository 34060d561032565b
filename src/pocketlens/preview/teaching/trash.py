"""What was deleted or moved can be undone, as long as the page's server runs.

Deleted files are moved to a hidden folder in the data folder, which data sources ignore. It is
removed when the server stops, or at the next start after a crash.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from pocketlens.errors import OptionError

__all__ = ["TRASH", "Change", "Trash"]

TRASH = ".pocketlens-trash"

MAX_CHANGES = 100
"""How many changes can be undone."""


@dataclass(frozen=True)
class Change:
    """What was done.

    Args:
        text: What it was, such as `deleted 3 examples of cat`.
        moves: Each file or folder that was renamed: from where, to where.
        classes: The names of the classes before.
    """

    text: str
    moves: tuple[tuple[Path, Path], ...]
    classes: tuple[str, ...]


class Trash:
    """The folder of deleted files, and the changes that can be undone.

    Args:
        folder: The data folder.
    """

    def __init__(self, folder: Path) -> None:
        self.place = folder / TRASH
        self.changes: list[Change] = []
        self._numbers = count(1)

    def place_for(self, name: str) -> Path:
        """A new path in the folder, for a file or folder of this name.

        Raises:
            OSError: The folder cannot be created.
        """
        self.place.mkdir(0o700, exist_ok=True)
        return self.place / f"{next(self._numbers)}-{name[-60:]}"

    def add(self, change: Change) -> None:
        """Remember a change."""
        self.changes = [*self.changes[1 - MAX_CHANGES :], change]

    def undo(self) -> Change:
        """Rename everything back that the last change has renamed.

        Raises:
            OptionError: There is nothing to undo, or something else is there now.
            OSError: It cannot be renamed.
        """
        if not self.changes:
            raise OptionError("there is nothing to undo")
        change = self.changes[-1]
        for old, new in change.moves:
            # On some file systems, `cat` is there as long as `Cat` is.
            taken = old.exists() and not (new.exists() and old.samefile(new))
            if taken or not new.exists():
                what = f"there is another {old.name!r} now" if taken else "it is gone"
                raise OptionError(f"this cannot be undone ({change.text}): {what}")
        rename_all([(new, old) for old, new in reversed(change.moves)])
        self.changes = self.changes[:-1]
        return change

    def empty(self) -> None:
        """Remove all that was deleted, for good."""
        self.changes = []
        if not self.place.is_symlink():
            shutil.rmtree(self.place, ignore_errors=True)


def rename_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Rename files or folders, all or none; missing parent folders are created.

    Raises:
        OSError: One cannot be renamed.
    """
    done: list[tuple[Path, Path]] = []
    try:
        for old, new in moves:
            new.parent.mkdir(0o700, exist_ok=True)
            old.rename(new)
            done.append((old, new))
    except OSError:
        for old, new in reversed(done):
            old.parent.mkdir(0o700, exist_ok=True)
            new.rename(old)
        raise
