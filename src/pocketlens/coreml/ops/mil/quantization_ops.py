"""Quantized activations: scale and zero point are scalars, or one number per index of an axis."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.registry import IOS17, mil
from pocketlens.errors import ModelFileError, UnsupportedParameter

TYPES = {"int8": np.int8, "uint8": np.uint8}


@mil(since=IOS17)
def quantize(
    g: Graph,
    input: Value,
    scale: Value,
    output_dtype: str,
    zero_point: Value | None = None,  # 0
    axis: int | None = None,
) -> Value:
    if output_dtype not in TYPES:
        raise UnsupportedParameter(
            f"'output_dtype' is {output_dtype!r}; expected one of {', '.join(TYPES)}"
        )
    _check(input, scale, zero_point, axis)
    zero = g.constant(np.zeros(scale.sizes, TYPES[output_dtype]))
    if zero_point is not None and zero_point.dtype != zero.dtype:
        raise ModelFileError(f"'zero_point' is {zero_point!r}; expected {output_dtype}")
    return g.QuantizeLinear(input, scale, zero_point or zero, axis=axis)


@mil(since=IOS17)
def dequantize(
    g: Graph,
    input: Value,
    scale: Value,
    zero_point: Value | None = None,  # 0
    axis: int | None = None,
) -> Value:
    _check(input, scale, zero_point, axis)
    # ONNX Runtime fuses it with a preceding `quantize`, and then fails without a zero point.
    zero = zero_point or g.constant(np.zeros(scale.sizes, input.dtype))
    return g.DequantizeLinear(input, scale, zero, axis=axis)


def _check(x: Value, scale: Value, zero_point: Value | None, axis: int | None) -> None:
    if scale.rank > 1 or (zero_point is not None and zero_point.sizes != scale.sizes):
        raise ModelFileError(
            f"'scale' is {scale!r} and 'zero_point' {zero_point!r}; "
            "expected one number each, or the same number of them along one axis"
        )
    fits = axis is not None and -x.rank <= axis < x.rank and scale.sizes == (x.size(axis),)
    if scale.rank == 1 and not fits:
        raise ModelFileError(f"'axis' is {axis} for the scale {scale!r} of {x!r}")
