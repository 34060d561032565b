"""The data folder: where data sets are stored on this computer."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["VARIABLE", "data_folder"]

VARIABLE = "POCKETLENS_DATA"
"""The environment variable with the path of the data folder."""


def data_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The path of the data folder: `folder`, else `POCKETLENS_DATA`, else the user's cache folder.

    The folder may not exist; this function does not create it.
    """
    chosen = folder or os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("pocketlens", appauthor=False)
