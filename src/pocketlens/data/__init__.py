"""Labeled images: where they come from (`mnist`, `strokes`, `folder:PATH`) and what they become.

Every source ends in a `Dataset`. Importing this package imports NumPy and nothing heavier.
"""

from pocketlens.data.catalog import CATALOG, Source
from pocketlens.data.dataset import Dataset
from pocketlens.data.loading import (
    Resolved,
    download_data,
    faults,
    load_data,
    resolve,
    training_images,
)

__all__ = [
    "CATALOG",
    "Dataset",
    "Resolved",
    "Source",
    "download_data",
    "faults",
    "load_data",
    "resolve",
    "training_images",
]
