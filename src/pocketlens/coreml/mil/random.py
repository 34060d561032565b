"""Random numbers."""

from __future__ import annotations

from pocketlens.coreml.table import unsupported

unsupported(
    "mil",
    "random numbers cannot be held against the device",
    "random_bernoulli",
    "random_categorical",
    "random_normal",
    "random_uniform",
)
