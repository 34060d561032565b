"""Resized images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F

from arrays import f32, t
from layer_cases.case import Case, x4

line = f32([[[0, 1]]])
UPSAMPLING: list[tuple[str, np.ndarray, dict[str, Any], tuple[int, int], dict[str, Any]]] = [
    (
        "ALIGN_CORNERS_TRUE",
        x4,
        {"scalingFactor": [2, 3]},
        (14, 18),
        {"align_corners": True},
    ),
    ("ALIGN_CORNERS_FALSE", x4, {"fractionalScalingFactor": [2.5, 0.75]}, (17, 4), {}),
]
RESIZING = [
    Case("upsample", [x4], {"scalingFactor": [2, 3]}, lambda x: x.repeat(2, 2).repeat(3, 3)),
    Case("upsample", [x4], {}, lambda x: x, "default"),
    *(
        Case(
            "upsample",
            [x],
            {"mode": "BILINEAR", "linearUpsampleMode": mode} | factors,
            lambda x, size=size, options=options: F.interpolate(
                t(x), size=size, mode="bilinear", **options
            ),
            mode,
        )
        for mode, x, factors, size, options in UPSAMPLING
    ),
    Case(
        "upsample",
        [line],
        {"mode": "BILINEAR", "scalingFactor": [1, 3]},
        lambda _: f32([[[0, 1 / 3, 2 / 3, 1, 1, 1]]]),
        "bilinear default",
    ),
    *(
        Case(
            "resizeBilinear",
            [line],
            {"targetSize": [1, 5]} | ({"mode": {"samplingMethod": mode}} if mode else {}),
            lambda _, values=values: f32([[values]]),
            mode or "default",
        )
        for mode, values in [
            ("", [0, 0.25, 0.5, 0.75, 1]),
            ("STRICT_ALIGN_ENDPOINTS_MODE", [0, 0.25, 0.5, 0.75, 1]),
            ("ALIGN_ENDPOINTS_MODE", [0, 0.25, 0.5, 0.75, 1]),
            ("UPSAMPLE_MODE", [0, 0.4, 0.8, 1, 1]),
            ("ROI_ALIGN_MODE", [0.1, 0.3, 0.5, 0.7, 0.9]),
        ]
    ),
]
