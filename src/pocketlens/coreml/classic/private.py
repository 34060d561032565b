"""Kinds of models that cannot run here, because their data or code is not in the file."""

from __future__ import annotations

from pocketlens.coreml.file.kinds import UNSUPPORTED
from pocketlens.coreml.ops.registry import unsupported

for _kind, _reason in UNSUPPORTED.items():
    unsupported("classic", _reason, _kind)
