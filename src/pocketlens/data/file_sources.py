"""The names of sources that are files of the user: `folder:PATH` and `csv:PATH`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pocketlens.errors import OptionError

__all__ = ["CSV", "CSV_OUTSIDE", "FOLDER", "FileSource"]

FOLDER, CSV, CSV_OUTSIDE = "folder:", "csv:", "csv-outside:"


@dataclass(frozen=True)
class FileSource:
    """A source that consists of image files.

    Args:
        kind: `folder:`, `csv:` or `csv-outside:`.
        path: The folder or the CSV file.
    """

    kind: str
    path: Path

    @classmethod
    def parse(cls, source: str) -> FileSource | None:
        """The source that a name such as `folder:PATH` stands for; None for any other name.

        Raises:
            OptionError: There is no path after the prefix.
        """
        for kind in (FOLDER, CSV, CSV_OUTSIDE):
            if source.startswith(kind):
                if source == kind:
                    raise OptionError(f"data source '{kind}' has no path; expected: {kind}PATH")
                return cls(kind, Path(source.removeprefix(kind)).expanduser())
        return None

    @property
    def root(self) -> Path:
        """The folder with the images; of a CSV file, the folder that it is in."""
        return self.path if self.kind == FOLDER else self.path.parent
