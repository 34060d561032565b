"""Compressed weights of iOS 18, decompressed while the model loads."""

from __future__ import annotations

from pocketlens.coreml.graph import Array, Graph, Value
from pocketlens.coreml.ops.common import compression
from pocketlens.coreml.ops.registry import IOS18, mil


@mil(since=IOS18)
def constexpr_blockwise_shift_scale(
    g: Graph, data: Array, scale: Array, offset: Array | None = None
) -> Value:
    return g.constant(compression.by_block(data, scale, offset))


@mil(since=IOS18)
def constexpr_lut_to_dense(
    g: Graph, indices: Array, lut: Array, vector_axis: int | None = None
) -> Value:
    return g.constant(compression.palette_by_block(indices, lut, vector_axis))


@mil(since=IOS18)
def constexpr_sparse_to_dense(g: Graph, nonzero_data: Array, mask: Array) -> Value:
    return g.constant(compression.sparse_by_mask(nonzero_data, mask))


@mil(since=IOS18)
def constexpr_lut_to_sparse(
    g: Graph,
    indices_mask: Array,
    indices_nonzero_data: Array,
    lut: Array,
    vector_axis: int | None = None,
) -> tuple[Value, Value]:
    mask, values = compression.palette_sparse(indices_nonzero_data, indices_mask, lut, vector_axis)
    return g.constant(mask), g.constant(values)


@mil(since=IOS18)
def constexpr_sparse_blockwise_shift_scale(
    g: Graph,
    data_mask: Array,
    nonzero_data: Array,
    scale: Array,
    offset: Array | None = None,
) -> tuple[Value, Value]:
    values = compression.by_block_sparse(nonzero_data, data_mask, scale, offset)
    return g.constant(data_mask), g.constant(values)
