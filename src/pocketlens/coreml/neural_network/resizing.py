# ruff: noqa: N803 (layers and fields are named as the specification names them)
"""Resizing. x is [*B, C, H, W]."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Ints, Value
from pocketlens.coreml.table import layer, unsupported
from pocketlens.errors import UnsupportedParameter

unsupported("neural_network", "not lowered yet", "resizeBilinear", "cropResize")


@layer(restrictions="nearest neighbour and whole factors only")
def upsample(
    g: Graph,
    x: Value,
    *,
    scalingFactor: Ints = (1, 1),
    mode: str = "NN",
) -> Value:
    if mode != "NN":
        raise UnsupportedParameter(f"mode is {mode}; expected NN (nearest neighbour)")
    scales = np.array([1] * (x.rank - 2) + list(scalingFactor), np.float32)
    return g.Resize(
        x,
        None,
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
