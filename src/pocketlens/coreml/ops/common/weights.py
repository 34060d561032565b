"""Conversion of a NeuralNetwork layer's `WeightParams` to a NumPy array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.file.values import MAX_RANK
from pocketlens.errors import ModelFileError

__all__ = ["weight_array"]

MAX_ELEMENTS = 2**29
CHUNK = 1 << 20  # a multiple of 8


def weight_array(
    weights: Any, shape: Sequence[int], what: str = "weights", *, axes: Sequence[int] = (0,)
) -> NDArray[np.float32]:
    """The weights as float32.

    Args:
        weights: A `WeightParams` message, or None.
        shape: The shape that the layer expects.
        what: The name for error messages.
        axes: The dimensions of the output channels; a quantized weight may have one scale per
            index of them.

    Raises:
        ModelFileError: There are no values, values in two forms, or too few or too many.
    """
    shape = tuple(shape)
    count = math.prod(shape)
    if len(shape) > MAX_RANK:
        raise ModelFileError(f"{what} has {len(shape)} dimensions; expected at most {MAX_RANK}")
    if math.prod(max(size, 1) for size in shape) > MAX_ELEMENTS:
        raise ModelFileError(
            f"{what} has the shape {shape}; expected at most {MAX_ELEMENTS} elements"
        )
    given = [
        name
        for name in ("floatValue", "float16Value", "rawValue", "int8RawValue")
        if weights is not None and len(getattr(weights, name))
    ]
    charge(4 * count, what)
    if not given and count == 0:
        return np.zeros(shape, np.float32)
    if len(given) != 1:
        raise ModelFileError(
            f"{what} has values in {given or 'no field'}; expected exactly one field"
        )
    if given[0] == "floatValue":
        array = np.array(weights.floatValue, np.float32)
    elif given[0] == "float16Value":
        if len(weights.float16Value) % 2:
            raise ModelFileError(
                f"{what} has {len(weights.float16Value)} bytes of float16; expected an even number"
            )
        array = np.frombuffer(weights.float16Value, "<f2").astype(np.float32)
    elif given[0] == "rawValue":
        return _quantized(weights, shape, what, axes)
    else:
        return _int8_weights(weights, shape, what, axes)
    if array.size != count:
        raise ModelFileError(f"{what} has {array.size} values; expected {count} for {shape}")
    return array.reshape(shape)


def _quantized(
    weights: Any, shape: tuple[int, ...], what: str, axes: Sequence[int]
) -> NDArray[np.float32]:
    count = math.prod(shape)
    quantization = weights.quantization
    bits = quantization.numberOfBits
    if not 1 <= bits <= 8:
        raise ModelFileError(f"{what} is quantized to {bits} bits; expected 1 to 8")
    expected = (count * bits + 7) // 8
    if len(weights.rawValue) < expected:  # Core ML accepts more
        raise ModelFileError(f"{what} has {len(weights.rawValue)} bytes; expected {expected}")
    index = _unpacked(np.frombuffer(weights.rawValue, np.uint8, expected), bits, count)
    index = index.reshape(shape)
    kind = quantization.WhichOneof("QuantizationType")
    if kind == "lookupTableQuantization":
        table = np.array(quantization.lookupTableQuantization.floatValue, np.float32)
        if table.size != 1 << bits:
            raise ModelFileError(
                f"{what} has a table of {table.size} entries; expected {1 << bits}"
            )
        looked_up: NDArray[np.float32] = table[index]
        return looked_up
    return _dequantized(index, weights, what, axes)


def _unpacked(data: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    """Numbers of a few bits, stored from the highest bit down, as bytes; some at a time."""
    values = np.empty(count, np.uint8)
    places = np.arange(bits - 1, -1, -1, dtype=np.uint8)
    for first in range(0, count, CHUNK):
        part = values[first : first + CHUNK]
        flat = np.unpackbits(data[first * bits // 8 :], count=part.size * bits)
        part[:] = (flat.reshape(part.size, bits) << places).sum(-1, dtype=np.uint8)
    return values


def _int8_weights(
    weights: Any, shape: tuple[int, ...], what: str, axes: Sequence[int]
) -> NDArray[np.float32]:
    """int8 weights, used by layers that quantize their input (int8DynamicQuantize)."""
    if len(weights.int8RawValue) != math.prod(shape):
        raise ModelFileError(
            f"{what} has {len(weights.int8RawValue)} bytes; expected {math.prod(shape)}"
        )
    codes = np.frombuffer(weights.int8RawValue, np.int8).reshape(shape)
    return _dequantized(codes, weights, what, axes)


def _dequantized(
    codes: NDArray[Any], weights: Any, what: str, axes: Sequence[int]
) -> NDArray[np.float32]:
    if weights.quantization.WhichOneof("QuantizationType") != "linearQuantization":
        raise ModelFileError(f"{what} is quantized but has no scale and no table")
    linear = weights.quantization.linearQuantization
    scale = _per_channel(linear.scale, codes.shape, what, axes)
    bias = _per_channel(linear.bias or [0.0], codes.shape, what, axes)
    with np.errstate(over="ignore", invalid="ignore"):
        return codes.astype(np.float32) * scale + bias


def _per_channel(
    values: Any, shape: tuple[int, ...], what: str, axes: Sequence[int]
) -> NDArray[np.float32]:
    array = np.array(values, np.float32)
    if array.size == 1:
        return array.reshape(())
    full = [size if axis in axes else 1 for axis, size in enumerate(shape)]
    if array.size != math.prod(full):
        raise ModelFileError(
            f"{what} has {array.size} scales or biases; expected 1 or {math.prod(full)}"
        )
    return array.reshape(full)
