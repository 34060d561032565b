"""Images sampled at given points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F

from arrays import Draw, f32, t
from mil_cases.case import Case, x4

draw = Draw(117)

spots = draw.random.uniform(-1.3, 1.3, (2, 3, 4, 2)).astype(np.float32)


def sampled(mode: str, padding: str, corners: bool) -> Callable[..., Any]:
    return lambda x, at: F.grid_sample(
        t(x), t(at), mode=mode, padding_mode=padding, align_corners=corners
    )


def resample_case(
    modes: tuple[str, str, str], corners: bool, expected: Callable[..., Any], **given: Any
) -> Case:
    sampling, padding, space = modes
    fields = {"sampling_mode": sampling, "padding_mode": padding, "coordinates_mode": space}
    return Case(
        "resample",
        {"x": x4, "coordinates": given.get("at", spots)},
        fields | {"align_corners": corners, "padding_value": given.get("value", 0.0)},
        expected,
        note=f"{' '.join(modes)} {corners}",
        tolerance=0.02,
    )


zero_to_one, both = "normalized_zero_to_one", "normalized_minus_one_to_one"
# Columns 0 to 5 and rows 0 to 6 are inside x4 [2, 4, 7, 6].
dots = draw.random.uniform(-2.4, 7.4, (2, 3, 4, 2)).astype(np.float32)
ends = f32([5, 6])
RESAMPLING = [
    Case(  # from coremltools' own tests; the last point is exactly between two elements
        "resample",
        {
            "x": f32([[[[11, 22], [33, 44]]]]),
            "coordinates": f32([-1, -2, -3.7, -1, 0, 0, 3.5, 1.2]).reshape(1, 2, 2, 2),
        },
        {"sampling_mode": "nearest", "padding_mode": "symmetric", "padding_value": -1.0}
        | {"coordinates_mode": zero_to_one, "align_corners": False},
        lambda *_: f32([[[[22, 33], [11, 33]]]]),
        note="between two",
    ),
    *(
        resample_case((mode, padding, both), corners, sampled(mode, torch_padding, corners))
        for mode in ("bilinear", "nearest")
        for padding, torch_padding, corners in [
            ("constant", "zeros", True),
            ("constant", "zeros", False),
            ("border", "border", True),
            ("border", "border", False),
            ("reflection", "reflection", True),
            ("symmetric", "reflection", False),
        ]
    ),
    resample_case(
        ("bilinear", "border", zero_to_one),
        False,
        lambda x, at: sampled("bilinear", "border", False)(x, 2 * at - 1),
        at=np.abs(spots),
    ),
    *(
        resample_case(
            ("bilinear", padding, "unnormalized"),
            False,
            lambda x, at, name=name: sampled("bilinear", name, True)(x, 2 * at / ends - 1),
            at=dots,
        )
        for padding, name in [
            ("constant", "zeros"),
            ("border", "border"),
            ("reflection", "reflection"),
        ]
    ),
    resample_case(
        ("bilinear", "constant", both),
        True,
        lambda x, at: sampled("bilinear", "zeros", True)(x - 3, at) + 3,
        value=3.0,
    ),
    *(
        Case(
            "affine",
            {"x": x4, "transform_matrix": draw.normal(batch, 6)},
            {"output_height": 3, "output_width": 5, "sampling_mode": "bilinear"}
            | {"padding_mode": "constant", "padding_value": 0.0, "coordinates_mode": both}
            | {"align_corners": True},
            lambda x, matrix: F.grid_sample(
                t(x),
                F.affine_grid(
                    t(np.broadcast_to(matrix.reshape(-1, 2, 3), (2, 2, 3)).copy()),
                    [2, 4, 3, 5],
                    align_corners=True,
                ),
                align_corners=True,
            ),
            note=f"{batch}",
            tolerance=0.02,
        )
        for batch in (1, 2)
    ),
]
