"""Resized images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F

from arrays import f32, i32, t
from mil_cases.case import Case, x4

line = np.array([[[0, 1]]], np.float32)  # the specification's own example


def grid(x: np.ndarray, rows: Any, columns: Any) -> np.ndarray:
    """x [..., H, W] at fractional rows and columns, interpolated linearly."""
    for axis, points in ((-2, rows), (-1, columns)):
        lines = np.moveaxis(x, axis, -1)
        rows_of_x = lines.reshape(-1, lines.shape[-1])
        at = np.asarray(points)
        new = np.stack([np.interp(at, np.arange(len(line)), line) for line in rows_of_x])
        x = np.moveaxis(new.reshape(*lines.shape[:-1], -1), -1, axis)
    return x


def interpolated(size: tuple[int, int], **options: Any) -> Callable[..., Any]:
    return lambda x: F.interpolate(t(x), size=size, mode="bilinear", **options)


RESIZING = [
    *(
        Case(
            "resize_bilinear",
            {"x": line},
            {"target_size_height": 1, "target_size_width": len(values), "sampling_mode": mode},
            lambda _, values=values: np.array([[values]]),
            note=f"{mode} {len(values)}",
            tolerance=0.01,
        )
        for mode, values in [
            ("UNALIGN_CORNERS", [0.0, 0.1, 0.5, 0.9, 1.0]),
            ("STRICT_ALIGN_CORNERS", [0.0, 0.25, 0.5, 0.75, 1.0]),
            ("ALIGN_CORNERS", [0.0, 0.25, 0.5, 0.75, 1.0]),
            ("DEFAULT", [0.0, 0.4, 0.8, 1.0, 1.0]),
            ("OFFSET_CORNERS", [0.1, 0.3, 0.5, 0.7, 0.9]),
            ("UNALIGN_CORNERS", [0.0, 0.0, 1 / 3, 2 / 3, 1.0, 1.0]),
            ("STRICT_ALIGN_CORNERS", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            ("DEFAULT", [0.0, 1 / 3, 2 / 3, 1.0, 1.0, 1.0]),
            ("OFFSET_CORNERS", [1 / 12, 0.25, 5 / 12, 7 / 12, 0.75, 11 / 12]),
            ("STRICT_ALIGN_CORNERS", [0.0]),
            ("ALIGN_CORNERS", [0.5]),
        ]
    ),
    Case("resize_bilinear", {"x": x4}, {}, lambda x: x[:, :, :1, :1], note="defaults"),
    *(
        Case(
            "resize_bilinear",
            {"x": x4},
            {"target_size_height": 4, "target_size_width": 13, "sampling_mode": mode},
            expected,
            note=f"{mode} 4 × 13",
        )
        for mode, expected in [
            ("UNALIGN_CORNERS", interpolated((4, 13))),
            ("ALIGN_CORNERS", interpolated((4, 13), align_corners=True)),
            ("DEFAULT", lambda x: grid(x, np.arange(4) * 7 / 4, np.arange(13) * 6 / 13)),
            (
                "OFFSET_CORNERS",
                lambda x: grid(x, (np.arange(4) + 0.5) * 6 / 4, (np.arange(13) + 0.5) * 5 / 13),
            ),
        ]
    ),
    # TensorFlow's half-pixel centers; coremltools converts that op to this one.
    Case(
        "resize_nearest_neighbor",
        {"x": x4},
        {"target_size_height": 10, "target_size_width": 4},
        lambda x: F.interpolate(t(x), size=(10, 4), mode="nearest-exact"),
    ),
    Case(
        "upsample_nearest_neighbor",
        {"x": x4},
        {"scale_factor_height": 1.3},
        lambda x: x[:, :, [0, 0, 1, 2, 3, 3, 4, 5, 6]],
        note="fraction, rounded down",
    ),
    Case(
        "upsample_nearest_neighbor",
        {"x": x4},
        {"scale_factor_height": 0.34},
        lambda x: x[:, :, [0, 3]],
        note="smaller, rounded down",
    ),
    Case(
        "upsample_nearest_neighbor",
        {"x": x4},
        {"scale_factor_height": 2.0, "scale_factor_width": 3.0},
        lambda x: x.repeat(2, 2).repeat(3, 3),
    ),
    Case(
        "upsample_nearest_neighbor",
        {"x": x4},
        {"scale_factor_width": 1.5},
        lambda x: F.interpolate(t(x), size=(7, 9), mode="nearest"),
        note="fraction",
    ),
    *(
        Case(
            "upsample_bilinear",
            {"x": x4},
            {"scale_factor_height": 2.5, "scale_factor_width": 0.75} | fields,
            expected,
            opset=opset,
            note=f"{opset} {fields}",
        )
        for opset, fields, expected in [
            ("CoreML5", {}, interpolated((17, 4), align_corners=True)),
            ("CoreML5", {"align_corners": False}, interpolated((17, 4))),
            ("CoreML6", {}, interpolated((17, 4), align_corners=True)),
            (
                "CoreML6",
                {"align_corners": False, "half_pixel_centers": True},
                interpolated((17, 4)),
            ),
            (
                "CoreML6",
                {"align_corners": False, "half_pixel_centers": False},
                lambda x: grid(x, np.arange(17) * 7 / 17, np.arange(4) * 6 / 4),
            ),
        ]
    ),
    Case(
        "upsample_bilinear",
        {"x": line},
        {"scale_factor_width": 2.6, "align_corners": False},
        lambda _: np.array([[[0.0, 0.1, 0.5, 0.9, 1.0]]]),
        note="example",
        only="float32",
    ),
    Case(
        "resize",
        {"x": f32([-6.174, 9.371]).reshape(1, 1, 1, 2, 1)},
        {"shape": i32([1, 1, 3, 2]), "resized_dims": np.uint32(2)}
        | {"interpolation_mode": "NEAREST_NEIGHBOR"},
        lambda x: x.reshape(2)[[0, 0, 1, 1, 1, 1]].reshape(1, 1, 1, 3, 2),
        opset="CoreML7",
        note="nearest",
    ),
    Case(
        "resize",
        {"x": x4},
        {"shape": i32([4, 0, 13]), "resized_dims": np.uint32(2)},
        lambda x: grid(x, np.arange(7), np.arange(13) * 6 / 13),
        opset="CoreML7",
        note="keep the height",
    ),
    Case(
        "resize",
        {"x": x4},
        {"shape": i32([3]), "resized_dims": np.uint32(1)} | {"sampling_mode": "UNALIGN_CORNERS"},
        interpolated((7, 3)),
        opset="CoreML7",
        note="width only",
    ),
    *(
        Case(
            "resize",
            {"x": x4, "shape": i32([2, *sides])},
            {"resized_dims": np.uint32(2), "sampling_mode": mode},
            lambda x, _, expected=expected: expected(x),
            opset="CoreML7",
            note=f"computed {mode} {sides}",
        )
        for mode, sides, expected in [
            ("UNALIGN_CORNERS", (4, 13), interpolated((4, 13))),
            ("ALIGN_CORNERS", (4, 13), interpolated((4, 13), align_corners=True)),
            ("STRICT_ALIGN_CORNERS", (4, 1), lambda x: grid(x, np.arange(4) * 2, [0])),
            ("ALIGN_CORNERS", (1, 13), lambda x: grid(x, [3], np.arange(13) * 5 / 12)),
            ("DEFAULT", (4, 0), lambda x: grid(x, np.arange(4) * 7 / 4, np.arange(6))),
            (
                "OFFSET_CORNERS",
                (4, 13),
                lambda x: grid(x, (np.arange(4) + 0.5) * 6 / 4, (np.arange(13) + 0.5) * 5 / 13),
            ),
        ]
    ),
    Case(
        "resize",
        {"x": x4, "shape": i32([2, 10])},
        {"resized_dims": np.uint32(1), "interpolation_mode": "NEAREST_NEIGHBOR"},
        lambda x, _: F.interpolate(t(x), size=(7, 10), mode="nearest-exact"),
        opset="CoreML7",
        note="computed nearest, width only",
    ),
]
