"""`augment.build`: augmentations by name, their options, and the class `nothing`."""

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


def random_images(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 255, shape, generator=generator, dtype=torch.uint8)


def test_none_does_not_change_the_images() -> None:
    assert built("augment.name=none") == augment.Augmentation()
    images = random_images(3, 1, 6, 6)
    assert torch.equal(built("augment.name=none")(images, torch.Generator()), images)


def test_options_are_passed_to_the_function() -> None:
    images = random_images(3, 1, 6, 6)
    unchanged = built("augment.name=shift", "augment.pixels=0")
    assert torch.equal(unchanged(images, torch.Generator().manual_seed(0)), images)
    shifted = built("augment.name=shift", "augment.pixels=3")
    assert not torch.equal(shifted(images, torch.Generator().manual_seed(0)), images)


def test_frames_of_nothing_are_added_after_the_images() -> None:
    images = torch.zeros(5, 1, 28, 28, dtype=torch.uint8)
    assert not built("augment.name=camera").shows_nothing
    camera = built("augment.name=camera", "data.nothing=0.1")
    assert camera.shows_nothing
    assert camera(images, torch.Generator(), 7).shape == (12, 1, 28, 28)


def test_sample_has_images_and_frames_of_nothing() -> None:
    digits = load_data("strokes", split="test")
    camera = built("augment.name=camera", "data.nothing=0.1")
    shown = augment.sample(digits, camera, seed=0, count=30)
    assert shown.classes == (*digits.classes, "nothing")
    assert shown.labels.tolist() == [*sorted([*range(10)] * 2), *[10] * 10]
    assert shown.name == "strokes/test, augmented"
    shift = augment.sample(digits, built("augment.name=shift"), seed=0, count=30)
    assert shift.classes == digits.classes
    assert shift.labels.tolist() == sorted([*range(10)] * 3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["augment.name=shfit"], "unknown augmentation 'shfit'; did you mean 'shift'"),
        (
            ["augment.name=shift", "augment.pixel=1"],
            "augment.pixel is not an option of 'shift'; did you mean",
        ),
        (["augment.pixels=1"], "augment.pixels is not an option of 'none'; it has no options"),
        (
            ["augment.name=shift", "data.nothing=0.1"],
            "data.nothing is 0.1, but augment 'shift' cannot make frames without a class; "
            "augmentations that can: camera, warp",
        ),
    ],
)
def test_invalid_tables_are_rejected(overrides: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        built(*overrides)
    assert message in str(error.value)
