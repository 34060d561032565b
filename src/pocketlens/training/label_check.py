"""`check_labels`: which labels of a folder of pictures are probably wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pocketlens.callbacks import Callback
from pocketlens.data import load_data
from pocketlens.data.check import file_source
from pocketlens.data.folder import relative
from pocketlens.data.wrong_labels import LabelCheck
from pocketlens.errors import require
from pocketlens.networks.backbones import packages_of
from pocketlens.recipe import Recipe, load_recipe

__all__ = ["check_labels"]


def check_labels(
    path: str | os.PathLike[str],
    *,
    recipe: str | Path | Recipe = "photos",
    callbacks: Sequence[Callback] = (),
) -> LabelCheck:
    """Find the pictures whose label is probably wrong, by cross-validation on frozen features.

    Args:
        path: As for `check_data`.
        recipe: A recipe with `training.method = "features"`.
        callbacks: Called as the work proceeds.

    Returns:
        The pictures; their files are relative to the data folder.

    Raises:
        DataError: The folder cannot be used for training, see `load_data`.
        OptionError: Too few classes or images.
        MissingExtraError: PyTorch or the pretrained weights are not installed.
        RunError: The pretrained weights cannot be loaded.
    """
    recipe = load_recipe(recipe)
    purpose = "checking labels"
    require("torch", "onnxruntime", *packages_of(recipe.network), purpose=purpose)
    from pocketlens.training.frozen import train_on_features

    source = file_source(os.fspath(path))
    train, test = (
        load_data(f"{source.kind}{source.path}", split=split, input_spec=recipe.input)
        for split in ("train", "test")
    )
    found = train_on_features(recipe, train.joined(test), callbacks=callbacks).labels
    assert found is not None
    return found.renamed(lambda file: relative(file, source.root))
