"""`augment.build`: a recipe's augmentation by name, its options, and the class `nothing`."""

from __future__ import annotations

import pytest
import torch

from pocketlens import augment
from pocketlens.errors import RecipeError
from pocketlens.recipe import load_recipe


def built(*overrides: str) -> augment.Augmentation:
    recipe = load_recipe("quick", overrides)
    return augment.build(recipe.augment, nothing=recipe.data.nothing)


def test_none_changes_nothing() -> None:
    assert built("augment.name=none") == augment.Augmentation()


def test_options_reach_the_function() -> None:
    images = torch.randint(1, 255, (3, 1, 6, 6), dtype=torch.uint8)
    change = built("augment.name=shift", "augment.pixels=0").change
    assert change is not None
    assert torch.equal(change(images, torch.Generator()), images)


def test_frames_of_nothing_come_only_when_asked_for() -> None:
    assert built("augment.name=camera").nothing is None
    nothing = built("augment.name=camera", "data.nothing=0.1").nothing
    assert nothing is not None
    frames = nothing(torch.zeros(5, 1, 28, 28, dtype=torch.uint8), torch.Generator())
    assert frames.shape == (5, 1, 28, 28)
    assert frames.dtype == torch.uint8


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["augment.name=shfit"], "augment.name 'shfit' is not known; did you mean 'shift'"),
        (
            ["augment.name=shift", "augment.pixel=1"],
            "augment.pixel is not an option of 'shift'; did you mean",
        ),
        (["augment.pixels=1"], "augment.pixels is not an option of 'none'; it takes none"),
        (
            ["augment.name=shift", "data.nothing=0.1"],
            "data.nothing is 0.1, but augment 'shift' has no frames without a class; "
            "those that have: camera",
        ),
    ],
)
def test_faults(overrides: list[str], fault: str) -> None:
    with pytest.raises(RecipeError) as error:
        built(*overrides)
    assert fault in str(error.value)
