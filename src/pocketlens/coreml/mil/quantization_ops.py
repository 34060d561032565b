"""Quantised activations."""

from __future__ import annotations

from pocketlens.coreml.table import unsupported

unsupported("mil", "not lowered yet", "dequantize", "quantize")
