"""Recurrent ops."""

from __future__ import annotations

from pocketlens.coreml.table import unsupported

unsupported("mil", "recurrent ops are not lowered yet", "gru", "lstm", "rnn")
