"""Gathering and scattering."""

from __future__ import annotations

from pocketlens.coreml.table import unsupported

unsupported(
    "mil",
    "not lowered yet",
    "gather",
    "gather_along_axis",
    "gather_nd",
    "scatter",
    "scatter_along_axis",
    "scatter_nd",
)
