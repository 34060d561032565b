"""Convolution over one to three spatial dimensions."""

from __future__ import annotations

from pocketlens.coreml.graph import Graph, Ints, Value
from pocketlens.coreml.ops.common.arithmetic import keep_type
from pocketlens.coreml.ops.common.convolution import convolution, deconvolution
from pocketlens.coreml.ops.common.padding import Pads, same_pads
from pocketlens.coreml.ops.registry import IOS17, mil, unsupported
from pocketlens.errors import ModelFileError, UnsupportedParameter

unsupported("mil", "experimental in the specification; no converter writes it", "conv_quantized")


def window_pads(
    x: Value,
    pad_type: str,
    pad: Ints | None,
    kernel: Ints,
    strides: Ints,
    dilations: Ints,
) -> Pads:
    """The padding of `pad_type` for a window over x [n, C, *D]."""
    spatial = x.rank - 2
    for name, numbers in (("kernel", kernel), ("strides", strides), ("dilations", dilations)):
        if len(numbers) != spatial or any(number < 1 for number in numbers):
            raise ModelFileError(f"{name} is {list(numbers)}; expected {spatial} positive numbers")
    if pad_type == "valid":
        return [(0, 0)] * spatial
    if pad_type == "custom":
        amounts = pad or (0,) * (2 * spatial)
        if len(amounts) != 2 * spatial:
            raise ModelFileError(f"'pad' is {list(amounts)}; expected {2 * spatial} numbers")
        return list(zip(amounts[::2], amounts[1::2], strict=True))
    if pad_type in ("same", "same_lower"):
        return same_pads(x, kernel, strides, dilations, lower=pad_type == "same_lower")
    raise UnsupportedParameter(
        f"'pad_type' is {pad_type!r}; expected valid, custom, same or same_lower"
    )


@mil()
def conv(
    g: Graph,
    x: Value,  # [n, Cin, *D]
    weight: Value,  # [Cout, Cin/groups, *K]
    bias: Value | None = None,  # [Cout]
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
) -> Value:
    ones = (1,) * (x.rank - 2)
    strides, dilations = strides or ones, dilations or ones
    pads = window_pads(x, pad_type, pad, weight.sizes[2:], strides, dilations)
    return convolution(g, x, weight, bias, strides, pads, dilations, groups)


@mil(since=IOS17, name="conv")
def conv_ios17(
    g: Graph,
    x: Value,
    weight: Value,
    bias: Value | None = None,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
) -> Value:
    def formula(v: Value, w: Value, b: Value | None) -> Value:
        return conv(g, v, w, b, strides, pad_type, pad, dilations, groups)

    return keep_type(g, formula, x, weight, bias)


@mil()
def conv_transpose(
    g: Graph,
    x: Value,  # [n, Cin, *D]
    weight: Value,  # [Cin, Cout/groups, *K]
    bias: Value | None = None,  # [Cout]
    pad: Ints | None = None,
    output_shape: Ints | None = None,  # [n, Cout, *D]
    pad_type: str = "valid",
    strides: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
) -> Value:
    ones = (1,) * (x.rank - 2)
    strides, dilations = strides or ones, dilations or ones
    size = output_shape[2:] if output_shape else None
    pads: Pads | None = None
    if pad_type == "same":
        size = size or tuple(x.size(i + 2) * stride for i, stride in enumerate(strides))
    else:
        pads = window_pads(x, pad_type, pad, weight.sizes[2:], strides, dilations)
    return deconvolution(g, x, weight, bias, strides, dilations, groups, pads, size)


@mil(since=IOS17, name="conv_transpose")
def conv_transpose_ios17(
    g: Graph,
    x: Value,
    weight: Value,
    bias: Value | None = None,
    pad: Ints | None = None,
    output_shape: Ints | None = None,
    pad_type: str = "valid",
    strides: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
) -> Value:
    def formula(v: Value, w: Value, b: Value | None) -> Value:
        return conv_transpose(g, v, w, b, pad, output_shape, pad_type, strides, dilations, groups)

    return keep_type(g, formula, x, weight, bias)
