"""Padding: the amounts for each mode, and the padding of a tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.filling import stop_if_large
from pocketlens.errors import ModelFileError, UnsupportedParameter

__all__ = ["Pads", "pad", "pad_dynamic", "pad_mode", "same_pads"]

Pads = list[tuple[int, int]]
"""The number of elements before and after, for each dimension."""


def same_pads(
    x: Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    *,
    lower: bool,
) -> Pads:
    """The padding that results in `ceil(size / stride)` outputs per dimension.

    Args:
        x: The tensor [n, C, *D].
        kernel: The window size for each of *D.
        strides: Likewise.
        dilations: Likewise.
        lower: If the total is odd, put the extra element before, not after.
    """
    pads = []
    for i, (size, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        reach = (size - 1) * dilation + 1
        if stride == 1:  # the amount does not depend on the size, which may be unknown
            total = reach - 1
        else:
            length = x.size(i + 2)
            total = max((-(-length // stride) - 1) * stride + reach - length, 0)
        less, more = total // 2, total - total // 2
        pads.append((more, less) if lower else (less, more))
    return pads


def pad(g: Graph, x: Value, pads: Pads, value: float = 0.0, mode: str = "constant") -> Value:
    """Pad the last dimensions of `x`.

    Args:
        g: The graph.
        x: The tensor.
        pads: The amounts for the last `len(pads)` dimensions, 0 or more.
        value: The padding value of the mode `constant`.
        mode: `constant`, `reflect` or `edge`.
    """
    if not any(before or after for before, after in pads):
        return x
    if any(before < 0 or after < 0 for before, after in pads):
        raise ModelFileError(f"a padding is negative: {pads}")
    full = [(0, 0)] * (x.rank - len(pads)) + pads
    amounts = np.array([p[0] for p in full] + [p[1] for p in full], np.int64)
    return g.Pad(x, amounts, g.like(value, x) if mode == "constant" else None, mode=mode)


def pad_dynamic(
    g: Graph, x: Value, amounts: Value, value: float = 0.0, mode: str = "constant"
) -> Value:
    """Pad `x` by amounts known only at run time; a negative or too large one stops the run.

    Args:
        g: The graph.
        x: The tensor.
        amounts: Elements before and after, for each dimension of `x`: [rank, 2], int64.
        value: As in `pad`.
        mode: As in `pad`.
    """
    wide = g.cast(amounts, np.float64)
    sizes = g.Add(g.cast(g.Shape(x), np.float64), g.ReduceSum(wide, np.array([1]), keepdims=0))
    below = g.Less(g.ReduceMin(amounts, keepdims=0), np.array(0, np.int64))
    count = g.Where(below, np.array(np.inf), g.ReduceProd(sizes, keepdims=0))
    before_and_after = g.reshape(g.transpose(amounts, [1, 0]), [-1])
    before_and_after = g.Add(before_and_after, stop_if_large(g, count, x.dtype.itemsize))
    return g.Pad(x, before_and_after, g.like(value, x) if mode == "constant" else None, mode=mode)


def pad_mode(mode: str) -> str:
    """ONNX's name for a padding mode of MIL."""
    names = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    if mode not in names:
        raise UnsupportedParameter(f"the padding mode is {mode!r}; expected one of {list(names)}")
    return names[mode]
