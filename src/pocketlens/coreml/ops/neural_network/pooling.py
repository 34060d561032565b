"""Pooling. x is [*B, C, H, W], or [*B, C, D, H, W] with three spatial dimensions."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Ints, Message, Value
from pocketlens.coreml.ops.common.batch import over_batch
from pocketlens.coreml.ops.common.padding import Pads, same_pads
from pocketlens.coreml.ops.common.pooling import Kind, ceil_pads, pool
from pocketlens.coreml.ops.neural_network.convolution import border, custom_pads, pair, positive
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError

KINDS: dict[str, Kind] = {"MAX": "max", "AVERAGE": "average", "L2": "l2"}

# over all of height and width, whose sizes may be unknown
GLOBAL: dict[Kind, str] = {"max": "ReduceMax", "average": "ReduceMean", "l2": "ReduceL2"}


@layer()
def pooling(
    g: Graph,
    x: Value,
    *,
    type: str = "MAX",
    kernelSize: Ints = (3, 3),
    stride: Ints = (1, 1),
    valid: Message | None = None,
    same: Message | None = None,
    includeLastPixel: Message | None = None,
    avgPoolExcludePadding: bool = False,
    globalPooling: bool = False,
) -> Value:
    kind = KINDS[type]

    def formula(v: Value) -> Value:
        pads: Pads = [(0, 0), (0, 0)]
        if globalPooling:
            return g.op(GLOBAL[kind], v, np.array([2, 3], np.int64))[0]
        kernel, strides = pair(kernelSize, (3, 3), "kernelSize"), pair(stride, (1, 1), "stride")
        if same is not None:
            pads = same_pads(v, kernel, strides, (1, 1), lower=same.asymmetryMode == 1)
        elif includeLastPixel is not None:
            amounts = tuple(includeLastPixel.paddingAmounts) or (0, 0)
            if len(amounts) != 2:
                raise ModelFileError(f"paddingAmounts is {list(amounts)}; expected two numbers")
            pads = [(amount, amount) for amount in amounts]
            pads = ceil_pads(v, kernel, strides, pads)
        elif valid is not None:
            pads = border(valid.paddingAmounts)
        counted = not avgPoolExcludePadding
        return pool(g, kind, v, kernel, strides, pads, count_padding=counted)

    return over_batch(g, x, formula)


@layer()
def pooling3d(
    g: Graph,
    x: Value,
    *,
    type: str = "MAX",
    kernelDepth: int,
    kernelHeight: int,
    kernelWidth: int,
    strideDepth: int,
    strideHeight: int,
    strideWidth: int,
    paddingType: str = "CUSTOM",
    customPaddingFront: int = 0,
    customPaddingBack: int = 0,
    customPaddingTop: int = 0,
    customPaddingBottom: int = 0,
    customPaddingLeft: int = 0,
    customPaddingRight: int = 0,
    countExcludePadding: bool = False,
) -> Value:
    kernel = positive("window", kernelDepth, kernelHeight, kernelWidth)
    strides = positive("stride", strideDepth, strideHeight, strideWidth)
    amounts = custom_pads(
        paddingType,
        *(customPaddingFront, customPaddingBack),
        *(customPaddingTop, customPaddingBottom),
        *(customPaddingLeft, customPaddingRight),
    )

    def formula(v: Value) -> Value:
        pads = amounts or same_pads(v, kernel, strides, (1, 1, 1), lower=False)
        counted = not countExcludePadding
        return pool(g, KINDS[type], v, kernel, strides, pads, count_padding=counted)

    return over_batch(g, x, formula, inner=4)


@layer()
def globalPooling3d(
    g: Graph,
    x: Value,
    *,
    type: str = "MAX",
) -> Value:
    average = KINDS[type] == "average"
    return over_batch(
        g, x, lambda v: g.GlobalAveragePool(v) if average else g.GlobalMaxPool(v), inner=4
    )
