"""Compressed weights of iOS 18."""

from __future__ import annotations

from pocketlens.coreml.table import unsupported

unsupported(
    "mil",
    "not lowered yet",
    "constexpr_blockwise_shift_scale",
    "constexpr_lut_to_sparse",
    "constexpr_sparse_blockwise_shift_scale",
)
