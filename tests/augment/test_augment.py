"""`augment.build`: a recipe's augmentation by name, its options, and the class `nothing`."""

from __future__ import annotations

import pytest
import torch

from pocketlens import augment
from pocketlens.data import load_data
from pocketlens.errors import RecipeError
from pocketlens.recipe import load_recipe


def built(*overrides: str) -> augment.Augmentation:
    recipe = load_recipe("quick", overrides)
    return augment.build(recipe.augment, nothing=recipe.data.nothing)


def test_none_changes_nothing() -> None:
    assert built("augment.name=none") == augment.Augmentation()


def test_options_reach_the_function() -> None:
    images = torch.randint(1, 255, (3, 1, 6, 6), dtype=torch.uint8)
    shift = built("augment.name=shift", "augment.pixels=0")
    assert torch.equal(shift(images, torch.Generator()), images)


def test_frames_of_nothing_come_after_the_images() -> None:
    images = torch.zeros(5, 1, 28, 28, dtype=torch.uint8)
    assert not built("augment.name=camera").shows_nothing
    camera = built("augment.name=camera", "data.nothing=0.1")
    assert camera.shows_nothing
    assert camera(images, torch.Generator(), 7).shape == (12, 1, 28, 28)


def test_a_sample_shows_images_and_nothing() -> None:
    digits = load_data("strokes", split="test")
    camera = built("augment.name=camera", "data.nothing=0.1")
    shown = augment.sample(digits, camera, seed=0, count=30)
    assert shown.classes == (*digits.classes, "nothing")
    assert shown.labels.tolist() == [*digits.labels[:20], *[10] * 10]
    assert shown.name == "strokes/test, augmented"
    shift = augment.sample(digits, built("augment.name=shift"), seed=0, count=30)
    assert shift.classes == digits.classes
    assert shift.labels.tolist() == digits.labels[:30].tolist()


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
