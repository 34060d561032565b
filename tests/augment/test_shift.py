"""`shift`: by whole pixels, filled with black, seeded."""

from __future__ import annotations

import pytest
import torch

from pocketlens.augment.shift import shift
from pocketlens.errors import OptionError


def moved(images: torch.Tensor, seed: int, pixels: int = 2) -> torch.Tensor:
    return shift(images, torch.Generator().manual_seed(seed), pixels=pixels)


def random_images(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 255, shape, generator=generator, dtype=torch.uint8)


def test_each_result_is_the_shifted_image() -> None:
    images = random_images(40, 2, 7, 5)
    offsets = set()
    for before, after in zip(images, moved(images, 3), strict=True):
        wide = torch.zeros(2, 11, 9, dtype=torch.uint8)
        wide[:, 2:9, 2:7] = before
        found = [
            (y, x) for y in range(5) for x in range(5)
            if torch.equal(wide[:, y : y + 7, x : x + 5], after)
        ]  # fmt: skip
        assert len(found) == 1
        offsets.add(found[0])
    assert len(offsets) > 15  # of 25 possible: each image has its own


def test_same_seed_draws_the_same_offsets() -> None:
    images = random_images(9, 1, 6, 6)
    assert torch.equal(moved(images, 5), moved(images, 5))
    assert not torch.equal(moved(images, 5), moved(images, 6))


def test_0_pixels_do_not_change_the_images() -> None:
    images = random_images(3, 1, 6, 6)
    assert torch.equal(moved(images, 0, pixels=0), images)


@pytest.mark.parametrize("pixels", [7, -1])
def test_pixels_out_of_range_are_rejected(pixels: int) -> None:
    message = f"augment.pixels must be an integer from 0 to 6; received: {pixels}"
    with pytest.raises(OptionError, match=message):
        moved(torch.zeros(1, 1, 6, 6, dtype=torch.uint8), 0, pixels=pixels)
