"""Pooling over one to three spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.convolution import flat
from pocketlens.coreml.ops.common.padding import Pads, pad
from pocketlens.errors import ModelFileError, UnsupportedParameter

__all__ = ["Kind", "ceil_pads", "pool"]

Kind = Literal["max", "average", "l2"]


def ceil_pads(
    x: Value, kernel: Sequence[int], strides: Sequence[int], pads: Pads
) -> tuple[Pads, list[int]]:
    """The padding, and what to add after each dimension so that a last, partial window counts.

    As in PyTorch's `ceil_mode`, a window that would start in the padding after the tensor is
    dropped, and with it the padding that it alone would see. So the specification has it where
    there is padding, along whichever dimension.

    Raises:
        UnsupportedParameter: Such a window where there is no padding, which only PyTorch specifies.
    """
    padded = any(before or after for before, after in pads)
    kept, extra = [], []
    for i, (size, stride, (before, after)) in enumerate(zip(kernel, strides, pads, strict=True)):
        length = x.size(i + 2)
        count = -(-(length + before + after - size) // stride) + 1
        if (count - 1) * stride >= length + before:
            if not padded:
                raise UnsupportedParameter(
                    f"the last window of size {size} and stride {stride} starts after the "
                    f"{length} elements; what it should give is not specified"
                )
            count -= 1
            after = min(after, max((count - 1) * stride + size - (length + before), 0))
        kept.append((before, after))
        extra.append(max((count - 1) * stride + size - (length + before + after), 0))
    return kept, extra


def pool(
    g: Graph,
    kind: Kind,
    x: Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    *,
    count_padding: bool = False,
    extra: Sequence[int] | None = None,
) -> Value:
    """Pool x [n, C, *D].

    Args:
        kind: `max`, `average`, or `l2`: the root of the window's sum of squares.
        pads: Padding of *D.
        count_padding: Whether padded zeros count in an average.
        extra: Further elements after each dimension (`ceil_pads`), which never count.
    """
    if any(size < 1 for size in (*kernel, *strides)) or not len(kernel) == len(strides) == len(
        pads
    ):
        raise ModelFileError(f"pooling with window {list(kernel)} and stride {list(strides)}")
    if kind == "l2":
        squares = pool(
            g,
            "average",
            g.Mul(x, x),
            kernel,
            strides,
            _longer(pads, extra),
            count_padding=True,
        )
        return g.Sqrt(g.Mul(squares, g.like(float(np.prod(kernel)), x)))
    # ONNX Runtime wants a padding smaller than the window, and no padding that counts beside
    # padding that does not; a padding made beforehand meets both.
    large = any(max(side) >= size for side, size in zip(pads, kernel, strict=True))
    if large or (count_padding and extra is not None and any(extra)):
        nothing = float(np.finfo(x.dtype).min) if kind == "max" else 0.0
        if kind == "average" and not count_padding:
            return _large_average(g, x, kernel, strides, _longer(pads, extra))
        x, pads = pad(g, x, pads, nothing), [(0, 0)] * len(pads)
    window = {
        "kernel_shape": list(kernel),
        "strides": list(strides),
        "pads": flat(_longer(pads, extra)),
    }
    if kind == "max":
        return g.MaxPool(x, **window)
    count = count_padding and not (extra is not None and any(extra))
    return g.AveragePool(x, **window, count_include_pad=int(count))


def _large_average(
    g: Graph, x: Value, kernel: Sequence[int], strides: Sequence[int], pads: Pads
) -> Value:
    """An average without its padding, where the padding is as large as the window."""
    none = [(0, 0)] * len(pads)
    ones = g.constant(np.ones((1, 1, *x.sizes[2:]), x.dtype))
    total = pool(g, "average", pad(g, x, pads), kernel, strides, none)
    share = pool(g, "average", pad(g, ones, pads), kernel, strides, none)
    return g.Div(total, share)


def _longer(pads: Pads, extra: Sequence[int] | None) -> Pads:
    if extra is None:
        return pads
    return [(before, after + more) for (before, after), more in zip(pads, extra, strict=True)]
