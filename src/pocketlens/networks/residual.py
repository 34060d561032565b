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
    """normalize → conv 5×5 /2 → |·| → stages of conv 3×3 /2, residual blocks → gate → linear.

    From each pixel the mean of its surroundings is taken, and the image is brought to variance 1:
    how bright it is, and how that slowly changes, is gone. The first convolution is followed by the
    absolute value: what is dark on light and what is light on dark give the same from there on, so
    the network need not learn each digit twice. The frame's border is repeated before it: zeros
    there would be an edge round every frame. A residual block is two 3×3 convolutions whose
    result is added to their input. A gate after the last weighs its channels by what is in the
    whole frame. Mean and maximum of the last plane of each channel, side by side, go into the
    linear layer: what is where in the frame does not matter.

    In use it looks three times and gives the mean of the logits: at the image as it is; with half a
    step of the last plane more border on every side, which shows what lay between that plane's
    samples or was cut off by its border; and so again from further away, at five sixths of the
    size. What is no digit seldom is one three times. It costs nothing in training.

    Sources: residual blocks, He et al., 2015 (arXiv 1512.03385); gates, Hu et al.,
    "Squeeze-and-Excitation Networks", 2017 (arXiv 1709.01507).

    Args:
        input_spec: What it eats, at least 16 × 16.
        classes: Number of logits.
        channels: Output channels of the first convolution, then of each stage.
        blocks: Residual blocks of each stage: one number for all, or one each.

    Shapes:
        `(N, C, H, W)` float → `(N, classes)` float.

    Raises:
        OptionError: Channels or blocks out of range, or an input smaller than 16 × 16.
    """

    down: Tensor
    across: Tensor
    further_down: Tensor
    further_across: Tensor

    def __init__(
        self,
        input_spec: InputSpec,
        classes: int,
        *,
        channels: Sequence[int] = (16, 32, 48),
        blocks: int | Sequence[int] = (1, 2),
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
        stages = len(channels) - 1
        each = [blocks] * stages if isinstance(blocks, int) else blocks
        if (
            not isinstance(each, Sequence)
            or len(each) != stages
            or any(type(count) is not int or not 0 <= count <= 100 for count in each)
        ):
            raise OptionError(
                "network.blocks is a whole number from 0 to 100, or a list of one for each of "
                f"{stages} stages; received: {blocks!r}"
            )
        if min(height, width) < 16:
            raise OptionError(
                f"network 'residual' takes inputs of at least 16 × 16; received: {height} × {width}"
            )
        first, last = channels[0], channels[-1]
        self.step = 2 ** len(channels)
        self.register_buffer("down", _averages(height), persistent=False)
        self.register_buffer("across", _averages(width).T.contiguous(), persistent=False)
        self.register_buffer("further_down", _shrinks(height), persistent=False)
        self.register_buffer("further_across", _shrinks(width).T.contiguous(), persistent=False)
        self.edges = nn.Conv2d(previous, first, 5, stride=2, bias=False)
        layers: list[nn.Module] = []
        for before, after, count in zip(channels, channels[1:], each, strict=False):
            layers += [_convolution(before, after, stride=2), nn.ReLU()]
            layers += [_Block(after) for _ in range(count)]
        self.stages = nn.Sequential(*layers, _Gate(last))
        self.head = nn.Linear(2 * last, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would band a smooth wall
            x = x - self.down @ x @ self.across  # the mean of its surroundings
            x = x / (x.square().mean((1, 2, 3), keepdim=True) + DIM).sqrt()
        if self.training:
            return self._look(x, 0)
        further = self.further_down @ x @ self.further_across
        border = self.step // 2
        return (self._look(x, 0) + self._look(x, border) + self._look(further, border)) / 3

    def _look(self, x: Tensor, border: int) -> Tensor:
        """Logits `(N, classes)` of planes `(N, C, H, W)` with so many more pixels round them."""
        x = F.pad(x, (2 + border,) * 4, mode="replicate")
        x = self.edges(x).abs()  # (N, channels[0], H/2, W/2)
        x = self.stages(x)  # (N, channels[-1], H / step, W / step), rounded up
        mean, maximum = x.flatten(2).mean(2), F.adaptive_max_pool2d(x, 1).flatten(1)
        return self.head(torch.cat([mean, maximum], 1))  # (N, classes)


def _averages(side: int) -> Tensor:  # (side, side)
    """Each row the mean of a pixel and its neighbors, about a quarter of the side.

    As a product of matrices it is several times as fast as by `avg_pool2d`, which has no fast way
    for a single channel.
    """
    place = torch.arange(side)
    near = ((place[:, None] - place).abs() <= side // 8).float()
    return near / near.sum(1, keepdim=True)


def _shrinks(side: int) -> Tensor:  # (5/6 of side, side)
    """Each row what a pixel of the smaller image sees: bilinear weights, whose sum is 1."""
    size = (round(side * 5 / 6), side)
    whole = torch.eye(side)[None, None]
    return F.interpolate(whole, size, mode="bilinear", antialias=True, align_corners=False)[0, 0]


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = _convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        return F.relu(x + self.second(F.relu(self.first(x))))


class _Gate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        few = max(1, channels // 4)
        self.squeeze = nn.Linear(channels, few)
        self.excite = nn.Linear(few, channels)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        weights = self.excite(F.relu(self.squeeze(x.flatten(2).mean(2)))).sigmoid()  # (N, C)
        return x * weights[:, :, None, None]


def _convolution(before: int, after: int, *, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after)
    )
