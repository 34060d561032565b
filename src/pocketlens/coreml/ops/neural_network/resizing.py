"""Resizing. x is [*B, C, H, W]."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Floats, Graph, Ints, Message, Value
from pocketlens.coreml.ops.common import cropping, resizing
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError

# SamplingMode.Method, by number -> an ML Program's name for the same sampling
SAMPLING = ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS")


@layer()
def upsample(
    g: Graph,
    x: Value,
    *,
    scalingFactor: Ints = (),
    fractionalScalingFactor: Floats = (),
    mode: str = "NN",
    linearUpsampleMode: str = "DEFAULT",
) -> Value:
    factors = fractionalScalingFactor or scalingFactor or (1, 1)
    if len(factors) != 2:
        raise ModelFileError(f"the scaling factors are {list(factors)}; expected two")
    if mode == "NN":
        return resizing.upsample_nearest(g, x, *factors)
    sampling = {
        "DEFAULT": "DEFAULT",
        "ALIGN_CORNERS_TRUE": "STRICT_ALIGN_CORNERS",
        "ALIGN_CORNERS_FALSE": "UNALIGN_CORNERS",
    }
    height, width = factors
    return resizing.upsample_linear(g, x, height, width, sampling[linearUpsampleMode])


@layer()
def resizeBilinear(
    g: Graph,
    x: Value,
    *,
    targetSize: Ints = (1, 1),
    mode: Message | None = None,
) -> Value:
    return resizing.linear(g, x, _sides(targetSize), _sampling(mode))


# BoxCoordinatesMode.Coordinates, by number
ORDERS = tuple(cropping.ORDERS)


@layer(restrictions="a box with its second corner first: only with the two ALIGN_ENDPOINTS modes")
def cropResize(
    g: Graph,
    x: Value,  # [1, B, C, H, W]
    roi: Value,  # [N, 1, 4, 1, 1], or [N, 1, 5, 1, 1] with the image index first
    *,
    targetSize: Ints = (1, 1),
    normalizedCoordinates: bool = False,
    mode: Message | None = None,
    boxIndicesMode: Message | None = None,
    spatialScale: float = 0.0,  # 0 or a missing field means 1
) -> Value:
    if x.rank != 5:
        raise ModelFileError(f"{x!r} has {x.rank} dimensions; expected [1, B, C, H, W]")
    number = boxIndicesMode.boxMode if boxIndicesMode is not None else 0
    if number not in range(len(ORDERS)):
        raise ModelFileError(f"boxMode is number {number}; expected a known one")
    boxes, images = cropping.split_regions(g, roi)
    return cropping.crop_resize(
        g,
        g.Squeeze(x, np.array([0], np.int64)),
        boxes,
        images,
        _sides(targetSize),
        order=ORDERS[number],
        normalized=normalizedCoordinates,
        scale=spatialScale or 1.0,
        sampling=_sampling(mode),
        pad_value=0.0,
    )


def _sides(target: Ints) -> tuple[int, int]:
    if len(target) != 2:
        raise ModelFileError(f"targetSize is {list(target)}; expected two numbers")
    return resizing.check_sides(*target)


def _sampling(mode: Message | None) -> str:
    number = mode.samplingMethod if mode is not None else 0
    if number not in range(len(SAMPLING)):
        raise ModelFileError(f"samplingMethod is number {number}; expected a known one")
    return SAMPLING[number]
