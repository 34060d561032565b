"""Pooling over one to three spatial dimensions. x is [n, C, *D]."""

from __future__ import annotations

from pocketlens.coreml.graph import Graph, Ints, Value
from pocketlens.coreml.ops.common.pooling import Kind, ceil_pads, pool
from pocketlens.coreml.ops.mil.conv import window_pads
from pocketlens.coreml.ops.registry import mil


def _pool(
    g: Graph,
    kind: Kind,
    x: Value,
    kernel_sizes: Ints,
    strides: Ints | None,
    pad_type: str,
    pad: Ints | None,
    ceil_mode: bool,
    exclude_padding_from_average: bool = False,
) -> Value:
    ones = (1,) * (x.rank - 2)
    strides = strides or ones
    pads = window_pads(x, pad_type, pad, kernel_sizes, strides, ones)
    if ceil_mode and pad_type in ("valid", "custom"):  # `same` fixes the number of windows
        pads = ceil_pads(x, kernel_sizes, strides, pads, alone=True)
    counted = not exclude_padding_from_average
    return pool(g, kind, x, kernel_sizes, strides, pads, count_padding=counted)


@mil()
def avg_pool(
    g: Graph,
    x: Value,
    kernel_sizes: Ints,
    pad_type: str,
    strides: Ints | None = None,
    pad: Ints | None = None,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Value:
    return _pool(
        g,
        "average",
        x,
        kernel_sizes,
        strides,
        pad_type,
        pad,
        ceil_mode,
        exclude_padding_from_average,
    )


@mil()
def max_pool(
    g: Graph,
    x: Value,
    kernel_sizes: Ints,
    pad_type: str,
    strides: Ints | None = None,
    pad: Ints | None = None,
    ceil_mode: bool = False,
) -> Value:
    return _pool(g, "max", x, kernel_sizes, strides, pad_type, pad, ceil_mode)


@mil()
def l2_pool(
    g: Graph,
    x: Value,
    kernel_sizes: Ints,
    pad_type: str,
    strides: Ints | None = None,
    pad: Ints | None = None,
    ceil_mode: bool = False,
) -> Value:
    def formula(v: Value) -> Value:
        return _pool(g, "l2", v, kernel_sizes, strides, pad_type, pad, ceil_mode)

    return g.in_float32(formula, x)
