"""`residual`: for what a camera sees. Brightness, contrast and the ink's polarity do not matter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketlens.errors import OptionError
from pocketlens.image import InputSpec

__all__ = ["Residual"]

DIM = 1e-3
"""Added to an image's variance: a plain wall, of less than 3 % contrast, stays faint."""


class Residual(nn.Module):
    """standardise → conv 5×5 /2 → |·| → stages of conv 3×3 /2 and residual blocks → linear.

    Each image is brought to mean 0 and variance 1. The first convolution is followed by the
    absolute value: what is dark on light and what is light on dark give the same from there on, so
    the network need not learn each digit twice. A residual block is two 3×3 convolutions whose
    result is added to their input. Mean and maximum of the last plane of each channel, side by
    side, go into the linear layer: what is where in the frame does not matter.

    Source of residual blocks: He et al., 2015 (arXiv 1512.03385).

    Args:
        input_spec: What it eats, at least 16 × 16.
        classes: Number of logits.
        channels: Output channels of the first convolution, then of each stage.
        blocks: Residual blocks of each stage.

    Shapes:
        `(N, C, H, W)` float → `(N, classes)` float.

    Raises:
        OptionError: Channels or blocks out of range, or an input smaller than 16 × 16.
    """

    def __init__(
        self,
        input_spec: InputSpec,
        classes: int,
        *,
        channels: Sequence[int] = (16, 32, 64),
        blocks: int = 1,
    ) -> None:
        super().__init__()
        height, width, previous = input_spec.shape
        if (
            not isinstance(channels, Sequence)
            or len(channels) < 2
            or any(type(c) is not int or not 1 <= c <= 4096 for c in channels)
        ):
            raise OptionError(
                "network.channels is a list of at least two whole numbers from 1 to 4096; "
                f"received: {channels!r}"
            )
        if type(blocks) is not int or not 0 <= blocks <= 100:
            raise OptionError(
                f"network.blocks is a whole number from 0 to 100; received: {blocks!r}"
            )
        if min(height, width) < 16:
            raise OptionError(
                f"network 'residual' takes inputs of at least 16 × 16; received: {height} × {width}"
            )
        first, *rest = channels
        self.edges = nn.Conv2d(previous, first, 5, stride=2, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(first)
        stages: list[nn.Module] = []
        for before, after in zip(channels, rest, strict=False):
            stages += [_convolution(before, after, stride=2), nn.ReLU()]
            stages += [_Block(after) for _ in range(blocks)]
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(2 * channels[-1], classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        x = x - x.mean((1, 2, 3), keepdim=True)
        x = x / (x.square().mean((1, 2, 3), keepdim=True) + DIM).sqrt()
        x = self.norm(self.edges(x).abs())  # (N, channels[0], H/2, W/2)
        x = self.stages(x)  # (N, channels[-1], about H / 2**len(channels), likewise W)
        return self.head(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1))  # (N, classes)


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = _convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        return F.relu(x + self.second(F.relu(self.first(x))))


def _convolution(before: int, after: int, *, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after)
    )
