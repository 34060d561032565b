"""Labeled images from published sets, drawn digits, folders and CSV files, each as a `Dataset`.

Importing this package imports NumPy, but nothing heavier.
"""

from pocketlens.data.background import load_background
from pocketlens.data.catalog import CATALOG, Source
from pocketlens.data.dataset import Dataset
from pocketlens.data.loading import (
    Resolved,
    download_data,
    load_data,
    load_folder,
    resolve,
)
from pocketlens.data.recipe_images import errors, training_images

__all__ = [
    "CATALOG",
    "Dataset",
    "Resolved",
    "Source",
    "download_data",
    "errors",
    "load_background",
    "load_data",
    "load_folder",
    "resolve",
    "training_images",
]
