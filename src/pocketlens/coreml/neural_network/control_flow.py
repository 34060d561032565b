"""Layers that run other layers, or that only an app can run."""

from __future__ import annotations

from pocketlens.coreml.table import unsupported

unsupported(
    "neural_network",
    "control flow is not lowered yet",
    *("branch", "loop", "loopBreak", "loopContinue"),
)
unsupported("neural_network", "its code is in the app, not in the file", "custom")
