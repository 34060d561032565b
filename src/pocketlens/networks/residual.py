"""`residual`: for camera images; brightness, contrast and the ink's polarity do not matter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketlens.errors import OptionError
from pocketlens.image import InputSpec

__all__ = ["Residual"]

DIM = 1e-3
"""Added to the variance of an image, so that an empty wall (contrast below 3 %) stays faint."""


# The constant matrices are made in NumPy: PyTorch's device "meta", on which a recipe's network is
# tried, imports its compiler for `torch.arange` and `torch.eye`, which takes two seconds.


class Residual(nn.Module):
    """normalize → conv 5×5 /2 → |·| → stages of conv 3×3 /2, residual blocks → gate → linear.

    The mean of its neighborhood is subtracted from each pixel, and the image is scaled to variance
    1: this removes brightness and slow changes of the light. The first convolution is followed by
    the absolute value, so that dark ink on light paper and light ink on dark paper look the same to
    all later layers, and the network need not learn each digit twice. Before it, the image's border
    is repeated: zeros there would be an edge around every image. A residual block is two 3×3
    convolutions whose result is added to their input. After the last one, a gate weights the
    channels by the content of the whole image. The mean and the maximum of each channel go into the
    linear layer, so the position in the image does not matter.

    During inference the network runs three times and averages the logits: on the image itself; with
    more border on each side, by half a step of the last plane, so that its samples lie in
    between; and with that border on the image at five sixths of its size. An image without a digit
    rarely looks like a digit all three times. Training runs it only once; so does inference with
    `looks` of 1, for drawings that fill the image.

    Sources: residual blocks, He et al., 2015 (arXiv 1512.03385); gates, Hu et al.,
    "Squeeze-and-Excitation Networks", 2017 (arXiv 1709.01507).

    Args:
        input_spec: The input, at least 16 × 16.
        classes: Number of logits.
        channels: Output channels of the first convolution, then of each stage.
        blocks: Residual blocks per stage: one number for all stages, or one number for each.
        looks: How often it runs during inference: 3 or 1.

    Shapes:
        `(N, C, H, W)` float → `(N, classes)` float.

    Raises:
        OptionError: `channels`, `blocks` or `looks` is out of range, or the input is smaller than
            16 × 16.
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
        looks: int = 3,
    ) -> None:
        super().__init__()
        height, width, previous = input_spec.shape
        if (
            not isinstance(channels, Sequence)
            or len(channels) < 2
            or any(type(c) is not int or not 1 <= c <= 4096 for c in channels)
        ):
            raise OptionError(
                "network.channels must be a list of at least two integers from 1 to 4096; "
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
                "network.blocks must be an integer from 0 to 100, or a list with one for each of "
                f"the {stages} stages; received: {blocks!r}"
            )
        if type(looks) is not int or looks not in (1, 3):
            raise OptionError(f"network.looks must be 1 or 3; received: {looks!r}")
        if min(height, width) < 16:
            raise OptionError(
                f"network 'residual' needs inputs of at least 16 × 16; received: {height} × {width}"
            )
        first, last = channels[0], channels[-1]
        self.looks = looks
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
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would add bands to a wall
            x = x - self.down @ x @ self.across  # the mean of the neighborhood
            x = x / (x.square().mean((1, 2, 3), keepdim=True) + DIM).sqrt()
        if self.training or self.looks == 1:
            return self._look(x, 0)
        further = self.further_down @ x @ self.further_across
        border = self.step // 2
        return (self._look(x, 0) + self._look(x, border) + self._look(further, border)) / 3

    def _look(self, x: Tensor, border: int) -> Tensor:
        """Logits `(N, classes)` of planes `(N, C, H, W)`, padded by `border` more pixels."""
        x = F.pad(x, (2 + border,) * 4, mode="replicate")
        x = self.edges(x).abs()  # (N, channels[0], H/2, W/2)
        x = self.stages(x)  # (N, channels[-1], H / step, W / step), rounded up
        mean, maximum = x.flatten(2).mean(2), F.adaptive_max_pool2d(x, 1).flatten(1)
        logits: Tensor = self.head(torch.cat([mean, maximum], 1))  # (N, classes)
        return logits


def _averages(side: int) -> Tensor:  # (side, side)
    """A matrix whose rows average a pixel and its neighbors, about a quarter of the side.

    A matrix product is several times as fast as `avg_pool2d`, which is slow for a single channel.
    """
    place = np.arange(side)
    near = (np.abs(place[:, None] - place) <= side // 8).astype(np.float32)
    return torch.from_numpy(near / near.sum(1, keepdims=True))


def _shrinks(side: int) -> Tensor:  # (5/6 of side, side)
    """A matrix that shrinks a line to 5/6: each row has bilinear weights with sum 1."""
    size = (round(side * 5 / 6), side)
    whole = torch.from_numpy(np.eye(side, dtype=np.float32))[None, None]
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
        gated: Tensor = x * weights[:, :, None, None]
        return gated


def _convolution(before: int, after: int, *, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after)
    )
