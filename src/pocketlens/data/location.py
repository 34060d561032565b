"""The data folder: where data sets lie on this computer."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["VARIABLE", "data_folder"]

VARIABLE = "POCKETLENS_DATA"
"""The environment variable that names the data folder."""


def data_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The folder of data sets: `folder`, else `POCKETLENS_DATA`, else the user's cache folder.

    It need not exist, and is not made.
    """
    chosen = folder or os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("pocketlens", appauthor=False)
