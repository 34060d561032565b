"""Decompression of weights, in NumPy while a model loads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.file.package import unpack
from pocketlens.errors import ModelFileError, UnsupportedParameter

__all__ = [
    "affine",
    "by_block",
    "by_block_sparse",
    "cast",
    "palette",
    "palette_by_block",
    "palette_sparse",
    "sparse",
    "sparse_by_mask",
]

MAX_ELEMENTS = 2**29
ROWS = 1 << 22  # elements that are decompressed at a time
WEIGHT = "a decompressed weight"
FLOATS = {"fp16": np.float16, "fp32": np.float32}


def affine(
    data: NDArray[Any], zero_point: NDArray[Any], scale: NDArray[Any], axis: int
) -> NDArray[Any]:
    """`scale (data - zero_point)`; both are scalars or have one number per slice along `axis`."""
    if not -data.ndim <= axis < data.ndim:
        raise ModelFileError(f"'axis' is {axis}; the data has {data.ndim} dimensions")

    def shaped(numbers: NDArray[Any]) -> NDArray[np.float32]:
        if numbers.size not in (1, data.shape[axis]):
            raise ModelFileError(
                f"there are {numbers.size} scales or zero points for {data.shape[axis]} slices"
            )
        shape = [1] * data.ndim
        shape[axis] = numbers.size
        return numbers.reshape(shape).astype(np.float32)

    zeros, scales = (np.broadcast_to(shaped(each), data.shape) for each in (zero_point, scale))
    return _by_rows(
        data.shape,
        scale.dtype,
        lambda rows: (data[rows].astype(np.float32) - zeros[rows]) * scales[rows],
    )


def cast(data: NDArray[Any], dtype: str) -> NDArray[Any]:
    """`data` as `fp16` or `fp32`."""
    if dtype not in FLOATS:
        raise UnsupportedParameter(f"'output_dtype' is {dtype!r}; expected fp16 or fp32")
    charge(data.size * np.dtype(FLOATS[dtype]).itemsize, WEIGHT)
    return data.astype(FLOATS[dtype])


def palette(indices: NDArray[Any], lut: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """`lut[indices]`; the indices are packed from the lowest bit up, log2(len(lut)) bits each."""
    count = _count(shape)
    bits = int(lut.size).bit_length() - 1
    if lut.size != 1 << bits or bits not in (1, 2, 4, 6, 8):
        raise ModelFileError(f"a palette has {lut.size} entries; expected 2, 4, 16, 64 or 256")
    packed = indices.reshape(-1).astype(np.uint8)
    if packed.size != (count * bits + 7) // 8:
        raise ModelFileError(
            f"the indices have {packed.size} bytes; expected {(count * bits + 7) // 8}"
        )
    charge(count * lut.itemsize, WEIGHT)
    dense: NDArray[Any] = lut.reshape(-1)[unpack(packed, bits, count, "uint8")].reshape(shape)
    return dense


def sparse(values: NDArray[Any], mask: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """`values` where the mask has a bit set, else 0; the mask is packed from the lowest bit up."""
    count = _count(shape)
    packed = mask.reshape(-1).astype(np.uint8)
    if packed.size != (count + 7) // 8:
        raise ModelFileError(f"the mask has {packed.size} bytes; expected {(count + 7) // 8}")
    where = np.unpackbits(packed, bitorder="little")[:count].astype(bool)
    if int(where.sum()) != values.size:
        raise ModelFileError(f"the mask has {int(where.sum())} bits set for {values.size} values")
    charge(count * values.itemsize, WEIGHT)
    dense = np.zeros(count, values.dtype)
    dense[where] = values.reshape(-1)
    return dense.reshape(shape)


def by_block(data: NDArray[Any], scale: NDArray[Any], offset: NDArray[Any] | None) -> NDArray[Any]:
    """`scale (data - offset)`; both have one number per block of the data.

    Args:
        data: Any rank.
        scale: The same rank; each of its sizes divides the data's size.
        offset: The shape of `scale`, or None for 0.
    """
    shape = _blocks(data.shape, scale.shape)
    if offset is not None and offset.shape != scale.shape:
        raise ModelFileError(f"'offset' has the shape {offset.shape}, 'scale' {scale.shape}")

    def spread(numbers: NDArray[Any], rows: slice) -> NDArray[np.float32]:
        """The numbers of these rows, as float32, each repeated for its block."""
        if shape:
            numbers = numbers[np.arange(*rows.indices(len(data))) // shape[0]]
        for axis, size in enumerate(shape[1:], 1):
            numbers = np.repeat(numbers, size, axis)
        return numbers.astype(np.float32)

    def scaled(rows: slice) -> NDArray[np.float32]:
        wide = (data[rows] if shape else data).astype(np.float32)
        shifted = wide if offset is None else wide - spread(offset, rows)
        return shifted * spread(scale, rows)

    with np.errstate(over="ignore", invalid="ignore"):
        return _by_rows(data.shape, scale.dtype, scaled)


def palette_by_block(
    indices: NDArray[Any], lut: NDArray[Any], vector_axis: int | None
) -> NDArray[Any]:
    """Replace each index by its entry in the palette of its block.

    Args:
        indices: Rank r.
        lut: Rank r + 2: the number of blocks along each dimension, entries, vector length.
        vector_axis: The axis along which a vector with more than one number is stored.
    """
    if lut.ndim != indices.ndim + 2:
        raise ModelFileError(f"'lut' has {lut.ndim} dimensions; expected {indices.ndim + 2}")
    *grid, entries, length = lut.shape
    sizes = _blocks(indices.shape, tuple(grid))
    if indices.size and int(indices.max()) >= entries:
        raise ModelFileError(f"an index is {int(indices.max())}; the palette has {entries} entries")
    charge(indices.size * length * lut.itemsize, WEIGHT)
    where = np.ix_(*(np.arange(n) // size for n, size in zip(indices.shape, sizes, strict=True)))
    chosen: NDArray[Any] = lut[(*where, indices)]  # [*indices, length]
    if length == 1:
        return chosen.reshape(indices.shape)
    if vector_axis is None or not -indices.ndim <= vector_axis < indices.ndim:
        raise ModelFileError(f"'vector_axis' is {vector_axis} for vectors with {length} numbers")
    axis = vector_axis % indices.ndim
    shape = list(indices.shape)
    shape[axis] *= length
    _count(tuple(shape))
    return np.moveaxis(chosen, -1, axis + 1).reshape(shape)


def sparse_by_mask(values: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
    """`values` where the mask is 1, else 0."""
    where = mask.astype(bool)
    if int(where.sum()) != values.size:
        raise ModelFileError(f"the mask has {int(where.sum())} ones for {values.size} values")
    charge(mask.size * values.itemsize, WEIGHT)
    dense = np.zeros(mask.shape, values.dtype)
    dense[where] = values.reshape(-1)
    return dense


def by_block_sparse(
    values: NDArray[Any], mask: NDArray[Any], scale: NDArray[Any], offset: NDArray[Any] | None
) -> NDArray[Any]:
    """`by_block` of the values where the mask is 1, as one row."""
    dense = by_block(sparse_by_mask(values, mask), scale, offset)
    row: NDArray[Any] = dense[mask.astype(bool)]
    return row


def palette_sparse(
    indices: NDArray[Any], mask: NDArray[Any], lut: NDArray[Any], vector_axis: int | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """`palette_by_block` of the indices where the mask is 1.

    Returns:
        The mask, repeated along `vector_axis` for the length of the vectors; the numbers as one
        row.
    """
    dense = palette_by_block(sparse_by_mask(indices, mask), lut, vector_axis)
    if lut.shape[-1] > 1 and vector_axis is not None:
        mask = np.repeat(mask, lut.shape[-1], vector_axis)
    return mask, dense[mask.astype(bool)]


def _by_rows(
    shape: tuple[int, ...], dtype: np.dtype[Any], rows: Callable[[slice], NDArray[Any]]
) -> NDArray[Any]:
    """An array made of a few rows at a time, so that wider numbers in between take no memory.

    Args:
        shape: Its shape.
        dtype: Its element type, to which the results of `rows` are rounded.
        rows: Computes the rows of a slice; for an array of rank 0, the array.
    """
    charge(math.prod(shape) * dtype.itemsize, WEIGHT)
    if not shape:
        return np.asarray(rows(slice(None)), dtype)
    made = np.empty(shape, dtype)
    step = max(1, ROWS // max(1, math.prod(shape[1:])))
    for first in range(0, shape[0], step):
        part = slice(first, first + step)
        made[part] = rows(part)
    return made


def _blocks(shape: tuple[int, ...], grid: tuple[int, ...]) -> tuple[int, ...]:
    """The size of a block along each dimension."""
    if len(shape) != len(grid) or any(
        blocks < 1 or size % blocks for size, blocks in zip(shape, grid, strict=False)
    ):
        raise ModelFileError(f"data with the shape {shape} does not divide into {grid} blocks")
    return tuple(size // blocks for size, blocks in zip(shape, grid, strict=True))


def _count(shape: tuple[int, ...]) -> int:
    count = math.prod(shape)
    if any(size < 0 for size in shape) or count > MAX_ELEMENTS:
        raise ModelFileError(
            f"a weight has the shape {shape}; expected at most {MAX_ELEMENTS} elements"
        )
    return count
