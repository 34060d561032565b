"""Recurrent layers."""

from __future__ import annotations

from pocketlens.coreml.table import unsupported

unsupported(
    "neural_network",
    "recurrent layers are not lowered yet",
    *("simpleRecurrent", "gru", "uniDirectionalLSTM", "biDirectionalLSTM"),
)
