# ruff: noqa: N803 (layers and fields are named as the specification names them)
"""Pooling. x is [*B, C, H, W]."""

from __future__ import annotations

from pocketlens.coreml.graph import Graph, Ints, Message, Value
from pocketlens.coreml.lower.batch import over_batch
from pocketlens.coreml.lower.padding import Pads, same_pads
from pocketlens.coreml.lower.pooling import Kind, ceil_pads, pool
from pocketlens.coreml.neural_network.convolution import border, pair
from pocketlens.coreml.table import layer, unsupported
from pocketlens.errors import ModelFileError

unsupported("neural_network", "not lowered yet", "pooling3d", "globalPooling3d")

KINDS: dict[str, Kind] = {"MAX": "max", "AVERAGE": "average", "L2": "l2"}


@layer()
def pooling(
    g: Graph,
    x: Value,
    *,
    type: str = "MAX",  # noqa: A002 (the specification's name)
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
            return pool(g, kind, v, v.sizes[2:], (1, 1), pads)
        kernel, strides = pair(kernelSize, (3, 3), "kernelSize"), pair(stride, (1, 1), "stride")
        extra = None
        if same is not None:
            pads = same_pads(v, kernel, strides, (1, 1), lower=same.asymmetryMode == 1)
        elif includeLastPixel is not None:
            amounts = tuple(includeLastPixel.paddingAmounts) or (0, 0)
            if len(amounts) != 2:
                raise ModelFileError(f"paddingAmounts is {list(amounts)}; expected two numbers")
            pads = [(amount, amount) for amount in amounts]
            extra = ceil_pads(v, kernel, strides, pads)
        elif valid is not None:
            pads = border(valid.paddingAmounts)
        return pool(
            g, kind, v, kernel, strides, pads, count_padding=not avgPoolExcludePadding, extra=extra
        )

    return over_batch(g, x, formula)
