# ruff: noqa: N802, N803 (layers and fields are named as the specification names them)
"""Resizing. x is [*B, C, H, W]."""

from __future__ import annotations

from pocketlens.coreml.graph import Floats, Graph, Ints, Message, Value
from pocketlens.coreml.lower import resizing
from pocketlens.coreml.table import layer, unsupported
from pocketlens.errors import ModelFileError

unsupported("neural_network", "not lowered yet", "cropResize")

# SamplingMode.Method, by number, as an ML Program names the same points
SAMPLING = ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS")


@layer(
    restrictions="nearest neighbour: only factors with which height and width become whole numbers"
)
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
    return resizing.linear(g, x, resizing.scaled(x, *factors), sampling[linearUpsampleMode])


@layer()
def resizeBilinear(
    g: Graph,
    x: Value,
    *,
    targetSize: Ints = (1, 1),
    mode: Message | None = None,
) -> Value:
    if len(targetSize) != 2:
        raise ModelFileError(f"targetSize is {list(targetSize)}; expected two numbers")
    number = mode.samplingMethod if mode is not None else 0
    if number not in range(len(SAMPLING)):
        raise ModelFileError(f"samplingMethod is number {number}; expected a known one")
    return resizing.linear(g, x, resizing.resized_sides(*targetSize), SAMPLING[number])
