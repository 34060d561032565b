"""Compressed weights of iOS 16, decompressed while the model loads."""

from __future__ import annotations

from pocketlens.coreml.graph import Array, Graph, Value
from pocketlens.coreml.ops.common import compression
from pocketlens.coreml.ops.registry import IOS16, mil


@mil(since=IOS16)
def constexpr_affine_dequantize(
    g: Graph, quantized_data: Array, zero_point: Array, scale: Array, axis: int
) -> Value:
    return g.constant(compression.affine(quantized_data, zero_point, scale, axis))


@mil(since=IOS16)
def constexpr_cast(g: Graph, source_val: Array, output_dtype: str) -> Value:
    return g.constant(compression.cast(source_val, output_dtype))


@mil(since=IOS16)
def constexpr_lut_to_dense(g: Graph, indices: Array, lut: Array, shape: Array) -> Value:
    sizes = tuple(int(size) for size in shape.reshape(-1))
    return g.constant(compression.palette(indices, lut, sizes))


@mil(since=IOS16)
def constexpr_sparse_to_dense(g: Graph, nonzero_data: Array, mask: Array, shape: Array) -> Value:
    sizes = tuple(int(size) for size in shape.reshape(-1))
    return g.constant(compression.sparse(nonzero_data, mask, sizes))
