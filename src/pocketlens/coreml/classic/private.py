"""Kinds of model that cannot run here: what they do is not in the file."""

from __future__ import annotations

from pocketlens.coreml.file.kinds import NEVER
from pocketlens.coreml.ops.registry import unsupported

for _kind, _reason in NEVER.items():
    unsupported("classic", _reason, _kind)
