"""Well-known architectures with random weights, for `runtime.py` and `app.py`.

Sources: He et al., "Deep Residual Learning" (arXiv 1512.03385), ResNet-50; Sandler et al.,
"MobileNetV2" (arXiv 1801.04381); Dosovitskiy et al., "An Image is Worth 16×16 Words" (arXiv
2010.11929), here with the width and depth of ViT-S/16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["mobilenet_like", "resnet50_like", "vit_like"]

CLASSES = 1000


def _convolution(
    before: int, after: int, kernel: int, stride: int = 1, *, groups: int = 1, act: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6()] if act else []))


class _Bottleneck(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        after = 4 * width
        self.path = nn.Sequential(
            _convolution(before, width, 1),
            _convolution(width, width, 3, stride),
            _convolution(width, after, 1, act=False),
        )
        same = stride == 1 and before == after
        self.past = nn.Identity() if same else _convolution(before, after, 1, stride, act=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        return F.relu(self.path(x) + self.past(x))


def resnet50_like() -> nn.Module:
    """`(N, 3, 224, 224)` → `(N, 1000)`; 3, 4, 6 and 3 bottlenecks."""
    layers: list[nn.Module] = [_convolution(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    before = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for number in range(count):
            layers.append(_Bottleneck(before, width, stride if number == 0 else 1))
            before = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES))


class _Inverted(nn.Module):
    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = before * expansion
        widen = [_convolution(before, inside, 1)] if expansion > 1 else []
        self.path = nn.Sequential(
            *widen,
            _convolution(inside, inside, 3, stride, groups=inside),
            _convolution(inside, after, 1, act=False),
        )
        self.adds = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        return x + self.path(x) if self.adds else self.path(x)


def mobilenet_like() -> nn.Module:
    """`(N, 3, 224, 224)` → `(N, 1000)`; seventeen inverted residuals."""
    layers: list[nn.Module] = [_convolution(3, 32, 3, 2)]
    before = 32
    for expansion, after, count, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for number in range(count):
            layers.append(_Inverted(before, after, stride if number == 0 else 1, expansion))
            before = after
    layers += [_convolution(before, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(1280, CLASSES))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, D)
        many, tokens, width = x.shape
        split = self.qkv(x).reshape(many, tokens, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # (N, heads, T, D / heads)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.out(x.transpose(1, 2).reshape(many, tokens, width))


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:  # (N, T, D)
        x = x + self.attention(self.first(x))
        return x + self.mlp(self.second(x))


class _Vit(nn.Module):
    def __init__(self, width: int = 384, depth: int = 12, heads: int = 6) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, stride=16)
        self.places = nn.Parameter(0.02 * torch.randn(1, 14 * 14, width))
        self.layers = nn.Sequential(*(_Layer(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 224, 224)
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places  # (N, 196, D)
        return self.head(self.norm(self.layers(x)).mean(1))


def vit_like() -> nn.Module:
    """`(N, 3, 224, 224)` → `(N, 1000)`; twelve layers of width 384, mean of the tokens."""
    return _Vit()
