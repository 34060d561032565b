"""The data folder and the cache folder: where files are stored on this computer."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["CACHE_VARIABLE", "VARIABLE", "cache_folder", "data_folder"]

VARIABLE = "POCKETLENS_DATA"
"""The environment variable with the path of the data folder."""

CACHE_VARIABLE = "POCKETLENS_CACHE"
"""The environment variable with the path of the cache folder."""


def data_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The path of the data folder: `folder`, else `POCKETLENS_DATA`, else the user's cache folder.

    The folder may not exist; this function does not create it.
    """
    chosen = folder or os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("pocketlens", appauthor=False)


def cache_folder() -> Path:
    """The folder of what can be computed again: `POCKETLENS_CACHE`, else the user's cache folder.

    The folder may not exist; this function does not create it.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("pocketlens", appauthor=False)
