"""Cropping and resizing. x is [*B, H, W]."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Ints, Value
from pocketlens.coreml.lower.slicing import slice_by_index
from pocketlens.coreml.table import mil, unsupported
from pocketlens.errors import ModelFileError, UnsupportedParameter

unsupported(
    "mil",
    "not lowered yet",
    *("affine", "crop_resize", "resample", "resize", "resize_bilinear"),
    *("resize_nearest_neighbor", "upsample_bilinear"),
)


@mil()
def crop(g: Graph, x: Value, crop_height: Ints, crop_width: Ints) -> Value:
    if len(crop_height) != 2 or len(crop_width) != 2:
        raise ModelFileError("'crop_height' and 'crop_width' have not two numbers each")
    *lead, height, width = x.sizes
    begin = [0] * len(lead) + [crop_height[0], crop_width[0]]
    end = [*lead, height - crop_height[1], width - crop_width[1]]
    return slice_by_index(g, x, begin, end)


@mil(restrictions="whole factors only")
def upsample_nearest_neighbor(
    g: Graph, x: Value, scale_factor_height: float = 1, scale_factor_width: float = 1
) -> Value:
    factors = (scale_factor_height, scale_factor_width)
    if any(factor < 1 or factor != int(factor) for factor in factors):
        raise UnsupportedParameter(f"the scale factors are {factors}; expected whole numbers")
    scales = np.array([1] * (x.rank - 2) + list(factors), np.float32)
    return g.Resize(
        x,
        None,
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
