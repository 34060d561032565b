"""Attention."""

from __future__ import annotations

from pocketlens.coreml.table import unsupported

unsupported("mil", "not lowered yet", "scaled_dot_product_attention")
