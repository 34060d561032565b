"""Small PyTorch networks of the kinds that people bring, each with example inputs.

Their outputs differ from input to input: a comparison of networks that always say the same would
prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketlens.image import InputSpec

__all__ = ["NETWORKS", "made"]


class InvertedResidual(nn.Module):
    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()),
            nn.Conv2d(wide, wide, 3, 1, 1, groups=wide, bias=False),
            *(nn.BatchNorm2d(wide), nn.ReLU6()),
            *(nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)  # type: ignore[no-any-return]


class Excitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = (
            nn.Conv2d(channels, channels // 4, 1),
            nn.Conv2d(channels // 4, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        share = self.up(F.silu(self.down(F.adaptive_avg_pool2d(x, 1))))
        return x * F.hardsigmoid(share)


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in "ab")
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)])

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norms[0](self.a(x)))
        return torch.relu(x + self.norms[1](self.b(y)))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.low = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.up, self.both = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        high = torch.relu(self.first(image))
        up = self.up(torch.relu(self.low(F.max_pool2d(high, 2))))
        both = torch.relu(self.both(torch.cat([high, up], 1)))
        small = F.avg_pool2d(both, 2)
        wide = F.interpolate(small, size=high.shape[-2:], mode="bilinear", align_corners=False)
        return torch.sigmoid(self.last(both + wide))


class VisionTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.token, self.places = (nn.Parameter(torch.randn(1, n, 16)) for n in (1, 10))
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
        self.encoder, self.last = nn.TransformerEncoder(layer, 2), nn.Linear(16, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.last(self.encoder(x)[:, 0])  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    def __init__(self, kind: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.layers = kind(6, 8, num_layers=2, batch_first=True, bidirectional=True)
        self.last = nn.Linear(16, 3)

    def forward(self, steps: Tensor) -> Tensor:
        return torch.softmax(self.last(self.layers(steps)[0][:, -1]), 1)


class Text(nn.Module):
    """A transformer that classifies tokens, some of which are padding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(50, 16), nn.Embedding(12, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.last = nn.Linear(16, 4)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))[None]
        x = self.encoder(x, src_key_padding_mask=mask == 0)
        known = mask[..., None].float()
        return self.last((x * known).sum(1) / known.sum(1).clamp(min=1))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """Causal attention over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.qkv, self.last = nn.Embedding(50, 16), nn.Linear(16, 48), nn.Linear(16, 9)

    def forward(self, ids: Tensor) -> Tensor:
        batch, count = ids.shape
        q, k, v = self.qkv(self.tokens(ids)).view(batch, count, 3, 4, 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.last(y.transpose(1, 2).reshape(batch, count, 16))  # type: ignore[no-any-return]


def mobilenet() -> nn.Module:
    first = [nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish(), InvertedResidual(8, 32), Excitation(8)]
    return nn.Sequential(*first, InvertedResidual(8, 16), *_scores(8))


def resnet() -> nn.Module:
    first = [nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*first, Residual(8), Residual(8), *_scores(8))


def norms() -> nn.Module:
    first = [nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.Mish(), nn.InstanceNorm2d(8, affine=True)]
    rest = [nn.PReLU(8), nn.PixelShuffle(2), nn.Upsample(scale_factor=2), nn.ELU()]
    return nn.Sequential(*first, *rest, nn.AdaptiveAvgPool2d(4))


def efficientnet() -> nn.Module:
    from pocketlens.networks.backbones.efficientnet_lite0 import EfficientNetLite0

    network = EfficientNetLite0(InputSpec(64, 64, "rgb"))
    network.load_pretrained()
    return network


def _scores(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(channels, 5)]


IMAGE = (torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0)),)
STEPS = (torch.rand(1, 9, 6, generator=torch.Generator().manual_seed(0)),)
IDS = torch.arange(12)[None] * 7 % 50

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "MobileNet-like": (mobilenet, IMAGE),
    "ResNet-like": (resnet, IMAGE),
    "EfficientNet-Lite0": (efficientnet, (F.interpolate(IMAGE[0], (64, 64)),)),
    "ViT-like": (VisionTransformer, IMAGE),
    "U-Net-like": (UNet, IMAGE),
    "norms and upsampling": (norms, IMAGE),
    "LSTM": (lambda: Recurrent(nn.LSTM), STEPS),
    "GRU": (lambda: Recurrent(nn.GRU), STEPS),
    "text transformer": (Text, (IDS, (IDS > 5).long())),
    "causal attention": (Decoder, (IDS[:, :7],)),
}
"""Name -> the network, and example inputs."""


def made(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A network with fixed weights and statistics, and its example inputs."""
    torch.manual_seed(0)
    make, example = NETWORKS[name]
    network = make().eval()
    for each in network.modules():
        if isinstance(each, nn.BatchNorm2d) and name != "EfficientNet-Lite0":
            assert each.running_mean is not None
            assert each.running_var is not None
            each.running_mean.normal_(0, 0.1)
            each.running_var.uniform_(0.5, 1.5)
    return network, example
