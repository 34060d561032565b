"""Pooling over one to three spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.convolution import onnx_pads
from pocketlens.coreml.ops.common.padding import Pads, pad
from pocketlens.errors import ModelFileError, UnsupportedParameter

__all__ = ["Kind", "ceil_pads", "pool"]

Kind = Literal["max", "average", "l2"]


def ceil_pads(
    x: Value, kernel: Sequence[int], strides: Sequence[int], pads: Pads, *, alone: bool = False
) -> Pads:
    """The padding that completes the last window of each dimension.

    A window that would start in the padding after the tensor is dropped, together with the padding
    that only this window covers. The specification defines this if there is padding along any
    dimension; `alone`: along the same dimension. What the last window lacks counts as padding, as
    on a device: an average that includes the padding divides by the whole window.

    Raises:
        UnsupportedParameter: There is such a window but no padding; only PyTorch defines that case.
    """
    padded = any(before or after for before, after in pads)
    completed = []
    for i, (size, stride, (before, after)) in enumerate(zip(kernel, strides, pads, strict=True)):
        length = x.size(i + 2)
        count = -(-(length + before + after - size) // stride) + 1
        if (count - 1) * stride >= length + before:
            if not (before or after if alone else padded):
                raise UnsupportedParameter(
                    f"the last window of size {size} and stride {stride} starts after the "
                    f"{length} elements; the specification does not define its result"
                )
            count -= 1
        completed.append((before, max((count - 1) * stride + size - (length + before), 0)))
    return completed


def pool(
    g: Graph,
    kind: Kind,
    x: Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    *,
    count_padding: bool = False,
) -> Value:
    """Pool x [n, C, *D].

    Args:
        g: The graph.
        kind: `max`, `average`, or `l2`: the square root of the window's sum of squares.
        x: The tensor.
        kernel: The window size for each of *D.
        strides: Likewise.
        pads: The padding of *D.
        count_padding: Whether an average includes the padded zeros.
    """
    if any(size < 1 for size in (*kernel, *strides)) or not len(kernel) == len(strides) == len(
        pads
    ):
        raise ModelFileError(
            f"the window is {list(kernel)} and the stride {list(strides)}; "
            f"expected {len(pads)} positive numbers each"
        )
    if kind == "l2":
        squares = pool(g, "average", g.Mul(x, x), kernel, strides, pads, count_padding=True)
        return g.Sqrt(g.Mul(squares, g.like(float(np.prod(kernel)), x)))
    # ONNX Runtime requires a padding smaller than the window.
    if any(max(side) >= size for side, size in zip(pads, kernel, strict=True)):
        nothing = float(np.finfo(x.dtype).min) if kind == "max" else 0.0
        if kind == "average" and not count_padding:
            return _large_average(g, x, kernel, strides, pads)
        x, pads = pad(g, x, pads, nothing), [(0, 0)] * len(pads)
    window = {
        "kernel_shape": list(kernel),
        "strides": list(strides),
        "pads": onnx_pads(pads),
    }
    if kind == "max":
        return g.MaxPool(x, **window)
    return g.AveragePool(x, **window, count_include_pad=int(count_padding))


def _large_average(
    g: Graph, x: Value, kernel: Sequence[int], strides: Sequence[int], pads: Pads
) -> Value:
    """An average that excludes the padding, for a padding as large as the window."""
    none = [(0, 0)] * len(pads)
    ones = g.constant(np.ones((1, 1, *x.sizes[2:]), x.dtype))
    total = pool(g, "average", pad(g, x, pads), kernel, strides, none)
    share = pool(g, "average", pad(g, ones, pads), kernel, strides, none)
    return g.Div(total, share)
