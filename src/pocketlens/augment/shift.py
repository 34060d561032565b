"""`shift`: moves each image by a few whole pixels and fills the gap with black."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketlens.errors import OptionError

__all__ = ["shift"]


def shift(images: Tensor, generator: torch.Generator, *, pixels: int = 2) -> Tensor:
    """Move each image by a random, uniform offset of up to `pixels` along each axis.

    Args:
        images: `(N, C, H, W)` uint8.
        generator: Source of the random offsets, on the images' device.
        pixels: Largest offset, from 0 to the smaller side of the image.

    Returns:
        `(N, C, H, W)` uint8.

    Raises:
        OptionError: `pixels` is out of range.
    """
    count, _, height, width = images.shape
    if type(pixels) is not int or not 0 <= pixels <= min(height, width):
        raise OptionError(
            f"augment.pixels must be an integer from 0 to {min(height, width)}; "
            f"received: {pixels!r}"
        )
    offsets = torch.randint(
        0, 2 * pixels + 1, (2, count, 1), generator=generator, device=images.device
    )
    rows = offsets[0] + torch.arange(height, device=images.device)  # (N, H)
    columns = offsets[1] + torch.arange(width, device=images.device)  # (N, W)
    padded = F.pad(images, (pixels,) * 4)  # (N, C, H + 2p, W + 2p)
    sample = torch.arange(count, device=images.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[sample, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).contiguous()
