"""PyTorch ops and modules with their options, each as a function of planes `(1, 3, 12, 12)`.

Each is one row of a table: `convert` either computes the same, or refuses and names the op.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ROWS", "Row", "network"]

Row: TypeAlias = "Callable[[Tensor], Tensor] | Callable[[], nn.Module]"

SIZE = 12


class Net(nn.Module):
    """The op, and a linear layer with fixed weights whose outputs are of ordinary size."""

    def __init__(self, op: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.op = op
        inputs = torch.rand(4, 3, SIZE, SIZE) * 4 - 2
        with torch.no_grad():
            outputs = torch.cat([op(each[None]).float().reshape(1, -1) for each in inputs])
        self.last = nn.Linear(outputs.shape[1], 3)
        with torch.no_grad():
            self.last.weight.div_(outputs.nan_to_num(0, 0, 0).std().clamp(min=1e-3)).mul_(3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.op(x).float().reshape(1, -1))
        return logits


def network(name: str) -> nn.Module:
    """The network of a row."""
    torch.manual_seed(0)
    row = ROWS[name]
    op = row() if isinstance(row, Made) else row
    if isinstance(op, nn.Module):
        for value in (*op.parameters(), *op.buffers()):
            if value.is_floating_point():
                value.data += 0.1 * torch.randn_like(value).abs()  # no identity, no zero
        op.eval()
    return Net(op).eval()


class Made:
    """A row whose op is a module, made anew for each test."""

    def __init__(self, make: Callable[..., nn.Module], *args: Any, **options: Any) -> None:
        self.make = lambda: make(*args, **options)

    def __call__(self) -> nn.Module:
        return self.make()


class Function(nn.Module):
    """A module around a function of the module's own layer and the planes."""

    def __init__(self, layer: nn.Module, call: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.layer, x)


def around(
    call: Callable[[Any, Tensor], Tensor], make: Callable[..., nn.Module], *args: Any, **options: Any
) -> Made:
    return Made(lambda: Function(make(*args, **options), call))


def rows(x: Tensor) -> Tensor:
    """`(1, 12, 36)`: a sequence of 12 vectors."""
    return x.permute(0, 2, 1, 3).reshape(1, SIZE, -1)


def vectors(x: Tensor) -> Tensor:
    """`(36, 12)`."""
    return x.reshape(-1, SIZE)


def flow(x: Tensor) -> Tensor:
    """Sampling positions `(1, 7, 9, 2)`, some of them outside the image."""
    return torch.tanh(x[:, :2, :7, :9]).permute(0, 2, 3, 1) * 1.4


P = nn.Parameter

_ACTIVATIONS: dict[str, Any] = {
    "relu": F.relu,
    "relu6(3x)": lambda x: F.relu6(4 * x),
    "leaky_relu(0.3)": lambda x: F.leaky_relu(x, 0.3),
    "leaky_relu(-0.5)": lambda x: F.leaky_relu(x, -0.5),
    "leaky_relu(2.0)": lambda x: F.leaky_relu(x, 2.0),
    "elu(0.7)": lambda x: F.elu(x, 0.7),
    "elu": F.elu,
    "selu": F.selu,
    "celu(0.5)": lambda x: F.celu(x, 0.5),
    "celu(2)": lambda x: F.celu(x, 2.0),
    "gelu": F.gelu,
    "gelu(tanh)": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "mish(large)": lambda x: F.mish(20 * x),
    "softplus": F.softplus,
    "softplus(beta=3, threshold=1)": lambda x: F.softplus(x, 3.0, 1.0),
    "softplus(beta=0.5)": lambda x: F.softplus(x, 0.5),
    "softplus(beta=2, threshold=40)": lambda x: F.softplus(30 * x, 2.0, 40.0),
    "softplus(large)": lambda x: F.softplus(90 * x),
    "softsign": F.softsign,
    "softshrink(0.5)": lambda x: F.softshrink(x, 0.5),
    "hardshrink(0.5)": lambda x: F.hardshrink(x, 0.5),
    "tanhshrink": F.tanhshrink,
    "threshold(0.3, -7)": lambda x: F.threshold(x, 0.3, -7.0),
    "threshold(-0.3, 2)": lambda x: F.threshold(x, -0.3, 2.0),
    "hardtanh(-0.3, 0.9)": lambda x: F.hardtanh(x, -0.3, 0.9),
    "hardsigmoid": lambda x: F.hardsigmoid(3 * x),
    "hardswish": lambda x: F.hardswish(3 * x),
    "logsigmoid": F.logsigmoid,
    "logsigmoid(large)": lambda x: F.logsigmoid(80 * x),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "rrelu": lambda x: F.rrelu(x, 0.1, 0.4),
    "glu(1)": lambda x: F.glu(x[:, :2], 1),
    "glu(-1)": lambda x: F.glu(x),
    "prelu(channels)": Made(nn.PReLU, 3),
    "prelu(one)": Made(nn.PReLU),
    "PReLU(vectors)": around(lambda m, x: m(vectors(x)), nn.PReLU, 12),
    "softmax(1)": lambda x: x.softmax(1),
    "softmax(-1)": lambda x: x.softmax(-1),
    "softmax(2)": lambda x: x.softmax(2),
    "softmin(1)": lambda x: F.softmin(x, 1),
    "Softmax2d": Made(nn.Softmax2d),
    "log_softmax(1)": lambda x: x.log_softmax(1),
    "log_softmax(large)": lambda x: (60 * x).log_softmax(1),
    "logsumexp": lambda x: (60 * x).logsumexp(1),
    "logaddexp": lambda x: torch.logaddexp(x, 2 * x.flip(2)),
    "logcumsumexp": lambda x: torch.logcumsumexp(x, 2),
    "gumbel free: normalize": lambda x: F.normalize(x, dim=1),
    "normalize(p=1)": lambda x: F.normalize(x, 1.0, 2),
    "normalize(eps=5)": lambda x: F.normalize(x, eps=5.0),
}

_NORMS: dict[str, Any] = {
    "BatchNorm2d(eps=0.1)": Made(nn.BatchNorm2d, 3, eps=0.1),
    "BatchNorm2d(affine=False)": Made(nn.BatchNorm2d, 3, affine=False),
    "BatchNorm2d(no statistics)": Made(nn.BatchNorm2d, 3, track_running_stats=False),
    "BatchNorm1d": around(lambda m, x: m(vectors(x)), nn.BatchNorm1d, 12),
    "BatchNorm1d(rank 3)": around(lambda m, x: m(rows(x)), nn.BatchNorm1d, 12),
    "BatchNorm3d": around(lambda m, x: m(x[:, None]), nn.BatchNorm3d, 1),
    "InstanceNorm2d": Made(nn.InstanceNorm2d, 3),
    "InstanceNorm2d(eps=0.1, affine)": Made(nn.InstanceNorm2d, 3, eps=0.1, affine=True),
    "InstanceNorm2d(statistics)": Made(nn.InstanceNorm2d, 3, track_running_stats=True, affine=True),
    "InstanceNorm1d": around(lambda m, x: m(rows(x)), nn.InstanceNorm1d, 12, affine=True),
    "GroupNorm(3)": Made(nn.GroupNorm, 3, 3),
    "GroupNorm(1, eps=0.1)": Made(nn.GroupNorm, 1, 3, eps=0.1),
    "GroupNorm(4 of 12, rank 3)": around(lambda m, x: m(rows(x)), nn.GroupNorm, 4, 12, eps=0.3),
    "GroupNorm(vectors)": around(lambda m, x: m(vectors(x)), nn.GroupNorm, 2, 12),
    "LayerNorm(12)": Made(nn.LayerNorm, 12),
    "LayerNorm((12, 12), eps=0.5)": Made(nn.LayerNorm, (12, 12), eps=0.5),
    "LayerNorm(no affine)": Made(nn.LayerNorm, (3, 12, 12), elementwise_affine=False),
    "LayerNorm(no bias)": Made(nn.LayerNorm, 12, bias=False),
    "rms_norm(eps=1e-2)": lambda x: F.rms_norm(x, (12,), eps=1e-2),
    "rms_norm": lambda x: F.rms_norm(x / 1000, (12,)),
    "RMSNorm((12, 12), eps=0.5)": Made(nn.RMSNorm, (12, 12), eps=0.5),
    "RMSNorm(eps=None)": Made(nn.RMSNorm, 12),
    "LocalResponseNorm(2)": Made(nn.LocalResponseNorm, 2),
    "LocalResponseNorm(3, alpha=1, k=2)": Made(nn.LocalResponseNorm, 3, 1.0, 0.5, 2.0),
    "CrossMapLRN2d": Made(nn.CrossMapLRN2d, 2, alpha=1.0),
    "weight_norm": Made(lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))),
    "spectral_norm": Made(lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))),
    "old weight_norm": Made(lambda: nn.utils.weight_norm(nn.Conv2d(3, 4, 3))),
    "orthogonal": around(
        lambda m, x: m(vectors(x)),
        lambda: nn.utils.parametrizations.orthogonal(nn.Linear(12, 12)),
    ),
    "Dropout": Made(nn.Dropout, 0.5),
    "Dropout2d": Made(nn.Dropout2d, 0.5),
    "AlphaDropout": Made(nn.AlphaDropout, 0.5),
    "FeatureAlphaDropout": Made(nn.FeatureAlphaDropout, 0.5),
    "dropout(not in training)": lambda x: F.dropout(x, 0.5, False),
}

_CONVS: dict[str, Any] = {
    "Conv2d": Made(nn.Conv2d, 3, 4, 3),
    "Conv2d(stride, padding, dilation)": Made(nn.Conv2d, 3, 4, (3, 2), (2, 1), (1, 2), (2, 3)),
    "Conv2d(groups)": Made(nn.Conv2d, 3, 6, 3, groups=3, bias=False),
    "Conv2d(same, even)": Made(nn.Conv2d, 3, 4, 4, padding="same"),
    "Conv2d(same, even, dilated)": Made(nn.Conv2d, 3, 4, (2, 4), padding="same", dilation=(1, 3)),
    "Conv2d(valid)": Made(nn.Conv2d, 3, 4, 4, padding="valid"),
    "Conv2d(reflect)": Made(nn.Conv2d, 3, 4, 3, padding=2, padding_mode="reflect"),
    "Conv2d(replicate)": Made(nn.Conv2d, 3, 4, 3, padding=(2, 1), padding_mode="replicate"),
    "Conv2d(circular)": Made(nn.Conv2d, 3, 4, 3, padding=2, padding_mode="circular"),
    "Conv1d": around(lambda m, x: m(rows(x)), nn.Conv1d, 12, 5, 3, 2, 1, 2),
    "Conv1d(same, circular)": around(
        lambda m, x: m(rows(x)), nn.Conv1d, 12, 5, 4, padding="same", padding_mode="circular"
    ),
    "Conv3d": around(lambda m, x: m(x[:, None]), nn.Conv3d, 1, 2, (2, 3, 3), (1, 2, 1), (1, 0, 2)),
    "ConvTranspose2d": Made(nn.ConvTranspose2d, 3, 4, 3),
    "ConvTranspose2d(stride, output_padding)": Made(
        nn.ConvTranspose2d, 3, 4, 3, stride=2, padding=1, output_padding=1
    ),
    "ConvTranspose2d(stride 3, uneven)": Made(
        nn.ConvTranspose2d, 3, 4, (3, 5), stride=(3, 2), padding=(0, 2), output_padding=(2, 1)
    ),
    "ConvTranspose2d(dilation, groups)": Made(
        nn.ConvTranspose2d, 3, 6, 3, stride=2, groups=3, dilation=2, output_padding=1
    ),
    "ConvTranspose2d(padding beyond)": Made(nn.ConvTranspose2d, 3, 4, 2, stride=2, padding=2),
    "ConvTranspose2d(output_size)": around(
        lambda m, x: m(x, output_size=[26, 25]), nn.ConvTranspose2d, 3, 4, 3, stride=2
    ),
    "ConvTranspose1d": around(
        lambda m, x: m(rows(x)), nn.ConvTranspose1d, 12, 4, 3, 2, 1, 1, 2
    ),
    "ConvTranspose3d": around(
        lambda m, x: m(x[:, None, :, :6, :6]), nn.ConvTranspose3d, 1, 2, 3, 2, 1, 1
    ),
    "conv2d(weights from the input)": lambda x: F.conv2d(x, x[:, :, :3, :3]),
    "Linear(rank 4)": Made(nn.Linear, 12, 5),
    "Bilinear": around(lambda m, x: m(vectors(x), vectors(x.flip(3))), nn.Bilinear, 12, 12, 5),
}

_POOLS: dict[str, Any] = {
    "max_pool2d(2)": lambda x: F.max_pool2d(x, 2),
    "max_pool2d(3, 2, 1)": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max_pool2d(3, 2, 1) of negatives": lambda x: F.max_pool2d(x - 9, 3, 2, 1),
    "max_pool2d(ceil)": lambda x: F.max_pool2d(x, 5, 3, ceil_mode=True),
    "max_pool2d(ceil, dropped window)": lambda x: F.max_pool2d(x, 2, 3, 1, ceil_mode=True),
    "max_pool2d(ceil, negatives)": lambda x: F.max_pool2d(x - 9, (3, 4), (2, 3), 1, ceil_mode=True),
    "max_pool2d(dilation=2)": lambda x: F.max_pool2d(x, 3, 2, 1, dilation=2),
    "max_pool2d(indices)": lambda x: F.max_pool2d(x, 3, return_indices=True)[1] / 9.0,
    "MaxUnpool2d": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    "max_pool1d(3, 2, 1)": lambda x: F.max_pool1d(rows(x), 3, 2, 1),
    "max_pool1d(3, dilation=2)": lambda x: F.max_pool1d(rows(x), 3, 2, 1, dilation=2),
    "max_pool1d(ceil)": lambda x: F.max_pool1d(rows(x), 5, 3, ceil_mode=True),
    "max_pool3d(2, ceil)": lambda x: F.max_pool3d(x[:, None], 2, ceil_mode=True),
    "avg_pool2d(2)": lambda x: F.avg_pool2d(x, 2),
    "avg_pool2d(3, 2, 1)": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "avg_pool2d(3, 2, 1, count_include_pad=False)": lambda x: F.avg_pool2d(
        x, 3, 2, 1, count_include_pad=False
    ),
    "avg_pool2d(ceil)": lambda x: F.avg_pool2d(x, 5, 3, ceil_mode=True),
    "avg_pool2d(ceil, padding)": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "avg_pool2d(4, 3, 1, ceil)": lambda x: F.avg_pool2d(x, 4, 3, 1, ceil_mode=True),
    "avg_pool2d(ceil, count_include_pad=False)": lambda x: F.avg_pool2d(
        x, 4, 3, 1, ceil_mode=True, count_include_pad=False
    ),
    "avg_pool2d(ceil, dropped window)": lambda x: F.avg_pool2d(x, 2, 3, 1, ceil_mode=True),
    "avg_pool2d(divisor_override)": lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=5),
    "avg_pool2d(uneven)": lambda x: F.avg_pool2d(x, (2, 5), (3, 1), (1, 0)),
    "avg_pool1d(3, 2, 1)": lambda x: F.avg_pool1d(rows(x), 3, 2, 1),
    "avg_pool1d(ceil)": lambda x: F.avg_pool1d(rows(x), 5, 3, 1, ceil_mode=True),
    "avg_pool1d(ceil, count_include_pad=False)": lambda x: F.avg_pool1d(
        rows(x), 5, 3, 1, ceil_mode=True, count_include_pad=False
    ),
    "avg_pool3d": lambda x: F.avg_pool3d(x[:, None], (2, 3, 3), (1, 2, 2), 1),
    "avg_pool3d(ceil)": lambda x: F.avg_pool3d(x[:, None], (2, 5, 5), (1, 3, 3), ceil_mode=True),
    "avg_pool3d(divisor)": lambda x: F.avg_pool3d(x[:, None], (2, 3, 3), divisor_override=4),
    "lp_pool2d(2, 3)": lambda x: F.lp_pool2d(x, 2.0, 3),
    "lp_pool2d(3, 2, ceil)": lambda x: F.lp_pool2d(x.abs(), 3.0, 5, 3, ceil_mode=True),
    "lp_pool1d": lambda x: F.lp_pool1d(rows(x), 2.0, 3),
    "adaptive_avg_pool2d(1)": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive_avg_pool2d(5, 7)": lambda x: F.adaptive_avg_pool2d(x, (5, 7)),
    "adaptive_avg_pool2d(4, 3)": lambda x: F.adaptive_avg_pool2d(x, (4, 3)),
    "adaptive_avg_pool2d(24)": lambda x: F.adaptive_avg_pool2d(x, 24),
    "adaptive_avg_pool2d(None, 5)": lambda x: F.adaptive_avg_pool2d(x, (None, 5)),
    "adaptive_max_pool2d(1)": lambda x: F.adaptive_max_pool2d(x, 1),
    "adaptive_max_pool2d(5, 7)": lambda x: F.adaptive_max_pool2d(x, (5, 7)),
    "adaptive_max_pool2d(4, 3)": lambda x: F.adaptive_max_pool2d(x, (4, 3)),
    "adaptive_avg_pool1d(5)": lambda x: F.adaptive_avg_pool1d(rows(x), 5),
    "adaptive_max_pool1d(7)": lambda x: F.adaptive_max_pool1d(rows(x), 7),
    "adaptive_avg_pool3d": lambda x: F.adaptive_avg_pool3d(x[:, None], (2, 5, 4)),
    "fractional_max_pool2d": lambda x: F.fractional_max_pool2d(
        x, 2, output_size=5, _random_samples=torch.full((1, 3, 2), 0.4)
    ),
}

_RESIZES: dict[str, Any] = {
    f"interpolate({mode}, {how}, align_corners={corners}, antialias={antialias})": (
        lambda x, mode=mode, options=options, corners=corners, antialias=antialias: F.interpolate(
            x, mode=mode, align_corners=corners, antialias=antialias, **options
        )
    )
    for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
    for how, options in {
        "x2": {"scale_factor": 2.0},
        "x1.3": {"scale_factor": 1.3},
        "x1.3 recomputed": {"scale_factor": 1.3, "recompute_scale_factor": True},
        "x(0.5, 1.7)": {"scale_factor": (0.5, 1.7)},
        "x0.4": {"scale_factor": 0.4},
        "(5, 7)": {"size": (5, 7)},
        "(17, 30)": {"size": (17, 30)},
        "(1, 1)": {"size": (1, 1)},
    }.items()
    for corners in ((False, True) if mode in ("bilinear", "bicubic") else (None,))
    for antialias in ((False, True) if mode in ("bilinear", "bicubic") else (False,))
}
_RESIZES |= {
    "interpolate(linear, x1.7)": lambda x: F.interpolate(rows(x), scale_factor=1.7, mode="linear"),
    "interpolate(linear, 5, align_corners)": lambda x: F.interpolate(
        rows(x), 5, mode="linear", align_corners=True
    ),
    "interpolate(1-d nearest, x1.3)": lambda x: F.interpolate(rows(x), scale_factor=1.3),
    "interpolate(1-d nearest-exact, 17)": lambda x: F.interpolate(rows(x), 17, mode="nearest-exact"),
    "interpolate(3-d nearest, x1.3)": lambda x: F.interpolate(x[:, None], scale_factor=1.3),
    "interpolate(trilinear)": lambda x: F.interpolate(x[:, None], (4, 7, 9), mode="trilinear"),
    "interpolate(trilinear, align_corners)": lambda x: F.interpolate(
        x[:, None], (4, 7, 9), mode="trilinear", align_corners=True
    ),
    "Upsample(2)": Made(nn.Upsample, scale_factor=2),
    "UpsamplingBilinear2d": Made(nn.UpsamplingBilinear2d, scale_factor=2),
    "UpsamplingNearest2d(17)": Made(nn.UpsamplingNearest2d, size=17),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x.reshape(1, 12, 6, 6), 2),
    "pixel_unshuffle(2)": lambda x: F.pixel_unshuffle(x, 2),
    "pixel_unshuffle(3)": lambda x: F.pixel_unshuffle(x, 3),
    "channel_shuffle": lambda x: F.channel_shuffle(x.reshape(1, 12, 6, 6), 3),
    "pad(constant)": lambda x: F.pad(x, (1, 2, 3, 0), value=1.5),
    "pad(negative)": lambda x: F.pad(x, (-1, 2, -3, 0)),
    "pad(channels)": lambda x: F.pad(x, (1, 0, 0, 1, 2, 1), value=-1.0),
    "pad(reflect)": lambda x: F.pad(x, (3, 2, 5, 0), mode="reflect"),
    "pad(replicate)": lambda x: F.pad(x, (3, 2, 5, 0), mode="replicate"),
    "pad(circular)": lambda x: F.pad(x, (3, 2, 5, 0), mode="circular"),
    "pad(circular, whole)": lambda x: F.pad(x, (12, 1, 0, 12), mode="circular"),
    "pad(1-d reflect)": lambda x: F.pad(rows(x), (3, 2), mode="reflect"),
    "pad(1-d replicate)": lambda x: F.pad(rows(x), (3, 20), mode="replicate"),
    "pad(3-d replicate)": lambda x: F.pad(x[:, None], (1, 2, 1, 0, 2, 1), mode="replicate"),
    "ZeroPad2d": Made(nn.ZeroPad2d, (1, 0, 2, 3)),
    "ReflectionPad2d": Made(nn.ReflectionPad2d, (1, 0, 2, 3)),
    "unfold(3)": lambda x: F.unfold(x, 3),
    "unfold(dilation, padding, stride)": lambda x: F.unfold(x, (2, 3), (1, 2), (2, 1), (3, 2)),
    "fold": lambda x: F.fold(x.reshape(1, 12, 36), (8, 11), (2, 2), stride=(2, 1), padding=(1, 0))
    if False
    else F.fold(x.reshape(1, 12, 36), 12, 2, stride=2),
    "fold(overlapping)": lambda x: F.fold(F.unfold(x, 3, padding=1), 12, 3, padding=1),
    "fold(dilation)": lambda x: F.fold(F.unfold(x, 3, 2), 12, 3, 2),
    "Tensor.unfold": lambda x: x.unfold(2, 5, 3),
}
_RESIZES |= {
    f"grid_sample({mode}, {padding}, align_corners={corners})": (
        lambda x, mode=mode, padding=padding, corners=corners: F.grid_sample(
            x, flow(x), mode, padding, corners
        )
    )
    for mode in ("bilinear", "nearest", "bicubic")
    for padding in ("zeros", "border", "reflection")
    for corners in (False, True)
}
_RESIZES |= {
    f"affine_grid(align_corners={corners})": (
        lambda x, corners=corners: F.grid_sample(
            x,
            F.affine_grid(
                torch.tensor([[[0.8, 0.3, 0.1], [-0.2, 1.1, 0.05]]]), [1, 3, 9, 7], corners
            ),
            align_corners=corners,
        )
    )
    for corners in (False, True)
}

_MATH: dict[str, Any] = {
    "cumsum(2)": lambda x: x.cumsum(2),
    "cumprod(2)": lambda x: x.cumprod(2),
    "cummax": lambda x: x.cummax(2)[0],
    "std": lambda x: x.std((2, 3)),
    "std(biased)": lambda x: x.std((2, 3), unbiased=False),
    "std(correction=3)": lambda x: torch.std(x, dim=3, correction=3),
    "std(all)": lambda x: x * x.std(),
    "var": lambda x: x.var(3),
    "var(biased, keepdim)": lambda x: x.var(3, unbiased=False, keepdim=True),
    "var(correction=0)": lambda x: torch.var(x, dim=(1, 2), correction=0),
    "var(all)": lambda x: x * x.var(),
    "var_mean": lambda x: torch.cat([y.flatten(1) for y in torch.var_mean(x, (2, 3))], 1),
    "std_mean": lambda x: torch.cat([y.flatten(1) for y in torch.std_mean(x, 3)], 1),
    "norm(2)": lambda x: x.norm(dim=3),
    "norm(1)": lambda x: x.norm(1, dim=3),
    "norm(3)": lambda x: x.norm(3, dim=3),
    "norm(0.5)": lambda x: x.norm(0.5, dim=3),
    "norm(inf)": lambda x: x.norm(float("inf"), dim=3),
    "norm(-inf)": lambda x: x.norm(float("-inf"), dim=3),
    "norm(fro)": lambda x: torch.norm(x, "fro", (2, 3)),
    "norm(0)": lambda x: F.relu(x).norm(0, dim=3),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, 3, dim=(1, 3)),
    "matrix_norm": lambda x: torch.linalg.matrix_norm(x),
    "matrix_norm(1)": lambda x: torch.linalg.matrix_norm(x, 1),
    "norm(all)": lambda x: x * x.norm(),
    "dist": lambda x: x * torch.dist(x, x.flip(2), 3),
    "cdist": lambda x: torch.cdist(vectors(x), vectors(x.flip(2))[:5]),
    "cdist(1)": lambda x: torch.cdist(vectors(x), vectors(x.flip(2))[:5], 1.0),
    "pdist": lambda x: F.pdist(vectors(x)),
    "clamp(-0.5, 1)": lambda x: x.clamp(-0.5, 1),
    "clamp(min)": lambda x: x.clamp(min=0.2),
    "clamp(max)": lambda x: x.clamp(max=0.2),
    "clamp(reversed)": lambda x: x.clamp(1, -1) + x,
    "clamp(tensors)": lambda x: torch.clamp(x, x.flip(2) - 1, x.flip(3) + 1),
    "clamp(int)": lambda x: (9 * x).int().clamp(-4, 5).float(),
    "remainder(1.5)": lambda x: torch.remainder(5 * x, 1.5),
    "remainder(-1.5)": lambda x: torch.remainder(5 * x, -1.5),
    "remainder(tensor)": lambda x: torch.remainder(9 * x, x.flip(2) + 2.5),
    "remainder(int)": lambda x: torch.remainder((9 * x).int(), -4).float(),
    "fmod(1.5)": lambda x: torch.fmod(5 * x, 1.5),
    "fmod(-1.5)": lambda x: torch.fmod(5 * x, -1.5),
    "fmod(tensor)": lambda x: torch.fmod(9 * x, x.flip(2) - 3.5),
    "fmod(int)": lambda x: torch.fmod((9 * x).int(), 4).float(),
    "x % 0.7": lambda x: x % 0.7,
    "5 % x": lambda x: 5 % (x + 3.5),
    "floor_divide": lambda x: torch.floor_divide(9 * x, 2),
    "floor_divide(int)": lambda x: torch.floor_divide((9 * x).int(), 4).float(),
    "floor_divide(int, negative)": lambda x: torch.floor_divide((9 * x).int(), -4).float(),
    "x // 0.7": lambda x: x // 0.7,
    "div(trunc)": lambda x: torch.div(9 * x, 2, rounding_mode="trunc"),
    "div(trunc, int)": lambda x: torch.div((9 * x).int(), 4, rounding_mode="trunc").float(),
    "div(floor, int)": lambda x: torch.div((9 * x).int(), 4, rounding_mode="floor").float(),
    "div(int)": lambda x: (9 * x).int() / 4,
    "int()": lambda x: (9 * x).int().float(),
    "long() of negatives": lambda x: (9.7 * x).long().float(),
    "bool()": lambda x: F.relu(x).bool().float(),
    "round": lambda x: torch.round(x * 3),
    "round(halves)": lambda x: torch.round((x * 8).floor() / 2),
    "round(decimals=1)": lambda x: torch.round(x, decimals=1),
    "floor": lambda x: torch.floor(3 * x),
    "ceil": lambda x: torch.ceil(3 * x),
    "trunc": lambda x: torch.trunc(3 * x),
    "frac": lambda x: torch.frac(3 * x),
    "sign": lambda x: torch.sign(F.relu(x) - F.relu(x.flip(2))),
    "sgn": torch.sgn,
    "abs": torch.abs,
    "neg": torch.neg,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "expm1(small)": lambda x: torch.expm1(x / 1000) * 1000,
    "log": lambda x: torch.log(x + 2.1),
    "log2": lambda x: torch.log2(x + 2.1),
    "log10": lambda x: torch.log10(x + 2.1),
    "log1p": lambda x: torch.log1p(x + 1.5 + 0.6),
    "log1p(small)": lambda x: torch.log1p(x / 1000) * 1000,
    "sqrt": lambda x: torch.sqrt(x + 2.1),
    "rsqrt": lambda x: torch.rsqrt(x + 2.5),
    "reciprocal": lambda x: torch.reciprocal(x + 2.5),
    "square": torch.square,
    "pow(3)": lambda x: x**3,
    "pow(0.5)": lambda x: (x + 2.5) ** 0.5,
    "pow(-2)": lambda x: (x + 3) ** -2,
    "pow(tensor)": lambda x: (x + 2.5) ** x,
    "2 ** x": lambda x: 2.0**x,
    "sin": lambda x: torch.sin(9 * x),
    "cos": lambda x: torch.cos(9 * x),
    "tan": lambda x: torch.tan(x / 2),
    "asin": lambda x: torch.asin(x / 3),
    "acos": lambda x: torch.acos(x / 3),
    "atan": torch.atan,
    "atan2": lambda x: torch.atan2(x, x.flip(2)),
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "asinh": torch.asinh,
    "acosh": lambda x: torch.acosh(x + 3.5),
    "atanh": lambda x: torch.atanh(x / 3),
    "erf": torch.erf,
    "erfc": torch.erfc,
    "lgamma": lambda x: torch.lgamma(x + 3),
    "sinc": torch.sinc,
    "logit": lambda x: torch.logit(x / 5 + 0.5),
    "logit(eps)": lambda x: torch.logit(x / 4 + 0.5, eps=0.2),
    "hypot": lambda x: torch.hypot(x, x.flip(2)),
    "xlogy": lambda x: torch.xlogy(F.relu(x), x + 2.1),
    "nan_to_num": lambda x: torch.nan_to_num(x, 1.0, 2.0, 3.0),
    "rsub": lambda x: 1 - x,
    "rsub(alpha)": lambda x: torch.rsub(x, x.flip(2), alpha=3),
    "sub(alpha)": lambda x: torch.sub(x, x.flip(2), alpha=3),
    "add(alpha)": lambda x: torch.add(x, x.flip(2), alpha=3),
    "addcmul(value=2)": lambda x: torch.addcmul(x, x.flip(2), x.flip(3), value=2),
    "addcdiv(value=2)": lambda x: torch.addcdiv(x, x.flip(2), x.flip(3) + 3, value=2),
    "lerp": lambda x: torch.lerp(x, x.flip(2), 0.3),
    "lerp(tensor)": lambda x: torch.lerp(x, x.flip(2), x.flip(3)),
    "addmm(beta, alpha)": lambda x: torch.addmm(
        x[0, 0], x[0, 1], x[0, 2], beta=0.5, alpha=2.0
    ),
    "baddbmm": lambda x: torch.baddbmm(x[0], x[0].flip(0), x[0].flip(2), beta=0.5, alpha=2.0),
    "addbmm": lambda x: torch.addbmm(x[0, 0], x[0], x[0].flip(1), beta=0.3, alpha=0.2),
    "matmul": lambda x: x @ x.transpose(2, 3),
    "matmul(vector)": lambda x: x @ x[0, 0, 0],
    "matmul(vector, vector)": lambda x: x * (x[0, 0, 0] @ x[0, 1, 1]),
    "outer": lambda x: torch.outer(x[0, 0, 0], x[0, 1, 1]),
    "dot": lambda x: x * torch.dot(x[0, 0, 0], x[0, 1, 1]),
    "kron": lambda x: torch.kron(x[0, 0, :3, :3], x[0, 1, :2, :2]),
    "cross": lambda x: torch.linalg.cross(x, x.flip(2), dim=1),
    "einsum(bchw,bciw->bhi)": lambda x: torch.einsum("bchw,bciw->bhi", x, x.flip(3)),
    "einsum(bchw->bwc)": lambda x: torch.einsum("bchw->bwc", x),
    "einsum(bchw,bdhw->bcd)": lambda x: torch.einsum("bchw,bdhw->bcd", x, x.flip(2)),
    "einsum(diagonal)": lambda x: torch.einsum("bcii->bci", x),
    "tensordot": lambda x: torch.tensordot(x, x.flip(2), dims=([1, 3], [1, 3])),
    "diagonal": lambda x: torch.diagonal(x, 1, 2, 3),
    "trace": lambda x: x * torch.trace(x[0, 0]),
    "tril(1)": lambda x: torch.tril(x, 1),
    "triu(-2)": lambda x: torch.triu(x, -2),
    "linalg.inv": lambda x: torch.linalg.inv(x + 9 * torch.eye(12)),
    "mean": lambda x: x.mean((2, 3)),
    "mean(all)": lambda x: x * x.mean(),
    "sum(int)": lambda x: (9 * x).int().sum(3).float(),
    "prod": lambda x: x.prod(3),
    "amax": lambda x: x.amax((1, 3)),
    "amin": lambda x: x.amin(2, keepdim=True),
    "max(dim)": lambda x: x.max(2)[0],
    "min(dim) indices": lambda x: x.min(2)[1].float(),
    "argmax": lambda x: x.argmax(3).float(),
    "argmax(all)": lambda x: x * x.argmax(),
    "argmax(ties)": lambda x: torch.round(x).argmax(3).float(),
    "argmin": lambda x: x.argmin(1, keepdim=True).float(),
    "median": lambda x: x.median(3)[0],
    "mode": lambda x: torch.round(x).mode(3)[0],
    "quantile": lambda x: torch.quantile(x, 0.3, 3),
    "kthvalue": lambda x: x.kthvalue(3, 2)[0],
    "topk": lambda x: x.topk(4, 3)[0],
    "topk(smallest)": lambda x: x.topk(4, 2, largest=False)[0],
    "topk indices": lambda x: x.topk(4, 3)[1].float(),
    "sort": lambda x: x.sort(2)[0],
    "sort(descending) indices": lambda x: x.sort(3, descending=True)[1].float(),
    "sort(stable, ties) indices": lambda x: torch.sort(torch.round(x), dim=3, stable=True)[1] / 5.0,
    "argsort": lambda x: x.argsort(2).float(),
    "msort": lambda x: torch.msort(x[0]),
    "unique free: bucketize": lambda x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 1.0])).float(),
    "searchsorted(right)": lambda x: torch.searchsorted(
        torch.tensor([-1.0, 0.0, 1.0]), x, right=True
    ).float(),
    "histc": lambda x: torch.histc(x, 8, -2, 2),
    "bincount free: one_hot": lambda x: F.one_hot(x.argmax(3), 12).float(),
    "count_nonzero": lambda x: torch.count_nonzero(F.relu(x), 3).float(),
    "diff": lambda x: torch.diff(x, dim=2),
    "diff(2)": lambda x: torch.diff(x, 2, 3),
    "trapezoid": lambda x: torch.trapezoid(x, dim=3),
    "cov": lambda x: torch.cov(x[0, 0]),
    "corrcoef": lambda x: torch.corrcoef(x[0, 0]),
    "heaviside": lambda x: torch.heaviside(x, torch.tensor(0.5)),
    "copysign": lambda x: torch.copysign(x, x.flip(2)),
    "maximum": lambda x: torch.maximum(x, x.flip(2)),
    "fmin": lambda x: torch.fmin(x, x.flip(2)),
    "where": lambda x: torch.where(x > 0, x.flip(2), x * 2),
    "where(number)": lambda x: torch.where(x > 0, x, -3.0),
    "masked_fill": lambda x: x.masked_fill(x > 0.5, -2.0),
    "masked_fill(-inf).softmax": lambda x: x.masked_fill(x > 1, float("-inf")).softmax(3),
    "masked_fill(broadcast)": lambda x: x.masked_fill((x > 0)[:, :1], 4.0),
    "masked_scatter": lambda x: x.masked_scatter(x > 0, x.flip(2).contiguous()),
    "x[x > 0] = 1": lambda x: torch.index_put(x, (x > 0,), torch.tensor(1.0)),
    "eq": lambda x: (torch.round(x) == 1).float(),
    "ne": lambda x: (torch.round(x) != 1).float(),
    "comparisons": lambda x: ((x >= 0.5) & (x < 1) | ~(x > -1)).float(),
    "logical_xor": lambda x: torch.logical_xor(x > 0, x.flip(2) > 0).float(),
    "bitwise_and(int)": lambda x: ((30 * x).int() & 12).float(),
    "shift(int)": lambda x: ((30 * x).abs().int() << 2).float(),
    "isnan": lambda x: torch.isnan(x).float() + x,
    "any": lambda x: (x > 1.5).any(3).float(),
    "all": lambda x: (x > -1.9).all(3).float(),
}

_SHAPES: dict[str, Any] = {
    "roll(3)": lambda x: torch.roll(x, 3, 2),
    "roll(-3, 2)": lambda x: torch.roll(x, (-3, 2), (2, 3)),
    "roll(flattened)": lambda x: torch.roll(x, 5),
    "flip": lambda x: x.flip(1, 3),
    "rot90": lambda x: torch.rot90(x, 1, (2, 3)),
    "rot90(3)": lambda x: torch.rot90(x, 3, (3, 2)),
    "permute": lambda x: x.permute(0, 3, 1, 2),
    "movedim": lambda x: x.movedim(1, 3),
    "reshape": lambda x: x.reshape(1, 4, -1),
    "expand": lambda x: x[:, :1].expand(1, 4, 12, 12),
    "repeat": lambda x: x.repeat(1, 2, 1, 3),
    "repeat_interleave": lambda x: x.repeat_interleave(3, 2),
    "tile": lambda x: x.tile(2, 1, 3),
    "x[..., ::2, 1::3]": lambda x: x[..., ::2, 1::3],
    "x[:, [2, 0]]": lambda x: x[:, [2, 0]],
    "x[:, :, -3:, :-2]": lambda x: x[:, :, -3:, :-2],
    "x[:, :, index, index]": lambda x: x[:, :, torch.tensor([1, 5]), torch.tensor([0, -1])],
    "x[:, index, :, index]": lambda x: x[:, torch.tensor([1, 2]), :, torch.tensor([0, -1])],
    "index_select": lambda x: x.index_select(3, torch.tensor([5, 0, 11])),
    "gather": lambda x: x.gather(3, x.argsort(3)),
    "gather(index smaller)": lambda x: x.gather(2, x.argmax(2, keepdim=True)),
    "take_along_dim": lambda x: torch.take_along_dim(x, x.argsort(2), 2),
    "take": lambda x: torch.take(x, torch.tensor([5, 100, 431])),
    "scatter": lambda x: torch.zeros(1, 3, 12, 12).scatter(3, x.argsort(3), x),
    "scatter_add": lambda x: x.scatter_add(3, x.argsort(3), x),
    "scatter_add(colliding)": lambda x: x.scatter_add(3, x.abs().long(), x),
    "scatter_reduce(amax)": lambda x: x.scatter_reduce(3, x.argsort(3), x.flip(2), "amax"),
    "scatter(number)": lambda x: x.scatter(3, x.argmax(3, keepdim=True), 7.0),
    "index_add": lambda x: x.index_add(2, torch.tensor([0, 0, 3]), x[:, :, :3], alpha=2.0),
    "index_copy": lambda x: x.index_copy(2, torch.tensor([0, 4, 3]), x[:, :, :3]),
    "index_fill": lambda x: x.index_fill(2, torch.tensor([0, 4]), 3.0),
    "select_scatter": lambda x: torch.select_scatter(x, x[:, :, 0], 2, 5),
    "slice_scatter": lambda x: torch.slice_scatter(x, x[:, :, :4], 2, 1, 9, 2),
    "in-place slice": lambda x: _assign(x),
    "chunk": lambda x: x.chunk(5, 3)[2] + x.chunk(5, 3)[1],
    "split": lambda x: x.split([2, 7, 3], 2)[1],
    "tensor_split": lambda x: x.tensor_split(5, 3)[0],
    "unbind": lambda x: x.unbind(1)[2],
    "narrow": lambda x: x.narrow(2, 3, 4),
    "stack": lambda x: torch.stack([x, x.flip(2)], 2),
    "cat": lambda x: torch.cat([x, x.flip(2)[:, :1]], 1),
    "hstack": lambda x: torch.hstack([x, 2 * x]),
    "meshgrid": lambda x: x * torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")[0],
    "linspace": lambda x: x * torch.linspace(-1, 1, 12),
    "arange": lambda x: x * torch.arange(0, 6, 0.5),
    "full_like": lambda x: x + torch.full_like(x, 0.3),
    "new_zeros": lambda x: torch.cat([x, x.new_zeros(1, 1, 12, 12)], 1),
    "eye": lambda x: x @ (torch.eye(12) + 0.5),
    "as_strided": lambda x: x.as_strided((1, 3, 5, 5), (432, 144, 24, 2)),
    "unflatten": lambda x: x.unflatten(2, (3, 4)).sum(2),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "triu_indices": lambda x: x[:, 0][:, *torch.triu_indices(12, 12, 1)],
    "complex abs: fft": lambda x: torch.fft.fft2(x).abs(),
    "rfft": lambda x: torch.view_as_real(torch.fft.rfft(x)),
    "float64": lambda x: (x.double() * 1.000001 + 1e-9).float(),
    "half": lambda x: (x.half() * 3).float(),
    "bfloat16": lambda x: (x.bfloat16() * 3).float(),
    "uint8": lambda x: (40 * (x + 2)).to(torch.uint8).float(),
}


def _assign(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, :, 2:5, ::2] = y[:, :, 6:9, ::2] * 2
    return y


def sdpa(x: Tensor, **options: Any) -> Tensor:
    y = x.reshape(1, 4, 9, 12)
    return F.scaled_dot_product_attention(y, y.flip(2), y.flip(3), **options)


_ATTENTION: dict[str, Any] = {
    "sdpa": sdpa,
    "sdpa(scale=0.7)": lambda x: sdpa(x, scale=0.7),
    "sdpa(is_causal)": lambda x: sdpa(x, is_causal=True),
    "sdpa(bool mask)": lambda x: sdpa(x, attn_mask=torch.ones(9, 9).tril(2).bool()),
    "sdpa(float mask, scale)": lambda x: sdpa(
        x, attn_mask=torch.linspace(-3, 3, 81).reshape(9, 9), scale=0.2
    ),
    "sdpa(row fully masked)": lambda x: sdpa(x, attn_mask=torch.arange(9)[:, None] > torch.zeros(9)),
    "sdpa(rank 3)": lambda x: F.scaled_dot_product_attention(x[0], x[0].flip(1), x[0].flip(2)),
    "sdpa(causal, rectangular)": lambda x: F.scaled_dot_product_attention(
        x[:, :, :5], x, x.flip(2), is_causal=True
    ),
    "sdpa(enable_gqa)": lambda x: F.scaled_dot_product_attention(
        x.reshape(1, 4, 9, 12), x.reshape(1, 4, 9, 12)[:, :2], x.reshape(1, 4, 9, 12)[:, 2:], enable_gqa=True
    ),
    "MultiheadAttention": around(
        lambda m, x: m(rows(x), rows(x), rows(x))[0], nn.MultiheadAttention, 36, 4, batch_first=True
    ),
    "MultiheadAttention(weights)": around(
        lambda m, x: m(rows(x), rows(x), rows(x), average_attn_weights=False)[1],
        nn.MultiheadAttention, 36, 4, batch_first=True,
    ),
    "MultiheadAttention(bias_kv, zero)": around(
        lambda m, x: m(rows(x), rows(x), rows(x), need_weights=False)[0],
        nn.MultiheadAttention, 36, 3, add_bias_kv=True, add_zero_attn=True,
    ),
    "MultiheadAttention(masks)": around(
        lambda m, x: m(
            rows(x), rows(x), rows(x),
            attn_mask=torch.ones(12, 12).triu(1).bool(),
            key_padding_mask=torch.arange(12)[None] > 9,
        )[0],
        nn.MultiheadAttention, 36, 4, batch_first=True,
    ),
    "MultiheadAttention(kdim)": around(
        lambda m, x: m(rows(x), rows(x)[..., :20], rows(x)[..., :15])[0],
        nn.MultiheadAttention, 36, 4, batch_first=True, kdim=20, vdim=15,
    ),
    "TransformerEncoderLayer": around(
        lambda m, x: m(rows(x)), nn.TransformerEncoderLayer, 36, 4, 20, batch_first=True
    ),
    "TransformerEncoderLayer(norm_first, gelu)": around(
        lambda m, x: m(rows(x)), nn.TransformerEncoderLayer, 36, 4, 20, activation="gelu",
        norm_first=True, layer_norm_eps=0.1, batch_first=True,
    ),
    "TransformerDecoderLayer": around(
        lambda m, x: m(rows(x), rows(x).flip(1)), nn.TransformerDecoderLayer, 36, 4, 20,
        batch_first=True,
    ),
    "Embedding": around(lambda m, x: m((x + 2).long()), nn.Embedding, 5, 4),
    "Embedding(max_norm)": around(
        lambda m, x: m((x + 2).long()), nn.Embedding, 5, 4, max_norm=0.5
    ),
    "EmbeddingBag(mean)": around(
        lambda m, x: m((x[0, 0] + 2).long()), nn.EmbeddingBag, 5, 4
    ),
    "EmbeddingBag(sum)": around(
        lambda m, x: m((x[0, 0] + 2).long()), nn.EmbeddingBag, 5, 4, mode="sum"
    ),
    "EmbeddingBag(max)": around(
        lambda m, x: m((x[0, 0] + 2).long()), nn.EmbeddingBag, 5, 4, mode="max"
    ),
    "CosineSimilarity": around(lambda m, x: m(x, x.flip(2)), nn.CosineSimilarity, 1, 0.5),
    "PairwiseDistance": around(
        lambda m, x: m(vectors(x), vectors(x.flip(2))), nn.PairwiseDistance, 3.0, 0.5
    ),
}


def steps(x: Tensor) -> Tensor:
    """`(12, 1, 36)`: 12 steps."""
    return rows(x).transpose(0, 1)


_RECURRENT: dict[str, Any] = {
    f"{kind.__name__}({', '.join(f'{k}={v}' for k, v in options.items())})": around(
        lambda m, x: m(rows(x) if m.batch_first else steps(x))[0], kind, 36, 5, **options
    )
    for kind in (nn.LSTM, nn.GRU, nn.RNN)
    for options in (
        {},
        {"batch_first": True},
        {"bidirectional": True},
        {"num_layers": 2, "batch_first": True, "bidirectional": True},
        {"bias": False},
        *([{"proj_size": 3}] if kind is nn.LSTM else []),
        *([{"nonlinearity": "relu"}] if kind is nn.RNN else []),
    )
}
_RECURRENT |= {
    "LSTM states": around(
        lambda m, x: torch.cat([y.flatten() for y in m(steps(x))[1]])[None],
        nn.LSTM, 36, 5, num_layers=2, bidirectional=True,
    ),
    "LSTM with initial states": around(
        lambda m, x: m(steps(x), (x[:, :1, 0, :5], x[:, :1, 1, :5]))[0], nn.LSTM, 36, 5
    ),
    "GRU last state": around(lambda m, x: m(steps(x))[1], nn.GRU, 36, 5, bidirectional=True),
    "GRU with initial state": around(
        lambda m, x: m(steps(x), x[:, :1, 0, :5])[0], nn.GRU, 36, 5
    ),
    "LSTMCell": around(lambda m, x: m(x[0, 0])[1], nn.LSTMCell, 12, 5),
    "GRUCell": around(lambda m, x: m(x[0, 0], x[0, 1, :, :5]), nn.GRUCell, 12, 5),
    "RNNCell(relu)": around(lambda m, x: m(x[0, 0]), nn.RNNCell, 12, 5, nonlinearity="relu"),
}

ROWS: dict[str, Any] = {
    **_ACTIVATIONS,
    **_NORMS,
    **_CONVS,
    **_POOLS,
    **_RESIZES,
    **_MATH,
    **_SHAPES,
    **_ATTENTION,
    **_RECURRENT,
}
