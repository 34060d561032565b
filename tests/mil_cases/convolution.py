"""Convolutions and pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F

from arrays import Draw, t
from mil_cases.case import Case, x4

draw = Draw(112)

weight = draw.normal(6, 4, 3, 3)
bias6 = draw.normal(6)
odd = draw.normal(1, 4, 6, 5)
even_kernel = draw.normal(3, 4, 2, 2)
wt, wg = draw.normal(4, 3, 3, 3), draw.normal(4, 2, 3, 3)


def conv_case(
    note: str, x: np.ndarray, w: np.ndarray, expected: Callable[..., Any], **fields: Any
) -> Case:
    tolerance = 0.02  # a float16 sum of dozens of products
    return Case("conv", {"x": x}, {"weight": w} | fields, expected, note=note, tolerance=tolerance)


TRANSPOSED: list[tuple[str, np.ndarray, dict[str, Any], Callable[..., Any]]] = [
    ("defaults", wt, {}, lambda x: F.conv_transpose2d(t(x), t(wt))),
    (
        "custom",
        wt,
        {"strides": [2, 2], "pad_type": "custom", "pad": [1, 0, 0, 2]},
        lambda x: F.conv_transpose2d(t(x), t(wt), stride=2)[:, :, 1:, :-2],
    ),
    (
        "same",
        wt,
        {"strides": [2, 2], "pad_type": "same"},
        lambda x: F.conv_transpose2d(t(x), t(wt), stride=2)[:, :, :12, :10],
    ),
    (
        "groups",
        wg,
        {"groups": 2, "bias": bias6[:4]},
        lambda x: F.conv_transpose2d(t(x), t(wg), t(bias6[:4]), groups=2),
    ),
    (
        "output-shape",
        wt,
        {
            "strides": [2, 2],
            "pad_type": "custom",
            "pad": [1, 1, 1, 1],
            "output_shape": [1, 3, 12, 10],
        },
        lambda x: F.conv_transpose2d(t(x), t(wt), stride=2, padding=1, output_padding=1),
    ),
]
CONVOLUTIONS = [
    conv_case("defaults", odd, weight, lambda x: F.conv2d(t(x), t(weight))),
    conv_case(
        "custom",
        odd,
        weight,
        lambda x: F.conv2d(F.pad(t(x), (3, 0, 1, 2)), t(weight), t(bias6), stride=(2, 1)),
        bias=bias6,
        strides=[2, 1],
        pad_type="custom",
        pad=[1, 2, 3, 0],
    ),
    # Size 6, window 3, stride 2: one zero, after the rows; size 5: one zero on each side.
    conv_case(
        "same",
        odd,
        weight,
        lambda x: F.conv2d(F.pad(t(x), (1, 1, 0, 1)), t(weight), stride=2),
        strides=[2, 2],
        pad_type="same",
    ),
    conv_case(
        "same-even-kernel",
        odd,
        even_kernel,
        lambda x: F.conv2d(F.pad(t(x), (0, 1, 0, 1)), t(even_kernel)),
        pad_type="same",
    ),
    conv_case(
        "same-lower",
        odd,
        even_kernel,
        lambda x: F.conv2d(F.pad(t(x), (1, 0, 1, 0)), t(even_kernel)),
        pad_type="same_lower",
    ),
    conv_case(
        "dilated",
        odd,
        weight,
        lambda x: F.conv2d(t(x), t(weight), padding=2, dilation=2),
        dilations=[2, 2],
        pad_type="same",
    ),
    conv_case(
        "depthwise",
        odd,
        weight[:4, :1],
        lambda x: F.conv2d(t(x), t(weight[:4, :1]), groups=4),
        groups=4,
    ),
    conv_case("1d", x4[:, :, :, 0], weight[..., 0], lambda x: F.conv1d(t(x), t(weight[..., 0]))),
    conv_case(
        "3d",
        draw.normal(1, 4, 4, 4, 4),
        (w3 := draw.normal(2, 4, 2, 2, 2)),
        lambda x: F.conv3d(t(x), t(w3)),
    ),
    Case(
        "conv",
        {"x": odd, "weight": weight},
        {},
        lambda x, weight: F.conv2d(t(x), t(weight)),
        note="weight known at run time",
        opset="CoreML7",
        tolerance=0.02,
    ),
    *(
        Case("conv_transpose", {"x": odd}, {"weight": w} | fields, e, note=note, tolerance=0.02)
        for note, w, fields, e in TRANSPOSED
    ),
]


def pool_case(op: str, note: str, expected: Callable[..., Any], **fields: Any) -> Case:
    return Case(op, {"x": odd}, fields, lambda x: expected(t(x)), note=note)


POOLS = [
    pool_case(
        "max_pool", "2", lambda x: F.max_pool2d(x, 2), kernel_sizes=[2, 2], strides=[2, 2],
        pad_type="valid",
    ),
    pool_case(
        "max_pool", "stride 1", lambda x: F.max_pool2d(x, 3, 1), kernel_sizes=[3, 3],
        pad_type="valid",
    ),
    pool_case(
        "max_pool", "same", lambda x: F.max_pool2d(F.pad(x, (1, 1, 0, 1), value=-9), 3, 2),
        kernel_sizes=[3, 3], strides=[2, 2], pad_type="same",
    ),
    pool_case(
        "max_pool", "ceil", lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1], ceil_mode=True,
    ),
    pool_case(
        "max_pool", "large padding",
        lambda x: F.max_pool2d(F.pad(x, (0, 2, 0, 0), value=-9), 2, (1, 3)),
        kernel_sizes=[2, 2], strides=[1, 3], pad_type="custom", pad=[0, 0, 0, 2],
    ),
    pool_case(
        "avg_pool", "count", lambda x: F.avg_pool2d(x, 3, 2, 1), kernel_sizes=[3, 3],
        strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1],
    ),
    pool_case(
        "avg_pool", "exclude", lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1],
        exclude_padding_from_average=True,
    ),
    pool_case(
        "avg_pool", "ceil count", lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 2)), 3, 2),
        kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1], ceil_mode=True,
    ),
    pool_case(
        "avg_pool", "ceil exclude",
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1], ceil_mode=True,
        exclude_padding_from_average=True,
    ),
    pool_case(
        "avg_pool", "large padding exclude",
        lambda x: F.avg_pool2d(F.pad(x, (0, 1, 0, 0), mode="replicate"), 2, (1, 2)),
        kernel_sizes=[2, 2], strides=[1, 2], pad_type="custom", pad=[0, 0, 0, 2],
        exclude_padding_from_average=True,
    ),
    pool_case(
        "l2_pool", "2", lambda x: F.lp_pool2d(x, 2.0, 2), kernel_sizes=[2, 2], strides=[2, 2],
        pad_type="valid",
    ),
    Case(
        "avg_pool", {"x": odd[..., 0]}, {"kernel_sizes": [2], "pad_type": "valid"},
        lambda x: F.avg_pool1d(t(x), 2, 1), note="1d",
    ),
]  # fmt: skip
