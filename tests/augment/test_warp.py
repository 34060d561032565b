"""`warp`: seeded, within its limits, and without effect if all limits are 0."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pocketlens.augment.warp import warp
from pocketlens.errors import OptionError

STILL = dict.fromkeys(["turn", "scale", "smaller", "shift", "shear", "stretch", "elastic"], 0)


def images(count: int = 20, channels: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, 28, 28), generator=random, dtype=torch.uint8)


def changed(batch: Tensor, seed: int = 0, /, **options: float) -> Tensor:
    return warp(batch, torch.Generator().manual_seed(seed), 0, **options)


def test_limits_of_0_do_not_change_the_images() -> None:
    assert torch.equal(changed(images(), **STILL), images())


def test_same_seed_draws_the_same_changes() -> None:
    assert torch.equal(changed(images(), 3), changed(images(), 3))
    assert not torch.equal(changed(images(), 3), changed(images(), 4))


def test_channels_get_the_same_change() -> None:
    gray = images().repeat(1, 3, 1, 1)
    out = changed(gray)
    assert torch.equal(out[:, 0], out[:, 1])
    assert torch.equal(out[:, 0], out[:, 2])


@pytest.mark.parametrize("option", STILL)
def test_each_option_has_an_effect_of_its_own(option: str) -> None:
    bar = torch.zeros(50, 1, 28, 28, dtype=torch.uint8)
    bar[:, :, 6:22, 10:14] = 255
    most = 30 if option == "turn" else 0.2
    out = changed(bar, **(STILL | {option: most}))
    assert not torch.equal(out, bar)
    assert (out.float().sum((1, 2, 3)) > 0.5 * bar[0].float().sum()).all()  # the bar is visible
    assert (out[0] != out[1]).any()


def test_smaller_images_are_anywhere_in_the_frame() -> None:
    full = torch.full((200, 1, 28, 28), 255, dtype=torch.uint8)
    out = changed(full, **(STILL | {"smaller": 1}))[:, 0] > 127
    wide, high = out.any(1).sum(1), out.any(2).sum(1)
    assert (wide - high).abs().max() <= 1
    assert 10 <= wide.min() < 12  # 28 / e
    assert 26 < wide.max() <= 28
    left = out.any(1).float().argmax(1)
    small = wide < 16
    assert left[small].min() < 2  # at the left edge, and at the right one
    assert (left + wide)[small].max() > 26


def test_frames_of_nothing_are_scribbles_pieces_and_empty_frames() -> None:
    out = warp(images(4), torch.Generator().manual_seed(0), 300)
    assert out.shape == (304, 1, 28, 28)
    ink = (out[4:] > 127).float().mean((1, 2, 3))
    assert 0.01 < (ink == 0).float().mean() < 0.15
    # The images are noise, so half of the pixels of a scrambled one are bright.
    assert 0.15 < ((ink - 0.5).abs() < 0.1).float().mean() < 0.45
    assert ((ink > 0.01) & (ink < 0.35)).float().mean() > 0.5
    assert torch.equal(out, warp(images(4), torch.Generator().manual_seed(0), 300))


def test_shift_is_within_its_limit() -> None:
    dot = torch.zeros(200, 1, 28, 28, dtype=torch.uint8)
    dot[:, :, 13:15, 13:15] = 255
    out = changed(dot, **(STILL | {"shift": 0.2}))[:, 0].float()
    place = torch.arange(28) + 0.5
    down = (out.sum(2) * place).sum(1) / out.sum((1, 2))
    assert 11.1 < down.min() < 11.8  # 14, minus or plus 0.2 of 14
    assert 16.2 < down.max() < 16.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"turn": 181}, "augment.turn must be from 0 to 180; received: 181"),
        ({"elastic": -0.1}, "augment.elastic must be from 0 to 0.5; received: -0.1"),
        ({"scale": True}, "augment.scale must be from 0 to 1; received: True"),
    ],
)
def test_options_out_of_range_are_rejected(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        changed(images(), **options)


def test_images_must_be_square() -> None:
    with pytest.raises(OptionError, match="needs square images; received: 28 × 20"):
        changed(torch.zeros(2, 1, 28, 20, dtype=torch.uint8))
