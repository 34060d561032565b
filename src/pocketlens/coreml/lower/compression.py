"""Compressed weights -> plain ones, in NumPy while a model loads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import ModelFileError, UnsupportedParameter

__all__ = ["affine", "cast", "palette", "sparse"]

MAX_ELEMENTS = 2**29
FLOATS = {"fp16": np.float16, "fp32": np.float32}


def affine(
    data: NDArray[Any], zero_point: NDArray[Any], scale: NDArray[Any], axis: int
) -> NDArray[Any]:
    """`scale (data - zero_point)`, both scalars or one number for each slice along `axis`."""
    if not -data.ndim <= axis < data.ndim:
        raise ModelFileError(f"'axis' is {axis}; the data have {data.ndim} dimensions")

    def shaped(numbers: NDArray[Any]) -> NDArray[np.float32]:
        if numbers.size not in (1, data.shape[axis]):
            raise ModelFileError(
                f"{numbers.size} scales or zero points are given for {data.shape[axis]} slices"
            )
        shape = [1] * data.ndim
        shape[axis] = numbers.size
        return numbers.reshape(shape).astype(np.float32)

    return ((data.astype(np.float32) - shaped(zero_point)) * shaped(scale)).astype(scale.dtype)


def cast(data: NDArray[Any], dtype: str) -> NDArray[Any]:
    """`data` as `fp32`."""
    if dtype not in FLOATS:
        raise UnsupportedParameter(f"'output_dtype' is {dtype!r}; expected fp16 or fp32")
    return data.astype(FLOATS[dtype])


def palette(indices: NDArray[Any], lut: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """`lut[indices]`: indices packed from the lowest bit up, log2(len(lut)) bits each."""
    count = _count(shape)
    bits = int(lut.size).bit_length() - 1
    if lut.size != 1 << bits or bits not in (1, 2, 4, 6, 8):
        raise ModelFileError(f"a palette has {lut.size} entries; expected 2, 4, 16, 64 or 256")
    packed = indices.reshape(-1).astype(np.uint8)
    if packed.size != (count * bits + 7) // 8:
        raise ModelFileError(
            f"{packed.size} bytes of indices are given; expected {(count * bits + 7) // 8}"
        )
    flat = np.unpackbits(packed, bitorder="little")[: count * bits].reshape(count, bits)
    chosen = (flat << np.arange(bits, dtype=np.uint8)).sum(-1, dtype=np.uint8)
    return lut.reshape(-1)[chosen].reshape(shape)


def sparse(values: NDArray[Any], mask: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """`values` where the mask has a bit (from the lowest up), else 0."""
    count = _count(shape)
    packed = mask.reshape(-1).astype(np.uint8)
    if packed.size != (count + 7) // 8:
        raise ModelFileError(f"{packed.size} bytes of mask are given; expected {(count + 7) // 8}")
    where = np.unpackbits(packed, bitorder="little")[:count].astype(bool)
    if int(where.sum()) != values.size:
        raise ModelFileError(f"the mask has {int(where.sum())} bits set for {values.size} values")
    dense = np.zeros(count, values.dtype)
    dense[where] = values.reshape(-1)
    return dense.reshape(shape)


def _count(shape: tuple[int, ...]) -> int:
    count = math.prod(shape)
    if any(size < 0 for size in shape) or count > MAX_ELEMENTS:
        raise ModelFileError(
            f"a weight has the shape {shape}; expected at most {MAX_ELEMENTS} elements"
        )
    return count
