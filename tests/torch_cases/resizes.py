"""Resizing, padding, folding and sampling."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from torch_cases.case import Made, flow, rows

__all__ = ["ROWS"]

ROWS: dict[str, Any] = {
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
ROWS |= {
    "interpolate(linear, x1.7)": lambda x: F.interpolate(rows(x), scale_factor=1.7, mode="linear"),
    "interpolate(linear, 5, align_corners)": lambda x: F.interpolate(
        rows(x), 5, mode="linear", align_corners=True
    ),
    "interpolate(1-d nearest, x1.3)": lambda x: F.interpolate(rows(x), scale_factor=1.3),
    "interpolate(1-d nearest-exact, 17)": lambda x: F.interpolate(
        rows(x), 17, mode="nearest-exact"
    ),
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
    "fold": lambda x: F.fold(x.reshape(1, 12, 36), 12, 2, stride=2),
    "fold(overlapping)": lambda x: F.fold(F.unfold(x, 3, padding=1), 12, 3, padding=1),
    "fold(dilation)": lambda x: F.fold(F.unfold(x, 3, 2), 12, 3, 2),
    "Tensor.unfold": lambda x: x.unfold(2, 5, 3),
}
ROWS |= {
    f"grid_sample({mode}, {padding}, align_corners={corners})": (
        lambda x, mode=mode, padding=padding, corners=corners: F.grid_sample(
            x, flow(x), mode, padding, corners
        )
    )
    for mode in ("bilinear", "nearest", "bicubic")
    for padding in ("zeros", "border", "reflection")
    for corners in (False, True)
}
ROWS |= {
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
