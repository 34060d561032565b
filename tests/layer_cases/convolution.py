"""Convolutions and pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F

from arrays import t
from layer_cases.case import (
    Case,
    bias6,
    depthwise,
    edges,
    even,
    odd,
    over_batch,
    sizes,
    transposed,
    weight,
    x5,
)

DECONVOLUTIONS: list[tuple[str, dict[str, Any], Any]] = [
    ("transposed", {"valid": {}}, np.s_[:]),
    ("cut", {"valid": {"paddingAmounts": edges(1, 0, 0, 2)}}, np.s_[:, :, 1:, :-2]),
    ("transposed same", {"same": {}}, np.s_[:, :, :12, :10]),
    ("output shape", {"outputShape": [12, 11]}, np.s_[:, :, :12, :]),
]
CONVOLUTIONS = [
    Case("convolution", [odd], sizes, lambda x: F.conv2d(t(x), t(weight)), "defaults"),
    Case(
        "convolution",
        [x5],
        sizes | {"hasBias": True, "bias": bias6, "valid": {}},
        over_batch(lambda x: F.conv2d(x, t(weight), t(bias6))),
        "rank 5",
    ),
    Case(
        "convolution",
        [odd],
        sizes | {"stride": [2, 1], "valid": {"paddingAmounts": edges(1, 2, 3, 0)}},
        lambda x: F.conv2d(F.pad(t(x), (3, 0, 1, 2)), t(weight), stride=(2, 1)),
        "borders",
    ),
    Case(
        "convolution",
        [odd],
        sizes | {"stride": [2, 2], "same": {}},
        lambda x: F.conv2d(F.pad(t(x), (1, 1, 0, 1)), t(weight), stride=2),
        "same",
    ),
    Case(
        "convolution",
        [odd],
        {"outputChannels": 3, "kernelChannels": 4, "kernelSize": [2, 2], "weights": even}
        | {"same": {"asymmetryMode": "TOP_LEFT_HEAVY"}},
        lambda x: F.conv2d(F.pad(t(x), (1, 0, 1, 0)), t(even)),
        "same, top left",
    ),
    Case(
        "convolution",
        [odd],
        sizes | {"dilationFactor": [2, 2], "same": {}},
        lambda x: F.conv2d(t(x), t(weight), padding=2, dilation=2),
        "dilated",
    ),
    Case(
        "convolution",
        [odd],
        {"outputChannels": 4, "kernelChannels": 1, "nGroups": 4, "weights": depthwise},
        lambda x: F.conv2d(t(x), t(depthwise), groups=4),
        "depthwise",
    ),
    Case(
        "convolution",
        [odd, weight],
        {"outputChannels": 6, "kernelChannels": 4},
        lambda x, w: F.conv2d(t(x), t(w)),
        "weights known at run time",
    ),
    *(
        Case(
            "convolution",
            [odd],
            {"outputChannels": 3, "kernelChannels": 4, "weights": transposed}
            | {"isDeconvolution": True, "stride": [2, 2]}
            | fields,
            lambda x, cut=cut: F.conv_transpose2d(t(x), t(transposed), stride=2)[cut],
            note,
        )
        for note, fields, cut in DECONVOLUTIONS
    ),
    Case(
        "convolution",
        [odd],
        {"outputChannels": 3, "kernelChannels": 4, "weights": transposed}
        | {"isDeconvolution": True, "dilationFactor": [2, 1], "valid": {}},
        lambda x: F.conv_transpose2d(t(x), t(transposed), dilation=(2, 1)),
        "transposed, dilated",
    ),
]


def pool(note: str, expected: Callable[..., Any], **fields: Any) -> Case:
    return Case("pooling", [odd], fields, lambda x: expected(t(x)), note)


POOLS = [
    pool("defaults", lambda x: F.max_pool2d(x, 3, 1)),
    pool("max", lambda x: F.max_pool2d(x, 2), kernelSize=[2, 2], stride=[2, 2], valid={}),
    pool(
        "same",
        lambda x: F.max_pool2d(F.pad(x, (1, 1, 0, 1), value=-9), 3, 2),
        stride=[2, 2],
        same={},
    ),
    pool(
        "average",
        lambda x: F.avg_pool2d(x, 3, 2, 1),
        type="AVERAGE",
        stride=[2, 2],
        valid={"paddingAmounts": edges(1, 1, 1, 1)},
    ),
    pool(
        "average exclude",
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        type="AVERAGE",
        stride=[2, 2],
        valid={"paddingAmounts": edges(1, 1, 1, 1)},
        avgPoolExcludePadding=True,
    ),
    pool(
        "last pixel",
        lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        stride=[2, 2],
        includeLastPixel={"paddingAmounts": [1, 1]},
    ),
    pool(
        "last pixel, padding of the width only",
        lambda x: F.max_pool2d(F.pad(x, (1, 0, 0, 0), value=-9), (2, 3), 3),
        kernelSize=[2, 3],
        stride=[3, 3],
        includeLastPixel={"paddingAmounts": [0, 1]},
    ),
    pool(
        "last pixel, a window in the padding only",
        lambda x: F.pad(x, (2, 0, 0, 0))[:, :, ::4, ::4],
        type="AVERAGE",
        kernelSize=[1, 1],
        stride=[4, 4],
        includeLastPixel={"paddingAmounts": [0, 2]},
    ),
    pool("global", lambda x: x.mean((2, 3), keepdim=True), type="AVERAGE", globalPooling=True),
    pool("global max", lambda x: x.amax((2, 3), keepdim=True), globalPooling=True),
    pool("l2", lambda x: F.lp_pool2d(x, 2.0, 2), type="L2", kernelSize=[2, 2], stride=[2, 2]),
    Case("pooling", [x5], {}, over_batch(lambda x: F.max_pool2d(x, 3, 1)), "rank 5"),
]
