"""Lowerings of quantization: the same numbers, computed in float32."""

from __future__ import annotations

from collections.abc import Sequence

from pocketlens.conversion.from_onnx.lowerings.registry import (
    Var,
    lowers,
    mb,
    sizes,
)
from pocketlens.errors import ConversionError

_RANGES = {2: (0, 255), 3: (-128, 127), 4: (0, 65535), 5: (-32768, 32767)}
"""ONNX's number of a type -> its smallest and its largest number."""


def _shaped(value: Var, rank: int, axis: int) -> Var:
    """A scale or zero point in a shape that broadcasts along an axis."""
    own = sizes(value)
    if not own or own == [1]:
        return mb.squeeze(x=value) if own else value
    if len(own) > 1:
        raise ConversionError("quantization by blocks is not converted; use one scale per channel")
    shape = [1] * rank
    shape[axis] = -1
    return mb.reshape(x=value, shape=shape)


def _float32(x: Var) -> Var:
    return mb.cast(x=x, dtype="fp32")


@lowers("DequantizeLinear")
def dequantize(
    x: Var,
    scale: Var,
    zero: Var = None,
    *,
    axis: int = 1,
) -> Var:
    rank = len(sizes(x))
    y = _float32(x)
    if zero is not None:
        y = mb.sub(x=y, y=_shaped(_float32(zero), rank, axis))
    return mb.mul(x=y, y=_shaped(scale, rank, axis))


@lowers("QuantizeLinear")
def quantize(
    x: Var,
    scale: Var,
    zero: Var = None,
    *,
    axis: int = 1,
    output_dtype: int = 0,
    types: Sequence[int],
) -> Var:
    kind = types[2] if zero is not None else output_dtype or 2
    if kind not in _RANGES:
        raise ConversionError(f"Core ML has no quantized numbers of the type {kind}")
    low, high = _RANGES[kind]
    rank = len(sizes(x))
    y = mb.round(x=mb.real_div(x=_float32(x), y=_shaped(_float32(scale), rank, axis)))
    if zero is not None:
        y = mb.add(x=y, y=_shaped(_float32(zero), rank, axis))
    return mb.cast(x=mb.clip(x=y, alpha=float(low), beta=float(high)), dtype="int32")


@lowers("MatMulInteger")
def matmul_integer(a: Var, b: Var, a_zero: Var = None, b_zero: Var = None) -> Var:
    x, y = _float32(a), _float32(b)
    if a_zero is not None:
        rows = _float32(a_zero)
        rows = mb.expand_dims(x=rows, axes=[-1]) if sizes(a_zero) not in ([], [1]) else rows
        x = mb.sub(x=x, y=rows)
    if b_zero is not None:
        y = mb.sub(x=y, y=_float32(b_zero))
    return mb.cast(x=mb.matmul(x=x, y=y), dtype="int32")


@lowers("QLinearMatMul")
def quantized_matmul(
    a: Var, a_scale: Var, a_zero: Var, b: Var, b_scale: Var, b_zero: Var, scale: Var, zero: Var,
    *, types: Sequence[int],
) -> Var:  # fmt: skip
    x = dequantize(a, _float32(a_scale), a_zero, axis=-2)
    y = dequantize(b, _float32(b_scale), b_zero, axis=-1)
    return quantize(mb.matmul(x=x, y=y), scale, zero, axis=-1, types=[1, 1, types[7]])


@lowers("ConvInteger")
def conv_integer(x: Var, w: Var, x_zero: Var = None, w_zero: Var = None, **options: object) -> Var:
    from pocketlens.conversion.from_onnx.lowerings.layers import conv

    left, right = _float32(x), _float32(w)
    if x_zero is not None:
        left = mb.sub(x=left, y=_float32(x_zero))
    if w_zero is not None:
        right = mb.sub(x=right, y=_shaped(_float32(w_zero), len(sizes(w)), 0))
    return mb.cast(x=conv(left, right, **options), dtype="int32")


@lowers("QLinearConv")
def quantized_conv(
    x: Var, x_scale: Var, x_zero: Var, w: Var, w_scale: Var, w_zero: Var, scale: Var, zero: Var,
    bias: Var = None, *, types: Sequence[int], **options: object,
) -> Var:  # fmt: skip
    from pocketlens.conversion.from_onnx.lowerings.layers import conv

    left = dequantize(x, x_scale, x_zero)
    right = dequantize(w, w_scale, w_zero, axis=0)
    if bias is not None:
        unit = mb.mul(x=x_scale, y=w_scale)
        bias = mb.mul(x=_float32(bias), y=unit)
    y = conv(left, right, bias, **options)
    return quantize(y, scale, zero, types=[1, 1, types[7]])
