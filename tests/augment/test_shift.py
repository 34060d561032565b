"""`shift`: whole pixels, black behind, seeded."""

from __future__ import annotations

import pytest
import torch

from pocketlens.augment.shift import shift
from pocketlens.errors import OptionError


def moved(images: torch.Tensor, seed: int, pixels: int = 2) -> torch.Tensor:
    return shift(images, torch.Generator().manual_seed(seed), pixels=pixels)


def test_each_image_is_a_shift_of_itself() -> None:
    images = torch.randint(1, 255, (40, 2, 7, 5), dtype=torch.uint8)
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
    assert len(offsets) > 15  # of 25: they differ from image to image


def test_the_same_seed_moves_the_same() -> None:
    images = torch.randint(0, 255, (9, 1, 6, 6), dtype=torch.uint8)
    assert torch.equal(moved(images, 5), moved(images, 5))
    assert not torch.equal(moved(images, 5), moved(images, 6))


def test_no_pixels_no_move() -> None:
    images = torch.randint(0, 255, (3, 1, 6, 6), dtype=torch.uint8)
    assert torch.equal(moved(images, 0, pixels=0), images)


def test_pixels_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="a whole number from 0 to 6; received: 7"):
        moved(torch.zeros(1, 1, 6, 6, dtype=torch.uint8), 0, pixels=7)
